"""The stores: accepted means synced, recorded once, fenced, migrated; SQLite alive when the disk is full.

What both stores promise is tested on both, PostgreSQL on a real server.
"""

import asyncio
import sqlite3

import pytest
from making import WINDOW, WINDOW_REF, algorithm, plan_of, processor, window_type

from orca.orchestrator.errors import (
    FencedError,
    LimitError,
    NotFoundError,
    StoreError,
    StoreFullError,
    StoreNewerError,
)
from orca.orchestrator.model import LookBack, MetadataFieldDef, Registration, WindowSpan
from orca.orchestrator.store import group, migrations, postgres_group
from orca.orchestrator.store.codec import (
    canonical,
    decode_plan,
    decode_registration,
    decode_value,
    encode_plan,
    encode_registration,
    encode_value,
    filter_key,
    window_digest,
)
from orca.orchestrator.store.postgres import open_postgres
from orca.orchestrator.store.records import Completion, FailedAttempt, NewWindow, NodeRecord
from orca.orchestrator.store.sqlite import open_connection, open_store

PLAN = plan_of(processor("P", algorithm("A"), algorithm("B", "A")))


def window(type_id, plan_id, number=0, *, key="", priority=0, origin="test", metadata="{}"):
    start = number * 10
    digest = window_digest(origin, metadata)
    return NewWindow(type_id, start, start + 10, origin, metadata, key, digest, plan_id, priority, 0, 1)


class Session:
    """A store with one plan, and the callback methods as awaitables."""

    def __init__(self, store, type_id, plan_id):
        self.store, self.type_id, self.plan_id = store, type_id, plan_id

    async def call(self, method, *arguments):
        future = asyncio.get_running_loop().create_future()
        method(
            *arguments,
            lambda value, error: future.set_exception(error) if error else future.set_result(value),
        )
        return await future

    async def accept(self, number=0, **options):
        """Into the backlog, for whoever takes it."""
        claim = options.pop("claim", False)
        new = window(self.type_id, self.plan_id, number, **options)
        return await self.call(lambda *given: self.store.accept(*given, claim=claim), new)

    async def again(self, run):
        """The same run, as the next to take it sees it."""
        await self.store.backlog.give_back(run.run_id)
        (taken,) = await self.store.backlog.take(10, ())
        assert taken.run_id == run.run_id
        return taken

    async def record(self, run, nodes=(), attempts=(), completion=None):
        await self.call(self.store.record, run, nodes, attempts, completion)


class Sqlite:
    """A file that is made at the first use."""

    def __init__(self, path):
        self.path = path

    async def open(self):
        return await open_store(self.path / "sub" / "orca.db")


class Postgres:
    """A database of its own."""

    def __init__(self, url):
        self.url = url

    async def open(self):
        return await open_postgres(self.url, lease_s=5)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    if request.param == "sqlite":
        return Sqlite(tmp_path)
    return Postgres(request.getfixturevalue("database"))


def with_store(place, body):
    async def main():
        store = await (place if isinstance(place, (Sqlite, Postgres)) else Sqlite(place)).open()
        try:
            type_id = await store.window_type_id(WINDOW)
            session = Session(store, type_id, await store.plan_id(PLAN, type_id))
            return await body(session)
        finally:
            await store.close()

    return asyncio.run(main())


def test_accepted_windows_are_there_after_reopening(place, tmp_path):
    async def first(session):
        accepted = await session.accept(1, metadata='{"a":1}')
        again = await session.accept(1, metadata='{"a":1}')
        other = await session.accept(1, metadata='{"a":2}')
        assert (again.window_id, again.run_id, again.duplicate) == (accepted.window_id, accepted.run_id, True)
        assert other.window_id != accepted.window_id
        return accepted

    accepted = with_store(place, first)

    async def second(session):
        assert await session.store.backlog.depth() == 2
        run = (await session.store.backlog.take(10, ()))[0]
        assert (run.run_id, run.span, run.metadata) == (
            accepted.run_id,
            WindowSpan(accepted.window_id, 10, 20),
            '{"a":1}',
        )
        assert await session.store.load_plan(run.plan_id) == PLAN
        assert session.store.window_type(run.type_id) == WINDOW_REF

    with_store(place, second)
    if isinstance(place, Sqlite):
        assert (tmp_path / "sub" / "orca.db").stat().st_mode & 0o777 == 0o600


