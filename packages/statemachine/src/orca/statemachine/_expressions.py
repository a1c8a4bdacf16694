"""Resolving expressions: roots of paths, names of guards, undeclared names, circles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orca.statemachine._scope import nearest
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
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
    walk,
)
from orca.statemachine.guards import MAX_GUARD_DEPTH, depth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.statemachine._report import Report
    from orca.statemachine.model import ContextField, GuardDef
    from orca.statemachine.span import Span

__all__ = ["ExpressionResolver", "check_cycles"]

_SCALARS = frozenset({"int", "decimal", "bool", "string", "enum", "list"})


class ExpressionResolver:
    """Turns raw expressions into resolved ones and reports what is not declared."""

    def __init__(
        self, fields: Mapping[str, ContextField], guards: Mapping[str, object], report: Report
    ) -> None:
        self._fields = fields
        self._guards = guards
        self._report = report

    def condition(self, node: GuardExpression, *, code: str = "") -> GuardExpression:
        """Resolve a guard or an invariant; ``code`` replaces the codes of undeclared names."""
        if depth(node, {}) > MAX_GUARD_DEPTH:
            message = f"the expression is nested deeper than {MAX_GUARD_DEPTH} levels"
            self._report.add("LIMIT_EXCEEDED", message, node.span)
            return GuardFalse(span=node.span)
        if isinstance(node, VariableRef) and node.path == ("else",):
            return GuardTrue(span=node.span)
        alone = node.expr if isinstance(node, GuardNot) else node
        if not code and isinstance(alone, VariableRef) and len(alone.path) == 1:
            name = alone.path[0]
            if name not in self._guards and name not in self._fields and name not in {"event", "payload"}:
                known = nearest(name, [*self._guards, *self._fields])
                self._unknown("UNKNOWN_GUARD", f"`{name}` is not a declared guard", alone.span, known)
                return GuardFalse(span=node.span)
        return self._boolean(node, code)

    def value(self, node: GuardExpression, *, code: str = "") -> GuardExpression:
        """Resolve an expression whose value, not whose truth, is wanted."""
        if isinstance(node, VariableRef):
            return self._variable(node, code)
        if isinstance(node, Arithmetic):
            return replace(
                node, left=self.value(node.left, code=code), right=self.value(node.right, code=code)
            )
        if isinstance(node, Negate):
            return replace(node, expr=self.value(node.expr, code=code))
        return node if isinstance(node, ValueRef) else self._boolean(node, code)

    def _boolean(self, node: GuardExpression, code: str) -> GuardExpression:
        if isinstance(node, GuardTrue | GuardFalse | GuardRef):
            return node
        if isinstance(node, VariableRef) and len(node.path) == 1 and node.path[0] in self._guards:
            return GuardRef(node.path[0], span=node.span)
        if isinstance(node, ValueRef) and node.type == "boolean":
            return GuardTrue(span=node.span) if node.value else GuardFalse(span=node.span)
        if isinstance(node, GuardAnd | GuardOr):
            return replace(node, operands=tuple(self._boolean(item, code) for item in node.operands))
        if isinstance(node, GuardNot):
            return replace(node, expr=self._boolean(node.expr, code))
        if isinstance(node, GuardCompare):
            return replace(
                node, left=self.value(node.left, code=code), right=self.value(node.right, code=code)
            )
        if isinstance(node, GuardIn | GuardNullcheck):
            return replace(node, expr=self.value(node.expr, code=code))
        return self.value(node, code=code)

    def _variable(self, node: VariableRef, code: str) -> GuardExpression:
        first, rest = node.path[0], node.path[1:]
        if first in {"event", "payload"} and (rest or first not in self._fields):
            return replace(node, path=("event", *rest))
        if first in {"ctx", "context"} and rest:
            first, rest = rest[0], rest[1:]
        elif first not in self._fields and first in self._guards and not rest:
            return GuardRef(first, span=node.span)
        resolved = replace(node, path=("ctx", first, *rest))
        declared = self._fields.get(first)
        if declared is None:
            message = f"the context has no field `{first}`"
            self._unknown(code or "UNKNOWN_FIELD", message, node.span, nearest(first, self._fields), node)
        elif rest and declared.type.kind in _SCALARS:
            message = f"`{first}` is of type {declared.type} and has no field `{rest[0]}`"
            self._report.add(code or "UNKNOWN_FIELD", message, node.span)
        return resolved

    def _unknown(
        self, code: str, message: str, span: Span | None, known: str | None, node: VariableRef | None = None
    ) -> None:
        if span is None or known is None:
            self._report.add(code, message, span)
            return
        text = known
        if node is not None:
            prefix = node.path[:1] if node.path[0] in {"ctx", "context"} and len(node.path) > 1 else ()
            text = ".".join([*prefix, known, *node.path[len(prefix) + 1 :]])
        self._report.replace(code, message, span, text)


def check_cycles(guards: tuple[GuardDef, ...], report: Report) -> tuple[GuardDef, ...]:
    """The guards without those that refer to themselves, directly or through others, each reported."""
    known = {item.name: item for item in guards}
    references = {
        item.name: [ref.name for ref in walk(item.expression) if isinstance(ref, GuardRef)] for item in guards
    }
    levels: dict[str, int] = {}
    kept: list[GuardDef] = []
    bad = _cyclic(references)
    for item in guards:
        if item.name in bad:
            message = f"guard `{item.name}` refers to itself: {_way_round(bad[item.name])}"
            report.add("GUARD_CYCLE", message, item.span)
        else:
            kept.append(item)
    for name in _by_reference(references, set(bad)):
        levels[name] = depth(known[name].expression, levels)
        if levels[name] > MAX_GUARD_DEPTH:
            message = f"guard `{name}` is nested deeper than {MAX_GUARD_DEPTH} levels"
            report.add("LIMIT_EXCEEDED", message, known[name].span)
            levels[name] = 0
    return tuple(kept)


_SHOWN_CIRCLE: Final = 8
"""Guards of a circle that a message names: a longer one is shown by its beginning and its end."""


def _way_round(circle: list[str]) -> str:
    if len(circle) > _SHOWN_CIRCLE:
        circle = [*circle[: _SHOWN_CIRCLE - 1], "...", circle[-1]]
    return " -> ".join(circle)


def _cyclic(references: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """For each guard on a circle, the way round it; depth first, every guard entered once."""
    state: dict[str, int] = {}
    found: dict[str, list[str]] = {}
    for first in references:
        trail: list[str] = []
        pending: list[tuple[str, bool]] = [(first, False)]
        while pending:
            name, leaving = pending.pop()
            if leaving:
                state[name] = 2
                trail.pop()
            elif state.get(name) == 1:
                circle = [*trail[trail.index(name) :], name]
                for member in circle:
                    found.setdefault(member, circle)
            elif name not in state:
                state[name] = 1
                trail.append(name)
                pending.append((name, True))
                pending.extend((ref, False) for ref in references.get(name, ()))
    return found


def _by_reference(references: Mapping[str, list[str]], left_out: set[str]) -> list[str]:
    """Guards so that each stands after those it refers to."""
    done: dict[str, None] = {}
    for first in references:
        pending = [first]
        while pending:
            name = pending[-1]
            waiting = [
                ref
                for ref in references.get(name, ())
                if ref not in done and ref not in left_out and ref in references
            ]
            if name in done or name in left_out or not waiting:
                if name in references and name not in left_out:
                    done[name] = None
                pending.pop()
            else:
                pending.append(waiting[0])
    return list(done)
