from __future__ import annotations

import array
import dataclasses
import datetime as dt
import enum
from collections import namedtuple
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from orca.processor import arrays, convert, structs, wire
from orca.processor.errors import ConversionError
from orca.processor.model import ArrayResult, NoneResult, ResultKind, StructResult, ValueResult, Window


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Stats:
    mean: float
    inner: list[int]


class Model(BaseModel):
    mean: float
    at: dt.date


Point = namedtuple("Point", "x y")  # noqa: PYI024


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Stats(1.5, [1]), {"mean": 1.5, "inner": [1.0]}),
        (Model(mean=2.0, at=dt.date(2026, 1, 2)), {"mean": 2.0, "at": "2026-01-02"}),
        (Point(1, 2), {"x": 1.0, "y": 2.0}),
        (dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), "2026-01-01T00:00:00+00:00"),
        (dt.timedelta(seconds=1.5), 1.5),
        ({3}, [3.0]),
        (range(2), [0.0, 1.0]),
        (np.float32(1.5), 1.5),
        (np.int64(3), 3.0),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
        (array.array("d", [1.0]), [1.0]),
        ((), []),
        ({}, {}),
    ],
)
def test_structs_take_values_apart(value: Any, plain: Any) -> None:
    assert structs.struct_dict(structs.to_struct({"k": value})) == {"k": plain}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"a": float("nan")}, "$.a", "nan"),
        ({"a": [1.0, float("inf")]}, "$.a[1]", "inf"),
        ({"a": {"b": float("-inf")}}, "$.a.b", "-inf"),
        ({"a": np.array([np.nan])}, "$.a[0]", "nan"),
        ({"a": 2**53 + 1}, "$.a", "rounded"),
        ({1: "a"}, "$", "not a text"),
        ({"a": "\ud800"}, "$.a", "Unicode"),
        ({"a": ["\ud800"]}, "$.a[0]", "Unicode"),
        ({"\ud800": 1.0}, "$", "Unicode"),
        ({"a": b"bytes"}, "$.a", "bytes"),
        ({"a": object()}, "$.a", "object"),
        ({"a": deep(200)}, "$.a", "deeper"),
    ],
)
def test_what_a_struct_cannot_hold_is_named_with_its_place(value: Any, path: str, words: str) -> None:
    with pytest.raises(ConversionError, match=words) as caught:
        structs.to_struct(value)
    assert caught.value.path.startswith(path)


def test_the_deepest_value_that_is_taken_can_be_parsed_in_its_message() -> None:
    value: Any = 1.0
    for _ in range(structs.DEPTH_MAX - 1):
        value = {"k": value}
    request = wire.ExecutionRequest()
    structs.fill_struct(
        request.algorithm_executions.add().dependencies.add().result.add().result.struct_value, value
    )
    assert wire.ExecutionRequest.FromString(request.SerializeToString()) == request
    with pytest.raises(ConversionError):
        structs.to_struct({"k": {"k": {"k": value}}})


def test_an_empty_struct_is_there() -> None:
    message = wire.Result()
    convert.fill_result(message, {}, ResultKind.STRUCT)
    assert message.HasField("struct_value")
    empty = wire.Result()
    convert.fill_result(empty, [], ResultKind.ARRAY)
    assert empty.HasField("float_values")
    assert len(arrays.as_numpy(empty.float_values)) == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0, "a"], "no number"),
        ([1.0, None], "no number"),
        ("abc", "no array"),
        ([1e39], "too large"),
        ([10**400], "too large"),
        (np.array([1e39]), "too large"),
        (np.zeros((2, 2)), "2x2"),
        (np.array(1.0), "0 dimensions"),
        (np.array(["a"]), "no array"),
        ([1.0, [2.0]], "no number"),
    ],
)
def test_arrays_refuse_what_is_no_list_of_numbers(value: Any, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        arrays.fill_floats(wire.FloatArray(), value)


@pytest.mark.parametrize(
    "value", [[1, 2.5, True], (1, 2.5, 1), array.array("d", [1, 2.5, 1]), iter([1, 2.5, 1])]
)
def test_arrays_of_every_kind(value: Any) -> None:
    message = wire.FloatArray()
    arrays.fill_floats(message, value)
    assert arrays.float_list(message) == [1.0, 2.5, 1.0]


def test_columns_and_decimals_and_infinities() -> None:
    polars = pytest.importorskip("polars")
    assert arrays.plain_numbers(polars.Series([1, 2])) == [1.0, 2.0]
    assert arrays.plain_numbers([Decimal("1.5"), 2]) == [1.5, 2.0]
    assert arrays.plain_numbers([float("inf")]) == [float("inf")]
    assert arrays.plain_numbers(np.array([np.inf, 1.0])) == [float("inf"), 1.0]
    assert arrays.plain_numbers(np.array([True, False])) == [1.0, 0.0]


@pytest.mark.parametrize("value", ["a", None, b"a", [1], 1e39, 10**400, 1j])
def test_single_values_refuse(value: Any) -> None:
    with pytest.raises(ConversionError):
        arrays.single(value)


def test_large_whole_numbers_are_rounded_in_a_value_and_exact_in_a_struct() -> None:
    value, exact = wire.Result(), wire.Result()
    convert.fill_result(value, 16777217, ResultKind.VALUE)
    convert.fill_result(exact, {convert.EXACT_KEY: 16777217}, ResultKind.STRUCT)
    assert convert.result_value(wire.Result.FromString(value.SerializeToString())) == 16777216
    assert convert.result_value(exact) == {"value": 16777217}


@pytest.mark.parametrize(
    ("result", "kind", "value"),
    [
        (StructResult({"a": 1}), ResultKind.STRUCT, {"a": 1.0}),
        (ValueResult(True), ResultKind.VALUE, 1.0),
        (ArrayResult([1, 2]), ResultKind.ARRAY, [1.0, 2.0]),
        (NoneResult(), ResultKind.NONE, None),
        (Stats(1.0, []), ResultKind.STRUCT, {"mean": 1.0, "inner": []}),
        (np.float32(2.0), ResultKind.VALUE, 2.0),
        (np.array([2.0]), ResultKind.ARRAY, [2.0]),
        (Point(1, 2), ResultKind.STRUCT, {"x": 1.0, "y": 2.0}),
    ],
)
def test_results_without_an_announced_form(result: Any, kind: ResultKind, value: Any) -> None:
    message = wire.Result()
    convert.fill_result(message, result, ResultKind.NOT_SPECIFIED)
    record = convert.result_from_wire(message)
    assert (record.ok, record.kind, record.value) == (True, kind, value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, ResultKind.NONE), ([1], ResultKind.STRUCT), ("a", ResultKind.VALUE), ({}, ResultKind.ARRAY)],
)
def test_another_form_than_announced_is_refused(value: Any, kind: ResultKind) -> None:
    with pytest.raises(ConversionError):
        convert.fill_result(wire.Result(), value, kind)


