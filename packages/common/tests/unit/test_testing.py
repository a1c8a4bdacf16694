from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from orca.common import testing
from orca.common.clock import Clock, SystemClock
from orca.common.errors import UsageError
from orca.common.testing import FakeClock, LogRecorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOOPS = ["asyncio", "trio"]


def run(loop: str, main: Callable[[], Awaitable[None]], *tasks: Callable[[], Awaitable[None]]) -> None:
    """Run ``main`` with ``tasks`` beside it, started in order, and wait for all of them."""

    async def under_asyncio() -> None:
        beside = [asyncio.ensure_future(task()) for task in tasks]
        await main()
        await asyncio.gather(*beside)

    async def under_trio() -> None:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
                await trio.lowlevel.checkpoint()  # the task has its first turn before the next one starts
            await main()

    if loop == "asyncio":
        asyncio.run(under_asyncio())
    else:
        trio.run(under_trio)


async def nothing() -> None:
    pass


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [FakeClock(), SystemClock()]
    assert all(clock.now() > 1_600_000_000 for clock in clocks)


def test_time_stands_still_by_itself() -> None:
    clock = FakeClock(start_s=5.0)
    assert [clock.now(), clock.now(), clock.monotonic(), clock.monotonic()] == [5.0, 5.0, 0.0, 0.0]


def test_a_jump_of_the_wall_clock_is_not_seen_by_the_monotonic_one() -> None:
    clock = FakeClock(start_s=100.0)
    clock.advance(5.0)
    clock.set_now(50.0)
    assert (clock.now(), clock.monotonic()) == (50.0, 5.0)
    clock.sleep(1.0)
    assert (clock.now(), clock.monotonic()) == (51.0, 6.0)


def test_time_does_not_go_back() -> None:
    clock = FakeClock()
    with pytest.raises(UsageError, match="cannot advance by -1"):
        clock.advance(-1)
    clock.sleep(-5)
    assert clock.monotonic() == 0.0


def test_settle_rounds_has_a_lower_limit() -> None:
    with pytest.raises(UsageError, match="settle_rounds"):
        FakeClock(settle_rounds=0)


