"""Several cores on one PostgreSQL: what one learns the others know, and every window is worked on once."""

import asyncio
import contextlib
import itertools
import json
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest
from databases import new_database
from running import START_S, WAIT_S, go, running, until, window, working
from worker import Worker, chain

from orca.orchestrator.errors import FencedError
from orca.orchestrator.settings import DatabaseUrl
from orca.orchestrator.store.postgres import open_postgres
from orca.orchestrator.store.records import NodeRecord
from orca.processor import wire
from orca.processor import wire_query as q

NS = 10**9
TRIGGERED = wire.WindowEmitStatus.PROCESSING_TRIGGERED


@contextlib.asynccontextmanager
async def replicas(tmp_path, postgres, count=2, **changes):
    """Cores with folders of their own on one new database."""
    url = await new_database(postgres)
    async with contextlib.AsyncExitStack() as held:
        yield [
            await held.enter_async_context(
                running(tmp_path / str(number), database=DatabaseUrl(url), **{"lease_s": 1.0, **changes})
            )
            for number in range(count)
        ]


def knows(core, worker, address=""):
    """Whether a core has a serving instance of a worker."""
    link = next((one for one in core.core.links if one.key.name == worker.name), None)
    found = link.instances.values() if link is not None else ()
    return any(one.state == "serving" and (not address or one.address == address) for one in found)


def test_a_registration_at_one_is_known_to_all(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres, 3) as (a, b, c), working(a, chain()) as (worker,):
            # At once: whether the news has come or not, the window is planned with what is registered.
            status, window_id, _ = await b.emit(1)
            assert status == TRIGGERED
            assert (await c.finished(window_id)).run.state == "succeeded"
            await until(lambda: knows(b, worker) and knows(c, worker))
            assert [row.name for row in await c.rows(q.OrcaQuery.ListProcessors, q.ListProcessorsRequest())]
            # A set that conflicts is refused wherever it is offered.
            thief = Worker("thief", {})
            thief.algorithm("A")
            thief.port = worker.port
            with pytest.raises(grpc.aio.AioRpcError, match="of processor 'chain"):
                await thief.register(c.address)

    go(main())


def test_a_window_is_planned_anew_when_the_news_did_not_come(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres) as (a, b):
            assert (await b.emit(0))[0] != TRIGGERED
            b.core.store._news.follow(None)
            async with working(a, chain()):
                status, window_id, _ = await b.emit(1)
                assert status == TRIGGERED
                assert (await a.finished(window_id)).run.state == "succeeded"

    go(main())


def test_an_address_that_moves_to_another_processor_moves_everywhere(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres) as (a, b), working(a, chain("old")) as (old,):
            await until(lambda: knows(b, old))
            new = Worker("new", {"N": lambda inputs, request: 1.0})
            new.algorithm("N", window="Other")
            await new.start()
            await new.register(a.address)
            await new.register(a.address, address=f"127.0.0.1:{old.port}")
            await until(lambda: knows(b, new) and not knows(b, old))
            await new.stop()

    go(main())


def self_counter():
    """Each window gives one more than the window before: wrong as soon as one look-back misses one."""
    worker = Worker("counter", {"N": lambda inputs, request: (inputs.get("N") or [0.0])[-1] + 1.0})
    message = worker.algorithm("N")
    need = message.dependencies.add(name="N", version="1.0.0")
    need.lookback_num = 1
    return worker


def test_look_backs_are_complete_however_windows_are_spread(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres, 3) as cores, working(cores[0], self_counter()):
            count = 60
            for number in range(count):
                await cores[number % 3].emit(number)
            await until(lambda: all(len(core.core.engine.index) == 0 for core in cores))
            rows = await cores[1].results("N")
            assert [row.value.number for row in rows] == [number + 1.0 for number in range(count)]

    go(main())


