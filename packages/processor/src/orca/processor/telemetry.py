"""OpenTelemetry spans, when the program uses OpenTelemetry: window -> call -> algorithm.

Nothing is switched on here. Once the program has imported ``opentelemetry.trace`` (every SDK set-up does), emitting
a window makes a span ``orca emit TYPE``, a call of the core makes ``orca part PROCESSOR`` as its child wherever it
runs, and each algorithm makes ``orca algorithm NAME`` below that. The context travels as ``traceparent`` in gRPC
metadata. Without OpenTelemetry none of this costs more than a look into ``sys.modules``.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from orca.processor._calls import Call
    from orca.processor.model import Window

__all__ = ["algorithm_span", "current_context", "emit_span", "mark_failed", "part_span"]

NAME = "orca.processor"


def _trace() -> Any:
    return sys.modules.get("opentelemetry.trace")


@contextmanager
def emit_span(window: Window, call: Call) -> Generator[Call, None, None]:
    """A span around an emit; the call that comes out carries its context."""
    trace = _trace()
    if trace is None:
        yield call
        return
    propagate: Any = import_module("opentelemetry.propagate")

    attributes = {"orca.window_type": window.full_name, "orca.origin": window.origin}
    with trace.get_tracer(NAME).start_as_current_span(f"orca emit {window.full_name}", attributes=attributes):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        yield replace(call, metadata=(*call.metadata, *carrier.items()))


@contextmanager
def part_span(
    processor: str, exec_id: str, metadata: Mapping[str, str], count: int
) -> Generator[None, None, None]:
    """A span around one call of the core, below the context that came with it."""
    trace = _trace()
    if trace is None:
        yield
        return
    propagate: Any = import_module("opentelemetry.propagate")

    tracer = trace.get_tracer(NAME)
    attributes = {"orca.exec_id": exec_id, "orca.algorithms": count}
    parent = propagate.extract(dict(metadata))
    with tracer.start_as_current_span(
        f"orca part {processor}", context=parent, attributes=attributes, kind=trace.SpanKind.SERVER
    ):
        yield


@contextmanager
def algorithm_span(full_name: str, context: Any) -> Generator[Any, None, None]:
    """A span around one algorithm.

    Args:
        full_name: Name and version.
        context: What :func:`current_context` gave where the call began: lanes run on other threads.
    """
    trace = _trace()
    if trace is None:
        yield None
        return
    with trace.get_tracer(NAME).start_as_current_span(
        f"orca algorithm {full_name}", context=context, record_exception=False
    ) as span:
        yield span


def current_context() -> Any:
    """The context to hand to :func:`algorithm_span`; None without OpenTelemetry."""
    if _trace() is None:
        return None
    context: Any = import_module("opentelemetry.context")

    return context.get_current()


def mark_failed(span: Any, message: str) -> None:
    """Say on a span that its algorithm failed."""
    if span is not None:
        trace = sys.modules["opentelemetry.trace"]
        span.set_status(trace.Status(trace.StatusCode.ERROR, message))
