"""Local mode: the same kernel and store, with algorithms in this process."""

import asyncio
import math
import threading
from typing import Annotated

import pytest

from orca.orchestrator.errors import RunningError
from orca.orchestrator.local import LocalCore
from orca.orchestrator.settings import CoreSettings
from orca.processor import Dep, ExecutionParams, Processor, Window
from orca.processor.context import current_parent

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


def test_chains_of_every_kind_run_in_lanes(tmp_path):
    """Slow and quick, synchronous and asynchronous, failing and cancelled: each window ends as it should."""
    proc = Processor("lanes", max_workers=4)
    entered: list[str] = []
    parents: list[object] = []

    @proc.algorithm("One", "1.0.0", "Quick", "1.0.0")
    def one(params: ExecutionParams) -> float:
        parents.append(current_parent())
        return float(params.window.from_ns % 7)

    @proc.algorithm("Two", "1.0.0", "Quick", "1.0.0")
    def two(params: ExecutionParams, before: Annotated[float, Dep(one)]) -> dict:
        assert params.dependencies[one] == before
        return {"twice": 2 * before, "window": params.window_id}

    @proc.algorithm("Waits", "1.0.0", "Slow", "1.0.0")
    async def waits(window: Window) -> float:
        entered.append(window.origin)
        if window.origin == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)
        if window.origin == "bad":
            raise SystemExit("no")
        return 16_777_217.0

    @proc.algorithm("After", "1.0.0", "Slow", "1.0.0")
    async def after(value: Annotated[float, Dep(waits)]) -> list[float]:
        return [value, math.inf]

    async def main():
        async with LocalCore(proc, folder=tmp_path) as core:
            hang = await core.emit("Slow", "1.0.0", (1, 1), origin="hang")
            bad = await core.emit("Slow", "1.0.0", (2, 2), origin="bad")
            await asyncio.gather(*(core.emit("Slow", "1.0.0", (n, n)) for n in range(10, 60)))
            await asyncio.gather(*(core.emit("Quick", "1.0.0", (n, n)) for n in range(10, 400)))
            # A lane that waits holds nobody up.
            run = await core.wait(bad.window_id)
            assert run["executions"]["Waits_1.0.0"]["cause"] == "SystemExit: no"
            assert run["executions"]["After_1.0.0"]["status"] == "skipped"
            for row in await core.results("After"):
                assert row["value"] == [16_777_216.0, math.inf]
            assert core.core is not None
            active = core.core.engine.index.get(hang.run_id)
            assert active is not None
            core.core.engine.cancel(active, "enough")
            assert (await core.wait(hang.window_id))["state"] == "cancelled"
            await core.drain()
            assert core.core.links.calls == 0
            assert len(await core.results("After")) == 50
            rows = await core.results("Two")
            assert [row["value"]["twice"] for row in rows] == [2.0 * (n % 7) for n in range(10, 400)]
            assert {row["value"]["window"] for row in rows} == {str(row["window_id"]) for row in rows}
        assert len({parent["orca-parent-window-id"] for parent in parents}) == 390

    asyncio.run(main())


def test_a_thread_that_hangs_is_replaced_after_the_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr("orca.orchestrator.inline.TIMEOUT_MIN_S", 0.1)
    monkeypatch.setattr("orca.orchestrator.inline.WATCH_S", 0.05)
    proc = Processor("hangs", max_workers=1)
    release = threading.Event()

    @proc.algorithm("Hangs", "1.0.0", "Hour", "1.0.0")
    def hangs(window: Window) -> float:
        if window.from_ns == 1:
            release.wait(30)
        return 1.0

    @proc.algorithm("Dozes", "1.0.0", "Other", "1.0.0")
    async def dozes() -> float:
        await asyncio.Event().wait()
        return 1.0

    async def main():
        settings = CoreSettings(timeout_s=2.0, stop_grace_s=0.1)
        async with LocalCore(proc, folder=tmp_path, settings=settings) as core:
            first = await core.emit("Hour", "1.0.0", (1, 1))
            asleep = await core.emit("Other", "1.0.0", (1, 1))
            others = [await core.emit("Hour", "1.0.0", (n, n)) for n in range(2, 30)]
            assert (await core.wait(first.window_id))["executions"]["Hangs_1.0.0"][
                "cause"
            ] == "timed out after 2 s"
            for accepted in others:
                assert (await core.wait(accepted.window_id))["state"] == "succeeded"
            assert (await core.wait(asleep.window_id))["executions"]["Dozes_1.0.0"][
                "cause"
            ] == "timed out after 2 s"
            release.set()
            await core.drain()

    asyncio.run(main())
