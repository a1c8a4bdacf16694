"""How the processor is: measured at most once a second, because a health check must cost nothing."""

from __future__ import annotations

import time
from typing import Any, Final

from orca.processor import wire

__all__ = ["Health"]

MEASURE_EVERY_S: Final = 1.0


class Health:
    """Answers health checks.

    Attributes:
        draining: The processor takes no new calls and finishes those it has.
    """

    def __init__(self) -> None:
        self.draining = False
        self._started_s = time.monotonic()
        self._measured_s = 0.0
        self._memory_bytes = 0
        self._cpu_percent = 0.0
        self._process: Any = None

    def measure(self) -> None:
        """Read memory and CPU of this process, unless that was done within the last second."""
        now_s = time.monotonic()
        if self._process is not None and now_s - self._measured_s < MEASURE_EVERY_S:
            return
        import psutil  # noqa: PLC0415

        if self._process is None:
            self._process = psutil.Process()
            self._process.cpu_percent()  # the first value is always 0: it only starts the measurement
        with self._process.oneshot():
            self._memory_bytes = self._process.memory_info().rss
            self._cpu_percent = self._process.cpu_percent()
        self._measured_s = now_s

    def response(self, *, active: int, ill: str = "") -> wire.HealthCheckResponse:
        """The answer to a health check.

        Args:
            active: Algorithms at work.
            ill: Why nothing can be run any more; empty when all is well.
        """
        self.measure()
        status: int = wire.HealthCheckResponse.STATUS_SERVING
        message = "Processor is healthy"
        if ill:
            status, message = int(wire.HealthCheckResponse.STATUS_NOT_SERVING), ill
        elif self.draining:
            status, message = (
                wire.HealthCheckResponse.STATUS_TRANSITIONING,
                f"draining, {active} algorithms left",
            )
        return wire.HealthCheckResponse(
            status=status,
            message=message,
            metrics=wire.ProcessorMetrics(
                active_tasks=active,
                memory_bytes=self._memory_bytes,
                cpu_percent=self._cpu_percent,
                uptime_seconds=int(time.monotonic() - self._started_s),
            ),
        )
