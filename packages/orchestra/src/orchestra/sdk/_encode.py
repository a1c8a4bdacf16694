"""Turn a value of the user into plain JSON, or say exactly where in it JSON ends.

Pure: classes of optional libraries are known by what they offer (``tolist``, ``model_dump``), never imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any, TypeAlias, cast
from uuid import UUID

from orchestra.sdk.errors import OutputError

__all__ = ["Json", "encode", "name_warning"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DEPTH_MAX = 64
"""Deeper values are almost always cycles; Python's own encoder gives up near 1,000."""

ITEMS_MAX = 1_000_000
"""An output is a small result, not a data set; this bounds time and memory for a value passed by mistake."""

_PLAIN_NAME = re.compile(r"[A-Za-z_]+\Z")


def name_warning(name: str) -> str:
    """What is doubtful about an output's name; empty when nothing is.

    Documents disagree on digits and hyphens, so a doubtful name is worth a warning and never an error.

    Raises:
        OutputError: The name is empty or not text.
    """
    if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OutputError("an output needs a name", hint="use letters and underscores")
    if _PLAIN_NAME.match(name):
        return ""
    return f"the output name {name!r} has characters other than letters and underscores; it may be refused"


def encode(value: object) -> Json:
    """Return ``value`` as plain JSON.

    Dates and times become ISO 8601 text, a time span its seconds, Decimal an int or its exact text, UUID and
    Path text, Enum its value, sets sorted lists, bytes text when they are UTF-8, dataclasses, mappings and
    pydantic models objects, numpy scalars and arrays numbers and lists.

    Raises:
        OutputError: NaN or infinity, an unknown type, a cycle or too much depth; ``path`` says where.

    Example:
        >>> encode({"at": date(2026, 1, 2), "ids": {3, 1}})
        {'at': '2026-01-02', 'ids': [1, 3]}
        >>> encode({"rows": [1.0, float("nan")]})
        Traceback (most recent call last):
        ...
        orchestra.sdk.errors.OutputError: nan at rows[1] has no place in JSON
          hint: send None, or leave it out
    """
    return _Encoder().encode(value, "", 0)


class _Encoder:
    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items = 0

    def encode(self, value: object, path: str, depth: int) -> Json:
        self._items += 1
        if self._items > ITEMS_MAX:
            raise OutputError(f"the value has more than {ITEMS_MAX:,} items", path=path)
        if depth > DEPTH_MAX:
            raise OutputError(
                f"the value is nested deeper than {DEPTH_MAX} at {path[:80]}...; does it contain itself?",
                path=path,
            )
        kind = type(value)
        if value is None or kind in _PLAIN:
            return cast("Json", value)
        if kind is float:
            return _finite(cast("float", value), path)
        for types, convert in _CONVERSIONS:
            if isinstance(value, types):
                return self.encode(convert(value), path, depth + 1)
        if kind.__name__ == "Decimal":
            return self.encode(_decimal(value), path, depth + 1)
        if isinstance(value, (str, int)):
            return str(value) if isinstance(value, str) else int(value)
        if isinstance(value, float):
            return _finite(float(value), path)
        return self._compound(value, path, depth)

    def _compound(self, value: object, path: str, depth: int) -> Json:
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), path, depth)
        if isinstance(value, (list, tuple)):
            items = cast("list[object]", value)
            return [self.encode(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(items)]
        if isinstance(value, (set, frozenset)):
            plain = [self.encode(item, f"{path}{{}}", depth + 1) for item in cast("set[object]", value)]
            return sorted(
                plain, key=lambda item: (str(type(item)), str(item)) if not _number(item) else ("", item)
            )
        if is_dataclass(value) and not isinstance(value, type):
            return self._mapping({f.name: getattr(value, f.name) for f in fields(value)}, path, depth)
        for method in ("model_dump", "tolist", "item"):
            convert = getattr(value, method, None)
            if callable(convert) and not isinstance(value, type):
                return self.encode(convert(), path, depth + 1)
        raise OutputError(
            f"{type(value).__qualname__}{f' at {path}' if path else ''} has no place in JSON",
            path=path,
            hint="convert it to text, numbers, lists or dictionaries first",
        )

    def _mapping(self, value: Mapping[object, object], path: str, depth: int) -> Json:
        out: dict[str, Json] = {}
        for key, item in value.items():
            name = _key(key, path)
            if name in out:
                raise OutputError(f"two keys of {path or 'the value'} become {name!r}", path=path)
            out[name] = self.encode(item, f"{path}.{name}" if path else name, depth + 1)
        return out


def _decimal(value: Any) -> object:
    """A number where it stays exact for every reader, else text."""
    if not value.is_finite():
        return float(value)
    return int(value) if abs(value) < 2**53 and value == int(value) else str(value)


def _member(value: Enum) -> object:
    return value.value


def _iso(value: date | time) -> object:
    return value.isoformat()


def _bytes(value: bytes) -> object:
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise OutputError(
            "bytes that are not UTF-8 have no place in JSON", hint="encode them, as base64 for one"
        ) from None


_PLAIN = frozenset({bool, int, str})
_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[..., object]], ...] = (
    (Enum, _member),
    ((datetime, date, time), _iso),
    (timedelta, timedelta.total_seconds),
    ((UUID, PurePath), str),
    ((bytes, bytearray, memoryview), _bytes),
)


def _number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(value: float, path: str) -> float:
    if isfinite(value):
        return value
    where = f" at {path}" if path else ""
    raise OutputError(f"{value!r}{where} has no place in JSON", path=path, hint="send None, or leave it out")


def _key(key: object, path: str) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, Enum):
        return _key(key.value, path)
    if isinstance(key, bool) or key is None or isinstance(key, (int, UUID, date, PurePath)):
        return key.isoformat() if isinstance(key, date) else str(key)
    raise OutputError(
        f"a key of type {type(key).__qualname__} in {path or 'the value'} has no place in JSON", path=path
    )
