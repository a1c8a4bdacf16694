"""Timers: one heap and at most one waiting task for each event loop and clock, however many machines there are.

A timer is an entry of the heap; a machine that waits costs nothing else. The task exists only while the heap
holds something. On asyncio it is an ordinary task, on trio a system task, so that ``await machine.start()``
needs no surrounding task group.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

import anyio
import sniffio

from orca.common.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["SYSTEM_CLOCK", "Timer", "Timers", "asyncio_loop", "spawn", "task_id", "timers_for"]

log = logging.getLogger(__name__)

SYSTEM_CLOCK: Final = SystemClock()
_COMPACT_ABOVE: Final = 64
"""Cancelled entries are swept out when they are more than this and more than half of the heap."""


class Receiver(Protocol):
    """Who a timer belongs to."""

    def timer_fired(self, timer: Timer) -> Awaitable[None] | None:
        """Take note of a timer in order; what is returned is run as a task of its own."""
        ...


class Timer:
    """One entry of the heap."""

    __slots__ = ("cancelled", "due_s", "key", "number", "receiver")

    def __init__(self, due_s: float, number: int, receiver: Receiver, key: Any) -> None:
        self.due_s = due_s
        self.number = number
        self.receiver = receiver
        self.key = key
        self.cancelled = False

    def __lt__(self, other: Timer) -> bool:
        return (self.due_s, self.number) < (other.due_s, other.number)


class Timers:
    """The timers of one event loop and one clock.

    Args:
        clock: Whose time counts, by its monotonic side.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[Timer] = []
        self._count = 0
        self._dead = 0
        self._scope: anyio.CancelScope | None = None
        self._waiting_for: float | None = None
        self._running = False

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def start(self, delay_ms: float, receiver: Receiver, key: Any) -> Timer:
        """Add a timer; for one moment, timers fire in the order in which they were added."""
        self._count += 1
        timer = Timer(self.clock.monotonic() + max(0.0, delay_ms) / 1000.0, self._count, receiver, key)
        heapq.heappush(self._heap, timer)
        if not self._running:
            self._running = True
            spawn(self._run)
        elif self._waiting_for is not None and timer.due_s < self._waiting_for and self._scope is not None:
            self._scope.cancel()
        return timer

    def cancel(self, timer: Timer) -> None:
        """A timer that is cancelled never fires."""
        if timer.cancelled:
            return
        timer.cancelled = True
        self._dead += 1
        if self._dead > _COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [t for t in self._heap if not t.cancelled]
            heapq.heapify(self._heap)
            self._dead = 0
        if len(self) == 0 and self._scope is not None:
            self._scope.cancel()

    def remaining_ms(self, timer: Timer) -> float:
        """Milliseconds until a timer fires, at least 0."""
        return max(0.0, (timer.due_s - self.clock.monotonic()) * 1000.0)

    def _pop_due(self) -> Timer | None:
        while self._heap:
            first = self._heap[0]
            if first.cancelled:
                heapq.heappop(self._heap)
                self._dead -= 1
            elif first.due_s <= self.clock.monotonic():
                heapq.heappop(self._heap)
                first.cancelled = True  # it fired: cancelling it later changes nothing
                return first
            else:
                return None
        return None

    async def _run(self) -> None:
        try:
            while True:
                self._fire()
                if not self._heap:
                    return
                self._waiting_for = self._heap[0].due_s
                with anyio.CancelScope() as self._scope:
                    await self._sleep(self._waiting_for - self.clock.monotonic())
                self._waiting_for = None
        finally:
            self._running = False
            self._scope = None
            self._waiting_for = None

    async def _sleep(self, delay_s: float) -> None:
        if isinstance(self.clock, SystemClock):
            await anyio.sleep(max(0.0, delay_s))
        else:
            await self.clock.sleep_async(max(0.0, delay_s))

    def _fire(self) -> None:
        while (timer := self._pop_due()) is not None:
            work = timer.receiver.timer_fired(timer)
            if work is not None:
                spawn(_finish, work)


async def _finish(work: Awaitable[None]) -> None:
    await work


_timers: WeakKeyDictionary[Any, WeakKeyDictionary[Clock, Timers]] = WeakKeyDictionary()


def timers_for(clock: Clock) -> Timers:
    """The timers of the running event loop for a clock."""
    if sniffio.current_async_library() == "asyncio":
        token: Any = asyncio.get_running_loop()
    else:
        import trio  # noqa: PLC0415 - only where trio runs already

        token = trio.lowlevel.current_trio_token()
    by_clock = _timers.setdefault(token, WeakKeyDictionary())
    found = by_clock.get(clock)
    if found is None:
        found = by_clock[clock] = Timers(clock)
    return found


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of the running asyncio task; None under trio, also where that is a guest of an asyncio loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return None if asyncio.current_task(loop) is None else loop


def task_id() -> int:
    """What tells the running task from all others that exist; anyio's own answer costs five times as much."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return anyio.get_current_task().id if task is None else id(task)


_tasks: set[asyncio.Task[None]] = set()


async def _guard(function: Callable[..., Coroutine[Any, Any, None]], args: tuple[Any, ...]) -> None:
    try:
        await function(*args)
    except Exception:
        # Nobody waits for a background step: what it raises must not end the event loop.
        log.exception("background step %s failed", getattr(function, "__qualname__", function))


def spawn(function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    """Run a coroutine function in the background of the running event loop."""
    if sniffio.current_async_library() == "asyncio":
        task = asyncio.get_running_loop().create_task(_guard(function, args))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
    else:
        import trio  # noqa: PLC0415 - only where trio runs already

        trio.lowlevel.spawn_system_task(_guard, function, args)
