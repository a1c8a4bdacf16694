from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Annotated, Any

import grpc
import numpy as np
import pytest
from log_lines import own_lines
from process_jobs import die, double, hang, unpicklable
from serving import add_dependency, make_request, serving

from orca.processor import Dep, ExecutionParams, Processor, Window, WindowType, convert, wire
from orca.processor import engine as engine_module
from orca.processor import server as server_module
from orca.processor.engine import WindowCache

TYPE = WindowType("Every30Second", "1.0.0", "half a minute")


_transport = ["auto"]


@pytest.fixture(autouse=True, params=["asyncio", "grpc"])
def transport(request: pytest.FixtureRequest) -> None:
    """Both transports pass every test of this module."""
    _transport[:] = [request.param]


def processor(**options: Any) -> Processor:
    return Processor("ml", bind="127.0.0.1:0", environ={}, transport=_transport[0], **options)  # type: ignore[arg-type]


@pytest.fixture
def proc(transport: None) -> Processor:
    return processor(max_workers=4)


def test_results_of_every_form(proc: Processor) -> None:
    @proc.algorithm("Struct", "1.0.0", TYPE)
    def struct() -> dict[str, float]:
        return {"result": 42}

    @proc.algorithm("Value", "1.0.0", TYPE)
    def value() -> int:
        return 3

    @proc.algorithm("Array", "1.0.0", TYPE)
    def array() -> np.ndarray:
        return np.array([1.0, 2.0])

    @proc.algorithm("Nothing", "1.0.0", TYPE)
    async def nothing() -> None:
        await asyncio.sleep(0)

    @proc.algorithm("Exact", "1.0.0", TYPE, exact=True)
    def exact() -> int:
        return 16777217

    @proc.algorithm("Maybe", "1.0.0", TYPE)
    def maybe() -> float | None:
        return None

    with serving(proc) as running:
        names = [one.full_name for one in proc.registry]
        found = running.execute(*names)
    assert {name: record.value for name, record in found.items()} == {
        "Struct_1.0.0": {"result": 42.0},
        "Value_1.0.0": 3.0,
        "Array_1.0.0": [1.0, 2.0],
        "Nothing_1.0.0": None,
        "Exact_1.0.0": {"value": 16777217.0},
        "Maybe_1.0.0": None,
    }
    assert all(record.ok for record in found.values())
    assert all(abs(record.timestamp_s - time.time()) < 60 for record in found.values())


def test_parameters_and_dependencies(proc: Processor) -> None:
    @proc.algorithm("Mean", "1.0.0", TYPE)
    def mean() -> float:
        return 20.5

    @proc.algorithm("All", "1.0.0", TYPE)
    def everything(
        now: Annotated[float, Dep(mean)],
        window: Window,
        params: ExecutionParams,
    ) -> dict[str, Any]:
        row = params.dependencies.get_result(mean).results[0]  # type: ignore[union-attr]
        return {
            "now": now,
            "indexed": params.dependencies[mean],
            "asset": window.metadata["asset_id"],
            "row_asset": row.window.metadata["asset_id"],
            "attempt": params.attempt,
            "exec": params.exec_id,
            "window_id": params.window_id,
            "start": window.start.isoformat(),
        }

    @proc.algorithm("Trend", "1.0.0", TYPE)
    def trend(history: Annotated[list[float], Dep("Mean", n=3)], params: ExecutionParams) -> list[float]:
        assert params.dependencies["Mean_1.0.0"] == history
        return history

    @proc.algorithm("Total", "1.0.0", "Every30Second", "1.0.0", [mean])
    def total(dependencies: Any = None) -> dict[str, float]:
        return {"seen": dependencies["Mean_1.0.0"]}

    request = make_request("All_1.0.0", "Trend_1.0.0", "Total_1.0.0")
    older = Window(1, 2, "Every30Second", "1.0.0", "", {"asset_id": 7})
    add_dependency(request.algorithm_executions[0], "Mean_1.0.0", [20.5], older)
    add_dependency(request.algorithm_executions[1], "Mean_1.0.0", [1.0, 2.0, 3.0])
    add_dependency(request.algorithm_executions[2], "Mean_1.0.0", [20.5])
    with serving(proc) as running:
        metadata = (("orca-attempt", "2"), ("orca-window-id", "77"))
        found = running.execute(request=request, metadata=metadata)
    assert found["All_1.0.0"].value == {
        "now": 20.5,
        "indexed": 20.5,
        "asset": 1.0,
        "row_asset": 7.0,
        "attempt": 2.0,
        "exec": "exec",
        "window_id": "77",
        "start": "2025-05-18T15:31:14+00:00",
    }
    assert found["Trend_1.0.0"].value == [1.0, 2.0, 3.0]
    assert found["Total_1.0.0"].value == {"seen": 20.5}


