"""Malformed and oversized calls: a clear status, and a server that goes on."""

from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from serving import Serving, add_dependency, make_request, serving

from orca.processor import ExecutionParams, Processor, WindowType, executors, failures, structs, wire
from orca.processor.executors import ProcessExecutor
from orca.processor.lanes import LanePool

TYPE = WindowType("Every30Second", "1.0.0", "half")
PATH = wire.OrcaProcessor.ExecuteDagPart.path


@pytest.fixture(scope="module", params=["asyncio", "grpc"])
def running(request: pytest.FixtureRequest) -> Any:
    proc = Processor("ml", bind="127.0.0.1:0", environ={}, transport=request.param)

    @proc.algorithm("Good", "1.0.0", TYPE)
    def good(params: ExecutionParams) -> float:
        return 1.0

    @proc.algorithm("Sum", "1.0.0", TYPE)
    def total(dependencies: Any = None) -> float:
        return float(sum(dependencies["Far_1.0.0"]))

    with serving(proc) as serving_now:
        yield serving_now


def refused(running: Serving, data: bytes, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        list(running.channel.unary_stream(PATH)(data, timeout=60, **options))
    assert running.value("Good_1.0.0") == 1.0
    return caught.value


@pytest.mark.parametrize(
    "data", [b"\x0a\xff", b"\x12\x02\xff\xff", b"\x0a\x02\xff\xfe", b"\xff" * 1000, b"\x2a\x05\x0a\x10"]
)
def test_malformed_calls_are_the_callers_fault(running: Serving, data: bytes) -> None:
    error = refused(running, data)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ExecutionRequest" in (error.details() or "")


def test_metadata_nested_too_deep_is_the_callers_fault(running: Serving) -> None:
    value = b"\x20\x01"
    for _ in range(200):
        inner = b"\x0a" + bytes(varint(len(value))) + value
        value = b"\x32" + bytes(varint(len(inner))) + inner
    entry = b"\x0a\x01k\x12" + bytes(varint(len(value))) + value
    struct = b"\x0a" + bytes(varint(len(entry))) + entry
    window = b"\x32" + bytes(varint(len(struct))) + struct
    error = refused(running, b"\x12" + bytes(varint(len(window))) + window)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def varint(number: int) -> list[int]:
    out = []
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return [*out, number]


def test_calls_beyond_the_limit_are_refused(running: Serving) -> None:
    channel = grpc.insecure_channel(
        f"127.0.0.1:{running.server.port}", options=[("grpc.max_send_message_length", -1)]
    )
    with channel, pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(PATH)(b"\x0a" + bytes(varint(53_000_000)) + b"x" * 53_000_000, timeout=60))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.value("Good_1.0.0") == 1.0


def test_a_call_that_is_small_only_when_packed_is_refused(running: Serving) -> None:
    size = 200_000_000
    data = b"\x0a" + bytes(varint(size)) + b"\0" * size
    assert len(gzip.compress(data[:1_000_000])) < 5_000
    channel = grpc.insecure_channel(
        f"127.0.0.1:{running.server.port}",
        options=[("grpc.max_send_message_length", -1)],
        compression=grpc.Compression.Gzip,
    )
    with channel, pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(PATH)(data, timeout=60))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.value("Good_1.0.0") == 1.0


def test_odd_but_legal_calls_run(running: Serving) -> None:
    request = make_request("Sum_1.0.0", "Good_1.0.0")
    add_dependency(request.algorithm_executions[0], "Far_1.0.0", [[1.0, float("nan")]])
    structs.fill_struct(request.window.metadata, {"note": None, "flag": True})
    request.window.metadata.fields["odd"].number_value = float("nan")
    found = running.execute(request=request)
    assert found["Good_1.0.0"].ok
    assert found["Sum_1.0.0"].value != found["Sum_1.0.0"].value
    empty = wire.ExecutionRequest()
    empty.algorithm_executions.add()
    assert running.execute(request=empty)["_"].error["kind"] == "unknown"
    assert running.execute(request=make_request(*["Good_1.0.0"] * 2000))["Good_1.0.0"].ok