def test_following_and_watching_see_what_others_do(tmp_path, postgres):
    async def main():
        # No lease runs out, however slow the machine: what is taken over would be told as begun elsewhere.
        async with (
            replicas(tmp_path, postgres, 3, lease_s=60.0) as (a, b, c),
            working(a, chain(length=1)),
        ):
            follow = a.call(q.OrcaQuery.ReadResults)(
                q.ReadResultsRequest(algorithm=q.Ref(name="A"), follow=True)
            )
            watch = a.call(q.OrcaQuery.Watch)(q.WatchRequest(kinds=["run", "window"]))
            seen, told, begun, stored = set(), set(), set(), set()

            async def read_results():
                async for row in follow:
                    seen.add(row.window_id)

            async def read_events():
                async for event in watch:
                    detail = json.loads(event.detail)
                    window_id = detail["window_id"]
                    if event.kind == "window":
                        stored.add(window_id)
                    else:
                        {"succeeded": told, "started": begun}[detail["state"]].add(window_id)

            tasks = [asyncio.ensure_future(read_results()), asyncio.ensure_future(read_events())]
            await until(lambda: a.core.bus.wanted)
            count = 200
            emits = [core.emit(number) for number in range(count) for core in ((b, c)[number % 2],)]
            ids = {answer[1] for answer in await asyncio.gather(*emits)}
            await until(lambda: seen == told == begun == stored == ids)
            for task in tasks:
                task.cancel()

    go(main())


def test_a_schedule_fires_once_for_all(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres, 3) as (a, b, c), working(a, chain(length=1)):
            now = a.core.engine.now_ns()
            row = q.ScheduleRow(
                name="s",
                window_type=q.Ref(name="Every30Second", version="1.0.0"),
                every_ns=NS,
                start_ns=now - 40 * NS,
            )
            await b.call(q.OrcaQuery.PutSchedule)(row)
            windows = []
            while len(windows) < 43:
                windows = await c.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest(limit=1000))
                await asyncio.sleep(0.02)
            times = [one.time_to_ns for one in windows]
            assert len(times) == len(set(times))
            steps = {after - before for before, after in itertools.pairwise(times)}
            assert steps == {NS}
            await c.call(q.OrcaQuery.DeleteSchedule)(q.DeleteScheduleRequest(name="s"))

    go(main())


def test_a_run_is_cancelled_wherever_it_is(tmp_path, postgres):
    async def main():
        started = asyncio.Event()

        async def forever(inputs, request):
            started.set()
            await asyncio.Event().wait()

        worker = chain(length=1)
        worker.bodies["A"] = forever
        async with replicas(tmp_path, postgres) as (a, b), working(a, worker):
            _, window_id, _ = await a.emit(1)
            await started.wait()
            row = await b.call(q.OrcaQuery.CancelRun)(q.GetRunRequest(window_id=window_id))
            assert row.state == "cancelled"
            await until(lambda: len(a.core.engine.index) == 0)
            # A call that was cancelled is over a turn of the loop later.
            await until(lambda: a.core.links.calls == 0)

    go(main())


def test_reprocessing_at_one_is_shared_by_all(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres) as (a, b), working(a, chain()):
            ids = [(await a.emit(number))[1] for number in range(20)]
            for window_id in ids:
                assert (await b.finished(window_id)).run.state == "succeeded"
            kind = q.Ref(name="Every30Second")
            progress = await b.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(window_type=kind))
            assert [row.done for row in progress] == list(range(1, 21))
            for row in progress:
                detail = await a.finished(row.window_id)
                assert (detail.run.id, detail.run.kind, detail.run.state) == (
                    row.run_id,
                    "reprocess",
                    "succeeded",
                )

    go(main())


