"""The query service over real gRPC: lists, watching, replay, schedules, annotations, SQL, tokens, backup."""

import asyncio
import json
import sqlite3
import time

import grpc
import pytest
from running import START_S, WAIT_S, go, running, until, working
from worker import chain

from orca.orchestrator import scheduler
from orca.processor import structs, wire
from orca.processor import wire_query as q
from orca.processor.registration import OPTIONS_KEY

NS = 10**9
DAY_NS = 86_400 * NS


async def refused(call, code, *texts):
    answer = call.read() if hasattr(call, "read") else call
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    assert caught.value.code().name == code, caught.value.details()
    assert all(text in caught.value.details() for text in texts), caught.value.details()


def entry(number, **options):
    start = (START_S + number * 30) * NS
    kind = q.Ref(name="Every30Second", version="1.0.0")
    return q.EmitWindow(
        window_type=kind, time_from_ns=start, time_to_ns=start + 30 * NS, origin="many", **options
    )


def test_many_windows_in_one_call_and_lists_of_everything(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            windows = [entry(n, metadata=json.dumps({"asset": n % 2})) for n in range(40)]
            answer = await core.call(q.OrcaQuery.EmitMany)(q.EmitManyRequest(windows=windows))
            again = await core.call(q.OrcaQuery.EmitMany)(q.EmitManyRequest(windows=windows[:3]))
            assert [one.duplicate for one in again.emitted] == [True] * 3
            for one in answer.emitted:
                assert (await core.finished(one.window_id)).run.state == "succeeded"
            # The same window over the wire of the published clients has the same key.
            single = wire.Window(window_type_name="Every30Second", window_type_version="1.0.0", origin="many")
            single.time_from.seconds, single.time_to.seconds = START_S, START_S + 30
            structs.fill_struct(single.metadata, {"asset": 0})
            call = core.call(wire.OrcaCore.EmitWindow)(single)
            await call
            assert dict(list(await call.trailing_metadata()))[wire.DUPLICATE_KEY] == "1"
            rows = await core.rows(
                q.OrcaQuery.ListWindows, q.ListWindowsRequest(metadata='{"asset":1}', limit=100)
            )
            assert len(rows) == 20
            newest = q.ListWindowsRequest(limit=2, newest_first=True)
            assert [row.id for row in await core.rows(q.OrcaQuery.ListWindows, newest)] == [
                answer.emitted[39].window_id,
                answer.emitted[38].window_id,
            ]
            span = q.Range(from_ns=(START_S + 300) * NS, to_ns=(START_S + 390) * NS)
            inside = q.ListWindowsRequest(range=span, window_type=q.Ref(name="Every30Second"))
            assert len(await core.rows(q.OrcaQuery.ListWindows, inside)) == 3
            assert (
                len(await core.rows(q.OrcaQuery.ListRuns, q.ListRunsRequest(state="succeeded", limit=100)))
                == 40
            )
            assert len(await core.results("C", range=span)) == 3
            assert len(await core.results("C", metadata='{"asset":0}')) == 20
            status = await core.call(q.OrcaQuery.GetStatus)(q.GetStatusRequest())
            assert (status.windows, status.results, status.open_runs, status.processors_serving) == (
                40,
                120,
                0,
                1,
            )

    go(main())


def test_requests_that_are_refused(tmp_path):
    async def main():
        async with running(tmp_path, emit_many_max=2) as core:
            many = core.call(q.OrcaQuery.EmitMany)
            await refused(
                many(q.EmitManyRequest(windows=[entry(n) for n in range(3)])),
                "RESOURCE_EXHAUSTED",
                "at most 2",
            )
            await refused(
                many(q.EmitManyRequest(windows=[entry(0, metadata="[]")])),
                "INVALID_ARGUMENT",
                "windows[0].metadata",
            )
            await refused(
                many(q.EmitManyRequest(windows=[entry(0, metadata="{")])), "INVALID_ARGUMENT", "no JSON"
            )
            runs = core.call(q.OrcaQuery.ListRuns)
            await refused(runs(q.ListRunsRequest(state="odd")), "INVALID_ARGUMENT", "state")
            get = core.call(q.OrcaQuery.GetRun)
            await refused(get(q.GetRunRequest(id=5)), "NOT_FOUND", "run 5")
            await refused(
                core.call(q.OrcaQuery.CancelRun)(q.GetRunRequest(window_id=5)), "NOT_FOUND", "window 5"
            )
            await refused(
                core.call(q.OrcaQuery.Reprocess)(q.ReprocessRequest()), "INVALID_ARGUMENT", "window_id"
            )

    go(main())


def test_watching_a_run_shows_each_change(tmp_path):
    async def main():
        opened = asyncio.Event()

        async def wait(inputs, request):
            await opened.wait()
            return 2.0

        worker = chain(chains=False)
        worker.bodies["B"] = wait
        async with running(tmp_path) as core, working(core, worker):
            _, window_id, _ = await core.emit(1)
            seen = []
            async for detail in core.call(q.OrcaQuery.WatchRun)(q.GetRunRequest(window_id=window_id)):
                seen.append([one.status for one in detail.executions])
                if seen[-1][1] == "running":
                    opened.set()
            assert seen[-1] == ["succeeded"] * 3
            assert ["succeeded", "running", "waiting"] in seen
            (run,) = await core.rows(q.OrcaQuery.ListRuns, q.ListRunsRequest(window_id=window_id))
            assert run.finished_ns > run.created_ns

    go(main())


def test_events_and_following_results(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            events = core.call(q.OrcaQuery.Watch)(q.WatchRequest(kinds=["run", "window"]))
            ref = q.Ref(name="C")
            follow = core.call(q.OrcaQuery.ReadResults)(q.ReadResultsRequest(algorithm=ref, follow=True))
            await until(lambda: len(core.core.bus._listeners) == 2)
            _, window_id, _ = await core.emit(1)
            kinds = [(await events.read()).kind for _ in range(3)]
            assert set(kinds) == {"run", "window"}
            row = await follow.read()
            assert (row.window_id, row.value.number) == (window_id, 3.0)
            await core.emit(2)
            assert (await follow.read()).value.number == 3.0
            events.cancel()
            follow.cancel()

    go(main())


def test_retrying_what_failed_keeps_what_succeeded(tmp_path):
    async def main():
        broken = True

        def body(inputs, request):
            if broken:
                raise ValueError("not yet")
            return inputs["A"][0] + 1

        worker = chain()
        worker.bodies["B"] = body
        async with running(tmp_path) as core, working(core, worker):
            ids = [(await core.emit(n))[1] for n in range(3)]
            for window_id in ids:
                assert await core.statuses(window_id) == {"A": "succeeded", "B": "failed", "C": "skipped"}
            broken = False
            before = len(worker.requests)
            progress = await core.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(failed=True))
            assert [(one.done, one.total) for one in progress] == [(1, 3), (2, 3), (3, 3)]
            for window_id in ids:
                assert set((await core.statuses(window_id)).values()) == {"succeeded"}
            sent = [[e.algorithm.name for e in r.algorithm_executions] for r in worker.requests[before:]]
            assert sent == [["B", "C"]] * 3
            assert await core.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(failed=True)) == []

    go(main())


