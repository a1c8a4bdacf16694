# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
"""The model to and from protobuf messages, both ways and total.

Whatever another generation of the wire sends becomes a value.
Reading never refuses: names without values, times of the first generation, results without status or
time, all have a meaning. Writing refuses only what the wire cannot carry (:class:`ConversionError`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, cast

from google.protobuf.unknown_fields import UnknownFieldSet

from orca.processor import arrays, structs
from orca.processor import messages as wire
from orca.processor.errors import ConversionError
from orca.processor.model import (
    ArrayResult,
    Lookback,
    MetadataField,
    NoneResult,
    ResultKind,
    StructResult,
    ValueResult,
    Window,
    WindowType,
)
from orca.processor.specs import DESCRIPTION_CHARS_MAX, AlgorithmSpec, DependencySpec, ProcessorSpec
from orca.processor.times import epoch_ns

__all__ = [
    "EXACT_KEY",
    "ResultRecord",
    "ResultStatus",
    "algorithm_from_wire",
    "algorithm_to_wire",
    "failed_result",
    "fill_result",
    "kind_of",
    "processor_from_wire",
    "processor_to_wire",
    "result_from_wire",
    "result_value",
    "seed_window_times",
    "timestamp_from_ns",
    "timestamp_ns",
    "window_from_wire",
    "window_to_wire",
    "window_type_from_wire",
    "window_type_to_wire",
]

EXACT_KEY: Final = "value"
"""The only key of the struct in which an algorithm with ``exact=True`` sends its number or list."""

NS_PER_S: Final = 1_000_000_000
VARINT: Final = 0


class ResultStatus(IntEnum):
    """How an algorithm ended; the numbers are the wire's."""

    HANDLED_FAILED = 0
    UNHANDLED_FAILED = 1
    SUCCEEDED = 2


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A result as it came over the wire.

    Attributes:
        status: How it ended.
        kind: The form of the value.
        value: A float, a list of floats, a dict or None.
        error: What is known of a failure; empty for a success.
        timestamp_s: Unix seconds; 0 when the sender leaves it out.
    """

    status: ResultStatus
    kind: ResultKind
    value: Any = None
    error: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timestamp_s: int = 0

    @property
    def ok(self) -> bool:
        """Whether the algorithm succeeded."""
        return self.status is ResultStatus.SUCCEEDED


def timestamp_ns(stamp: wire.Timestamp) -> int:
    """Nanoseconds since 1970 of a Timestamp, exact."""
    return stamp.seconds * NS_PER_S + stamp.nanos


def timestamp_from_ns(ns: int) -> wire.Timestamp:
    """The Timestamp of a number of nanoseconds since 1970.

    Example:
        >>> timestamp_ns(timestamp_from_ns(1_500_000_001))
        1500000001
    """
    return wire.Timestamp(seconds=ns // NS_PER_S, nanos=ns % NS_PER_S)


def seed_window_times(message: wire.Window) -> tuple[int, int] | None:
    """The times of a window of the first generations, in nanoseconds, or None for a later window.

    Up to core 0.6 the fields 1 and 2 were varints: in today's message they are unknown fields.
    """
    if message.HasField("time_from") or message.HasField("time_to"):
        return None
    found: dict[int, int] = {}
    for unknown in cast("Iterable[Any]", UnknownFieldSet(message)):
        if unknown.wire_type == VARINT and unknown.field_number in {1, 2}:
            found[unknown.field_number] = epoch_ns(unknown.data)
    if not found:
        return None
    return found.get(1, 0), found.get(2, 0)


def window_from_wire(message: wire.Window) -> Window:
    """The window of a message of any generation."""
    times = seed_window_times(message)
    if times is None:
        times = timestamp_ns(message.time_from), timestamp_ns(message.time_to)
    return Window.unchecked(
        times[0],
        times[1],
        message.window_type_name,
        message.window_type_version,
        message.origin,
        structs.struct_dict(message.metadata),
    )


def window_to_wire(window: Window) -> wire.Window:
    """The message of a window.

    Raises:
        ConversionError: The metadata holds what a Struct cannot.
    """
    message = wire.Window(
        time_from=timestamp_from_ns(window.from_ns),
        time_to=timestamp_from_ns(window.to_ns),
        window_type_name=window.name,
        window_type_version=window.version,
        origin=window.origin,
    )
    structs.fill_struct(message.metadata, window.metadata, path="$.metadata")
    return message


def window_type_to_wire(window_type: WindowType) -> wire.WindowType:
    """The message of a window type."""
    fields = [
        wire.MetadataField(
            name=one.name, description=one.description, noStore=one.no_store, filter=one.filter
        )
        for one in window_type.metadataFields
    ]
    return wire.WindowType(
        name=window_type.name,
        version=window_type.version,
        description=window_type.description,
        metadataFields=fields,
    )


def window_type_from_wire(message: wire.WindowType) -> WindowType:
    """The window type of a message; names are taken as they are."""
    fields = tuple(
        _unchecked(MetadataField, one.name, one.description, one.noStore, one.filter)
        for one in message.metadataFields
    )
    made: WindowType = _unchecked(WindowType, message.name, message.version, message.description, fields)
    return made


def _unchecked(kind: Any, *values: Any) -> Any:
    """An instance without its checks: what a peer said is told as it is."""
    made = kind.__new__(kind)
    for name, value in zip(kind.__slots__, values, strict=True):
        object.__setattr__(made, name, value)
    return made


def _lookback_to_wire(message: wire.Algorithm | wire.AlgorithmDependency, lookback: Lookback | None) -> None:
    if lookback is None:
        return
    if lookback.count:
        message.lookback_num = lookback.count
    elif lookback.span_ns:
        message.lookback_time_delta = lookback.span_ns
    if lookback.gap_count:
        message.lookback_gap_num = lookback.gap_count
    elif lookback.gap_ns:
        message.lookback_gap_time_delta = lookback.gap_ns


def _lookback_from_wire(message: wire.Algorithm | wire.AlgorithmDependency) -> Lookback | None:
    found = Lookback(
        count=message.lookback_num,
        span_ns=message.lookback_time_delta,
        gap_count=message.lookback_gap_num,
        gap_ns=message.lookback_gap_time_delta,
    )
    # A look-back of nothing, which the published SDK may send, is none.
    return found if found.count or found.span_ns else None


def algorithm_to_wire(spec: AlgorithmSpec) -> wire.Algorithm:
    """The message of an algorithm, with a description that every core accepts."""
    message = wire.Algorithm(
        name=spec.name,
        version=spec.version,
        window_type=window_type_to_wire(spec.window_type),
        # Published cores want one; a struct is what most functions without an annotation return, and what a
        # result is, is told by the result itself.
        result_type=int(spec.result_kind or ResultKind.STRUCT),
        description=(spec.description or spec.name)[:DESCRIPTION_CHARS_MAX],
    )
    _lookback_to_wire(message, spec.self_lookback)
    for dependency in spec.dependencies:
        added = message.dependencies.add()
        added.name, added.version = dependency.name, dependency.version
        added.processor_name, added.processor_runtime = dependency.processor, dependency.runtime
        _lookback_to_wire(added, dependency.lookback)
    return message


def algorithm_from_wire(message: wire.Algorithm) -> AlgorithmSpec:
    """The algorithm of a message."""
    dependencies = tuple(
        DependencySpec(
            one.name, one.version, one.processor_name, one.processor_runtime, _lookback_from_wire(one)
        )
        for one in message.dependencies
    )
    return AlgorithmSpec(
        name=message.name,
        version=message.version,
        window_type=window_type_from_wire(message.window_type),
        dependencies=dependencies,
        result_kind=_kind(message.result_type),
        description=message.description,
        self_lookback=_lookback_from_wire(message),
    )


def _kind(number: int) -> ResultKind:
    try:
        return ResultKind(number)
    except ValueError:
        return ResultKind.NOT_SPECIFIED


def processor_to_wire(spec: ProcessorSpec) -> wire.ProcessorRegistration:
    """The registration message of a processor."""
    return wire.ProcessorRegistration(
        name=spec.name,
        runtime=spec.runtime,
        connection_str=spec.address,
        supported_algorithms=[algorithm_to_wire(one) for one in spec.algorithms],
        project_name=spec.project,
    )


def processor_from_wire(message: wire.ProcessorRegistration) -> ProcessorSpec:
    """The processor of a registration message."""
    return ProcessorSpec(
        name=message.name,
        runtime=message.runtime,
        address=message.connection_str,
        algorithms=tuple(algorithm_from_wire(one) for one in message.supported_algorithms),
        project=message.project_name,
    )


def kind_of(value: Any) -> ResultKind:
    """The form in which a value without any announced type is sent.

    Example:
        >>> kind_of({"a": 1}).name, kind_of(2.5).name, kind_of([1, 2]).name, kind_of(None).name
        ('STRUCT', 'VALUE', 'ARRAY', 'NONE')
    """
    if value is None or isinstance(value, NoneResult):
        return ResultKind.NONE
    if isinstance(value, (Mapping, StructResult)):
        return ResultKind.STRUCT
    if isinstance(value, (bool, int, float, ValueResult)):
        return ResultKind.VALUE
    if isinstance(value, (list, tuple, ArrayResult)) and not hasattr(value, "_fields"):
        return ResultKind.ARRAY
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        return ResultKind.ARRAY if shape else ResultKind.VALUE
    return ResultKind.STRUCT


def fill_result(message: wire.Result, value: Any, kind: ResultKind) -> None:
    """Put a successful result into ``message``.

    Args:
        message: Gets the status and the value.
        value: What the algorithm returned, or one of the result classes around it.
        kind: What the algorithm announced; ``NOT_SPECIFIED`` takes the form from the value.

    Raises:
        ConversionError: The value has another form than announced, or cannot be carried.
    """
    if isinstance(value, (StructResult, ValueResult, ArrayResult, NoneResult)):
        kind = kind or kind_of(value)
        value = value.value
    elif kind is ResultKind.NOT_SPECIFIED:
        kind = kind_of(value)
    if kind is ResultKind.VALUE:
        message.single_value = arrays.single(value)
    elif kind is ResultKind.STRUCT:
        _fill_struct_result(message, value)
    elif kind is ResultKind.ARRAY:
        arrays.fill_floats(message.float_values, value)
    elif value is not None:
        raise ConversionError(f"the algorithm announces no result and returned a {type(value).__name__}")
    message.status = wire.RESULT_STATUS_SUCEEDED


def _fill_struct_result(message: wire.Result, value: Any) -> None:
    if isinstance(value, Mapping):
        structs.fill_struct(message.struct_value, value)
        return
    slot = wire.Value()
    structs.fill_value(slot, value)
    if slot.WhichOneof("kind") != "struct_value":
        hint = "return a dict, a dataclass or a model; or change the return annotation"
        raise ConversionError(f"a {type(value).__name__} is no struct", hint=hint)
    message.struct_value.CopyFrom(slot.struct_value)


def failed_result(message: wire.Result, details: Mapping[str, Any], *, handled: bool = False) -> None:
    """Put a failure into ``message``: in ``error``, and in ``struct_value`` as the published SDKs write it.

    Args:
        message: Loses whatever value it had.
        details: See :mod:`orca.processor.wire` for the keys; values that cannot be sent become text.
        handled: The failure was foreseen (skipped, timed out), not raised by the body.
    """
    plain = {key: _sendable(value) for key, value in details.items()}
    message.Clear()
    message.status = wire.RESULT_STATUS_HANDLED_FAILED if handled else wire.RESULT_STATUS_UNHANDLED_FAILED
    structs.fill_struct(message.error, plain)
    old = {"error": str(plain.get("message", "")), "stack_trace": str(plain.get("stack_trace", ""))}
    structs.fill_struct(message.struct_value, old)


def _sendable(value: Any) -> Any:
    try:
        structs.fill_value(wire.Value(), value)
    except ConversionError:
        return str(value).encode("utf-8", "backslashreplace").decode()
    return value


def result_value(message: wire.Result) -> Any:
    """The value alone: a float, a list of floats, a dict, or None."""
    kind = message.WhichOneof("result_data")
    if kind == "single_value":
        return message.single_value
    if kind == "struct_value":
        return structs.struct_dict(message.struct_value)
    if kind == "float_values":
        return list(message.float_values.values)
    return None


_KINDS: Final = {
    "single_value": ResultKind.VALUE,
    "struct_value": ResultKind.STRUCT,
    "float_values": ResultKind.ARRAY,
    None: ResultKind.NONE,
}


def result_from_wire(message: wire.Result) -> ResultRecord:
    """The result of a message; a status that nobody defined counts as an unhandled failure."""
    try:
        status = ResultStatus(message.status)
    except ValueError:
        status = ResultStatus.UNHANDLED_FAILED
    value = result_value(message)
    kind = _KINDS[message.WhichOneof("result_data")]
    if status is ResultStatus.SUCCEEDED:
        return ResultRecord(status, kind, value, timestamp_s=message.timestamp)
    error = structs.struct_dict(message.error)
    if not error and isinstance(value, dict):
        # SDKs before contract 1.6 put the failure where the value would be.
        error = {"kind": "raised", "message": str(value.get("error", "")), **value}
    return ResultRecord(status, ResultKind.NONE, None, error, message.timestamp)
