"""Types, defaults and durations: whether a value fits, and how many milliseconds a text says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from orca.statemachine.model import FrozenValue, TypeRef

if TYPE_CHECKING:
    from orca.statemachine.syntax import RawDefault

__all__ = [
    "DURATION_UNITS",
    "MAX_VALUE_DEPTH",
    "BadValue",
    "duration_ms",
    "fit",
    "format_duration",
    "infer",
    "type_depth",
    "value_depth",
]

DURATION_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_VALUE_DEPTH: Final = 32
"""Levels of types and defaults: printing and comparing descend once for each."""


class BadValue(ValueError):  # noqa: N818 - never leaves the package
    """A value does not fit; the message says why."""


@lru_cache(maxsize=1024)
def duration_ms(text: str) -> tuple[int, bool]:
    """The milliseconds of a duration and whether its unit was missing.

    Raises:
        BadValue: It is not a number with a unit, or not a whole number of milliseconds.

    Example:
        >>> duration_ms("1.5s"), duration_ms("500ms"), duration_ms("2")
        ((1500, False), (500, False), (2000, True))
    """
    from lark import UnexpectedInput  # noqa: PLC0415 - only a parse needs it

    from orca.statemachine._grammar import parse_duration_text  # noqa: PLC0415 - as above

    try:
        number, *units = (str(token) for token in parse_duration_text(text.strip()).children)
    except UnexpectedInput as error:
        known = ", ".join(DURATION_UNITS)
        raise BadValue(f"`{text}` is not a duration; write a number and one of {known}") from error
    whole, _, fraction = number.partition(".")
    unit = units[0] if units else "s"
    if unit not in DURATION_UNITS:
        raise BadValue(f"`{unit}` is not a unit of time; use one of {', '.join(DURATION_UNITS)}")
    scaled = int(whole + fraction) * DURATION_UNITS[unit]
    result, rest = divmod(scaled, 10 ** len(fraction))
    if rest:
        raise BadValue(f"`{text}` is not a whole number of milliseconds")
    return result, not units


def format_duration(milliseconds: int) -> str:
    """A duration in the largest unit that divides it.

    Example:
        >>> format_duration(90_000), format_duration(1500), format_duration(0)
        ('90s', '1500ms', '0s')
    """
    if milliseconds == 0:
        return "0s"
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def type_depth(kind: TypeRef) -> int:
    """How deep a type is nested."""
    deepest = 0
    pending = [(kind, 1)]
    while pending:
        current, level = pending.pop()
        deepest = max(deepest, level)
        pending.extend((inner, level + 1) for inner in current.args)
        pending.extend((inner, level + 1) for _, inner in current.members)
    return deepest


def value_depth(value: FrozenValue) -> int:
    """How deep a value is nested."""
    deepest = 0
    pending: list[tuple[FrozenValue, int]] = [(value, 1)]
    while pending:
        current, level = pending.pop()
        deepest = max(deepest, level)
        if isinstance(current, tuple):
            pending.extend((inner, level + 1) for inner in current)
        elif isinstance(current, Mapping):
            pending.extend((inner, level + 1) for inner in current.values())
    return deepest


def infer(value: FrozenValue) -> TypeRef:
    """The type of a field that gives only its default."""
    if value is None:
        return TypeRef("any", optional=True)
    if isinstance(value, bool):
        return TypeRef("bool")
    if isinstance(value, int):
        return TypeRef("int")
    if isinstance(value, float):
        return TypeRef("decimal")
    if isinstance(value, str):
        return TypeRef("string")
    return TypeRef("list") if isinstance(value, tuple) else TypeRef("map")


def fit(kind: TypeRef, default: RawDefault) -> FrozenValue:
    """The default as a value of the declared type.

    Raises:
        BadValue: It does not fit.
    """
    if default.word and kind.kind not in {"string", "enum", "custom"}:
        raise BadValue(f"`{default.value}` is not a value of type {kind}")
    return _fit(kind, default.value)


def _fit(kind: TypeRef, value: FrozenValue) -> FrozenValue:
    if value is None:
        if kind.optional or kind.kind == "custom":
            return None
        raise BadValue(f"null does not fit {kind}; write {kind}? for a field that may be null")
    name = kind.kind
    if name == "custom":
        return value
    if name == "list" and isinstance(value, tuple):
        return tuple(_fit(kind.args[0], item) for item in value) if kind.args else value
    if name in {"map", "record"} and isinstance(value, Mapping):
        return _fit_map(kind, value)
    if name in {"list", "map", "record"} or isinstance(value, tuple | Mapping):
        raise BadValue(f"{_shown(value)} does not fit {kind}")
    return _fit_scalar(kind, value)


def _fit_map(kind: TypeRef, value: Mapping[str, FrozenValue]) -> FrozenValue:
    members = dict(kind.members)
    for key, item in value.items():
        if kind.kind == "record" and key not in members:
            raise BadValue(f"`{key}` is not a member of {kind}")
        if kind.kind == "record":
            _fit(members[key], item)
        elif len(kind.args) == 2:
            _fit(kind.args[1], item)
    return value


def _fit_scalar(kind: TypeRef, value: FrozenValue) -> FrozenValue:
    name = kind.kind
    if name == "bool" and isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name == "decimal":
            return value
        if name == "int" and value == int(value):
            return int(value)
    if isinstance(value, str) and name in {"string", "enum"}:
        if kind.choices and value not in kind.choices:
            raise BadValue(f"{value!r} is not one of {', '.join(kind.choices)}")
        return value
    raise BadValue(f"{_shown(value)} does not fit {kind}")


def _shown(value: FrozenValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "a map"
    return repr(value)
