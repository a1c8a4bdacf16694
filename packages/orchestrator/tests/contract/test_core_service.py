"""OrcaCore over real gRPC: registering, emitting, executing, failing, looking back."""

import asyncio

import grpc
import pytest
from running import START_S, go, running, until, window, working
from worker import Worker, chain

from orca.orchestrator.settings import CoreSettings
from orca.processor import structs, wire
from orca.processor import wire_query as q

TRIGGERED = wire.WindowEmitStatus.PROCESSING_TRIGGERED
NOTHING = wire.WindowEmitStatus.NO_TRIGGERED_ALGORITHMS


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("chains", [True, False])
def test_a_chain_runs_with_its_inputs_and_is_read_back(tmp_path, chains):
    async def main():
        async with running(tmp_path) as core, working(core, chain(chains=chains)) as (worker,):
            status, window_id, duplicate = await core.emit(1, metadata={"asset": 7})
            assert (status, duplicate) == (TRIGGERED, False)
            detail = await core.finished(window_id)
            assert detail.run.state == "succeeded"
            assert [(e.algorithm.name, e.value.number) for e in detail.executions] == [
                ("A", 1),
                ("B", 2),
                ("C", 3),
            ]
            assert len(worker.requests) == (1 if chains else 3)
            (row,) = await core.results("C")
            assert (row.value.number, row.window_id, row.metadata) == (3.0, window_id, '{"asset":7.0}')
            if not chains:
                # What SDKs up to 0.12 read is filled too.
                last = worker.requests[-1]
                assert [entry.name for entry in last.algorithms] == ["C"]
                assert [entry.algorithm.name for entry in last.algorithm_results] == ["B"]

    go(main())


def test_the_same_window_again_is_a_no_op_unless_forced(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()) as (_,):
            first = await core.emit(1, metadata={"asset": 7})
            again = await core.emit(1, metadata={"asset": 7})
            other = await core.emit(1, metadata={"asset": 8})
            forced = await core.emit(1, metadata={"asset": 7}, **{wire.FORCE_KEY: "1"})
            assert again == (TRIGGERED, first[1], True)
            assert len({first[1], other[1], forced[1]}) == 3
            keyed = await core.emit(2, **{wire.IDEMPOTENCY_KEY: "k"})
            assert await core.emit(2, metadata={"x": 1}, **{wire.IDEMPOTENCY_KEY: "k"}) == (
                TRIGGERED,
                keyed[1],
                True,
            )
            for number in (first[1], other[1], forced[1]):
                await core.finished(number)
            assert len(await core.results("A", window_id=first[1])) == 1

    go(main())


def test_windows_without_algorithms_are_stored(tmp_path):
    async def main():
        async with running(tmp_path) as core:
            status, window_id, _ = await core.emit(1, kind="Unknown")
            assert status == NOTHING
            (row,) = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest(id=window_id))
            assert (row.state, row.window_type.name) == ("none", "Unknown")

    go(main())


