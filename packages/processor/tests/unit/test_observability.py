from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from serving import make_request, serving

from orca.processor import Dep, EmitWindow, ExecutionParams, OrcaClient, Processor, Window, WindowType
from orca.processor import _log as log_module
from orca.processor import client as client_module
from orca.processor.metrics import observer
from scripted_core import scripted_core

TYPE = WindowType("Every30Second", "1.0.0", "half")
WINDOW = Window(1, 2, "Every30Second", "1.0.0")


def processor(name: str = "ml") -> Processor:
    proc = Processor(name, bind="127.0.0.1:0", environ={})

    @proc.algorithm("One", "1.0.0", TYPE)
    def one() -> float:
        return 1.0

    @proc.algorithm("Two", "1.0.0", TYPE)
    async def two(value: Annotated[float, Dep(one)]) -> float:
        await asyncio.sleep(0)
        return value

    @proc.algorithm("Bad", "1.0.0", TYPE)
    def bad() -> float:
        raise ValueError("bad")

    return proc


def test_spans_go_from_the_window_to_the_algorithm() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        with scripted_core() as core:
            with OrcaClient(core.address) as client:
                client.emit(WINDOW)
            sent = core.metadata["EmitWindow"][0]["traceparent"]
        with serving(processor()) as running:
            running.execute("One_1.0.0", "Two_1.0.0", "Bad_1.0.0", metadata=(("traceparent", sent),))
    finally:
        del sys.modules["opentelemetry.trace"]
    spans = {span.name: span for span in exporter.get_finished_spans()}
    emit, part = spans["orca emit Every30Second_1.0.0"], spans["orca part ml"]
    assert part.parent.span_id == emit.context.span_id
    for name in ("One", "Two", "Bad"):
        span = spans[f"orca algorithm {name}_1.0.0"]
        assert span.parent.span_id == part.context.span_id
        assert span.context.trace_id == emit.context.trace_id
    assert not spans["orca algorithm Bad_1.0.0"].status.is_ok
    assert part.attributes["orca.exec_id"] == "exec"


def test_metrics_are_there_when_the_program_collects_them() -> None:
    import prometheus_client

    # The registry is the whole process's: other tests count under other names.
    with serving(processor("counted")) as running:
        running.execute("One_1.0.0", "Bad_1.0.0")
    labels = {"processor": "counted", "algorithm": "One_1.0.0"}
    registry = prometheus_client.REGISTRY
    assert registry.get_sample_value("orca_executions_total", {**labels, "outcome": "ok"}) == 1
    assert registry.get_sample_value("orca_execution_seconds_count", labels) == 1
    bad = {"processor": "counted", "algorithm": "Bad_1.0.0", "outcome": "raised"}
    assert registry.get_sample_value("orca_executions_total", bad) == 1
    assert observer("counted") is not None


def test_who_has_an_answer_finds_its_execution_counted() -> None:
    counted: list[tuple[str, str]] = []
    answered = 0

    def observe(full_name: str, outcome: str, _seconds: float) -> None:
        time.sleep(0.02)  # long enough for an answer to overtake it
        counted.append((full_name, outcome))

    async def write(answers: Sequence[bytes]) -> None:
        nonlocal answered
        answered += len(answers)
        assert len(counted) >= answered

    async def main() -> None:
        engine = processor().engine(observe=observe)
        try:
            await engine.execute(make_request("One_1.0.0", "Two_1.0.0", "Bad_1.0.0"), {}, write)
        finally:
            engine.close()

    asyncio.run(main())
    assert answered == 3
    assert sorted(counted) == [("Bad_1.0.0", "raised"), ("One_1.0.0", "ok"), ("Two_1.0.0", "ok")]


def test_no_metrics_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "prometheus_client", raising=False)
    assert observer("ml") is None


def test_windows_emitted_inside_an_algorithm_name_their_parent() -> None:
    with scripted_core() as core:
        proc = Processor("ml", bind="127.0.0.1:0", environ={})

        @proc.algorithm("Nested", "1.0.0", TYPE)
        def nested() -> float:
            EmitWindow(WINDOW, core=core.address)
            return 1.0

        @proc.algorithm("NestedAsync", "1.0.0", TYPE)
        async def nested_async(params: ExecutionParams) -> float:
            from orca.processor import AsyncOrcaClient

            async with AsyncOrcaClient(core.address) as client:
                await client.emit(WINDOW)
            return 1.0

        with serving(proc) as running:
            request = make_request("Nested_1.0.0", "NestedAsync_1.0.0", exec_id="exec-7")
            found = running.execute(request=request, metadata=(("orca-window-id", "77"),))
        client_module.close_shared()
        EmitWindow(WINDOW, core=core.address)
        client_module.close_shared()
    assert all(one.ok for one in found.values())
    inside = core.metadata["EmitWindow"]
    assert [(one.get("orca-parent-exec-id"), one.get("orca-parent-window-id")) for one in inside] == [
        ("exec-7", "77"),
        ("exec-7", "77"),
        (None, None),
    ]


def test_the_logger_can_have_the_published_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_names", ["orca.processor"])
    log_module.set_logger_name("orca_python.main")
    with caplog.at_level(logging.INFO):
        processor()
    assert {record.name for record in caplog.records} == {"orca_python.main"}


def test_lines_are_shown_only_where_nothing_is_configured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_module, "_names", ["test.visible"])
    logger = logging.getLogger("test.visible")
    log_module.make_visible()
    assert logger.handlers == []
    monkeypatch.setattr(logger, "propagate", False)
    log_module.make_visible()
    log_module.make_visible()
    logger.info("hello")
    logger.handlers.clear()
    error: Any = capsys.readouterr().err
    assert error.endswith(" - test.visible - INFO - hello\n")
    assert error.count("hello") == 1
