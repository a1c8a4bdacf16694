import logging
import random
import sqlite3
import threading
from contextlib import closing
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from orca.common.testing import FakeClock
from orchestra.sdk import Budgets, TaskRunStatus, _spool
from orchestra.sdk._courier import Courier, Route
from orchestra.sdk._http import HttpLimits
from orchestra.sdk._process import owner_token
from orchestra.sdk._protocol import Event, Kind, Verdict, output_event, status_event
from orchestra.sdk._sender import CLAIM_S, Sender
from orchestra.sdk._spool import LEASE_S, OpenRun, Spool, key_fingerprint
from orchestra.sdk._tickets import Ticket
from orchestra.sdk.testing import Fault, WebhookServer

KEY = "key-of-the-suite-0123456789"
FINGER = key_fingerprint(KEY)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def sender(clock, spool):
    made = Sender(clock, rng=random.Random(1))
    made.add(spool)
    made.learn(FINGER, KEY)
    yield made
    made.abandon()


def put(spool, server, *events, sender=None):
    tickets = [Ticket(e.kind is Kind.TERMINAL) for e in events]

    def watch(ids):
        if sender is not None:
            for i, e, t in zip(ids, events, tickets, strict=True):
                sender.watch(spool, i, e.run, t)

    spool.append([(e, server.url, FINGER) for e in events], now_s=1.0, before_commit=watch)
    return tickets


def running(run, message):
    return status_event(run, TaskRunStatus.RUNNING, message)


def test_events_arrive_in_order_and_leave_the_outbox(sender, spool, server):
    run = uuid4()
    events = [running(run, str(n)) for n in range(40)] + [status_event(run, TaskRunStatus.SUCCEEDED, None)]
    tickets = put(spool, server, *events, sender=sender)
    sender.step()
    assert server.run(run).messages == [str(n) for n in range(40)]
    assert spool.counts() == (0, 0)
    assert all(t.settled.result(0).verdict is Verdict.ACCEPTED for t in tickets)


def test_a_receiver_that_is_down_is_asked_again_with_growing_pauses(sender, spool, server, clock):
    run = uuid4()
    put(spool, server, running(run, "a"))
    server.stop()
    pauses = []
    for _ in range(8):
        delay_s = sender.step()
        pauses.append(delay_s)
        clock.advance(delay_s)
    assert 0.1 <= pauses[0] <= 0.2
    # A longer pause is looked at every IDLE_S, because other processes may leave something meanwhile.
    assert all(a <= b * 2 for a, b in pairwise(pauses))
    assert max(pauses) <= 5.0
    (row,) = spool.rows()
    assert "cannot connect" in row.error
    assert row.attempts == 8 - sum(p == 5.0 for p in pauses[:-1])
    server.start()
    clock.advance(30.0)
    sender.step()
    assert server.run(run).messages == ["a"]


def test_one_run_in_trouble_does_not_hold_another(sender, spool, server, clock):
    bad, good = uuid4(), uuid4()
    put(spool, server, running(bad, "x"), running(bad, "y"), running(good, "z"))
    server.script(Fault.status(500))
    sender.step()
    assert server.run(good).messages == ["z"]
    assert server.run(bad).messages == []
    clock.advance(1.0)
    sender.step()
    assert server.run(bad).messages == ["x", "y"]


def test_a_refused_event_becomes_a_dead_letter_and_the_next_goes_on(sender, spool, server, caplog):
    run = uuid4()
    server.script(Fault.status(422, body="no such output"))
    tickets = put(spool, server, output_event(run, "a", 1), running(run, "b"), sender=sender)
    sender.step()
    assert tickets[0].settled.result(0).verdict is Verdict.REFUSED
    assert server.run(run).messages == ["b"]
    (letter,) = spool.dead_letters()
    assert letter.reason == "HTTP 422: no such output"
    assert "was refused: HTTP 422: no such output" in caplog.text


