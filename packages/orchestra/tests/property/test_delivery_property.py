"""Whatever the network does, events of a run arrive in order, each at least once, or are dead letters."""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from orca.common.testing import FakeClock
from orchestra.sdk._protocol import Event, Kind, Outcome, judge_failure, judge_status
from orchestra.sdk._sender import Sender
from orchestra.sdk._spool import Spool, key_fingerprint
from orchestra.sdk._tickets import Ticket

KEY = "key"
FINGER = key_fingerprint(KEY)


class Network:
    """Answers from a script, then well; keeps what arrived."""

    def __init__(self, script: list[str]) -> None:
        self.script = deque(script)
        self.arrived: list[bytes] = []
        self.refused: list[bytes] = []

    def post(self, url: str, api_key: str, body: bytes) -> Outcome:
        step = self.script.popleft() if self.script else "ok"
        if step in {"ok", "lost answer"}:
            self.arrived.append(body)
        if step == "refused":
            self.refused.append(body)
            return judge_status(422, retry_after=None, now_s=0.0)
        if step == "ok":
            return judge_status(200, retry_after=None, now_s=0.0)
        if step == "busy":
            return judge_status(429, retry_after="3", now_s=0.0)
        if step == "broken":
            return judge_status(500, retry_after=None, now_s=0.0)
        return judge_failure(step)

    def close(self) -> None:
        pass


steps = st.sampled_from(["ok", "ok", "lost answer", "refused", "busy", "broken", "down"])


@settings(deadline=None)  # each example commits to SQLite; what is bounded is the number of steps
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([Kind.STATUS, Kind.OUTPUT, Kind.TERMINAL])),
        max_size=30,
    ),
    st.lists(steps, max_size=40),
    st.integers(1, 5),
)
def test_order_and_at_least_once(events, script, batches):
    clock, spool, network = FakeClock(), Spool(None), Network(script)
    sender = Sender(clock, rng=random.Random(0), transport=network)
    sender.add(spool)
    sender.learn(FINGER, KEY)
    tickets: list[Ticket] = []
    sent: dict[str, list[bytes]] = {}
    for number, (run, kind) in enumerate(events):
        body = f"{run}{number}".encode()
        sent.setdefault(run, []).append(body)
        ticket = Ticket(kind is Kind.TERMINAL)
        tickets.append(ticket)
        spool.append(
            [(Event(run, kind, body), "http://x", FINGER)],
            now_s=clock.now(),
            before_commit=lambda ids, run=run, ticket=ticket: sender.watch(spool, ids[0], run, ticket),
        )
        if number % batches == 0:
            clock.advance(sender.step())
    for _ in range(200):
        if not spool.counts()[0]:
            break
        clock.advance(sender.step())
    sender.step()
    assert spool.counts() == (0, 0)
    assert all(ticket.settled.done() for ticket in tickets)
    for run, bodies in sent.items():
        first_arrivals = list(dict.fromkeys(b for b in network.arrived if b.startswith(run.encode())))
        dead = set(network.refused)
        assert set(bodies) == set(first_arrivals) | (dead & set(bodies))
        assert first_arrivals == [b for b in bodies if b in set(first_arrivals)]
    assert {letter.body for letter in spool.dead_letters()} == set(network.refused)
    spool.close()
