from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from orca.processor import Dep, ExecutionParams, MetadataField, Processor, WindowType, errors
from orca.processor import testing as kit
from orca.processor.definition import look_back
from orca.processor.testing import Local, make_params, make_window, play, record

TYPE = WindowType("Every30Second", "1.0.0", "half", (MetadataField("asset_id", "which", filter=True),))

orca_window, orca_local = kit.orca_window, kit.orca_local


def build() -> tuple[Processor, Any, Any]:
    proc = Processor("ml")

    @proc.algorithm("Mean", "1.0.0", TYPE)
    def mean(params: ExecutionParams) -> float:
        return float(params.window.metadata["value"])

    @proc.algorithm("Trend", "1.0.0", TYPE, lookback=look_back(n=2))
    def trend(
        now: Annotated[float, Dep(mean)],
        history: Annotated[np.ndarray, Dep("Later_1.0.0", n=2)],
        params: ExecutionParams,
    ) -> dict[str, Any]:
        return {
            "now": now,
            "history": history,
            "own": [row.result["now"] for row in params.self_results],
        }

    @proc.algorithm("Later", "1.0.0", TYPE)
    def later(value: Annotated[float, Dep(mean)]) -> float:
        if value < 0:
            raise ValueError("negative")
        return value * 10

    return proc, mean, trend


def test_a_dag_with_look_backs(orca_local: Any, orca_window: Any) -> None:
    proc, mean, trend = build()
    local = orca_local(proc)
    runs = [
        local.run(orca_window("Every30Second", start=1000 + 30 * i, asset_id=asset, value=value))
        for i, (asset, value) in enumerate([(1, 1.0), (2, 99.0), (1, 2.0), (1, -1.0), (1, 3.0)])
    ]
    assert [run.ok for run in runs] == [True, True, True, False, True]
    assert runs[4][trend].value == {"now": 3.0, "history": [10.0, 20.0], "own": [2.0, -1.0]}
    assert runs[4].values()["Mean_1.0.0"] == 3.0
    assert runs[3]["Later"].error["message"] == "negative"
    with pytest.raises(errors.ExecutionError, match="negative") as caught:
        runs[3].values()
    assert caught.value.kind == "raised"
    with pytest.raises(KeyError, match="Mean_1"):
        runs[0]["Other"]
    only = local.run(make_window("Every30Second", start=5000, asset_id=1, value=1.0), only=[trend])
    assert sorted(only.results) == ["Mean_1.0.0", "Trend_1.0.0"]
    assert local.run(make_window("Other")).results == {}
    assert runs[0][mean].value == 1.0


def test_gaps_and_spans() -> None:
    import datetime as dt

    proc = Processor("ml")
    sees: dict[str, Any] = {"gap": {"n": 2, "gap_n": 1}, "span": {"td": dt.timedelta(seconds=60)}}
    sees["both"] = {"td": dt.timedelta(seconds=30), "gap_td": dt.timedelta(seconds=30)}

    @proc.algorithm("Number", "1.0.0", TYPE)
    def number(params: ExecutionParams) -> float:
        return float(params.window.metadata["value"])

    @proc.algorithm("Sees", "1.0.0", TYPE)
    def seen(
        gap: Annotated[list[float], Dep(number, **sees["gap"])],
    ) -> dict[str, Any]:
        return {"gap": gap}

    @proc.algorithm("Span", "1.0.0", TYPE)
    def span(values: Annotated[list[float], Dep(number, **sees["span"])]) -> dict[str, Any]:
        return {"values": values}

    @proc.algorithm("Both", "1.0.0", TYPE)
    def both(values: Annotated[list[float], Dep(number, **sees["both"])]) -> dict[str, Any]:
        return {"values": values}

    local = Local(proc)
    for i in range(5):
        run = local.run(make_window("Every30Second", start=1000 + 30 * i, value=float(i), asset_id=1))
    assert run[seen].value == {"gap": [1.0, 2.0]}
    assert run[span].value == {"values": [2.0, 3.0]}
    assert run[both].value == {"values": [2.0]}


def test_results_of_other_processors_are_given() -> None:
    proc = Processor("ml")
    far = type(
        "Far",
        (),
        {
            "__orca_is_remote__": True,
            "__orca_metadata__": {
                "Name": "Far",
                "Version": "1.0.0",
                "ProcessorName": "p",
                "ProcessorRuntime": "r",
            },
        },
    )

    @proc.algorithm("Near", "1.0.0", TYPE)
    def near(value: Annotated[float, Dep(far)]) -> float:
        return value + 1

    assert Local(proc, {"Far_1.0.0": 2.0}).run(make_window("Every30Second"))[near].value == 3.0
    assert Local(proc).run(make_window("Every30Second"))[near].error["kind"] == "input"


def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "HISTORY_MAX", 2)
    local = Local(build()[0])
    for i in range(4):
        local.run(make_window("Every30Second", start=1000 + i, value=1.0))
    assert len(local.history) == 2


def test_params_for_a_plain_call() -> None:
    _, mean, _ = build()
    params = make_params(make_window(value=4.0), {mean: 2.5, "Past_1.0.0": [1.0, 2.0]}, self_results=[7.0])
    assert mean(params) == 4.0
    assert params.dependencies[mean] == 2.5
    assert params.dependencies["Past"] == [1.0, 2.0]
    assert params.self_results[0].result == 7.0
    assert make_params().window.name == "TestWindow"
    with pytest.raises(errors.InvalidWindowArgument):
        make_params(results={object(): 1.0})


def test_windows_are_recorded_and_played_back(tmp_path: Path) -> None:
    windows = [make_window("A", start=1000.5 + i, asset_id=i) for i in range(3)]
    path = tmp_path / "windows.jsonl"
    record(path, windows)
    assert list(play(path)) == windows
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(errors.BadConfigFile, match=r"windows\.jsonl:4"):
        list(play(path))


def test_mistakes_are_told_before_anything_runs() -> None:
    proc = Processor("ml")
    proc.algorithm("lower", "1.0.0", TYPE)(lambda: 1.0)
    with pytest.raises(errors.InvalidDefinitions):
        Local(proc)


def test_a_core_without_the_orchestrator_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from orca.processor.testing import InProcessCore

    monkeypatch.setitem(sys.modules, "orca.orchestrator.local", None)
    with pytest.raises(errors.NotOffered, match="pip install orca-orchestrator"):
        InProcessCore(build()[0])


def test_the_names_of_the_plug_in() -> None:
    assert {"orca_local", "orca_window", "orca_core", "orca_recorded"} <= set(dir(kit))
    with pytest.raises(AttributeError):
        kit.nothing  # noqa: B018