def test_a_chain_runs_in_order_with_results_handed_over(proc: Processor) -> None:
    @proc.algorithm("One", "1.0.0", TYPE)
    def one() -> float:
        return 0.1

    @proc.algorithm("Two", "1.0.0", TYPE)
    async def two(before: Annotated[float, Dep(one)]) -> float:
        return before * 2

    @proc.algorithm("Three", "1.0.0", TYPE)
    def three(a: Annotated[float, Dep(one)], b: Annotated[float, Dep(two)]) -> dict[str, float]:
        return {"a": a, "b": b}

    request = make_request("Three_1.0.0", "Two_1.0.0", "One_1.0.0")
    request.algorithm_executions[0].dependencies.add().algorithm.name = "One"  # cores of 0.12 leave it empty
    with serving(proc) as running:
        found = running.execute(request=request)
    # What is handed over is what the wire would carry: float32.
    assert found["Three_1.0.0"].value == {
        "a": float(np.float32(0.1)),
        "b": float(np.float32(np.float32(0.1) * 2.0)),
    }


def test_what_depends_on_a_failure_is_skipped_and_the_rest_goes_on(proc: Processor) -> None:
    @proc.algorithm("Bad", "1.0.0", TYPE)
    def bad() -> float:
        raise KeyError("threshold")

    @proc.algorithm("After", "1.0.0", TYPE)
    def after(value: Annotated[float, Dep(bad)]) -> float:
        return value

    @proc.algorithm("Last", "1.0.0", TYPE)
    def last(value: Annotated[float, Dep(after)]) -> float:
        return value

    @proc.algorithm("Good", "1.0.0", TYPE)
    def good() -> float:
        return 1.0

    with serving(proc) as running:
        found = running.execute("Bad_1.0.0", "After_1.0.0", "Last_1.0.0", "Good_1.0.0")
    assert found["Good_1.0.0"].ok
    bad_error = found["Bad_1.0.0"].error
    assert (bad_error["kind"], bad_error["type"], bad_error["function"]) == ("raised", "KeyError", "bad")
    assert bad_error["source"] == 'raise KeyError("threshold")'
    assert bad_error["file"] == __file__
    assert "engine.py" not in bad_error["stack_trace"]
    assert found["Bad_1.0.0"].status is convert.ResultStatus.UNHANDLED_FAILED
    assert found["After_1.0.0"].error["cause"] == "Bad_1.0.0"
    assert found["Last_1.0.0"].error["cause"] == "After_1.0.0"
    assert found["After_1.0.0"].status is convert.ResultStatus.HANDLED_FAILED


class EvilError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def make_faulty(proc: Processor) -> None:
    @proc.algorithm("Exits", "1.0.0", TYPE)
    def exits() -> float:
        raise SystemExit(3)

    @proc.algorithm("Nan", "1.0.0", TYPE)
    def nan() -> dict[str, float]:
        return {"a": float("nan")}

    @proc.algorithm("Wrong", "1.0.0", TYPE)
    def wrong() -> float:
        return "text"  # type: ignore[return-value]

    @proc.algorithm("Evil", "1.0.0", TYPE)
    def evil() -> float:
        raise EvilError

    @proc.algorithm("Recursion", "1.0.0", TYPE)
    def recursion() -> float:
        return recursion()

    @proc.algorithm("Large", "1.0.0", TYPE)
    def large() -> np.ndarray:
        return np.zeros(20_000_000, dtype=np.float32)

    @proc.algorithm("AsyncBad", "1.0.0", TYPE)
    async def async_bad() -> float:
        raise ValueError("async")

    @proc.algorithm("Good", "1.0.0", TYPE)
    def good() -> float:
        return 1.0

    @proc.algorithm("Typed", "1.0.0", TYPE)
    def typed(value: Annotated[int, Dep(good)]) -> float:
        return value


