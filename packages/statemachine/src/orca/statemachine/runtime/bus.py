"""The event bus: publish and subscribe, request and response, effect handlers.

    EventBus ── Transport (where published events go)
                  └── LocalTransport: subscribers in this process

A broker can take the place of the local transport without machines noticing. Subscribers run concurrently; one
that fails disturbs nobody: its failure is logged and kept in `EventBus.errors`.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias, cast
from uuid import uuid4

import anyio

from orca.common.errors import UsageError
from orca.statemachine.runtime.types import Effect, EffectResult, EffectStatus

__all__ = [
    "BusError",
    "EffectHandler",
    "Event",
    "EventBus",
    "EventHandler",
    "EventType",
    "LocalTransport",
    "Transport",
    "get_event_bus",
    "reset_event_bus",
]

log = logging.getLogger(__name__)

ERRORS_MAX: Final = 1_000
"""How many failures `EventBus.errors` keeps, the newest: enough to look at, too few to fill memory."""


class EventType(str, Enum):
    """The event types that Orca itself uses; a type may also be any string."""

    STATE_CHANGED = "orca.state.changed"
    TRANSITION_STARTED = "orca.transition.started"
    TRANSITION_COMPLETED = "orca.transition.completed"
    EFFECT_EXECUTING = "orca.effect.executing"
    EFFECT_COMPLETED = "orca.effect.completed"
    EFFECT_FAILED = "orca.effect.failed"
    MACHINE_STARTED = "orca.machine.started"
    MACHINE_STOPPED = "orca.machine.stopped"
    WORKFLOW_STATE_CHANGED = "workflow.state.changed"
    AGENT_TASK_ASSIGNED = "agent.task.assigned"
    AGENT_TASK_COMPLETED = "agent.task.completed"
    SCHEDULING_QUERY = "scheduling.query"
    SCHEDULING_QUERY_RESPONSE = "scheduling.query_response"


def type_name(event_type: EventType | str) -> str:
    """The text of an event type."""
    return event_type.value if isinstance(event_type, EventType) else event_type


@dataclass(slots=True, eq=False)
class Event:
    """An event on the bus, or one sent to a machine.

    Attributes:
        type: An `EventType` or any string.
        source: Who published it.
        event_name: For an event sent to a machine: its name there, if it differs from ``type``.
        correlation_id: Joins a response to its request.
        timestamp: When, in UTC.
        payload: What it carries.
    """

    type: EventType | str
    source: str = ""
    event_name: str | None = None
    correlation_id: str | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    payload: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"Event({type_name(self.type)}, source={self.source})"


EventHandler: TypeAlias = Callable[[Event], Any]
EffectHandler: TypeAlias = Callable[[Effect], Any]


@dataclass(frozen=True, slots=True)
class BusError:
    """A subscriber, observer or background step that failed.

    Attributes:
        where: What failed.
        error: What it raised.
        event: The event it was given, or None.
    """

    where: str
    error: BaseException
    event: Event | None = None


class Transport(Protocol):
    """What carries published events to subscribers."""

    async def publish(self, event: Event) -> None:
        """Hand over an event; returns when the transport has taken it."""
        ...

    def subscribe(self, event_type: str, handler: EventHandler) -> None:
        """Have ``handler`` called with every event of the type, once however often it is subscribed."""
        ...

    def unsubscribe(self, event_type: str, handler: EventHandler) -> None:
        """The opposite; nothing happens if it is not subscribed."""
        ...

    def watches(self, event_type: str) -> bool:
        """Whether publishing this type could reach anybody."""
        ...


class LocalTransport:
    """Subscribers in this process. ``publish`` returns when all of them have returned.

    So a publisher that waits is at most one event ahead of its subscribers, which bounds what is in flight and
    keeps the order per source.
    """

    def __init__(self, report: Callable[[BusError], None]) -> None:
        self._subscribers: dict[str, list[EventHandler]] = {}
        self._report = report

    def watches(self, event_type: str) -> bool:
        """Whether anybody subscribes."""
        return event_type in self._subscribers

    def subscribe(self, event_type: str, handler: EventHandler) -> None:
        """Add a subscriber."""
        handlers = self._subscribers.setdefault(event_type, [])
        if handler not in handlers:
            handlers.append(handler)

    def unsubscribe(self, event_type: str, handler: EventHandler) -> None:
        """Remove a subscriber."""
        handlers = self._subscribers.get(event_type, [])
        if handler in handlers:
            handlers.remove(handler)
            if not handlers:
                del self._subscribers[event_type]

    async def publish(self, event: Event) -> None:
        """Call all subscribers, the asynchronous ones concurrently."""
        waiting: list[tuple[EventHandler, Awaitable[object]]] = []
        for handler in tuple(self._subscribers.get(type_name(event.type), ())):
            try:
                result = handler(event)
            except Exception as error:  # noqa: BLE001, PERF203 - a subscriber never disturbs a publisher
                self._failed(handler, error, event)
            else:
                if inspect.isawaitable(result):
                    waiting.append((handler, result))
        if len(waiting) == 1:
            await self._finish(*waiting[0], event)
        elif waiting:
            async with anyio.create_task_group() as group:
                for handler, result in waiting:
                    group.start_soon(self._finish, handler, result, event)

    async def _finish(self, handler: EventHandler, result: Awaitable[object], event: Event) -> None:
        try:
            await result
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(handler, error, event)

    def _failed(self, handler: EventHandler, error: Exception, event: Event) -> None:
        name = getattr(handler, "__qualname__", type(handler).__qualname__)
        self._report(BusError(f"subscriber {name}", error, event))


class EventBus:
    """Publish and subscribe, request and response, effect handlers.

    Args:
        transport: What carries events; this process only if not given.
        queue_max: Give each subscriber in this process a queue of that many events, so that publishers wait only
            when it is full, instead of until all subscribers have returned.

    Raises:
        UsageError: Both are given, or ``queue_max`` is less than 1.

    Attributes:
        errors: The newest failures of subscribers, observers and background steps.
        was_watched: Whether anybody ever subscribed, or a foreign transport may have subscribers: while it is
            false, machines need not publish at all.

    Example:
        >>> import asyncio
        >>> bus = EventBus()
        >>> bus.subscribe("tea.ready", lambda event: print(event.payload))
        >>> asyncio.run(bus.publish(Event(type="tea.ready", source="kitchen", payload={"cups": 2})))
        {'cups': 2}
    """

    __slots__ = ("_effects", "_transport", "errors", "was_watched")

    def __init__(self, transport: Transport | None = None, *, queue_max: int | None = None) -> None:
        self.errors: deque[BusError] = deque(maxlen=ERRORS_MAX)
        if transport is not None and queue_max is not None:
            raise UsageError("EventBus: a transport has its own queues; give transport or queue_max")
        self._transport: Transport = transport or self._local(queue_max)
        self._effects: dict[str, EffectHandler] = {}
        self.was_watched = transport is not None

    def _local(self, queue_max: int | None) -> Transport:
        if queue_max is None:
            return LocalTransport(self.report)
        from orca.statemachine.runtime.queued import QueuedTransport  # noqa: PLC0415 - it needs this module

        return QueuedTransport(self.report, queue_max)

    async def drain(self) -> None:
        """Wait until subscribers have handled what was published, where the transport queues for them."""
        drain = getattr(self._transport, "drain", None)
        if drain is not None:
            await drain()

    def report(self, failure: BusError) -> None:
        """Note a failure that has no caller to go to."""
        self.errors.append(failure)
        log.error("%s failed: %s", failure.where, failure.error, exc_info=failure.error)

    def subscribe(self, event_type: EventType | str, handler: EventHandler) -> None:
        """Have ``handler(event)``, sync or async, called with every event of a type."""
        self._transport.subscribe(type_name(event_type), handler)
        self.was_watched = True

    def unsubscribe(self, event_type: EventType | str, handler: EventHandler) -> None:
        """The opposite of `subscribe`."""
        self._transport.unsubscribe(type_name(event_type), handler)

    def watches(self, event_type: EventType | str) -> bool:
        """Whether publishing this type could reach anybody."""
        return self.was_watched and self._transport.watches(type_name(event_type))

    async def publish(self, event: Event) -> None:
        """Publish an event; subscribers that fail are reported, never raised."""
        await self._transport.publish(event)

    def register_effect_handler(self, effect_type: str, handler: EffectHandler) -> None:
        """Have ``handler(effect)``, sync or async, carry out effects of a type; the newest one counts.

        It returns an `EffectResult`, or a mapping, which is merged into the context, or nothing.
        """
        self._effects[effect_type] = handler

    def unregister_effect_handler(self, effect_type: str) -> None:
        """Forget the handler of an effect type."""
        self._effects.pop(effect_type, None)

    @property
    def effect_handler_types(self) -> list[str]:
        """The effect types that have a handler."""
        return list(self._effects)

    async def execute_effect(self, effect: Effect) -> EffectResult:
        """Carry out an effect. What the handler raises becomes a result with status failure."""
        handler = self._effects.get(effect.type)
        if handler is None:
            return EffectResult(
                EffectStatus.FAILURE, error=f"No handler registered for effect type: {effect.type}"
            )
        return await run_effect(handler, effect)

    async def request_response(  # noqa: PLR0917 - the published order of the arguments
        self,
        request_type: EventType | str,
        request_payload: dict[str, Any],
        response_type: EventType | str,
        correlation_id: str | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109 - the published name of the argument
        source: str = "orca",
    ) -> Any:
        """Publish a request and wait for the response with the same correlation id.

        Args:
            request_type: Type of the request.
            request_payload: What it carries.
            response_type: Type of the response.
            correlation_id: Joins the two; made up if not given.
            timeout: Seconds to wait.
            source: Who asks.

        Returns:
            The payload of the response.

        Raises:
            TimeoutError: No response came in time.
        """
        wanted = correlation_id or str(uuid4())
        arrived = anyio.Event()
        responses: list[Event] = []

        def receive(event: Event) -> None:
            if event.correlation_id == wanted and not responses:
                responses.append(event)
                arrived.set()

        self.subscribe(response_type, receive)
        try:
            with anyio.move_on_after(timeout):
                await self.publish(
                    Event(request_type, source, correlation_id=wanted, payload=dict(request_payload))
                )
                await arrived.wait()
        finally:
            self.unsubscribe(response_type, receive)
        if not responses:
            raise TimeoutError(f"Request {wanted} timed out after {timeout}s")
        return responses[0].payload


async def run_effect(handler: EffectHandler, effect: Effect) -> EffectResult:
    """Call an effect handler, wait for it where needed, and bring what it gives into one form."""
    try:
        result = handler(effect)
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:  # noqa: BLE001 - a failing effect is a result
        return EffectResult(EffectStatus.FAILURE, error=str(error) or type(error).__name__)
    if isinstance(result, EffectResult):
        return result
    if result is None or isinstance(result, Mapping):
        data = None if result is None else dict(cast("Mapping[str, Any]", result))
        return EffectResult(EffectStatus.SUCCESS, data=data)
    return EffectResult(EffectStatus.SUCCESS, data=result)


_default: list[EventBus] = []


def get_event_bus() -> EventBus:
    """The bus of this process, made at the first call."""
    if not _default:
        _default.append(EventBus())
    return _default[0]


def reset_event_bus() -> None:
    """Forget the bus of this process; the next `get_event_bus` makes a new one."""
    _default.clear()
