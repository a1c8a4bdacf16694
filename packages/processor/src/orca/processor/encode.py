"""Answers as bytes: numbers by hand, which is most of them, everything else through messages."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from orca.processor import messages as wire
from orca.processor.arrays import FLOAT32_MAX
from orca.processor.convert import EXACT_KEY, failed_result, fill_result
from orca.processor.failures import too_large
from orca.processor.model import ArrayResult, ResultKind, ValueResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.processor.definition import Definition

__all__ = ["answer", "answer_head", "failure_bytes", "result_bytes"]

_NUMBER: Final = struct.Struct("<2sBf").pack  # Result.status; Result.single_value, field 2, four bytes
_NUMBERS: Final = (ResultKind.VALUE, ResultKind.NOT_SPECIFIED)
_STATUS: Final = bytes((0x08, wire.RESULT_STATUS_SUCEEDED))
_SINGLE_TAG: Final = 0x15
_STAMP_TAG: Final = b"\x28"  # Result.timestamp
_OVERHEAD_BYTES: Final = 4096
"""Room for the id, the algorithm and the frame around a result that is just below the limit."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, data: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(data)) + data


def answer_head(exec_id: str) -> bytes:
    """ExecutionResult.exec_id, once for a call."""
    return _field(0x0A, exec_id.encode()) if exec_id else b""


def answer(head: bytes, algorithm: bytes, result: bytes) -> bytes:
    """A whole ExecutionResult: its head, then algorithm_result with algorithm and result."""
    one, two = len(algorithm), len(result)
    if one + two < 124:  # every length takes one byte
        return b"%b\x1a%c\x0a%c%b\x12%c%b" % (head, one + two + 4, one, algorithm, two, result)
    return head + _field(0x1A, _field(0x0A, algorithm) + _field(0x12, result))


def result_bytes(definition: Definition, value: Any, timestamp_s: int) -> bytes:
    """A successful Result.

    Raises:
        ConversionError: The value has another form than announced, or cannot be carried.
    """
    kind = definition.kind
    if type(value) is ValueResult and kind is ResultKind.VALUE:
        value = value.value
    if (
        type(value) is float
        and -FLOAT32_MAX < value < FLOAT32_MAX
        and kind in _NUMBERS
        and not definition.exact
    ):
        return _NUMBER(_STATUS, _SINGLE_TAG, value) + _STAMP_TAG + _varint(timestamp_s)
    if definition.exact:
        plain = value.value if isinstance(value, (ValueResult, ArrayResult)) else value
        value, kind = {EXACT_KEY: plain}, ResultKind.STRUCT
    message = wire.Result(timestamp=timestamp_s)
    if value is None:
        # A function that may return None, as Optional says, returned it.
        kind = ResultKind.NONE
    fill_result(message, value, kind)
    data = message.SerializeToString()
    if len(data) > wire.MESSAGE_BYTES_MAX - _OVERHEAD_BYTES:
        raise _TooLarge(too_large(len(data), wire.MESSAGE_BYTES_MAX))
    return data


class _TooLarge(Exception):  # noqa: N818 - never leaves the engine
    def __init__(self, details: dict[str, Any]) -> None:
        super().__init__(details["message"])
        self.details = details


TooLarge = _TooLarge


def failure_bytes(details: Mapping[str, Any], timestamp_s: int) -> bytes:
    """A failed Result; what the body raised is unhandled, everything else handled."""
    message = wire.Result()
    failed_result(message, details, handled=details.get("kind") not in {"raised", "lost"})
    message.timestamp = timestamp_s
    return message.SerializeToString()
