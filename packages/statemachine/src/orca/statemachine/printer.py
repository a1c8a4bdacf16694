"""Definitions as canonical text in either notation: ``parse(print(m)) == m``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orca.statemachine._print_text import (
    cell_text,
    domain_text,
    expression_text,
    guard_text,
    invoke_text,
    output_text,
    quote,
    signature_text,
    value_text,
)
from orca.statemachine._scope import StateIndex
from orca.statemachine._values import format_duration
from orca.statemachine.model import (
    Document,
    Invariant,
    Live,
    MachineDef,
    OutcomeRef,
    PassesThrough,
    PropertyDef,
    RegionDef,
    Responds,
    StateDef,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orca.statemachine.model import ContextField, EffectDef, ReturnDef, Transition
    from orca.statemachine.span import Span
    from orca.statemachine.tables import DecisionTableDef

__all__ = [
    "DEFAULT_VERSION",
    "Line",
    "References",
    "annotation_text",
    "brace_lines",
    "bullets",
    "print_brace",
    "property_text",
    "return_text",
]

DEFAULT_VERSION: Final = "0.1.0"
_INDENT: Final = "    "


@dataclass(frozen=True, slots=True)
class Line:
    """A line of output and the place in the source that it comes from, if it comes from one."""

    text: str
    level: int = 0
    anchor: int | None = None

    def __str__(self) -> str:
        return f"{_INDENT * self.level}{self.text}" if self.text else ""


class References:
    """The shortest texts that refer to the states of a machine."""

    def __init__(self, machine: MachineDef) -> None:
        self._index = StateIndex()
        pending: list[tuple[StateDef | RegionDef, str]] = [
            (state, state.name) for state in reversed(machine.states)
        ]
        while pending:
            node, short = pending.pop()
            if isinstance(node, StateDef):
                self._index.add(node.path, short)
                if node.parallel is not None:
                    pending.extend((region, short) for region in reversed(node.parallel.regions))
            pending.extend((state, f"{short}.{state.name}") for state in reversed(node.states))
        self._events = {*machine.events, *(row.event for row in machine.transitions)}

    def state(self, path: str) -> str:
        """A reference to a state."""
        return self._index.shortest(path)

    def outcome(self, outcome: OutcomeRef) -> str:
        """What stands behind ``on_done`` or ``on_error``; a state must not be taken for an event."""
        if outcome.kind == "event":
            return outcome.name
        short = self._index.shortest(outcome.name)
        return outcome.name if short in self._events else short


def print_brace(document: Document | MachineDef) -> str:
    """A document or a machine in the brace notation.

    Example:
        >>> print(print_brace(MachineDef("Lamp", states=(StateDef("off", "off", is_initial=True),))), end="")
        machine Lamp
        <BLANKLINE>
        state off [initial]
    """
    if isinstance(document, MachineDef):
        document = Document((document,), document.tables)
    return "".join(f"{line}\n" for line in brace_lines(document))


def brace_lines(document: Document) -> Iterator[Line]:
    """The lines of a document in the brace notation."""
    first = True
    units: list[MachineDef | DecisionTableDef] = [*document.machines, *document.tables]
    for unit in units:
        if not first:
            yield Line("")
            yield Line("")
        first = False
        yield from _machine(unit) if isinstance(unit, MachineDef) else _table(unit)


def _at(span: Span | None) -> int | None:
    return span.start if span is not None else None


def _machine(machine: MachineDef) -> Iterator[Line]:
    refs = References(machine)
    yield Line(f"machine {machine.name}", anchor=_at(machine.span))
    if machine.version != DEFAULT_VERSION:
        yield Line("")
        yield Line(f"version: {quote(machine.version)}")
    yield from _section("context", (_field(item) for item in machine.fields))
    yield from _section("events", (Line(item.name, 1, _at(item.span)) for item in machine.event_defs))
    for state in machine.states:
        yield Line("")
        yield from _state(state, refs, 0)
    yield from _section(
        "guards",
        (
            Line(f"{item.name}: {expression_text(item.expression)}", 1, _at(item.span))
            for item in machine.guard_defs
        ),
    )
    yield from _section("transitions", (_transition(row, refs) for row in machine.transitions))
    yield from _section(
        "actions",
        (Line(f"{item.name}: {signature_text(item)}", 1, _at(item.span)) for item in machine.actions),
    )
    yield from _section("effects", (Line(_effect(item), 1, _at(item.span)) for item in machine.effects))
    yield from _section("returns", (Line(return_text(item), 1, _at(item.span)) for item in machine.returns))
    yield from _section(
        "properties", (Line(property_text(item, refs), 1, _at(item.span)) for item in machine.properties)
    )


def _section(keyword: str, rows: Iterable[Line]) -> Iterator[Line]:
    kept = list(rows)
    if kept:
        yield Line("")
        yield Line(f"{keyword} {{", anchor=None)
        yield from kept
        yield Line("}")


def _effect(item: EffectDef) -> str:
    if item.input is None and item.output is None:
        return item.name
    return f"{item.name}: {item.input or '_'} -> {item.output or '_'}"


def _field(item: ContextField) -> Line:
    default = f" = {value_text(item.default)}" if item.has_default else ""
    return Line(f"{item.name}: {item.type}{default}", 1, _at(item.span))


def _transition(row: Transition, refs: References) -> Line:
    source = "*" if row.source == "*" else refs.state(row.source)
    event = f" + {row.event}" if row.event is not None else ""
    guard = f" [{guard_text(row.guard)}]" if row.guard is not None else ""
    target = refs.state(row.target) if row.target is not None else "_"
    action = f" : {row.action}" if row.action is not None else ""
    return Line(f"{source}{event}{guard} -> {target}{action}", 1, _at(row.span))


def annotation_text(state: StateDef) -> str:
    """The annotations of a state, in their order, with a space before."""
    words: list[str] = []
    if state.is_initial:
        words.append("initial")
    if state.is_final:
        words.append("final")
    if state.parallel is not None:
        words.append("parallel")
        if state.parallel.sync != "all-final":
            words.append(f"sync: {state.parallel.sync}")
    if state.history is not None:
        words.append("history" if state.history == "shallow" else "history: deep")
    return f" [{', '.join(words)}]" if words else ""


def bullets(state: StateDef, refs: References) -> Iterator[str]:
    """What a state says about itself, its description apart."""
    if state.on_entry is not None:
        yield f"on_entry: {state.on_entry}"
    if state.on_exit is not None:
        yield f"on_exit: {state.on_exit}"
    if state.timeout is not None:
        yield f"timeout: {format_duration(state.timeout.delay_ms)} -> {refs.state(state.timeout.target)}"
    if state.invoke is not None:
        yield f"invoke: {invoke_text(state.invoke)}"
    if state.on_done is not None:
        yield f"on_done: {refs.outcome(state.on_done)}"
    if state.on_error is not None:
        yield f"on_error: {refs.outcome(state.on_error)}"
    if state.ignore:
        yield f"ignore: {'*' if '*' in state.ignore else ', '.join(state.ignore)}"


def _state(state: StateDef, refs: References, level: int) -> Iterator[Line]:
    head = f"state {state.name}{annotation_text(state)}"
    anchor = _at(state.span)
    body = list(_body(state, refs, level + 1))
    if not body:
        description = f" {quote(state.description)}" if state.description is not None else ""
        yield Line(f"{head}{description}", level, anchor)
        return
    yield Line(f"{head} {{", level, anchor)
    if state.description is not None:
        yield Line(f"description: {quote(state.description)}", level + 1)
    yield from body
    yield Line("}", level)


def _body(state: StateDef, refs: References, level: int) -> Iterator[Line]:
    for bullet in bullets(state, refs):
        yield Line(bullet, level)
    for child in state.states:
        yield Line("")
        yield from _state(child, refs, level)
    if state.parallel is not None:
        yield Line("")
        yield Line("parallel {", level)
        for region in state.parallel.regions:
            yield Line(f"region {region.name} {{", level + 1, _at(region.span))
            for child in region.states:
                yield from _state(child, refs, level + 2)
            yield Line("}", level + 1)
        yield Line("}", level)


def return_text(item: ReturnDef) -> str:
    """A row of ``returns``."""
    statistics = f" ({', '.join(item.statistics)})" if item.statistics else ""
    return f"{item.name}: {item.type}{statistics}"


def property_text(item: PropertyDef, refs: References, *, code: str = "") -> str:
    """A property; ``code`` is put around expressions."""
    if isinstance(item, Live):
        return "live"
    if isinstance(item, PassesThrough):
        return f"passes_through: {refs.state(item.via)} for {refs.state(item.source)} -> {refs.state(item.target)}"
    if isinstance(item, Invariant):
        place = f" in {refs.state(item.state)}" if item.state is not None else ""
        return f"invariant: {code}{expression_text(item.expression)}{code}{place}"
    target, source = refs.state(item.target), refs.state(item.source)
    if isinstance(item, Responds):
        return f"responds: {target} from {source} within {item.within}"
    return f"{'unreachable' if isinstance(item, Unreachable) else 'reachable'}: {target} from {source}"


def _table(table: DecisionTableDef) -> Iterator[Line]:
    yield Line(f"decision_table {table.name}", anchor=_at(table.span))
    if table.policy != "first-match":
        yield Line("")
        yield Line(f"policy: {table.policy}")
    conditions: list[Line] = []
    for item in table.conditions:
        domain = domain_text(item)
        text = f"{item.name}: {item.type}" + (f" {quote(domain)}" if domain else "")
        conditions.append(Line(text, 1, _at(item.span)))
    outputs: list[Line] = []
    for output in table.outputs:
        values = ", ".join(output_text(output, value) for value in output.values)
        text = f"{output.name}: {output.type}" + (f" {quote(values)}" if values else "")
        text += f" described {quote(output.description)}" if output.description else ""
        outputs.append(Line(text, 1, _at(output.span)))
    rules: list[Line] = []
    for rule in table.rules:
        cells = ", ".join(quote(cell_text(cell)) for cell in rule.cells)
        results = ", ".join(
            quote(output_text(output, value))
            for output, value in zip(table.outputs, rule.outputs, strict=True)
        )
        rules.append(Line(f"{cells} -> {results}", 1, _at(rule.span)))
    yield from _section("conditions", conditions)
    yield from _section("outputs", outputs)
    yield from _section("rules", rules)
