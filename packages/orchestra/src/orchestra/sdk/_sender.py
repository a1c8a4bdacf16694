"""Delivers what the outbox holds: in order per task run, until acknowledged, refused or expired."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from orchestra.sdk._fork import import_gate
from orchestra.sdk._outbox import Head, Pause, choose, pause_after, replay_gap_s
from orchestra.sdk._process import owner_is_dead
from orchestra.sdk._protocol import Kind, Outcome, Verdict, judge_failure, parse_task_run_id, status_event
from orchestra.sdk._spool import LEASE_S
from orchestra.sdk._tickets import Ticket, Watched
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from orca.common.clock import Clock
    from orchestra.sdk._spool import Row, Spool

__all__ = ["Sender", "Transport"]

logger = logging.getLogger(__name__)

ACK_BATCH_MAX = 16
"""Acknowledged events forgotten in one commit: at most so many are sent twice after kill -9."""
IDLE_S = 5.0
"""How often a sender looks for what other processes left while it waits for nothing of its own."""
LEASED_S = 0.1
"""How soon to look again at a run that another process is delivering."""
ELSEWHERE_S = 0.1
"""How often to look whether another process delivered what this one waits for."""
ELSEWHERE_MAX = 64
"""Events of one run in one such look."""
BROKEN_S = 1.0
"""How soon to look again at an outbox that cannot be read."""
CLAIM_S = 12.0
"""A claim is given back after so long and taken again: with one attempt's total deadline, well within a lease."""
PAUSES_MAX = 10_000
"""Lines and addresses that are remembered as waiting; beyond it the memory starts anew."""


