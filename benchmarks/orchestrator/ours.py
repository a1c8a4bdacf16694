# ruff: noqa: ASYNC110 - another process tells nothing
"""One core process, one worker process, one emitter: a chain of three no-op algorithms, acknowledged after sync."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import grpc.aio
import uvloop

from orca.orchestrator.local import LocalCore
from orca.orchestrator.process import SWITCH_INTERVAL_S, run_foreground
from orca.orchestrator.settings import CoreSettings
from orca.processor import Dep, Processor, wire
from orca.processor import wire_query as q

START_S = 1_767_225_600
SERIAL = 100


def processor(address: str | None = None) -> Processor:
    """A -> B -> C."""
    proc = Processor("bench", core=address) if address else Processor("bench")

    @proc.algorithm("A", "1.0.0", "Chain", "1.0.0")
    async def a() -> float:
        return 1.0

    @proc.algorithm("B", "1.0.0", "Chain", "1.0.0")
    async def b(value: Annotated[float, Dep(a)]) -> float:
        return value + 1

    @proc.algorithm("C", "1.0.0", "Chain", "1.0.0")
    async def c(value: Annotated[float, Dep(b)]) -> float:
        return value + 1

    return proc


def core_main(ready: Any, folder: str, kind: str) -> None:
    """The core's process."""
    settings = CoreSettings(folder=Path(folder), port=0, fuse_chains=kind == "fused")
    run_foreground(settings, ready=lambda server: ready.put(server.address))


def worker_main(address: str, kind: str) -> None:
    """The worker's process; without announcing anything it is to the core what a published worker is."""
    if kind == "published":
        wire.FEATURES = ()  # type: ignore[misc]
    processor(address).run()


async def drive(address: str, count: int, flight: int) -> dict[str, float]:
    """Emit ``count`` windows with ``flight`` at a time, and wait for the end of all."""
    async with grpc.aio.insecure_channel(address) as channel:
        emit = wire.call(channel, wire.OrcaCore.EmitWindow)
        status = wire.call(channel, q.OrcaQuery.GetStatus)
        watch = wire.call(channel, q.OrcaQuery.WatchRun)
        while (await status(q.GetStatusRequest())).processors_serving == 0:
            await asyncio.sleep(0.05)
        number = int(time.time()) % 10_000_000 * 1000

        def window() -> wire.Window:
            nonlocal number
            number += 1
            message = wire.Window(window_type_name="Chain", window_type_version="1.0.0", origin="bench")
            message.time_from.seconds = message.time_to.seconds = START_S + number
            return message

        took, acknowledged = [], []
        for _ in range(SERIAL):
            begun = time.perf_counter()
            call = emit(window())
            await call
            acknowledged.append(time.perf_counter() - begun)
            row = dict(list(await call.trailing_metadata()))[wire.WINDOW_ID_KEY]
            async for _detail in watch(q.GetRunRequest(window_id=int(row))):
                pass
            took.append(time.perf_counter() - begun)
        left = iter(range(count))

        async def lane() -> None:
            for _ in left:
                await emit(window())

        begun = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(flight)))
        while (await status(q.GetStatusRequest())).open_runs:
            await asyncio.sleep(0.02)
        rate = count / (time.perf_counter() - begun)
        found = await status(q.GetStatusRequest())
        assert found.results == 3 * found.windows, "results are missing"
    middle = SERIAL // 2
    return {
        "windows_per_s": rate,
        "p50_ms": sorted(took)[middle] * 1000,
        "emit_p50_ms": sorted(acknowledged)[middle] * 1000,
    }


def served(count: int, flight: int, kind: str) -> dict[str, float]:
    """Over gRPC."""
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        core = context.Process(target=core_main, args=(ready, folder, kind))
        core.start()
        address = ready.get(timeout=30)
        worker = context.Process(target=worker_main, args=(address, kind))
        worker.start()
        try:
            return uvloop.run(drive(address, count, flight))
        finally:
            worker.terminate()
            worker.join()
            core.terminate()
            core.join()


async def local(count: int, flight: int) -> dict[str, float]:
    """In one process."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(CoreSettings(), folder=Path(folder))
        async with LocalCore(processor(), folder=Path(folder), settings=settings) as core:
            took = []
            for number in range(SERIAL):
                begun = time.perf_counter()
                accepted = await core.emit("Chain", "1.0.0", (number + 1, number + 1))
                await core.wait(accepted.window_id)
                took.append(time.perf_counter() - begun)
            left = iter(range(10_000, 10_000 + count))

            async def lane() -> None:
                for number in left:
                    await core.emit("Chain", "1.0.0", (number, number))

            begun, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(lane() for _ in range(flight)))
            await core.drain()
            rate = count / (time.perf_counter() - begun)
            cpu_us = (time.process_time() - cpu) / count * 1e6
    return {"windows_per_s": rate, "p50_ms": sorted(took)[SERIAL // 2] * 1000, "cpu_us_per_window": cpu_us}


if __name__ == "__main__":
    kind, windows, at_a_time = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if kind == "local":
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        answer = uvloop.run(local(windows, at_a_time))
    else:
        answer = served(windows, at_a_time, kind)
    print(json.dumps(answer))