def test_reprocessing_a_range_anew_and_with_kept_results(tmp_path):
    async def main():
        factor = 1.0
        worker = chain()
        worker.bodies["A"] = lambda inputs, request: factor
        async with running(tmp_path) as core, working(core, worker):
            ids = [(await core.emit(n))[1] for n in range(4)]
            for window_id in ids:
                await core.finished(window_id)
            factor = 10.0
            span = q.Range(to_ns=(START_S + 60) * NS)
            progress = await core.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(range=span))
            assert len(progress) == 2
            for window_id in ids[:2]:
                await core.finished(window_id)
            assert [row.value.number for row in await core.results("C")] == [12.0, 12.0, 3.0, 3.0]
            # A new algorithm comes: with kept results only it runs.
            worker.algorithm("D", "C")
            worker.bodies["D"] = lambda inputs, request: inputs["C"][0] * 2
            await worker.register(core.address)
            before = len(worker.requests)
            kind = q.Ref(name="Every30Second")
            await core.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(window_type=kind, reuse=True))
            for window_id in ids:
                await core.finished(window_id)
            assert [row.value.number for row in await core.results("D")] == [24.0, 24.0, 6.0, 6.0]
            sent = [[e.algorithm.name for e in r.algorithm_executions] for r in worker.requests[before:]]
            assert sent == [["D"]] * 4

    go(main())