def test_retry_after_holds_the_whole_address(sender, spool, server, clock):
    server.script(Fault.status(429, retry_after_s=20))
    put(spool, server, running(uuid4(), "a"), running(uuid4(), "b"))
    sender.step()
    clock.advance(19.0)
    sender.step()
    assert len(server.requests) == 1
    clock.advance(1.5)
    sender.step()
    assert len(server.requests) == 3


def test_what_waits_for_another_address_or_key_does_not_hold_a_run(sender, spool, server, clock):
    run = uuid4()
    with WebhookServer() as gone:
        nowhere = gone.url
    spool.append([(running(run, "first"), nowhere, FINGER)], now_s=1.0)
    spool.append([(running(run, "second"), server.url, key_fingerprint("a key that nobody has"))], now_s=1.0)
    put(
        spool,
        server,
        running(run, "third"),
        status_event(run, TaskRunStatus.SUCCEEDED, "done"),
        sender=sender,
    )
    sender.step()
    assert server.run(run).messages == ["third", "done"]
    assert [row.url for row in spool.rows()] == [nowhere, server.url]
    sender.learn(key_fingerprint("a key that nobody has"), KEY)
    sender.step()
    assert [row.url for row in spool.rows()] == [nowhere]


def test_nothing_is_claimed_for_longer_than_an_attempt_may_last():
    assert CLAIM_S + HttpLimits().total_s < LEASE_S


def test_what_arrived_twice_is_an_equal_repetition(sender, spool, server, clock):
    run = uuid4()
    server.script(Fault.drop_after())
    put(spool, server, status_event(run, TaskRunStatus.FAILED, "once"))
    sender.step()
    clock.advance(1.0)
    sender.step()
    assert [e["message"] for e in server.events] == ["once", "once"]
    assert server.run(run).late == []


def test_without_the_key_an_event_stays(clock, spool, server):
    stranger = Sender(clock, rng=random.Random(1))
    stranger.add(spool)
    put(spool, server, running(uuid4(), "a"))
    stranger.step()
    stranger.learn(key_fingerprint("another"), "another")
    stranger.step()
    assert not server.requests
    assert spool.counts()[0] == 1
    stranger.abandon()