def test_every_kind_of_failure_is_told_and_the_server_lives(proc: Processor) -> None:
    make_faulty(proc)
    with serving(proc) as running:
        names = [one.full_name for one in proc.registry if one.name != "Typed"]
        found = running.execute(*names, "Missing_1.0.0")
        request = make_request("Typed_1.0.0")
        add_dependency(request.algorithm_executions[0], "Good_1.0.0", [{"a": 1}])
        found |= running.execute(request=request)
        assert running.value("Good_1.0.0") == 1.0
        assert running.health().status == wire.HealthCheckResponse.STATUS_SERVING
    kinds = {name.partition("_")[0]: record.error.get("kind", "ok") for name, record in found.items()}
    assert kinds == {
        "Exits": "raised",
        "Nan": "result",
        "Wrong": "result",
        "Evil": "raised",
        "Recursion": "raised",
        "Large": "too_large",
        "AsyncBad": "raised",
        "Good": "ok",
        "Typed": "input",
        "Missing": "unknown",
    }
    assert "$.a" in found["Nan_1.0.0"].error["message"]
    assert "52,428,800" in found["Large_1.0.0"].error["message"]
    assert len(found["Recursion_1.0.0"].error["stack_trace"]) < 25_000
    assert "Missing_1.0.0" in found["Missing_1.0.0"].error["message"]


def test_results_stream_as_each_finishes(proc: Processor) -> None:
    release = threading.Event()

    @proc.algorithm("Slow", "1.0.0", TYPE)
    def slow() -> float:
        release.wait(60)
        return 1.0

    @proc.algorithm("Quick", "1.0.0", TYPE)
    def quick() -> float:
        return 2.0

    with serving(proc) as running:
        stream = wire.call(running.channel, wire.OrcaProcessor.ExecuteDagPart)(
            make_request("Slow_1.0.0", "Quick_1.0.0"), timeout=30
        )
        first = next(stream)
        assert first.algorithm_result.algorithm.name == "Quick"
        release.set()
        assert next(stream).algorithm_result.algorithm.name == "Slow"


def test_slow_algorithms_get_more_lanes_and_health_answers_at_once(proc: Processor) -> None:
    barrier = threading.Barrier(5, timeout=60)

    def make(i: int) -> None:
        @proc.algorithm(f"Slow{i}", "1.0.0", TYPE)
        def slow() -> float:
            barrier.wait()
            return 1.0

    for i in range(4):
        make(i)
    with serving(proc) as running:
        call = wire.call(running.channel, wire.OrcaProcessor.ExecuteDagPart)
        stream = call(make_request(*(f"Slow{i}_1.0.0" for i in range(4))), timeout=120)
        deadline_s = time.monotonic() + 60
        while barrier.n_waiting < 4:
            assert time.monotonic() < deadline_s, barrier.n_waiting
            time.sleep(0.001)
        health = running.health(30)
        # None of them had to end first.
        assert barrier.n_waiting == 4
        assert health.metrics.active_tasks == 4
        assert health.metrics.memory_bytes > 1_000_000
        barrier.wait()
        assert len(list(stream)) == 4