def test_tokens_are_known_to_all(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres, auth=True) as (a, b):
            admin = ((wire.AUTHORIZATION_KEY, f"Bearer {a.server.token}"),)
            made = await a.call(q.OrcaQuery.CreateToken)(
                q.CreateTokenRequest(name="ci", scopes=["read"]), metadata=admin
            )
            reader = ((wire.AUTHORIZATION_KEY, f"Bearer {made.token}"),)
            status = b.call(q.OrcaQuery.GetStatus)

            async def allowed():
                try:
                    await status(q.GetStatusRequest(), metadata=reader)
                except grpc.aio.AioRpcError as error:
                    return error.code() is not grpc.StatusCode.UNAUTHENTICATED
                return True

            async def becomes(state):
                while await allowed() is not state:  # noqa: ASYNC110 - no event tells a caller
                    await asyncio.sleep(0.01)

            await becomes(True)
            await a.call(q.OrcaQuery.DeleteToken)(q.DeleteTokenRequest(name="ci"), metadata=admin)
            await becomes(False)

    go(main())


def test_a_clean_stop_hands_over_at_once(tmp_path, postgres):
    async def main():
        url = await new_database(postgres)
        release = asyncio.Event()
        calls = []

        async def body(inputs, request):
            calls.append(request.exec_id)
            await release.wait()
            return 1.0

        worker = chain(length=1)
        worker.bodies["A"] = body
        # The lease is far longer than the test.
        options = {"database": DatabaseUrl(url), "lease_s": 600.0}
        async with running(tmp_path / "b", **options) as b, working(b, worker):
            async with running(tmp_path / "a", **options) as a:
                await a.serving("chain")
                ids = [(await a.emit(number))[1] for number in range(10)]
                await until(lambda: len(calls) == 10)
            release.set()
            for window_id in ids:
                detail = await b.finished(window_id)
                assert detail.run.state == "succeeded"

    go(main())


def test_what_a_dead_replica_held_is_taken_over_and_its_late_results_are_refused(tmp_path, postgres):
    async def main():
        url = await new_database(postgres)
        async with running(tmp_path, database=DatabaseUrl(url), lease_s=1.0) as core:
            worker = chain(length=1)
            async with working(core, worker):
                # A replica that takes a run, and from then on does nothing: no touch, no record.
                dead = await open_postgres(url, lease_s=1.0)
                for task in dead._keeping:
                    task.cancel()
                core.core.engine._stopping = True
                _, window_id, _ = await core.emit(1)
                (run,) = await dead.backlog.take(10, ())
                core.core.engine._stopping = False
                detail = await core.finished(window_id)
                assert detail.run.state == "succeeded"
                assert len(detail.executions) == 1
                told = asyncio.get_running_loop().create_future()
                late = NodeRecord(
                    await dead.algorithm_id(core.core.registry.registrations[0].algorithms[0].ref), 4
                )
                dead.record(run, [late], (), None, lambda value, error: told.set_result(error))
                assert isinstance(await told, FencedError)
                assert run.token < 3
                await dead.close()

    go(main())


def test_a_replica_that_was_only_slow_loses_its_runs_and_goes_on(tmp_path, postgres):
    async def main():
        release = asyncio.Event()

        async def body(inputs, request):
            await release.wait()
            return 1.0

        worker = chain(length=1)
        worker.bodies["A"] = body
        async with replicas(tmp_path, postgres) as (a, b), working(a, worker):
            await b.serving("chain")
            # a's touches get lost; b takes the run when the lease has ended.
            keeper, _ = a.core.store._keeping
            keeper.cancel()
            _, window_id, _ = await a.emit(1)
            await until(lambda: len(b.core.engine.index) == 1)
            a.core.store._keeping[0] = asyncio.ensure_future(a.core.store._keep())
            await until(lambda: len(a.core.engine.index) == 0)
            release.set()
            detail = await a.finished(window_id)
            assert (detail.run.state, len(detail.executions)) == ("succeeded", 1)
            (row,) = await b.results("A")
            assert row.value.number == 1.0

    go(main())


async def emitted(core, number, stored):
    """Emit once; a store that is away says so with the code that means: try again."""
    try:
        _, stored[number], _ = await core.emit(number)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise


def test_connections_that_are_cut_come_back(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres) as (a, b), working(a, chain(length=1)):
            killer = await asyncpg.connect(a.core.settings.database.reveal())
            stored = {}
            for number in range(40):
                if number % 10 == 5:
                    await killer.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                while number not in stored:
                    await emitted((a, b)[number % 2], number, stored)
            await killer.close()
            for window_id in stored.values():
                assert (await b.finished(window_id)).run.state == "succeeded"
            assert len(await a.results("A")) == len(set(stored.values())) == 40

    go(main())


