"""What happens, told to whoever listens on this loop: watching calls and the pages."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from orca.common.clock import Clock

__all__ = ["QUEUE_MAX", "CoreEvent", "EventBus", "Subscription"]

# A listener that falls so far behind has stopped reading; it is told what it lost.
QUEUE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class CoreEvent:
    """One thing that happened.

    Attributes:
        kind: ``run``, ``execution``, ``processor``, ``window`` or ``lost`` (events were dropped).
        at_ns: When.
        detail: JSON-like facts.
    """

    kind: str
    at_ns: int
    detail: dict[str, Any]


class Subscription:
    """One listener's queue."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[CoreEvent] = asyncio.Queue()
        self._dropped = 0

    def put(self, event: CoreEvent) -> None:
        """Add an event, or count it as dropped when the listener does not read."""
        if self._queue.qsize() >= QUEUE_MAX:
            self._dropped += 1
        else:
            self._queue.put_nowait(event)

    async def next(self) -> CoreEvent:
        """The next event."""
        event = await self._queue.get()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._queue.put_nowait(CoreEvent("lost", event.at_ns, {"events": dropped}))
        return event

    def waiting(self) -> CoreEvent | None:
        """An event that is here already, or None."""
        try:
            return self._queue.get_nowait()
        except asyncio.QueueEmpty:
            return None


class EventBus:
    """Hands every event to every listener; costs nothing when nobody listens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: set[Subscription] = set()
        self._remembers = False
        self.last_ns = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._remembers or bool(self._listeners)

    def remember(self) -> None:
        """From now on keep in ``last_ns`` when the newest event came, also while nobody listens."""
        self._remembers = True

    def publish(self, kind: str, detail: dict[str, Any]) -> None:
        """Tell everybody."""
        event = CoreEvent(kind, int(self._clock.now() * 1e9), detail)
        self.last_ns = event.at_ns
        for listener in self._listeners:
            listener.put(event)

    @contextmanager
    def subscribe(self) -> Generator[Subscription]:
        """Listen for the length of a ``with`` block."""
        listener = Subscription()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