def test_windows_without_algorithms_are_stored_too(place):
    async def body(session):
        session.plan_id = 0
        accepted = await session.accept()
        assert accepted.run_id == 0
        assert (await session.accept()).duplicate
        assert len(await session.store.fetch("SELECT id FROM windows")) == 1
        assert await session.store.backlog.depth() == 0

    with_store(place, body)


def test_many_waiting_windows_share_a_commit(place):
    async def body(session):
        before = session.store.commits
        answers = await asyncio.gather(*(session.accept(number) for number in range(300)))
        assert len({answer.window_id for answer in answers}) == 300
        assert session.store.commits - before <= 300 // group.GROUP_MAX + 2

    with_store(place, body)


def test_results_are_recorded_once_and_kept_for_the_next_life(place):
    async def body(session):
        store = session.store
        await session.accept()
        (run,) = await store.backlog.take(10, ())
        a, b = [await store.algorithm_id(node.ref) for node in PLAN.nodes]
        first = NodeRecord(a, 4, 1, 1, 2, 3, "host:1", value=encode_value({"mean": 2.5}))
        await session.record(run, [first])
        await session.record(run, [NodeRecord(a, 4, 2, 1, 2, 9, "host:2", value=encode_value({"mean": 9.0}))])
        run = await session.again(run)
        (node,) = run.done
        assert (node.algorithm_id, node.status, decode_value(node.value)) == (a, 4, {"mean": 2.5})
        failed = FailedAttempt(b, 1, 4, 5, "host:1", "boom", '{"stack":""}')
        await session.record(run, [NodeRecord(b, 5, 2, cause="boom")], [failed], Completion(2, 1, 1, 0, 9))
        assert await store.backlog.take(10, ()) == []
        (row,) = await store.fetch("SELECT state, succeeded, failed FROM runs")
        assert row == {"state": 2, "succeeded": 1, "failed": 1}
        assert len(await store.fetch("SELECT * FROM attempts")) == 1

    with_store(place, body)


def test_late_results_are_refused(place):
    async def body(session):
        await session.accept()
        (run,) = await session.store.backlog.take(10, ())
        await session.store.write(
            "record", [("UPDATE runs SET token = token + 1 WHERE id = ?", (run.run_id,))]
        )
        with pytest.raises(FencedError, match="no longer held"):
            await session.record(run, [NodeRecord(1, 4)])
        held = run._replace(token=run.token + 1)
        await session.record(held, [], (), Completion(1, 0, 0, 0, 9))
        with pytest.raises(FencedError):
            await session.record(held, [NodeRecord(1, 4)])

    with_store(place, body)


def test_one_bad_operation_fails_alone(place):
    async def body(session):
        bad = session.store.write("record", [("INSERT INTO nowhere VALUES (1)", ())])
        answers = await asyncio.gather(session.accept(1), bad, session.accept(2), return_exceptions=True)
        assert isinstance(answers[1], StoreError)
        assert [answers[0].duplicate, answers[2].duplicate] == [False, False]
        with pytest.raises(StoreError):
            await session.store.write("record", [("INSERT INTO nowhere VALUES (1)", ())])
        with pytest.raises(StoreError):
            await session.store.fetch("SELECT * FROM nowhere")

    with_store(place, body)


def test_a_full_disk_refuses_keeps_reading_and_goes_on(tmp_path):
    async def body(session):
        writer = session.store._writer
        await session.accept(0)
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
        stored, refused = 1, 0
        for number in range(1, 400):
            answers = await asyncio.gather(
                *(
                    session.accept(number * 3 + part, metadata=canonical({"x": "y" * 900}))
                    for part in range(3)
                ),
                return_exceptions=True,
            )
            refused += sum(isinstance(answer, StoreFullError) for answer in answers)
            stored += sum(not isinstance(answer, BaseException) for answer in answers)
            if refused:
                break
        assert refused
        assert len(await session.store.fetch("SELECT id FROM windows")) == stored
        writer.execute("PRAGMA max_page_count = 1000000")
        assert not (await session.accept(5000)).duplicate
        assert await session.store.fetch("PRAGMA integrity_check") == [{"integrity_check": "ok"}]

    with_store(tmp_path, body)