def test_windows_of_the_first_generation_get_their_old_answers(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            raw = core.channel.unary_unary("/OrcaCore/EmitWindow")
            # Fields 1 and 2 as varints: seconds, as the SDK sent them.
            from google.protobuf.internal.encoder import _VarintBytes

            def seed(name, start):
                times = b"\x08" + _VarintBytes(start) + b"\x10" + _VarintBytes(start + 30)
                return (
                    times
                    + wire.Window(window_type_name=name, window_type_version="1.0.0").SerializeToString()
                )

            answer = wire.WindowEmitStatus.FromString(await raw(seed("Every30Second", START_S)))
            assert answer.status == 1
            answer = wire.WindowEmitStatus.FromString(await raw(seed("Other", START_S)))
            assert answer.status == 0
            (row,) = await core.rows(
                q.OrcaQuery.ListWindows, q.ListWindowsRequest(window_type=q.Ref(name="Other"))
            )
            assert (row.time_from_ns, row.time_to_ns) == (START_S * 10**9, (START_S + 30) * 10**9)

    go(main())


def test_a_failure_is_recorded_and_skips_its_dependents_only(tmp_path):
    def boom(inputs, request):
        raise KeyError("threshold")

    async def main():
        worker = chain()
        worker.bodies["B"] = boom
        worker.algorithm("X")
        worker.bodies["X"] = lambda inputs, request: 5.0
        async with running(tmp_path) as core, working(core, worker):
            _, window_id, _ = await core.emit(1)
            detail = await core.finished(window_id)
            table = {e.algorithm.name: (e.status, e.cause) for e in detail.executions}
            assert table["B"] == ("failed", "KeyError: 'threshold'")
            assert table["C"] == ("skipped", "B_1.0.0 did not succeed")
            assert table["A"][0] == table["X"][0] == "succeeded"
            assert detail.run.state == "failed"
            assert await core.results("B") == []

    go(main())


def test_results_of_every_kind_and_those_that_cannot_be_stored(tmp_path):
    nan = wire.Result(status=wire.RESULT_STATUS_SUCEEDED)
    nan.struct_value.fields["x"].number_value = float("nan")
    silent = wire.Result(status=wire.RESULT_STATUS_HANDLED_FAILED)
    old = wire.Result(status=wire.RESULT_STATUS_UNHANDLED_FAILED)
    structs.fill_struct(old.struct_value, {"error": "old form", "stack_trace": "..."})
    values = {
        "Struct": {"a": [1.0, None, "x"]},
        "Array": [1.0, 2.5],
        "Empty": [],
        "Number": 0.5,
        "None": None,
        "Nan": nan,
        "Silent": silent,
        "SilentValue": silent,
        "Old": old,
    }

    async def main():
        worker = Worker("kinds", {name: (lambda i, r, v=value: v) for name, value in values.items()})
        for name in values:
            worker.algorithm(name)
        worker.algorithms["Silent"].result_type = wire.NONE
        worker.algorithm("User", "Array", "Struct")
        worker.bodies["User"] = lambda inputs, request: (
            float(sum(inputs["Array"][0])) + len(inputs["Struct"][0])
        )
        async with running(tmp_path) as core, working(core, worker):
            _, window_id, _ = await core.emit(1)
            detail = await core.finished(window_id)
            table = {e.algorithm.name: e for e in detail.executions}
            assert table["Struct"].value.json == '{"a":[1.0,null,"x"]}'
            assert len(table["Array"].value.array) == 16
            assert table["Empty"].value.array == b""
            assert table["Number"].value.number == 0.5
            assert table["None"].value.none
            assert table["User"].value.number == 4.5
            assert table["Nan"].status == "failed"
            assert "cannot be stored" in table["Nan"].cause
            assert table["Silent"].status == "succeeded"
            assert table["SilentValue"].status == "failed"
            assert (table["Old"].status, table["Old"].cause) == ("failed", "old form")

    go(main())


def test_replies_that_make_no_sense_do_not_stop_the_core(tmp_path):
    async def main():
        worker = chain(length=1)
        async with running(tmp_path) as core, working(core, worker):

            async def strange(request, context):
                yield wire.ExecutionResult(exec_id="other")
                answer = wire.ExecutionResult()
                answer.algorithm_result.algorithm.name = "Nobody"
                yield answer

            worker.execute = strange
            await worker.stop()
            await worker.start()
            await core.serving(worker.name)
            _, window_id, _ = await core.emit(1)
            detail = await core.finished(window_id)
            assert detail.executions[0].status == "failed"
            assert "ended the call without a result" in detail.executions[0].cause
            assert detail.executions[0].failed_attempts

    go(main())


def test_look_backs_see_complete_history_however_fast_windows_come(tmp_path):
    async def main():
        worker = Worker("look", {})
        worker.algorithm("Value")
        worker.bodies["Value"] = lambda inputs, request: float(request.window.time_from.seconds - START_S)
        last = worker.algorithm("Last", "Value")
        last.dependencies[0].lookback_num = 3
        worker.bodies["Last"] = lambda inputs, request: [*inputs["Value"]]
        total = worker.algorithm("Total")
        total.lookback_num = 1
        worker.bodies["Total"] = lambda inputs, request: inputs.get("Total", [0.0])[0] + 1.0
        for message in worker.algorithms.values():
            message.window_type.metadataFields.add(name="station", filter=True)
        async with running(tmp_path) as core, working(core, worker):
            ids = {}
            for station in ("north", "south"):
                for number in range(20):
                    ids[station, number] = (await core.emit(number, metadata={"station": station}))[1]
            for window_id in ids.values():
                assert (await core.finished(window_id)).run.state == "succeeded"
            for row in await core.results("Last"):
                start = (row.time_from_ns // 10**9) - START_S
                expected = [float(n) for n in range(max(0, start - 90), start, 30)]
                import array

                assert list(array.array("d", row.value.array)) == expected
            for row in await core.results("Total"):
                assert row.value.number == ((row.time_from_ns // 10**9) - START_S) // 30 + 1

    go(main())


def test_a_look_back_across_window_types(tmp_path):
    async def main():
        worker = Worker("two", {"Day": lambda i, r: 7.0, "Hour": lambda i, r: [*i["Day"]]})
        worker.algorithm("Day", window="Daily")
        worker.algorithm("Hour", "Day", window="Hourly").dependencies[0].lookback_num = 1
        async with running(tmp_path) as core, working(core, worker):
            _, day, _ = await core.emit(1, kind="Daily")
            await core.finished(day)
            _, hour, _ = await core.emit(5, kind="Hourly")
            detail = await core.finished(hour)
            import array

            assert list(array.array("d", detail.executions[0].value.array)) == [7.0]

    go(main())


def test_another_attempt_has_its_look_back_again(tmp_path):
    def once(inputs, request):
        seen.append([*inputs["Value"]])
        if len(seen) == 1:
            raise ValueError("not yet")
        return float(len(inputs["Value"]))

    seen = []

    async def main():
        worker = Worker("look", {"Value": lambda i, r: float(request_number(r)), "Last": once})
        worker.algorithm("Value", window="First")
        worker.algorithm("Last", "Value", window="Second").dependencies[0].lookback_num = 3
        async with running(tmp_path, attempts_max=2) as core, working(core, worker):
            for number in range(4):
                _, window_id, _ = await core.emit(number, kind="First")
                await core.finished(window_id)
            _, window_id, _ = await core.emit(9, kind="Second")
            detail = await core.finished(window_id)
            assert (detail.run.state, detail.executions[0].attempts) == ("succeeded", 2)
            assert seen == [[1.0, 2.0, 3.0]] * 2
            # What was read for a call is not kept beside it.
            await until(lambda: len(core.core.engine.index) == 0)
            assert core.core.engine.history == {}

    go(main())


def request_number(request):
    return (request.window.time_from.seconds - START_S) // 30


def test_timeouts_are_enforced_and_attempts_counted(tmp_path):
    async def slow(inputs, request):
        await asyncio.sleep(30)

    async def main():
        worker = chain()
        worker.bodies["B"] = slow
        async with running(tmp_path, timeout_s=2.0, attempts_max=2) as core, working(core, worker):
            _, window_id, _ = await core.emit(1)
            detail = await core.finished(window_id)
            table = {e.algorithm.name: e for e in detail.executions}
            assert table["A"].status == "succeeded"
            assert (table["B"].status, table["B"].cause, table["B"].attempts) == (
                "failed",
                "timed out after 2 s",
                2,
            )
            assert [entry.attempt for entry in table["B"].failed_attempts] == [1, 2]
            assert table["C"].status == "skipped"

    go(main())


def test_a_processor_that_is_away_is_waited_for(tmp_path):
    async def main():
        worker = chain()
        async with running(tmp_path) as core, working(core, worker):
            await core.finished((await core.emit(0))[1])
            await worker.stop()
            await until(
                lambda: all(i.state == "lost" for link in core.core.links for i in link.instances.values())
            )
            ids = [(await core.emit(n))[1] for n in range(1, 4)]
            assert (await core.call(q.OrcaQuery.GetStatus)(q.GetStatusRequest())).open_runs == 3
            await worker.start()
            for window_id in ids:
                assert (await core.finished(window_id)).run.state == "succeeded"

    go(main())


def test_two_instances_of_one_processor_share_the_work(tmp_path):
    async def main():
        opened = asyncio.Event()

        async def slow(inputs, request):
            await opened.wait()
            await asyncio.sleep(0.02)
            return 1.0

        one, two = chain(length=1), chain(length=1)
        for worker in (one, two):
            worker.bodies["A"] = slow
        async with (
            running(tmp_path, calls_per_instance_max=2) as core,
            working(core, one),
            working(core, two),
        ):
            await core.serving("chain", 2)
            # No call ends before all are there: else the first instance could be free again for each of them.
            ids = [(await core.emit(n))[1] for n in range(30)]
            await until(lambda: one.requests and two.requests)
            opened.set()
            for window_id in ids:
                await core.finished(window_id)
            assert len(one.requests) + len(two.requests) == 30
            assert min(len(one.requests), len(two.requests)) > 5
            assert len(await core.results("A")) == 30

    go(main())


def test_priority_and_concurrency_limits(tmp_path):
    gate = asyncio.Event

    async def main():
        opened = gate()
        order, running_now, most = [], 0, 0

        async def body(inputs, request):
            nonlocal running_now, most
            running_now += 1
            most = max(most, running_now)
            await opened.wait()
            running_now -= 1
            order.append(request.window.time_from.seconds)
            return 1.0

        worker = chain(length=1)
        worker.bodies["A"] = body
        async with running(tmp_path, calls_per_instance_max=2) as core, working(core, worker):
            ids = [(await core.emit(n, **{wire.PRIORITY_KEY: "5" if n == 9 else "0"}))[1] for n in range(10)]
            opened.set()
            for window_id in ids:
                await core.finished(window_id)
            assert most == 2
            # Two were running before the urgent one came; then it was the first.
            assert START_S + 9 * 30 in order[:4]

    go(main())


def test_registrations_replace_add_instances_and_keep_history(tmp_path):
    async def main():
        worker = chain()
        async with running(tmp_path) as core, working(core, worker):
            answer = await worker.register(core.address)
            assert answer.received
            del worker.algorithms["C"]
            await worker.register(core.address)
            rows = await core.rows(q.OrcaQuery.ListProcessors, q.ListProcessorsRequest(history=True))
            assert [row.set_version for row in rows] == [2, 2, 1]
            assert [len(row.algorithms) for row in rows] == [2, 2, 3]
            (state,) = (await core.call(wire.OrcaCore.Expose)(wire.ExposeSettings())).processors
            assert [entry.name for entry in state.supported_algorithms] == ["A", "B"]
            assert state.supported_algorithms[1].dependencies[0].name == "A"
            _, window_id, _ = await core.emit(1)
            assert await core.statuses(window_id) == {"A": "succeeded", "B": "succeeded"}

    go(main())


def test_a_changed_interpreter_is_the_same_processor(tmp_path):
    async def main():
        worker = chain(length=1)
        async with running(tmp_path) as core, working(core, worker):
            message = worker.message()
            message.runtime = "3.11.8"
            await core.call(wire.OrcaCore.RegisterProcessor)(message)
            await core.finished((await core.emit(1))[1])
            assert len(worker.requests) == 1
            assert len(core.core.registry.registrations) == 1

    go(main())


def test_an_algorithm_that_left_fails_its_waiting_runs(tmp_path):
    async def main():
        worker = chain(length=1)
        async with running(tmp_path) as core, working(core, worker):
            await worker.stop()
            await until(
                lambda: all(i.state == "lost" for link in core.core.links for i in link.instances.values())
            )
            _, window_id, _ = await core.emit(1)
            worker.algorithms = {}
            worker.algorithm("Other")
            worker.bodies["Other"] = lambda i, r: 1.0
            # Announced before it listens: nothing of what it had can be sent to it in between.
            await worker.register(core.address)
            detail = await core.finished(window_id)
            assert detail.executions[0].cause == "processor 'chain' no longer offers A_1.0.0"
            await worker.start(worker.port)

    go(main())


@pytest.mark.parametrize(
    ("change", "code", "texts"),
    [
        (lambda m: m.ClearField("name"), "INVALID_ARGUMENT", ["name: must not be empty"]),
        (lambda m: setattr(m, "connection_str", "host:0"), "INVALID_ARGUMENT", ["connection_str", "port 0"]),
        (lambda m: setattr(m, "connection_str", "host"), "INVALID_ARGUMENT", ["connection_str", "host:port"]),
        (
            lambda m: setattr(m, "connection_str", "192.0.2.1:5"),
            "PERMISSION_DENIED",
            ["192.0.2.1 may not be dialled"],
        ),
        (
            lambda m: setattr(m.supported_algorithms[0], "description", "x" * 1001),
            "INVALID_ARGUMENT",
            ["supported_algorithms[0].description", "at most 1000"],
        ),
        (
            lambda m: m.supported_algorithms[0].dependencies.add(name="C", version="1.0.0"),
            "INVALID_ARGUMENT",
            ["cycle", "A_1.0.0", "C_1.0.0"],
        ),
        (
            lambda m: m.supported_algorithms[0].dependencies.add(
                name="Gone", version="1.0.0", processor_name="q"
            ),
            "FAILED_PRECONDITION",
            ["Gone_1.0.0 of processor 'q'", "A_1.0.0 of processor 'chain'"],
        ),
        (lambda m: setattr(m, "name", "second"), "ALREADY_EXISTS", ["'second'", "'chain'"]),
    ],
)
def test_registrations_that_are_refused(tmp_path, change, code, texts):
    async def main():
        worker = chain()
        async with running(tmp_path) as core, working(core, worker):
            message = worker.message()
            change(message)
            found, text = await refused(core.call(wire.OrcaCore.RegisterProcessor)(message))
            assert found.name == code
            assert all(part in text for part in texts), text
            assert len(core.core.registry.registrations) == 1

    go(main())


def deep(levels):
    message = window(1)
    value = message.metadata.fields["x"]
    for _ in range(levels):
        value = value.struct_value.fields["x"]
    value.number_value = 1
    return message


def with_times(start, end):
    message = window(1)
    message.time_from.seconds, message.time_to.seconds = start, end
    return message


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (with_times(0, 10), "time_from"),
        (with_times(20, 10), "time_to"),
        (with_times(20, 2**34), "time_to"),
        (wire.Window(window_type_version="1.0.0"), "window_type_name"),
        (window(1, kind="x" * 300), "window_type_name"),
        (deep(25), "metadata"),
        (window(1, metadata={"x": "y" * 2_000_000}), "metadata"),
    ],
)
def test_windows_that_are_refused_name_the_field(tmp_path, message, field):
    async def main():
        async with running(tmp_path) as core:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await core.call(wire.OrcaCore.EmitWindow)(message)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert field in caught.value.details()
            details = caught.value.trailing_metadata()["grpc-status-details-bin"]
            assert field.encode() in details
            assert b"google.rpc.BadRequest" in details
            assert await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest()) == []

    go(main())


def test_malformed_oversized_and_compressed_requests(tmp_path):
    async def main():
        async with running(tmp_path) as core:
            raw = core.channel.unary_unary("/OrcaCore/EmitWindow")
            code, text = await refused(raw(b"\x0a\xff"))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "Window" in text
            nested = b""
            for _ in range(200):
                nested = b"\x2a" + bytes([len(nested)]) + nested if len(nested) < 120 else nested
            message = deep(200 // 2)
            code, _ = await refused(raw(message.SerializeToString()))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            big = (
                window(1, metadata={"x": "y"}).SerializeToString()
                + b"\x3a"
                + b"\x80\x80\x80\x20"
                + b"z" * (64 * 2**20)
            )
            options = [("grpc.max_send_message_length", -1)]
            async with grpc.aio.insecure_channel(core.address, options=options) as wide:
                call = wide.unary_unary("/OrcaCore/EmitWindow")
                code, _ = await refused(call(big))
                assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
                bomb = call(big, compression=grpc.Compression.Gzip)
                code, _ = await refused(bomb)
                assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            bad = window(1)
            bad.metadata.fields["x"].number_value = float("inf")
            code, text = await refused(core.call(wire.OrcaCore.EmitWindow)(bad))
            assert (code, "NaN" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)
            assert (await core.emit(1))[0] == NOTHING

    go(main())


def test_a_full_disk_is_told_and_nothing_accepted_is_lost(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            writer = core.core.store._writer
            pages = writer.execute("PRAGMA page_count").fetchone()[0]
            writer.execute(f"PRAGMA max_page_count = {pages + 12}")
            accepted, refusals = [], []
            for number in range(1, 400):
                (answer,) = await asyncio.gather(
                    core.emit(number, metadata={"x": "y" * 900}), return_exceptions=True
                )
                if isinstance(answer, grpc.aio.AioRpcError):
                    refusals.append(answer.code())
                    break
                accepted.append(answer[1])
            assert refusals == [grpc.StatusCode.RESOURCE_EXHAUSTED]
            assert (await core.call(q.OrcaQuery.GetStatus)(q.GetStatusRequest())).windows >= len(accepted)
            writer.execute("PRAGMA max_page_count = 1000000")
            for window_id in accepted:
                assert (await core.finished(window_id)).run.state == "succeeded"
            assert (await core.emit(1000))[0] == TRIGGERED

    go(main())


def test_old_windows_go_by_the_settings(tmp_path):
    async def main():
        async with running(tmp_path, keep_windows=2) as core, working(core, chain()):
            for number in range(5):
                await core.finished((await core.emit(number))[1])
            await core.core.keep_within_bounds()
            assert len(await core.results("C")) == 2

    go(main())


def test_health_says_who_serves(tmp_path):
    async def main():
        async with running(tmp_path) as core:
            check = core.channel.unary_unary("/grpc.health.v1.Health/Check")
            assert await check(b"") == b"\x08\x01"
            assert await check(b"\x0a\x08OrcaCore") == b"\x08\x01"
            code, _ = await refused(check(b"\x0a\x04Nope"))
            assert code is grpc.StatusCode.NOT_FOUND
            watch = core.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
            assert await watch.read() == b"\x08\x01"
            watch.cancel()

    go(main())


def test_tokens_and_scopes(tmp_path):
    async def main():
        async with running(tmp_path, auth=True) as core:
            emit = core.call(wire.OrcaCore.EmitWindow)
            code, text = await refused(emit(window(1)))
            assert code is grpc.StatusCode.UNAUTHENTICATED
            admin = ((wire.AUTHORIZATION_KEY, f"Bearer {core.server.token}"),)
            assert (await emit(window(1), metadata=admin)).status == NOTHING
            create = core.call(q.OrcaQuery.CreateToken)
            made = await create(q.CreateTokenRequest(name="ci", scopes=["read"]), metadata=admin)
            reader = ((wire.AUTHORIZATION_KEY, f"Bearer {made.token}"),)
            code, text = await refused(emit(window(1), metadata=reader))
            assert (code, "scope 'emit'" in text) == (grpc.StatusCode.PERMISSION_DENIED, True)
            status = core.call(q.OrcaQuery.GetStatus)
            assert (await status(q.GetStatusRequest(), metadata=reader)).windows == 1
            delete = core.call(q.OrcaQuery.DeleteToken)
            await delete(q.DeleteTokenRequest(name="ci"), metadata=admin)
            code, _ = await refused(status(q.GetStatusRequest(), metadata=reader))
            assert code is grpc.StatusCode.UNAUTHENTICATED
            code, _ = await refused(
                status(q.GetStatusRequest(), metadata=((wire.AUTHORIZATION_KEY, "Basic x"),))
            )
            assert code is grpc.StatusCode.UNAUTHENTICATED

    go(main())


def test_beyond_loopback_needs_tls():
    from orca.common.errors import ConfigError

    with pytest.raises(ConfigError, match="beyond loopback"):
        CoreSettings(host="0.0.0.0").checked()
    assert CoreSettings(host="0.0.0.0", tls_cert="c", tls_key="k").checked().auth
