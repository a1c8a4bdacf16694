"""SCXML documents as machines: states, history, transitions, executable content in the language of our guards.

What is read: ``state parallel final history initial transition onentry onexit datamodel data raise assign log send
cancel invoke param donedata``. Expressions are those of guards, with ``_event.data.x`` for the payload. Whatever else a
document has is an error that names it; nothing is left out silently.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from xml.etree import ElementTree as ET

from orca.common.errors import OrcaError
from orca.statemachine.engine import ActionResult, Compiled, Delayed, Handlers, Signal, compile_plan
from orca.statemachine.expr import GuardFalse, GuardTrue, ValueRef, VariableRef
from orca.statemachine.guards import compile_value
from orca.statemachine.loading import parse_orca
from orca.statemachine.model import (
    ContextField,
    EventDef,
    InvokeDef,
    MachineDef,
    OutcomeRef,
    ParallelDef,
    RegionDef,
    StateDef,
    Transition,
    TypeRef,
    freeze,
)
from orca.statemachine.operations import Unknown
from orca.statemachine.runtime._base import adopt_engine
from orca.statemachine.runtime.machine import OrcaMachine

if TYPE_CHECKING:
    from orca.statemachine.engine import Plan
    from orca.statemachine.expr import GuardExpression

__all__ = ["ScxmlError", "ScxmlMachine", "load_scxml"]

log = logging.getLogger(__name__)

TEXT_MAX: Final = 16_000_000
"""Characters of a document: no chart is longer, and no accident fills the memory."""
_DELAY: Final = re.compile(r"(\d*\.?\d+)(ms|s)")
_NAMESPACE: Final = re.compile(r"^\{[^}]*\}")

Block = Callable[[dict[str, object], Mapping[str, object]], ActionResult]


ORCA: Final = "{urn:orca:statemachine:1}"
"""The namespace in which a document that was written from a machine keeps what it was written from: guards and
inputs of invoked machines in our own language, and what SCXML has no attribute for."""


class ScxmlError(OrcaError, ValueError):
    """The document is not XML, not a chart, or has something that is not read here."""

    code = "SCXML"


@dataclass(frozen=True, slots=True)
class ScxmlMachine:
    """An imported chart.

    Attributes:
        definition: The machine.
        actions: Its executable content, as actions by name.
        done_data: Makers of done payloads, by path of the final state.
    """

    definition: MachineDef
    actions: Mapping[str, Block]
    done_data: Mapping[str, Callable[[Mapping[str, object]], Mapping[str, object]]]

    def plan(self) -> Plan:
        """The plan, for `orca.statemachine.engine.step`."""
        return compile_plan(self.definition, done_data=self.done_data)

    def handlers(self) -> Handlers:
        """The executable content, for `step`."""
        return Handlers(actions=cast("Mapping[str, Any]", self.actions))

    def machine(self, **options: Any) -> OrcaMachine:
        """A machine that runs the chart; ``options`` are those of `OrcaMachine`."""
        adopt_engine(self.definition, Compiled(self.plan()))
        made = OrcaMachine(self.definition, **options)
        for name, action in self.actions.items():
            made.register_action(name, action)
        return made


def load_scxml(text: str) -> ScxmlMachine:
    """Read a document.

    Raises:
        ScxmlError: See there; the message names the element.
        ParseError: An expression is not one of the language of guards.

    Example:
        >>> chart = load_scxml('''<scxml xmlns="http://www.w3.org/2005/07/scxml" initial="off">
        ...   <state id="off"><transition event="press" target="on"/></state><state id="on"/></scxml>''')
        >>> [state.name for state in chart.definition.states]
        ['off', 'on']
    """
    if len(text) > TEXT_MAX or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ScxmlError("a document type, an entity or more than 16 million characters are not read")
    try:
        root = ET.fromstring(text)  # noqa: S314 - document types and entities were refused above
    except ET.ParseError as error:
        raise ScxmlError(f"not XML: {error}") from error
    if _tag(root) != "scxml":
        raise ScxmlError(f"the outermost element is <{_tag(root)}>, not <scxml>")
    return _Reader(root).read()


def _tag(element: ET.Element) -> str:
    return _NAMESPACE.sub("", element.tag)


@dataclass(slots=True)
class _Reader:
    root: ET.Element
    paths: dict[str, str] = field(default_factory=dict[str, str])
    ids: dict[ET.Element, str] = field(default_factory=dict[ET.Element, str])
    fields: dict[str, object] = field(default_factory=dict[str, object])
    rows: list[Transition] = field(default_factory=list[Transition])
    actions: dict[str, Block] = field(default_factory=dict[str, Block])
    done_data: dict[str, Callable[[Mapping[str, object]], Mapping[str, object]]] = field(
        default_factory=dict[str, Callable[[Mapping[str, object]], Mapping[str, object]]]
    )
    known: set[str] = field(default_factory=set[str])

    def read(self) -> ScxmlMachine:
        for element in self.root.iter():
            if _tag(element) == "data":
                self.fields[element.get("id", "")] = self._literal(element.get("expr", "null"), element)
        self._name(self.root, "")
        self._collect_events()
        states = self._children(self.root)
        definition = MachineDef(
            self.root.get("name") or "Scxml",
            fields=tuple(
                ContextField(name, TypeRef("any"), freeze(value), True) for name, value in self.fields.items()
            ),
            event_defs=tuple(EventDef(name) for name in sorted(self.known)),
            states=tuple(self._state(s, outermost=True) for s in states),
            transitions=tuple(self.rows),
        )
        return ScxmlMachine(definition, self.actions, self.done_data)

    # ---- names

    def _children(self, element: ET.Element) -> list[ET.Element]:
        return [e for e in element if _tag(e) in {"state", "parallel", "final", "history"}]

    def _name(self, element: ET.Element, parent: str) -> None:
        for child in self._children(element):
            given = child.get("id") or f"state{len(self.ids) + 1}"
            name = given.replace(".", "_")
            self.ids[child] = given
            if given in self.paths:
                raise ScxmlError(f"two states have the id {given!r}")
            self.paths[given] = f"{parent}.{name}" if parent else name
            self._name(child, self.paths[given])

    def _path(self, name: str, element: ET.Element) -> str:
        if name not in self.paths:
            raise ScxmlError(f"<{_tag(element)}> names {name!r}, which is not the id of one state")
        return self.paths[name]

    def _collect_events(self) -> None:
        for element in self.root.iter():
            tag = _tag(element)
            if tag == "transition":
                tokens = (element.get("event") or "").split()
                self.known.update(t.removesuffix(".*") for t in tokens if t != "*")
            elif tag in {"raise", "send"} and element.get("event"):
                self.known.add(str(element.get("event")))
            elif tag in {"state", "parallel"} and element in self.ids:
                self.known.add(f"done.state.{self.ids[element]}")
            elif tag == "invoke":
                self.known.add(f"done.invoke.{element.get('id', '')}")
        self.known.add("error.execution")

    def _events(self, element: ET.Element) -> list[str | None]:
        tokens = (element.get("event") or "").split()
        if not tokens:
            return [None]
        found: dict[str, None] = {}
        for token in tokens:
            stem = token.removesuffix(".*")
            found.update(dict.fromkeys(n for n in sorted(self.known) if token == "*" or n == stem))  # noqa: S105
            found.update(dict.fromkeys(n for n in sorted(self.known) if n.startswith(f"{stem}.")))
        return list(found)

    # ---- states

    def _state(
        self, element: ET.Element, *, initial: bool | None = None, outermost: bool = False
    ) -> StateDef:
        tag, given = _tag(element), self.ids[element]
        path = self.paths[given]
        if initial is None:
            initial = self.root.get("initial") == given if outermost else False
        state = StateDef(path.rpartition(".")[2], path, is_initial=initial, is_final=tag == "final")
        if tag == "history":
            kind = cast("Literal['shallow', 'deep']", element.get("type") or "shallow")
            self._transitions(element, path)
            return StateDef(state.name, path, history=kind)
        self._check(element)
        self._transitions(element, path)
        if tag == "final":
            self._donedata(element, path)
        nested = self._children(element)
        parallel = tag == "parallel"
        done = f"done.state.{given}" if nested else ""
        invoke, invoke_done = self._invoke(element)
        done = done if self._is_awaited(done) else invoke_done
        return StateDef(
            state.name,
            path,
            is_initial=initial,
            is_final=tag == "final",
            on_entry=self._block(element, "onentry", path),
            on_exit=self._block(element, "onexit", path),
            on_done=OutcomeRef("event", done) if done else None,
            on_error=OutcomeRef("event", "error.execution")
            if outermost and self._is_awaited("error.execution")
            else None,
            invoke=invoke,
            states=tuple(self._below(element, nested))
            if not parallel
            else tuple(self._state(e) for e in nested if _tag(e) == "history"),
            parallel=ParallelDef(tuple(self._region(e) for e in nested if _tag(e) != "history"))
            if parallel
            else None,
        )

    def _is_awaited(self, event: str) -> bool:
        return any(row.event == event for row in self._all_rows()) if event else False

    def _all_rows(self) -> list[Transition]:
        found: list[Transition] = []
        for element in self.root.iter():
            if _tag(element) == "transition":
                found += [Transition("", event, None) for event in self._events(element)]
        return found

    def _below(self, element: ET.Element, nested: list[ET.Element]) -> list[StateDef]:
        wanted = element.get("initial")
        for inner in element:
            if _tag(inner) == "initial":
                transition = next((t for t in inner if _tag(t) == "transition"), None)
                if transition is None or len(transition):
                    raise ScxmlError(
                        f"<initial> of {self.ids[element]!r} needs one transition without content"
                    )
                wanted = transition.get("target")
        if wanted is not None and wanted not in [self.ids[child] for child in nested]:
            raise ScxmlError(f"initial {wanted!r} of {self.ids[element]!r} is not one of its own children")
        return [self._state(child, initial=self.ids[child] == wanted) for child in nested]

    def _region(self, element: ET.Element) -> RegionDef:
        path, nested = self.paths[self.ids[element]], self._children(element)
        invokes = any(_tag(child) == "invoke" for child in element)
        if (
            _tag(element) != "state"
            or not nested
            or invokes
            or self._is_awaited(f"done.state.{self.ids[element]}")
        ):
            raise ScxmlError(
                f"child {self.ids[element]!r} of a <parallel> has to be a <state> with states, "
                "without <invoke>, whose own done event nobody awaits"
            )
        self._check(element)
        self._transitions(element, path)
        return RegionDef(
            path.rpartition(".")[2],
            path,
            tuple(self._below(element, nested)),
            self._block(element, "onentry", path),
            self._block(element, "onexit", path),
        )

    def _check(self, element: ET.Element) -> None:
        known = {"state", "parallel", "final", "history", "initial", "transition", "onentry", "onexit", "datamodel",
                 "invoke", "donedata"}  # fmt: skip
        for child in element:
            if _tag(child) not in known:
                raise ScxmlError(f"<{_tag(child)}> in {self.ids[element]!r} is not read here")

    def _transitions(self, element: ET.Element, path: str) -> None:
        for number, transition in enumerate(e for e in element if _tag(e) == "transition"):
            target = transition.get("target")
            if target is not None and len(target.split()) > 1:
                raise ScxmlError(
                    f"a transition of {self.ids[element]!r} has several targets, which is not read here"
                )
            cond = transition.get(f"{ORCA}cond") or transition.get("cond")
            for event in self._events(transition):
                self.rows.append(
                    Transition(
                        path,
                        event,
                        None if target is None else self._path(target, transition),
                        None if cond is None else self._expression(cond),
                        self._content(list(transition), f"{path}/transition{number}"),
                        internal=transition.get("type") == "internal",
                    )
                )

    def _invoke(self, element: ET.Element) -> tuple[InvokeDef | None, str]:
        found = [child for child in element if _tag(child) == "invoke"]
        if not found:
            return None, ""
        if len(found) > 1 or not found[0].get("src"):
            raise ScxmlError(
                f"state {self.ids[element]!r} needs one <invoke> with the name of a machine as src"
            )
        call = found[0]
        given: list[tuple[str, VariableRef | ValueRef]] = []
        for param in call:
            source = param.get(f"{ORCA}expr") or param.get("expr") or param.get("location") or ""
            given.append((param.get("name", ""), self._input(source, param)))
        done = f"done.invoke.{call.get('id', '')}"
        made = InvokeDef(
            call.get(f"{ORCA}machine") or str(call.get("src")),
            tuple(given),
            shots=int(shots) if (shots := call.get(f"{ORCA}shots", "")).isdigit() else None,
            returns=tuple(
                (name, value)
                for name, _, value in (w.partition("=") for w in call.get(f"{ORCA}returns", "").split())
            ),
            failures=tuple(call.get(f"{ORCA}failures", "").split()),
        )
        return made, done if self._is_awaited(done) else ""

    def _input(self, text: str, param: ET.Element) -> VariableRef | ValueRef:
        found = self._expression(text)
        if isinstance(found, GuardTrue | GuardFalse):
            return ValueRef("boolean", isinstance(found, GuardTrue))
        if not isinstance(found, VariableRef | ValueRef):
            raise ScxmlError(
                f"<param name={param.get('name')!r}> of <invoke>: {text!r} is no path and no literal"
            )
        return found

    def _donedata(self, element: ET.Element, path: str) -> None:
        for data in (child for child in element if _tag(child) == "donedata"):
            values = {
                param.get("name", ""): self._value(param.get("expr") or param.get("location") or "null")
                for param in data
            }
            self.done_data[path] = _Maker(values)

    # ---- executable content

    def _block(self, element: ET.Element, tag: str, path: str) -> str | None:
        content = [inner for child in element if _tag(child) == tag for inner in child]
        return self._content(content, f"{path}/{tag}")

    def _content(self, elements: list[ET.Element], name: str) -> str | None:
        if not elements:
            return None
        if name not in self.actions:
            steps = [self._instruction(element) for element in elements]

            def run(context: dict[str, object], payload: Mapping[str, object]) -> ActionResult:
                scratch = _Scratch(dict(context), payload)
                for step in steps:
                    step(scratch)
                return ActionResult(scratch.update, scratch.raised, scratch.delayed, scratch.cancelled)

            self.actions[name] = run
        return name

    def _instruction(self, element: ET.Element) -> Callable[[_Scratch], None]:
        tag = _tag(element)
        if tag == "raise":
            event = element.get("event", "")
            return lambda scratch: scratch.raised.append(Signal(event))
        if tag == "assign":
            where, value = element.get("location", ""), self._value(element.get("expr", "null"))
            if where not in self.fields:
                raise ScxmlError(f"<assign> to {where!r}, which <datamodel> does not declare")
            return lambda scratch: scratch.assign(where, value(scratch.context, scratch.payload))
        if tag == "log":
            label, shown = element.get("label", ""), self._value(element.get("expr", "null"))
            return lambda scratch: log.info("%s: %s", label, shown(scratch.context, scratch.payload))
        if tag == "send" and element.get("event"):
            return self._send(element)
        if tag == "cancel" and element.get("sendid"):
            send_id = str(element.get("sendid"))
            return lambda scratch: scratch.cancelled.append(send_id)
        raise ScxmlError(f"<{tag}> as executable content is not read here")

    def _send(self, element: ET.Element) -> Callable[[_Scratch], None]:
        event, send_id = str(element.get("event")), element.get("id", "")
        found = _DELAY.fullmatch(element.get("delay", "0s"))
        if found is None:
            raise ScxmlError(f"delay {element.get('delay')!r} of <send> is not a number with s or ms")
        delay_ms = round(float(found[1]) * (1 if found[2] == "ms" else 1_000))
        values = {
            p.get("name", ""): self._value(p.get("expr", "null")) for p in element if _tag(p) == "param"
        }

        def send(scratch: _Scratch) -> None:
            payload = {name: value(scratch.context, scratch.payload) for name, value in values.items()}
            scratch.delayed.append(Delayed(event, payload, delay_ms, send_id))

        return send

    # ---- expressions

    def _literal(self, text: str, element: ET.Element) -> object:
        try:
            return json.loads(text.replace("'", '"'))
        except ValueError as error:
            raise ScxmlError(
                f"<{_tag(element)} id={element.get('id')!r}>: {text!r} is not a literal"
            ) from error

    def _expression(self, text: str) -> GuardExpression:
        plain = text.replace("!==", "!=").replace("===", "==").replace("_event.data.", "event.")
        fields = ", ".join(f"{name}: any?" for name in self.fields)
        machine = parse_orca(
            f"machine Expressions\ncontext {{ {fields} }}\nstate only [initial]\nguards {{ wanted: {plain} }}\n"
        )
        return machine.guards["wanted"]

    def _value(self, text: str) -> Callable[[Mapping[str, object], object], object]:
        evaluate = compile_value(self._expression(text))

        def value(context: Mapping[str, object], payload: object) -> object:
            found = evaluate(context, payload)
            if isinstance(found, Unknown):
                raise ScxmlError(f"{text}: {found}")
            return found

        return value


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the payload of a done event."""

    values: Mapping[str, Callable[[Mapping[str, object], object], object]]

    def __call__(self, context: Mapping[str, object]) -> dict[str, object]:
        return {name: value(context, {}) for name, value in self.values.items()}


@dataclass(slots=True)
class _Scratch:
    """What one block of executable content does, as it goes along."""

    context: dict[str, object]
    payload: Mapping[str, object]
    update: dict[str, object] = field(default_factory=dict[str, object])
    raised: list[Signal] = field(default_factory=list[Signal])
    delayed: list[Delayed] = field(default_factory=list[Delayed])
    cancelled: list[str] = field(default_factory=list[str])

    def assign(self, where: str, value: object) -> None:
        self.context[where] = self.update[where] = value
