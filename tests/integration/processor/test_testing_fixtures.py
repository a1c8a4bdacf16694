"""The pytest fixtures as a user's suite gets them, with the orchestrator installed."""

from __future__ import annotations

import pytest

from orca.processor.testing import make_window, record

pytest_plugins = ["pytester"]

SUITE = """
    import pytest
    from typing import Annotated
    from orca.processor import Dep, Processor, Window

    proc = Processor("weather")

    @proc.algorithm("Mean", "1.0.0", "Hour", "1.0.0")
    def mean(window: Window) -> float:
        return window.metadata["degrees"]

    @proc.algorithm("Trend", "1.0.0", "Hour", "1.0.0")
    def trend(before: Annotated[list[float], Dep(mean, n=2)]) -> dict:
        return {"before": before}

    @proc.algorithm("Broken", "1.0.0", "Hour", "1.0.0")
    def broken(now: Annotated[float, Dep(mean)]) -> float:
        raise KeyError("threshold")

    @proc.algorithm("After", "1.0.0", "Hour", "1.0.0")
    def after(value: Annotated[float, Dep(broken)]) -> float:
        return value

    def test_a_recorded_day(orca_core, orca_recorded):
        core = orca_core(proc)
        runs = [core.emit(window) for window in orca_recorded("day.jsonl")]
        assert [run[mean].value for run in runs] == [20.0, 21.0, 22.0]
        assert runs[2][trend].value == {"before": [20.0, 21.0]}
        assert runs[0][broken].error["type"] == "KeyError"
        assert runs[0][after].error["kind"] == "skipped"
        assert not runs[0].ok
        assert core.results("Mean") == [20.0, 21.0, 22.0]

    def test_the_same_window_runs_once(orca_core, orca_window):
        core = orca_core(proc)
        window = orca_window("Hour", degrees=1.5)
        assert core.emit(window)[mean].value == core.emit(window)[mean].value == 1.5
        assert core.results("Mean") == [1.5]

    def test_a_window_that_nothing_waits_for(orca_core, orca_window):
        assert not orca_core(proc).emit(orca_window("Other")).results
"""


def test_a_users_suite(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["orca.processor.testing"]')
    pytester.makepyfile(SUITE)
    windows = [make_window("Hour", start=(h + 1) * 3600, length_s=3600, degrees=20.0 + h) for h in range(3)]
    record(pytester.path / "day.jsonl", windows)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=3)