def test_threads_end_when_idle_and_after_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orca.processor.lanes.IDLE_S", 0.01)
    pool = LanePool(2)
    ran = threading.Event()
    for _ in range(3):
        ran.clear()
        pool.submit(ran.set)
        assert ran.wait(60)
        deadline = time.monotonic() + 60
        while pool._threads and time.monotonic() < deadline:
            time.sleep(0.002)
        assert not pool._threads
    pool.close()


def test_a_thread_that_comes_back_while_it_is_given_up_stays_a_thread() -> None:
    pool = LanePool(2)
    left: Future[int] = Future()

    def lane() -> bool:
        left.set_result(threading.get_ident())
        return False  # what an engine's lane says when its function has timed out

    pool.submit(lane)
    late = left.result(60)
    idle: Future[int] = Future()
    # The same thread takes this, so the call before it is over.
    pool.submit(lambda: idle.set_result(threading.get_ident()))
    assert idle.result(60) == late
    pool.abandon(late)
    assert pool.abandoned == 0
    together = threading.Barrier(3)
    for _ in range(2):
        pool.submit(lambda: together.wait(60) and None)
    together.wait(60)
    pool.close()


def test_a_function_that_ends_in_the_moment_of_its_timeout_keeps_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proc = Processor("ml", bind="127.0.0.1:0", environ={})
    timed_out = failures.timed_out
    go_on, ended = threading.Event(), threading.Event()

    @proc.algorithm("Late", "1.0.0", TYPE, timeout_s=0.05)
    def late() -> float:
        assert go_on.wait(60)
        return 1.0

    def while_it_ends(timeout_s: float) -> dict[str, Any]:
        go_on.set()
        assert ended.wait(60)
        return timed_out(timeout_s)

    monkeypatch.setattr(failures, "timed_out", while_it_ends)
    with serving(proc) as running:
        engine = running.server.engine
        seen = engine.observe

        def observe(name: str, outcome: str, seconds: float) -> None:
            if seen is not None:
                seen(name, outcome, seconds)
            ended.set()

        given_up: list[int] = []
        monkeypatch.setattr(engine, "observe", observe)
        monkeypatch.setattr(engine.pool, "abandon", given_up.append)
        assert running.value("Late_1.0.0") == 1.0
        assert given_up == []


def test_a_call_that_is_cancelled_while_its_process_starts_never_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    start = executors._Worker.start_process

    def slow_start(worker: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        start(worker)

    monkeypatch.setattr(executors._Worker, "start_process", slow_start)
    executor = ProcessExecutor(1)
    endless = executor.submit(time.sleep, 600)
    assert begun.wait(60)
    assert endless.cancel()
    go_on.set()
    with pytest.raises(executors.WorkerLost, match="signal 9"):
        endless.result(60)
    assert executor.submit(len, "ab").result(60) == 2
    executor.shutdown()


def test_cancelling_a_call_that_has_ended_does_not_hit_the_next_one() -> None:
    executor = ProcessExecutor(1)
    done: Any = executor.submit(len, "ab")
    assert done.result(60) == 2
    following = executor.submit(time.sleep, 0.2)
    done.kill()
    assert following.result(60) is None
    executor.shutdown()


def test_a_process_executor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="one process"):
        ProcessExecutor(0)
    executor = ProcessExecutor(1)
    assert executor.submit(sorted, [2, 1]).result(60) == [1, 2]
    with pytest.raises(ZeroDivisionError) as caught:
        executor.submit(divmod, 1, 0).result(60)
    assert "ZeroDivisionError" in str(caught.value.__cause__)
    with pytest.raises(TypeError, match="cannot enter"):
        executor.submit(lambda: 1).result(60)
    assert executor.submit(len, "ab").result(60) == 2
    slow = executor.submit(time.sleep, 600)
    waiting = executor.submit(len, "abc")
    dropped = executor.submit(len, "abcd")
    assert dropped.cancel()
    deadline = time.monotonic() + 60
    while not slow.running() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert slow.cancel()
    with pytest.raises(RuntimeError, match="signal 9"):
        slow.result(60)
    assert waiting.result(60) == 3
    monkeypatch.setattr("orca.processor.executors.CALLS_MAX", 0)
    with pytest.raises(RuntimeError, match="wait already"):
        executor.submit(len, "")
    executor.shutdown(cancel_futures=True)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(len, "")
    assert not slow.cancel()