def test_failures_are_readable_by_every_generation() -> None:
    message = wire.Result(single_value=3.0)
    details = {
        "kind": "raised",
        "message": "boom",
        "stack_trace": "File x",
        "odd": float("nan"),
        "bad": "\ud800",
    }
    convert.failed_result(message, details)
    record = convert.result_from_wire(message)
    assert record.status is convert.ResultStatus.UNHANDLED_FAILED
    assert record.error["message"] == "boom"
    assert record.error["odd"] == "nan"
    assert structs.struct_dict(message.struct_value) == {"error": "boom", "stack_trace": "File x"}
    assert record.value is None
    convert.failed_result(message, {"kind": "skipped"}, handled=True)
    assert message.status == wire.RESULT_STATUS_HANDLED_FAILED


def test_failures_of_the_published_sdk_are_read() -> None:
    message = wire.Result(status=wire.RESULT_STATUS_UNHANDLED_FAILED)
    structs.fill_struct(message.struct_value, {"error": "'x'", "stack_trace": "trace"})
    record = convert.result_from_wire(message)
    assert record.error == {"kind": "raised", "message": "'x'", "error": "'x'", "stack_trace": "trace"}


def test_a_status_nobody_defined_is_a_failure() -> None:
    assert convert.result_from_wire(wire.Result(status=77)).status is convert.ResultStatus.UNHANDLED_FAILED
    unset = convert.result_from_wire(wire.Result())
    assert unset.status is convert.ResultStatus.HANDLED_FAILED
    assert convert.algorithm_from_wire(wire.Algorithm(result_type=9)).result_kind is ResultKind.NOT_SPECIFIED


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000, 1_000_000_000])
def test_windows_of_the_first_generation(scale: int) -> None:
    number = 1_747_582_274 * scale
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    message = wire.Window.FromString(b"\x08" + bytes(encoded) + b"\x10" + bytes(encoded) + b"\x1a\x03Abc")
    assert convert.seed_window_times(message) == (1_747_582_274 * 10**9,) * 2
    window = convert.window_from_wire(message)
    assert window.start == dt.datetime(2025, 5, 18, 15, 31, 14, tzinfo=dt.timezone.utc)
    assert window.name == "Abc"


def test_windows_of_later_generations_are_not_taken_for_the_first() -> None:
    assert convert.seed_window_times(wire.Window()) is None
    message = convert.window_to_wire(Window(1_000_000, 2_000_000, "A", "1.0.0"))
    assert convert.seed_window_times(message) is None


def test_a_window_far_outside_any_calendar_is_still_a_window() -> None:
    window = convert.window_from_wire(wire.Window(time_to=wire.Timestamp(seconds=2**62)))
    assert isinstance(window.time_to, int)


def test_long_and_missing_descriptions_are_made_acceptable() -> None:
    from orca.processor.model import WindowType
    from orca.processor.specs import AlgorithmSpec

    spec = AlgorithmSpec("A", "1.0.0", WindowType("W", "1.0.0"))
    assert convert.algorithm_to_wire(spec).description == "A"
    # A function without an annotation: published cores want a result type all the same.
    assert convert.algorithm_to_wire(spec).result_type == wire.STRUCT
    spec = AlgorithmSpec("A", "1.0.0", WindowType("W", "1.0.0"), description="x" * 5000)
    assert len(convert.algorithm_to_wire(spec).description) == 1000


def test_metadata_that_cannot_be_sent_is_named() -> None:
    window = Window(1, 2, "A", "1.0.0", "o", {"asset": float("nan")})
    with pytest.raises(ConversionError) as caught:
        convert.window_to_wire(window)
    assert caught.value.path == "$.metadata.asset"