def test_the_bound_on_waiting_writes(place, monkeypatch):
    monkeypatch.setattr(group, "WAITING_MAX", 3)
    monkeypatch.setattr(postgres_group, "WAITING_MAX", 3)

    async def body(session):
        answers = await asyncio.gather(*(session.accept(n) for n in range(5)), return_exceptions=True)
        assert sum(isinstance(answer, LimitError) for answer in answers) == 2

    with_store(place, body)


def test_another_writer_is_waited_for_and_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr(group, "BUSY_PAUSE_S", 0.001)

    async def body(session):
        other = sqlite3.connect(session.store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(session.accept(1))
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        assert not (await waiting).duplicate
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await session.accept(2)
        other.execute("ROLLBACK")
        other.close()
        assert not (await session.accept(2)).duplicate

    with_store(tmp_path, body)


def test_priorities_come_first_then_age_without_the_active(place):
    async def body(session):
        runs = [(await session.accept(n, priority=n % 2)).run_id for n in range(4)]
        first = [run.run_id for run in await session.store.backlog.take(1, ())]
        rest = [run.run_id for run in await session.store.backlog.take(10, set(first))]
        assert first + rest == [runs[1], runs[3], runs[0], runs[2]]
        assert await session.store.backlog.take(10, {*first, *rest}) == []

    with_store(place, body)


async def filled(session, count, key=""):
    a = await session.store.algorithm_id(PLAN.nodes[0].ref)
    for number in range(count):
        await session.accept(number, key=key, metadata=canonical({"n": number, "key": key}))
    for run in await session.store.backlog.take(count * 3, ()):
        value = encode_value(float(run.span.time_from_ns))
        await session.record(run, [NodeRecord(a, 4, value=value)], (), Completion(1, 1, 0, 0, 9))
    return a


@pytest.mark.parametrize(
    ("lookback", "expected"),
    [
        (LookBack(count=2), [60.0, 70.0]),
        (LookBack(count=2, gap_count=1), [50.0, 60.0]),
        (LookBack(delta_ns=25), [60.0, 70.0]),
        (LookBack(delta_ns=30, gap_delta_ns=10), [50.0, 60.0]),
    ],
)
def test_look_backs_by_index_agree_with_the_kernel(place, lookback, expected):
    async def body(session):
        a = await filled(session, 12, "x")
        await filled(session, 12, "y")
        rows = await session.store.history(a, lookback, WindowSpan(10**6, 80, 90, "x"))
        assert [decode_value(row.value) for row in rows] == expected
        assert all(row.span.filter_key == "x" for row in rows)
        assert rows[0].origin == "test"

    with_store(place, body)


def test_registrations_are_versioned_with_history(place):
    async def body(session):
        store = session.store
        one = processor("P", algorithm("A"))
        named = Registration(one.processor, one.algorithms, "3.11.7", "host:1")
        first = await store.register(named, features="{}", now_ns=1)
        assert (first.set_version, [entry.address for entry in first.instances]) == (1, ["host:1"])
        same = await store.register(
            Registration(one.processor, one.algorithms, "3.11.7", "host:2"), features="{}", now_ns=2
        )
        assert (same.id, same.set_version, len(same.instances)) == (first.id, 1, 2)
        two = processor("P", algorithm("A"), algorithm("B", "A"))
        changed = await store.register(
            Registration(two.processor, two.algorithms, "3.12.0", "host:1"), features="{}", now_ns=3
        )
        assert (changed.id, changed.set_version) == (first.id, 2)
        assert len(await store.fetch("SELECT * FROM processor_history")) == 2
        await store.remove_instance(first.id, "host:2")
        (row,) = await store.load_processors()
        assert [entry.address for entry in row.instances] == ["host:1"]
        assert decode_registration(row.definition).algorithms == two.algorithms

    with_store(place, body)


def test_window_types_take_later_descriptions(place):
    async def body(session):
        store = session.store
        plain = window_type("Daily")
        rich = window_type("Daily", MetadataFieldDef("station", filter=True))
        row = await store.window_type_id(plain)
        assert await store.window_type_id(rich) == row
        assert await store.window_type_id(plain) == row
        (fields,) = await store.fetch("SELECT fields FROM window_types WHERE id = ?", (row,))
        assert "station" in fields["fields"]
        with pytest.raises(NotFoundError):
            await store.load_plan(999)

    with_store(place, body)


def test_a_newer_store_is_refused_and_untouched(tmp_path):
    path = tmp_path / "orca.db"
    open_connection(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewerError, match="version 99"):
        open_connection(path)
    assert path.read_bytes() == before


def version_of(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def test_an_upgrade_copies_the_store_before(tmp_path, monkeypatch):
    path = tmp_path / "orca.db"
    open_connection(path).close()
    steps = migrations.load_migrations("sqlite")
    now = steps[-1].number
    added = migrations.Migration(now + 1, "more.sql", ("CREATE TABLE more (id BIGINT)",))
    monkeypatch.setattr(migrations, "load_migrations", lambda dialect: (*steps, added))
    open_connection(path).close()
    (copy,) = tmp_path.glob(f"orca.db.before-{now + 1:04}-*")
    assert (version_of(copy), version_of(path)) == (now, now + 1)
    assert copy.stat().st_mode & 0o777 == 0o600
    broken = migrations.Migration(
        now + 2, "broken.sql", ("CREATE TABLE x (id BIGINT)", "CREATE TABLE more (id BIGINT)")
    )
    monkeypatch.setattr(migrations, "load_migrations", lambda dialect: (*steps, added, broken))
    with pytest.raises(sqlite3.OperationalError):
        open_connection(path)
    assert version_of(path) == now + 1


def test_a_store_of_the_first_version_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "orca.db"
    steps = migrations.load_migrations("sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "load_migrations", lambda dialect: steps[:1])
        connection = open_connection(path)
        kind = "INSERT INTO window_types (id, name, version, description, fields) VALUES (1, 'W', '1.0.0', '', '[]')"
        connection.execute(kind)
        connection.execute(
            "INSERT INTO windows (id, type_id, time_from, time_to, origin, metadata, filter_key, digest, created_ns)"
            " VALUES (7, 1, 1, 2, 'o', '{}', '', x'00', 1)"
        )
        connection.close()
    connection = open_connection(path)
    row = connection.execute("SELECT id, origin, parent_exec, trace FROM windows").fetchone()
    connection.close()
    assert row == (7, "o", "", "")


def test_a_backup_of_a_store_in_use(tmp_path):
    async def body(session):
        await session.accept(1)
        await session.store.backup(tmp_path / "copy.db")

    with_store(tmp_path, body)
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT count(*) FROM windows").fetchone() == (1,)
    copy.close()


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (None, None),
        (True, 1.0),
        (16777217, 16777217.0),
        (0.1, 0.1),
        ([1, 2.5], [1.0, 2.5]),
        ([], []),
        ({"a": {"b": [1, None, "ü"]}}, {"a": {"b": [1, None, "ü"]}}),
    ],
)
def test_values_keep_their_precision(value, back):
    assert decode_value(encode_value(value)) == back


def test_values_that_json_cannot_carry():
    with pytest.raises(ValueError, match="JSON"):
        encode_value({"x": float("nan")})
    with pytest.raises(TypeError):
        encode_value("text")


def test_plans_and_registrations_survive_the_text():
    back = LookBack(count=2, gap_count=1)
    registration = processor("P", algorithm("A", itself=back), algorithm("B", "A"), project="one")
    assert decode_registration(encode_registration(registration)) == registration
    plan = plan_of(registration)
    assert decode_plan(encode_plan(plan)) == plan


def test_filter_keys_and_digests():
    fields = [MetadataFieldDef("b", filter=True), MetadataFieldDef("a", filter=True), MetadataFieldDef("c")]
    assert filter_key(fields, {"a": 1, "c": 2}) == '{"a":1,"b":null}'
    assert filter_key([], {"a": 1}) == ""
    assert window_digest("ab", "{}") != window_digest("a", "b{}")
    assert window_digest("a", "{}") != window_digest("a", "{}", nonce="1")
