"""Machines for XState v5: the configuration as JSON values, and a JavaScript module that runs by itself.

What XState has no word for stands in ``meta`` of the state: ignored events and ``on_error`` of actions. A parallel
state that is done with ``any-final`` or by a ``custom`` rule takes its outcome on the end of each of its regions; a
custom rule is a guard that ``provide`` gives a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from orca.statemachine.expr import GuardExpression, GuardRef, ValueRef
from orca.statemachine.model import ANY_STATE, MachineDef, OutcomeRef, RegionDef, StateDef, Transition, thaw
from orca.statemachine.outputs._javascript import PRELUDE, javascript, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["to_xstate", "to_xstate_module"]

Config: TypeAlias = "dict[str, object]"


def _id(machine: MachineDef, path: str) -> str:
    return f"{machine.name}.{path}"


class _Exporter:
    def __init__(self, machine: MachineDef) -> None:
        self.machine = machine
        self.inline: dict[str, GuardExpression] = {}
        self.custom: list[str] = []
        self.rows: dict[str, list[Transition]] = {}
        for row in machine.transitions:
            self.rows.setdefault(row.source, []).append(row)

    def guard(self, expression: GuardExpression) -> str:
        """The name of a guard; an inline one gets a name of its own."""
        if isinstance(expression, GuardRef):
            return expression.name
        for name, known in self.inline.items():
            if known == expression:
                return name
        taken = {*self.machine.guards, *self.inline}
        number = len(self.inline)
        while f"inline_{number}" in taken:
            number += 1
        self.inline[f"inline_{number}"] = expression
        return f"inline_{number}"

    def target(self, path: str) -> str:
        return f"#{_id(self.machine, path)}"

    def transition(self, row: Transition) -> Config:
        found: Config = {}
        if row.target is not None:
            found["target"] = self.target(row.target)
            found["reenter"] = not self._stays_inside(row)
        if row.guard is not None:
            found["guard"] = self.guard(row.guard)
        if row.action is not None:
            found["actions"] = [row.action]
        return found

    def _stays_inside(self, row: Transition) -> bool:
        """Whether its source is not left: the whole machine never is, a compound state by an internal transition."""
        if row.source == ANY_STATE:
            return True
        source = self.machine.find(row.source)
        is_parallel = isinstance(source, StateDef) and source.parallel is not None
        return row.internal and not is_parallel and str(row.target).startswith(row.source + ".")

    def outcome(self, outcome: OutcomeRef) -> Config:
        if outcome.kind == "state":
            return {"target": self.target(outcome.name), "reenter": True}
        return {"actions": [{"type": "orca.raise", "params": {"event": outcome.name}}]}

    def rows_of(self, source: str, found: Config) -> None:
        """Add ``on`` and ``always``."""
        on: dict[str, list[Config]] = {}
        always: list[Config] = []
        for row in self.rows.get(source, ()):
            (always if row.event is None else on.setdefault(row.event, [])).append(self.transition(row))
        if on:
            found["on"] = on
        if always:
            found["always"] = always

    def state(self, item: StateDef | RegionDef) -> Config:
        """A state with everything below it; recursion is bounded by the nesting that the parser allows."""
        found: Config = {"id": _id(self.machine, item.path)}
        if isinstance(item, RegionDef):
            return found | self.children(item.states)
        if item.history is not None:
            found |= {"type": "history", "history": item.history}
            default = next((row.target for row in self.rows.get(item.path, ()) if row.event is None), None)
            return found | ({"target": self.target(default)} if default is not None else {})
        if item.parallel is not None:
            states = {region.name: self.state(region) for region in item.parallel.regions}
            found |= {"type": "parallel", "states": states}
        elif item.states:
            found |= self.children(item.states)
        elif item.is_final:
            found["type"] = "final"
        self.rows_of(item.path, found)
        return self.extras(item, found)

    def extras(self, item: StateDef, found: Config) -> Config:
        if item.description:
            found["description"] = item.description
        if item.on_entry is not None:
            found["entry"] = [item.on_entry]
        if item.on_exit is not None:
            found["exit"] = [item.on_exit]
        if item.timeout is not None:
            found["after"] = {
                str(item.timeout.delay_ms): {"target": self.target(item.timeout.target), "reenter": True}
            }
        meta: Config = {"ignore": list(item.ignore)} if item.ignore else {}
        if item.invoke is not None:
            self.invoke(item, found)
        elif item.on_error is not None:
            meta["on_error"] = {item.on_error.kind: item.on_error.name}
        if item.on_done is not None and (item.invoke is None or item.states or item.parallel is not None):
            self.done(item, item.on_done, found)
        if meta:
            found["meta"] = meta
        return found

    def done(self, item: StateDef, outcome: OutcomeRef, found: Config) -> None:
        """Where the end of the children leads; XState itself only knows parallel states that end with all."""
        if item.parallel is None or item.parallel.sync == "all-final":
            found["onDone"] = self.outcome(outcome)
            return
        end = self.outcome(outcome)
        if item.parallel.sync == "custom":
            end["guard"] = f"custom.{item.path}"
            self.custom.append(f"custom.{item.path}")
        # What a region's own `onDone` says would only leave that region.
        on = cast("dict[str, list[Config]]", found.setdefault("on", {}))
        for region in item.parallel.regions:
            on.setdefault(f"xstate.done.state.{_id(self.machine, region.path)}", []).append(end)

    def invoke(self, item: StateDef, found: Config) -> None:
        assert item.invoke is not None
        call: Config = {"src": item.invoke.machine, "id": _id(self.machine, item.path) + ".invoke"}
        if item.invoke.input:
            call["input"] = {
                name: value.value if isinstance(value, ValueRef) else {"path": list(value.path)}
                for name, value in item.invoke.input
            }
        if item.on_done is not None:
            call["onDone"] = self.outcome(item.on_done)
        if item.on_error is not None:
            call["onError"] = self.outcome(item.on_error)
        found["invoke"] = call

    def children(self, states: tuple[StateDef, ...]) -> Config:
        first = next((state.name for state in states if state.is_initial), states[0].name)
        return {"initial": first, "states": {state.name: self.state(state) for state in states}}

    def config(self) -> Config:
        found: Config = {"id": self.machine.name, "version": self.machine.version}
        found["context"] = {item.name: thaw(item.default) for item in self.machine.fields}
        found |= self.children(self.machine.states)
        self.rows_of(ANY_STATE, found)
        return found


def to_xstate(machine: MachineDef) -> Config:
    """The configuration of a machine for XState's ``createMachine``, as JSON values.

    Guards and actions are names: `to_xstate_module` gives them their meaning.
    """
    return _Exporter(machine).config()


def _actions(machine: MachineDef) -> list[str]:
    names = {row.action for row in machine.transitions}
    for item in machine.walk():
        if isinstance(item, StateDef):
            names |= {item.on_entry, item.on_exit}
    return sorted(name for name in names if name is not None)


def to_xstate_module(machine: MachineDef) -> str:
    """A JavaScript module for XState v5 that exports ``machine`` and ``config``.

    Guards mean what they mean here, null included. Actions do nothing until ``machine.provide({ actions })`` gives
    them a body; invoked machines are provided under ``actors``.
    """
    exporter = _Exporter(machine)
    config = exporter.config()
    lines = [
        'import { raise, setup } from "xstate";',
        "",
        PRELUDE,
        "",
        "const guards = {};",
        *_guards(machine, exporter),
        "",
        f"export const config = {literal(config)};",
        "",
        "export const machine = setup({",
        "  guards: {",
        *(
            f"    {literal(name)}: ({{ context, event }}) => orca.holds(guards[{literal(name)}](context, event)),"
            for name in (*machine.guards, *exporter.inline)
        ),
        *(f"    {literal(name)}: () => false," for name in exporter.custom),
        "  },",
        "  actions: {",
        *(f"    {literal(name)}: () => {{}}," for name in _actions(machine)),
        '    "orca.raise": raise((_, params) => ({ type: params.event })),',
        "  },",
        "}).createMachine(config);",
    ]
    return "\n".join(lines) + "\n"


def _guards(machine: MachineDef, exporter: _Exporter) -> Iterator[str]:
    for name, expression in (*machine.guards.items(), *exporter.inline.items()):
        yield f"guards[{literal(name)}] = (context, event) => {javascript(expression, 'context', 'event')};"
