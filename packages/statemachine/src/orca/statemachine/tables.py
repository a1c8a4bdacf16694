"""The definition of a decision table.

A rule holds one cell for each condition and one value for each output, in the order of the table's columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from orca.statemachine.span import Span

__all__ = [
    "AnyCell",
    "Cell",
    "CellValue",
    "ConditionDef",
    "ConditionType",
    "DecisionTableDef",
    "OutputDef",
    "RangeCell",
    "RuleDef",
    "SetCell",
]

CellValue: TypeAlias = "bool | int | float | str"
ConditionType: TypeAlias = Literal["bool", "enum", "int_range", "decimal_range", "string"]


@dataclass(frozen=True, slots=True)
class AnyCell:
    """An empty cell or ``-``: every value."""


@dataclass(frozen=True, slots=True)
class SetCell:
    """``v``, ``a,b`` or ``!v``: one of the values, or with ``negated`` none of them."""

    values: tuple[CellValue, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class RangeCell:
    """A range of numbers: ``N+ >=N <=N >N <N A..B A-B``.

    Attributes:
        low: The lower bound, or None.
        high: The upper bound, or None.
        low_open: Whether the lower bound itself is outside.
        high_open: Whether the upper bound itself is outside.
    """

    low: int | float | None = None
    high: int | float | None = None
    low_open: bool = False
    high_open: bool = False


Cell: TypeAlias = "AnyCell | SetCell | RangeCell"


@dataclass(frozen=True, slots=True)
class ConditionDef:
    """A condition column.

    Attributes:
        name: The name; a context field of the same name is its value.
        type: The kind of values.
        values: The values of an enumeration or a closed set of strings, in order.
        low: The lowest value of a range, or None.
        high: The highest value of a range, or None.
    """

    name: str
    type: ConditionType
    values: tuple[str, ...] = ()
    low: int | float | None = None
    high: int | float | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OutputDef:
    """An output column.

    Attributes:
        name: The name; a context field of the same name receives the value.
        type: ``bool``, ``enum``, ``int``, ``decimal`` or ``string``.
        description: Free text.
        values: The values that are allowed; empty when all are.
    """

    name: str
    type: str = "string"
    description: str = ""
    values: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RuleDef:
    """A row: when every cell holds, the outputs; an output of None is left as it is.

    ``number`` is how the author counts the rule; what it says does not depend on it.
    """

    number: int = field(compare=False)
    cells: tuple[Cell, ...]
    outputs: tuple[CellValue | None, ...]
    span: Span | None = field(default=None, compare=False, repr=False)
    cell_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DecisionTableDef:
    """A decision table; ``policy`` says whether the first matching rule decides or all of them do."""

    name: str
    conditions: tuple[ConditionDef, ...] = ()
    outputs: tuple[OutputDef, ...] = ()
    rules: tuple[RuleDef, ...] = ()
    policy: Literal["first-match", "all-match"] = "first-match"
    span: Span | None = field(default=None, compare=False, repr=False)
