# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnnecessaryIsInstance=false
"""JSON-like values to and from protobuf's Struct, by direct walk: five times as fast as by way of JSON.

What a Struct cannot hold is refused with its place: NaN and infinities (they abort a published core's
run), whole numbers beyond 2**53 (they would change), texts that are no UTF-8, keys that are no text, and
nesting deeper than receivers parse. Dataclasses, pydantic models, named tuples, enums, datetimes, numpy
scalars and arrays are taken apart on the way.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, Final

from orca.processor import messages as wire
from orca.processor.errors import ConversionError

__all__ = [
    "DEPTH_MAX",
    "EXACT_INT_MAX",
    "fill_struct",
    "fill_value",
    "struct_dict",
    "to_struct",
    "value_object",
]

DEPTH_MAX: Final = 30
"""Values nested deeper are refused: a level costs up to three of the hundred message levels that parsers
take."""

EXACT_INT_MAX: Final = 2**53
"""The largest whole number up to which every whole number has its own float64."""


def to_struct(mapping: Mapping[str, Any]) -> wire.Struct:
    """A Struct of ``mapping``.

    Raises:
        ConversionError: A value cannot be carried; ``path`` says which.

    Example:
        >>> struct_dict(to_struct({"tags": ["a", None]}))
        {'tags': ['a', None]}
    """
    struct = wire.Struct()
    fill_struct(struct, mapping)
    return struct


def fill_struct(struct: wire.Struct, mapping: Mapping[str, Any], *, path: str = "$", depth: int = 0) -> None:
    """Put all of ``mapping`` into ``struct``, which is the fast way for a field of a message.

    Raises:
        ConversionError: A value cannot be carried; ``struct`` is then half filled.
    """
    fields = struct.fields
    if depth == 0:
        # An empty struct that was set and one that was not are different things to HasField.
        struct.SetInParent()
    for key, value in mapping.items():
        if type(key) is not str and not isinstance(key, str):
            hint = "give every key as text"
            raise ConversionError(
                f"the key {key!r} is a {type(key).__name__}, not a text", path=path, hint=hint
            )
        kind = type(value)
        try:
            if kind is float:
                if value - value != 0.0:  # NaN and infinities; faster than two calls
                    raise _not_finite(value, f"{path}.{key}")
                fields[key].number_value = value
            elif kind is str:
                fields[key].string_value = value
            elif kind is bool:
                fields[key].bool_value = value
            else:
                fill_value(fields[key], value, path=f"{path}.{key}", depth=depth + 1)
        except UnicodeEncodeError:
            raise ConversionError("the text is no valid Unicode", path=f"{path}.{ascii(key)[1:-1]}") from None


def fill_value(slot: wire.Value, value: Any, *, path: str = "$", depth: int = 0) -> None:
    """Put one value of any supported type into ``slot``.

    Raises:
        ConversionError: The value cannot be carried.
    """
    if depth > DEPTH_MAX:
        raise ConversionError(f"nested deeper than {DEPTH_MAX} levels", path=path[:80] + "...")
    if value is None:
        slot.null_value = 0
    elif isinstance(value, bool):
        slot.bool_value = value
    elif isinstance(value, Enum):
        fill_value(slot, value.value, path=path, depth=depth + 1)
    elif isinstance(value, str):
        _fill_text(slot, value, path)
    elif isinstance(value, (int, float)):
        slot.number_value = _number(value, path)
    elif isinstance(value, Mapping):
        slot.struct_value.SetInParent()
        fill_struct(slot.struct_value, value, path=path, depth=depth)
    elif isinstance(value, (list, tuple)) and not hasattr(value, "_asdict"):
        _fill_list(slot, value, path, depth)
    else:
        fill_value(slot, _plain(value, path), path=path, depth=depth + 1)


def _fill_text(slot: wire.Value, value: str, path: str) -> None:
    try:
        slot.string_value = value
    except UnicodeEncodeError:
        raise ConversionError("the text is no valid Unicode", path=path) from None


def _fill_list(slot: wire.Value, items: list[Any] | tuple[Any, ...], path: str, depth: int) -> None:
    slot.list_value.SetInParent()
    add = slot.list_value.values.add
    for index, item in enumerate(items):
        if type(item) is float and item - item == 0.0:
            add().number_value = item
        else:
            fill_value(add(), item, path=f"{path}[{index}]", depth=depth + 1)


def _number(value: float, path: str) -> float:
    if isinstance(value, int):
        if abs(value) > EXACT_INT_MAX:
            hint = "send it as text, or as a float if the rounding does not matter"
            raise ConversionError(f"the whole number {value} would be rounded", path=path, hint=hint)
        return float(value)
    if not math.isfinite(value):
        raise _not_finite(value, path)
    return float(value)


def _not_finite(value: float, path: str) -> ConversionError:
    return ConversionError(
        f"{value!r} cannot be sent in a struct", path=path, hint="send None, or leave the key out"
    )


def _plain(value: Any, path: str) -> Any:
    """A plain value for one that only its own type can take apart."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, (AbstractSet, range)):
        return list(value)
    for method in ("model_dump", "_asdict", "tolist"):  # pydantic; named tuples; numpy and array.array
        plain = getattr(value, method, None)
        if callable(plain):
            return plain()
    hint = "return text, numbers, booleans, None, lists and dicts of these, dataclasses, models or arrays"
    raise ConversionError(f"a {type(value).__name__} cannot be sent", path=path, hint=hint)


def struct_dict(struct: wire.Struct) -> dict[str, Any]:
    """The plain dict of a Struct; numbers are floats, as the wire has them."""
    return {key: value_object(value) for key, value in struct.fields.items()}


def value_object(value: wire.Value) -> Any:
    """The plain value of a Value; one that is not set is None."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return value.number_value
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return struct_dict(value.struct_value)
    if kind == "list_value":
        return [value_object(item) for item in value.list_value.values]
    return None
