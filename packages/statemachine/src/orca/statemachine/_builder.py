"""The grammar's callbacks: from Lark's reductions to raw syntax, one call for each rule, without recursion.

Lark runs them while it parses, so that no tree is ever built and deep nesting costs no Python frames. They keep
no state of their own; the piece that is parsed is in `FRAGMENT`.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from lark import Token, Transformer

from orca.statemachine._assemble import (
    HERE,
    Bullet,
    Contents,
    ParallelPart,
    Section,
    Trigger,
    add_to_machine,
    add_to_state,
    add_to_table,
    note,
)
from orca.statemachine._faults import inner_parse
from orca.statemachine.expr import (
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardExpression,
    GuardFalse,
    GuardIn,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    Negate,
    ValueRef,
    VariableRef,
)
from orca.statemachine.model import (
    ActionSignature,
    EffectDef,
    Parameter,
    ReturnDef,
    TypeRef,
)
from orca.statemachine.syntax import (
    FRAGMENT,
    Fragment,
    Name,
    RawColumn,
    RawDefault,
    RawField,
    RawInvoke,
    RawMachine,
    RawProperty,
    RawRegion,
    RawRule,
    RawState,
    RawTable,
    RawTimeout,
    RawTransition,
)

if TYPE_CHECKING:
    from orca.statemachine.model import FrozenValue
    from orca.statemachine.span import Span

__all__ = ["Builder", "number_value", "string_value"]

MAX_NUMBER_LENGTH: Final = 60
"""Characters in a number: more than any float or sensible integer has, and far from quadratic conversion."""

MAX_PATH_LENGTH: Final = 32
"""Names in a path: far deeper than contexts are nested, and building paths stays linear."""
MAX_REFERENCE_LENGTH: Final = 2000
"""Characters in a dotted reference to a state, for the same reason."""

_COMPARISONS: Final[dict[str, Any]] = {
    "==": "eq",
    "=": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
}
_ARITHMETIC: Final[dict[str, Any]] = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


def at(token: Token) -> Span:
    """The place of a token."""
    return FRAGMENT.get().span(cast("int", token.start_pos), cast("int", token.end_pos))


def name(token: Token) -> Name:
    """A token as a name."""
    return Name(str(token), at(token))


def number_value(token: Token) -> int | float:
    """The value of a number; one without an answer is reported and read as 0."""
    text = str(token)
    if len(text) > MAX_NUMBER_LENGTH:
        note("SYNTAX", f"a number has at most {MAX_NUMBER_LENGTH} characters", at(token))
        return 0
    if text.isdigit():
        return int(text)
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        note("SYNTAX", f"`{text}` is too large for a number", at(token))
        return 0
    return value


def string_value(token: Token) -> str:
    """The text of a quoted string, escapes resolved; an unknown escape is reported."""
    body = str(token)[1:-1]
    if "\\" not in body:
        return body
    parts: list[str] = []
    index = 0
    while index < len(body):
        character = body[index]
        if character != "\\":
            parts.append(character)
            index += 1
            continue
        escape = body[index + 1]
        digits = body[index + 2 : index + 6]
        if escape in _ESCAPES:
            parts.append(_ESCAPES[escape])
            index += 2
        elif (
            escape == "u" and len(digits) == 4 and all(digit in "0123456789abcdefABCDEF" for digit in digits)
        ):
            parts.append(chr(int(digits, 16)))
            index += 6
        else:
            note("SYNTAX", f"`\\{escape}` is not an escape; write `\\\\{escape}`", at(token))
            index += 2
    return "".join(parts)


class Builder(Transformer[Token, Any]):
    """One method for each rule of `statemachine.lark`, named after it."""

    # ---- expressions ----

    def or_e(self, parts: list[GuardExpression]) -> GuardExpression:
        return GuardOr(tuple(parts), span=_cover(parts))

    def and_e(self, parts: list[GuardExpression]) -> GuardExpression:
        return GuardAnd(tuple(parts), span=_cover(parts))

    def not_e(self, parts: list[GuardExpression]) -> GuardExpression:
        return GuardNot(parts[0], span=parts[0].span)

    def compare(self, parts: list[Any]) -> GuardExpression:
        left, sign, right = parts
        if str(sign) == "=":
            note(
                "SINGLE_EQUALS",
                "`=` compares here",
                at(cast("Token", sign)),
                suggestion="write `==`",
                replacement="==",
            )
        return GuardCompare(_COMPARISONS[str(sign)], left, right, span=_cover([left, right]))

    def is_null(self, parts: list[GuardExpression]) -> GuardExpression:
        return GuardNullcheck(parts[0], is_null=True, span=parts[0].span)

    def is_not_null(self, parts: list[GuardExpression]) -> GuardExpression:
        return GuardNullcheck(parts[0], is_null=False, span=parts[0].span)

    def member(self, parts: list[Any]) -> GuardExpression:
        return GuardIn(parts[0], tuple(parts[1:]), span=_cover(parts))

    def option(self, parts: list[GuardExpression]) -> GuardExpression:
        return parts[0]

    def binary(self, parts: list[Any]) -> GuardExpression:
        left, sign, right = parts
        return Arithmetic(_ARITHMETIC[str(sign)], left, right, span=_cover([left, right]))

    def negative(self, parts: list[Any]) -> GuardExpression:
        inner = parts[-1]
        if isinstance(inner, ValueRef) and inner.type == "number":
            return ValueRef("number", -cast("int", inner.value), span=inner.span)
        return Negate(inner, span=inner.span)

    def path(self, parts: list[Token]) -> GuardExpression:
        return VariableRef((str(parts[0]),), span=at(parts[0]))

    def longer_path(self, parts: list[Any]) -> GuardExpression:
        before: VariableRef = parts[0]
        if len(before.path) >= MAX_PATH_LENGTH:
            note("LIMIT_EXCEEDED", f"a path has at most {MAX_PATH_LENGTH} names", at(parts[1]))
            return before
        return VariableRef((*before.path, str(parts[1])), span=_cover([before, name(parts[1])]))

    def number(self, parts: list[Token]) -> ValueRef:
        return ValueRef("number", number_value(parts[0]), span=at(parts[0]))

    def string(self, parts: list[Token]) -> ValueRef:
        return ValueRef("string", string_value(parts[0]), span=at(parts[0]))

    def boolean(self, parts: list[Token]) -> ValueRef:
        return ValueRef("boolean", parts[0] == "true", span=at(parts[0]))

    def null(self, parts: list[Token]) -> ValueRef:
        return ValueRef("null", None, span=at(parts[0]))

    # ---- values ----

    def word(self, parts: list[Token]) -> RawDefault:
        return RawDefault(str(parts[0]), at(parts[0]), word=True)

    def negative_number(self, parts: list[Token]) -> ValueRef:
        return ValueRef("number", -number_value(parts[-1]), span=at(parts[-1]))

    def list_value(self, parts: list[Any]) -> RawDefault:
        items = (_plain(part) for part in parts if not isinstance(part, Token))
        return RawDefault(tuple(items), at(parts[0]).to(at(parts[-1])))

    def pair(self, parts: list[Any]) -> tuple[str, FrozenValue]:
        key = parts[0]
        return (string_value(key) if key.type == "STRING" else str(key)), _plain(parts[1])

    def map_value(self, parts: list[Any]) -> RawDefault:
        pairs: list[tuple[str, FrozenValue]] = [part for part in parts if not isinstance(part, Token)]
        return RawDefault(MappingProxyType(dict(pairs)), at(parts[0]).to(at(parts[-1])))

    # ---- types ----

    def named_type(self, parts: list[Token]) -> TypeRef:
        return TypeRef(str(parts[0]), span=at(parts[0]))

    def array_type(self, parts: list[TypeRef]) -> TypeRef:
        return TypeRef("list", (parts[0],), span=parts[0].span)

    def generic_type(self, parts: list[Any]) -> TypeRef:
        return TypeRef(str(parts[0]), tuple(parts[1:]), span=at(parts[0]))

    def optional_type(self, parts: list[TypeRef]) -> TypeRef:
        return replace(parts[0], optional=True)

    def type_member(self, parts: list[Any]) -> tuple[str, TypeRef]:
        return str(parts[0]), parts[1]

    def record_type(self, parts: list[tuple[str, TypeRef]]) -> TypeRef:
        return TypeRef("record", members=tuple(parts))

    def optional_record(self, parts: list[tuple[str, TypeRef]]) -> TypeRef:
        return replace(self.record_type(parts), optional=True)

    # ---- the rows of sections ----

    def typed_field(self, parts: list[Any]) -> RawField:
        return RawField(name(parts[0]), parts[1], _default(parts[2]) if len(parts) > 2 else None)

    def valued_field(self, parts: list[Any]) -> RawField:
        return RawField(name(parts[0]), None, _default(parts[1]))

    def event(self, parts: list[Token]) -> Name:
        return name(parts[0])

    def ref(self, parts: list[Token]) -> Name:
        return Name(".".join(parts), at(parts[0]).to(at(parts[-1])))

    def longer_ref(self, parts: list[Any]) -> Name:
        before: Name = parts[0]
        if len(before.text) > MAX_REFERENCE_LENGTH:
            note("LIMIT_EXCEEDED", f"a reference has at most {MAX_REFERENCE_LENGTH} characters", at(parts[1]))
            return before
        return Name(f"{before.text}.{parts[1]}", before.span.to(at(parts[1])))

    def any_source(self, parts: list[Token]) -> Name:
        return name(parts[0])

    def trigger(self, parts: list[Token]) -> Trigger:
        return Trigger(name(parts[0]))

    def guard(self, parts: list[GuardExpression]) -> GuardExpression:
        return parts[0]

    def transition(self, parts: list[Any]) -> RawTransition:
        source, rest = parts[0], parts[1:]
        event = rest.pop(0).event if isinstance(rest[0], Trigger) else None
        guard = rest.pop(0) if isinstance(rest[0], GuardExpression) else None
        return _transition(source, event, guard, rest, start=source.span)

    def on_clause(self, parts: list[Any]) -> RawTransition:
        event, rest = name(parts[0]), parts[1:]
        guard = rest.pop(0) if isinstance(rest[0], GuardExpression) else None
        return _transition(HERE, event, guard, rest, start=event.span)

    def guard_def(self, parts: list[Any]) -> tuple[Name, GuardExpression]:
        return name(parts[0]), parts[1]

    def param(self, parts: list[Any]) -> Parameter:
        return Parameter(str(parts[0]), parts[1] if len(parts) > 1 else None)

    def signature(self, parts: list[Any]) -> ActionSignature:
        parameters = tuple(part for part in parts if isinstance(part, Parameter))
        types = [part for part in parts if isinstance(part, TypeRef)]
        effect = str(types[1]) if len(types) > 1 else None
        return ActionSignature("", parameters, types[0], effect, span=types[-1].span)

    def action_def(self, parts: list[Any]) -> tuple[Name, ActionSignature]:
        return name(parts[0]), parts[1] if len(parts) > 1 else ActionSignature("")

    def effect_def(self, parts: list[Any]) -> EffectDef:
        types = [None if kind.name == "_" else kind for kind in parts[1:]] or [None, None]
        return EffectDef(str(parts[0]), types[0], types[1], span=at(parts[0]))

    def indexed(self, parts: list[Token]) -> Name:
        text = str(parts[0]) if len(parts) == 1 else f"{parts[0]}[{parts[1]}]"
        return Name(text, at(parts[0]))

    def statistics(self, parts: list[Token]) -> tuple[Name, ...]:
        return tuple(name(part) for part in parts)

    def return_def(self, parts: list[Any]) -> tuple[ReturnDef, tuple[Name, ...]]:
        statistics = parts[2] if len(parts) > 2 else ()
        names = tuple(item.text for item in statistics)
        return ReturnDef(parts[0].text, parts[1], names, span=parts[0].span), statistics

    def reach_property(self, parts: list[Any]) -> RawProperty:
        return RawProperty(str(parts[0]), at(parts[0]).to(parts[2].span), (parts[1], parts[2]))

    def passes_property(self, parts: list[Name]) -> RawProperty:
        return RawProperty("passes_through", parts[0].span.to(parts[2].span), tuple(parts))

    def live_property(self, parts: list[Token]) -> RawProperty:
        return RawProperty("live", at(parts[0]))

    def responds_property(self, parts: list[Any]) -> RawProperty:
        within = number_value(parts[3])
        if not isinstance(within, int):
            note("SYNTAX", "`within` takes a whole number of events", at(parts[3]))
        return RawProperty("responds", at(parts[0]).to(at(parts[3])), (parts[1], parts[2]), int(within))

    def invariant(self, parts: list[Any]) -> tuple[GuardExpression, tuple[Name, ...]]:
        return parts[0], tuple(parts[1:])

    def invariant_property(self, parts: list[Token]) -> RawProperty:
        text = parts[1]
        body = FRAGMENT.get().part(cast("int", text.start_pos), cast("int", text.end_pos))
        found = inner_parse(body.without_comma(), "invariant")
        expression, refs = found if found is not None else (GuardFalse(), ())
        return RawProperty("invariant", at(parts[0]).to(at(text)), refs, expression=expression)

    # ---- states ----

    def annotation(self, parts: list[Token]) -> tuple[str, Name, str]:
        first = parts[0]
        if first.type == "HISTORY":
            return "history", name(first), str(parts[1]) if len(parts) > 1 else "shallow"
        if first.type == "SYNC_KIND":
            return "sync", name(first), str(first).replace("_", "-")
        return str(first), name(first), ""

    def annotations(self, parts: list[tuple[str, Name, str]]) -> list[tuple[str, Name, str]]:
        return parts

    def bullet(self, parts: list[Any]) -> Bullet:
        kind, value = parts[0], parts[1]
        if kind.type == "DESCRIPTION":
            return Bullet("description", Name(string_value(value), at(value)))
        return Bullet(str(kind), value)

    def timeout(self, parts: list[Any]) -> Bullet:
        timer = RawTimeout(name(parts[1]), parts[2], at(parts[0]).to(parts[2].span))
        return Bullet("timeout", timer)

    def ignore(self, parts: list[Token]) -> Bullet:
        return Bullet("ignore", [name(part) for part in parts])

    def invoke_input(self, parts: list[Any]) -> tuple[str, Any]:
        return "input", parts[0]

    def invoke_shots(self, parts: list[Token]) -> tuple[str, Any]:
        return "shots", name(parts[0])

    def invoke_returns(self, parts: list[Any]) -> tuple[str, Any]:
        return "returns", parts[0]

    def invoke_failures(self, parts: list[Token]) -> tuple[str, Any]:
        return "failures", [name(part) for part in parts]

    def input_pair(self, parts: list[Any]) -> tuple[Name, GuardExpression]:
        value = parts[1]
        if not isinstance(value, VariableRef | ValueRef):
            note("SYNTAX", "an input is a path, a string, a number, true, false or null", value.span)
            value = ValueRef("null", None)
        return name(parts[0]), value

    def input_map(self, parts: list[Any]) -> list[Any]:
        return parts

    def returns_pair(self, parts: list[Any]) -> tuple[Name, Name]:
        value = parts[1]
        if isinstance(value, Token):
            value = Name(string_value(value), at(value))
        return name(parts[0]), value

    def returns_map(self, parts: list[Any]) -> list[Any]:
        return parts

    def invoke(self, parts: list[Any]) -> Bullet:
        machine = name(parts[0])
        found = RawInvoke(machine, machine.span)
        for kind, value in parts[1:]:
            setattr(found, kind, value)
        return Bullet("invoke", found)

    def late_returns(self, parts: list[Any]) -> Bullet:
        return Bullet("returns", parts[0])

    def contains(self, parts: list[Any]) -> Contents:
        return Contents(parts)

    def region(self, parts: list[Any]) -> RawRegion:
        return RawRegion(name(parts[0]), parts[1:])

    def parallel_sync(self, parts: list[Token]) -> str:
        return str(parts[0]).replace("_", "-")

    def parallel(self, parts: list[Any]) -> ParallelPart:
        sync = next((part for part in parts if isinstance(part, str) and not isinstance(part, Token)), None)
        return ParallelPart(name(parts[0]), sync, [part for part in parts if isinstance(part, RawRegion)])

    def state_body(self, parts: list[Any]) -> Contents:
        return Contents(parts)

    def state(self, parts: list[Any]) -> RawState:
        found = RawState(name(parts[0]), at(parts[0]))
        for part in parts[1:]:
            if isinstance(part, Token):
                found.bullets.description = Name(string_value(part), at(part))
            else:
                add_to_state(found, part)
        return found

    def state_heading(self, parts: list[Any]) -> tuple[Name, list[Any], Name | None]:
        annotations: list[Any] = []
        description: Name | None = None
        for part in parts[1:]:
            if isinstance(part, Token):
                description = Name(string_value(part), at(part))
            else:
                annotations.extend(part)
        return parts[0], annotations, description

    def region_heading(self, parts: list[Any]) -> tuple[Name, list[Any], Name | None]:
        return parts[0], [], None

    # ---- sections ----

    def version(self, parts: list[Token]) -> Section:
        token = parts[0]
        text = string_value(token) if token.type == "STRING" else str(token)
        return Section("version", [Name(text, at(token))])

    def context(self, parts: list[Any]) -> Section:
        return Section("fields", parts)

    def events(self, parts: list[Any]) -> Section:
        return Section("events", parts)

    def transitions(self, parts: list[Any]) -> Section:
        return Section("transitions", parts)

    def guards(self, parts: list[Any]) -> Section:
        return Section("guards", parts)

    def actions(self, parts: list[Any]) -> Section:
        return Section("actions", parts)

    def effects(self, parts: list[Any]) -> Section:
        return Section("effects", parts)

    def returns_section(self, parts: list[Any]) -> Section:
        return Section("returns", parts)

    def properties(self, parts: list[Any]) -> Section:
        return Section("properties", parts)

    def machine(self, parts: list[Any]) -> RawMachine:
        found = RawMachine(name(parts[0]))
        for part in parts[1:]:
            add_to_machine(found, part)
        return found

    # ---- decision tables ----

    def table_policy(self, parts: list[Token]) -> Section:
        return Section("policy", [name(parts[0])])

    def table_condition(self, parts: list[Token]) -> RawColumn:
        return RawColumn(name(parts[0]), name(parts[1]), _inside(parts[2]) if len(parts) > 2 else None)

    def table_output(self, parts: list[Any]) -> RawColumn:
        column = RawColumn(name(parts[0]), name(parts[1]))
        for part in parts[2:]:
            if isinstance(part, Token):
                column.values = _inside(part)
            else:
                column.description = part.text
        return column

    def described(self, parts: list[Token]) -> Name:
        return Name(string_value(parts[0]), at(parts[0]))

    def table_conditions(self, parts: list[Any]) -> Section:
        return Section("conditions", parts)

    def table_outputs(self, parts: list[Any]) -> Section:
        return Section("outputs", parts)

    def table_cells(self, parts: list[Token]) -> list[Fragment]:
        return [_inside(part) for part in parts]

    def table_rule(self, parts: list[Any]) -> RawRule:
        nowhere = parts[0][0].whole()
        blank = Name("", nowhere)
        return RawRule(
            None,
            [(blank, cell) for cell in parts[0]],
            [(blank, cell) for cell in parts[1]],
            nowhere.to(parts[1][-1].whole()),
        )

    def table_rules(self, parts: list[Any]) -> Section:
        return Section("rules", parts)

    def decision_table(self, parts: list[Any]) -> RawTable:
        found = RawTable(name(parts[0]))
        for section in parts[1:]:
            add_to_table(found, section)
        return found

    def file(self, parts: list[Any]) -> list[Any]:
        return parts


def _cover(parts: list[Any]) -> Span | None:
    first: Span | None = parts[0].span
    last: Span | None = parts[-1].span
    return first.to(last) if first is not None and last is not None else first


def _plain(value: ValueRef | RawDefault) -> FrozenValue:
    return value.value


def _default(value: ValueRef | RawDefault) -> RawDefault:
    if isinstance(value, RawDefault):
        return value
    return RawDefault(value.value, value.span or FRAGMENT.get().whole())


def _inside(token: Token) -> Fragment:
    """The text between the quotes of a string, as a piece to be parsed by itself."""
    fragment = FRAGMENT.get()
    start, end = cast("int", token.start_pos) + 1, cast("int", token.end_pos) - 1
    text = string_value(token)
    inner = fragment.part(start, end)
    if text == inner.text:
        return inner
    return Fragment(fragment.source, text, inner.start, notes=fragment.notes)


def _transition(
    source: Name, event: Name | None, guard: GuardExpression | None, rest: list[Any], *, start: Span
) -> RawTransition:
    """``rest`` is the target and, when there is one, the action."""
    action = name(rest[1]) if len(rest) > 1 else None
    end = action.span if action is not None else rest[0].span
    return RawTransition(source, event, guard, rest[0], action, start.to(end))
