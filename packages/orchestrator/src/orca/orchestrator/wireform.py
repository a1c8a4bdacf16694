"""Between the wire's messages and the kernel's values, for every generation of senders."""

from __future__ import annotations

import json
import re
import sys
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from orca.orchestrator.errors import FieldFault, InvalidFieldError
from orca.orchestrator.model import (
    AlgorithmDef,
    AlgorithmOptions,
    AlgorithmRef,
    Dependency,
    LookBack,
    MetadataFieldDef,
    ProcessorKey,
    Registration,
    ResultKind,
    WindowSpan,
    WindowTypeDef,
    WindowTypeRef,
)
from orca.orchestrator.store.codec import canonical, decode_value
from orca.orchestrator.store.records import StoredValue
from orca.processor import arrays, convert, structs, wire
from orca.processor.registration import OPTIONS_KEY

if TYPE_CHECKING:
    from orca.orchestrator.settings import CoreSettings

__all__ = [
    "algorithm_message",
    "error_of",
    "metadata_text",
    "read_registration",
    "registration_message",
    "result_message",
    "stored_value",
    "window_message",
    "window_type_message",
]

NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 1000
# A year in seconds; as a number of attempts or windows it is as good as no limit.
OPTION_MAX = 366 * 86_400
# The wire's limit for a look-back is a uint32 of rows; the kernel cuts at its own ROWS_MAX.
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")


def _name_fault(field: str, value: str) -> list[FieldFault]:
    if not value:
        return [FieldFault(field, "must not be empty")]
    if len(value) > NAME_CHARS_MAX:
        return [FieldFault(field, f"has {len(value)} characters, at most {NAME_CHARS_MAX}")]
    if not _NAME.fullmatch(value):
        return [FieldFault(field, "must not hold control characters")]
    return []


def read_registration(
    message: wire.ProcessorRegistration, settings: CoreSettings, announced: str = ""
) -> Registration:
    """A processor's registration, of any generation.

    Args:
        message: What the processor sent.
        settings: Where options come from that the processor does not announce.
        announced: The JSON text of `orca.processor.registration.OPTIONS_KEY`; empty for published workers.

    Raises:
        InvalidFieldError: Names are missing or too long, the address is no ``host:port``, or an option is out
            of its range; every fault is listed with its field.
    """
    faults = _name_fault("name", message.name)
    faults += _address_faults(message.connection_str)
    for index, entry in enumerate(message.supported_algorithms):
        faults += _algorithm_faults(f"supported_algorithms[{index}]", entry)
    options = _announced_options(
        announced, AlgorithmOptions(settings.timeout_s, settings.attempts_max), faults
    )
    if faults:
        raise InvalidFieldError(tuple(faults), hint="see the reference of the wire for each field's form")
    plain = AlgorithmOptions(settings.timeout_s, settings.attempts_max)
    return Registration(
        ProcessorKey(message.project_name, message.name),
        tuple(
            _algorithm(entry, options.get(f"{entry.name}_{entry.version}", plain))
            for entry in message.supported_algorithms
        ),
        message.runtime,
        message.connection_str,
    )


def _announced_options(
    text: str, plain: AlgorithmOptions, faults: list[FieldFault]
) -> dict[str, AlgorithmOptions]:
    """How our worker wants its algorithms to be run, by full name; what is wrong is added to ``faults``."""
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        faults.append(FieldFault(OPTIONS_KEY, "is not a JSON object"))
        return {}
    entries = cast("dict[str, Any]", found)
    return {name: _options_of(name, entry, plain, faults) for name, entry in entries.items()}


def _options_of(name: str, entry: Any, plain: AlgorithmOptions, faults: list[FieldFault]) -> AlgorithmOptions:
    given = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    chosen: dict[str, Any] = {}
    for option, kinds in (("timeout_s", (int, float)), ("attempts_max", int), ("concurrency_max", int)):
        value = given.get(option)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= OPTION_MAX:
            faults.append(
                FieldFault(f"{OPTIONS_KEY}[{name}].{option}", f"is {value!r}, not a number from 1 up")
            )
            continue
        chosen[option] = value
    cache = given.get("cache")
    if isinstance(cache, bool):
        chosen["cache"] = cache
    elif cache is not None:
        faults.append(FieldFault(f"{OPTIONS_KEY}[{name}].cache", f"is {cache!r}, neither true nor false"))
    return replace(plain, **chosen)


