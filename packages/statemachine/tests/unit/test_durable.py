"""Snapshots, stores, resuming, migrations, the outbox, the journal."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import warnings
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest
from charts import chart

from orca.common.errors import UsageError
from orca.common.testing import FakeClock
from orca.statemachine import (
    ActionSignature,
    ConcurrentUpdateError,
    Effect,
    EventBus,
    FilePersistence,
    OrcaMachine,
    SnapshotError,
    parse_orca,
)
from orca.statemachine.engine import PlanError
from orca.statemachine.model import InvokeDef, ReturnDef, TypeRef
from orca.statemachine.outputs.stored import draw
from orca.statemachine.replay import Replay
from orca.statemachine.runtime.postgres import PostgresStore
from orca.statemachine.runtime.sinks import ConsoleSink, FileSink, MultiSink
from orca.statemachine.runtime.snapshot import definition_hash
from orca.statemachine.runtime.sqlite import SQLiteStore, StoreClosedError, StoreError
from orca.statemachine.runtime.types import ValueNotJsonError
from orca.statemachine.testing import Harness, Recording, RecordingMismatchError, TransitionCoverage
from postgres_server import server

pytestmark = pytest.mark.anyio
LINE = chart(
    {"a*": {}, "b": {}, "c$": {}}, ["a GO -> b / n+1", "b GO -> c / n+1", "b BACK -> a"], traced=False
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def sqlite_store(tmp_path):
    with SQLiteStore(tmp_path / "runs.db") as store:
        yield store


@pytest.fixture(scope="session")
def postgres():
    with server() as running:
        yield running.get_uri()


def machine(definition=LINE, **options) -> OrcaMachine:
    made = OrcaMachine(definition, EventBus(), **options)
    made.register_action("n+1", lambda ctx: {"n": ctx["n"] + 1})
    return made


async def test_snapshots_are_json_and_deep_copies() -> None:
    async with machine() as one:
        one.context["list"] = [1, {"x": 2}]
        snapshot = one.snapshot()
        assert json.loads(json.dumps(snapshot, allow_nan=False)) == snapshot
        snapshot["context"]["list"][1]["x"] = 3
        assert one.context["list"][1]["x"] == 2


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Decimal("1.5"), "n"),
        (float("nan"), "n"),
        ({1: 2}, "n"),
        ((1, 2), "n"),
        ([1, {"deep": {3}}], r"n\[1\].deep"),
    ],
)
async def test_what_json_cannot_hold_is_an_error_that_names_the_field(tmp_path, value, where) -> None:
    one = machine(persistence=FilePersistence(tmp_path), run_id="r")
    one.register_action("n+1", lambda ctx: {"n": value})
    async with one:
        with pytest.raises(ValueNotJsonError, match=f"'{where}'"):
            await one.send("GO")
        assert one.state == "a"
        assert one.context == {"n": 0}
    free = machine()
    free.register_action("n+1", lambda ctx: {"n": value})
    async with free:  # without a store nobody minds, until a snapshot is asked for
        await free.send("GO")
        with pytest.raises(ValueNotJsonError):
            free.snapshot()


async def test_resume_goes_on_and_runs_nothing_again(tmp_path) -> None:
    definition = chart({"a*": {}, "b": {}}, ["a GO -> b", "b NEXT -> a"], {"b": {"timeout": (1_000, "a")}})
    store = FilePersistence(tmp_path)
    clock = FakeClock(auto=False)
    async with Harness(definition, persistence=store, run_id="r", clock=clock) as harness:
        await harness.send("GO")
        await harness.advance(0.4)
    ran: list[str] = []
    again = Harness(definition, persistence=store, run_id="r", clock=clock)
    for name in ("+a", "+b", "-b"):
        again.machine.register_action(name, lambda ctx, payload, name=name: ran.append(name))
    async with again:
        assert again.machine.state == "b"
        assert ran == []
        await again.advance(0.59)
        assert again.machine.state == "b"
        await again.advance(0.01)
        assert again.machine.state == "a"
        assert len(ran) == 2


@pytest.mark.parametrize(("policy", "after"), [("deadline", 0.0), ("remaining", 600.0), ("restart", 1000.0)])
async def test_timer_policies(policy: str, after: float) -> None:
    definition = chart({"a*": {}, "b": {}}, [], {"a": {"timeout": (1_000, "b")}})
    clock = FakeClock(auto=False)
    async with Harness(definition, clock=clock) as harness:
        await harness.advance(0.4)
        harness.machine.send_later("X", {"k": 1}, delay_ms=5_000, send_id="x")
        snapshot = harness.machine.snapshot()
    assert snapshot["timers"] == {"a": pytest.approx(600.0)}
    await clock.advance_async(10)
    later = OrcaMachine(definition, EventBus(), clock=clock, timer_policy=policy)
    await later.resume(snapshot)
    if after:
        assert later.snapshot()["timers"] == {"a": pytest.approx(after)}
        await clock.advance_async(after / 1000)
    else:
        await clock.advance_async(0.001)
    assert later.state == "b"
    await later.stop()


async def test_snapshots_of_others_are_refused() -> None:
    async with machine() as one:
        snapshot = one.snapshot()
    fresh = machine()
    with pytest.raises(SnapshotError, match="belongs to machine"):
        await fresh.resume({**snapshot, "machine": "Other"})
    with pytest.raises(SnapshotError, match="form 99"):
        await fresh.resume({**snapshot, "schema": 99})
    for damage in (
        {"configuration": ["nowhere"]},
        {"configuration": []},
        {"configuration": [3]},
        {"configuration": ["a", "b"]},
        {"history": {"nowhere": []}},
        {"timers": {"nowhere": 1}},
        {"children": {"nowhere": {}}},
    ):
        with pytest.raises(SnapshotError):
            await fresh.resume({**snapshot, **damage})
        assert not fresh.is_active
    await fresh.resume(snapshot)
    await fresh.resume(snapshot)  # it runs already: nothing happens
    assert fresh.state == "a"


async def test_other_definitions_warn_or_are_refused_or_migrated() -> None:
    async with machine() as one:
        await one.send("GO")
        snapshot = one.snapshot()
    newer = replace(LINE, version="2.0.0")
    fresh = machine(newer, on_mismatch="warn")
    with pytest.warns(UserWarning, match=r"'0.1.0' does not match machine definition version '2.0.0'"):
        await fresh.resume(snapshot)
    for options in ({}, {"on_mismatch": "refuse"}):
        strict = machine(newer, **options)
        with pytest.raises(SnapshotError, match="does not match"):
            await strict.resume(snapshot)
        assert not strict.is_active
    # An older program's snapshot knows only a version; there it stays with a warning, as that program had it.
    older = {key: value for key, value in snapshot.items() if key != "definition_hash"}
    with pytest.warns(UserWarning, match="may be incompatible"):
        await machine(newer).resume(older)
    with pytest.raises(SnapshotError, match="on_mismatch='warn'"):
        await machine(newer, on_mismatch="refuse").resume(older)
    renamed = chart({"start*": {}, "b2": {}}, ["start GO -> b2"], traced=False)
    renamed = replace(renamed, version="3.0.0")
    moved = machine(renamed, on_mismatch="refuse")

    def migrate(old: dict) -> dict:
        old.update(configuration=["b2"], state="b2", definition_hash=None, definition_version="3.0.0")
        return old

    moved.register_migration("0.1.0", migrate)
    await moved.resume(snapshot)
    assert moved.state == "b2"
    assert moved.context == {"n": 1}
    looping = machine(renamed)
    looping.register_migration("0.1.0", lambda old: old)
    with pytest.raises(SnapshotError, match="migrations"):
        await looping.resume(snapshot)
    changed = replace(LINE, transitions=LINE.transitions[:1])
    with pytest.warns(UserWarning, match="another definition of the same"):
        await machine(changed, on_mismatch="warn").resume(snapshot)
    with pytest.raises(SnapshotError, match="another definition of the same"):
        await machine(changed).resume(snapshot)


async def test_older_snapshots_without_a_configuration() -> None:
    definition = chart({"p*": {"x*": {}, "y": {}}, "b": {}}, [], {"y": {"timeout": (100, "b")}}, traced=False)
    clock = FakeClock(auto=False)
    one = OrcaMachine(definition, EventBus(), clock=clock)
    old = {"machine": "Chart", "definition_version": "0.1.0", "state": {"p": {"y": {}}}, "context": {"n": 4}}
    await one.resume({**old, "children": {}, "active_invoke": None, "timestamp": 0})
    assert one.state == "p.y"
    assert one.context == {"n": 4}
    await clock.advance_async(0.1)
    assert one.state == "b"


async def test_restore_of_a_running_machine() -> None:
    async with machine() as one:
        snapshot = one.snapshot()
        await one.send("GO")
        await one.restore(snapshot)
        assert one.state == "a"
        assert one.context == {"n": 0}
        assert (await one.send("GO")).to_state == "b"


CHILD = chart({"w*": {}, "ok$": {}}, ["w GOOD -> ok"], {"w": {"timeout": (1_000, "ok")}}, name="Child")
PARENT = chart({"a*": {}, "b": {}}, [], {"a": {"invoke": "Child", "done": "b"}}, name="Parent")


async def test_children_survive(tmp_path) -> None:
    store = FilePersistence(tmp_path)
    clock = FakeClock(auto=False)
    async with Harness(PARENT, machines={"Child": CHILD}, persistence=store, run_id="r", clock=clock) as one:
        assert store.load("r")["children"]["a"]["configuration"] == ["w"]
        await one.advance(0.5)
    again = Harness(PARENT, machines={"Child": CHILD}, persistence=store, run_id="r", clock=clock)
    async with again:
        assert again.machine.children["a"].state == "w"
        await again.advance(0.5)
        assert again.machine.state == "b"
        assert store.load("r")["configuration"] == ["b"]
        assert store.load("r")["children"] == {}
    missing = OrcaMachine(PARENT, EventBus(), clock=clock)
    async with Harness(PARENT, machines={"Child": CHILD}, clock=clock) as third:
        snapshot = third.machine.snapshot()
    with pytest.warns(UserWarning, match="sibling definition not registered"):
        await missing.resume(snapshot)


# ---- files


async def test_damaged_files_are_noticed_and_the_one_before_is_used(tmp_path, caplog) -> None:
    store = FilePersistence(tmp_path, fsync=False)
    one, two = {"schema": 1, "n": 1, "text": "ä"}, {"schema": 1, "n": 2, "text": "ö"}
    store.save("r", one)
    store.save("r", two)
    assert store.load("r") == two
    whole = store.path("r").read_bytes()
    for cut in range(len(whole)):
        store.path("r").write_bytes(whole[:cut])
        assert store.load("r") == one, cut
    for position in range(len(whole)):
        for bit in (0, 3, 6):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            store.path("r").write_bytes(bytes(changed))
            assert store.load("r") in (one, two), (position, bit)
            if store.load("r") == two:
                assert json.loads(bytes(changed)) == json.loads(whole)
    store.path("r").write_bytes(b"{")
    (tmp_path / "r.previous.json").write_bytes(b"[]")
    with pytest.raises(SnapshotError):
        store.load("r")
    assert store.exists("r")
    assert store.load("other") is None
    assert "trying the snapshot before it" in caplog.text


def test_a_failed_save_leaves_the_one_before(tmp_path) -> None:
    store = FilePersistence(tmp_path)
    store.save("r", {"n": 1})
    with pytest.raises(TypeError):
        store.save("r", {"n": object()})
    assert store.load("r") == {"n": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json"]
    (tmp_path / "old.json").write_text('{"state": "a", "context": {}}')
    assert store.load("old") == {"state": "a", "context": {}}


async def test_a_save_that_fails_undoes_the_event() -> None:
    class Broken:
        fail = False

        async def save(self, run_id, snapshot):
            if self.fail:
                raise OSError("disk full")

        def load(self, run_id):
            return None

        def exists(self, run_id):
            return False

    store = Broken()
    async with machine(persistence=store, run_id="r") as one:
        store.fail = True
        with pytest.raises(OSError, match="disk full"):
            await one.send("GO")
        assert (one.state, one.context) == ("a", {"n": 0})
        store.fail = False
        assert (await one.send("GO")).to_state == "b"
        assert one.statistics()["saved"] == 2


async def test_files_refuse_a_second_writer(tmp_path) -> None:
    one = machine(persistence=FilePersistence(tmp_path), run_id="r")
    await one.start()
    two = machine(persistence=FilePersistence(tmp_path), run_id="r")
    await two.load_or_start()
    await one.send("GO")
    with pytest.raises(ConcurrentUpdateError) as caught:
        await two.send("GO")
    assert (caught.value.run_id, caught.value.expected, caught.value.found) == ("r", 1, 2)
    assert two.state == "a"
    with pytest.raises(ConcurrentUpdateError):
        await machine(persistence=FilePersistence(tmp_path), run_id="r").start()
    store = FilePersistence(tmp_path)
    assert store.load("r")["configuration"] == ["b"]
    store.save("r", {"written": "by hand"})  # without a number nothing is compared
    store.save("r", {"sequence": 1})
    (tmp_path / "r.json").write_text("{")
    (tmp_path / "r.previous.json").write_text("{")
    with pytest.raises(SnapshotError):
        store.save("r", {"sequence": 2})


# ---- SQLite and PostgreSQL


async def test_sqlite_runs_and_journal(sqlite_store) -> None:
    async with machine(persistence=sqlite_store, run_id="r") as one:
        await one.send("GO", {"why": "x"})
        await one.send("NOTHING")
        await one.send("GO")
    assert sqlite_store.load("r")["status"] == "done"
    assert sqlite_store.runs() == [("r", "Chart", 3)]
    replay = Replay(LINE, sqlite_store.journal("r"))
    assert [(m.event, str(m.state), m.context["n"]) for m in replay.moments] == [
        ("@start", "a", 0),
        ("GO", "b", 1),
        ("GO", "c", 2),
    ]
    assert replay.at(1).payload == {"why": "x"}
    assert len(replay) == 3
    with pytest.raises(UsageError):
        replay.at(3)
    with pytest.raises(UsageError):
        Replay(LINE, [])
    fork = machine()
    await fork.resume(replay.fork(1))
    assert (await fork.send("BACK")).to_state == "a"
    assert fork.context == {"n": 1}
    done = machine()
    await done.resume(replay.fork(-1))
    assert done.is_done


async def test_sqlite_keeps_the_definitions_of_its_runs_so_that_others_can_draw_them(sqlite_store) -> None:
    plain = chart({"a*": {}, "b": {}}, ["a GO -> b"], traced=False)
    async with machine(plain, persistence=sqlite_store, run_id="r") as one:
        await one.send("GO")
    source = sqlite_store.definition(one.definition_hash)
    assert definition_hash(parse_orca(source)) == one.definition_hash
    assert '<g class="state active" data-state="b">' in draw(source, ["b"])
    assert sqlite_store.definition("another") is None


async def test_sqlite_refuses_a_second_writer(sqlite_store) -> None:
    one = machine(persistence=sqlite_store, run_id="r")
    await one.start()
    two = machine(persistence=sqlite_store, run_id="r")
    await two.load_or_start()
    await one.send("GO")
    with pytest.raises(ConcurrentUpdateError) as caught:
        await two.send("GO")
    assert (caught.value.run_id, caught.value.expected, caught.value.found) == ("r", 1, 2)
    assert two.state == "a"
    with pytest.raises(ConcurrentUpdateError):
        sqlite_store.save("r", {"machine": "Chart", "sequence": 2})


async def test_sqlite_group_commit(sqlite_store) -> None:
    machines = [machine(persistence=sqlite_store, run_id=f"r{i}") for i in range(50)]

    async def run(one: OrcaMachine) -> None:
        await one.start()
        await one.send("GO")
        await one.send("BACK")

    async with anyio.create_task_group() as group:
        for one in machines:
            group.start_soon(run, one)
    assert {sequence for _run, _machine, sequence in sqlite_store.runs()} == {3}
    assert sqlite_store.exists("r7")
    assert not sqlite_store.exists("r99")


async def test_a_cancelled_commit_is_still_whole(sqlite_store) -> None:
    one = machine(persistence=sqlite_store, run_id="r")
    await one.start()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await one.send("GO")
    stored = sqlite_store.load("r")
    again = machine(persistence=sqlite_store, run_id="r")
    await again.load_or_start()
    assert str(again.state) == ("b" if stored["sequence"] == 2 else "a")
    assert one.state == again.state
    assert (await one.send("GO")).taken


def test_sqlite_errors(tmp_path) -> None:
    with pytest.raises(UsageError):
        SQLiteStore(tmp_path / "x.db", synchronous="OFF")
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError):
        SQLiteStore(tmp_path / "broken.db")
    store = SQLiteStore(tmp_path / "x.db", synchronous="NORMAL")
    store.save("r", {"sequence": 1})
    with closing(sqlite3.connect(tmp_path / "x.db")) as other, other:
        other.execute("UPDATE orca_runs SET snapshot = replace(snapshot, '1', '2')")
    with pytest.raises(SnapshotError):
        store.load("r")
    with closing(sqlite3.connect(tmp_path / "x.db")) as other, other:
        other.execute("DROP TABLE orca_runs")
    with pytest.raises(StoreError):
        store.save("r", {"sequence": 2})
    with pytest.raises(StoreError):
        store.load("r")
    store.close()
    store.close()
    for call in (lambda: store.load("r"), lambda: store.save("r", {})):
        with pytest.raises(StoreClosedError):
            call()


def test_postgres(postgres) -> None:
    async def main() -> None:
        async with PostgresStore(postgres) as store:
            assert await store.load("r") is None
            assert not await store.exists("r")
            one = machine(persistence=store, run_id="r")
            await one.load_or_start()
            await one.send("GO")
            two = machine(persistence=store, run_id="r")
            await two.load_or_start()
            assert two.state == "b"
            results = await asyncio.gather(one.send("BACK"), two.send("BACK"), return_exceptions=True)
            assert sorted(type(r).__name__ for r in results) == ["ConcurrentUpdateError", "TransitionResult"]
            assert [e["event"] for e in await store.journal("r")] == ["@start", "GO", "BACK"]
            assert (await store.load("r"))["configuration"] == ["a"]
            await store.save("plain", {"machine": "M", "sequence": 7})
            with pytest.raises(ConcurrentUpdateError):
                await store.save("plain", {"machine": "M", "sequence": 7})
        with pytest.raises(StoreError):
            await PostgresStore("postgresql://nobody@127.0.0.1:1/none").open()

    asyncio.run(main())


def test_many_first_uses_of_postgres_at_once_open_one_pool(postgres) -> None:
    async def main() -> None:
        named = f"{postgres}{'&' if '?' in postgres else '?'}application_name=first-uses"
        async with PostgresStore(postgres) as watching:
            store = PostgresStore(named)
            assert await asyncio.gather(*(store.exists(f"r{i}") for i in range(25))) == [False] * 25
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'first-uses'"
            [[connections]] = await watching._fetch(query)
            assert 1 <= connections <= 10
            await store.close()
            await store.close()
            assert not await store.exists("r7")
            await store.close()

    asyncio.run(main())


def test_a_postgres_store_whose_tables_cannot_be_made_stays_closed_and_can_be_opened_later(postgres) -> None:
    async def main() -> None:
        admin = await asyncpg.connect(postgres)
        await admin.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'; CREATE SCHEMA theirs")
        await admin.execute("ALTER ROLE reader SET search_path = theirs")
        store = PostgresStore(postgres)
        store._dsn = _as_role(postgres, "reader")
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot be used"):
                await store.open()
        with anyio.fail_after(60):  # the server takes note of a closed connection when it gets to it
            while await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'"):
                pass
        await admin.execute("GRANT USAGE, CREATE ON SCHEMA theirs TO reader")
        assert not await store.exists("r7")
        await store.close()
        await admin.execute("DROP OWNED BY reader; DROP SCHEMA theirs CASCADE; DROP ROLE reader")
        await admin.close()

    asyncio.run(main())


def _as_role(dsn: str, role: str) -> str:
    parts = urlsplit(dsn)
    where = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{role}@{where}").geturl()


def test_postgres_refuses_what_utf8_cannot_hold_as_other_stores_do(postgres) -> None:
    async def main() -> None:
        async with PostgresStore(postgres) as store:
            one = machine(persistence=store, run_id="surrogates")
            await one.start()
            with pytest.raises(ValueNotJsonError, match="'text' in the payload of event 'GO'"):
                await one.send("GO", {"text": "caf\udce9"})
            one.context["text"] = "caf\udce9"
            with pytest.raises(ValueNotJsonError, match="context field 'text'"):
                await one.send("GO")
            del one.context["text"]
            assert one.state == "a"
            assert (await one.send("GO", {"text": "café"})).taken
            with pytest.raises(ValueNotJsonError, match=r"'payload\.x'"):
                await store.commit("plain", {"sequence": 1}, {"event": "E", "payload": {"x": "\udce9"}})
            assert [entry["event"] for entry in await store.journal("surrogates")] == ["@start", "GO"]

    asyncio.run(main())


# ---- the outbox


OUT = replace(
    chart({"a*": {}, "b": {}, "bad": {}}, ["a GO -> b / mail"], {"b": {"error": "bad"}}, traced=False),
    actions=(ActionSignature("mail", effect_type="Mail"),),
)


async def test_effects_of_the_outbox_are_delivered_after_the_commit(sqlite_store) -> None:
    seen: list[tuple[str, str]] = []

    def send_mail(effect: Effect):
        seen.append((effect.id, sqlite_store.load("r")["state"]))
        return {"n": 5}

    one = machine(OUT, persistence=sqlite_store, run_id="r", outbox=True)
    one.register_effect("Mail", send_mail)
    async with one:
        await one.send("GO")
        assert seen == [("r:2:1", "b")]
        assert one.context["n"] == 5
    assert sqlite_store.load("r")["outbox"] == []
    assert sqlite_store.load("r")["context"] == {"n": 5}


async def test_effects_that_were_not_delivered_come_again_with_the_same_id(sqlite_store) -> None:
    class Crash(BaseException):
        pass

    seen: list[str] = []
    broken = True

    def send_mail(effect: Effect):
        seen.append(effect.id)
        if broken:
            raise Crash

    one = machine(OUT, persistence=sqlite_store, run_id="r", outbox=True)
    one.register_effect("Mail", send_mail)
    await one.start()
    with pytest.raises(Crash):
        await one.send("GO")
    assert [item["id"] for item in sqlite_store.load("r")["outbox"]] == ["r:2:1"]
    broken = False
    again = machine(OUT, persistence=sqlite_store, run_id="r", outbox=True)
    again.register_effect("Mail", send_mail)
    await again.load_or_start()
    assert seen == ["r:2:1", "r:2:1"]
    assert sqlite_store.load("r")["outbox"] == []


async def test_a_failed_effect_of_the_outbox() -> None:
    definition = replace(OUT, transitions=OUT.transitions)
    one = machine(definition, outbox=True)
    async with one:
        await one.send("GO")
        assert one.state == "b"
        assert "Mail" in str(one.event_bus.errors[0].where)
    handled = chart({"a*": {}, "b": {}, "bad": {}}, ["a GO -> b"], {"b": {"error": "bad", "entry": "mail"}})
    two = machine(replace(handled, actions=OUT.actions), outbox=True)
    async with two:
        await two.send("GO")
        assert two.state == "bad"


# ---- sinks, recordings, coverage


async def test_sinks(tmp_path, capsys) -> None:
    class Broken:
        def write(self, entry):
            raise OSError("full")

        def close(self):
            pass

    file = FileSink(tmp_path / "deep" / "audit.jsonl")
    sink = MultiSink(file, ConsoleSink())
    one = machine(sinks=[Broken(), sink], run_id="r", clock=FakeClock(start_s=0.0, auto=False))
    async with one:
        await one.send("GO")
        await one.send("BACK")
    sink.close()
    sink.close()
    lines = [json.loads(line) for line in (tmp_path / "deep" / "audit.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "ts": "1970-01-01T00:00:00+00:00",
        "run_id": "r",
        "machine": "Chart",
        "event": "GO",
        "from": "a",
        "to": "b",
        "context_delta": {"n": 1},
    }
    assert lines[1]["context_delta"] == {}
    assert "[00:00:00] Chart          a → b  (GO)  n=1" in capsys.readouterr().out
    assert len(one.event_bus.errors) == 2


async def test_recordings_and_coverage(tmp_path) -> None:
    definition = chart(
        {"a*": {}, "b": {}}, ["a GO -> b", "b NEVER [n > 3] -> a"], {"b": {"timeout": (1_000, "a")}}
    )
    coverage = TransitionCoverage(definition)
    assert coverage.ratio() == 0.0
    async with Harness(definition, coverage=coverage) as harness:
        await harness.send("GO", {"k": 1})
        await harness.advance(1)
    assert len(coverage.missing()) == 1
    assert coverage.missing()[0].startswith("b + NEVER [")
    assert coverage.ratio() == pytest.approx(2 / 3)
    harness.recording.save(tmp_path / "one.jsonl")
    loaded = Recording.load(tmp_path / "one.jsonl")
    assert loaded.steps == harness.recording.steps
    again = Harness(definition)
    await loaded.play(again)
    await again.machine.stop()
    other = Harness(definition, context={"n": 3})
    with pytest.raises(RecordingMismatchError, match="step 1"):
        await loaded.play(other)
    await other.machine.stop()
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"bad\.jsonl:1"):
        Recording.load(tmp_path / "bad.jsonl")


def test_options_are_checked(tmp_path) -> None:
    with pytest.raises(UsageError, match="run_id"):
        OrcaMachine(LINE, EventBus(), persistence=FilePersistence(tmp_path))
    with pytest.raises(PlanError):
        OrcaMachine(replace(LINE, states=()), EventBus())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OrcaMachine(LINE, EventBus(), run_id="only-for-the-log")


async def test_a_child_that_was_saved_as_it_ended_reports_after_the_restart() -> None:
    clock = FakeClock(auto=False)
    async with Harness(PARENT, machines={"Child": CHILD}, clock=clock) as one:
        snapshot = one.machine.snapshot()
    child = snapshot["children"]["a"]
    child.update(state="ok", configuration=["ok"], status="done", timers={})
    again = OrcaMachine(PARENT, EventBus(), clock=clock)
    again.register_machines({"Child": CHILD})
    await again.resume(snapshot)
    assert again.state == "b"
    assert not again.children


async def test_a_child_that_ends_unheard_is_saved_as_ended(tmp_path) -> None:
    parent = chart({"a*": {}}, [], {"a": {"invoke": "Child"}}, name="Parent", traced=False)
    with SQLiteStore(tmp_path / "runs.db") as store:
        one = OrcaMachine(parent, EventBus(), persistence=store, run_id="r")
        one.register_machines({"Child": CHILD})
        async with one:
            await one.children["a"].send("GOOD")
            stored = store.load("r")
            assert stored["finished"] == ["a"]
            assert stored["children"] == {}
        again = OrcaMachine(parent, EventBus(), persistence=store, run_id="r")
        again.register_machines({"Child": CHILD})
        async with again:
            assert not again.children


async def test_what_a_child_returned_waits_in_the_snapshot() -> None:
    child = replace(
        chart({"w*": {}, "ok$": {}}, ["w GOOD -> ok / n=7"], name="Child", traced=False),
        returns=(ReturnDef("n", TypeRef("int")),),
    )
    invoke = InvokeDef("Child", returns=(("n", "n"),))
    parent = chart(
        {"a*": {}, "b": {}}, ["a SLOW -> / slow"], {"a": {"invoke": invoke, "done": "b"}}, traced=False
    )
    one = OrcaMachine(parent, EventBus())
    one.register_machines({"Child": child})
    snapshots: list[dict] = []

    async def slow() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.children["a"].send, "GOOD")
        snapshots.append(one.snapshot())

    one.register_action("slow", slow)
    one.register_action("n=7", lambda ctx: {"n": 7})
    async with one:
        await one.send("SLOW")
        assert one.state == "b"
        assert one.context["n"] == 7
    assert [item["bind"] for item in snapshots[0]["queue"]] == [{"n": 7}]
    again = OrcaMachine(parent, EventBus())
    again.register_machines({"Child": child})
    await again.resume(snapshots[0])
    assert again.state == "b"
    assert again.context["n"] == 7


async def test_nobody_can_forge_a_signal_through_the_queue_of_a_snapshot() -> None:
    definition = chart(
        {"a*": {}, "b": {}}, ["a SLOW -> / slow"], {"a": {"timeout": (1_000, "b")}}, traced=False
    )
    one = OrcaMachine(definition, EventBus())
    snapshots: list[dict] = []

    async def slow() -> None:
        one.send("@timeout.a")
        snapshots.append(one.snapshot())

    one.register_action("slow", slow)
    async with one:
        await one.send("SLOW")
        assert one.state == "a"
    again = OrcaMachine(definition, EventBus())
    await again.resume(snapshots[0])
    assert again.state == "a"
    await again.stop()


def test_who_reads_a_file_while_it_is_written_always_finds_it(tmp_path) -> None:
    store = FilePersistence(tmp_path, fsync=False)
    store.save("run", {"sequence": 0})
    done = threading.Event()

    def write() -> None:
        try:
            for sequence in range(1, 2000):
                store.save("run", {"sequence": sequence})
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        found = store.load("run")
        assert found is not None
        seen.append(found["sequence"])
    writer.join()
    assert seen == sorted(seen)
