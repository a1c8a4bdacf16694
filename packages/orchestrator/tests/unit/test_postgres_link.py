"""Connections to PostgreSQL that could not be made ready are closed: nobody else knows of them."""

import asyncio

import asyncpg
import pytest

from orca.orchestrator.errors import StoreError
from orca.orchestrator.store.postgres import open_postgres
from orca.orchestrator.store.postgres_link import Connector
from orca.orchestrator.store.postgres_news import News


@pytest.fixture
def made(monkeypatch):
    """Every connection of a test."""
    connections = []
    connect = asyncpg.connect

    async def noted(*arguments, **options):
        connections.append(await connect(*arguments, **options))
        return connections[-1]

    monkeypatch.setattr(asyncpg, "connect", noted)
    return connections


async def cancelled_in(method, monkeypatch, work):
    """Cancel a coroutine while it waits in a method of its connection."""
    begun = asyncio.Event()

    async def waits(*arguments, **options):
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncpg.Connection, method, waits)
    task = asyncio.ensure_future(work)
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_connection_that_is_given_up_before_it_is_ready_is_closed(database, made, monkeypatch):
    connector = Connector(database, synchronous="FULL")
    asyncio.run(cancelled_in("set_type_codec", monkeypatch, connector.connect()))
    assert [one.is_closed() for one in made] == [True]


def test_a_listener_that_is_given_up_before_it_listens_is_closed(database, made, monkeypatch):
    news = News(Connector(database, synchronous="FULL"), "me")
    asyncio.run(cancelled_in("add_listener", monkeypatch, news.start()))
    assert [one.is_closed() for one in made] == [True]


def test_a_store_that_cannot_start_leaves_no_connection(database, made, monkeypatch):
    async def refused(*arguments):
        raise asyncpg.CannotConnectNowError("the database system is shutting down")

    async def main():
        await (await open_postgres(database, lease_s=5)).close()
        monkeypatch.setattr(asyncpg.Connection, "add_listener", refused)
        with pytest.raises(StoreError, match="shutting down"):
            await open_postgres(database, lease_s=5)
        monkeypatch.undo()
        looker = await asyncpg.connect(database)
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        # The server takes its time to see that a connection has ended.
        while await looker.fetchval(others):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        await looker.close()

    asyncio.run(asyncio.wait_for(main(), 120))
    assert all(one.is_closed() for one in made)
