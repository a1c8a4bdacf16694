from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from own_loop import own_loop
from serving import serving

from orca.common.testing import FakeClock
from orca.processor import Processor, Tick, Window, convert, errors
from orca.processor.schedule import CATCH_UP_MAX, Cron, Every, Schedules, due
from scripted_core import scripted_core

S = 10**9


def test_intervals_are_aligned() -> None:
    rule = Every(30 * S)
    assert rule.next_after(0) == 30 * S
    assert rule.next_after(29 * S) == 30 * S
    assert rule.next_after(30 * S) == 60 * S
    assert Every(60 * S, 15 * S).next_after(60 * S) == 75 * S


def test_cron_in_a_zone_across_the_change_of_the_clock() -> None:
    rule = Cron("0 3 * * *", ZoneInfo("Europe/Berlin"))
    times = []
    ns = int(dt.datetime(2026, 3, 28, tzinfo=dt.timezone.utc).timestamp()) * S
    for _ in range(3):
        ns = rule.next_after(ns)
        times.append(dt.datetime.fromtimestamp(ns // S, dt.timezone.utc).hour)
    assert times == [2, 1, 1]
    with pytest.raises(errors.InvalidAlgorithmArgument, match="cron"):
        Cron("every day").next_after(0)


def test_missed_firings_are_made_up_for_within_a_bound() -> None:
    rule = Every(30 * S)
    assert due(rule, 30 * S, 59 * S, catch_up=5) == []
    assert due(rule, 30 * S, 60 * S, catch_up=0) == [(30 * S, 60 * S, False)]
    assert due(rule, 0, 100 * S, catch_up=0) == [(60 * S, 90 * S, False)]
    assert due(rule, 0, 100 * S, catch_up=1) == [(30 * S, 60 * S, True), (60 * S, 90 * S, False)]
    week = due(rule, 0, 7 * 86_400 * S, catch_up=2)
    assert [end for _, end, _ in week] == [(20_158 + i) * 30 * S for i in range(3)]
    assert len(due(Cron("* * * * *"), 0, 600 * S, catch_up=3)) == 4


@own_loop
async def test_functions_fire_and_their_windows_are_emitted() -> None:
    clock = FakeClock(start_s=1000.0)
    schedules = Schedules(clock=clock)
    emitted: list[Window] = []
    ticks: list[Tick] = []
    enough = asyncio.Event()

    @schedules.every(seconds=30)
    async def half(tick: Tick) -> Window:
        return tick.window("Half", metadata={"a": 1})

    @schedules.every(minutes=1)
    def minute() -> list[Window]:
        return []

    @schedules.cron("* * * * *")
    def broken(tick: Tick) -> None:
        ticks.append(tick)
        raise ValueError("schedules go on")

    async def emit(window: Window) -> None:
        emitted.append(window)
        if len(emitted) >= 4 and len(ticks) >= 2:
            enough.set()

    running = asyncio.create_task(schedules.run(emit))
    await asyncio.wait_for(enough.wait(), 60)
    running.cancel()
    assert [(one.from_ns // S, one.to_ns // S) for one in emitted[:3]] == [
        (990, 1020),
        (1020, 1050),
        (1050, 1080),
    ]
    assert emitted[0].metadata == {"a": 1}
    assert ticks[0].start.second == ticks[0].end.second == 0
    assert [task.name for task in schedules.tasks] == ["half", "minute", "broken"]


@own_loop
async def test_a_function_that_is_slower_than_its_interval_catches_up() -> None:
    clock = FakeClock(start_s=1000.0)
    schedules = Schedules(clock=clock)
    seen: list[tuple[int, bool]] = []
    enough = asyncio.Event()

    @schedules.every(seconds=10, catch_up=3)
    async def slow(tick: Tick) -> None:
        seen.append((int(tick.end.timestamp()), tick.late))
        if len(seen) == 1:
            await clock.sleep_async(35)
        if len(seen) >= 4:
            enough.set()

    async def emit(window: Window) -> None:
        raise AssertionError

    running = asyncio.create_task(schedules.run(emit))
    await asyncio.wait_for(enough.wait(), 60)
    running.cancel()
    assert seen[:4] == [(1010, False), (1020, True), (1030, True), (1040, False)]


def test_alignment_to_a_zone() -> None:
    proc = Processor("ml", clock=FakeClock(start_s=1_767_225_600.0))

    @proc.every(hours=24, timezone=ZoneInfo("Asia/Kolkata"))
    def daily() -> None:
        return None

    midnight = proc.tasks[0].rule.next_after(1_767_225_600 * S)
    assert dt.datetime.fromtimestamp(midnight // S, ZoneInfo("Asia/Kolkata")).hour == 0


@pytest.mark.parametrize(
    "options",
    [{}, {"seconds": -1}, {"seconds": 1, "catch_up": -1}, {"seconds": 1, "catch_up": CATCH_UP_MAX + 1}],
)
def test_intervals_that_cannot_be(options: Any) -> None:
    with pytest.raises(errors.InvalidAlgorithmArgument):
        Schedules().every(**options)
    with pytest.raises(errors.InvalidAlgorithmArgument):
        Processor("ml").cron("nonsense")


def test_schedules_run_beside_the_processor() -> None:
    with scripted_core() as core:
        proc = Processor("ml", bind="127.0.0.1:0", core=core.address, environ={})

        @proc.every(seconds=0.05, catch_up=1000)
        def often(tick: Tick) -> Window:
            return tick.window("Often")

        with serving(proc):
            windows = [convert.window_from_wire(one) for one in core.wait_windows(3)]
    assert all(one.to_ns % 50_000_000 == 0 for one in windows)
    assert windows[0].to_ns == windows[1].from_ns
