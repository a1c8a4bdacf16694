# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnnecessaryIsInstance=false
"""Numbers to and from FloatArray, through bytes: a million in a millisecond, with numpy or without it.

The wire has float32. A finite number that float32 cannot hold is refused, because it would arrive as
infinity; NaN and infinities themselves are carried.
"""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from orca.processor import messages as wire
from orca.processor.errors import ConversionError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FLOAT32_MAX", "as_numpy", "fill_floats", "float_list", "plain_numbers", "single"]

FLOAT32_MAX: Final = 3.4028235677973366e38
"""The largest number that rounds to a finite float32 (half a unit above the largest float32)."""

_TAG: Final = b"\x0a"  # field 1, length delimited: a packed array


def fill_floats(message: wire.FloatArray, values: Any) -> None:
    """Put numbers into ``message``.

    Args:
        message: Is left empty but set when there are no values.
        values: A numpy array of one dimension, an ``array.array``, a pandas, polars or Arrow column, or
            any iterable of numbers and booleans.

    Raises:
        ConversionError: An element is no number, or too large for float32; an array has other than one
            dimension.
    """
    data = _packed(values)
    message.SetInParent()
    if data:
        message.MergeFromString(_TAG + _varint(len(data)) + data)


def _packed(values: Any) -> bytes:
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        if not isinstance(values, (numpy.ndarray, list, tuple)) and hasattr(values, "__array__"):
            values = numpy.asarray(values)
        if isinstance(values, numpy.ndarray):
            return _packed_numpy(numpy, values)
    if isinstance(values, (str, bytes, bytearray, dict)) or not isinstance(values, Iterable):
        raise ConversionError(f"a {type(values).__name__} is no array of numbers")
    return _packed_plain(values if isinstance(values, Sequence) else list(values))


def _packed_numpy(numpy: Any, values: Any) -> bytes:
    if values.ndim != 1:
        shape = "x".join(str(n) for n in values.shape) or "0 dimensions"
        raise ConversionError(f"an array of {shape} cannot be sent", hint="flatten it, or return a dict")
    if values.dtype.kind not in "fiub":
        raise ConversionError(f"an array of {values.dtype} is no array of numbers")
    with numpy.errstate(over="ignore"):
        small = values.astype("<f4", copy=False)
    if values.dtype != small.dtype:
        lost = numpy.isinf(small)
        if lost.any():
            lost &= numpy.isfinite(values)
            if lost.any():
                index = int(lost.argmax())
                raise _too_large(values[index], index)
    data: bytes = small.tobytes()
    return data


def _packed_plain(values: Sequence[Any]) -> bytes:
    try:
        packed = array.array("f", values)
    except (TypeError, OverflowError):
        for index, value in enumerate(values):
            single(value, path=f"$[{index}]")
        # Only numbers with a __float__ of their own, such as Decimal, come here.
        packed = array.array("f", [float(value) for value in values])
    if any(map(math.isinf, packed)):
        for index, value in enumerate(values):
            if math.isinf(packed[index]) and math.isfinite(value):
                raise _too_large(value, index)
    if (
        sys.byteorder == "big"
    ):  # pragma: no cover - no such machine in the supported set, but cheap to be right
        packed.byteswap()
    return packed.tobytes()


def _too_large(value: Any, index: int) -> ConversionError:
    hint = "send it in a struct, which has float64"
    return ConversionError(f"{value} is too large for float32", path=f"$[{index}]", hint=hint)


def single(value: Any, *, path: str = "$") -> float:
    """One number that a Result's ``single_value`` can hold.

    Raises:
        ConversionError: It is no number, or too large for float32.

    Example:
        >>> single(True), single(3)
        (1.0, 3.0)
    """
    if isinstance(value, (str, bytes, bytearray)) or value is None:
        raise ConversionError(f"a {type(value).__name__} is no number", path=path)
    try:
        number = float(value)
    except OverflowError:
        raise ConversionError(f"{value} is too large for a float", path=path) from None
    except (TypeError, ValueError):
        raise ConversionError(f"a {type(value).__name__} is no number", path=path) from None
    if abs(number) > FLOAT32_MAX and not math.isinf(number):
        hint = "send it in a struct, which has float64"
        raise ConversionError(f"{number} is too large for float32", path=path, hint=hint)
    return number


def float_list(message: wire.FloatArray) -> list[float]:
    """The numbers as a list."""
    return list(message.values)


def as_numpy(message: wire.FloatArray) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The numbers as a numpy array of float32 and one dimension, without a loop.

    Raises:
        ImportError: numpy is not installed.
    """
    import numpy as np  # noqa: PLC0415  optional, and heavy

    data = message.SerializeToString()
    start = data.find(_TAG)
    if start < 0:
        return np.empty(0, dtype=np.float32)
    head = 1
    while data[head] & 0x80:
        head += 1
    return np.frombuffer(data, dtype="<f4", offset=head + 1)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def plain_numbers(values: Iterable[Any]) -> list[float]:
    """What ``values`` arrives as on the other side: rounded to float32.

    Example:
        >>> plain_numbers([1, 16777217])
        [1.0, 16777216.0]
    """
    message = wire.FloatArray()
    fill_floats(message, values)
    return float_list(message)
