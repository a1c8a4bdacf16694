"""Group commit: everybody is told, whatever the others do, and nothing is kept after it."""

import asyncio
import gc
import weakref

import pytest

from orca.orchestrator.errors import StoreError
from orca.orchestrator.store.group import GroupCommit
from orca.orchestrator.store.postgres import open_postgres
from orca.orchestrator.store.postgres_group import PostgresGroup
from orca.orchestrator.store.sqlite import open_connection


def with_group(path, body):
    async def main():
        connection = open_connection(path)
        connection.execute("CREATE TABLE IF NOT EXISTS seen (n INTEGER)")
        group = GroupCommit(connection, asyncio.get_running_loop())
        try:
            await asyncio.wait_for(body(group, connection), 120)
        finally:
            group.close()
            connection.close()

    asyncio.run(main())


def insert(number):
    return lambda connection: connection.execute("INSERT INTO seen VALUES (?)", (number,)).rowcount


def angry(value, error):
    raise RuntimeError("nobody listens")


def test_one_that_raises_when_told_silences_nobody(tmp_path, caplog):
    async def body(group, connection):
        group.submit("record", insert(1), angry)
        assert await group.run("record", insert(2)) == 1
        await group.drain()
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (2,)

    with_group(tmp_path / "store", body)
    assert "could not be told" in caplog.text


def test_an_error_is_told_to_all_even_if_one_raises(tmp_path):
    async def body(group, connection):
        # What is looked at only by the commit makes it fail for all.
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("PRAGMA foreign_keys = ON")
        group.submit("record", lambda c: c.execute("INSERT INTO children VALUES (7)"), angry)
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            await group.run("record", insert(2))
        await group.drain()
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)

    with_group(tmp_path / "store", body)


def test_a_transaction_that_cannot_begin_fails_its_operations(tmp_path):
    async def body(group, connection):
        connection.close()
        answers = await asyncio.gather(
            group.run("record", insert(1)), group.run("record", insert(2)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [StoreError, StoreError]
        await group.drain()

    with_group(tmp_path / "store", body)


@pytest.fixture
def no_collector():
    """Nothing but the last reference going away may free an object."""
    gc.disable()
    yield
    gc.enable()


def test_an_idle_committing_thread_keeps_nothing(tmp_path, no_collector):
    async def body(group, connection):
        loop = asyncio.get_running_loop()
        freed = asyncio.Event()
        told = loop.create_future()

        def done(value, error):
            told.set_result(value)

        seen = weakref.ref(done, lambda _: loop.call_soon_threadsafe(freed.set))
        group.submit("record", insert(1), done)
        del done
        await told
        await asyncio.wait_for(freed.wait(), 60)
        assert seen() is None

    with_group(tmp_path / "store", body)


def test_an_idle_postgres_writer_keeps_nothing(database, no_collector):
    async def perform(connection, operations):
        for operation in operations:
            operation.value = await connection.fetchval("SELECT 1")

    async def main():
        store = await open_postgres(database, lease_s=5)
        group = PostgresGroup(store._recording._link, perform)
        loop = asyncio.get_running_loop()
        freed = asyncio.Event()
        told = loop.create_future()

        def done(value, error):
            told.set_result((value, error))

        seen = weakref.ref(done, lambda _: freed.set())
        group.submit("record", None, done)
        del done
        assert await told == (1, None)
        await asyncio.wait_for(freed.wait(), 60)
        assert seen() is None
        await group.drain()
        await group.close()
        await store.close()

    asyncio.run(main())
