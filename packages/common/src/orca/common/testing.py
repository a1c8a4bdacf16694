"""Fakes for tests: a clock that never waits, and a recorder of log records.

    FakeClock()              time jumps: a sleep ends at once and the clock shows the later time
    FakeClock(auto=False)    time stands still until the test calls advance() or advance_async()
    LogRecorder("orca")      everything that was logged below "orca", as a list

Nothing here depends on a test framework.
"""

from __future__ import annotations

import heapq
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from orca.common import _aio
from orca.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

__all__ = ["FakeClock", "LogRecorder"]

#: A thread that sleeps on a standing clock gives up after this much real time: the test forgot to advance it.
HANG_AFTER_S = 30.0


class FakeClock:
    """A `Clock` whose time is a number that the test owns.

    With ``auto=True`` sleeping moves time: `sleep` at once, `sleep_async` as soon as the other tasks had
    ``settle_rounds`` turns, always to the earliest sleeper first. That suits code that waits for nothing but
    the clock. With ``auto=False`` only `advance` and `advance_async` move time, and sleepers wait for it.

    Sleepers wake in the order of their moments, and for one moment in the order in which they began to sleep.
    Works from several threads, and under asyncio and trio.

    Args:
        start_s: What `now` shows at first, in seconds since 1970-01-01 UTC. `monotonic` starts at 0.
        auto: Whether sleeping moves time by itself.
        settle_rounds: How many turns of the event loop other tasks get before time moves on, at least 1.

    Attributes:
        sleeps: Every delay that was asked for, in order, in seconds.

    Raises:
        UsageError: ``settle_rounds`` is below 1.

    Example:
        >>> clock = FakeClock(start_s=1000.0)
        >>> clock.sleep(2.5)
        >>> clock.now(), clock.monotonic(), clock.sleeps
        (1002.5, 2.5, [2.5])
    """

    def __init__(
        self, *, start_s: float = 1_700_000_000.0, auto: bool = True, settle_rounds: int = 20
    ) -> None:
        if settle_rounds < 1:
            raise UsageError(f"FakeClock: settle_rounds is {settle_rounds!r}: give 1 or more")
        self.sleeps: list[float] = []
        self._start_s = start_s
        self._auto = auto
        self._settle_rounds = settle_rounds
        self._elapsed_s = 0.0
        self._jumped_s = 0.0
        self._sleepers: list[_Sleeper] = []
        self._count = 0
        self._lock = threading.Condition(threading.RLock())

    @property
    def waiting(self) -> int:
        """How many sleepers wait at this moment."""
        return len(self._sleepers)

    @property
    def next_due_s(self) -> float | None:
        """Seconds until the first sleeper wakes; None when nobody sleeps."""
        with self._lock:
            return self._sleepers[0].due_s - self._elapsed_s if self._sleepers else None

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._start_s + self._elapsed_s + self._jumped_s

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed_s

    def set_now(self, now_s: float) -> None:
        """Make the wall clock jump, as when the system's time is set; sleepers do not notice."""
        with self._lock:
            self._jumped_s = now_s - self._start_s - self._elapsed_s

    def advance(self, delta_s: float) -> None:
        """Move time by ``delta_s`` seconds and wake, in order, the sleepers whose moment comes.

        Tasks that are woken run later, when the event loop gets its turn; use `advance_async` where they may
        sleep again within the same stretch of time.

        Raises:
            UsageError: ``delta_s`` is negative.
        """
        end_s = self._end_s(delta_s)
        while self._wake_next(until_s=end_s):
            pass
        self._move_to(end_s)

    async def advance_async(self, delta_s: float) -> None:
        """Move time by ``delta_s`` seconds; each sleeper that wakes runs on before time moves further.

        So a loop that sleeps one second runs ten times in ``await clock.advance_async(10)``.

        Raises:
            UsageError: ``delta_s`` is negative.
        """
        end_s = self._end_s(delta_s)
        await self.settle()
        while self._wake_next(until_s=end_s):
            await self.settle()
        self._move_to(end_s)

    async def settle(self) -> None:
        """Give the other tasks ``settle_rounds`` turns of the event loop."""
        for _ in range(self._settle_rounds):
            await _aio.sleep(0)

    def wait_until_waiting(self, count: int = 1) -> None:
        """Block this thread until at least ``count`` others sleep on this clock.

        Raises:
            TimeoutError: It did not come to that within `HANG_AFTER_S` seconds of real time.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: len(self._sleepers) >= count, HANG_AFTER_S):
                raise TimeoutError(f"{len(self._sleepers)} sleep on the FakeClock, {count} were expected")

    def sleep(self, delay_s: float) -> None:
        """Let ``delay_s`` seconds pass: at once with ``auto``, else when somebody advances the clock.

        Raises:
            TimeoutError: Nobody advanced a clock without ``auto`` for `HANG_AFTER_S` seconds of real time.
        """
        self.sleeps.append(delay_s)
        if self._auto:
            self.advance(max(0.0, delay_s))
            return
        woken = threading.Event()
        with self._asleep(delay_s, woken.set):
            if not woken.wait(HANG_AFTER_S):
                raise TimeoutError(
                    f"nobody advanced the FakeClock by {delay_s} s: call advance() in the test"
                )

    async def sleep_async(self, delay_s: float) -> None:
        """Suspend this asyncio or trio task until ``delay_s`` seconds have passed on this clock."""
        self.sleeps.append(delay_s)
        if self._auto:
            with self._asleep(delay_s, _nothing) as sleeper:
                while sleeper.asleep:
                    await self.settle()
                    self._wake_if_first(sleeper)
            return
        wait, wake = _aio.wake_up_call()
        with self._asleep(delay_s, wake):
            await wait()

    @contextmanager
    def _asleep(self, delay_s: float, wake: Callable[[], object]) -> Generator[_Sleeper, None, None]:
        with self._lock:
            self._count += 1
            sleeper = _Sleeper(self._elapsed_s + max(0.0, delay_s), self._count, wake)
            heapq.heappush(self._sleepers, sleeper)
            self._lock.notify_all()
        try:
            yield sleeper
        finally:
            self._forget(sleeper)

    def _end_s(self, delta_s: float) -> float:
        if delta_s < 0:
            raise UsageError(
                f"FakeClock cannot advance by {delta_s!r} s: time does not go back, see set_now()"
            )
        return self._elapsed_s + delta_s

    def _wake_next(self, *, until_s: float) -> bool:
        with self._lock:
            if not self._sleepers or self._sleepers[0].due_s > until_s:
                return False
            sleeper = heapq.heappop(self._sleepers)
            self._move_to(sleeper.due_s)
            sleeper.asleep = False
            sleeper.wake()
            return True

    def _wake_if_first(self, sleeper: _Sleeper) -> None:
        with self._lock:
            if self._sleepers and self._sleepers[0] is sleeper:
                self._wake_next(until_s=sleeper.due_s)

    def _move_to(self, elapsed_s: float) -> None:
        with self._lock:
            self._elapsed_s = max(self._elapsed_s, elapsed_s)

    def _forget(self, sleeper: _Sleeper) -> None:
        # A sleeper that was woken has left already; one whose task was cancelled has not.
        with self._lock:
            if sleeper.asleep:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)


class _Sleeper:
    """One wait on a `FakeClock`."""

    __slots__ = ("asleep", "due_s", "number", "wake")

    def __init__(self, due_s: float, number: int, wake: Callable[[], object]) -> None:
        self.due_s = due_s
        self.number = number
        self.wake = wake
        self.asleep = True

    def __lt__(self, other: _Sleeper) -> bool:
        return (self.due_s, self.number) < (other.due_s, other.number)


@final
class LogRecorder(logging.Handler):
    """Keeps what is logged, so that a test can look at it.

    Args:
        name: The logger to listen to, with all below it; the root logger when empty.
        level: The least level that is kept; the logger lets it through while the recorder is active.

    Attributes:
        records: What was logged, oldest first.

    Example:
        >>> with LogRecorder("orca.demo") as log:
        ...     logging.getLogger("orca.demo.part").info("stored %d windows", 3)
        >>> log.messages
        ['stored 3 windows']
    """

    def __init__(self, name: str = "", *, level: int = logging.DEBUG) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []
        self._logger = logging.getLogger(name)
        self._level_before = self._logger.level

    @property
    def messages(self) -> list[str]:
        """The messages with their arguments filled in."""
        return [record.getMessage() for record in self.records]

    def at_least(self, level: int) -> list[str]:
        """The messages of ``level`` and above."""
        return [record.getMessage() for record in self.records if record.levelno >= level]

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    def __enter__(self) -> LogRecorder:
        self._level_before = self._logger.level
        self._logger.setLevel(min(self.level, self._level_before or self.level))
        self._logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level_before)


def _nothing() -> None:
    """What wakes a sleeper that looks by itself."""
