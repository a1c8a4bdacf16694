"""Machines as W3C SCXML documents with the ECMAScript data model.

Conditions call functions that a script element defines, so that null and mixed types mean what they mean here; the
guard as it was written stands beside each condition as ``orca:cond``, actions as ``orca:action``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from orca.statemachine.expr import GuardAnd, GuardNot, GuardOr, GuardRef
from orca.statemachine.model import ANY_STATE, MachineDef, OutcomeRef, RegionDef, StateDef, Transition, thaw
from orca.statemachine.outputs._javascript import PRELUDE, javascript, literal
from orca.statemachine.outputs._labels import guard_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.model import InvokeDef

__all__ = ["ORCA_NAMESPACE", "SCXML_NAMESPACE", "to_scxml"]

SCXML_NAMESPACE: Final = "http://www.w3.org/2005/07/scxml"
ORCA_NAMESPACE: Final = "urn:orca:statemachine:1"
"""Of the attributes that only this project reads; other engines skip them."""


def _spelled_out(node: GuardExpression, guards: Mapping[str, GuardExpression]) -> GuardExpression:
    """A guard with the names of declared guards replaced by what they say; circles were refused before."""
    if isinstance(node, GuardRef):
        return _spelled_out(guards[node.name], guards)
    if isinstance(node, GuardNot):
        return GuardNot(_spelled_out(node.expr, guards))
    if isinstance(node, GuardAnd):
        return GuardAnd(tuple(_spelled_out(part, guards) for part in node.operands))
    if isinstance(node, GuardOr):
        return GuardOr(tuple(_spelled_out(part, guards) for part in node.operands))
    return node


def _id(path: str) -> str:
    """The id of a state: its path with dashes, because a dot would make ``done.state.a`` match ``done.state.a.b``."""
    return path.replace(".", "-")


class _Writer:
    def __init__(self, machine: MachineDef) -> None:
        self.machine = machine
        self.rows: dict[str, list[Transition]] = {}
        for row in machine.transitions:
            self.rows.setdefault(row.source, []).append(row)

    def document(self) -> ET.Element:
        machine = self.machine
        root = ET.Element(
            "scxml",
            {
                "xmlns": SCXML_NAMESPACE,
                "xmlns:orca": ORCA_NAMESPACE,
                "version": "1.0",
                "datamodel": "ecmascript",
                "name": machine.name,
                "orca:version": machine.version,
            },
        )
        if machine.fields:
            model = ET.SubElement(root, "datamodel")
            for item in machine.fields:
                kind = {"orca:type": str(item.type)}
                ET.SubElement(model, "data", {"id": item.name, "expr": literal(thaw(item.default)), **kind})
        context = "{" + ", ".join(f"{literal(item.name)}: {item.name}" for item in machine.fields) + "}"
        self.context = context
        if any(row.guard is not None for row in machine.transitions):
            guards = [
                f"guards[{literal(name)}] = function (context, event) {{"
                f" return {javascript(expression, 'context', 'event')}; }};"
                for name, expression in machine.guards.items()
            ]
            ET.SubElement(root, "script").text = "\n".join([PRELUDE, "var guards = {};", *guards])
        top = root
        if ANY_STATE in self.rows:
            # SCXML has no transitions of the document itself: one state around all holds them.
            top = ET.SubElement(root, "state", {"id": self._free("any")})
            self.initial(top, machine.states)
            self.transitions(top, ANY_STATE)
        else:
            self.initial(root, machine.states)
        for state in machine.states:
            self.state(top, state)
        return root

    def _free(self, name: str) -> str:
        taken = {_id(item.path) for item in self.machine.walk()}
        while name in taken:
            name += "_"
        return name

    @staticmethod
    def initial(element: ET.Element, states: Iterable[StateDef]) -> None:
        first = next((state.path for state in states if state.is_initial), None)
        if first is not None:
            element.set("initial", _id(first))

    def transitions(self, element: ET.Element, source: str) -> None:
        for row in self.rows.get(source, ()):
            found = ET.SubElement(element, "transition")
            if row.event is not None:
                found.set("event", row.event)
            if row.target is not None:
                found.set("target", _id(row.target))
            if row.internal:
                found.set("type", "internal")
            if row.guard is not None:
                self.condition(found, row.guard)
            if row.action is not None:
                self.action(found, row.action)

    def condition(self, element: ET.Element, guard: GuardExpression) -> None:
        data = "(typeof _event === 'undefined' || !_event ? null : _event.data)"
        element.set("cond", f"orca.holds({javascript(guard, self.context, data)})")
        element.set("orca:cond", guard_text(_spelled_out(guard, self.machine.guards)))

    @staticmethod
    def action(element: ET.Element, name: str) -> None:
        """An action is told to whoever runs the document: a log entry changes nothing."""
        ET.SubElement(element, "log", {"label": "action", "expr": literal(name), "orca:action": name})

    def outcome(self, element: ET.Element, event: str, outcome: OutcomeRef) -> None:
        found = ET.SubElement(element, "transition", {"event": event})
        if outcome.kind == "state":
            found.set("target", _id(outcome.name))
        else:
            ET.SubElement(found, "raise", {"event": outcome.name})

    def state(self, parent: ET.Element, item: StateDef | RegionDef) -> None:
        """A state with everything below it; recursion is bounded by the nesting that the parser allows."""
        if isinstance(item, StateDef) and item.history is not None:
            found = ET.SubElement(parent, "history", {"id": _id(item.path), "type": item.history})
            self.transitions(found, item.path)
            if not len(found):
                siblings = self._siblings(item.path)
                first = next((state.path for state in siblings if state.is_initial), siblings[0].path)
                ET.SubElement(found, "transition", {"target": _id(first)})
            return
        is_parallel = isinstance(item, StateDef) and item.parallel is not None
        is_final = isinstance(item, StateDef) and item.is_final
        found = ET.SubElement(
            parent, "parallel" if is_parallel else "final" if is_final else "state", {"id": _id(item.path)}
        )
        self.initial(found, item.states)
        if isinstance(item, StateDef):
            self.details(found, item)
        below: Iterable[StateDef | RegionDef] = item.states
        if isinstance(item, StateDef) and item.parallel is not None:
            below = item.parallel.regions
        for child in below:
            self.state(found, child)

    def _siblings(self, path: str) -> list[StateDef]:
        holder = self.machine.find(path.rpartition(".")[0]) if "." in path else self.machine
        assert holder is not None
        return [state for state in holder.states if state.history is None]

    def details(self, element: ET.Element, item: StateDef) -> None:
        if item.description:
            element.set("orca:description", item.description)
        if item.ignore:
            element.set("orca:ignore", " ".join(item.ignore))
        if item.parallel is not None and item.parallel.sync != "all-final":
            element.set("orca:sync", item.parallel.sync)
        entry = ET.SubElement(element, "onentry") if item.on_entry or item.timeout else None
        if entry is not None and item.on_entry is not None:
            self.action(entry, item.on_entry)
        leave = ET.SubElement(element, "onexit") if item.on_exit or item.timeout else None
        if leave is not None and item.on_exit is not None:
            self.action(leave, item.on_exit)
        self.transitions(element, item.path)
        if item.timeout is not None and entry is not None and leave is not None:
            name = f"timeout.{_id(item.path)}"
            ET.SubElement(entry, "send", {"event": name, "id": name, "delay": f"{item.timeout.delay_ms}ms"})
            ET.SubElement(leave, "cancel", {"sendid": name})
            ET.SubElement(element, "transition", {"event": name, "target": _id(item.timeout.target)})
        self.outcomes(element, item)

    def outcomes(self, element: ET.Element, item: StateDef) -> None:
        child = f"invoke.{_id(item.path)}"
        if item.invoke is not None:
            self.invoke(element, item.invoke, child)
        if item.on_done is not None:
            self.outcome(
                element,
                f"done.invoke.{child}" if item.invoke else f"done.state.{_id(item.path)}",
                item.on_done,
            )
        if item.on_error is not None:
            self.outcome(element, "error", item.on_error)

    def invoke(self, element: ET.Element, call: InvokeDef, name: str) -> None:
        """An invoked machine; what SCXML has no attribute for, and values as they were written, stand beside."""
        found = ET.SubElement(
            element,
            "invoke",
            {"id": name, "type": "scxml", "src": f"{call.machine}.scxml", "orca:machine": call.machine},
        )
        for key, text in (
            ("shots", str(call.shots) if call.shots is not None else ""),
            ("returns", " ".join(f"{field}={value}" for field, value in call.returns)),
            ("failures", " ".join(call.failures)),
        ):
            if text:
                found.set(f"orca:{key}", text)
        for field, value in call.input:
            written = {"expr": javascript(value, self.context, "_event.data"), "orca:expr": guard_text(value)}
            ET.SubElement(found, "param", {"name": field, **written})


def to_scxml(machine: MachineDef) -> str:
    """A machine as an SCXML document; the ids of states are their paths, with dashes for dots."""
    root = _Writer(machine).document()
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
