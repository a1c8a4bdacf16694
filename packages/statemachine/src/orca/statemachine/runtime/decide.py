"""Decision tables at run time."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orca.statemachine.operations import equal
from orca.statemachine.tables import RangeCell, SetCell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.statemachine.tables import Cell, DecisionTableDef

__all__ = ["decide"]


def decide(table: DecisionTableDef, context: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a table for a context: of the first rule that holds, or of all merged in their order.

    Args:
        table: The table.
        context: A value for each condition, by name; a missing one is null, which only an empty cell accepts.

    Returns:
        The outputs by name, without those that a rule leaves as they are; empty when no rule holds.

    Example:
        >>> from orca.statemachine.tables import ConditionDef, DecisionTableDef, OutputDef, RangeCell, RuleDef
        >>> table = DecisionTableDef(
        ...     "Fee",
        ...     (ConditionDef("age", "int_range"),),
        ...     (OutputDef("fee", "int"),),
        ...     (RuleDef(1, (RangeCell(high=17),), (0,)), RuleDef(2, (RangeCell(low=18),), (12,))),
        ... )
        >>> decide(table, {"age": 17}), decide(table, {"age": 40}), decide(table, {})
        ({'fee': 0}, {'fee': 12}, {})
    """
    found: dict[str, Any] = {}
    for rule in table.rules:
        pairs = zip(rule.cells, table.conditions, strict=True)
        if all(_holds(cell, context.get(condition.name)) for cell, condition in pairs):
            outputs = zip(table.outputs, rule.outputs, strict=True)
            found.update({output.name: value for output, value in outputs if value is not None})
            if table.policy == "first-match":
                break
    return found


def _holds(cell: Cell, value: object) -> bool:
    if isinstance(cell, SetCell):
        return value is not None and any(equal(value, item) for item in cell.values) is not cell.negated
    if isinstance(cell, RangeCell):
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return False
        low = cell.low is None or (value > cell.low if cell.low_open else value >= cell.low)
        return low and (cell.high is None or (value < cell.high if cell.high_open else value <= cell.high))
    return True
