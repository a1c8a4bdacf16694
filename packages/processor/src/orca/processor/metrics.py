"""Prometheus metrics, when the program uses prometheus_client: executions and their durations.

Nothing is imported here. Once the program has imported ``prometheus_client`` before the processor starts, the
registry gets ``orca_executions_total{processor, algorithm, outcome}`` and
``orca_execution_seconds{processor, algorithm}``. The program itself decides how they are served.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["observer"]

_made: dict[int, tuple[Any, Any]] = {}


def observer(processor: str) -> Callable[[str, str, float], None] | None:
    """What an engine calls at the end of every execution; None when nobody collects metrics."""
    client: Any = sys.modules.get("prometheus_client")
    if client is None:
        return None
    registry = client.REGISTRY
    if id(registry) not in _made:
        labels = ["processor", "algorithm"]
        _made[id(registry)] = (
            client.Counter("orca_executions", "Ended executions", [*labels, "outcome"], registry=registry),
            client.Histogram("orca_execution_seconds", "Duration of executions", labels, registry=registry),
        )
    counter, histogram = _made[id(registry)]

    def observe(full_name: str, outcome: str, seconds: float) -> None:
        counter.labels(processor, full_name, outcome).inc()
        histogram.labels(processor, full_name).observe(seconds)

    return observe
