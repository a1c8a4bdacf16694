"""What is told to Prometheus and OpenTelemetry, by their own libraries."""

import asyncio
import http.client
import json
import subprocess
import sys

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import go, running, until, window, working
from worker import Worker, chain

from orca.common.errors import ConfigError
from orca.orchestrator.errors import RunningError
from orca.orchestrator.metrics import Metrics
from orca.orchestrator.process import start_background, stop_background
from orca.orchestrator.security import token_digest
from orca.orchestrator.settings import CoreSettings
from orca.processor import wire
from orca.processor import wire_query as q

WAIT_S = 60.0
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def fetched(port, path="/metrics", *, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(
            method, path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_happened(tmp_path):
    async def main():
        bad = Worker("bad", {"X": lambda inputs, request: 1 / 0})
        bad.algorithm("X", window="Bad")
        async with running(tmp_path) as core, working(core, chain(), bad):
            metrics = Metrics(0)
            await core.server.mount(metrics)
            for number in range(3):
                _, window_id, _ = await core.emit(number)
                await core.finished(window_id)
            await core.emit(0)
            _, window_id, _ = await core.emit(9, kind="Bad")
            await core.finished(window_id)
            # Whoever looks into the store may know of the end before the core counts it.
            await until(lambda: len(core.core.engine.index) == 0)
            status, text = await asyncio.to_thread(fetched, metrics.port)
            found = samples(text)
            assert status == 200
            kind = "Every30Second_1.0.0"
            assert found["orca_windows_total", kind, "accepted"] == 3
            assert found["orca_windows_total", kind, "duplicate"] == 1
            assert found["orca_runs_total", "succeeded"] == 3
            assert found["orca_runs_total", "failed"] == 1
            assert found["orca_executions_total", "C_1.0.0", "succeeded"] == 3
            assert found["orca_executions_total", "X_1.0.0", "failed"] == 1
            assert found["orca_run_seconds_count", kind] == 3
            assert found["orca_run_seconds_bucket", "+Inf", kind] == 3
            assert found["orca_algorithm_seconds_count", "A_1.0.0"] == 3
            assert found["orca_instances", "chain", "serving"] == 1
            assert found["orca_backlog",] == found["orca_active_runs",] == 0
            assert (await asyncio.to_thread(fetched, metrics.port, Host="evil.example"))[0] == 421
            assert (await asyncio.to_thread(fetched, metrics.port, "/other"))[0] == 404
            assert (await asyncio.to_thread(fetched, metrics.port, method="POST"))[0] == 405

    go(main())


def test_a_backlog_is_seen_and_a_token_is_asked_for(tmp_path):
    async def main():
        worker = chain()
        async with running(tmp_path, auth=True) as core:
            metrics = Metrics(0)
            await core.server.mount(metrics)
            core.server.tokens.add(token_digest("scraper"), "scraper", ("read",))
            core.server.tokens.add(token_digest("emitter"), "emitter", ("emit", "register"))
            bearer = ((wire.AUTHORIZATION_KEY, "Bearer emitter"),)
            await worker.start()
            await core.call(wire.OrcaCore.RegisterProcessor)(worker.message("127.0.0.1:1"), metadata=bearer)
            await core.call(wire.OrcaCore.EmitWindow)(window(1), metadata=bearer)
            await worker.stop()
            assert (await asyncio.to_thread(fetched, metrics.port))[0] == 401
            refused = await asyncio.to_thread(fetched, metrics.port, Authorization="Bearer emitter")
            assert refused[0] == 401
            assert "lacks the scope 'read'" in refused[1]
            status, text = await asyncio.to_thread(fetched, metrics.port, Authorization="Bearer scraper")
            assert status == 200
            assert samples(text)["orca_backlog",] == 1
            assert samples(text)["orca_oldest_open_seconds",] > 0

    go(main())


def test_what_is_missing_is_said_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    with pytest.raises(ConfigError, match="prometheus-client is not installed"):
        Metrics(0)
    # The core's process says the same, and leaves nothing behind.
    with pytest.raises(RunningError, match=r"there are only: .*console"):
        start_background(CoreSettings(folder=tmp_path, port=0, tracing="nonsense"))
    assert not stop_background(tmp_path)


def spans_of(text):
    """The console exporter's objects, one after the other."""
    decoder = json.JSONDecoder()
    found, position = [], 0
    while (start := text.find("{\n", position)) >= 0:
        entry, position = decoder.raw_decode(text, start)
        found.append(entry)
    return found


def test_spans_go_from_the_emitter_to_the_worker_also_over_a_restart(tmp_path):
    settings = CoreSettings(folder=tmp_path, port=0, tracing="console")
    worker = chain()

    async def emitted(address):
        async with grpc.aio.insecure_channel(address) as channel:
            await worker.start()
            await worker.register(address)
            parent = ((wire.TRACEPARENT_KEY, f"00-{TRACE}-{SPAN}-01"),)
            await wire.call(channel, wire.OrcaCore.EmitWindow)(window(1), metadata=parent, timeout=WAIT_S)
            await until(lambda: worker.requests)
            await worker.stop()
            # Its worker is away: the next core of this folder goes on with it.
            await wire.call(channel, wire.OrcaCore.EmitWindow)(window(2), metadata=parent, timeout=WAIT_S)

    async def finished(address):
        async with grpc.aio.insecure_channel(address) as channel:
            await worker.start(worker.port)
            await worker.register(address)
            watch = wire.call(channel, q.OrcaQuery.WatchRun)
            async for detail in watch(q.GetRunRequest(window_id=2), timeout=WAIT_S):
                last = detail
            await worker.stop()
            return last

    go(emitted(start_background(settings)["address"]))
    stop_background(tmp_path)
    first = spans_of((tmp_path / "core.start.log").read_text())
    detail = go(finished(start_background(settings)["address"]))
    stop_background(tmp_path)
    second = spans_of((tmp_path / "core.start.log").read_text())
    assert detail.run.state == "succeeded"
    windows = [one for one in [*first, *second] if one["name"] == "orca window Every30Second_1.0.0"]
    calls = [one for one in [*first, *second] if one["name"] == "orca call chain"]
    assert {one["context"]["trace_id"] for one in windows} == {f"0x{TRACE}"}
    assert {one["parent_id"] for one in windows} == {f"0x{SPAN}"}
    assert {one["attributes"]["orca.window_id"] for one in windows} == {1, 2}
    assert {one["parent_id"] for one in calls} <= {one["context"]["span_id"] for one in windows}
    carried = {entry[wire.TRACEPARENT_KEY].split("-")[2] for entry in worker.metadata}
    # A call that found nobody has a span too.
    assert carried <= {one["context"]["span_id"][2:] for one in calls}
    assert {one["resource"]["attributes"]["service.name"] for one in windows} == {"orca-core"}


def test_without_opentelemetry_the_emitters_context_is_handed_on(tmp_path):
    assert "opentelemetry.trace" not in sys.modules

    async def main():
        worker = chain()
        async with running(tmp_path) as core, working(core, worker):
            parent = f"00-{TRACE}-{SPAN}-01"
            _, window_id, _ = await core.emit(1, **{wire.TRACEPARENT_KEY: parent})
            await core.finished(window_id)
            _, window_id, _ = await core.emit(2, **{wire.TRACEPARENT_KEY: "nonsense"})
            await core.finished(window_id)
            assert [entry.get(wire.TRACEPARENT_KEY) for entry in worker.metadata] == [parent, None]

    go(main())


def test_who_emitted_a_window_is_recorded_and_shown(tmp_path):
    async def main():
        async with running(tmp_path) as core, working(core, chain()):
            _, first, _ = await core.emit(1)
            given = {wire.PARENT_WINDOW_KEY: str(first), wire.PARENT_EXEC_KEY: "1-abcd-2"}
            await core.emit(2, **given)
            rows = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())
            assert [(row.parent_id, row.parent_exec_id) for row in rows] == [(0, ""), (first, "1-abcd-2")]

    go(main())


LOCAL = """
import asyncio, json
from typing import Annotated
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from orca.orchestrator.local import LocalCore
from orca.processor import Dep, Processor

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
proc = Processor("demo")

@proc.algorithm("One", "1.0.0", "Hour", "1.0.0")
def one() -> float:
    return 1.0

@proc.algorithm("Two", "1.0.0", "Hour", "1.0.0")
async def two(value: Annotated[float, Dep(one)]) -> float:
    raise KeyError("threshold")

async def main():
    async with LocalCore(proc) as core:
        accepted = await core.emit("Hour", "1.0.0", (1, 2))
        await core.wait(accepted.window_id)

asyncio.run(main())
names = {span.context.span_id: span.name for span in kept.get_finished_spans()}
rows = [
    [span.name, names.get(span.parent.span_id) if span.parent else None, span.status.is_ok]
    for span in kept.get_finished_spans()
]
print(json.dumps(sorted(rows)))
"""


def test_local_mode_has_the_same_spans():
    done = subprocess.run(
        [sys.executable, "-c", LOCAL], capture_output=True, text=True, timeout=180, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["orca algorithm One_1.0.0", "orca part demo", True],
        ["orca algorithm Two_1.0.0", "orca part demo", False],
        ["orca call demo", "orca window Hour_1.0.0", True],
        ["orca part demo", "orca call demo", True],
        ["orca window Hour_1.0.0", None, False],
    ]
