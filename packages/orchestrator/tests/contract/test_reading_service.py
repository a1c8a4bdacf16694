"""Calls that read or begin much: in parts, in a stated order, and no more of the store than they answer."""

import asyncio
import threading
import urllib.parse
from types import SimpleNamespace

import asyncpg
import databases
import grpc
import pytest
import running as cores
from running import START_S, go, running, until, working
from worker import chain

from orca.orchestrator import operations, queries, service_query, service_reads
from orca.orchestrator.dashboard import data, insight, pages
from orca.orchestrator.queries import Where
from orca.orchestrator.store import migrations
from orca.orchestrator.store.postgres import open_postgres
from orca.processor import wire
from orca.processor import wire_query as q

NS = 10**9


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, monkeypatch):
    """The same on both stores."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
        monkeypatch.setattr(cores, "new_database", lambda: databases.new_database(url))


def entry(number):
    start = (START_S + number * 30) * NS
    kind = q.Ref(name="Every30Second", version="1.0.0")
    return q.EmitWindow(window_type=kind, time_from_ns=start, time_to_ns=start + 30 * NS, origin="many")


def test_many_windows_begin_a_part_at_a_time_and_keep_their_order(tmp_path, monkeypatch, place):
    monkeypatch.setattr(service_query, "EMIT_STEP", 3)

    async def main():
        async with running(tmp_path) as core:
            emit, most, open_now = core.core.emit, 0, 0

            async def watched(*arguments, **options):
                nonlocal most, open_now
                open_now += 1
                most = max(most, open_now)
                try:
                    return await emit(*arguments, **options)
                finally:
                    open_now -= 1

            core.core.emit = watched
            call = core.call(q.OrcaQuery.EmitMany)
            answer = await call(q.EmitManyRequest(windows=[entry(number) for number in range(1, 11)]))
            ids = [one.window_id for one in answer.emitted]
            stored = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest(after_id=ids[0] - 1))
            assert [row.id for row in stored] == ids
            assert most == 3
            # All are tried, the first fault is told.
            further = [entry(number) for number in range(11, 18)]
            further[2].origin, further[4].window_type.name = "x" * 300, ""
            with pytest.raises(grpc.aio.AioRpcError, match="origin"):
                await call(q.EmitManyRequest(windows=further))
            assert len(await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())) == 15

    go(main())


def test_windows_after_one_come_as_they_were_stored(tmp_path, place):
    async def main():
        async with running(tmp_path) as core:
            ids = [(await core.emit(number))[1] for number in (1, 9, 5, 7)]
            request = q.ListWindowsRequest(after_id=ids[0], limit=2)
            first = [row.id for row in await core.rows(q.OrcaQuery.ListWindows, request)]
            request.after_id = first[-1]
            rest = [row.id for row in await core.rows(q.OrcaQuery.ListWindows, request)]
            # By time, a part could not be gone on from: the third would be left out.
            assert first + rest == ids[1:]

    go(main())


def test_news_of_many_results_is_read_once(tmp_path, monkeypatch, place):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            await core.finished((await core.emit(1))[1])
            looks, newest = 0, core.core.store.newest_result
            go_on = asyncio.Event()

            async def counted():
                nonlocal looks
                looks += 1
                if looks == 2:
                    await go_on.wait()
                return await newest()

            monkeypatch.setattr(core.core.store, "newest_result", counted)
            request = q.ReadResultsRequest(algorithm=q.Ref(name="C"), follow=True)
            follow = core.call(q.OrcaQuery.ReadResults)(request)
            found = [(await follow.read()).window_id]
            for number in (9, 4, 6):
                await core.finished((await core.emit(number))[1])
            # Whoever looks into the store may know of an end before the core tells of it.
            await until(lambda: len(core.core.engine.index) == 0)
            go_on.set()
            found += [(await follow.read()).window_id for _ in range(3)]
            assert found == sorted(found)
            await core.finished((await core.emit(2))[1])
            await follow.read()
            # Nine executions were told of meanwhile, and at most three of the last window.
            assert looks <= 6
            follow.cancel()

    go(main())


def test_runs_of_a_type_and_since_a_time(tmp_path, monkeypatch, place):
    monkeypatch.setattr(queries, "PAGE", 2)

    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            for number in range(6):
                await core.finished((await core.emit(number))[1])
            await core.emit(1, kind="Nobody")

            async def listed(**options):
                request = q.ListRunsRequest(**options)
                return [(row.id, row.created_ns) for row in await core.rows(q.OrcaQuery.ListRuns, request)]

            everything = await listed()
            assert len(everything) == 6
            (_, since_ns) = everything[2]
            kind = q.Ref(name="Every30Second")
            for few in (1, 1000):
                monkeypatch.setattr(queries, "FEW", few)
                assert await listed(window_type=kind) == everything
                assert await listed(since_ns=since_ns, window_type=kind) == everything[:3]
                assert await listed(window_type=q.Ref(name="Nobody")) == []
            assert await listed(since_ns=since_ns, limit=1) == everything[:1]
            assert await listed(since_ns=everything[0][1] + 1) == []

    go(main())


def test_housekeeping_keeps_what_the_settings_say(tmp_path, monkeypatch, place):
    monkeypatch.setattr(operations, "RETAIN_STEP", 2)
    monkeypatch.setattr(operations, "_ACCEPTED", operations._ACCEPTED.replace("LIMIT 200", "LIMIT 2"))

    async def main():
        async with running(tmp_path, keep_windows=3) as core, working(core, chain()):

            async def stored():
                rows = await core.core.store.fetch("SELECT id FROM windows ORDER BY id")
                return [row["id"] for row in rows]

            ids = []
            for number in range(1, 12):
                ids.append((await core.emit(number))[1])
                await core.finished(ids[-1])
                await core.core.keep_within_bounds()
                assert await stored() == ids[-3:]
            # All of them go, so that SQLite gives the same numbers again.
            assert await operations.retain(core.core, older_than_ns=core.core.engine.now_ns() + 10**9) == 3
            ids = []
            for number in range(21, 26):
                ids.append((await core.emit(number))[1])
                await core.finished(ids[-1])
            await core.core.keep_within_bounds()
            assert await stored() == ids[-3:]
            # By age: the first page that is wholly younger ends the search.
            limit = core.core.engine.now_ns() + 10**9
            await core.core.store.write("test", [("UPDATE windows SET created_ns = ?", (limit,))])
            assert await operations.retain_again(core.core, older_than_ns=limit) == 0
            sql = "UPDATE windows SET created_ns = 1 WHERE id IN (?, ?)"
            await core.core.store.write("test", [(sql, ids[2:4])])
            assert await operations.retain_again(core.core, older_than_ns=limit) == 2
            assert await stored() == ids[-1:]

    go(main())


def test_removed_call_for_distinct_metadata_is_bounded(tmp_path, monkeypatch, place):
    monkeypatch.setattr(service_reads, "DISTINCT_MAX", 3)
    monkeypatch.setattr(service_reads, "DISTINCT_STEP", 2)

    async def main():
        async with running(tmp_path) as core:
            for number in range(1, 6):
                await core.emit(number, metadata={"station": f"s{number}"})
            request = wire.DistinctMetadataForWindowTypeRead(
                window_type=wire.WindowType(name="Every30Second", version="1.0.0")
            )
            request.time_to.FromSeconds(4_000_000_000)
            answer = await core.call(wire.OrcaCore.ReadDistinctMetadataForWindowType)(request)
            found = [one.struct_value["station"] for one in answer.metadata.values]
            assert found == ["s1", "s2", "s3"]

    go(main())


class PagesOf:
    """As much of a site as a page asks for."""

    def __init__(self, core):
        self.core, self.fetch, self.now_ns = core, core.store.fetch, core.engine.now_ns

    async def window_types(self):
        return []

    def page(self, request, template, title, **shown):
        return shown

    async def get(self, page, text=""):
        query = dict(urllib.parse.parse_qsl(text))
        return await page(self, SimpleNamespace(query_params=query))


def test_tables_go_on_from_page_to_page(tmp_path, monkeypatch, place):
    monkeypatch.setattr(pages, "ROWS", 2)

    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            site = PagesOf(core.core)
            for number in (1, 9, 5, 7, 3):
                await core.finished((await core.emit(number))[1])
            kind = urllib.parse.urlencode({"type": "Every30Second 1.0.0"})
            for few in (1, 1000):
                monkeypatch.setattr(queries, "FEW", few)
                for page, column, expected in (
                    (
                        pages.windows,
                        "time_from",
                        [(START_S + number * 30) * NS for number in (9, 7, 5, 3, 1)],
                    ),
                    (pages.runs, "id", None),
                ):
                    found, before = [], 0
                    while len(found) < 10:
                        shown = await site.get(page, f"{kind}&before={before}")
                        found += [row[column] for row in shown["table"]]
                        before = shown["following"]
                        if not before:
                            break
                    assert found == (expected or sorted(found, reverse=True))
                    assert len(found) == 5
            (one,) = (await site.get(insight.freshness))["kinds"]
            assert one["executions"] == 15
            sql = "UPDATE runs SET created_ns = ? WHERE id < (SELECT max(id) FROM runs)"
            await core.core.store.write("test", [(sql, (core.core.engine.now_ns() - 2 * insight.DAY_NS,))])
            (one,) = (await site.get(insight.freshness))["kinds"]
            assert one["executions"] == 3

    go(main())


def test_drawings_are_made_beside_the_loop(tmp_path, monkeypatch):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            await core.finished((await core.emit(1))[1])
            site, threads = PagesOf(core.core), []

            def noted(function):
                def wrapped(*arguments):
                    threads.append(threading.current_thread())
                    return function(*arguments)

                return wrapped

            for module, name in ((pages, "_bars"), (pages, "lanes_of"), (data, "JSONResponse")):
                monkeypatch.setattr(module, name, noted(getattr(module, name)))
            assert (await site.get(pages.windows))["drawn"] == 1
            assert b"3.0" in (await site.get(data.points, "name=C")).body
            assert len(threads) == 3
            assert threading.current_thread() not in threads

    go(main())


def test_failures_are_repeated_in_order_of_time(tmp_path, monkeypatch, place):
    monkeypatch.setattr(queries, "PAGE", 2)

    async def main():
        worker = chain()
        worker.bodies["C"] = lambda inputs, request: 1 / 0
        async with running(tmp_path) as core, working(core, worker):
            failed = {}
            for number in (9, 1, 5):
                failed[number] = (await core.emit(number))[1]
                await core.finished(failed[number])
            found = await queries.read_failed(core.core.store, Where())
            assert [row[1] for row in found] == [failed[number] for number in (1, 5, 9)]
            assert found[0][3:] == ("Every30Second", "1.0.0")
            worker.bodies["C"] = lambda inputs, request: 3.0
            some = Where()
            some.ref("t", "Every30Second", "")
            some.span("w", 0, (START_S + 6 * 30) * NS)
            work = operations.Reprocess(some, failed=True)
            told = [one async for one in operations.reprocess(core.core, work)]
            assert [(done, total, window_id) for done, total, _, window_id in told] == [
                (1, 2, failed[1]),
                (2, 2, failed[5]),
            ]
            for window_id in (failed[1], failed[5]):
                assert (await core.finished(window_id)).run.kind == "retry"
            (left,) = await queries.read_failed(core.core.store, Where())
            assert left[1] == failed[9]

    go(main())


def test_an_upgraded_database_has_statistics(database, monkeypatch):
    steps = migrations.load_migrations("postgres")

    async def main():
        monkeypatch.setattr(migrations, "load_migrations", lambda dialect: steps[:-1])
        store = await open_postgres(database, lease_s=5)
        sql = "INSERT INTO tokens (name, digest, scopes, created_ns) VALUES (?, ?, ?, ?)"
        await store.write("token", [(sql, (f"t{number}", "d", "read", number)) for number in range(20)])
        await store.close()
        monkeypatch.setattr(migrations, "load_migrations", lambda dialect: steps)
        await (await open_postgres(database, lease_s=5)).close()
        connection = await asyncpg.connect(database)
        found = "SELECT count(*) FROM pg_stats WHERE schemaname = 'orca' AND tablename = 'tokens'"
        assert await connection.fetchval(found) > 0
        columns = "SELECT indexdef FROM pg_indexes WHERE indexname = 'runs_by_window' AND schemaname = 'orca'"
        assert "(window_id, id)" in await connection.fetchval(columns)
        await connection.close()

    go(main())
