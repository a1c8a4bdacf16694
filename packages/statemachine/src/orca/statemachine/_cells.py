"""Cells of decision tables: what a cell says, and whether its column allows it.

The texts are short and flat, so a few regular expressions are their whole grammar; each is anchored and has no
nested repetition, so that it takes linear time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from orca.statemachine.tables import AnyCell, Cell, CellValue, ConditionDef, OutputDef, RangeCell, SetCell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BadCell", "parse_cell", "parse_domain", "parse_output", "split_values"]

_N: Final = r"([-+]?\d{1,30}(?:\.\d{1,30})?)"
_RANGE: Final = re.compile(rf"{_N}\s*(?:\.\.|-)\s*{_N}")
_BOUND: Final = re.compile(rf"(>=|<=|>|<)\s*{_N}")
_FROM: Final = re.compile(rf"{_N}\s*\+")
_NUMBER: Final = re.compile(_N)
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}


class BadCell(ValueError):  # noqa: N818 - never leaves the package
    """A cell cannot be read or holds what its column does not allow; the message says why."""


def split_values(text: str) -> list[str]:
    """The values of a comma list; values with commas stand in quotes.

    Example:
        >>> split_values('gold, "a, b", silver')
        ['gold', 'a, b', 'silver']
    """
    values: list[str] = []
    current: list[str] = []
    quote, quoted = "", False
    for character in text:
        if quote:
            if character == quote:
                quote = ""
            else:
                current.append(character)
        elif character in "\"'" and not "".join(current).strip():
            quote, quoted = character, True
            current.clear()
        elif character == ",":
            values.append("".join(current) if quoted else "".join(current).strip())
            current, quoted = [], False
        elif not (quoted and character.isspace()):
            current.append(character)
    if quote:
        raise BadCell("the quote is not closed")
    last = "".join(current) if quoted else "".join(current).strip()
    if last or quoted or values:
        values.append(last)
    return values


def parse_domain(kind: str, text: str) -> tuple[tuple[str, ...], int | float | None, int | float | None]:
    """What the Values column says: names, or the lowest and highest number.

    Raises:
        BadCell: It cannot be read.
    """
    text = text.strip()
    if kind == "bool" or not text or text in {"-", "_"}:
        return (), None, None
    if kind in {"int_range", "decimal_range"}:
        cell = _parse_range(text, _number_of(kind))
        if not isinstance(cell, RangeCell):
            raise BadCell(f"`{text}` is not a range; write `0..100`")
        return (), cell.low, cell.high
    return tuple(split_values(text)), None, None


def parse_cell(condition: ConditionDef, text: str) -> Cell:
    """The meaning of a condition cell.

    Raises:
        BadCell: It cannot be read, or names a value that the condition does not have.
    """
    text = text.strip()
    if text in {"", "-", "_", "*"}:
        return AnyCell()
    negated = text.startswith("!")
    body = text[1:].strip() if negated else text
    if condition.type in {"int_range", "decimal_range"}:
        number = _number_of(condition.type)
        found = _parse_range(body, number)
        if found is not None:
            if negated:
                raise BadCell("a range cannot be negated; write the other ranges")
            _check_range(condition, (found.low, found.high))
            return found
        numbers = tuple(_parse_number(item, number) for item in split_values(body))
        _check_range(condition, numbers)
        return SetCell(numbers, negated=negated)
    values = split_values(body)
    if condition.type == "bool":
        return SetCell(tuple(_parse_bool(item) for item in values), negated=negated)
    for item in values:
        if condition.values and item not in condition.values:
            raise BadCell(f"`{item}` is not one of {', '.join(condition.values)}")
    return SetCell(tuple(values), negated=negated)


def parse_output(output: OutputDef, text: str) -> CellValue | None:
    """The value of an output cell, or None for an empty one.

    Raises:
        BadCell: It does not fit the column.
    """
    text = text.strip()
    if text in {"", "-", "_"}:
        return None
    if output.type in {"bool", "boolean"}:
        return _parse_bool(text)
    if output.type in {"int", "integer", "int_range"}:
        return _parse_number(text, int)
    if output.type in {"decimal", "float", "number", "decimal_range"}:
        return _parse_number(text, float)
    values = split_values(text)
    value = values[0] if len(values) == 1 else text
    if output.values and value not in output.values:
        raise BadCell(f"`{value}` is not one of {', '.join(output.values)}")
    return value


def _number_of(kind: str) -> Callable[[str], int | float]:
    return int if kind == "int_range" else float


def _parse_range(text: str, number: Callable[[str], int | float]) -> RangeCell | None:
    if match := _RANGE.fullmatch(text):
        low, high = _parse_number(match[1], number), _parse_number(match[2], number)
        if low > high:
            raise BadCell(f"`{text}` is empty: {match[1]} is above {match[2]}")
        return RangeCell(low, high)
    if match := _BOUND.fullmatch(text):
        value = _parse_number(match[2], number)
        if match[1][0] == ">":
            return RangeCell(low=value, low_open=match[1] == ">")
        return RangeCell(high=value, high_open=match[1] == "<")
    if match := _FROM.fullmatch(text):
        return RangeCell(low=_parse_number(match[1], number))
    return None


def _parse_number(text: str, number: Callable[[str], int | float]) -> int | float:
    if not _NUMBER.fullmatch(text) or (number is int and "." in text):
        raise BadCell(f"`{text}` is not {'a whole number' if number is int else 'a number'}")
    return number(text)


def _parse_bool(text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise BadCell(f"`{text}` is not true or false")
    return value


def _check_range(condition: ConditionDef, bounds: Sequence[int | float | None]) -> None:
    low, high = condition.low, condition.high
    for bound in bounds:
        if bound is not None and ((low is not None and bound < low) or (high is not None and bound > high)):
            raise BadCell(
                f"{bound} is outside of {low if low is not None else ''}..{high if high is not None else ''}"
            )
