from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from orca.processor import health, wire
from orca.processor.health import Health


@pytest.mark.parametrize("statm", ["/proc/self/statm", "/proc/nothing"])
def test_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch, statm: str) -> None:
    monkeypatch.setattr(health, "_STATM", Path(statm))
    metrics = Health().response(active=3).metrics
    assert metrics.active_tasks == 3
    assert metrics.memory_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_cpu_is_measured_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MEASURE_EVERY_S", 0.0)
    found = Health()
    found.measure()
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        pass
    percent = found.response(active=0).metrics.cpu_percent
    assert percent > 0


def test_measuring_again_at_once_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MEASURE_EVERY_S", 600.0)
    found = Health()
    found.measure()
    monkeypatch.setattr(health, "_memory_bytes", lambda: 1 / 0)
    assert found.response(active=0).metrics.memory_bytes > 0


def test_states_and_their_words() -> None:
    found = Health()
    assert found.response(active=0).status == wire.HealthCheckResponse.STATUS_SERVING
    assert found.response(active=0, ill="hangs").status == wire.HealthCheckResponse.STATUS_NOT_SERVING
    found.draining = True
    answer = found.response(active=2)
    assert (answer.status, answer.message) == (
        wire.HealthCheckResponse.STATUS_TRANSITIONING,
        "draining, 2 algorithms left",
    )
