"""The second layer: one event at a time, first in first out, run to completion.

Whoever finds the machine idle runs its own event. Whoever finds it busy leaves a `Ticket` in the queue: when the
running macrostep ends, the sender of the next ticket is woken and runs its event in its own task. Tickets that
nobody waits for (an action's own ``send``, timers, children) are run by the one who leaves.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from orca.common.errors import OrcaError
from orca.statemachine.engine import ActionError, ActionResult, CancelSend, Delayed, SendLater, Signal
from orca.statemachine.engine.types import EMPTY_PAYLOAD
from orca.statemachine.runtime._base import BUSY, INACTIVE, MachineBase
from orca.statemachine.runtime._extras import Extras
from orca.statemachine.runtime._text import check_signal
from orca.statemachine.runtime.bus import BusError, Event, EventType, type_name
from orca.statemachine.runtime.timers import spawn, task_id
from orca.statemachine.runtime.types import (
    MachineNotActiveError,
    ReentrantSendError,
    TransitionResult,
)

if TYPE_CHECKING:
    from types import TracebackType

    from orca.statemachine.engine import Run

__all__ = ["QUEUE_MAX", "QueueFullError", "Queueing", "Ticket"]

NOBODY: Final = -1
"""The owner while the turn is on its way to the next sender."""
QUEUE_MAX: Final = 100_000
"""How many events may wait for one machine: far above any burst that is worked off, low enough to notice that
a machine is sent events faster than it handles them."""


class QueueFullError(OrcaError, RuntimeError):
    """More events wait for a machine than it may hold; the newest was refused."""

    code = "QUEUE_FULL"
    retryable = True


class Ticket(Coroutine[Any, Any, TransitionResult]):
    """An event in the queue; awaiting it gives its result. Nothing is lost if nobody does.

    Attributes:
        signal: The event.
        bind: Context fields to set before it is handled (what a child returned).
        own: Whether an action of the machine itself sent it.
    """

    __slots__ = ("_inner", "_machine", "bind", "done", "error", "granted", "own", "result", "signal", "woken")

    def __init__(
        self, machine: Queueing, signal: Signal, *, own: bool = False, bind: Mapping[str, Any] | None = None
    ) -> None:
        self._machine = machine
        self._inner: Coroutine[Any, Any, TransitionResult] | None = None
        self.signal = signal
        self.bind = bind
        self.own = own
        self.done = False
        self.granted = False
        self.result: TransitionResult | None = None
        self.error: BaseException | None = None
        self.woken: anyio.Event | None = None

    def finish(self, result: TransitionResult | None, error: BaseException | None) -> None:
        """Note the outcome and wake who waits."""
        self.done, self.result, self.error = True, result, error
        if self.woken is not None:
            self.woken.set()

    def grant(self) -> None:
        """Tell the sender that it is its turn."""
        self.granted = True
        if self.woken is not None:
            self.woken.set()

    def _coroutine(self) -> Coroutine[Any, Any, TransitionResult]:
        if self._inner is None:
            self._inner = self._machine.wait_for_ticket(self)
        return self._inner

    def __await__(self) -> Generator[Any, Any, TransitionResult]:
        return self._coroutine().__await__()

    def send(self, value: Any, /) -> Any:
        """As for any coroutine, so that a ticket can become a task."""
        return self._coroutine().send(value)

    def throw(
        self, typ: Any, value: BaseException | object = None, traceback: TracebackType | None = None, /
    ) -> Any:
        """As for any coroutine."""
        del traceback  # a part of the protocol that Python itself no longer uses
        error = value if isinstance(value, BaseException) else typ
        return self._coroutine().throw(cast("BaseException", error))

    def close(self) -> None:
        """As for any coroutine; the event stays in the queue."""
        if self._inner is not None:
            self._inner.close()


class Queueing(MachineBase):
    """The queue of a machine."""

    __slots__ = ()

    @property
    def _more(self) -> Extras:
        if self._extras is None:
            self._extras = Extras()
        return self._extras

    def send(
        self, event: str | Event | EventType, payload: Mapping[str, Any] | None = None
    ) -> Coroutine[Any, Any, TransitionResult]:
        """Handle an event and give its result. ``await`` it; under load it waits for its turn.

        While an action of this machine runs, ``send`` puts the event into the queue at once, awaited or not;
        awaiting it inside that action raises `ReentrantSendError` instead of waiting for ever.

        Args:
            event: Its name, or an `Event` that carries name and payload.
            payload: What guards read as ``event.x`` and actions get as their second argument.

        Raises:
            MachineNotActiveError: The machine was not started, or was stopped.
            ActionError: An action raised and no state handles it; nothing has changed.
            LivelockError: Eventless transitions or raised events never end; nothing has changed.
            QueueFullError: `QUEUE_MAX` events wait already.
            ValueNotJsonError: The machine has a store, and the payload or, after the event, the context holds
                what no store can keep; nothing has changed.
        """
        if self._gate & BUSY:
            return self._enqueue(self._signal(event, payload), own=self._is_own())
        return self._process(event, payload)

    def _signal(self, event: str | Event | EventType, payload: Mapping[str, Any] | None) -> Signal:
        if isinstance(event, Event):
            name = event.event_name or type_name(event.type)
            signal = Signal(name, event.payload if payload is None else payload)
        else:
            signal = Signal(type_name(event), {} if payload is None else payload)
        self._check_stored(signal)
        return signal

    def _check_stored(self, signal: Signal) -> None:
        """Refuse at once what no store can keep: a snapshot holds what waits, so others' events would fail for it."""
        extras = self._extras
        while extras is not None and extras.persistence is None and extras.parent is not None:
            extras = extras.parent[0]._extras  # noqa: SLF001 - a child is stored by its outermost parent
        if extras is not None and extras.persistence is not None:
            check_signal(self.definition.name, signal)

    def _is_own(self) -> bool:
        """Whether the caller is an action of the running macrostep."""
        owner = self._extras.owner if self._extras is not None else None
        # Without an owner a handler is being called at this moment, in this thread: nobody else can be here.
        return owner is None or owner == task_id()

    def _enqueue(self, signal: Signal, *, own: bool = False, bind: Mapping[str, Any] | None = None) -> Ticket:
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= QUEUE_MAX:
            raise QueueFullError(
                f"{QUEUE_MAX} events wait for machine {self.definition.name!r}",
                hint="await send(), so that senders are slowed down to the speed of the machine",
            )
        ticket = Ticket(self, signal, own=own, bind=bind)
        self._queue.append(ticket)
        if own:
            self._more.sent.append(ticket)
        return ticket

    def post(
        self, signal: Signal, *, bind: Mapping[str, Any] | None = None
    ) -> Coroutine[Any, Any, None] | None:
        """Queue an event that has no sender; what is returned, if anything, has to be run to handle it."""
        if self._gate & INACTIVE:
            return None
        self._enqueue(signal, bind=bind)
        return None if self._gate & BUSY else self._pump()

    async def _pump(self) -> None:
        if self._queue and not self._gate & (BUSY | INACTIVE):
            self._gate |= BUSY
            await self._release()

    async def wait_for_ticket(self, ticket: Ticket) -> TransitionResult:
        """Wait for the turn of a ticket and run it, or for who runs it.

        Raises:
            ReentrantSendError: The caller is the macrostep that the ticket waits for.
        """
        if not ticket.done:
            if self._gate & BUSY and self._is_own():
                raise ReentrantSendError(
                    f"an action of machine {self.definition.name!r} waits for its own event "
                    f"{ticket.signal.name!r}, which is handled after the action",
                    hint="call machine.send(...) without await, or machine.raise_event(...)",
                )
            ticket.woken = anyio.Event()
            try:
                await ticket.woken.wait()
            except BaseException:
                self._abandon(ticket)
                raise
        if ticket.granted:
            return await self._run_own(ticket.signal, ticket.bind)
        if ticket.error is not None:
            raise ticket.error
        return cast("TransitionResult", ticket.result)

    def _abandon(self, ticket: Ticket) -> None:
        """The sender was cancelled: its event is not handled, and the next one gets the turn."""
        if ticket.granted:
            spawn(self._release)
        elif self._queue is not None and ticket in self._queue:
            self._queue.remove(ticket)

    async def _slow(
        self, event: str | Event | EventType, payload: Mapping[str, Any] | None
    ) -> TransitionResult:
        if self._gate & INACTIVE:
            raise self._not_active()
        signal = self._signal(event, payload)
        if self._gate & BUSY:
            return await self._enqueue(signal, own=self._is_own())
        self._gate |= BUSY
        return await self._run_own(signal, None)

    async def _run_own(self, signal: Signal, bind: Mapping[str, Any] | None) -> TransitionResult:
        """Run an event in the task of its sender, then pass the turn on."""
        try:
            return await self._macro(signal, bind)
        finally:
            if self._queue:
                await self._release()
            else:
                self._idle()

    async def _release(self) -> None:
        """Pass the turn on, or end it; called by who has it."""
        queue = self._queue
        while queue:
            ticket = queue.popleft()
            if ticket.woken is not None:
                self._more.owner = NOBODY
                ticket.grant()
                return
            if self._extras is not None:
                self._extras.sent.clear()  # the event that sent these has succeeded
            before = self._seq
            try:
                with anyio.CancelScope(shield=True):
                    await self._serve(ticket)
            except BaseException:
                # asyncio's own cancellation, which no shield holds off: nothing is lost, somebody else goes on.
                if self._seq == before and not ticket.done:
                    queue.appendleft(ticket)
                self._more.owner = NOBODY
                spawn(self._release)
                raise
        self._idle()

    def _idle(self) -> None:
        if self._extras is not None:
            self._extras.owner = None
        self._gate &= ~BUSY

    async def _serve(self, ticket: Ticket) -> None:
        try:
            result = await self._macro(ticket.signal, ticket.bind)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the ticket, if anybody does
            ticket.finish(None, error)
            if not isinstance(error, MachineNotActiveError):
                self._unclaimed(ticket, error)
        else:
            ticket.finish(result, None)

    def _unclaimed(self, ticket: Ticket, error: Exception) -> None:
        self.event_bus.report(
            BusError(f"event {ticket.signal.name!r} of machine {self.definition.name}", error)
        )

    def _forget_sent(self) -> None:
        """What the actions of a failed macrostep sent was never sent."""
        if self._extras is not None:
            for ticket in self._extras.sent:
                if self._queue and ticket in self._queue:
                    self._queue.remove(ticket)
                ticket.finish(None, MachineNotActiveError("the event that sent this one failed"))
            self._extras.sent.clear()
            self._extras.raised.clear()
            self._extras.later.clear()

    async def _settle(self, value: Any) -> Any:
        """What a handler returned, awaited where needed, as a mapping or None."""
        if isinstance(value, Ticket):
            return None  # ``lambda: machine.send("X")``: the event is queued, that is all
        if inspect.isawaitable(value):
            extras = self._more
            before, extras.owner = extras.owner, task_id()
            try:
                value = await value
            finally:
                extras.owner = before
        if isinstance(value, ActionResult):
            extras = self._more
            extras.raised.extend(value.raised)
            extras.later.extend(SendLater(event) for event in value.delayed)
            extras.later.extend(CancelSend(send_id) for send_id in value.cancelled)
            return value.update
        return cast("object", value) if isinstance(value, Mapping) else None

    def raise_event(self, name: str, payload: Mapping[str, Any] | None = None) -> None:
        """Raise an internal event from an action: it is handled within this macrostep.

        Raises:
            ReentrantSendError: No action of this machine runs at this moment.
        """
        if not self._gate & BUSY or not self._is_own():
            raise ReentrantSendError(
                f"raise_event({name!r}) outside an action of machine {self.definition.name!r}",
                hint="use send() outside actions",
            )
        self._more.raised.append(Signal(name, EMPTY_PAYLOAD if payload is None else payload))

    def send_later(
        self, name: str, payload: Mapping[str, Any] | None = None, *, delay_ms: int, send_id: str = ""
    ) -> None:
        """Send an event after ``delay_ms`` milliseconds; it survives snapshots.

        Inside an action it counts only if the action's event succeeds.

        Args:
            name: The event.
            payload: Its payload.
            delay_ms: At least 0.
            send_id: What `cancel_send` calls it; a newer event of the same id takes its place.

        Raises:
            ValueNotJsonError: As for `send`.
        """
        self._check_stored(Signal(name, {} if payload is None else payload))
        command = SendLater(Delayed(name, dict(payload or {}), delay_ms, send_id))
        self._later(command)

    def cancel_send(self, send_id: str) -> None:
        """Take back a delayed event; nothing happens if it is on its way already."""
        self._later(CancelSend(send_id))

    def _later(self, command: SendLater | CancelSend) -> None:
        if self._gate & INACTIVE:
            raise self._not_active()
        if self._gate & BUSY and self._is_own():
            self._more.later.append(command)
        else:
            self._apply_later(command)

    def _not_active(self) -> MachineNotActiveError:
        return MachineNotActiveError(
            f"Machine '{self.definition.name}' is not active. Call start() or resume() before sending events."
        )

    def _action_failed(self, request: Run, event: str, error: Exception) -> Exception:
        return ActionError(self.definition.name, request.path, request.action, event, error)

    # ---- what the next layers do

    async def _macro(self, signal: Signal, bind: Mapping[str, Any] | None) -> TransitionResult:
        raise NotImplementedError

    def _apply_later(self, command: SendLater | CancelSend) -> None:
        raise NotImplementedError
