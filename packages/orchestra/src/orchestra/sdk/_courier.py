"""The threads behind the calls: one writes events to the outbox, one delivers them.

Callers only put a command on a queue and wait on a future of their own, so a signal handler may report while
the interrupted code was reporting too, and a caller never holds a lock that a delivery needs.
"""

from __future__ import annotations

import atexit
import logging
import queue
import random
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from orca.common.clock import Clock, SystemClock
from orchestra.sdk._fork import import_gate, tell
from orchestra.sdk._protocol import Event, Kind, progress_message, status_event
from orchestra.sdk._sender import Sender
from orchestra.sdk._spool import OpenRun, Spool, key_fingerprint
from orchestra.sdk._tickets import Ticket
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import SpoolError
from orchestra.sdk.limits import Budgets, Caps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Courier", "Route"]

logger = logging.getLogger(__name__)

BATCH_MAX = 256
"""Events in one commit: it bounds how long the first caller of a batch waits for the last."""
SYNC_S = 0.2
"""What is in the outbox without being synced yet is synced when nobody has reported for this long ..."""
SYNC_S_MAX = 1.0
"""... and at the latest after this long, whoever waits then."""
PROGRESS_INTERVAL_S = 1.0
"""A person reads progress; a thousand updates a second are one line a second."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where events go and with whose key; the key never shows."""

    url: str
    api_key: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What the outbox stores in place of the key."""
        return key_fingerprint(self.api_key)


@dataclass(frozen=True, slots=True)
class _Append:
    event: Event
    route: Route
    ticket: Ticket
    opened: str | None = None
    heartbeat_s: float | None = None


@dataclass(slots=True)
class _Progress:
    run: UUID
    route: Route
    fraction: float | None
    message: str


@dataclass(slots=True)
class _Beat:
    run: UUID
    route: Route
    every_s: float
    due_s: float


_WAKE = "wake"
_STOP = "stop"
_Command: TypeAlias = "_Append | str"


class Courier:
    """Accepts events and delivers them in the background.

    Args:
        folder: Where the outbox lives; None keeps it in memory.
        budgets: How long callers may wait.
        caps: What the outbox may hold.
        clock: Time.
        redact: Applied to what an answer of the server says before it is logged or stored.
        progress_interval_s: Progress of one run is sent at most this often.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        budgets: Budgets | None = None,
        caps: Caps | None = None,
        clock: Clock | None = None,
        redact: Callable[[str], str] = str,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
    ) -> None:
        self.budgets = budgets or Budgets()
        self.caps = caps or Caps()
        self.progress_interval_s = progress_interval_s
        self._folder = folder
        self._clock: Clock = clock or SystemClock()
        self._rng = random.Random()  # noqa: S311  jitter; a generator of its own leaves the user's seed alone
        self._disk: Spool | None = None
        self._memory: Spool | None = None
        self._redact = redact
        self._held: list[Spool] = []
        self._start_lock = threading.RLock()  # a signal handler may report while this is held
        self._reset()
        _couriers.add(self)

    def _reset(self) -> None:
        self._queue: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._slots: dict[str, _Progress] = {}
        self._told: set[str] = set()  # runs of whose slots the writer knows
        self._slot_due: dict[str, float] = {}
        self._beats: dict[str, _Beat] = {}
        self._sender: Sender | None = None
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._pending: set[Ticket] = set()
        self._unsynced_s: float | None = None  # since when
        self._stored_s = 0.0
        self._syncing: threading.Thread | None = None

    # -- what callers use ----------------------------------------------------

    def append(
        self, event: Event, route: Route, *, opened: str | None = None, heartbeat_s: float | None = None
    ) -> Ticket:
        """Hand an event over and return its ticket at once.

        Args:
            event: The event.
            route: Where it goes.
            opened: The name of the function or block, when the event starts a task run.
            heartbeat_s: Repeat that the run is alive this often until its terminal status.
        """
        ticket = Ticket(event.kind is Kind.TERMINAL, self._pending)
        self._queue.put(_Append(event, route, ticket, opened, heartbeat_s))
        self._ensure_threads()
        return ticket

    def progress(self, run: UUID, route: Route, fraction: float | None, message: str) -> None:
        """Keep the latest progress of a run; it is sent at most once an interval."""
        key = str(run)
        self._slots[key] = _Progress(run, route, fraction, message)
        # After the slot is filled, and emptied in the other order: if the writer takes what was there before in this
        # very moment, it is told again.
        if key not in self._told:
            self._told.add(key)
            self._queue.put(_WAKE)
            self._ensure_threads()

    def accepted(self, ticket: Ticket) -> bool:
        """Wait within the budgets until the event is on disk or acknowledged; whether it is."""
        durable = ticket.stored_within(self.budgets.accept_s)
        if ticket.terminal:
            return ticket.delivered_within(self.budgets.terminal_s) or durable
        return durable or ticket.delivered_within(self.budgets.direct_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything handed over so far is settled; False when time ran out."""
        end_s = self._clock.monotonic() + timeout_s
        return all(
            ticket.settled_within(max(end_s - self._clock.monotonic(), 0.0)) for ticket in list(self._pending)
        )

    def finish(self) -> None:
        """At the end of the process: give what is on its way a last, bounded chance."""
        ends = [ticket for ticket in list(self._pending) if ticket.terminal]
        last_s = self._clock.monotonic() + self.budgets.terminal_s
        if self._threads:
            # A terminal status that waits for a slow disk would be lost with the process.
            for ticket in ends:
                ticket.stored_within(max(last_s - self._clock.monotonic(), 0.0))
        sender = self._sender
        if sender is None:
            return
        now_s = self._clock.monotonic()
        end_s = now_s + self.budgets.exit_s
        lost = any(t.stored.done() and not t.stored.result() for t in ends)
        if not self.flush(max(last_s - now_s, self.budgets.exit_s) if lost else self.budgets.exit_s):
            logger.info("%d events wait in the outbox for the next start", len(self._pending))
        # What earlier processes left is on its way too; a short program is also a next start.
        if self._threads:
            sender.resting.wait(max(end_s - self._clock.monotonic(), 0.0))

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop the threads and close the outbox; undelivered events stay in it."""
        self._closed = True
        self._queue.put(_STOP)
        if self._sender is not None:
            self._sender.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)
        if self._syncing is not None:
            self._syncing.join(timeout_s)
        if self._unsynced_s is not None and self._disk is not None:
            self._unsynced_s = None
            self._rest(self._disk, True)
        for spool in (self._disk, self._memory):
            if spool is not None:
                spool.close()
        self._threads = []

    # -- the writer ----------------------------------------------------------

    def _ensure_threads(self) -> None:
        if self._threads:
            return
        with self._start_lock:
            if self._threads or self._closed:
                return
            thread = threading.Thread(target=self._write_loop, name="orchestra-writer", daemon=True)
            self._threads = [thread]  # before it runs: the writer decides by it whether to start the sender
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is ending and starts no threads: write and deliver right here.
                self._threads = []
                self._write_once(self._drain(None))
                self._sender_of().run_until_idle(self.budgets.terminal_s)

    def _write_loop(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        """Write what comes next; False at the end. A call of its own: while it waits, it holds nothing written."""
        batch = self._drain(self._next_timer_s())
        try:
            self._write_once(batch)
            self._sync()
        except Exception:  # the thread must outlive any surprise; callers see False
            logger.exception("the outbox writer met an unexpected error")
            for command in batch:
                if isinstance(command, _Append):
                    command.ticket.fail("internal error")
        return _STOP not in batch

    def _drain(self, timeout_s: float | None) -> list[_Command]:
        batch: list[_Command] = []
        try:
            batch.append(self._queue.get(timeout=timeout_s) if self._threads else self._queue.get_nowait())
            while len(batch) < BATCH_MAX:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _next_timer_s(self) -> float | None:
        now_s = self._clock.monotonic()
        dues = [self._slot_due.get(key, 0.0) for key in list(self._slots)]
        dues += [beat.due_s for beat in self._beats.values()]
        if self._unsynced_s is not None:
            dues.append(min(self._stored_s + SYNC_S, self._unsynced_s + SYNC_S_MAX))
        return max(min(dues) - now_s, 0.0) if dues else None

    def _write_once(self, batch: list[_Command]) -> None:
        appends = [command for command in batch if isinstance(command, _Append)]
        now_s = self._clock.monotonic()
        out: list[_Append] = []
        for append in appends:
            run = append.event.run
            if append.event.kind is Kind.TERMINAL:
                # Progress and heartbeats end strictly before the terminal status, in this one thread.
                self._beats.pop(run, None)
                out += self._take_slot(run, now_s)
                self._slot_due.pop(run, None)
            out.append(append)
            if append.heartbeat_s is not None:
                beat = _Beat(UUID(run), append.route, append.heartbeat_s, now_s + append.heartbeat_s)
                self._beats[run] = beat
        for key in list(self._slots):
            if self._slot_due.get(key, 0.0) <= now_s:
                out += self._take_slot(key, now_s)
        for beat in self._beats.values():
            if beat.due_s <= now_s:
                beat.due_s = now_s + beat.every_s
                event = status_event(beat.run, TaskRunStatus.RUNNING, None, kind=Kind.PROGRESS)
                out.append(_Append(event, beat.route, Ticket(terminal=False)))
        if out:
            self._store(out)

    def _sync(self) -> None:
        """Sync what ordinary events left unsynced, once that is due, beside this thread: callers wait for it."""
        now_s = self._clock.monotonic()
        if self._unsynced_s is None or self._disk is None:
            return
        idle = now_s >= self._stored_s + SYNC_S
        if not idle and now_s < self._unsynced_s + SYNC_S_MAX:
            return
        if self._syncing is not None and self._syncing.is_alive():
            self._unsynced_s = self._stored_s = now_s  # a slow disk: nobody waits for it, look again later
            return
        self._unsynced_s = None
        self._syncing = threading.Thread(
            target=self._rest, args=(self._disk, idle), name="orchestra-sync", daemon=True
        )
        try:
            self._syncing.start()
        except RuntimeError:  # the interpreter is ending and starts no threads
            self._syncing = None
            self._rest(self._disk, idle)

    @staticmethod
    def _rest(disk: Spool, fold: bool) -> None:
        try:
            disk.rest(fold=fold)
        except SpoolError as error:
            logger.warning("%s", error.message)

    def _take_slot(self, key: str, now_s: float) -> list[_Append]:
        self._told.discard(key)
        slot = self._slots.pop(key, None)
        if slot is None:
            return []
        self._slot_due[key] = now_s + self.progress_interval_s
        message = progress_message(slot.fraction, slot.message)
        event = status_event(slot.run, TaskRunStatus.RUNNING, message, kind=Kind.PROGRESS)
        return [_Append(event, slot.route, Ticket(terminal=False))]

    def _store(self, appends: list[_Append]) -> None:
        sender = self._sender_of()
        for append in appends:
            sender.learn(append.route.fingerprint, append.route.api_key)
        memory_runs = sender.memory_runs()
        disk = [a for a in appends if a.event.run not in memory_runs]
        rest = [a for a in appends if a.event.run in memory_runs]
        if self._disk is None or (disk and not self._store_in(self._disk, disk)):
            rest = appends
        if rest:
            if self._memory is None:
                caps = Caps(bytes_max=min(self.caps.bytes_max, 16 * 1024 * 1024))
                with import_gate:
                    self._memory = Spool(None, caps=caps)
                sender.add(self._memory)
            self._store_in(self._memory, rest)
        sender.wake()

    def _store_in(self, spool: Spool, appends: list[_Append]) -> bool:
        now_s = self._clock.now()
        opened = [
            OpenRun(a.event.run, spool.owner, a.opened, a.route.url, a.route.fingerprint, now_s)
            for a in appends
            if a.opened is not None
        ]
        closed = [a.event.run for a in appends if a.event.kind is Kind.TERMINAL]
        entries = [(a.event, a.route.url, a.route.fingerprint) for a in appends]
        sender = self._sender_of()
        watched: list[int] = []

        def watch(ids: list[int]) -> None:
            watched.extend(ids)
            for row_id, append in zip(ids, appends, strict=True):
                sender.watch(spool, row_id, append.event.run, append.ticket)

        try:
            # A power cut ends the job as well. What must be known after it is that the run began, and how it ended.
            sync = bool(opened or closed)
            spool.append(entries, now_s=now_s, opened=opened, closed=closed, sync=sync, before_commit=watch)
        except SpoolError as error:
            for row_id, append in zip(watched, appends, strict=False):
                sender.unwatch(spool, row_id, append.event.run)
            if not spool.durable:
                raise
            logger.warning("%s; events are kept in memory and sent directly", error.message)
            return False
        self._stored_s = self._clock.monotonic()
        self._unsynced_s = None if sync else self._unsynced_s or self._stored_s
        for append in appends:
            append.ticket.store(spool.durable)
        try:
            spool.enforce_caps(now_s=now_s)
        except SpoolError as error:
            logger.warning("%s", error.message)
        return True

    # -- the sender ----------------------------------------------------------

    def _sender_of(self) -> Sender:
        """Open the outbox and start delivering, at the first event."""
        if self._sender is not None:
            return self._sender
        if self._folder is not None and self._disk is None:
            try:
                with import_gate:
                    self._disk = Spool(self._folder, caps=self.caps)
            except SpoolError as error:
                logger.warning("%s; events are kept in memory only", error.message)
        self._sender = Sender(self._clock, redact=self._redact, rng=self._rng)
        if self._disk is not None:
            self._sender.add(self._disk)
        if self._threads:
            thread = threading.Thread(target=self._sender.loop, name="orchestra-sender", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self._sender

    # -- forks ---------------------------------------------------------------

    def before_fork(self) -> None:
        """Hold the outbox still and closed: a connection must not exist in two processes."""
        self._held = [spool for spool in (self._disk, self._memory) if spool is not None]
        for spool in self._held:
            spool.lock.acquire()
            spool.close_locked()

    def after_fork_in_parent(self) -> None:
        """Go on; the next call opens the outbox again."""
        for spool in self._held:
            spool.lock.release()
        self._held = []

    def after_fork_in_child(self) -> None:
        """Start anew: threads and tickets of the parent do not exist here, and its events are its own."""
        if self._disk is not None:
            self._disk.after_fork()
        # A lock of the HTTP stack may be held by a thread that does not exist here, so nothing of the parent's is
        # closed, only kept from being collected; the system closes this process's copies at its end.
        _of_the_parent.append((self._sender, self._memory))
        self._held = []
        self._memory = None
        self._start_lock = threading.RLock()
        self._reset()


_couriers: weakref.WeakSet[Courier] = weakref.WeakSet()
_of_the_parent: list[object] = []


def _finish_all() -> None:
    for courier in list(_couriers):
        courier.finish()


tell(_couriers)
atexit.register(_finish_all)
