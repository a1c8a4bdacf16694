"""Time as a value that can be handed in: production passes `SystemClock`, tests pass `FakeClock`.

Kernels never read a clock at all; shells take one as an argument, so that no test ever sleeps.
"""

from __future__ import annotations

import time
from typing import Protocol

from orca.common import _aio

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What a shell needs of time. All values are in seconds."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump when the system's time is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back. For durations and deadlines."""
        ...

    def sleep(self, delay_s: float) -> None:
        """Block this thread for ``delay_s`` seconds."""
        ...

    async def sleep_async(self, delay_s: float) -> None:
        """Suspend this asyncio or trio task for ``delay_s`` seconds."""
        ...


class SystemClock:
    """The real clock.

    Example:
        >>> clock = SystemClock()
        >>> start = clock.monotonic()
        >>> clock.sleep(0.001)
        >>> clock.monotonic() - start >= 0.001
        True
    """

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary fixed point."""
        return time.monotonic()

    def sleep(self, delay_s: float) -> None:
        """Block this thread."""
        time.sleep(delay_s)

    async def sleep_async(self, delay_s: float) -> None:
        """Suspend this asyncio or trio task."""
        await _aio.sleep(delay_s)
