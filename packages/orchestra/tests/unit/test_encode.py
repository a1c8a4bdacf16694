import enum
import json
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestra.sdk import OutputError, _encode
from orchestra.sdk._encode import encode, name_warning

RUN = UUID("11111111-2222-4333-8444-555555555555")

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Point:
    x: int
    at: date


class Model(BaseModel):
    name: str
    when: datetime


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc), "2026-01-02T03:04:00+00:00"),
        (time(1, 2), "01:02:00"),
        (timedelta(minutes=2), 120.0),
        (Decimal(12), 12),
        (Decimal("0.10"), "0.10"),
        (Decimal("1e30"), "1E+30"),
        (RUN, str(RUN)),
        (Path("a/b"), "a/b"),
        (Color.RED, "red"),
        (Level.LOW, 1),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (b"text", "text"),
        ((1, [2]), [1, [2]]),
        (Point(1, date(2026, 1, 1)), {"x": 1, "at": "2026-01-01"}),
        (Model(name="m", when=NOON), {"name": "m", "when": "2026-01-01T12:00:00+00:00"}),
        (np.float32(1.5), 1.5),
        (np.int64(7), 7),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.datetime64("2026-01-01"), "2026-01-01"),
        (OrderedDict(a=UserDict(b=1)), {"a": {"b": 1}}),
        ({1: "a", None: "b", RUN: "d", Color.RED: "e", date(2026, 1, 1): "f"},
         {"1": "a", "None": "b", str(RUN): "d", "red": "e", "2026-01-01": "f"}),
    ],
)  # fmt: skip
def test_values_become_plain_json(value, plain):
    assert encode(value) == plain
    json.dumps(encode(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"rows": [{"price": float("nan")}]}, "rows[0].price", "nan at rows[0].price has no place"),
        (float("inf"), "", "inf has no place"),
        ([np.float64("nan")], "[0]", "nan at [0]"),
        (np.array([1.0, np.inf]), "[1]", "inf at [1]"),
        (Decimal("NaN"), "", "nan has no place"),
        ({"f": print}, "f", "builtin_function_or_method at f has no place"),
        ({"b": b"\xff"}, "", "not UTF-8"),
        ({(1, 2): 3}, "", "a key of type tuple"),
        ({1: "a", "1": "b"}, "", "two keys of the value become '1'"),
        (int, "", "type has no place"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_place(value, path, words):
    with pytest.raises(OutputError) as caught:
        encode(value)
    assert words in str(caught.value)
    assert caught.value.path == path
    assert isinstance(caught.value, ValueError)


def test_cycles_and_sizes_are_bounded(monkeypatch):
    cycle: list = []
    cycle.append(cycle)
    with pytest.raises(OutputError, match="nested deeper than 64"):
        encode(cycle)
    monkeypatch.setattr(_encode, "ITEMS_MAX", 10)
    with pytest.raises(OutputError, match="more than 10 items"):
        encode(list(range(20)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                    | st.text(), lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids),
                    max_leaves=20))  # fmt: skip
def test_plain_json_stays_as_it_is(value):
    assert encode(value) == value


def test_names():
    assert name_warning("row_count") == ""
    assert "may be refused" in name_warning("row-2")
    for bad in ("", "  ", None):
        with pytest.raises(OutputError, match="needs a name"):
            name_warning(bad)  # type: ignore[arg-type]
