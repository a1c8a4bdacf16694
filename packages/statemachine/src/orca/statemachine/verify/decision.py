"""Decision tables by exact cell decomposition: complete, never reached, in conflict - each with a witness.

Every axis is split at every bound that a rule names, so that inside a piece no rule can tell two values apart. Then
the pieces are combined axis by axis; what has to be remembered is only which rules still match, so that tables with
many columns stay cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from orca.statemachine.tables import AnyCell, RangeCell, SetCell
from orca.statemachine.verify.findings import VERIFY_CODES, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.span import Span
    from orca.statemachine.tables import Cell, CellValue, ConditionDef, DecisionTableDef, RuleDef

__all__ = ["Axis", "axes_of", "check_table", "matches"]

MASKS_MAX: Final = 200_000
"""Different sets of matching rules that are followed; far above tables that a person writes."""

Axis: TypeAlias = "tuple[tuple[CellValue, int], ...]"
"""One value of each piece of an axis, with the rules whose cell holds it as bits."""


def matches(cell: Cell, value: CellValue) -> bool:
    """Whether a cell holds a value."""
    if isinstance(cell, AnyCell):
        return True
    if isinstance(cell, SetCell):
        found = any(type(item) is type(value) and item == value for item in cell.values)
        if not found and not isinstance(value, bool | str):
            found = any(not isinstance(item, bool | str) and item == value for item in cell.values)
        return found is not cell.negated
    if isinstance(value, bool | str):
        return False
    above = cell.low is None or value > cell.low or (value == cell.low and not cell.low_open)
    below = cell.high is None or value < cell.high or (value == cell.high and not cell.high_open)
    return above and below


def _range_values(condition: ConditionDef, cells: Sequence[Cell]) -> list[CellValue]:
    """The bounds and a value between each two, within the range of the condition."""
    cuts: set[int | float] = {bound for bound in (condition.low, condition.high) if bound is not None}
    for cell in cells:
        if isinstance(cell, RangeCell):
            cuts |= {bound for bound in (cell.low, cell.high) if bound is not None}
        elif isinstance(cell, SetCell):
            cuts |= {value for value in cell.values if not isinstance(value, bool | str)}
    ordered = sorted(cuts) or [0]
    found: set[int | float] = set(ordered) | {ordered[0] - 1, ordered[-1] + 1}
    whole = condition.type == "int_range"
    for one, other in pairwise(ordered):
        middle = one + 1 if whole else (one + other) / 2
        if one < middle < other:
            found.add(middle)
    low, high = condition.low, condition.high
    inside = [v for v in sorted(found) if (low is None or v >= low) and (high is None or v <= high)]
    return [v for v in inside if not whole or float(v).is_integer()]


def _values(condition: ConditionDef, cells: Sequence[Cell]) -> list[CellValue]:
    if condition.type == "bool":
        return [True, False]
    if condition.type in {"int_range", "decimal_range"}:
        return _range_values(condition, cells)
    if condition.values:
        return list(condition.values)
    named = {value for cell in cells if isinstance(cell, SetCell) for value in cell.values}
    other = "other"
    while other in named:
        other += "_"
    return [*sorted(str(value) for value in named), other]


def axes_of(table: DecisionTableDef) -> list[Axis]:
    """The pieces of every condition, pieces that the same rules hold joined into one."""
    axes: list[Axis] = []
    for column, condition in enumerate(table.conditions):
        cells = [rule.cells[column] for rule in table.rules]
        pieces: dict[int, CellValue] = {}
        for value in _values(condition, cells):
            mask = sum(1 << number for number, cell in enumerate(cells) if matches(cell, value))
            pieces.setdefault(mask, value)
        axes.append(tuple((value, mask) for mask, value in pieces.items()))
    return axes


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a table: for each set of rules that match together, one combination of values."""

    found: Mapping[int, tuple[CellValue, ...]]
    complete: bool


def _cells(table: DecisionTableDef) -> _Cells:
    """Combine the axes, keeping one combination for each set of rules that still match."""
    level: dict[int, tuple[CellValue, ...]] = {(1 << len(table.rules)) - 1: ()}
    complete = True
    for axis in axes_of(table):
        following: dict[int, tuple[CellValue, ...]] = {}
        for mask, values in level.items():
            for value, matching in axis:
                following.setdefault(mask & matching, (*values, value))
            if len(following) > MASKS_MAX:
                complete = False
                break
        level = following
    return _Cells(level, complete)


