"""Cells of decision tables: what a cell says, and whether its column allows it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orca.statemachine.tables import AnyCell, Cell, CellValue, ConditionDef, OutputDef, RangeCell, SetCell

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BadCell", "parse_cell", "parse_domain", "parse_output"]

_REMEMBERED_LENGTH: Final = 100
"""Characters of a cell that is remembered: longer ones are rare, and would fill the memory."""
_KINDS: Final = frozenset({"anything", "nothing", "between", "bound", "at_least"})
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}
_RANGES: Final = frozenset({"int_range", "decimal_range"})
_WHOLE: Final = frozenset({"int", "int_range"})
_NUMBERS: Final = frozenset({*_WHOLE, "decimal", "decimal_range"})


class BadCell(ValueError):  # noqa: N818 - never leaves the package
    """A cell cannot be read or holds what its column does not allow; the message says why."""


class _Said(NamedTuple):
    """What the grammar makes of a cell: one of `_KINDS` or ``values``, and texts, quotes taken away."""

    kind: str
    texts: tuple[str, ...]
    negated: bool = False


def _read(text: str, start: str) -> _Said | None:
    """What a text says by a rule of the grammar of cells; None for something else."""
    # The same few short texts fill most tables, so they are remembered.
    return remembered(text, start) if len(text) <= _REMEMBERED_LENGTH else _parsed(text, start)


def _parsed(text: str, start: str) -> _Said | None:
    from lark import Token, UnexpectedInput  # noqa: PLC0415 - only a parse needs it

    from orca.statemachine._grammar import parse_cell_text  # noqa: PLC0415 - as above

    try:
        tree = parse_cell_text(text, start)
    except UnexpectedInput:
        return None
    kind, tokens = "values", list[Token]()
    pending: list[Any] = [tree]
    while pending:
        part: Any = pending.pop()
        if isinstance(part, Token):
            tokens.append(part)
            continue
        kind = part.data if part.data in _KINDS else kind
        pending.extend(reversed(part.children))
    values = [token for token in tokens if token.type != "NOT"]
    return _Said(
        kind,
        tuple(token[1:-1] if token.type == "QUOTED" else str(token) for token in values),
        negated=len(values) < len(tokens),
    )


remembered: Final = lru_cache(maxsize=4096)(_parsed)


def parse_domain(kind: str, text: str) -> tuple[tuple[str, ...], int | float | None, int | float | None]:
    """What the Values column says: names, or the lowest and highest number.

    Raises:
        BadCell: It cannot be read.
    """
    text = text.strip()
    if kind == "bool" or not text or text in {"-", "_"}:
        return (), None, None
    if kind in _RANGES:
        said = _read(text, "number_values")
        if said is None:
            raise BadCell(f"`{text}` is not a range; write `0..100`")
        cell = _range(said, text, kind)
        return (), cell.low, cell.high
    said = _read(text, "word_values")
    if said is None:
        raise _not_words(text)
    return said.texts, None, None


def parse_cell(condition: ConditionDef, text: str) -> Cell:
    """The meaning of a condition cell.

    Raises:
        BadCell: It cannot be read, or names a value that the condition does not have.
    """
    text, kind = text.strip(), condition.type
    start = {"bool": "truth_cell"}.get(kind, "number_cell" if kind in _RANGES else "word_cell")
    said = _read(text, start)
    if said is None:
        if start == "number_cell":
            raise BadCell(f"`{text}` is not a number, a list of numbers or a range")
        raise BadCell(f"`{text}` is not true or false") if kind == "bool" else _not_words(text)
    if said.kind == "anything":
        return AnyCell()
    if kind == "bool":
        return SetCell(tuple(_BOOLEANS[item.lower()] for item in said.texts), negated=said.negated)
    if kind in _RANGES:
        return _number_cell(condition, said, text)
    for item in said.texts:
        if condition.values and item not in condition.values:
            raise BadCell(f"`{item}` is not one of {', '.join(condition.values)}")
    return SetCell(said.texts, negated=said.negated)


def _number_cell(condition: ConditionDef, said: _Said, text: str) -> Cell:
    if said.kind == "values":
        numbers = tuple(_number(item, condition.type) for item in said.texts)
        _check_range(condition, numbers)
        return SetCell(numbers, negated=said.negated)
    if said.negated:
        raise BadCell("a range cannot be negated; write the other ranges")
    found = _range(said, text, condition.type)
    _check_range(condition, (found.low, found.high))
    return found


def parse_output(output: OutputDef, text: str) -> CellValue | None:
    """The value of an output cell, or None for an empty one.

    Raises:
        BadCell: It does not fit the column.
    """
    text, kind = text.strip(), output.type
    start = {"bool": "truth_output"}.get(kind, "number_output" if kind in _NUMBERS else "word_output")
    said = _read(text, start)
    if said is None:
        if start == "number_output":
            raise _not_number(text, kind)
        raise BadCell(f"`{text}` is not true or false") if kind == "bool" else _not_words(text)
    if said.kind == "nothing":
        return None
    (value,) = said.texts
    if kind == "bool":
        return _BOOLEANS[value.lower()]
    if kind in _NUMBERS:
        return _number(value, kind)
    if output.values and value not in output.values:
        raise BadCell(f"`{value}` is not one of {', '.join(output.values)}")
    return value


def _range(said: _Said, text: str, kind: str) -> RangeCell:
    numbers = [_number(item, kind) for item in said.texts if item[-1].isdigit()]
    if said.kind == "between":
        low, high = numbers
        if low > high:
            raise BadCell(f"`{text}` is empty: {low} is above {high}")
        return RangeCell(low, high)
    if said.kind == "at_least":
        return RangeCell(low=numbers[0])
    sign = said.texts[0]
    if sign[0] == ">":
        return RangeCell(low=numbers[0], low_open=sign == ">")
    return RangeCell(high=numbers[0], high_open=sign == "<")


def _number(text: str, kind: str) -> int | float:
    if kind in _WHOLE and "." in text:
        raise _not_number(text, kind)
    return int(text) if kind in _WHOLE else float(text)


def _not_number(text: str, kind: str) -> BadCell:
    return BadCell(f"`{text}` is not {'a whole number' if kind in _WHOLE else 'a number'}")


def _not_words(text: str) -> BadCell:
    if any(text.count(mark) % 2 for mark in "\"'"):
        return BadCell(f"`{text}` cannot be read: the quote is not closed")
    return BadCell(f"`{text}` is not a list of values; those with commas or quotes stand in quotes")


def _check_range(condition: ConditionDef, bounds: Sequence[int | float | None]) -> None:
    low, high = condition.low, condition.high
    for bound in bounds:
        if bound is not None and ((low is not None and bound < low) or (high is not None and bound > high)):
            raise BadCell(
                f"{bound} is outside of {low if low is not None else ''}..{high if high is not None else ''}"
            )