def test_a_cached_result_is_used_again_until_its_version_changes(tmp_path):
    async def main():
        factor = 1.0
        worker = chain()
        worker.bodies["A"] = lambda inputs, request: factor
        async with running(tmp_path) as core:
            await worker.start()
            options = ((OPTIONS_KEY, json.dumps({"A_1.0.0": {"cache": True}, "A_2.0.0": {"cache": True}})),)
            features = ((wire.FEATURES_KEY, wire.FEATURE_CHAINS),)
            register = core.call(wire.OrcaCore.RegisterProcessor)

            async def again():
                before = len(worker.requests)
                await core.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(window_id=window_id))
                await core.finished(window_id)
                return [e.algorithm.name for r in worker.requests[before:] for e in r.algorithm_executions]

            await register(worker.message(), metadata=(*options, *features), timeout=WAIT_S)
            await core.serving("chain")
            _, window_id, _ = await core.emit(1)
            await core.finished(window_id)
            factor = 10.0
            assert await again() == ["B", "C"]
            assert [row.value.number for row in await core.results("C")] == [3.0]
            assert set((await core.statuses(window_id)).values()) == {"succeeded"}
            # What it depends on is no part of the key: only another version makes it run again.
            worker.algorithms.clear()
            worker.algorithm("A", version="2.0.0")
            await register(worker.message(), metadata=(*options, *features), timeout=WAIT_S)
            assert await again() == ["A"]
            assert await again() == []
            assert {row.value.number for row in await core.results("A")} == {1.0, 10.0}
            await worker.stop()

    go(main())


def test_a_range_is_run_again_with_a_new_version_of_an_algorithm(tmp_path):
    async def main():
        worker = chain(length=1)
        async with running(tmp_path) as core, working(core, worker):
            for number in range(3):
                await core.finished((await core.emit(number))[1])
            del worker.algorithms["A"]
            worker.algorithm("A", version="1.1.0")
            worker.bodies["A"] = lambda inputs, request: 5.0
            await worker.register(core.address)
            made = await core.rows(
                q.OrcaQuery.Reprocess, q.ReprocessRequest(window_type=q.Ref(name="Every30Second"))
            )
            for step in made:
                await core.finished(step.window_id)
            rows = await core.results("A")
            versions = sorted((row.algorithm.version, row.value.number) for row in rows)
            assert versions == [("1.0.0", 1.0)] * 3 + [("1.1.0", 5.0)] * 3

    go(main())


def test_cancelling_active_and_waiting_runs(tmp_path):
    async def main():
        async def forever(inputs, request):
            await asyncio.Event().wait()

        worker = chain()
        worker.bodies["B"] = forever
        async with running(tmp_path, active_runs_max=1) as core, working(core, worker):
            first, second = (await core.emit(1))[1], (await core.emit(2))[1]
            await until(lambda: len(worker.requests) == 1)
            cancel = core.call(q.OrcaQuery.CancelRun)
            assert (await cancel(q.GetRunRequest(window_id=second))).state == "cancelled"
            await until(lambda: any(one.state.statuses[0] >= 4 for one in core.core.engine.index))
            assert (await cancel(q.GetRunRequest(window_id=first))).state == "cancelled"
            assert (await core.statuses(first))["A"] == "succeeded"
            assert (await core.statuses(first))["B"] == "cancelled"
            await refused(cancel(q.GetRunRequest(window_id=first)), "FAILED_PRECONDITION", "finished")

    go(main())