def test_instances_of_one_name_share_the_work_of_all_replicas(tmp_path, postgres):
    async def main():
        first, second = chain(length=1), chain(length=1)
        release = asyncio.Event()

        async def body(inputs, request):
            await release.wait()
            return 1.0

        first.bodies["A"] = second.bodies["A"] = body
        # No lease runs out before all calls are given.
        async with (
            replicas(tmp_path, postgres, lease_s=60.0) as (a, b),
            working(a, first),
            working(b, second),
        ):
            for core, worker in itertools.product((a, b), (first, second)):
                await until(lambda c=core, w=worker: knows(c, w, f"127.0.0.1:{w.port}"))
            ids = [(await (a, b)[number % 2].emit(number))[1] for number in range(40)]
            await until(lambda: len(first.requests) + len(second.requests) == 40)
            release.set()
            assert len(first.requests) == len(second.requests) == 20
            for window_id in ids:
                assert (await a.finished(window_id)).run.state == "succeeded"

    go(main())


def test_readers_that_take_every_connection_keep_nobody_from_writing(tmp_path, postgres):
    async def main():
        options = {"database_connections_max": 2}
        async with replicas(tmp_path, postgres, 1, **options) as (core,), working(core, self_counter()):
            store = core.core.store
            reads = [asyncio.ensure_future(store.fetch("SELECT pg_sleep(0.2)")) for _ in range(600)]
            ids = [(await core.emit(number))[1] for number in range(20)]
            assert len(set(ids)) == 20
            # Asked of the engine: reading a run from the store waits its turn behind the readers.
            await until(lambda: len(core.core.engine.index) == 0)
            assert not all(read.done() for read in reads)
            for read in reads:
                read.cancel()
            assert [row.value.number for row in await core.results("N")] == [n + 1.0 for n in range(20)]

    go(main())


def test_a_server_without_a_free_connection_is_tried_again(tmp_path, postgres):
    async def main():
        url = await new_database(postgres)
        role = urlsplit(url).path[1:] + "_few"
        admin = await asyncpg.connect(url)
        await admin.execute(f"CREATE ROLE {role} LOGIN")
        await admin.execute(f"CREATE SCHEMA orca AUTHORIZATION {role}")
        few = DatabaseUrl(url.replace("postgres:@", f"{role}:@", 1))
        async with running(tmp_path, database=few, lease_s=1.0) as core, working(core, chain(length=1)):
            cut = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            left = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                f" AND usename = '{role}'"
            )
            await admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
            await admin.execute(cut)
            # They are told to end, and do so when they get to it: until then they still answer.
            while await admin.fetchval(left):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            with pytest.raises(grpc.aio.AioRpcError, match="too many connections") as caught:
                await core.emit(1)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
            stored = {}
            while 1 not in stored:
                await emitted(core, 1, stored)
            await until(lambda: len(core.core.engine.index) == 0)
            assert (await core.finished(stored[1])).run.state == "succeeded"
        await admin.close()

    go(main())


