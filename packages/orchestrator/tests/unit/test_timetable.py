"""When schedules fire and which windows they emit."""

import datetime as dt

import pytest

from orca.orchestrator.errors import InvalidFieldError
from orca.orchestrator.timetable import FIRINGS_MAX, Schedule, check_schedule, due, next_after, window_of

NS = 10**9


def at(text):
    return int(dt.datetime.fromisoformat(text).timestamp()) * NS


def made(**changes):
    return Schedule(**{"name": "s", "window_type": "Hourly", "window_version": "1.0.0", **changes})


def test_intervals_are_aligned():
    hourly = made(every_ns=3600 * NS)
    assert next_after(hourly, 5 * NS) == 3600 * NS
    assert window_of(hourly, 7200 * NS) == (3600 * NS, 7200 * NS)
    assert window_of(made(every_ns=3600 * NS, length_ns=60 * NS), 7200 * NS) == (7140 * NS, 7200 * NS)


def test_cron_follows_its_zone_through_a_change_of_clocks():
    nightly = made(cron="30 4 * * *", timezone="Europe/Berlin")
    before = next_after(nightly, at("2026-03-28T12:00:00+01:00"))
    assert before == at("2026-03-29T04:30:00+02:00")
    assert window_of(nightly, before) == (at("2026-03-28T04:30:00+01:00"), before)


def test_catching_up():
    now = 100 * 60 * NS
    every = {"every_ns": 60 * NS}
    assert due(made(**every), 97 * 60 * NS, now) == ([m * 60 * NS for m in (97, 98, 99, 100)], 101 * 60 * NS)
    assert due(made(**every, catch_up="latest"), 97 * 60 * NS, now) == ([now], 101 * 60 * NS)
    assert due(made(**every, catch_up="none"), 97 * 60 * NS, now) == ([now], 101 * 60 * NS)
    hourly = made(every_ns=3600 * NS, catch_up="none")
    assert due(hourly, 3600 * NS, 3600 * NS + 120 * NS) == ([], 7200 * NS)
    assert due(made(**every), now + 1, now) == ([], now + 1)


def test_the_bound_on_firings_in_a_turn():
    firings, after = due(made(every_ns=NS), NS, 5000 * NS)
    assert (len(firings), after) == (FIRINGS_MAX, (FIRINGS_MAX + 1) * NS)
    firings, after = due(made(every_ns=NS, catch_up="latest"), NS, 5000 * NS)
    assert (firings, after) == ([], 5000 * NS)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "", "every_ns": NS}, "name"),
        ({"window_type": "", "every_ns": NS}, "window_type"),
        ({}, "cron"),
        ({"cron": "* * * * *", "every_ns": NS}, "cron"),
        ({"every_ns": 5}, "every_ns"),
        ({"every_ns": NS, "length_ns": -1}, "length_ns"),
        ({"every_ns": NS, "catch_up": "some"}, "catch_up"),
        ({"every_ns": NS, "timezone": "Mars/Olympus"}, "timezone"),
        ({"cron": "61 * * * *"}, "cron"),
    ],
)
def test_schedules_that_can_never_work(changes, field):
    with pytest.raises(InvalidFieldError) as caught:
        check_schedule(made(**changes))
    assert field in [fault.field for fault in caught.value.faults]