def _address_faults(address: str) -> list[FieldFault]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return [FieldFault("connection_str", f"is {address!r}, not host:port")]
    if not 1 <= int(port) <= 65_535:
        text = (
            f"names port {port}; set PROCESSOR_EXTERNAL_PORT or a port in PROCESSOR_ADDRESS from 1 to 65535"
        )
        return [FieldFault("connection_str", text)]
    return []


def _algorithm_faults(path: str, entry: wire.Algorithm) -> list[FieldFault]:
    faults = _name_fault(f"{path}.name", entry.name) + _name_fault(f"{path}.version", entry.version)
    faults += _name_fault(f"{path}.window_type.name", entry.window_type.name)
    faults += _name_fault(f"{path}.window_type.version", entry.window_type.version)
    if len(entry.description) > DESCRIPTION_CHARS_MAX:
        text = f"has {len(entry.description)} characters, at most {DESCRIPTION_CHARS_MAX}"
        faults.append(FieldFault(f"{path}.description", text))
    for index, dependency in enumerate(entry.dependencies):
        faults += _name_fault(f"{path}.dependencies[{index}].name", dependency.name)
        faults += _name_fault(f"{path}.dependencies[{index}].version", dependency.version)
    return faults


def _lookback(message: wire.Algorithm | wire.AlgorithmDependency) -> LookBack | None:
    if message.lookback_num == 0 and message.lookback_time_delta == 0:
        return None
    return LookBack(
        message.lookback_num,
        message.lookback_time_delta,
        message.lookback_gap_num,
        message.lookback_gap_time_delta,
    )


def _algorithm(message: wire.Algorithm, options: AlgorithmOptions) -> AlgorithmDef:
    window = message.window_type
    fields = tuple(
        MetadataFieldDef(entry.name, entry.description, entry.noStore, entry.filter)
        for entry in window.metadataFields
    )
    known = message.result_type in ResultKind._value2member_map_
    return AlgorithmDef(
        message.name,
        message.version,
        WindowTypeDef(window.name, window.version, window.description, fields),
        tuple(
            Dependency(AlgorithmRef(entry.name, entry.version), entry.processor_name, _lookback(entry))
            for entry in message.dependencies
        ),
        ResultKind(message.result_type) if known else ResultKind.NOT_SPECIFIED,
        message.description,
        _lookback(message),
        options,
    )


def window_type_message(definition: WindowTypeDef) -> wire.WindowType:
    """A window type for the wire."""
    return wire.WindowType(
        name=definition.name,
        version=definition.version,
        description=definition.description,
        metadataFields=[
            wire.MetadataField(
                name=entry.name, description=entry.description, noStore=entry.no_store, filter=entry.filter
            )
            for entry in definition.fields
        ],
    )


def _put_lookback(message: wire.Algorithm | wire.AlgorithmDependency, lookback: LookBack | None) -> None:
    if lookback is None:
        return
    if lookback.count:
        message.lookback_num = lookback.count
    else:
        message.lookback_time_delta = lookback.delta_ns
    if lookback.gap_count:
        message.lookback_gap_num = lookback.gap_count
    elif lookback.gap_delta_ns:
        message.lookback_gap_time_delta = lookback.gap_delta_ns


def algorithm_message(definition: AlgorithmDef, runtimes: dict[str, str] | None = None) -> wire.Algorithm:
    """An algorithm for the wire, as it was registered."""
    message = wire.Algorithm(
        name=definition.name,
        version=definition.version,
        window_type=window_type_message(definition.window_type),
        result_type=int(definition.result_kind),
        description=definition.description,
    )
    _put_lookback(message, definition.self_lookback)
    for entry in definition.dependencies:
        added = message.dependencies.add()
        added.name, added.version = entry.algorithm
        added.processor_name = entry.processor
        added.processor_runtime = (runtimes or {}).get(entry.processor, "")
        _put_lookback(added, entry.lookback)
    return message