def test_concurrency_of_one_algorithm_is_bounded(proc: Processor) -> None:
    lock, active, most = threading.Lock(), [0], [0]

    @proc.algorithm("Single", "1.0.0", TYPE, concurrency=1)
    def single() -> float:
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        time.sleep(0.005)
        with lock:
            active[0] -= 1
        return 1.0

    @proc.algorithm("Async", "1.0.0", TYPE, concurrency=2)
    async def asynchronous() -> float:
        active[0] += 1
        most[0] = max(most[0], active[0])
        await asyncio.sleep(0.001)
        active[0] -= 1
        return 1.0

    with serving(proc) as running:
        assert len(running.execute(*["Single_1.0.0"] * 10)) == 1
        threads = [threading.Thread(target=running.value, args=("Single_1.0.0",)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1]
        running.execute(*["Async_1.0.0"] * 10)
        assert most == [2]


def test_a_timeout_ends_the_execution_and_its_lane_is_replaced() -> None:
    proc = processor(max_workers=1, timeout_s=30)
    release = threading.Event()

    @proc.algorithm("Hangs", "1.0.0", TYPE, timeout_s=0.05)
    def hangs() -> float:
        release.wait(60)
        return 1.0

    @proc.algorithm("AsyncHangs", "1.0.0", TYPE, timeout_s=0.05)
    async def async_hangs() -> float:
        await asyncio.sleep(600)
        return 1.0

    @proc.algorithm("Good", "1.0.0", TYPE)
    def good() -> float:
        return 1.0

    with serving(proc) as running:
        found = running.execute("Hangs_1.0.0", "AsyncHangs_1.0.0", "Good_1.0.0")
        assert found["Hangs_1.0.0"].error["kind"] == "timeout"
        assert "0.05 s" in found["Hangs_1.0.0"].error["message"]
        assert found["AsyncHangs_1.0.0"].error["kind"] == "timeout"
        assert found["Good_1.0.0"].ok
        pool = running.server.engine.pool
        assert pool.abandoned == 1
        release.set()
        assert running.value("Good_1.0.0") == 1.0
        deadline = time.monotonic() + 60
        while pool.abandoned and time.monotonic() < deadline:
            time.sleep(0.005)
        assert pool.abandoned == 0


def test_a_processor_whose_threads_all_hang_says_that_it_is_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orca.processor.lanes.ABANDONED_MAX", 1)
    proc = processor(max_workers=1)
    release = threading.Event()

    @proc.algorithm("Hangs", "1.0.0", TYPE, timeout_s=0.02)
    def hangs() -> float:
        release.wait(60)
        return 1.0

    with serving(proc) as running:
        assert running.error("Hangs_1.0.0")["kind"] == "timeout"
        health = running.health()
        assert health.status == wire.HealthCheckResponse.STATUS_NOT_SERVING
        assert "hang" in health.message
        release.set()


def test_when_the_stream_ends_nothing_more_begins(proc: Processor) -> None:
    began, cancelled, runs = threading.Event(), threading.Event(), []

    @proc.algorithm("First", "1.0.0", TYPE)
    def first(params: ExecutionParams) -> float:
        began.set()
        deadline = time.monotonic() + 60
        while not params.cancelled and time.monotonic() < deadline:
            time.sleep(0.001)
        cancelled.set()
        return 1.0

    @proc.algorithm("Second", "1.0.0", TYPE)
    def second(value: Annotated[float, Dep(first)]) -> float:
        runs.append(value)
        return 1.0

    @proc.algorithm("Task", "1.0.0", TYPE)
    async def task() -> float:
        await asyncio.sleep(60)
        return 1.0

    with serving(proc) as running:
        stream = wire.call(running.channel, wire.OrcaProcessor.ExecuteDagPart)(
            make_request("First_1.0.0", "Second_1.0.0", "Task_1.0.0"), timeout=30
        )
        assert began.wait(60)
        stream.cancel()
        assert cancelled.wait(60)
        deadline = time.monotonic() + 60
        while running.server.engine.active and time.monotonic() < deadline:
            time.sleep(0.005)
        assert running.server.engine.active == 0
    assert runs == []


def test_a_drain_finishes_what_runs_and_takes_nothing_new() -> None:
    proc = processor(grace_s=60)
    began, release = threading.Event(), threading.Event()

    @proc.algorithm("Slow", "1.0.0", TYPE)
    def slow() -> float:
        began.set()
        release.wait(60)
        return 1.0

    with serving(proc) as running:
        call = wire.call(running.channel, wire.OrcaProcessor.ExecuteDagPart)
        stream = call(make_request("Slow_1.0.0"), timeout=60)
        assert began.wait(60)
        proc.stop()
        deadline = time.monotonic() + 60
        while not running.server.health.draining and time.monotonic() < deadline:
            time.sleep(0.002)
        assert running.health().status == wire.HealthCheckResponse.STATUS_TRANSITIONING
        with pytest.raises(grpc.RpcError) as caught:
            running.execute("Slow_1.0.0")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        release.set()
        assert next(stream).algorithm_result.result.single_value == 1.0


def test_a_drain_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    proc = processor(grace_s=0.05)
    began, release = threading.Event(), threading.Event()

    @proc.algorithm("Slow", "1.0.0", TYPE)
    def slow() -> float:
        began.set()
        release.wait(60)
        return 1.0

    with caplog.at_level(logging.WARNING, logger="orca.processor"), serving(proc) as running:
        stream = wire.call(running.channel, wire.OrcaProcessor.ExecuteDagPart)(
            make_request("Slow_1.0.0"), timeout=30
        )
        assert began.wait(60)
        proc.stop()
        with pytest.raises(grpc.RpcError):
            next(stream)
        release.set()
    assert "1 algorithms did not finish within 0.05 s" in caplog.text


def test_calls_at_work_are_bounded(proc: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PARTS_MAX", 0)
    with serving(proc) as running, pytest.raises(grpc.RpcError) as caught:
        running.execute("Any_1.0.0")
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_empty_call_and_a_call_of_the_seed_generation(proc: Processor) -> None:
    @proc.algorithm("MyAlgo", "1.0.0", "Every30Second", "1.0.0")
    def my_algorithm(dependencies: Any = None) -> dict[str, Any]:
        return {"result": 42, "before": dependencies.get("Mean_1.0.0")}

    # Cores up to 0.10: field 4 the algorithms, field 3 all results, the window's times as numbers.
    request = wire.ExecutionRequest.FromString(
        b"\x0a\x04exec" + b"\x12\x0c\x08\x82\xbd\xa8\xc1\x06\x10\xa0\xbd\xa8\xc1\x06"
    )
    added = request.algorithms.add()
    added.name, added.version = "MyAlgo", "1.0.0"
    result = request.algorithm_results.add()
    result.algorithm.name, result.algorithm.version, result.result.single_value = "Mean", "1.0.0", 2.5
    with serving(proc) as running:
        assert running.execute() == {}
        assert running.execute(request=request)["MyAlgo_1.0.0"].value == {"result": 42, "before": 2.5}


def test_executors_of_other_kinds() -> None:
    class Odd(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with ThreadPoolExecutor(2, thread_name_prefix="pool") as pool:
        proc = processor(executor=pool)

        @proc.algorithm("Where", "1.0.0", TYPE)
        def where() -> dict[str, str]:
            return {"thread": threading.current_thread().name}

        @proc.algorithm("Dropped", "1.0.0", TYPE, executor=Odd())
        def dropped() -> float:
            return 1.0

        with serving(proc) as running:
            assert running.value("Where_1.0.0")["thread"].startswith("pool")
            assert running.error("Dropped_1.0.0")["kind"] == "cancelled"


def test_a_process_that_dies_or_hangs_fails_alone() -> None:
    proc = processor(max_workers=2, executor="process")
    proc.algorithm("Double", "1.0.0", TYPE)(double)
    proc.algorithm("Die", "1.0.0", TYPE)(die)
    proc.algorithm("Hang", "1.0.0", TYPE, timeout_s=3.0)(hang)
    proc.algorithm("Lambda", "1.0.0", TYPE)(unpicklable)
    with serving(proc) as running:
        request = make_request("Double_1.0.0", "Die_1.0.0", "Hang_1.0.0", "Lambda_1.0.0")
        add_dependency(request.algorithm_executions[0], "Other_1.0.0", [4.0])
        found = running.execute(request=request, timeout_s=120)
        assert found["Die_1.0.0"].error["kind"] == "lost"
        assert "signal 11" in found["Die_1.0.0"].error["message"]
        assert found["Hang_1.0.0"].error["kind"] == "timeout"
        assert found["Lambda_1.0.0"].error["kind"] == "raised"
        assert "cannot leave its process" in found["Lambda_1.0.0"].error["message"]
        assert found["Double_1.0.0"].value == {"pid": found["Double_1.0.0"].value["pid"], "asset": 1.0}
        assert found["Double_1.0.0"].value["pid"] != os.getpid()
        assert running.execute(request=make_request("Double_1.0.0"))["Double_1.0.0"].ok


def test_a_value_is_made_once_for_a_window(proc: Processor) -> None:
    reads: list[str] = []

    def make(i: int) -> None:
        @proc.algorithm(f"Read{i}", "1.0.0", TYPE)
        def read(params: ExecutionParams) -> float:
            return params.shared("telemetry", lambda: reads.append("read") or 5.0)  # type: ignore[return-value]

    for i in range(5):
        make(i)
    with serving(proc) as running:
        found = running.execute(*(f"Read{i}_1.0.0" for i in range(5)))
    assert [record.value for record in found.values()] == [5.0] * 5
    assert reads == ["read"]


def test_the_window_cache_is_bounded_and_forgets_failures() -> None:
    cache = WindowCache(2)
    windows = [Window(i, i + 1, "A", "1.0.0") for i in range(3)]
    for window in windows:
        assert cache.get(window, "k", lambda: 1) == 1
    assert cache.get(windows[2], "k", lambda: 2) == 1
    assert cache.get(windows[0], "k", lambda: 2) == 2

    def fail() -> int:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        cache.get(windows[0], "other", fail)
    assert cache.get(windows[0], "other", lambda: 3) == 3


def test_tokens(proc: Processor) -> None:
    proc = processor(require_token="right")
    with serving(proc) as running:
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            with pytest.raises(grpc.RpcError) as caught:
                running.execute(metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert running.execute(metadata=(("authorization", "Bearer right"),)) == {}
        with pytest.raises(grpc.RpcError):
            running.health()


def test_reflection_answers_on_loopback(proc: Processor) -> None:
    reflection = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2")
    with serving(proc) as running:
        call = running.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection.ServerReflectionResponse.FromString,
        )
        answer = next(call(iter([reflection.ServerReflectionRequest(list_services="")]), timeout=60))
    assert "OrcaProcessor" in [one.name for one in answer.list_services_response.service]


def test_context_of_the_caller_does_not_leak_between_algorithms(proc: Processor) -> None:
    seen: list[Any] = []
    mark: contextvars.ContextVar[int] = contextvars.ContextVar("mark", default=0)

    @proc.algorithm("One", "1.0.0", TYPE)
    async def one() -> float:
        seen.append(mark.get())
        mark.set(5)
        return 1.0

    with serving(proc) as running:
        running.value("One_1.0.0")
        running.value("One_1.0.0")
    assert seen == [0, 0]


def test_the_lines_of_the_page(proc: Processor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="orca.processor"):

        @proc.algorithm("MyAlgo", "1.0.0", "Every30Second", "1.0.0")
        def my_algorithm() -> dict[str, int]:
            return {"result": 42}

        with serving(proc) as running:
            running.execute(request=make_request("MyAlgo_1.0.0", exec_id="ccb19b964d084da489841b4e6588cbd6"))
            port = running.server.port
    import sys

    lines = own_lines(caplog)
    assert lines[:8] == [
        "Registering algorithm: MyAlgo_1.0.0 (window: Every30Second_1.0.0)",
        f"Starting Orca Processor 'ml' with Python {sys.version}",
        "Initialising gRPC server with 4 workers",
        f"Server listening on address 127.0.0.1:{port}",
        "Server started successfully",
        "Server is ready for requests",
        "Received DAG execution request with 1 algorithms and ExecId: ccb19b964d084da489841b4e6588cbd6",
        "Running algorithm MyAlgo_1.0.0",
    ]
    assert lines[8] == "Completed algorithm: MyAlgo"
    assert lines[-1] == "Server shutdown complete"


def test_large_calls_log_one_line(proc: Processor, caplog: pytest.LogCaptureFixture) -> None:
    @proc.algorithm("A", "1.0.0", TYPE)
    def a() -> float:
        return 1.0

    with serving(proc) as running, caplog.at_level(logging.INFO, logger="orca.processor"):
        caplog.clear()
        running.execute(*["A_1.0.0"] * (engine_module.LOG_EACH_MAX + 1))
        assert len(own_lines(caplog)) == 1


def test_a_signal_drains(tmp_path: Any) -> None:
    import subprocess
    import sys

    program = (
        "from orca.processor import Processor\n"
        "proc = Processor('ml', bind='127.0.0.1:0', environ={})\n"
        "proc.Start()\n"
        "print('after')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "ready for requests" in line:
                break
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0
    assert out == "after\n"
    assert "Received shutdown signal" in err
    assert "orca.processor - INFO - Server shutdown complete" in err


def test_a_taken_port_is_said(proc: Processor) -> None:
    from orca.processor.errors import BadEnvVar

    with serving(proc) as running:
        other = Processor("other", bind=f"127.0.0.1:{running.server.port}", environ={})
        with pytest.raises(BadEnvVar, match="cannot listen"), serving(other):
            pass


def test_a_call_that_is_over_is_freed_at_once(proc: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    @proc.algorithm("One", "1.0.0", TYPE)
    def one(params: ExecutionParams) -> float:
        return 1.0

    class Watched(engine_module._Part):
        """Can be referred to weakly."""

    seen: list[weakref.ref[Any]] = []
    freed = threading.Event()

    def make(*arguments: Any) -> Any:
        made = Watched(*arguments)
        seen.append(weakref.ref(made, lambda _: freed.set()))
        return made

    monkeypatch.setattr(engine_module, "_Part", make)
    gc.disable()  # nothing but the last reference going away may free it
    try:
        with serving(proc) as running:
            assert running.value("One_1.0.0") == 1.0
            # The caller has its result while the thread that computed it is still letting go of the part.
            assert freed.wait(60), f"kept by {gc.get_referrers(seen[0]())}"
            assert seen[0]() is None
    finally:
        gc.enable()
