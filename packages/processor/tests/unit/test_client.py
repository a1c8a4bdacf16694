from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import json
import logging
import re
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from log_lines import own_lines
from own_loop import own_loop
from typing_extensions import Self

from orca.common.clock import SystemClock
from orca.common.retry import RetryPolicy
from orca.common.testing import FakeClock
from orca.processor import client as client_module
from orca.processor import convert, errors, wire, wire_query
from orca.processor.client import AsyncOrcaClient, EmitWindow, OrcaClient
from orca.processor.model import Window
from orca.processor.records import Emitted, Schedule
from ports import free_port
from scripted_core import ScriptedCore, scripted_core

WINDOW = Window(1_747_582_274, 1_747_582_304, "Every30Second", "1.0.0", "Example", {"asset_id": 1})
REF = wire_query.Ref(name="Mean", version="1.0.0")
TYPE = wire_query.Ref(name="Every30Second", version="1.0.0")


@pytest.fixture
def core() -> Iterator[ScriptedCore]:
    with scripted_core() as running:
        yield running


@pytest.fixture
def foreign() -> Iterator[ScriptedCore]:
    with scripted_core(ours=False) as running:
        yield running


class Blocking:
    """The asynchronous client, used as the other one is, so that one test says that both do the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = AsyncOrcaClient(*arguments, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            made = getattr(self.client, name)(*arguments, **options)
            if inspect.isasyncgen(made):
                return self.iterate(made)
            return self.loop.run_until_complete(made)

        return call

    def iterate(self, made: Any) -> Iterator[Any]:
        with suppress(StopAsyncIteration):
            while True:
                yield self.loop.run_until_complete(anext(made))


both = pytest.mark.parametrize("kind", [OrcaClient, Blocking])


def test_both_clients_have_the_same_methods() -> None:
    def shape(kind: type) -> dict[str, str]:
        return {
            name: re.sub(r"Async", "", str(inspect.signature(member)))
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert shape(OrcaClient) == shape(AsyncOrcaClient)
    later = {
        "follow",
        "runs",
        "reprocess",
        "cancel",
        "put_schedule",
        "schedules",
        "delete_schedule",
        "annotate",
    }
    assert later <= shape(AsyncOrcaClient).keys()


def test_emit_sends_what_was_given_and_reads_the_id(core: ScriptedCore) -> None:
    with OrcaClient(core.address, token="secret") as client:
        answer = client.emit(WINDOW, priority=5, force=True, key="k")
        assert answer == Emitted("PROCESSING_TRIGGERED", 1, False)
        assert answer.triggered
        assert "secret" not in repr(client)
    assert convert.window_from_wire(core.windows[0]) == WINDOW
    sent = core.metadata["EmitWindow"][0]
    assert sent["authorization"] == "Bearer secret"
    assert (sent["orca-force"], sent["orca-priority"], sent["orca-idempotency-key"]) == ("1", "5", "k")


@own_loop
async def test_async_emit(core: ScriptedCore) -> None:
    async with AsyncOrcaClient(core.address) as client:
        assert (await client.emit(WINDOW)).window_id == 1
        core.answers["EmitMany"] = emit_many
        assert [one.window_id for one in await client.emit_many([WINDOW] * 3)] == [1, 2, 3]
        core.answers["WatchRun"] = lambda request, context: [run_detail("open"), run_detail("failed")]
        assert (await client.wait(1)).state == "failed"
        core.answers["GetRun"] = lambda request, context: run_detail("open")
        assert not (await client.run(7)).done
        core.answers["ReadResults"] = lambda request, context: result_rows()
        assert len(await client.results("Mean")) == 3
        core.answers["ListWindows"] = lambda request, context: [window_row()]
        assert (await client.windows("Every30Second"))[0].parent_id == 2
        core.answers["GetStatus"] = lambda request, context: wire_query.CoreStatus(windows=4)
        assert (await client.status()).windows == 4
        assert await client.processors() == []
        core.answers["ReadResults"] = refuse(grpc.StatusCode.NOT_FOUND)
        with pytest.raises(errors.NotFound):
            await client.results("Mean")


def emit_many(request: Any, context: Any) -> Any:
    rows = [wire_query.Emitted(window_id=i + 1, run_id=i) for i, _ in enumerate(request.windows)]
    return wire_query.EmitManyResponse(emitted=rows)


def test_many_windows_go_in_batches_to_our_core(core: ScriptedCore) -> None:
    core.answers["EmitMany"] = emit_many
    with OrcaClient(core.address) as client:
        answers = client.emit_many(WINDOW for _ in range(1001))
    assert len(answers) == 1001
    assert core.calls == ["EmitMany", "EmitMany"]
    assert [one.triggered for one in answers[:2]] == [False, True]


@own_loop
async def test_many_windows_go_one_by_one_to_another_core(foreign: ScriptedCore) -> None:
    with OrcaClient(foreign.address) as client:
        assert len(client.emit_many([WINDOW] * 3)) == 3
    async with AsyncOrcaClient(foreign.address) as client:
        assert len(await client.emit_many([WINDOW] * 2)) == 2
    assert len(foreign.windows) == 5


def test_emitwindow_logs_the_two_lines_of_the_page(
    core: ScriptedCore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCASERVER", core.address)
    window = Window(
        time_from=1747582274, time_to=1747582304, name="Every30Second", version="1.0.0", origin="Example"
    )
    with caplog.at_level(logging.INFO, logger="orca.processor"):
        EmitWindow(window)
        EmitWindow(window)
    client_module.close_shared()
    assert own_lines(caplog)[:2] == [
        (
            "Emitting window: Window(time_from=1747582274, time_to=1747582304, name='Every30Second', "
            "version='1.0.0', origin='Example')"
        ),
        "Window emitted: status: PROCESSING_TRIGGERED",
    ]


def test_emitwindow_keeps_a_bounded_number_of_channels(
    monkeypatch: pytest.MonkeyPatch, core: ScriptedCore
) -> None:
    monkeypatch.setattr(client_module, "SHARED_MAX", 1)
    with scripted_core() as other:
        EmitWindow(WINDOW, core=core.address)
        EmitWindow(WINDOW, core=other.address)
        EmitWindow(WINDOW, core=core.address)
    assert len(client_module._shared) == 1
    client_module.close_shared()
    assert len(core.windows) == 2


def test_no_core_is_an_actionable_error() -> None:
    clock = FakeClock()
    port = free_port()
    with (
        OrcaClient(f"127.0.0.1:{port}", clock=clock) as client,
        pytest.raises(errors.CoreUnreachable) as caught,
    ):
        client.emit(WINDOW)
    assert str(caught.value) == (
        f"Core not reachable at grpc://127.0.0.1:{port} (connection refused).\n  hint: start it: orca start"
    )
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, ConnectionError)
    assert len(clock.sleeps) == 4


def test_a_core_that_comes_back_gets_the_window() -> None:
    late = ScriptedCore(port=free_port())

    class Clock(SystemClock):
        def sleep(self, delay_s: float) -> None:
            if late.calls == [] and not late._thread.is_alive():
                late.start()
            super().sleep(delay_s)

    with OrcaClient(late.address, clock=Clock(), retry=RetryPolicy(attempts=30, max_s=0.3)) as client:
        assert client.emit(WINDOW).triggered
    late.stop()
    assert len(late.windows) == 1


@pytest.mark.parametrize(("ours", "calls"), [(True, 5), (False, 1)])
def test_an_emit_that_may_have_arrived_is_repeated_only_towards_our_core(ours: bool, calls: int) -> None:
    with scripted_core(ours=ours) as core, OrcaClient(core.address, clock=FakeClock()) as client:
        client.emit(WINDOW)
        core.calls.clear()
        core.answers["EmitWindow"] = refuse(grpc.StatusCode.UNAVAILABLE, "the socket was closed")
        with pytest.raises(errors.CoreUnreachable):
            client.emit(WINDOW)
        assert len(core.calls) == calls
        with pytest.raises(errors.CoreUnreachable):
            client.emit(WINDOW, force=True)
        assert len(core.calls) == calls + 1


def refuse(code: grpc.StatusCode, text: str = "because") -> Any:
    async def answer(request: Any, context: Any) -> Any:
        await context.abort(code, text)

    def plain(request: Any, context: Any) -> Any:
        return answer(request, context)

    return plain


@pytest.mark.parametrize(
    ("code", "kind", "builtin"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequest, ValueError),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound, LookupError),
        (grpc.StatusCode.ALREADY_EXISTS, errors.AlreadyExists, errors.CoreError),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.FailedPrecondition, errors.CoreError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhausted, errors.CoreError),
        (grpc.StatusCode.UNAUTHENTICATED, errors.NotAllowed, PermissionError),
        (grpc.StatusCode.PERMISSION_DENIED, errors.NotAllowed, PermissionError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotOffered, NotImplementedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.CoreTimeout, TimeoutError),
        (grpc.StatusCode.UNKNOWN, errors.CoreError, errors.BaseOrcaException),
    ],
)
def test_every_status_has_its_error(
    core: ScriptedCore, code: grpc.StatusCode, kind: type[Exception], builtin: type[Exception]
) -> None:
    core.answers["EmitWindow"] = refuse(code)
    with OrcaClient(core.address, clock=FakeClock()) as client, pytest.raises(kind) as caught:
        client.emit(WINDOW)
    assert isinstance(caught.value, builtin)


def test_a_wrong_token_is_said() -> None:
    with scripted_core(token="right") as core, OrcaClient(core.address, token="wrong") as client:
        with pytest.raises(errors.NotAllowed, match="ORCA_TOKEN"):
            client.emit(WINDOW)
        with pytest.raises(errors.NotAllowed):
            client.status()


def run_detail(state: str) -> Any:
    run = wire_query.RunRow(
        id=7,
        window_id=3,
        window_type=TYPE,
        time_from_ns=10**9,
        time_to_ns=2 * 10**9,
        state=state,
        created_ns=10**9,
    )
    rows = [
        wire_query.ExecutionRow(
            algorithm=REF,
            processor="ml",
            status="succeeded",
            attempts=1,
            sent_ns=10**9,
            finished_ns=1_500_000_000,
            value=wire_query.ResultValue(number=16777217.0),
        ),
        wire_query.ExecutionRow(
            algorithm=wire_query.Ref(name="Alarm", version="1.0.0"),
            status="failed",
            error='{"message": "boom"}',
        ),
    ]
    return wire_query.RunDetail(run=run, executions=rows)


@both
def test_waiting_follows_the_run_to_its_end(core: ScriptedCore, kind: Any) -> None:
    core.answers["WatchRun"] = lambda request, context: [run_detail("open"), run_detail("failed")]
    with kind(core.address) as client:
        run = client.wait(Emitted("PROCESSING_TRIGGERED", 3))
        assert [one.state for one in client.watch(3)] == ["open", "failed"]
        core.answers["WatchRun"] = lambda request, context: [run_detail("open")]
        with pytest.raises(errors.CoreTimeout):
            client.wait(3)
        core.answers["GetRun"] = lambda request, context: run_detail("succeeded")
        assert client.run(7).ok
        core.answers["CancelRun"] = lambda request, context: wire_query.RunRow(id=7, state="cancelled")
        assert client.cancel(7).state == "cancelled"
        core.answers["ListRuns"] = lambda request, context: [run_detail("failed").run]
        assert client.runs(state="failed", window_type="Every30Second", since=1)[0].executions == ()
    assert (run.ok, run.done, run.id, run.finished) == (False, True, 7, None)
    assert run["Mean"].value == 16777217.0
    assert run["Mean_1.0.0"].duration_s == 0.5
    assert run["Alarm"].error == {"message": "boom"}
    assert not run["Alarm"].ok
    with pytest.raises(KeyError):
        run["Other"]


def result_rows() -> list[Any]:
    def row(i: int, value: Any) -> Any:
        return wire_query.ResultRow(
            algorithm=REF,
            window_id=i,
            window_type=TYPE,
            time_from_ns=i * 10**9,
            time_to_ns=(i + 1) * 10**9,
            metadata=json.dumps({"asset_id": i}),
            value=value,
            created_ns=10**9,
        )

    return [
        row(1, wire_query.ResultValue(number=1.5)),
        row(2, wire_query.ResultValue(array=array("d", [1.0, 2.0]).tobytes())),
        row(3, wire_query.ResultValue(json='{"mean": 2.5, "origin": "x"}')),
    ]


@both
def test_results_come_back_as_objects_and_frames(core: ScriptedCore, kind: Any) -> None:
    core.answers["ReadResults"] = lambda request, context: result_rows()
    with kind(core.address) as client:
        rows = client.results(
            "Mean_1.0.0", since=1, until=dt.datetime.now(dt.timezone.utc), metadata={"asset_id": 1}
        )
        assert [one.value for one in client.follow("Mean")] == [1.5, [1.0, 2.0], {"mean": 2.5, "origin": "x"}]
    assert [row.value for row in rows] == [1.5, [1.0, 2.0], {"mean": 2.5, "origin": "x"}]
    assert rows[0].window.metadata == {"asset_id": 1}
    assert len(rows[1:]) == 2
    assert repr(rows) == "Results(3 rows)"
    columns = rows.to_dict()
    assert columns["meta_asset_id"] == [1, 2, 3]
    assert columns["mean"] == [None, None, 2.5]
    assert columns["value_origin"] == [None, None, "x"]
    assert columns["value"] == [1.5, [1.0, 2.0], None]
    numbers = rows[:1]
    pytest.importorskip("pandas")
    assert numbers.to_pandas()["value"].tolist() == [1.5]
    assert numbers.to_polars()["value"].to_list() == [1.5]
    assert numbers.to_arrow()["time_from"].to_pylist() == [
        dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.timezone.utc)
    ]
    assert rows[2:].to_polars()["mean"].to_list() == [2.5]
    assert "value" not in rows[2:].to_dict()


def window_row() -> Any:
    return wire_query.WindowRow(id=5, window_type=TYPE, state="open", parent_id=2, metadata='{"a": 1}')


@both
def test_everything_else_that_our_core_offers(core: ScriptedCore, kind: Any) -> None:
    core.answers["ListWindows"] = lambda request, context: [window_row()]
    core.answers["Reprocess"] = lambda request, context: [
        wire_query.ReprocessProgress(done=1, total=2, run_id=9)
    ]
    schedule = Schedule("s", "Every30Second", "1.0.0", every_s=30.0, metadata={"a": 1.0})
    core.answers["PutSchedule"] = lambda request, context: request
    core.answers["ListSchedules"] = lambda request, context: [wire_query.ScheduleRow(name="s", next_ns=10**9)]
    core.answers["DeleteSchedule"] = lambda request, context: wire_query.DeleteScheduleResponse()
    core.answers["PutAnnotation"] = lambda request, context: request
    core.answers["ListAnnotations"] = lambda request, context: [
        wire_query.AnnotationRow(id=3, algorithms=[REF])
    ]
    with kind(core.address) as client:
        found = client.windows("Every30Second", "1.0.0", metadata={"a": 1})[0]
        assert (found.id, found.state, found.parent_id, found.window.metadata) == (5, "open", 2, {"a": 1})
        assert list(client.reprocess(window=5, failed=True)) == [(1, 2, 9)]
        assert client.put_schedule(schedule) == schedule
        assert client.schedules()[0].next == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.timezone.utc)
        client.delete_schedule("s")
        note = client.annotate(
            1, 2, "noisy", metadata={"k": "v"}, algorithms=["Mean_1.0.0"], window_types=["W_1.0.0"]
        )
        assert (note.description, note.algorithms, note.window_types) == (
            "noisy",
            ("Mean_1.0.0",),
            ("W_1.0.0",),
        )
        assert client.annotations(algorithm="Mean")[0].id == 3


@both
def test_reading_is_never_cut_off_in_silence(
    core: ScriptedCore, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def answer(request: Any, context: Any) -> list[Any]:
        asked.append(request.limit)
        return result_rows()[: request.limit]

    core.answers["ReadResults"] = answer
    with kind(core.address) as client:
        assert len(client.results("Mean")) == 3
        assert len(client.results("Mean", limit=2)) == 2
        # The core has more rows than it gives in one call.
        monkeypatch.setattr("orca.processor._client_base.ROWS_MAX", 3)
        assert len(client.results("Mean", limit=3)) == 3
        with pytest.raises(errors.ResourceExhausted, match="since"):
            client.results("Mean")
    assert asked == [1_000_000, 2, 3, 1_000_000]


@both
def test_reading_begins_anew_when_the_core_goes_away(core: ScriptedCore, kind: Any) -> None:
    attempts = []

    async def answer(request: Any, context: Any) -> list[Any]:
        attempts.append(1)
        if len(attempts) < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return result_rows()

    core.answers["ReadResults"] = answer
    with kind(core.address, retry=RetryPolicy(attempts=3, initial_s=0.001)) as client:
        assert len(client.results("Mean")) == 3
    assert len(attempts) == 3


def test_processors_are_read_over_the_old_wire(foreign: ScriptedCore) -> None:
    foreign.registrations.append(
        wire.ProcessorRegistration(name="ml", supported_algorithms=[wire.Algorithm(name="A")])
    )
    with OrcaClient(foreign.address) as client:
        assert client.processors()[0].algorithms[0].name == "A"
        with pytest.raises(errors.NotOffered, match="orca start"):
            client.status()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    environ = {"ORCA_TLS_CA": str(tmp_path / "no.pem")}
    with OrcaClient("a:1", environ=environ) as client, pytest.raises(errors.BadConfigFile, match=r"no\.pem"):
        client.emit(WINDOW)
