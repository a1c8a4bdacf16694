"""A transport with a bounded queue for each subscriber: publishers do not wait for subscribers, up to a point.

    publish ── queue (at most `QUEUE_MAX` events) ──> subscriber, one event at a time, in order

`LocalTransport` lets a publisher wait until all subscribers have returned, so a slow one slows machines down at
once. Here it does so only when its queue is full: nothing is lost and memory stays bounded. A subscriber that
waits costs no task.
"""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Final

import anyio

from orca.common.errors import OrcaError, UsageError
from orca.statemachine.runtime.bus import BusError, type_name
from orca.statemachine.runtime.timers import spawn, task_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.statemachine.runtime.bus import Event, EventHandler

__all__ = ["QUEUE_MAX", "QueuedTransport", "SubscriberFullError"]

QUEUE_MAX: Final = 1_000
"""How many events may wait for one subscriber: a burst of a second or so, some hundred kilobytes."""


class SubscriberFullError(OrcaError, RuntimeError):
    """A subscriber published an event to itself while its own queue was full: it would wait for ever."""

    code = "SUBSCRIBER_FULL"


class _Subscriber:
    """One subscriber: what waits for it, and the task that works it off while there is anything."""

    __slots__ = ("gone", "handler", "idle", "owner", "queue", "room")

    def __init__(self, handler: EventHandler) -> None:
        self.handler = handler
        self.gone = False
        self.queue: deque[Event] = deque()
        self.room: anyio.Event | None = None
        """Set when an event was taken from a full queue."""
        self.idle: anyio.Event | None = None
        """Set when the queue is worked off; None while nobody runs."""
        self.owner = 0


class QueuedTransport:
    """Subscribers in this process, each with a bounded queue.

    Args:
        report: Told of subscribers that fail; `EventBus.report` of the bus it serves.
        queue_max: How many events may wait for one subscriber before publishers wait, at least 1.

    Raises:
        UsageError: ``queue_max`` is less than 1.

    Example:
        >>> import asyncio
        >>> from orca.statemachine.runtime.bus import Event, EventBus
        >>> async def main():
        ...     bus = EventBus(queue_max=100)
        ...     bus.subscribe("tea.ready", lambda event: print(event.payload["cups"]))
        ...     for cups in (1, 2):
        ...         await bus.publish(Event("tea.ready", "kitchen", payload={"cups": cups}))
        ...     await bus.drain()
        >>> asyncio.run(main())
        1
        2
    """

    def __init__(self, report: Callable[[BusError], None], queue_max: int = QUEUE_MAX) -> None:
        if queue_max < 1:
            raise UsageError(f"queue_max is {queue_max}: a subscriber needs room for one event at least")
        self._report = report
        self._queue_max = queue_max
        self._subscribers: dict[str, list[_Subscriber]] = {}

    def watches(self, event_type: str) -> bool:
        """Whether anybody subscribes."""
        return event_type in self._subscribers

    def subscribe(self, event_type: str, handler: EventHandler) -> None:
        """Add a subscriber."""
        known = self._subscribers.setdefault(event_type, [])
        if all(item.handler != handler for item in known):
            known.append(_Subscriber(handler))

    def unsubscribe(self, event_type: str, handler: EventHandler) -> None:
        """Remove a subscriber; what waits for it is not delivered."""
        known = self._subscribers.get(event_type, [])
        for item in known:
            if item.handler == handler:
                known.remove(item)
                item.gone = True
                item.queue.clear()
                _set(item.room)
                break
        if not known:
            self._subscribers.pop(event_type, None)

    async def publish(self, event: Event) -> None:
        """Queue an event for every subscriber; waits where a queue is full.

        Raises:
            SubscriberFullError: The caller is a subscriber whose own queue is full.
        """
        for item in tuple(self._subscribers.get(type_name(event.type), ())):
            while len(item.queue) >= self._queue_max:
                if item.owner == task_id():
                    raise SubscriberFullError(
                        f"{self._queue_max} events wait for {_name(item)}, which publishes one more to itself",
                        hint="EventBus(queue_max=...) with more room, or publish from another task",
                    )
                item.room = item.room or anyio.Event()
                await item.room.wait()
            if item.gone:
                continue
            item.queue.append(event)
            if item.idle is None:
                item.idle = anyio.Event()
                spawn(self._work, item)

    async def drain(self) -> None:
        """Wait until everything that was published has been handled."""
        for items in tuple(self._subscribers.values()):
            for item in items:
                if item.idle is not None:
                    await item.idle.wait()

    async def _work(self, item: _Subscriber) -> None:
        item.owner = task_id()
        try:
            while item.queue:
                event = item.queue.popleft()
                _set(item.room)
                item.room = None
                try:
                    result = item.handler(event)
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:  # noqa: BLE001 - a subscriber never disturbs a publisher
                    self._report(BusError(f"subscriber {_name(item)}", error, event))
        finally:
            item.owner = 0
            _set(item.idle)
            item.idle = None


def _set(event: anyio.Event | None) -> None:
    if event is not None:
        event.set()


def _name(item: _Subscriber) -> str:
    return str(getattr(item.handler, "__qualname__", type(item.handler).__qualname__))
