"""Which earlier windows a look-back sees."""

import pytest

from orca.orchestrator.lookback import ROWS_MAX, bounds, may_feed, select
from orca.orchestrator.model import LookBack, WindowSpan

HOURS = [WindowSpan(n, n * 10, n * 10 + 10) for n in range(1, 8)]
NOW = WindowSpan(50, 80, 90)


def ids(lookback, window=NOW, candidates=HOURS):
    return [span.id for span in select(lookback, window, candidates)]


@pytest.mark.parametrize(
    ("lookback", "expected"),
    [
        (LookBack(count=3), [5, 6, 7]),
        (LookBack(count=30), [1, 2, 3, 4, 5, 6, 7]),
        (LookBack(count=2, gap_count=1), [5, 6]),
        (LookBack(count=2, gap_delta_ns=20), [4, 5]),
        (LookBack(delta_ns=20), [6, 7]),
        (LookBack(delta_ns=25), [6, 7]),
        (LookBack(delta_ns=40, gap_delta_ns=10), [4, 5, 6]),
        (LookBack(delta_ns=40, gap_count=2), [4, 5]),
        (LookBack(delta_ns=5), []),
    ],
)
def test_latest_ascending_with_gaps(lookback, expected):
    assert ids(lookback) == expected


def test_the_directly_adjacent_window_belongs_to_a_delta():
    assert ids(LookBack(delta_ns=10)) == [7]


def test_other_filter_values_are_not_mixed_in():
    mixed = [WindowSpan(n, n * 10, n * 10 + 10, "a" if n % 2 else "b") for n in range(1, 8)]
    assert ids(LookBack(count=2), WindowSpan(50, 80, 90, "a"), mixed) == [5, 7]


def test_a_point_window_does_not_see_its_own_instant():
    points = [WindowSpan(n, n, n) for n in range(5)]
    assert ids(LookBack(count=9), WindowSpan(9, 3, 3), points) == [0, 1, 2]


def test_overlapping_windows_are_not_before():
    assert ids(LookBack(count=9), WindowSpan(9, 25, 55), HOURS) == [1]


def test_the_bound_on_rows():
    assert bounds(LookBack(count=10**9), NOW).take == ROWS_MAX
    many = [WindowSpan(n + 100, n, n + 1) for n in range(ROWS_MAX + 5)]
    late = WindowSpan(1, 10**9, 10**9)
    assert len(select(LookBack(delta_ns=10**10), late, many)) == ROWS_MAX
    assert select(LookBack(count=1), late, many)[0].id == ROWS_MAX + 4 + 100


def test_what_must_be_waited_for():
    assert may_feed(LookBack(count=1), NOW, HOURS[0])
    assert not may_feed(LookBack(count=1), NOW, WindowSpan(60, 80, 95))
    assert not may_feed(LookBack(count=1), NOW, NOW)
    assert may_feed(LookBack(delta_ns=20), NOW, HOURS[5])
    assert not may_feed(LookBack(delta_ns=20), NOW, HOURS[4])
