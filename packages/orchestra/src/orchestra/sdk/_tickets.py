"""What became of the events that somebody in this process may be waiting for."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice

from orchestra.sdk._protocol import Outcome, Verdict

__all__ = ["Ticket", "Watched"]


class Ticket:
    """What became of one event: stored (on disk or not), then settled (delivered or refused).

    Attributes:
        terminal: Whether it carries a terminal status.
        stored: True when it is on disk, False when it is only in memory.
        settled: Accepted or refused, with the reason.
    """

    __slots__ = ("__weakref__", "settled", "stored", "terminal")

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.stored: Future[bool] = Future()
        self.settled: Future[Outcome] = Future()

    def stored_within(self, timeout_s: float) -> bool:
        """Whether the event is on disk by then."""
        try:
            return self.stored.result(timeout_s)
        except FutureTimeoutError:
            return False

    def settled_within(self, timeout_s: float) -> bool:
        """Whether the receiver's word is known by then."""
        try:
            self.settled.result(timeout_s)
        except FutureTimeoutError:
            return False
        return True

    def delivered_within(self, timeout_s: float) -> bool:
        """Whether the receiver has acknowledged it by then."""
        return self.settled_within(timeout_s) and self.settled.result().verdict is Verdict.ACCEPTED

    def fail(self, reason: str) -> None:
        """The event could not be taken at all."""
        if not self.stored.done():
            self.stored.set_result(False)
        self.settle(Outcome(Verdict.REFUSED, reason))

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits, once."""
        if not self.settled.done():
            self.settled.set_result(outcome)


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
