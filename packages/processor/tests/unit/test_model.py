from __future__ import annotations

import datetime as dt
import pickle
import time
from typing import Any

import pytest

from orca.processor.errors import InvalidMetadataFieldArgument, InvalidWindowArgument
from orca.processor.model import MetadataField, Window, WindowType
from orca.processor.times import epoch_ns, ns_of


def test_the_first_generations_window_prints_as_on_its_page() -> None:
    window = Window(
        time_from=1747582274, time_to=1747582304, name="Every30Second", version="1.0.0", origin="Example"
    )
    assert repr(window) == (
        "Window(time_from=1747582274, time_to=1747582304, name='Every30Second', version='1.0.0', "
        "origin='Example')"
    )
    assert window.duration_s == 30
    assert window.full_name == "Every30Second_1.0.0"
    assert window.end == dt.datetime(2025, 5, 18, 15, 31, 44, tzinfo=dt.timezone.utc)


def test_naive_times_are_local_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        noon = dt.datetime(2026, 1, 1, 12)  # noqa: DTZ001
        local = Window(noon, noon, "A", "1.0.0")
        assert local.start.hour == 17
        assert Window(noon, noon, "A", "1.0.0", naive="utc").start.hour == 12
        monkeypatch.setattr(Window, "NAIVE", "utc")
        assert Window(noon, noon, "A", "1.0.0").start.hour == 12
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((2, 1, "A", "1.0.0"), "before"),
        ((1, 2, "a", "1.0.0"), "PascalCase"),
        ((1, 2, "A\n", "1.0.0"), "PascalCase"),
        ((1, 2, "A", "1.0"), "three numbers"),
        ((1, 2, "A", "01.0.0"), "three numbers"),
        ((-5, 2, "A", "1.0.0"), "1970"),
        ((float("nan"), 2, "A", "1.0.0"), "finite"),
        ((float("inf"), 2, "A", "1.0.0"), "finite"),
        (("now", 2, "A", "1.0.0"), "str"),
        ((True, 2, "A", "1.0.0"), "bool"),
        ((10**21, 10**21, "A", "1.0.0"), "9999"),
    ],
)
def test_windows_that_cannot_be(arguments: Any, words: str) -> None:
    with pytest.raises(InvalidWindowArgument, match=words):
        Window(*arguments)


def test_windows_are_values() -> None:
    one = Window(1, 2, "A", "1.0.0", "o", {"a": 1})
    same = Window(dt.datetime.fromtimestamp(1, dt.timezone.utc), 2.0, "A", "1.0.0", "o", {"a": 1.0})
    assert one == same
    assert hash(one) == hash(same)
    assert one != Window(1, 2, "A", "1.0.0", "o")
    assert one != "window"
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.name = "B"  # type: ignore[misc]
    assert "metadata={'a': 1}" in repr(one)


def test_times_by_magnitude() -> None:
    assert epoch_ns(0) == 0
    assert epoch_ns(99_999_999_999) == 99_999_999_999 * 10**9
    assert epoch_ns(1_747_582_274_123) == 1_747_582_274_123 * 10**6
    assert ns_of(1.25) == 1_250_000_000


def test_window_types() -> None:
    fields = [
        MetadataField("asset_id", "which asset", filter=True),
        MetadataField("raw", "bytes", no_store=True),
    ]
    kind = WindowType("Every30Second", "1.0.0", "half a minute", fields)  # type: ignore[arg-type]
    assert kind.metadataFields == kind.metadata_fields == tuple(fields)
    assert kind.full_name == "Every30Second_1.0.0"
    assert len({kind, WindowType("Every30Second", "1.0.0", "half a minute", tuple(fields))}) == 1


@pytest.mark.parametrize(
    ("name", "version"), [("every", "1.0.0"), ("Every", "1"), ("Every", "1.0.0-rc1"), ("", "1.0.0")]
)
def test_window_types_that_cannot_be(name: str, version: str) -> None:
    with pytest.raises(InvalidWindowArgument):
        WindowType(name, version)


def test_metadata_fields_that_cannot_be() -> None:
    with pytest.raises(InvalidMetadataFieldArgument):
        MetadataField("", "d")
    with pytest.raises(InvalidMetadataFieldArgument):
        MetadataField("n", "")
    with pytest.raises(InvalidWindowArgument, match="asset"):
        WindowType("A", "1.0.0", "", (MetadataField("asset", "a"), MetadataField("asset", "b")))