@pytest.mark.parametrize("loop", LOOPS)
def test_sleepers_wake_by_moment_then_by_age(loop: str) -> None:
    clock = FakeClock(auto=False)
    woken: list[tuple[str, float]] = []

    def sleeper(name: str, delay_s: float) -> Callable[[], Awaitable[None]]:
        async def sleep() -> None:
            await clock.sleep_async(delay_s)
            woken.append((name, clock.monotonic()))

        return sleep

    async def main() -> None:
        await clock.settle()
        assert (clock.waiting, clock.next_due_s) == (4, 1.0)
        await clock.advance_async(2.5)
        assert woken == [("a", 1.0), ("d", 1.0), ("b", 2.0)]
        assert (clock.waiting, clock.monotonic()) == (1, 2.5)
        await clock.advance_async(10)
        assert (clock.waiting, clock.next_due_s) == (0, None)

    run(loop, main, sleeper("a", 1.0), sleeper("c", 3.0), sleeper("b", 2.0), sleeper("d", 1.0))
    assert woken[-1] == ("c", 3.0)
    assert clock.sleeps == [1.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_may_sleep_again_within_one_advance(loop: str) -> None:
    clock = FakeClock(auto=False)
    ticks: list[float] = []

    async def tick() -> None:
        for _ in range(10):
            await clock.sleep_async(1.0)
            ticks.append(clock.monotonic())

    async def main() -> None:
        await clock.advance_async(10)
        assert ticks == [float(second) for second in range(1, 11)]

    run(loop, main, tick)


@pytest.mark.parametrize("loop", LOOPS)
def test_with_auto_the_earliest_sleeper_goes_first(loop: str) -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    def ticker(name: str, every_s: float, times: int) -> Callable[[], Awaitable[None]]:
        async def tick() -> None:
            for _ in range(times):
                await clock.sleep_async(every_s)
                woken.append((name, clock.monotonic()))

        return tick

    run(loop, nothing, ticker("slow", 2.5, 2), ticker("quick", 1.0, 5))
    assert [name for name, _ in sorted(woken, key=lambda entry: entry[1])] == [name for name, _ in woken]
    assert ("slow", 2.5) in woken
    assert ("slow", 5.0) in woken
    assert clock.monotonic() == 5.0, "the pauses overlap, they do not add up"


@pytest.mark.parametrize("auto", [True, False])
def test_a_cancelled_sleeper_leaves_the_clock(auto: bool) -> None:
    clock = FakeClock(auto=auto, settle_rounds=1000)

    async def main() -> None:
        task = asyncio.create_task(clock.sleep_async(5.0))
        other = asyncio.create_task(clock.sleep_async(7.0))
        await asyncio.sleep(0)
        assert clock.waiting == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (clock.waiting, clock.next_due_s) == (1, 7.0)
        other.cancel()
        await asyncio.wait([other])
        assert clock.waiting == 0

    asyncio.run(main())


def test_advance_wakes_tasks_from_another_thread() -> None:
    clock = FakeClock(auto=False)

    async def main() -> float:
        sleeping = asyncio.create_task(clock.sleep_async(3.0))
        await clock.settle()
        thread = threading.Thread(target=clock.advance, args=(3.0,))
        thread.start()
        await asyncio.wait_for(sleeping, 30)
        thread.join(30)
        return clock.monotonic()

    assert asyncio.run(main()) == 3.0


def test_threads_wait_for_the_test_to_advance() -> None:
    clock = FakeClock(auto=False)
    moments: list[float] = []

    def work() -> None:
        clock.sleep(4.0)
        moments.append(clock.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    clock.wait_until_waiting()
    assert moments == []
    clock.advance(4.0)
    thread.join(30)
    assert moments == [4.0]


def test_a_forgotten_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "HANG_AFTER_S", 0.01)
    clock = FakeClock(auto=False)
    with pytest.raises(TimeoutError, match="nobody advanced"):
        clock.sleep(1.0)
    assert clock.waiting == 0
    with pytest.raises(TimeoutError, match="0 sleep on the FakeClock, 2 were expected"):
        clock.wait_until_waiting(2)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_system_clock_sleeps(loop: str) -> None:
    clock = SystemClock()

    async def main() -> None:
        start_s = clock.monotonic()
        await clock.sleep_async(0.01)
        assert clock.monotonic() - start_s >= 0.009

    run(loop, main)


def test_records_are_kept_with_their_level_and_arguments() -> None:
    logger = logging.getLogger("orca.test.recorder")
    with LogRecorder("orca.test") as log:
        logger.debug("small %s", "thing")
        logger.warning("large %s", "thing")
    logger.warning("after")
    assert log.messages == ["small thing", "large thing"]
    assert log.at_least(logging.INFO) == ["large thing"]
    assert [record.levelname for record in log.records] == ["DEBUG", "WARNING"]


def test_the_loggers_level_is_lowered_only_while_recording() -> None:
    logger = logging.getLogger("orca.test.level")
    logger.setLevel(logging.ERROR)
    with LogRecorder("orca.test.level", level=logging.INFO) as log:
        logger.debug("no")
        logger.info("yes")
    logger.info("no more")
    assert log.messages == ["yes"]
    assert logger.level == logging.ERROR
    logger.setLevel(logging.NOTSET)


def test_a_logger_that_lets_more_through_keeps_doing_so() -> None:
    logger = logging.getLogger("orca.test.more")
    logger.setLevel(logging.DEBUG)
    with LogRecorder("orca.test.more", level=logging.WARNING) as log:
        assert logger.level == logging.DEBUG
        logger.debug("below the recorder's level")
        logger.warning("kept")
    assert log.messages == ["kept"]
    logger.setLevel(logging.NOTSET)
