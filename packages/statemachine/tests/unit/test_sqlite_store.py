"""What a machine stores the short way is what it would store the long way, and the journal keeps its order."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import weakref
from contextlib import closing

import anyio
import pytest
from charts import chart

from orca.common.testing import FakeClock
from orca.statemachine import Event, EventBus, FilePersistence, OrcaMachine
from orca.statemachine.replay import Replay
from orca.statemachine.runtime import sqlite as module
from orca.statemachine.runtime.sqlite import SQLiteStore, StoreClosedError, StoreError
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


# ---- what cannot be stored

NO_UTF8 = "caf\udce9"
"""What os.fsdecode makes of a file name in Latin-1."""


@pytest.fixture(params=["sqlite", "file"])
def store(request, tmp_path):
    if request.param == "file":
        yield FilePersistence(tmp_path, fsync=False)
        return
    with SQLiteStore(tmp_path / "runs.db") as made:
        yield made


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({"text": NO_UTF8}, "text"),
        ({"n": 1, "deep": {"er": [0, ("x", NO_UTF8)]}}, r"deep\.er\[1\]\[1\]"),
        ({"deep": {NO_UTF8: 1}}, r"deep\.caf.udce9"),
        ({NO_UTF8: 1}, r"caf.udce9"),
    ],
)
async def test_an_event_that_no_store_can_keep_is_refused_and_changes_nothing(store, payload, where) -> None:
    machine = swing(store)
    await machine.start()
    with anyio.fail_after(60):
        for _ in range(2):
            with pytest.raises(ValueNotJsonError, match=f"'{where}' in the payload of event 'GO'"):
                await machine.send("GO", payload)
        with pytest.raises(ValueNotJsonError, match="payload"):
            await machine.send(Event("GO", "test", payload=payload))
        assert (str(machine.state), machine.context["n"], store.load("r")["sequence"]) == ("a", 0, 1)
        assert (await machine.send("GO", {"text": "café"})).taken
    assert store.load("r")["context"] == {"n": 1}


async def test_a_context_that_no_store_can_keep_is_refused_and_changes_nothing(store) -> None:
    machine = swing(store)
    machine.register_action("n+1", lambda ctx: {"n": [NO_UTF8]})
    await machine.start()
    with anyio.fail_after(60):
        for _ in range(3):  # the short way is taken from the second event on
            with pytest.raises(ValueNotJsonError, match=r"context field 'n\[0\]'.*surrogate") as caught:
                await machine.send("GO")
            assert caught.value.field == "n[0]"
        assert (str(machine.state), machine.context["n"], store.load("r")["sequence"]) == ("a", 0, 1)
        machine.register_action("n+1", lambda ctx: {"n": ctx["n"] + 1})
        for event in ("PING", "GO", "GO"):
            await machine.send(event)
        machine.context["text"] = NO_UTF8  # behind the machine's back
        for event in ("PING", "GO"):
            with pytest.raises(ValueNotJsonError, match="context field 'text'"):
                await machine.send(event)
        assert str(machine.state) == "a"
        del machine.context["text"]
        await machine.send("GO")
    assert store.load("r")["context"] == {"n": 3}


async def test_what_waits_with_an_event_that_no_store_can_keep_is_not_refused_for_it(store) -> None:
    machine = swing(store)
    await machine.start()
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow(ctx):
        begun.set()
        await go_on.wait()
        return {"n": ctx["n"] + 1}

    machine.register_action("n+1", slow)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(machine.send, "GO")
            await begun.wait()
            with pytest.raises(ValueNotJsonError, match="payload"):
                await machine.send("GO", {"text": NO_UTF8})
            go_on.set()
        with pytest.raises(ValueNotJsonError, match="payload"):
            machine.send_later("GO", {"text": NO_UTF8}, delay_ms=60_000)
        await machine.send("GO")
    assert store.load("r")["context"] == {"n": 2}


async def test_a_machine_without_a_store_takes_any_text() -> None:
    machine = OrcaMachine(SWING, EventBus())
    machine.register_action("n+1", lambda ctx, event: dict(event))
    await machine.start()
    for _ in range(3):
        assert (await machine.send("GO", {"n": NO_UTF8})).taken
    assert machine.context["n"] == machine.snapshot()["context"]["n"] == NO_UTF8


def test_snapshots_that_no_store_can_keep_are_refused(store) -> None:
    with pytest.raises(ValueNotJsonError, match=r"machine 'M'.*'x\.y'.*surrogate"):
        store.save("r", {"machine": "M", "sequence": 1, "x": {"y": NO_UTF8}})
    assert not store.exists("r")


@pytest.mark.parametrize("guilty", [0, 70, 149])
def test_a_save_that_cannot_be_written_fails_alone(tmp_path, guilty) -> None:
    texts = ["{}"] * 150
    numbers = [1] * 150
    if guilty:
        texts[guilty] = f'{{"text":"{NO_UTF8}"}}'
    else:
        numbers[guilty] = 2**80  # no integer of SQLite

    async def main(store: SQLiteStore) -> list[BaseException | None]:
        saves = [store.commit_text(f"r{i}", numbers[i], "M", texts[i], "{}") for i in range(150)]
        results = await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), 60)
        store.save("after", {"machine": "M", "sequence": 1})
        return results

    with SQLiteStore(tmp_path / "runs.db") as store:
        results = asyncio.run(main(store))
        error = results.pop(guilty)
        assert isinstance(error, StoreError)
        assert f"run 'r{guilty}' cannot be written" in str(error)
        assert "surrogates not allowed" in str(error) or "too large" in str(error)
        assert results == [None] * 149
        assert len(store.runs()) == 150
        assert len(store.journal("r1")) == 1
        assert store.exists("after")


def test_a_cancelled_save_that_cannot_be_written_ends(tmp_path) -> None:
    async def main(store: SQLiteStore) -> None:
        task = asyncio.create_task(store.commit_text("r", 1, "M", NO_UTF8, "{}"))
        await asyncio.sleep(0)  # it is on its way
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=60)
        assert done
        assert isinstance(task.exception(), StoreError)

    with SQLiteStore(tmp_path / "runs.db") as store:
        asyncio.run(main(store))


def test_a_store_whose_second_connection_cannot_be_made_does_not_open(tmp_path) -> None:
    class OnlyOne(SQLiteStore):
        made = 0

        def _connect(self) -> sqlite3.Connection:
            self.made += 1
            if self.made > 1:
                raise sqlite3.OperationalError("unable to open database file")
            return super()._connect()

    with pytest.raises(StoreError, match="unable to open"):
        OnlyOne(tmp_path / "runs.db")


def test_when_the_writer_cannot_go_on_the_store_is_closed_and_everybody_hears(tmp_path, monkeypatch) -> None:
    async def main(store: SQLiteStore) -> list[BaseException | None]:
        saves = [store.commit(f"r{i}", {"sequence": 1}) for i in range(5)]
        return await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), 60)

    with SQLiteStore(tmp_path / "runs.db") as store:
        monkeypatch.setattr(module, "BATCH_MAX", "many")  # the thread itself stumbles over it
        assert {type(error) for error in asyncio.run(main(store))} <= {StoreError, StoreClosedError}
        store._thread.join(60)
        assert not store._thread.is_alive()
        for call in (lambda: store.save("r", {"sequence": 1}), lambda: store.load("r")):
            with pytest.raises(StoreClosedError, match="its writer failed: TypeError"):
                call()
    store.close()


def test_an_idle_store_lets_go_of_what_it_wrote(tmp_path, monkeypatch) -> None:
    class Watched(module._Job):
        """Can be referred to weakly."""

    seen: list[weakref.ref] = []
    freed = threading.Event()

    def make(*arguments):
        made = Watched(*arguments)
        seen.append(weakref.ref(made, lambda _: freed.set()))
        return made

    monkeypatch.setattr(module, "_Job", make)
    gc.disable()  # nothing but the last reference going away may free it
    try:
        with SQLiteStore(tmp_path / "runs.db") as store:
            store.save("r", {"sequence": 1})
            # The caller goes on while the thread that wrote it is still letting go.
            assert freed.wait(60), f"kept by {gc.get_referrers(seen[0]())}"
    finally:
        gc.enable()
