"""Local mode: the same kernel and store, with algorithms in this process."""

import asyncio
from typing import Annotated

import pytest

from orca.orchestrator.errors import RunningError
from orca.orchestrator.local import LocalCore
from orca.processor import Dep, Processor, Window

NS = 10**9
HOUR = 1_767_225_600 * NS


def made():
    proc = Processor("weather")

    @proc.algorithm("Mean", "1.0.0", "Hour", "1.0.0")
    def mean(window: Window) -> float:
        if window.metadata.get("bad"):
            raise KeyError("threshold")
        return 20.5

    @proc.algorithm("Alarm", "1.0.0", "Hour", "1.0.0")
    async def alarm(degrees: Annotated[float, Dep(mean)]) -> dict:
        return {"too_hot": degrees > 20}

    return proc


def test_a_dag_runs_in_this_process_and_stays_on_disk(tmp_path):
    async def first():
        async with LocalCore(made(), folder=tmp_path) as core:
            accepted = await core.emit("Hour", "1.0.0", (HOUR, HOUR + 3600 * NS), metadata={"station": "sf"})
            run = await core.wait(accepted.window_id)
            assert run["state"] == "succeeded"
            assert run["executions"]["Alarm_1.0.0"]["value"] == {"too_hot": True}
            again = await core.emit("Hour", "1.0.0", (HOUR, HOUR + 3600 * NS), metadata={"station": "sf"})
            assert again.duplicate
            with pytest.raises(RunningError):
                await LocalCore(made(), folder=tmp_path).open()

    async def second():
        async with LocalCore(made(), folder=tmp_path) as core:
            (row,) = await core.results("Mean")
            assert (row["value"], row["metadata"]) == (20.5, {"station": "sf"})

    asyncio.run(first())
    asyncio.run(second())


def test_failures_and_many_windows():
    async def main():
        async with LocalCore(made()) as core:
            bad = await core.emit("Hour", "1.0.0", (HOUR, HOUR + NS), metadata={"bad": True})
            run = await core.wait(bad.window_id)
            assert run["executions"]["Mean_1.0.0"]["cause"] == "KeyError: 'threshold'"
            assert run["executions"]["Alarm_1.0.0"]["status"] == "skipped"
            await asyncio.gather(
                *(core.emit("Hour", "1.0.0", (HOUR + n, HOUR + n + 1)) for n in range(1, 200))
            )
            await core.drain()
            assert len(await core.results("Alarm")) == 199

    asyncio.run(main())


def test_an_algorithm_is_tried_as_often_as_its_processor_says(tmp_path):
    calls: list[int] = []
    proc = Processor("weather")

    @proc.algorithm("Flaky", "1.0.0", "Hour", "1.0.0", attempts=3)
    def flaky() -> float:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("not yet")
        return 1.0

    async def run():
        async with LocalCore(proc, folder=tmp_path) as core:
            accepted = await core.emit("Hour", "1.0.0", (HOUR, HOUR + 3600 * NS))
            return await core.wait(accepted.window_id)

    assert asyncio.run(run())["state"] == "succeeded"
    assert len(calls) == 3