class Transport(Protocol):
    """What delivers one event."""

    def post(self, url: str, api_key: str, body: bytes) -> Outcome:
        """Send it and judge the answer; never raises for the network's failures."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Sender:
    """Steps through the outbox. One thread calls `loop`, or a test calls `step`.

    Args:
        clock: Time.
        redact: Applied to reasons before they are logged or stored.
        rng: For jitter.
        transport: Delivers; a real one is made at the first delivery.

    Attributes:
        resting: Set while nothing can be delivered: all is gone, or what is left must wait.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        redact: Callable[[str], str] = str,
        rng: Random,
        transport: Transport | None = None,
    ) -> None:
        self._clock = clock
        self._redact = redact
        self._rng = rng
        self._transport = transport
        self._spools: list[Spool] = []
        self._keys: dict[str, str] = {}
        self._tickets = Watched()
        self._paused: dict[str, Pause] = {}
        self._busy_since_s: dict[str, float] = {}
        self._wake = threading.Event()
        self.resting = threading.Event()
        # Acknowledged, but still in an outbox that cannot be written: one full disk's worth of ids at most.
        self._unforgotten: dict[int, set[int]] = {}
        self._stopped = False
        self._next_orphans_s = 0.0
        self._next_elsewhere_s = 0.0

    # -- called by the writer --------------------------------------------------

    def add(self, spool: Spool) -> None:
        """Deliver from this outbox too, after those added before."""
        self._spools.append(spool)

    def learn(self, fingerprint: str, api_key: str) -> None:
        """Remember the key that a fingerprint stands for; it stays in this process."""
        self._keys[fingerprint] = api_key

    def watch(self, spool: Spool, row_id: int, run: str, ticket: Ticket) -> None:
        """Tell ``ticket`` what becomes of the event."""
        self._tickets.add(id(spool), run, row_id, ticket)

    def watch_all(self, spool: Spool, run: str) -> None:
        """Treat everything that waits for a run as this process's own."""
        for row in spool.rows(run, limit=100_000):
            self.watch(spool, row.id, run, Ticket(row.kind is Kind.TERMINAL))

    def unwatch(self, spool: Spool, row_id: int, run: str) -> None:
        """The event was not stored after all."""
        self._tickets.pop(id(spool), run, row_id)

    def memory_runs(self) -> set[str]:
        """Runs with events that are only in memory: what follows must queue behind them."""
        volatile = {id(spool) for spool in self._spools if not spool.durable}
        return self._tickets.runs(volatile) if volatile else set()

    def wake(self) -> None:
        """There is something new."""
        self.resting.clear()
        self._wake.set()

    def stop(self) -> None:
        """End the loop after the event that is on its way."""
        self._stopped = True
        self._wake.set()

    def abandon(self) -> None:
        """Close the connections of a sender that no thread uses."""
        if self._transport is not None:
            self._transport.close()

    # -- the loop ----------------------------------------------------------------

    def loop(self) -> None:
        """Deliver until stopped."""
        while not self._stopped:
            self._wake.clear()
            self.resting.clear()
            delay_s = self._safe_step()
            if not self._wake.is_set():
                self.resting.set()
            self._wake.wait(delay_s)
        if self._transport is not None:
            self._transport.close()
        for spool in list(self._spools):
            if spool.durable:
                # The last answer may have come after its owner closed it, and have opened it again.
                spool.close()

    def run_until_idle(self, timeout_s: float) -> bool:
        """Deliver in this thread until nothing of this process waits; False when time ran out."""
        end_s = self._clock.monotonic() + timeout_s
        while True:
            delay_s = self._safe_step()
            if not self._tickets:
                return True
            now_s = self._clock.monotonic()
            if now_s >= end_s:
                return False
            self._clock.sleep(min(delay_s, end_s - now_s))

    def _safe_step(self) -> float:
        try:
            return self.step()
        except SpoolError as error:
            logger.warning("%s", self._redact(error.message))
        except Exception:  # the thread must outlive any surprise, or nothing is delivered any more
            logger.exception("delivery met an unexpected error")
        return 1.0

    def step(self) -> float:
        """Serve every run that may be served now; return the seconds until another look is worth it."""
        if not self._keys:
            return IDLE_S
        delay_s = IDLE_S
        for spool in list(self._spools):
            try:
                delay_s = min(delay_s, self._serve(spool))
            except SpoolError as error:  # noqa: PERF203
                # One broken outbox must not hold up the other: the one in memory stands in for it.
                logger.warning("%s", self._redact(error.message))
                delay_s = min(delay_s, BROKEN_S)
        self._settle_elsewhere()
        if self._tickets and not self._paused:
            # Somebody waits, and nothing here holds it up: another process is delivering it.
            return min(delay_s, LEASED_S)
        return delay_s

    def _serve(self, spool: Spool) -> float:
        delay_s = IDLE_S
        with suppress(SpoolError):  # it writes; what is there already can be delivered without
            self._adopt_orphans(spool)
        while not self._stopped:
            now_s = self._clock.monotonic()
            own = self._own_runs()
            heads, due_s = choose(spool.heads(list(self._keys)), own, self._paused, now_s=now_s)
            if due_s is not None:
                delay_s = min(delay_s, max(due_s - now_s, 0.001))
            if heads:
                self._connected()  # before anything is claimed: on a busy machine this takes seconds
            moved = False
            for head in heads:
                if self._stopped or (head.route in self._paused and self._paused[head.route].until_s > now_s):
                    continue
                sent = self._deliver_run(spool, head, own)
                if sent is None and head.run in own:
                    delay_s = LEASED_S
                moved = moved or bool(sent)
            if not moved:
                break
        waits = [pause.until_s for pause in self._paused.values()]
        now_s = self._clock.monotonic()
        return min([delay_s, *(max(until_s - now_s, 0.001) for until_s in waits if until_s > now_s)])

    def _own_runs(self) -> frozenset[str]:
        """Runs that somebody in this process may be waiting for."""
        return frozenset(self._tickets.runs())

    def _deliver_run(self, spool: Spool, head: Head, own: frozenset[str]) -> int | None:
        """Send a line's events until one must wait; how many left, None when another process has it."""
        try:
            claimed = spool.claim(head.line, now=self._clock.now)
            # Also when another has it: the file itself could be written.
            self._busy_since_s.pop(head.line, None)
            if not claimed:
                return None
        except SpoolError as error:
            if error.busy and not self._busy_for_long(head.line):
                return None  # somebody is at work there, maybe on this very line
            # A full disk takes no lease. What is on it can still be read and must not wait for space.
            logger.debug("delivering without a lease: %s", error.message)
        start_s = self._clock.monotonic()
        acked: list[int] = []
        done = 0
        try:
            for row in self._undelivered(spool, head):
                if self._stopped or self._clock.monotonic() - start_s > CLAIM_S:
                    break
                if not self._deliver(spool, head, row, acked):
                    break
                done += 1
                if len(acked) >= ACK_BATCH_MAX:
                    self._forget(spool, acked)
                gap_s = replay_gap_s(row.run, own)
                if gap_s:
                    self._clock.sleep(gap_s)
        finally:
            self._forget(spool, acked, release=head.line)
        return done

    def _busy_for_long(self, line: str) -> bool:
        """Whether no lease could be had for longer than any holder may need: then the outbox's lock is stuck."""
        now_s = self._clock.monotonic()
        if len(self._busy_since_s) >= PAUSES_MAX:
            self._busy_since_s.clear()
        return now_s - self._busy_since_s.setdefault(line, now_s) > LEASE_S

    def _undelivered(self, spool: Spool, head: Head) -> list[Row]:
        gone = self._unforgotten.get(id(spool), ())
        return [row for row in spool.line(head, limit=64 + len(gone)) if row.id not in gone]

    def _forget(self, spool: Spool, acked: list[int], *, release: str | None = None) -> None:
        """Take acknowledged events out of the outbox; those that a full disk keeps are not sent again."""
        unforgotten = self._unforgotten.setdefault(id(spool), set())
        unforgotten.update(acked)
        acked.clear()
        try:
            if release is None:
                spool.ack(unforgotten)
            else:
                spool.release(release, acked=unforgotten)
        except SpoolError as error:
            logger.debug("the outbox keeps delivered events for now: %s", error.message)
        else:
            unforgotten.clear()

    def _deliver(self, spool: Spool, head: Head, row: Row, acked: list[int]) -> bool:
        outcome = self._post(row)
        ticket = self._tickets.get(id(spool), row.run, row.id)
        if outcome.verdict is Verdict.RETRY:
            self._postpone(spool, head, row, outcome)
            return False
        self._paused.pop(head.line, None)
        self._paused.pop(head.route, None)
        if outcome.verdict is Verdict.ACCEPTED:
            acked.append(row.id)
        else:
            reason = self._redact(outcome.reason)
            self._bury(spool, row, reason)
            logger.error("%s of task run %s was refused: %s", _what(row), row.run, reason)
        if ticket is not None:
            if row.kind is Kind.TERMINAL:
                self._forget(spool, acked)  # before anybody hears of it: the process may end right then
            self._tickets.pop(id(spool), row.run, row.id)
            ticket.settle(outcome)
        return True

    def _bury(self, spool: Spool, row: Row, reason: str) -> None:
        try:
            spool.bury(row, reason, now_s=self._clock.now())
        except SpoolError as error:
            logger.warning("a refused event cannot be kept as a dead letter: %s", error.message)
            self._unforgotten.setdefault(id(spool), set()).add(row.id)

    def _connected(self) -> Transport:
        """What delivers; the HTTP stack loads at first use."""
        if self._transport is None:
            with import_gate:
                from orchestra.sdk._http import WebhookTransport  # noqa: PLC0415

                self._transport = WebhookTransport()
        return self._transport

    def _post(self, row: Row) -> Outcome:
        try:
            return self._connected().post(row.url, self._keys[row.key], row.body)
        except Exception as error:
            logger.debug("the HTTP stack failed", exc_info=True)
            return judge_failure(f"{type(error).__name__}: {error}")

    def _postpone(self, spool: Spool, head: Head, row: Row, outcome: Outcome) -> None:
        if len(self._paused) >= PAUSES_MAX:
            self._paused.clear()
        key = head.route if outcome.whole_route else head.line
        now_s = self._clock.monotonic()
        pause = pause_after(outcome, self._paused.get(key), now_s=now_s, jitter=self._rng.random())
        self._paused[key] = pause
        reason = self._redact(outcome.reason)
        log = logger.warning if pause.failures == 1 else logger.debug
        log("%s of task run %s was not delivered (%s); trying again", _what(row), row.run, reason)
        with suppress(SpoolError):
            spool.note(row.id, row.attempts + 1, reason)

    # -- what other processes leave or take -------------------------------------------

    def _adopt_orphans(self, spool: Spool) -> None:
        """End the runs of processes that died without a word."""
        now_s = self._clock.monotonic()
        if not spool.durable or now_s < self._next_orphans_s:
            return
        self._next_orphans_s = now_s + 60.0
        for run in spool.open_runs():
            run_id = parse_task_run_id(run.run)
            if run_id is None or not owner_is_dead(run.owner):
                continue
            message = f"{run.name} failed. Error: its process ended without a final status"
            event = status_event(run_id, TaskRunStatus.FAILED, message)
            if spool.adopt(run, event, now_s=self._clock.now()):
                logger.warning(
                    "task run %s was left open by a process that died; it is reported FAILED", run.run
                )

    def _settle_elsewhere(self) -> None:
        """Settle the tickets of events that another process delivered or the caps dropped."""
        now_s = self._clock.monotonic()
        if not self._tickets or now_s < self._next_elsewhere_s:
            return
        self._next_elsewhere_s = now_s + ELSEWHERE_S
        for spool in self._spools:
            for run in self._tickets.runs({id(spool)}):
                self._settle_gone(spool, run)

    def _settle_gone(self, spool: Spool, run: str) -> None:
        """A run is delivered in order, so that its first events tell whether anything of it is gone."""
        while watched := self._tickets.first(id(spool), run, ELSEWHERE_MAX):
            gone = set(watched) - spool.present(watched)
            for row_id in sorted(gone):
                ticket = self._tickets.pop(id(spool), run, row_id)
                dead = spool.is_dead(row_id)
                if ticket is not None:
                    ticket.settle(Outcome(Verdict.REFUSED, "refused") if dead else Outcome(Verdict.ACCEPTED))
            if len(gone) < len(watched):
                return


def _what(row: Row) -> str:
    return f"a {row.kind.name.lower()} event"
