"""How the processor is: measured at most once a second, because a health check must cost nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from orca.processor import wire

__all__ = ["Health"]

MEASURE_EVERY_S: Final = 1.0

_STATM: Final = Path("/proc/self/statm")


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
        self._cpu_s = 0.0

    def measure(self) -> None:
        """Read memory and CPU of this process, unless that was done within the last second."""
        now_s = time.monotonic()
        passed_s = now_s - self._measured_s
        if self._measured_s and passed_s < MEASURE_EVERY_S:
            return
        cpu_s = time.process_time()
        if self._measured_s:
            self._cpu_percent = (cpu_s - self._cpu_s) / passed_s * 100
        self._cpu_s, self._measured_s = cpu_s, now_s
        self._memory_bytes = _memory_bytes()

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


def _memory_bytes() -> int:
    """The resident memory of this process; psutil itself takes 3 MB, so it is asked only where nothing else tells."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        import psutil  # noqa: PLC0415

        return int(psutil.Process().memory_info().rss)
    return pages * os.sysconf("SC_PAGE_SIZE")
