"""Reading beside the work: users' statements leave places for the core, a place is held as long as its thread works."""

import asyncio
import contextlib
import threading

import pytest

from orca.orchestrator.store.postgres import open_postgres
from orca.orchestrator.store.sqlite import READERS_MAX, open_store

# Each row needs a good many steps, and there is no end of them.
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
LONG_S = 600.0
WAIT_S = 60.0


async def ended(tasks):
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT_S)


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_users_statements_leave_places_for_the_core(place, request, tmp_path):
    if place == "postgres":
        url = request.getfixturevalue("database")

    async def main():
        store = await (
            open_store(tmp_path / "orca.db") if place == "sqlite" else open_postgres(url, lease_s=5)
        )
        try:
            users = [
                asyncio.ensure_future(store.read_sql(ENDLESS, limit=1, timeout_s=LONG_S))
                for _ in range(2 * READERS_MAX)
            ]
            await asyncio.sleep(0.2)
            rows = await asyncio.wait_for(store.fetch("SELECT 1 AS one"), WAIT_S)
            assert rows == [{"one": 1}]
            assert not any(user.done() for user in users)
            await ended(users)
            # A statement that nobody waits for ends at once, and its place is free.
            _, rows = await asyncio.wait_for(
                store.read_sql("SELECT 2 AS two", limit=1, timeout_s=LONG_S), WAIT_S
            )
            assert rows == [[2]]
        finally:
            await asyncio.wait_for(store.close(), WAIT_S)

    asyncio.run(main())


def test_a_cancelled_reading_holds_its_place_until_its_thread_ends(tmp_path, monkeypatch):
    async def main():
        store = await open_store(tmp_path / "orca.db")
        begun, go_on = threading.Semaphore(0), threading.Event()

        def slow(sql, parameters):
            begun.release()
            assert go_on.wait(WAIT_S)
            return []

        monkeypatch.setattr(store, "_fetch", slow)
        try:
            reading = [asyncio.ensure_future(store.fetch("SELECT 1")) for _ in range(READERS_MAX)]
            for _ in reading:
                assert await asyncio.to_thread(begun.acquire, timeout=WAIT_S)
            await ended(reading)
            another = asyncio.ensure_future(store.fetch("SELECT 1"))
            await asyncio.sleep(0.1)
            assert not begun.acquire(blocking=False)
            go_on.set()
            assert await asyncio.wait_for(another, WAIT_S) == []
        finally:
            go_on.set()
            await store.close()

    asyncio.run(main())