class _TableCheck:
    def __init__(self, table: DecisionTableDef) -> None:
        self.table = table
        self.findings: list[Finding] = []

    def report(
        self, code: str, message: str, span: Span | None, values: Sequence[CellValue] | None = None
    ) -> None:
        names = [condition.name for condition in self.table.conditions]
        witness = dict(zip(names, values, strict=True)) if values is not None else {}
        self.findings.append(
            Finding(code, VERIFY_CODES[code], message, span, "", None, witness, self.table.name)
        )

    def run(self) -> list[Finding]:
        table = self.table
        if not table.conditions or not table.rules:
            return []
        cells = _cells(table)
        if not cells.complete:
            self.report("INCONCLUSIVE", f"table `{table.name}` has too many cells to look at all", table.span)
        self.incomplete(cells)
        same = self.doubles()
        if table.policy == "first-match":
            self.never_first(cells, same)
        else:
            self.conflicts(cells, same)
            self.covered(same)
        return self.findings

    def incomplete(self, cells: _Cells) -> None:
        hole = cells.found.get(0)
        if hole is not None:
            names = [condition.name for condition in self.table.conditions]
            shown = ", ".join(f"{name} = {value!r}" for name, value in zip(names, hole, strict=True))
            self.report("DT_INCOMPLETE", f"no rule matches {shown}", self.table.span, hole)

    def doubles(self) -> set[int]:
        """Rules with the conditions of an earlier one: doubles, or in conflict."""
        found: set[int] = set()
        first: dict[tuple[Cell, ...], RuleDef] = {}
        for place, rule in enumerate(self.table.rules):
            earlier = first.setdefault(rule.cells, rule)
            if earlier is rule:
                continue
            if earlier.outputs == rule.outputs:
                found.add(place)
                text = f"rule {rule.number} is rule {earlier.number} once more"
                self.report("DT_DUPLICATE_RULE", text, rule.span)
            elif self.table.policy == "first-match" or _clash(earlier, rule):
                found.add(place)
                text = (
                    f"rules {earlier.number} and {rule.number} have the same conditions but different outputs"
                )
                self.report("DT_INCONSISTENT", text, rule.span)
        return found

    def never_first(self, cells: _Cells, same: set[int]) -> None:
        """Rules that earlier ones cover wholly; partial overlap is what first-match is for."""
        first = {mask & -mask for mask in cells.found if mask}
        for place, rule in enumerate(self.table.rules):
            if (1 << place) in first or place in same or not cells.complete:
                continue
            matched = any(mask >> place & 1 for mask in cells.found)
            reason = "earlier rules match whenever it does" if matched else "its conditions never hold"
            self.report("DT_REDUNDANT", f"rule {rule.number} never decides: {reason}", rule.span)

    def conflicts(self, cells: _Cells, same: set[int]) -> None:
        """Of rules that all count, two that match together and give one output two values."""
        for place, other in combinations(range(len(self.table.rules)), 2):
            one, two = self.table.rules[place], self.table.rules[other]
            if place in same or other in same or not _clash(one, two):
                continue
            both = 1 << place | 1 << other
            witness = next((values for mask, values in cells.found.items() if mask & both == both), None)
            if witness is not None:
                text = f"rules {one.number} and {two.number} match together and give different outputs"
                self.report("DT_INCONSISTENT", text, two.span, witness)

    def covered(self, same: set[int]) -> None:
        """Of rules that all count, one whose every case another one has with the same outputs."""
        axes = axes_of(self.table)
        for place, rule in enumerate(self.table.rules):
            for other, wider in enumerate(self.table.rules):
                if other == place or {place, other} & same or rule.outputs != wider.outputs:
                    continue
                holds = all(mask >> other & 1 for axis in axes for _, mask in axis if mask >> place & 1)
                if holds and (rule.cells != wider.cells or other < place):
                    text = f"rule {rule.number} adds nothing to rule {wider.number}"
                    self.report("DT_REDUNDANT", text, rule.span)
                    break


def _clash(one: RuleDef, other: RuleDef) -> bool:
    """Whether both set an output, to different values."""
    return any(
        left is not None and right is not None and (left != right or type(left) is not type(right))
        for left, right in zip(one.outputs, other.outputs, strict=True)
    )


def check_table(table: DecisionTableDef) -> list[Finding]:
    """Everything about a table by itself."""
    return _TableCheck(table).run()
