"""OpenTelemetry spans of windows and calls, between those of the emitter and those of the worker.

A window makes ``orca window TYPE``, from its acceptance to its end, below the span that emitted it; every call to a
processor makes ``orca call PROCESSOR`` below that, and the worker's own spans follow. The emitter's context is stored
with the window, so that a run that goes on after a restart stays in its trace. Spans are written once the process uses
OpenTelemetry: ``CoreSettings.tracing`` sets it up, or the program that embeds the core did. Without it the emitter's
context is handed on as it came.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from orca.common.errors import ConfigError
from orca.orchestrator.store.records import OPEN, RUN_STATES, RUN_SUCCEEDED
from orca.processor import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.orchestrator.model import ProcessorKey, WindowTypeRef
    from orca.orchestrator.store.records import PendingRun

__all__ = ["begin_call", "begin_window", "configure", "context_of", "end_call", "end_window", "parent_of"]

NAME = "orca.orchestrator"
_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def parent_of(text: str) -> str:
    """A ``traceparent`` as it came, or "" for anything else.

    Example:
        >>> parent_of("00-" + "a" * 32 + "-" + "b" * 16 + "-01")[:5]
        '00-aa'
        >>> parent_of("nonsense")
        ''
    """
    return text if _PARENT.fullmatch(text) else ""


def _trace() -> Any:
    return sys.modules.get("opentelemetry.trace")


def begin_window(kind: WindowTypeRef, run: PendingRun) -> Any:
    """The span of a run; None without OpenTelemetry."""
    trace = _trace()
    if trace is None:
        return None
    propagate: Any = import_module("opentelemetry.propagate")
    # A context of its own: what the loop happens to do at this moment is no parent.
    empty = import_module("opentelemetry.context").Context()
    parent = propagate.extract({wire.TRACEPARENT_KEY: run.trace}, context=empty) if run.trace else empty
    attributes = {
        "orca.window_type": str(kind),
        "orca.window_id": run.span.id,
        "orca.run_id": run.run_id,
        "orca.origin": run.origin,
    }
    return trace.get_tracer(NAME).start_span(
        f"orca window {kind}", context=parent, attributes=attributes, start_time=run.created_ns
    )


def end_window(span: Any, state: int) -> None:
    """End a run's span."""
    if span is None:
        return
    trace = _trace()
    span.set_attribute("orca.state", RUN_STATES[state])
    if state not in (OPEN, RUN_SUCCEEDED):
        span.set_status(trace.Status(trace.StatusCode.ERROR, RUN_STATES[state]))
    span.end()


def begin_call(window: Any, processor: ProcessorKey, exec_id: str, count: int) -> Any:
    """The span of a call; None when the run has none."""
    if window is None:
        return None
    trace = _trace()
    attributes = {"orca.exec_id": exec_id, "orca.algorithms": count}
    return trace.get_tracer(NAME).start_span(
        f"orca call {processor}",
        context=trace.set_span_in_context(window),
        attributes=attributes,
        kind=trace.SpanKind.CLIENT,
    )


def end_call(span: Any, missing: int) -> None:
    """End a call's span; ``missing`` algorithms gave no result."""
    if span is None:
        return
    if missing:
        trace = _trace()
        span.set_status(trace.Status(trace.StatusCode.ERROR, f"{missing} without a result"))
    span.end()


def context_of(span: Any, trace_parent: str) -> tuple[tuple[str, str], ...]:
    """What a call carries along: its span's context, or the emitter's as it came."""
    if span is None:
        return ((wire.TRACEPARENT_KEY, trace_parent),) if trace_parent else ()
    carrier: dict[str, str] = {}
    import_module("opentelemetry.propagate").inject(carrier, context=_trace().set_span_in_context(span))
    return tuple(carrier.items())


def configure(exporter: str) -> Callable[[], None]:
    """Export spans of this process, and give what ends that.

    Args:
        exporter: A name of the entry points ``opentelemetry_traces_exporter``: ``console`` comes with the SDK,
            ``otlp_proto_grpc`` and ``otlp_proto_http`` with packages of their own, set up by ``OTEL_*`` variables.

    Raises:
        ConfigError: The SDK or the exporter is not installed.
    """
    try:
        trace: Any = import_module("opentelemetry.trace")
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
    except ImportError:
        raise ConfigError(
            "tracing is set, and OpenTelemetry is not installed",
            hint='pip install "orca-orchestrator[opentelemetry]"',
        ) from None
    found = list(entry_points(group="opentelemetry_traces_exporter", name=exporter))
    if not found:
        known = sorted({entry.name for entry in entry_points(group="opentelemetry_traces_exporter")})
        raise ConfigError(
            f"tracing names the exporter '{exporter}', and there are only: {', '.join(known)}",
            hint="pip install opentelemetry-exporter-otlp-proto-grpc",
        )
    # What the environment says (OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) goes before the name given here.
    resource = resources.Resource({"service.name": "orca-core"}).merge(
        resources.OTELResourceDetector().detect()
    )
    provider = sdk.TracerProvider(resource=resource)
    provider.add_span_processor(export.BatchSpanProcessor(found[0].load()()))
    trace.set_tracer_provider(provider)
    shutdown: Callable[[], None] = provider.shutdown
    return shutdown