def test_a_stream_that_reads_is_ended_when_the_database_stands_still(tmp_path, postgres):
    """One that waits for what happens is not."""

    async def main():
        async with replicas(tmp_path, postgres, 1, call_deadline_s=10.0) as (core,), working(core, chain()):
            _, window_id, _ = await core.emit(1)
            await core.finished(window_id)
            admin = await asyncpg.connect(core.core.settings.database.reveal())
            # Its handler begins before that of any later call of the connection.
            watch = core.call(q.OrcaQuery.Watch)(q.WatchRequest(kinds=["window"]))
            told = asyncio.ensure_future(watch.read())
            async with admin.transaction():
                await admin.execute("LOCK TABLE orca.windows IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert len(await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())) == 1
            await core.emit(2)
            assert (await asyncio.wait_for(told, WAIT_S)).kind == "window"
            watch.cancel()
            await admin.close()

    go(main())


def test_sql_reads_and_nothing_else(tmp_path, postgres):
    async def main():
        async with replicas(tmp_path, postgres, 1, call_deadline_s=10.0) as (core,), working(core, chain()):
            _, window_id, _ = await core.emit(1)
            await core.finished(window_id)

            async def sql(statement, limit=0):
                request = q.SqlRequest(statement=statement, limit=limit)
                rows = await core.rows(q.OrcaQuery.Sql, request)
                return [json.loads(row.values) for row in rows]

            assert await sql(
                "SELECT a.name, r.number FROM results r JOIN algorithms a ON a.id = r.algorithm_id ORDER BY 1"
            ) == [
                ["name", "number"],
                ["A", 1.0],
                ["B", 2.0],
                ["C", 3.0],
            ]
            assert await sql("WITH a AS (SELECT 1 AS one) SELECT * FROM a") == [["one"], [1]]
            assert len(await sql("SELECT generate_series(1, 100)", limit=7)) == 8
            assert await sql("SELECT count(*), sum(number) FROM results") == [["count", "sum"], [3, 6.0]]
            for statement in (
                "DELETE FROM results",
                "SELECT 1; DELETE FROM results",
                "WITH gone AS (DELETE FROM results RETURNING id) SELECT * FROM gone",
                "COPY results TO PROGRAM 'cat > /dev/null'",
                "SELECT nextval('windows_id_seq')",
                "SELECT pg_read_file('/etc/hostname')",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
                "SELECT pg_sleep(60)",
                "SET ROLE postgres",
                "VACUUM",
                "nonsense",
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await sql(statement)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, statement
            assert len(await core.results("C")) == 1
            with pytest.raises(grpc.aio.AioRpcError, match="pg_dump"):
                await core.call(q.OrcaQuery.Backup)(q.BackupRequest())

    go(main())


def test_a_local_core_on_a_shared_database(tmp_path, postgres):
    from orca.orchestrator.local import LocalCore
    from orca.orchestrator.settings import CoreSettings
    from orca.processor import Processor

    proc = Processor("local")

    @proc.algorithm("Two", "1.0.0", "Hour", "1.0.0")
    def two() -> float:
        return 2.0

    async def main():
        settings = CoreSettings(database=DatabaseUrl(await new_database(postgres)))
        async with LocalCore(proc, folder=tmp_path, settings=settings) as core:
            accepted = await core.emit("Hour", "1.0.0", (START_S * NS, START_S * NS + 1))
            run = await core.wait(accepted.window_id)
            assert run["executions"]["Two_1.0.0"]["value"] == 2.0

    go(main())


def test_windows_and_values_keep_their_form(tmp_path, postgres):
    async def main():
        worker = Worker(
            "odd", {"A": lambda inputs, request: [0.1, 2.0], "B": lambda inputs, request: {"x": "ü\x00"}}
        )
        field = worker.algorithm("A").window_type.metadataFields.add(name="station")
        field.filter = True
        worker.algorithms["A"].result_type = wire.ARRAY
        worker.algorithm("B").result_type = wire.STRUCT
        async with replicas(tmp_path, postgres, 1) as (core,), working(core, worker):
            station = "a\x00b" + "station " * 1000
            message = window(1, metadata={"station": station, "deep": {"list": [1, None, True]}})
            message.origin = "o\x00rigin"
            answer = core.call(wire.OrcaCore.EmitWindow)(message)
            await answer
            window_id = int(dict(list(await answer.trailing_metadata()))[wire.WINDOW_ID_KEY])
            detail = await core.finished(window_id)
            assert detail.run.state == "succeeded", detail
            assert json.loads(detail.run.metadata)["station"] == station
            values = {one.algorithm.name: one.value for one in detail.executions}
            assert json.loads(values["B"].json) == {"x": "ü\x00"}
            assert len(values["A"].array) == 16

    go(main())
