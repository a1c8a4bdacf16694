"""Calls that read or begin much: in parts, in a stated order, and no more of the store than they answer."""

import asyncio

import grpc
import pytest
from running import START_S, running, working
from worker import chain

from orca.orchestrator import operations, queries, service_query, service_reads
from orca.processor import wire
from orca.processor import wire_query as q

NS = 10**9


def go(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def entry(number):
    start = (START_S + number * 30) * NS
    kind = q.Ref(name="Every30Second", version="1.0.0")
    return q.EmitWindow(window_type=kind, time_from_ns=start, time_to_ns=start + 30 * NS, origin="many")


def test_many_windows_begin_a_part_at_a_time_and_keep_their_order(tmp_path, monkeypatch):
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


def test_windows_after_one_come_as_they_were_stored(tmp_path):
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


def test_news_of_many_results_is_read_once(tmp_path, monkeypatch):
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
            go_on.set()
            found += [(await follow.read()).window_id for _ in range(3)]
            assert found == sorted(found)
            await core.finished((await core.emit(2))[1])
            await follow.read()
            # Nine executions were told of meanwhile, and at most three of the last window.
            assert looks <= 6
            follow.cancel()

    go(main())


def test_runs_of_a_type_and_since_a_time(tmp_path, monkeypatch):
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


def test_housekeeping_keeps_what_the_settings_say(tmp_path, monkeypatch):
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


def test_removed_call_for_distinct_metadata_is_bounded(tmp_path, monkeypatch):
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
