"""What a machine stores the short way is what it would store the long way, and the journal keeps its order."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import anyio
import pytest
from charts import chart

from orca.common.testing import FakeClock
from orca.statemachine import EventBus, OrcaMachine
from orca.statemachine.replay import Replay
from orca.statemachine.runtime import sqlite as module
from orca.statemachine.runtime.sqlite import SQLiteStore
from orca.statemachine.runtime.types import ValueNotJsonError

pytestmark = pytest.mark.anyio
SWING = chart({"a*": {}, "b": {}}, ["a GO -> b / n+1", "b GO -> a / n+1", "a PING ->"], traced=False)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def swing(store: SQLiteStore, run_id: str = "r", **options) -> OrcaMachine:
    machine = OrcaMachine(SWING, EventBus(), persistence=store, run_id=run_id, **options)
    machine.register_action("n+1", lambda ctx: {"n": ctx["n"] + 1})
    return machine


async def test_timers_of_other_regions_are_stored(tmp_path) -> None:
    definition = chart(
        {"p|*": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}}},
        ["a X -> b", "b X -> a"],
        {"c": {"timeout": (1_000, "d")}},
        traced=False,
    )
    clock = FakeClock(auto=False)
    with SQLiteStore(tmp_path / "runs.db") as store:
        async with OrcaMachine(definition, EventBus(), persistence=store, run_id="r", clock=clock) as machine:
            for _ in range(3):
                await machine.send("X")
            await clock.advance_async(0.25)
            await machine.send("X")
            assert store.load("r")["timers"] == {"p.r2.c": pytest.approx(750.0)}


async def test_both_ways_of_storing_give_the_same(tmp_path) -> None:
    clock = FakeClock(start_s=12.5, auto=False)
    with SQLiteStore(tmp_path / "runs.db") as store:
        short = swing(store, "short", clock=clock)
        long = swing(store, "long", clock=clock, sinks=[_Nowhere()])  # a sink needs the long way
        for machine in (short, long):
            machine.context["text"] = 'ä "quoted" \u2028'
            await machine.start()
            for payload in (None, {"why": ["x", {"y": None}]}, {}):
                await machine.send("GO", payload)
            await machine.send("PING")
            await machine.send("GO")
        assert store.load("short") == store.load("long") == short.snapshot()
        entries = [store.journal(run) for run in ("short", "long")]
        assert entries[0] == entries[1]


class _Nowhere:
    def write(self, entry) -> None:
        pass

    def close(self) -> None:
        pass


async def test_fields_that_vanish_are_noted(tmp_path) -> None:
    with SQLiteStore(tmp_path / "runs.db") as store:
        machine = swing(store, context={"extra": 1})
        machine.register_action("n+1", lambda ctx: ctx.pop("extra", None) and None)
        await machine.start()
        await machine.send("PING")
        await machine.send("GO")
        await machine.send("GO")
        assert store.journal("r")[2]["removed"] == ["extra"]
        assert "extra" not in store.load("r")["context"]
        assert "extra" not in Replay(SWING, store.journal("r")).at(-1).context


async def test_values_without_a_json_form_are_refused_the_short_way_too(tmp_path) -> None:
    with SQLiteStore(tmp_path / "runs.db") as store:
        machine = swing(store)
        await machine.start()
        await machine.send("GO")
        await machine.send("GO")
        machine.register_action("n+1", lambda ctx: {"n": float("inf")})
        with pytest.raises(ValueNotJsonError, match="'n'"):
            await machine.send("GO")
        assert store.load("r")["sequence"] == 3
        assert machine.context["n"] == 2


async def test_the_journal_is_sorted_in_and_stays_one_trace(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "RECENT_MAX", 7)
    path = tmp_path / "runs.db"
    for start in (1, 11):  # a second process goes on where the first one ended
        with SQLiteStore(path) as store:
            machines = [swing(store, f"r{i}") for i in range(3)]

            async def run(machine: OrcaMachine) -> None:
                await machine.load_or_start()
                for _ in range(10 if machine.context["n"] else 9):
                    await machine.send("GO")

            async with anyio.create_task_group() as group:
                for machine in machines:
                    group.start_soon(run, machine)
            for i in range(3):
                entries = store.journal(f"r{i}")
                assert [entry["sequence"] for entry in entries] == list(range(1, start + 10))
                moments = Replay(SWING, entries).moments
                assert [moment.context["n"] for moment in moments] == list(range(start + 9))
            assert store.journal("nobody") == []
    with closing(sqlite3.connect(path)) as connection, connection:
        recent = connection.execute("SELECT count(*) FROM orca_recent").fetchone()[0]
        sorted_in = connection.execute("SELECT count(*) FROM orca_journal").fetchone()[0]
    assert recent < 7 + 3
    assert recent + sorted_in == 60