async def fired(core, name, count):
    """The windows of a schedule, as soon as there are so many."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        rows = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest(limit=1000))
        windows = [one for one in rows if one.origin == f"schedule:{name}"]
        if len(windows) >= count:
            return windows
        assert time.monotonic() < deadline_s, len(windows)
        await asyncio.sleep(0.01)


def test_a_schedule_that_comes_while_others_are_looked_at_is_not_overlooked(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "LOOK_S_MAX", 3600.0)

    async def main():
        async with running(tmp_path) as core:
            fires = core.server.scheduler
            look, looked, stored = fires.fire_due, asyncio.Event(), asyncio.Event()

            async def slow_look():
                pause_s = await look()
                looked.set()
                await stored.wait()
                return pause_s

            monkeypatch.setattr(fires, "fire_due", slow_look)
            fires.changed()
            await looked.wait()
            row = q.ScheduleRow(
                name="s",
                window_type=q.Ref(name="Every30Second", version="1.0.0"),
                every_ns=DAY_NS,
                start_ns=core.core.engine.now_ns() - 2 * DAY_NS,
            )
            await core.call(q.OrcaQuery.PutSchedule)(row)
            stored.set()
            await fired(core, "s", 2)

    go(main())


def test_schedules_catch_up_and_fire(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            put = core.call(q.OrcaQuery.PutSchedule)
            kind = q.Ref(name="Every30Second", version="1.0.0")
            now = core.core.engine.now_ns()
            # Days: no further firing comes while the test runs, however long it takes.
            row = q.ScheduleRow(
                name="s", window_type=kind, every_ns=DAY_NS, start_ns=now - 10 * DAY_NS, metadata='{"a":1}'
            )
            stored = await put(row)
            assert stored.next_ns % DAY_NS == 0
            windows = await fired(core, "s", 10)
            assert {one.time_to_ns - one.time_from_ns for one in windows} == {DAY_NS}
            deadline_s = time.monotonic() + WAIT_S
            while True:
                # A firing moves the schedule on after it has emitted its windows.
                (listed,) = await core.rows(q.OrcaQuery.ListSchedules, q.ListSchedulesRequest())
                if listed.next_ns > now:
                    break
                assert time.monotonic() < deadline_s, listed.next_ns
                await asyncio.sleep(0.01)
            latest = q.ScheduleRow(
                name="l",
                window_type=kind,
                every_ns=DAY_NS,
                start_ns=now - 100 * DAY_NS,
                catch_up="latest",
                metadata='{"b":1}',
            )
            await put(latest)
            assert len(await fired(core, "l", 1)) == 1
            assert len(await fired(core, "s", 10)) == 10
            await refused(put(q.ScheduleRow(name="x", window_type=kind)), "INVALID_ARGUMENT", "cron")
            delete = core.call(q.OrcaQuery.DeleteSchedule)
            await delete(q.DeleteScheduleRequest(name="s"))
            await refused(delete(q.DeleteScheduleRequest(name="s")), "NOT_FOUND", "'s'")

    go(main())


def test_annotations_are_read_back(tmp_path):
    async def main():
        async with running(tmp_path) as core:
            put = core.call(q.OrcaQuery.PutAnnotation)
            ref = q.Ref(name="Mean", version="1.0.0")
            made = await put(
                q.AnnotationRow(
                    time_from_ns=100,
                    time_to_ns=200,
                    description="odd",
                    algorithms=[ref],
                    metadata='{"by":"a"}',
                )
            )
            write = wire.AnnotateWrite(description="old call")
            write.time_from.seconds, write.time_to.seconds = START_S, START_S + 5
            write.captured_windows.add(name="Every30Second", version="1.0.0")
            await core.call(wire.OrcaCore.Annotate)(write)
            both = await core.rows(q.OrcaQuery.ListAnnotations, q.ListAnnotationsRequest())
            assert [one.description for one in both] == ["odd", "old call"]
            about = q.ListAnnotationsRequest(algorithm=q.Ref(name="Mean"))
            assert [one.id for one in await core.rows(q.OrcaQuery.ListAnnotations, about)] == [made.id]
            late = q.ListAnnotationsRequest(range=q.Range(from_ns=150, to_ns=300), limit=5)
            assert len(await core.rows(q.OrcaQuery.ListAnnotations, late)) == 1
            delete = core.call(q.OrcaQuery.DeleteAnnotation)
            await delete(q.DeleteAnnotationRequest(id=made.id))
            await refused(delete(q.DeleteAnnotationRequest(id=made.id)), "NOT_FOUND")
            await refused(put(q.AnnotationRow(time_from_ns=5, time_to_ns=2)), "INVALID_ARGUMENT", "time_to")
            await refused(put(q.AnnotationRow(description="x" * 20_000)), "INVALID_ARGUMENT", "description")

    go(main())


def test_the_removed_read_calls_answer_again(tmp_path):
    async def main():
        worker = chain()
        worker.bodies["B"] = lambda inputs, request: {"mean": 1.5, "max": 2.0}
        worker.bodies["C"] = lambda inputs, request: [1.0, 2.0]
        for message in worker.algorithms.values():
            message.window_type.metadataFields.add(name="asset", description="which")
        async with running(tmp_path) as core, working(core, worker):
            for number in range(4):
                await core.finished((await core.emit(number, metadata={"asset": number % 2}))[1])
            read = wire.OrcaCore
            (kind,) = (await core.call(read.ReadWindowTypes)(wire.WindowTypeRead())).windows
            assert (kind.name, kind.metadataFields[0].name) == ("Every30Second", "asset")
            assert len((await core.call(read.ReadAlgorithms)(wire.AlgorithmsRead())).algorithm) == 3
            assert (await core.call(read.ReadProcessors)(wire.ProcessorsRead())).processor[0].name == "chain"
            assert (await core.call(read.ReadResultsStats)(wire.ResultsStatsRead())).Count == 12

            def request(kind, **fields):
                message = kind(**fields)
                message.time_from.seconds, message.time_to.seconds = START_S, START_S + 90
                return message

            b, c = wire.Algorithm(name="B", version="1.0.0"), wire.Algorithm(name="C", version="1.0.0")
            fields = await core.call(read.ReadResultFieldsForAlgorithm)(
                request(wire.AlgorithmFieldsRead, algorithm=b)
            )
            assert list(fields.field) == ["max", "mean"]
            rows = (
                await core.call(read.ReadResultsForAlgorithm)(
                    request(wire.ResultsForAlgorithmRead, algorithm=c)
                )
            ).results
            assert len(rows) == 3
            assert rows[0].time.seconds == START_S + 15
            assert list(rows[0].array_values.values) == [1.0, 2.0]
            kind = wire.WindowType(name="Every30Second", version="1.0.0")
            windows = await core.call(read.ReadWindows)(request(wire.WindowsRead, window=kind))
            assert len(windows.window) == 3
            distinct = request(wire.DistinctMetadataForWindowTypeRead, window_type=kind)
            found = await core.call(read.ReadDistinctMetadataForWindowType)(distinct)
            assert len(found.metadata.values) == 2
            asked = request(wire.WindowsForMetadataRead, window=kind)
            asked.metadata.add(field="asset").value.number_value = 1
            assert len((await core.call(read.ReadWindowsForMetadata)(asked)).window) == 1
            asked = request(wire.ResultsForAlgorithmAndMetadataRead, algorithm=b)
            asked.metadata.add(field="asset").value.number_value = 0
            rows = (await core.call(read.ReadResultsForAlgorithmAndMetadata)(asked)).results
            assert [row.struct_value.fields["mean"].number_value for row in rows] == [1.5, 1.5]
            a = wire.Algorithm(name="A", version="1.0.0")
            rows = (
                await core.call(read.ReadResultsForAlgorithm)(
                    request(wire.ResultsForAlgorithmRead, algorithm=a)
                )
            ).results
            assert [row.single_value for row in rows] == [1.0, 1.0, 1.0]

    go(main())


def test_sql_reads_and_nothing_else(tmp_path):
    async def main():
        async with running(tmp_path) as core:
            await core.emit(1)
            rows = await core.rows(
                q.OrcaQuery.Sql, q.SqlRequest(statement="SELECT id, digest, 'x' AS x FROM windows")
            )
            assert json.loads(rows[0].values) == ["id", "digest", "x"]
            assert json.loads(rows[1].values)[0] == 1
            sql = core.call(q.OrcaQuery.Sql)
            for statement in (
                "DELETE FROM windows",
                "ATTACH 'x.db' AS x",
                "PRAGMA journal_mode=DELETE",
                "SELECT 1; SELECT 2",
                "SELECT load_extension('x')",
                "nonsense",
            ):
                await refused(sql(q.SqlRequest(statement=statement)), "INVALID_ARGUMENT", "statement")

    go(main())


def test_endless_sql_is_ended(tmp_path):
    async def main():
        async with running(tmp_path, call_deadline_s=0.3) as core:
            endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
            await refused(
                core.call(q.OrcaQuery.Sql)(q.SqlRequest(statement=endless)), "INVALID_ARGUMENT", "interrupted"
            )

    go(main())


def test_backup_and_retention(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            for number in range(6):
                await core.finished((await core.emit(number))[1])
            made = await core.call(q.OrcaQuery.Backup)(q.BackupRequest(path="b/one.db"))
            copy = sqlite3.connect(made.path)
            assert copy.execute("SELECT count(*) FROM results").fetchone() == (18,)
            copy.close()
            backup = core.call(q.OrcaQuery.Backup)
            await refused(backup(q.BackupRequest(path="b/one.db")), "FAILED_PRECONDITION", "exists")
            await refused(backup(q.BackupRequest(path="../../x.db")), "PERMISSION_DENIED", "below")
            retain = core.call(q.OrcaQuery.Retain)
            assert (await retain(q.RetainRequest(keep=4))).deleted == 2
            assert len(await core.results("C")) == 4
            everything = q.RetainRequest(older_than_ns=core.core.engine.now_ns())
            assert (await retain(everything)).deleted == 4
            counts = await core.core.store.fetch(
                "SELECT (SELECT count(*) FROM executions) + (SELECT count(*) FROM runs) AS n"
            )
            assert counts == [{"n": 0}]

    go(main())


def test_tokens_have_names_and_scopes(tmp_path):
    async def main():
        async with running(tmp_path) as core:
            create = core.call(q.OrcaQuery.CreateToken)
            await create(q.CreateTokenRequest(name="one", scopes=["emit", "read"]))
            await refused(
                create(q.CreateTokenRequest(name="one", scopes=["read"])), "FAILED_PRECONDITION", "exists"
            )
            await refused(
                create(q.CreateTokenRequest(name="a b", scopes=["odd"])), "INVALID_ARGUMENT", "name", "scopes"
            )
            await refused(create(q.CreateTokenRequest(name="none")), "INVALID_ARGUMENT", "at least one")
            (row,) = await core.rows(q.OrcaQuery.ListTokens, q.ListTokensRequest())
            assert (row.name, list(row.scopes)) == ("one", ["emit", "read"])
            await refused(core.call(q.OrcaQuery.DeleteToken)(q.DeleteTokenRequest(name="x")), "NOT_FOUND")

    go(main())
