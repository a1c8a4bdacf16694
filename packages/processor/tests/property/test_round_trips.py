from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import busy

from orca.processor import arrays, convert, structs, wire
from orca.processor.errors import ConversionError
from orca.processor.model import Lookback, MetadataField, ResultKind, Window, WindowType
from orca.processor.specs import AlgorithmSpec, DependencySpec, ProcessorSpec

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53).map(float)
leaves = st.none() | st.booleans() | numbers | texts
objects = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
mappings = st.dictionaries(texts, objects, max_size=6)
names = st.from_regex(r"[A-Z][a-zA-Z0-9]{0,10}", fullmatch=True)
versions = st.tuples(*[st.integers(0, 99)] * 3).map(lambda v: ".".join(map(str, v)))
nanoseconds = st.integers(0, 253_402_300_799 * 10**9)


@given(mappings)
@busy
def test_structs(mapping: dict[str, Any]) -> None:
    message = wire.Struct.FromString(structs.to_struct(mapping).SerializeToString())
    assert structs.struct_dict(message) == mapping


@given(nanoseconds, nanoseconds, names, versions, texts, mappings)
@busy
def test_windows(one: int, two: int, name: str, version: str, origin: str, metadata: dict[str, Any]) -> None:  # noqa: PLR0917
    window = Window.unchecked(min(one, two), max(one, two), name, version, origin, metadata)
    message = wire.Window.FromString(convert.window_to_wire(window).SerializeToString())
    back = convert.window_from_wire(message)
    assert back == window
    assert hash(back) == hash(window)


lookbacks = (
    st.none()
    | st.builds(Lookback, count=st.integers(1, 2**32 - 1), gap_count=st.integers(0, 2**32 - 1))
    | st.builds(Lookback, span_ns=st.integers(1, 2**63), gap_ns=st.integers(0, 2**63))
)
described = texts.filter(bool)
window_types = st.builds(
    WindowType,
    names,
    versions,
    texts,
    st.lists(
        st.builds(MetadataField, described, described, st.booleans(), st.booleans()),
        max_size=3,
        unique_by=lambda one: one.name,
    ),
)
algorithms = st.builds(
    AlgorithmSpec,
    name=names,
    version=versions,
    window_type=window_types,
    dependencies=st.lists(
        st.builds(DependencySpec, names, versions, texts, texts, lookbacks), max_size=3
    ).map(tuple),
    result_kind=st.sampled_from([kind for kind in ResultKind if kind]),
    description=described,
    self_lookback=lookbacks,
)


@given(st.builds(ProcessorSpec, names, texts, texts, st.lists(algorithms, max_size=3).map(tuple), texts))
@busy
def test_registrations(spec: ProcessorSpec) -> None:
    sent = convert.processor_to_wire(spec).SerializeToString()
    assert convert.processor_from_wire(wire.ProcessorRegistration.FromString(sent)) == spec


@given(st.lists(st.floats(width=32) | st.integers(-1000, 1000) | st.booleans(), max_size=300))
@busy
def test_arrays_agree_with_numpy_and_with_protobuf(values: list[float]) -> None:
    plain, fast = wire.FloatArray(), wire.FloatArray()
    arrays.fill_floats(plain, values)
    arrays.fill_floats(fast, np.asarray(values, dtype=np.float64))
    slow = wire.FloatArray(values=[float(v) for v in values])
    assert plain.SerializeToString() == slow.SerializeToString()
    np.testing.assert_array_equal(arrays.as_numpy(fast), np.asarray(slow.values, dtype=np.float32))


@given(st.binary(max_size=200))
@busy
def test_reading_never_refuses_what_parses(data: bytes) -> None:
    for kind, read in (
        (wire.Window, convert.window_from_wire),
        (wire.Result, convert.result_from_wire),
        (wire.ProcessorRegistration, convert.processor_from_wire),
    ):
        try:
            message = kind.FromString(data)
        except Exception as error:  # noqa: BLE001
            assert type(error).__name__ == "DecodeError"  # noqa: PT017
            continue
        read(message)


anything = st.recursive(
    leaves | st.floats() | st.integers() | st.binary(max_size=3) | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(anything, st.sampled_from(ResultKind))
@busy
def test_writing_a_result_works_or_raises_a_conversion_error(value: Any, kind: ResultKind) -> None:
    message = wire.Result()
    try:
        convert.fill_result(message, value, kind)
    except ConversionError as error:
        assert str(error)  # noqa: PT017
        return
    record = convert.result_from_wire(wire.Result.FromString(message.SerializeToString()))
    assert record.ok
    if isinstance(value, (int, float)) and record.kind is ResultKind.VALUE:
        assert math.isnan(value) or record.value == pytest.approx(float(np.float32(value)), rel=1e-6)