def test_what_another_process_is_writing_is_not_delivered_without_a_lease(
    clock, server, tmp_path, monkeypatch
):
    """Whoever holds the file up may be delivering this very line; one that never lets go must not hold it for ever."""
    monkeypatch.setattr(_spool, "BUSY_S", 0.01)
    spool = Spool(tmp_path / "spool")
    sender = Sender(clock, rng=random.Random(1))
    sender.add(spool)
    sender.learn(FINGER, KEY)
    (ticket,) = put(spool, server, running(uuid4(), "a"), sender=sender)
    with closing(sqlite3.connect(spool.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert sender.step() <= 0.1
        clock.advance(LEASE_S - 1.0)
        sender.step()
        assert not server.requests
        clock.advance(2.0)
        sender.step()
        assert ticket.settled.result(0).verdict is Verdict.ACCEPTED
        other.execute("ROLLBACK")
    sender.step()
    assert len(server.requests) == 1  # delivered once, and forgotten as soon as the file could be written
    assert spool.counts()[0] == 0
    sender.abandon()
    spool.close()


def test_being_busy_now_and_then_is_not_being_stuck(clock, server, tmp_path, monkeypatch):
    """In between, the file could be written, and another process was seen to deliver the line."""
    monkeypatch.setattr(_spool, "BUSY_S", 0.01)
    spool, holder = Spool(tmp_path / "spool"), Spool(tmp_path / "spool")
    sender = Sender(clock, rng=random.Random(1))
    sender.add(spool)
    sender.learn(FINGER, KEY)
    put(spool, server, running(uuid4(), "a"), sender=sender)
    (head,) = holder.heads([FINGER])
    with closing(sqlite3.connect(spool.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sender.step()
        other.execute("ROLLBACK")
        for _ in range(2):
            assert holder.claim(head.line, now=clock.now)
            sender.step()
            clock.advance(LEASE_S * 0.6)
        other.execute("BEGIN IMMEDIATE")
        sender.step()
        assert not server.requests
        other.execute("ROLLBACK")
    sender.abandon()
    spool.close()
    holder.close()


def test_a_run_that_another_process_delivers_is_waited_for(sender, spool, server, clock, tmp_path):
    run = uuid4()
    (ticket,) = put(spool, server, running(run, "a"), sender=sender)
    other = Spool(tmp_path / "spool")
    (head,) = other.heads([FINGER])
    assert other.claim(head.line, now=clock.now)
    assert sender.step() <= 0.1
    assert not ticket.settled.done()
    other.release(head.line, acked=[row.id for row in other.rows()])
    other.close()
    clock.advance(3.0)
    sender.step()
    assert ticket.settled.result(0).verdict is Verdict.ACCEPTED


def test_dropped_and_buried_elsewhere_settle_too(sender, spool, server, clock):
    run = uuid4()
    server.stop()
    first, second = put(spool, server, running(run, "a"), running(run, "b"), sender=sender)
    spool.bury(spool.rows()[0], "HTTP 400", now_s=1.0)
    spool.ack([row.id for row in spool.rows()])
    sender.step()
    assert first.settled.result(0).verdict is Verdict.REFUSED
    assert second.settled.result(0).verdict is Verdict.ACCEPTED


def test_runs_of_dead_processes_are_reported_failed(sender, spool, server, caplog):
    run, broken = uuid4(), "not-a-uuid"
    dead = f"{owner_token().partition('|')[0]}|999999999|1|x"
    for name in (str(run), broken):
        spool.append(
            [(Event(name, Kind.STATUS, running(run, "job started.").body), server.url, FINGER)],
            now_s=1.0,
            opened=[OpenRun(name, dead, "job", server.url, FINGER, 1.0)],
        )
    sender.step()
    assert server.run(run).statuses == ["RUNNING", "FAILED"]
    assert [r.run for r in spool.open_runs()] == [broken]  # no event can be made for it


def test_the_own_runs_backlog_comes_before_what_others_left(sender, spool, server):
    theirs, mine = uuid4(), uuid4()
    put(spool, server, *[running(theirs, str(n)) for n in range(5)])
    put(spool, server, running(mine, "mine"), sender=sender)
    sender.step()
    assert server.events[0]["message"] == "mine"
    assert server.run(theirs).messages == [str(n) for n in range(5)]


def test_the_loop_survives_a_broken_outbox_and_ends_when_told(sender, spool, server, caplog):
    caplog.set_level(logging.WARNING)
    put(spool, server, running(uuid4(), "a"))
    spool._open().execute("ALTER TABLE events RENAME TO events_gone")
    assert sender._safe_step() == 1.0
    assert "the outbox" in caplog.text
    spool._open().execute("ALTER TABLE events_gone RENAME TO events")
    thread = threading.Thread(target=sender.loop)
    thread.start()
    server.wait_for(lambda s: s.events)
    sender.stop()
    thread.join(60)
    assert not thread.is_alive()


def test_a_full_disk_does_not_hold_back_what_is_on_it(sender, spool, server, clock):
    run = uuid4()
    server.script(Fault.status(200), Fault.status(422), Fault.status(200), Fault.status(503))
    tickets = put(spool, server, *[running(run, str(n)) for n in range(5)], sender=sender)
    spool._open().execute("PRAGMA query_only=ON")  # every write fails, as on a full disk
    sender.step()
    assert [t.settled.done() for t in tickets] == [True, True, True, False, False]
    clock.advance(1.0)
    sender.step()
    assert all(t.settled.done() for t in tickets)
    assert len(server.requests) == 6  # nothing was sent twice, although nothing could be taken out
    assert spool.counts()[0] == 5
    spool._open().execute("PRAGMA query_only=OFF")
    put(spool, server, running(run, "5"))
    sender.step()
    assert spool.counts()[0] == 0
    assert server.run(run).messages == ["0", "2", "3", "4", "5"]


def test_running_until_idle_ends_in_time(sender, spool, server, clock):
    server.stop()
    put(spool, server, running(uuid4(), "a"), sender=sender)
    assert not sender.run_until_idle(3.0)
    server.start()
    assert sender.run_until_idle(60.0)
    assert len(server.events) == 1


# -- the courier around it ------------------------------------------------------------


PATIENT = Budgets(accept_s=30.0, direct_s=30.0, terminal_s=60.0, exit_s=0.2)
"""A disk that is busy with other things delays an answer and changes none."""


@pytest.fixture
def courier(tmp_path):
    made = Courier(tmp_path / "spool", budgets=PATIENT)
    yield made
    made.close()


def route(server):
    return Route(server.url, KEY)


def test_a_full_disk_sends_from_memory_in_order_and_true_means_acknowledged(courier, server, caplog):
    run = uuid4()
    assert courier.accepted(courier.append(running(run, "first"), route(server)))
    disk = courier._disk
    pages = disk._open().execute("PRAGMA page_count").fetchone()[0]
    disk._open().execute(f"PRAGMA max_page_count={pages}")
    assert courier.flush(60)
    big = [courier.append(output_event(run, "big", f"{n}" * 5_000), route(server)) for n in range(3)]
    assert all(courier.accepted(ticket) for ticket in big)
    assert not big[0].stored.result(0)
    disk._open().execute("PRAGMA max_page_count=100000")
    server.script(Fault.delay(0.2))
    later = courier.append(running(run, "later"), route(server))
    after = courier.append(running(run, "after"), route(server))
    assert courier.accepted(after)
    assert courier.flush(60)
    assert later.stored.result(0) or later.settled.done()
    assert server.run(run).messages == ["first", "later", "after"]
    assert "full" in caplog.text
    server.stop()
    disk._open().execute(f"PRAGMA max_page_count={disk._open().execute('PRAGMA page_count').fetchone()[0]}")
    courier.budgets = Budgets(direct_s=0.2, accept_s=1.0)
    lost = courier.append(output_event(run, "big", "x" * 9_000), route(server))
    assert not courier.accepted(lost)  # neither on disk nor acknowledged: never True


def test_an_outbox_that_cannot_be_opened_is_replaced_by_memory(tmp_path, server, caplog):
    (tmp_path / "file").write_text("")
    courier = Courier(tmp_path / "file" / "box", budgets=PATIENT)
    run = uuid4()
    assert courier.accepted(courier.append(status_event(run, TaskRunStatus.SUCCEEDED, None), route(server)))
    assert "events are kept in memory only" in caplog.text
    courier.close()


def test_ordinary_events_are_synced_soon_after_and_ends_at_once(courier, server, monkeypatch):
    run = uuid4()
    courier.append(running(run, "started"), route(server), opened="job")
    assert courier.flush(60)
    said: list[str] = []
    courier._disk._open().set_trace_callback(said.append)
    rested = threading.Event()
    rest = courier._disk.rest
    monkeypatch.setattr(courier._disk, "rest", lambda *, fold: (rest(fold=fold), rested.set()))
    assert courier.accepted(courier.append(running(run, "a"), route(server)))
    assert "PRAGMA synchronous=FULL" not in said
    assert rested.wait(60)
    assert courier.accepted(courier.append(status_event(run, TaskRunStatus.SUCCEEDED, None), route(server)))
    assert "PRAGMA synchronous=FULL" in said


def test_progress_is_coalesced_and_ends_before_the_terminal_status(tmp_path, server):
    courier = Courier(tmp_path / "spool", budgets=PATIENT, progress_interval_s=0.05)
    run = uuid4()
    courier.append(running(run, "started"), route(server))
    for n in range(1_001):
        courier.progress(run, route(server), n / 1_000, "rows")
    ticket = courier.append(status_event(run, TaskRunStatus.SUCCEEDED, "done"), route(server))
    assert courier.accepted(ticket)
    view = server.run(run)
    assert view.messages[-2:] == ["100 %: rows", "done"]
    assert len(view.messages) < 200
    assert view.late == []
    courier.close()


def test_progress_of_the_moment_in_which_the_one_before_is_taken_is_not_forgotten(courier, server):
    run = uuid4()

    class Slots(dict):
        """The writer takes what is there whenever the caller is about to put something in its place."""

        def __setitem__(self, key, slot):
            if key in self:
                courier._take_slot(key, 0.0)
            super().__setitem__(key, slot)

    class Wakes(list):
        put = list.append

    courier._slots = Slots()
    courier._queue = Wakes()
    courier._threads = [threading.current_thread()]
    courier.progress(run, route(server), 0.1, "first")
    courier.progress(run, route(server), 0.2, "second")
    assert (list(courier._slots), len(courier._queue)) == ([str(run)], 2)
    courier.progress(run, route(server), 0.3, "third")
    courier._slots = dict(courier._slots)
    courier.progress(run, route(server), 0.4, "fourth")
    assert len(courier._queue) == 3, "the writer knows already"
    courier._reset()


def test_heartbeats_repeat_running_and_stop_before_the_end(courier, server):
    run = uuid4()
    courier.append(running(run, "started"), route(server), opened="job", heartbeat_s=0.05)
    server.wait_for(lambda s: s.run(run).statuses.count("RUNNING") >= 4)
    courier.accepted(courier.append(status_event(run, TaskRunStatus.FAILED, None), route(server)))
    seen = len(server.requests)
    probe = uuid4()
    courier.append(running(probe, "later"), route(server), heartbeat_s=0.05)
    server.wait_for(lambda s: s.run(probe).statuses.count("RUNNING") >= 4)
    assert len(server.requests) > seen
    assert server.run(run).late == []


def test_closing_keeps_what_is_undelivered(courier, server, tmp_path):
    server.stop()
    run = uuid4()
    assert courier.accepted(courier.append(running(run, "a"), route(server)))
    assert not courier.flush(0.05)
    courier.finish()
    courier.close()
    spool = Spool(tmp_path / "spool")
    assert [row.run for row in spool.rows()] == [str(run)]
    spool.close()


def test_the_end_of_the_process_waits_for_a_final_status_that_is_not_written_yet(
    courier, server, monkeypatch
):
    server.stop()
    free, write = threading.Event(), courier._write_once

    def write_later(batch):
        assert free.wait(60)
        write(batch)

    monkeypatch.setattr(courier, "_write_once", write_later)
    ticket = courier.append(status_event(uuid4(), TaskRunStatus.SUCCEEDED, None), route(server))
    timer = threading.Timer(3 * PATIENT.exit_s, free.set)
    timer.start()
    courier.finish()
    assert ticket.stored.result(0)
    timer.join()


def test_the_writer_survives_a_surprise(courier, server, caplog):
    run = uuid4()
    broken = courier.append(Event(str(run), Kind.STATUS, None), route(server))  # type: ignore[arg-type]
    assert not courier.accepted(broken)
    assert courier.accepted(courier.append(running(run, "a"), route(server)))
    assert "unexpected error" in caplog.text


def test_many_threads_are_accepted_and_delivered_in_the_order_of_each(courier, server):
    runs = [uuid4() for _ in range(5)]

    def report(run: UUID) -> None:
        for n in range(40):
            assert courier.accepted(courier.append(running(run, str(n)), route(server)))

    threads = [threading.Thread(target=report, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert courier.flush(60)
    for run in runs:
        assert server.run(run).messages == [str(n) for n in range(40)]
