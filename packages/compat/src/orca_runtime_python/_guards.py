"""Guards: from the trees of `orca.statemachine` to the published ones and back, and as text."""

from __future__ import annotations

from typing import Any, Final, cast

from orca.statemachine import expr
from orca_runtime_python import types

__all__ = ["InlineGuard", "guard_from_model", "guard_name", "guard_to_model"]


class InlineGuard(str):
    """A condition that stands in the transition itself: its text, with the tree that it stands for."""

    __slots__ = ("expression",)
    expression: expr.GuardExpression

    def __new__(cls, expression: expr.GuardExpression) -> InlineGuard:  # noqa: PYI034 - Self came with Python 3.11
        """The text of an expression."""
        made = super().__new__(cls, text_of(expression))
        made.expression = expression
        return made

    def __deepcopy__(self, memo: object) -> InlineGuard:
        return self

    def __reduce__(self) -> tuple[type[InlineGuard], tuple[expr.GuardExpression]]:
        return InlineGuard, (self.expression,)


class _Other(types.GuardExpression):
    """A guard that the published trees cannot say (arithmetic, ``in``, other guards): it is kept as it is."""

    def __init__(self, expression: expr.GuardExpression) -> None:
        self.expression = expression

    def __repr__(self) -> str:
        return f"<guard {text_of(self.expression)}>"

    def __eq__(self, other: object) -> bool:
        return self.expression == other.expression if isinstance(other, _Other) else NotImplemented

    def __hash__(self) -> int:
        return hash(text_of(self.expression))


def guard_name(guard: expr.GuardExpression | None) -> str | None:
    """How a transition names its guard: ``name``, ``!name``, or the text of an inline condition."""
    if guard is None:
        return None
    if isinstance(guard, expr.GuardRef):
        return guard.name
    if isinstance(guard, expr.GuardNot) and isinstance(guard.expr, expr.GuardRef):
        return f"!{guard.expr.name}"
    return InlineGuard(guard)


def guard_from_model(node: expr.GuardExpression) -> types.GuardExpression:
    """The published tree of a guard."""
    if isinstance(node, expr.GuardTrue):
        return types.GuardTrue()
    if isinstance(node, expr.GuardFalse):
        return types.GuardFalse()
    if isinstance(node, expr.GuardNot):
        return types.GuardNot(guard_from_model(node.expr))
    if isinstance(node, expr.GuardAnd | expr.GuardOr):
        join = types.GuardAnd if isinstance(node, expr.GuardAnd) else types.GuardOr
        made = guard_from_model(node.operands[0])
        for operand in node.operands[1:]:
            made = join(made, guard_from_model(operand))
        return made
    if isinstance(node, expr.GuardNullcheck) and isinstance(node.expr, expr.VariableRef):
        return types.GuardNullcheck(_variable(node.expr), node.is_null)
    if isinstance(node, expr.GuardCompare) and isinstance(node.left, expr.VariableRef):
        return _comparison(node, node.left)
    return _Other(node)


def _comparison(node: expr.GuardCompare, left: expr.VariableRef) -> types.GuardExpression:
    right = node.right
    if isinstance(right, expr.VariableRef):
        return types.GuardCompare(node.op, _variable(left), _variable(right))
    if isinstance(right, expr.ValueRef) and right.type == "null" and node.op in {"eq", "ne"}:
        return types.GuardNullcheck(_variable(left), node.op == "eq")
    if isinstance(right, expr.ValueRef):
        return types.GuardCompare(node.op, _variable(left), types.ValueRef(right.type, right.value))
    if isinstance(right, expr.Negate) and isinstance(right.expr, expr.ValueRef):
        number = cast("int | float", right.expr.value)
        return types.GuardCompare(node.op, _variable(left), types.ValueRef("number", -number))
    return _Other(node)


def _variable(node: expr.VariableRef) -> types.VariableRef:
    return types.VariableRef(list(node.path))