def registration_message(registration: Registration, runtimes: dict[str, str]) -> wire.ProcessorRegistration:
    """A registration for the wire, as Expose answers it."""
    return wire.ProcessorRegistration(
        name=registration.processor.name,
        runtime=registration.runtime,
        connection_str=registration.address,
        project_name=registration.processor.project,
        supported_algorithms=[algorithm_message(entry, runtimes) for entry in registration.algorithms],
    )


def _items(value: Any) -> list[Any]:
    return value  # type: ignore[no-any-return]


def _depth(value: object) -> int:
    """Nesting of a JSON value, without recursion."""
    deepest = 0
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        if isinstance(item, dict):
            stack.extend((child, level + 1) for child in cast("dict[str, Any]", item).values())
        elif isinstance(item, list):
            stack.extend((child, level + 1) for child in _items(item))
    return deepest


def metadata_text(metadata: dict[str, Any], settings: CoreSettings) -> str:
    """Metadata as canonical JSON.

    Raises:
        InvalidFieldError: It is nested too deeply, too large, or holds NaN or infinity.
    """
    if not metadata:
        return "{}"
    if _depth(metadata) > settings.metadata_depth_max:
        fault = FieldFault("metadata", f"is nested deeper than {settings.metadata_depth_max} levels")
        raise InvalidFieldError((fault,))
    try:
        text = canonical(metadata)
        size = len(text.encode())
    except ValueError:
        fault = FieldFault("metadata", "holds NaN, infinity or text that is no Unicode")
        raise InvalidFieldError((fault,)) from None
    if size > settings.metadata_bytes_max:
        fault = FieldFault("metadata", f"has {size} bytes as JSON, at most {settings.metadata_bytes_max}")
        raise InvalidFieldError((fault,))
    return text


def window_message(kind: WindowTypeRef, span: WindowSpan, *, origin: str, metadata: str) -> wire.Window:
    """A stored window for the wire."""
    message = wire.Window(window_type_name=kind.name, window_type_version=kind.version, origin=origin)
    message.time_from.FromNanoseconds(span.time_from_ns)
    message.time_to.FromNanoseconds(span.time_to_ns)
    if metadata != "{}":
        structs.fill_struct(message.metadata, json.loads(metadata))
    return message


def stored_value(result: wire.Result) -> StoredValue:
    """A successful result as it is stored: float64, binary arrays, JSON.

    Raises:
        ValueError: A struct holds NaN or infinity, which JSON cannot carry.
    """
    kind = result.WhichOneof("result_data")
    if kind == "single_value":
        return StoredValue(ResultKind.VALUE, result.single_value)
    if kind == "struct_value":
        return StoredValue(
            ResultKind.STRUCT, None, canonical(structs.struct_dict(result.struct_value)).encode()
        )
    if kind == "float_values":
        return StoredValue(ResultKind.ARRAY, None, _float64(result.float_values))
    return StoredValue(ResultKind.NONE)


def _float64(message: wire.FloatArray) -> bytes:
    """The numbers as little-endian float64, without a loop in Python."""
    data = message.SerializeToString()
    if not data:
        return b""
    head = 1
    while data[head] & 0x80:
        head += 1
    single = array("f")
    single.frombytes(data[head + 1 :])
    if sys.byteorder == "big":
        single.byteswap()
    double = array("d", single)
    if sys.byteorder == "big":
        double.byteswap()
    return double.tobytes()


def result_message(value: StoredValue) -> wire.Result:
    """A stored result for a dependent."""
    message = wire.Result(status=wire.RESULT_STATUS_SUCEEDED)
    plain: Any = decode_value(value)
    if value.kind == ResultKind.STRUCT:
        structs.fill_struct(message.struct_value, plain)
    elif value.kind == ResultKind.ARRAY:
        arrays.fill_floats(message.float_values, plain)
    elif value.kind == ResultKind.VALUE:
        message.single_value = plain
    return message


def error_of(result: wire.Result) -> dict[str, Any]:
    """What a failed result says, whichever generation wrote it."""
    return dict(convert.result_from_wire(result).error)
