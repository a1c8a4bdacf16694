"""What became of the events that somebody in this process may be waiting for."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from orchestra.sdk._protocol import Outcome, Verdict

__all__ = ["Ticket", "Watched"]

T = TypeVar("T")


class Ticket:
    """What became of one event: stored (on disk or not), then settled (delivered or refused).

    A receiver that is down for an hour leaves thousands of tickets that nobody waits for, so futures are made for
    those who wait, and only kept as long. No lock guards that, since a signal handler may report, and wait for the
    threads behind it, while the interrupted code was just here: who waits puts a future on the list and looks at
    the word after that; who tells says the word and empties the list after that. One of the two finds the other.

    Attributes:
        terminal: Whether it carries a terminal status.
    """

    __slots__ = ("__weakref__", "_durable", "_outcome", "_pending", "_settling", "_storing", "terminal")

    def __init__(self, terminal: bool, pending: set[Ticket] | None = None) -> None:
        """Make a ticket.

        Args:
            terminal: Whether it carries a terminal status.
            pending: A set that has it until it is settled.
        """
        self.terminal = terminal
        self._durable: bool | None = None
        self._outcome: Outcome | None = None
        self._storing: list[Future[bool]] = []
        self._settling: list[Future[Outcome]] = []
        self._pending = pending
        if pending is not None:
            pending.add(self)

    @property
    def stored(self) -> Future[bool]:
        """True when it is on disk, False when it is only in memory."""
        future = _waiter(self._storing)
        if self._durable is not None:
            _tell(self._storing, self._durable)
        return future

    @property
    def settled(self) -> Future[Outcome]:
        """Accepted or refused, with the reason."""
        future = _waiter(self._settling)
        if self._outcome is not None:
            _tell(self._settling, self._outcome)
        return future

    def stored_within(self, timeout_s: float) -> bool:
        """Whether the event is on disk by then."""
        if self._durable is None and timeout_s > 0:
            with suppress(FutureTimeoutError):
                self.stored.result(timeout_s)
        return bool(self._durable)

    def settled_within(self, timeout_s: float) -> bool:
        """Whether the receiver's word is known by then."""
        if self._outcome is None and timeout_s > 0:
            with suppress(FutureTimeoutError):
                self.settled.result(timeout_s)
        return self._outcome is not None

    def delivered_within(self, timeout_s: float) -> bool:
        """Whether the receiver has acknowledged it by then."""
        self.settled_within(timeout_s)
        outcome = self._outcome
        return outcome is not None and outcome.verdict is Verdict.ACCEPTED

    def store(self, durable: bool) -> None:
        """Say, once, whether it is on disk."""
        if self._durable is None:
            self._durable = durable
            _tell(self._storing, durable)

    def fail(self, reason: str) -> None:
        """The event could not be taken at all."""
        self.store(False)
        self.settle(Outcome(Verdict.REFUSED, reason))

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits, once."""
        if self._outcome is None:
            self._outcome = outcome
            if self._pending is not None:
                self._pending.discard(self)
            _tell(self._settling, outcome)


def _waiter(waiting: list[Future[T]]) -> Future[T]:
    """A future on the list; one serves all who wait."""
    with suppress(IndexError):  # told and gone since the last look
        return waiting[0]
    future: Future[T] = Future()
    waiting.append(future)
    return future


def _tell(waiting: list[Future[T]], word: T) -> None:
    """Give every future on the list its word. Two may do so at once: each future is taken off by one of them."""
    while True:
        try:
            future = waiting.pop()
        except IndexError:
            return
        with suppress(InvalidStateError):  # an event loop that ended has cancelled it
            future.set_result(word)


class Watched:
    """The tickets of undelivered events by outbox and task run. The writer adds and the sender takes.

    Nothing here looks at every ticket: a receiver that is down for an hour leaves thousands.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[int, str], dict[int, Ticket]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, spool: int, run: str, row_id: int, ticket: Ticket) -> None:
        """Watch an event; ids of a run grow."""
        with self._lock:
            self._lines.setdefault((spool, run), {})[row_id] = ticket

    def get(self, spool: int, run: str, row_id: int) -> Ticket | None:
        """The ticket of an event, if anybody watches it."""
        with self._lock:
            return self._lines.get((spool, run), {}).get(row_id)

    def pop(self, spool: int, run: str, row_id: int) -> Ticket | None:
        """Stop watching an event and return its ticket."""
        with self._lock:
            line = self._lines.get((spool, run))
            if line is None:
                return None
            ticket = line.pop(row_id, None)
            if not line:
                del self._lines[spool, run]
            return ticket

    def runs(self, spools: set[int] | None = None) -> set[str]:
        """The task runs that are watched, in some outboxes or all."""
        with self._lock:
            return {run for spool, run in self._lines if spools is None or spool in spools}

    def first(self, spool: int, run: str, count: int) -> list[int]:
        """The first events of a run, and its last one, which may end it and be waited for."""
        with self._lock:
            line = self._lines.get((spool, run), {})
            return [*islice(line, count), *([next(reversed(line))] if len(line) > count else [])]
