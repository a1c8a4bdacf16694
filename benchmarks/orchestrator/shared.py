# ruff: noqa: ASYNC110 - other processes tell nothing
"""Whole windows on a shared PostgreSQL: ``shared.py REPLICAS WINDOWS FLIGHT``; synced, one worker, even emits."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc.aio
import ours
import uvloop

from orca.orchestrator.process import run_foreground
from orca.orchestrator.settings import CoreSettings, DatabaseUrl
from orca.processor import wire
from orca.processor import wire_query as q

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "packages" / "orchestrator" / "tests" / "support_orchestrator"))
sys.path.insert(0, str(ROOT / "tests" / "support"))

import databases  # noqa: E402


def core_main(ready: Any, folder: str, url: str) -> None:
    """One replica's process."""
    settings = CoreSettings(folder=Path(folder), port=0, database=DatabaseUrl(url))
    run_foreground(settings, ready=lambda server: ready.put(server.address))


def window(number: int) -> wire.Window:
    """A point in time."""
    message = wire.Window(window_type_name="Chain", window_type_version="1.0.0", origin="bench")
    message.time_from.seconds = message.time_to.seconds = ours.START_S + number
    return message


async def drive(addresses: list[str], count: int, flight: int) -> dict[str, float]:
    """Emit with ``flight`` at a time, each lane to its replica, and wait for the end of all."""
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    status = [wire.call(channel, q.OrcaQuery.GetStatus) for channel in channels]
    emits = [wire.call(channel, wire.OrcaCore.EmitWindow) for channel in channels]
    for ask in status:
        while (await ask(q.GetStatusRequest())).processors_serving == 0:
            await asyncio.sleep(0.05)
    took: list[float] = []
    watch = wire.call(channels[0], q.OrcaQuery.WatchRun)
    for number in range(ours.SERIAL):
        begun = time.perf_counter()
        call = emits[0](window(number))
        await call
        row = dict(list(await call.trailing_metadata()))[wire.WINDOW_ID_KEY]
        async for _detail in watch(q.GetRunRequest(window_id=int(row))):
            pass
        took.append(time.perf_counter() - begun)
    left = iter(range(ours.SERIAL, ours.SERIAL + count))

    async def lane(place: int) -> None:
        for number in left:
            await emits[place % len(emits)](window(number))

    begun = time.perf_counter()
    await asyncio.gather(*(lane(place) for place in range(flight)))
    while (await status[0](q.GetStatusRequest())).open_runs:
        await asyncio.sleep(0.02)
    rate = count / (time.perf_counter() - begun)
    found = await status[0](q.GetStatusRequest())
    assert found.results == 3 * found.windows, "results are missing"
    for channel in channels:
        await channel.close()
    return {"windows_per_s": rate, "p50_ms": sorted(took)[ours.SERIAL // 2] * 1000}


def main(replicas: int, count: int, flight: int) -> dict[str, float]:
    """Start everything, measure, end everything."""
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    with databases.server(durable=True) as server, tempfile.TemporaryDirectory() as folder:
        url = databases.make_database(server.get_uri())
        made = [(ready, f"{folder}/{number}", url) for number in range(replicas)]
        cores = [context.Process(target=core_main, args=arguments) for arguments in made]
        for core in cores:
            core.start()
        addresses = [ready.get(timeout=60) for _ in cores]
        worker = context.Process(target=ours.worker_main, args=(addresses[0], "fused"))
        worker.start()
        try:
            return uvloop.run(drive(addresses, count, flight))
        finally:
            for process in (worker, *cores):
                process.terminate()
                process.join()


if __name__ == "__main__":
    print(json.dumps(main(*(int(text) for text in sys.argv[1:4]))))