def guard_to_model(node: Any, fields: frozenset[str]) -> expr.GuardExpression:
    """The tree of `orca.statemachine`.

    Args:
        node: A published tree.
        fields: The fields of the context; a bare name that is none of them stays a field that is null.

    Raises:
        TypeError: It is no guard.
    """
    if isinstance(node, _Other):
        return node.expression
    if isinstance(node, types.GuardTrue):
        return expr.GuardTrue()
    if isinstance(node, types.GuardFalse):
        return expr.GuardFalse()
    if isinstance(node, types.GuardNot):
        return expr.GuardNot(guard_to_model(node.expr, fields))
    if isinstance(node, types.GuardAnd):
        return expr.GuardAnd(_chain(node, types.GuardAnd, fields))
    if isinstance(node, types.GuardOr):
        return expr.GuardOr(_chain(node, types.GuardOr, fields))
    if isinstance(node, types.GuardNullcheck):
        return expr.GuardNullcheck(_path(node.expr, fields), node.is_null)
    if isinstance(node, types.GuardCompare):
        op = cast("expr.ComparisonOperator", node.op)
        right = node.right
        if isinstance(right, types.VariableRef):
            return expr.GuardCompare(op, _path(node.left, fields), _path(right, fields))
        return expr.GuardCompare(
            op, _path(node.left, fields), expr.ValueRef(cast("Any", right.type), right.value)
        )
    raise TypeError(f"{node!r} is no guard")


def _chain(node: Any, kind: Any, fields: frozenset[str]) -> tuple[expr.GuardExpression, ...]:
    """The operands of a chain that leans to the left, in order, without recursion along the chain."""
    found: list[expr.GuardExpression] = []
    while isinstance(node, kind):
        found.append(guard_to_model(node.right, fields))
        node = node.left
    found.append(guard_to_model(node, fields))
    return tuple(reversed(found))


def _path(ref: types.VariableRef, fields: frozenset[str]) -> expr.VariableRef:
    first, rest = ref.path[0], ref.path[1:]
    if first in {"event", "payload"} and (rest or first not in fields):
        return expr.VariableRef(("event", *rest))
    if first in {"ctx", "context"} and rest:
        return expr.VariableRef(("ctx", *rest))
    return expr.VariableRef(("ctx", *ref.path))


_BINDS: Final = {expr.GuardOr: 1, expr.GuardAnd: 2, expr.GuardNot: 3}


def text_of(node: expr.GuardExpression, outer: int = 0) -> str:
    """A condition as text, as short as it is read back the same."""
    if isinstance(node, expr.GuardAnd | expr.GuardOr):
        level = _BINDS[type(node)]
        word = " and " if level == 2 else " or "
        text = word.join(text_of(operand, level + 1) for operand in node.operands)
        return f"({text})" if level < outer else text
    if isinstance(node, expr.GuardNot):
        return f"not {text_of(node.expr, 3)}"
    if isinstance(node, expr.GuardCompare | expr.Arithmetic):
        signs: dict[str, str] = {**expr.COMPARISON_OPERATORS, **expr.ARITHMETIC_OPERATORS}
        text = f"{text_of(node.left, 4)} {signs[node.op]} {text_of(node.right, 4)}"
        return f"({text})" if outer == 4 else text
    if isinstance(node, expr.GuardNullcheck):
        return f"{text_of(node.expr, 4)} is {'null' if node.is_null else 'not null'}"
    if isinstance(node, expr.GuardIn):
        return f"{text_of(node.expr, 4)} in [{', '.join(text_of(item) for item in node.options)}]"
    if isinstance(node, expr.Negate):
        return f"-{text_of(node.expr, 4)}"
    return _atom(node)


def _atom(node: expr.GuardExpression) -> str:
    if isinstance(node, expr.VariableRef):
        return str(node)
    if isinstance(node, expr.GuardRef):
        return node.name
    if isinstance(node, expr.ValueRef):
        words = {None: "null", True: "true", False: "false"}
        if node.type in {"null", "boolean"}:
            return words[cast("bool | None", node.value)]
        return str(node.value) if node.type == "number" else f'"{node.value}"'
    return "else" if isinstance(node, expr.GuardTrue) else "false"
