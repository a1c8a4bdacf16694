"""From raw syntax to a definition: references become paths, and whatever does not fit is reported.

The result is complete even when there are errors, with what could not be resolved left out, so that one run
reports everything; only a definition without errors may be used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orca.statemachine._expressions import ExpressionResolver, check_cycles
from orca.statemachine._resolve_states import StateResolver
from orca.statemachine._scope import StateIndex, nearest
from orca.statemachine._values import MAX_VALUE_DEPTH, BadValue, fit, infer, type_depth, value_depth
from orca.statemachine.diagnostics import Edit
from orca.statemachine.model import (
    ActionSignature,
    ContextField,
    EffectDef,
    EventDef,
    GuardDef,
    Invariant,
    Live,
    MachineDef,
    PassesThrough,
    PropertyDef,
    Reachable,
    Responds,
    ReturnDef,
    Transition,
    TypeRef,
    Unreachable,
)
from orca.statemachine.syntax import Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orca.statemachine._report import Report
    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.span import Span
    from orca.statemachine.syntax import RawDefault, RawMachine, RawProperty, RawTransition
    from orca.statemachine.tables import DecisionTableDef

__all__ = ["resolve_machine"]

STATISTICS: Final = ("expectation", "histogram", "variance")

_T = TypeVar("_T")


def resolve_machine(
    raw: RawMachine, report: Report, *, machines: frozenset[str], tables: tuple[DecisionTableDef, ...]
) -> MachineDef:
    """Resolve one machine.

    Args:
        raw: What the parser found.
        report: Where findings go.
        machines: The names of all machines of the document.
        tables: The decision tables of the document, which actions may name.
    """
    return _Resolver(raw, report, machines, tables).run()


class _Resolver:
    def __init__(
        self,
        raw: RawMachine,
        report: Report,
        machines: frozenset[str],
        tables: tuple[DecisionTableDef, ...],
    ) -> None:
        self.raw = raw
        self.report = report
        self.machines = machines
        self.tables = tables
        self.fields: dict[str, ContextField] = {}
        self.events: dict[str, EventDef] = {}
        self.used_events: dict[str, None] = {}
        self.actions: dict[str, ActionSignature] = {}
        self.index = StateIndex()

    def run(self) -> MachineDef:
        raw, report = self.raw, self.report
        self.fields = self._fields()
        self.events = self._unique("EVENT", raw.events, lambda name: EventDef(name.text, span=name.span))
        self.actions = self._unique("ACTION", raw.actions, self._action, key=lambda row: row[0])
        effects = self._effects()
        guard_rows = self._unique("GUARD", raw.guards, lambda row: row, key=lambda row: row[0])
        expressions = ExpressionResolver(self.fields, guard_rows, report)
        guards = tuple(
            GuardDef(name.text, expressions.condition(tree), span=name.span)
            for name, tree in guard_rows.values()
        )
        guards = check_cycles(guards, report)
        states = StateResolver(raw, report, self.index)
        rows = states.collect()
        self.used_events = dict.fromkeys(row.event.text for _, row in rows if row.event is not None)
        transitions = [self._transition(source, row, expressions) for source, row in rows]
        properties = [self._property(row, expressions) for row in raw.properties]
        tree = states.build(self, expressions)
        return MachineDef(
            raw.name.text,
            raw.version.text if raw.version is not None else "0.1.0",
            tuple(self.fields.values()),
            tuple(self.events.values()),
            tree,
            tuple(item for item in transitions if item is not None),
            guards,
            tuple(self.actions.values()),
            effects,
            self._returns(),
            tuple(item for item in properties if item is not None),
            self.tables,
            span=raw.name.span,
        )

    # ---- declarations ----

    def _unique(
        self,
        kind: str,
        rows: Iterable[Any],
        make: Callable[[Any], _T],
        *,
        key: Callable[[Any], Name] = lambda row: row,
    ) -> dict[str, _T]:
        """Rows by name; a name that was there before is reported and its row left out."""
        found: dict[str, _T] = {}
        for row in rows:
            name = key(row)
            if name.text in found:
                self.report.add(
                    f"DUPLICATE_{kind}", f"{kind.lower()} `{name.text}` is declared twice", name.span
                )
            else:
                found[name.text] = make(row)
        return found

    def _fields(self) -> dict[str, ContextField]:
        return self._unique("FIELD", self.raw.fields, self._field, key=lambda row: row.name)

    def _field(self, row: Any) -> ContextField:
        name, kind, default = row.name, self._bounded(row.type, row.name), row.default
        if default is not None and value_depth(default.value) > MAX_VALUE_DEPTH:
            message = f"the default is nested deeper than {MAX_VALUE_DEPTH} levels"
            self.report.add("LIMIT_EXCEEDED", message, name.span)
            default = None
        if default is None:
            return ContextField(name.text, kind or infer(None), span=name.span)
        if kind is None:
            return ContextField(
                name.text, infer(default.value), default.value, has_default=True, span=name.span
            )
        try:
            value = fit(kind, default)
        except BadValue as error:
            self._bad_default(str(error), kind, default)
            value = None
        return ContextField(name.text, kind, value, has_default=True, span=name.span)

    def _bounded(self, kind: TypeRef | None, name: Name) -> TypeRef | None:
        if kind is not None and type_depth(kind) > MAX_VALUE_DEPTH:
            message = f"the type is nested deeper than {MAX_VALUE_DEPTH} levels"
            self.report.add("LIMIT_EXCEEDED", message, name.span)
            return None
        return kind

    def _bad_default(self, message: str, kind: Any, default: RawDefault) -> None:
        edits: tuple[Edit, ...] = ()
        suggestion = ""
        if default.value is None and kind.span is not None:
            suggestion = f"make it `{kind}?`"
            # The span of a type is its name: only there does the mark go right behind.
            if self.report.source.text[kind.span.start : kind.span.end] == str(kind):
                edits = (Edit(kind.span.end, kind.span.end, "?"),)
        self.report.add("BAD_DEFAULT", message, default.span, suggestion=suggestion, edits=edits)

    def _action(self, row: tuple[Name, ActionSignature]) -> ActionSignature:
        name, signature = row
        for kind in (signature.return_type, *(item.type for item in signature.parameters)):
            self._bounded(kind, name)
        return replace(signature, name=name.text, span=name.span)

    def _effects(self) -> tuple[EffectDef, ...]:
        found: dict[str, EffectDef] = {}
        for effect in self.raw.effects:
            if effect.name in found:
                self.report.add("DUPLICATE_EFFECT", f"effect `{effect.name}` is declared twice", effect.span)
            found.setdefault(effect.name, effect)
            if effect.span is not None:
                place = Name(effect.name, effect.span)
                self._bounded(effect.input, place)
                self._bounded(effect.output, place)
        for name, signature in self.raw.actions:
            kind = signature.effect_type
            if found and kind is not None and kind not in found:
                span = signature.span or name.span
                self.report.replace(
                    "UNKNOWN_EFFECT", f"effect `{kind}` is not declared", span, nearest(kind, found)
                )
        return tuple(found.values())

    def _returns(self) -> tuple[ReturnDef, ...]:
        found: list[ReturnDef] = []
        for row, statistics in self.raw.returns:
            base = row.name.partition("[")[0]
            if base == row.name and base not in self.fields and row.span is not None:
                message = f"the context has no field `{base}` to return"
                self.report.replace("UNKNOWN_FIELD", message, row.span, nearest(base, self.fields))
            for name in statistics:
                if name.text not in STATISTICS:
                    message = f"`{name.text}` is not one of {', '.join(STATISTICS)}"
                    self.report.replace("SYNTAX", message, name.span, nearest(name.text, STATISTICS))
            if row.span is not None:
                self._bounded(row.type, Name(row.name, row.span))
            found.append(row)
        return tuple(found)

    # ---- references ----

    def state(self, name: Name, what: str, *, prefix: str = "") -> str | None:
        """The path of a state that is referred to, or None after reporting why there is none."""
        found = self.index.find(name.text)
        if len(found) == 1:
            return found[0]
        if found:
            candidates = ", ".join(f"`{path}`" for path in found[:5])
            code = f"{prefix}AMBIGUOUS_STATE"
            self.report.add(code, f"{what} `{name.text}` may mean {candidates}", name.span)
            return None
        code = "PROPERTY_INVALID_STATE" if prefix else "UNKNOWN_STATE"
        known = nearest(name.text, self.index.names())
        self.report.replace(code, f"{what} `{name.text}` is not a state", name.span, known)
        return None

    def action(self, name: Name | None) -> str | None:
        """The name of an action that is referred to; ``_`` stands for none."""
        if name is None or name.text in {"_", ""}:
            return None
        if self.actions and name.text not in self.actions:
            known = nearest(name.text, self.actions)
            self.report.replace("UNKNOWN_ACTION", f"action `{name.text}` is not declared", name.span, known)
        return name.text

    def event(self, name: Name) -> str:
        """The name of an event that is referred to."""
        if self.events and name.text not in self.events:
            known = nearest(name.text, self.events)
            self.report.replace("UNKNOWN_EVENT", f"event `{name.text}` is not declared", name.span, known)
        return name.text

    def is_event(self, name: str) -> bool:
        """Whether a name is an event: a declared one, or one that is used when none is declared."""
        return name in (self.events or self.used_events)

    def outcomes(self) -> Iterable[str]:
        """Every name that `on_done` and `on_error` may have, for suggestions."""
        yield from self.index.names()
        yield from self.events or self.used_events

    def _transition(
        self, source: str | None, row: RawTransition, expressions: ExpressionResolver
    ) -> Transition | None:
        path = source
        if path is None:
            path = "*" if row.source.text == "*" else self.state(row.source, "transition source")
        event = None if row.event is None or row.event.text in {"_", ""} else self.event(row.event)
        guard = expressions.condition(row.guard) if row.guard is not None else None
        action = self.action(row.action)
        target: str | None = None
        if row.target is not None and row.target.text not in {"_", ""}:
            target = self.state(row.target, "transition target")
            if target is None:
                return None
        return Transition(path, event, target, guard, action, span=row.span) if path is not None else None

    # ---- properties ----

    def _property(self, row: RawProperty, expressions: ExpressionResolver) -> PropertyDef | None:
        if row.kind == "live":
            return Live(span=row.span)
        paths = [self.state(ref, "property state", prefix="PROPERTY_") for ref in row.refs]
        expression = row.expression
        if expression is not None:
            expression = expressions.condition(expression, code="PROPERTY_INVARIANT_INVALID")
        if any(path is None for path in paths):
            return None
        return _make_property(row, [path for path in paths if path is not None], expression, row.span)


def _make_property(
    row: RawProperty, paths: list[str], expression: GuardExpression | None, span: Span
) -> PropertyDef:
    if row.kind == "reachable":
        return Reachable(paths[0], paths[1], span=span)
    if row.kind == "unreachable":
        return Unreachable(paths[0], paths[1], span=span)
    if row.kind == "passes_through":
        return PassesThrough(paths[0], paths[1], paths[2], span=span)
    if row.kind == "responds":
        return Responds(paths[0], paths[1], row.within, span=span)
    assert expression is not None
    return Invariant(expression, paths[0] if paths else None, span=span)
