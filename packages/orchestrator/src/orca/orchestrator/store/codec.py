"""Registrations, plans and values as text and bytes, and back. JSON only; no pickle."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from array import array
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

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
    WindowTypeDef,
    WindowTypeRef,
)
from orca.orchestrator.planner import Input, Node, Plan
from orca.orchestrator.store.records import StoredValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "canonical",
    "decode_fields",
    "decode_plan",
    "decode_registration",
    "decode_value",
    "encode_fields",
    "encode_plan",
    "encode_registration",
    "encode_value",
    "filter_key",
    "window_digest",
]


# The key is part of an index, and PostgreSQL's take no more than 2,700 bytes in all.
FILTER_KEY_BYTES_MAX = 2_000


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Example:
        >>> canonical({"b": 1, "a": [True, None]})
        '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode_registration(registration: Registration) -> str:
    """A registration as canonical JSON, without its address."""
    raw = asdict(registration)
    raw["processor"] = list(registration.processor)
    del raw["address"]
    return canonical(raw)


def decode_registration(text: str) -> Registration:
    """The opposite of `encode_registration`."""
    raw = json.loads(text)
    algorithms = tuple(_algorithm(entry) for entry in raw["algorithms"])
    return Registration(ProcessorKey(*raw["processor"]), algorithms, raw["runtime"])


def _lookback(raw: Mapping[str, Any] | None) -> LookBack | None:
    return None if raw is None else LookBack(**raw)


def _window_type(raw: Mapping[str, Any]) -> WindowTypeDef:
    fields = tuple(MetadataFieldDef(**entry) for entry in raw["fields"])
    return WindowTypeDef(raw["name"], raw["version"], raw["description"], fields)


def _algorithm(raw: Mapping[str, Any]) -> AlgorithmDef:
    dependencies = tuple(
        Dependency(AlgorithmRef(*entry["algorithm"]), entry["processor"], _lookback(entry["lookback"]))
        for entry in raw["dependencies"]
    )
    return AlgorithmDef(
        raw["name"],
        raw["version"],
        _window_type(raw["window_type"]),
        dependencies,
        ResultKind(raw["result_kind"]),
        raw["description"],
        _lookback(raw["self_lookback"]),
        AlgorithmOptions(**raw["options"]),
    )


def encode_plan(plan: Plan) -> str:
    """A plan as canonical JSON."""
    return canonical(asdict(plan))


def decode_plan(text: str) -> Plan:
    """The opposite of `encode_plan`."""
    raw = json.loads(text)
    nodes = tuple(
        Node(
            entry["index"],
            _algorithm(entry["definition"]),
            ProcessorKey(*entry["processor"]),
            tuple(
                Input(
                    AlgorithmRef(*one["algorithm"]),
                    one["node"],
                    _lookback(one["lookback"]),
                    WindowTypeRef(*one["window_type"]),
                    one["own"],
                )
                for one in entry["inputs"]
            ),
            tuple(entry["upstream"]),
            tuple(entry["downstream"]),
            entry["stage"],
            entry["blocked"],
        )
        for entry in raw["nodes"]
    )
    return Plan(WindowTypeRef(*raw["window_type"]), nodes)


def encode_fields(fields: Sequence[MetadataFieldDef]) -> str:
    """A window type's metadata fields as JSON."""
    return canonical([asdict(entry) for entry in fields])


def decode_fields(text: str) -> tuple[MetadataFieldDef, ...]:
    """The opposite of `encode_fields`."""
    return tuple(MetadataFieldDef(**entry) for entry in json.loads(text))


def encode_value(value: object) -> StoredValue:
    """A Python result as it is stored: float64 numbers, binary arrays, JSON structs.

    Args:
        value: None, a bool, a number, a sequence of numbers (or anything with a buffer of doubles), or a
            dictionary with text keys.

    Raises:
        ValueError: NaN or infinity inside a struct, which JSON cannot carry.
        TypeError: Anything else.

    Example:
        >>> encode_value(2).number
        2.0
    """
    if value is None:
        return StoredValue(ResultKind.NONE)
    if isinstance(value, (bool, int, float)):
        return StoredValue(ResultKind.VALUE, float(value))
    if isinstance(value, dict):
        return StoredValue(ResultKind.STRUCT, None, canonical(cast("object", value)).encode())
    numbers = array("d", cast("Iterable[float]", value))
    if sys.byteorder == "big":
        numbers.byteswap()
    return StoredValue(ResultKind.ARRAY, None, numbers.tobytes())


def decode_value(stored: StoredValue) -> object:
    """A stored result as None, a float, a list of floats, or a dictionary.

    Example:
        >>> decode_value(encode_value([1, 2.5]))
        [1.0, 2.5]
    """
    if stored.kind == ResultKind.VALUE:
        return math.nan if stored.number is None else stored.number
    if stored.kind == ResultKind.STRUCT:
        return json.loads(stored.payload or b"{}")
    if stored.kind == ResultKind.ARRAY:
        numbers = array("d")
        numbers.frombytes(stored.payload or b"")
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
    return None


def filter_key(fields: Sequence[MetadataFieldDef], metadata: Mapping[str, object]) -> str:
    """What separates the look-backs of a window type: the values of its filter fields.

    Example:
        >>> filter_key([MetadataFieldDef("station", filter=True)], {"station": "sf", "note": 1})
        '{"station":"sf"}'
    """
    chosen = {
        entry.name: _hidden(metadata.get(entry.name)) if entry.no_store else metadata.get(entry.name)
        for entry in fields
        if entry.filter
    }
    key = canonical(chosen) if chosen else ""
    if (
        len(key) * 4 > FILTER_KEY_BYTES_MAX
        and len(key.encode("utf-8", "surrogatepass")) > FILTER_KEY_BYTES_MAX
    ):
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return canonical({"digest": digest})
    return key


def _hidden(value: object) -> str:
    """Tells values apart that must not be stored."""
    return hashlib.blake2b(canonical(value).encode(), digest_size=16).hexdigest()


def window_digest(origin: str, metadata: str, *, nonce: str = "") -> bytes:
    """The part of the idempotency key that is not type and time: 16 bytes."""
    text = f"{len(origin)}:{origin}{metadata}{nonce}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
