"""The syntax tree of guards, invariants and mapping values.

One tree serves both notations, the engine, the verifier and the printers. A loaded definition holds only
resolved trees: every `VariableRef` begins with ``ctx`` or ``event``, and every name of a declared guard is a
`GuardRef`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orca.statemachine.span import Span

__all__ = [
    "ARITHMETIC_OPERATORS",
    "COMPARISON_OPERATORS",
    "Arithmetic",
    "ArithmeticOperator",
    "ComparisonOperator",
    "GuardAnd",
    "GuardCompare",
    "GuardExpression",
    "GuardFalse",
    "GuardIn",
    "GuardNot",
    "GuardNullcheck",
    "GuardOr",
    "GuardRef",
    "GuardTrue",
    "Negate",
    "Scalar",
    "ValueRef",
    "VariableRef",
    "children",
    "walk",
]

ComparisonOperator: TypeAlias = Literal["eq", "ne", "lt", "le", "gt", "ge"]
ArithmeticOperator: TypeAlias = Literal["add", "sub", "mul", "div", "mod"]
Scalar: TypeAlias = "str | int | float | bool | None"

COMPARISON_OPERATORS: Final[dict[str, str]] = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}
ARITHMETIC_OPERATORS: Final[dict[str, str]] = {"add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardExpression:
    """What every node derives from; ``span`` says where it was written and is not part of equality."""

    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class GuardTrue(GuardExpression):
    """Always true: ``else`` and ``true``."""


@dataclass(frozen=True, slots=True)
class GuardFalse(GuardExpression):
    """Never true: ``false``."""


@dataclass(frozen=True, slots=True)
class VariableRef(GuardExpression):
    """A path into the context or into the payload of the event; as a guard, its truthiness.

    Attributes:
        path: The names. After loading the first one is ``ctx`` or ``event``.
    """

    path: tuple[str, ...]

    @property
    def root(self) -> str:
        """``ctx`` or ``event``."""
        return self.path[0]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class ValueRef(GuardExpression):
    """A literal inside an expression.

    ``type`` keeps literals apart that Python calls equal (``1``, ``1.0`` and ``true``).

    Attributes:
        type: ``string``, ``number``, ``boolean`` or ``null``.
        value: The value; numbers are ``int`` when written without fraction and exponent.
    """

    type: Literal["string", "number", "boolean", "null"]
    value: Scalar


@dataclass(frozen=True, slots=True)
class GuardRef(GuardExpression):
    """The name of a guard that the machine declares."""

    name: str


@dataclass(frozen=True, slots=True)
class GuardCompare(GuardExpression):
    """A comparison; ``op`` is one of ``eq ne lt le gt ge``."""

    op: ComparisonOperator
    left: GuardExpression
    right: GuardExpression


@dataclass(frozen=True, slots=True)
class GuardIn(GuardExpression):
    """``expr in [a, b]``: equality with one of the literals."""

    expr: GuardExpression
    options: tuple[ValueRef, ...]


@dataclass(frozen=True, slots=True)
class GuardNullcheck(GuardExpression):
    """``expr is null`` or, with ``is_null`` false, ``expr is not null``."""

    expr: GuardExpression
    is_null: bool


@dataclass(frozen=True, slots=True)
class GuardNot(GuardExpression):
    """``not expr``; the negation of *unknown* is *unknown*."""

    expr: GuardExpression


@dataclass(frozen=True, slots=True)
class GuardAnd(GuardExpression):
    """``a and b and c``, flat: at least two operands, so that a long chain is not a deep tree."""

    operands: tuple[GuardExpression, ...]

    @property
    def left(self) -> GuardExpression:
        """The first operand."""
        return self.operands[0]

    @property
    def right(self) -> GuardExpression:
        """What is left of the chain."""
        return self.operands[1] if len(self.operands) == 2 else GuardAnd(self.operands[1:])


@dataclass(frozen=True, slots=True)
class GuardOr(GuardExpression):
    """``a or b or c``, flat as `GuardAnd` is."""

    operands: tuple[GuardExpression, ...]

    @property
    def left(self) -> GuardExpression:
        """The first operand."""
        return self.operands[0]

    @property
    def right(self) -> GuardExpression:
        """What is left of the chain."""
        return self.operands[1] if len(self.operands) == 2 else GuardOr(self.operands[1:])


@dataclass(frozen=True, slots=True)
class Arithmetic(GuardExpression):
    """``left op right`` on numbers; ``op`` is one of ``add sub mul div mod``."""

    op: ArithmeticOperator
    left: GuardExpression
    right: GuardExpression


@dataclass(frozen=True, slots=True)
class Negate(GuardExpression):
    """Unary minus."""

    expr: GuardExpression


def children(node: GuardExpression) -> tuple[GuardExpression, ...]:
    """The direct operands of a node, from left to right."""
    if isinstance(node, GuardAnd | GuardOr):
        return node.operands
    if isinstance(node, GuardCompare | Arithmetic):
        return (node.left, node.right)
    if isinstance(node, GuardIn):
        return (node.expr, *node.options)
    if isinstance(node, GuardNot | GuardNullcheck | Negate):
        return (node.expr,)
    return ()


def walk(node: GuardExpression) -> Iterator[GuardExpression]:
    """The node and everything below it, parents first, without recursion.

    Example:
        >>> tree = GuardNot(GuardAnd((GuardRef("a"), GuardRef("b"))))
        >>> [type(node).__name__ for node in walk(tree)]
        ['GuardNot', 'GuardAnd', 'GuardRef', 'GuardRef']
    """
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(children(current)))
