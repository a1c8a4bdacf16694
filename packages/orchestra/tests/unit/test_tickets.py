"""Tickets of events: cheap while nobody waits, and nobody who waits is forgotten."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from orchestra.sdk import Budgets
from orchestra.sdk import _courier as courier_module
from orchestra.sdk._courier import Courier, Route
from orchestra.sdk._protocol import Outcome, Verdict, status_event
from orchestra.sdk._tickets import Ticket
from orchestra.sdk.enums import TaskRunStatus

YES = Outcome(Verdict.ACCEPTED)
NO = Outcome(Verdict.REFUSED, "no")


def test_an_undelivered_ticket_takes_little_memory_also_after_its_caller_waited() -> None:
    pending: set[Ticket] = set()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2_000):
            ticket = Ticket(False, pending)
            waiting = ticket.stored
            ticket.store(True)
            assert waiting.result(0)
            assert ticket.stored_within(1.0)
            assert not ticket.settled_within(0.0)
        del waiting
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(pending) == 2_000
    assert taken / 2_000 < 600


def test_a_settled_ticket_is_gone_at_once() -> None:
    pending: set[Ticket] = set()
    gc.disable()  # nothing but the last reference going away may free it
    try:
        ticket = Ticket(True, pending)
        seen = weakref.ref(ticket)
        assert pending == {ticket}
        waiting = ticket.settled
        ticket.store(False)
        ticket.settle(YES)
        assert waiting.result(0) is YES
        assert pending == set()
        del ticket
        assert seen() is None
    finally:
        gc.enable()


def test_the_first_word_counts() -> None:
    ticket = Ticket(True)
    early = ticket.settled
    assert early is ticket.settled
    assert not early.done()
    ticket.settle(YES)
    ticket.fail("later")
    assert early.result(0) is ticket.settled.result(0) is YES
    assert ticket.delivered_within(0.0)
    assert not ticket.stored_within(0.0)
    assert ticket.stored.result(0) is False
    ticket.store(True)
    assert not ticket.stored_within(1.0)


def test_a_refused_ticket_is_settled_and_not_delivered() -> None:
    ticket = Ticket(True)
    ticket.fail("cannot")
    assert ticket.settled_within(0.0)
    assert not ticket.delivered_within(1.0)
    assert ticket.settled.result(0).reason == "cannot"


def test_a_future_that_somebody_cancelled_does_not_disturb_who_tells() -> None:
    ticket = Ticket(True)
    assert ticket.settled.cancel()
    ticket.settle(YES)
    assert ticket.delivered_within(0.0)


@pytest.mark.parametrize("tellers", [1, 2])
def test_whoever_begins_to_wait_while_the_word_is_said_hears_it(tellers: int) -> None:
    rounds, waiters = 300, 3
    barrier = threading.Barrier(waiters + tellers)
    tickets = [Ticket(True) for _ in range(rounds)]

    def wait() -> bool:
        heard = True
        for ticket in tickets:
            barrier.wait(30)
            heard = heard and ticket.stored_within(30.0) and ticket.settled.result(30.0) is not None
        return heard

    def tell(outcome: Outcome) -> bool:
        for ticket in tickets:
            barrier.wait(30)
            ticket.store(True)
            ticket.settle(outcome)
        return True

    with ThreadPoolExecutor(waiters + tellers) as pool:
        calls = [pool.submit(wait) for _ in range(waiters)]
        calls += [pool.submit(tell, outcome) for outcome in (YES, NO)[:tellers]]
        assert all(call.result(120) for call in calls)


def test_an_idle_writer_lets_go_of_what_it_wrote(tmp_path, monkeypatch) -> None:
    seen: list[weakref.ref[object]] = []
    freed = threading.Event()

    class Watched(courier_module._Append):
        """Can be referred to weakly."""

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            seen.append(weakref.ref(self, lambda _: freed.set()))

    monkeypatch.setattr(courier_module, "_Append", Watched)
    courier = Courier(tmp_path / "spool", budgets=Budgets(terminal_s=0.1, direct_s=0.1, exit_s=0.1))
    gc.disable()  # nothing but the last reference going away may free it
    try:
        # A terminal status is synced at once, so no timer wakes the writer after it.
        event = status_event(uuid4(), TaskRunStatus.SUCCEEDED, "done")
        ticket = courier.append(event, Route("http://127.0.0.1:9", "k" * 20))
        assert ticket.stored_within(60.0)
        # The caller goes on while the thread that wrote it is still letting go.
        assert freed.wait(60), f"kept by {gc.get_referrers(seen[0]())}"
    finally:
        gc.enable()
        courier.close()
