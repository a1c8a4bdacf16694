# ruff: noqa: ASYNC110 - another process tells nothing
"""A long backlog of a processor that is away: memory of the core while it is accepted and while it drains."""

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

from orca.processor import wire
from orca.processor import wire_query as q

STEP = 2000
LOOK_S = 0.5


def resident_mb(pid: int) -> float:
    """What a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


async def drive(address: str, pid: int, count: int, worker: Any) -> dict[str, Any]:
    """Accept everything, then let the worker come."""
    samples: list[dict[str, float]] = []
    async with grpc.aio.insecure_channel(address, options=wire.channel_options()) as channel:
        status = wire.call(channel, q.OrcaQuery.GetStatus)
        emit = wire.call(channel, q.OrcaQuery.EmitMany)
        begun = time.perf_counter()

        async def look() -> int:
            found = await status(q.GetStatusRequest())
            samples.append(
                {
                    "at_s": time.perf_counter() - begun,
                    "open": found.open_runs,
                    "active": found.active_runs,
                    "resident_mb": resident_mb(pid),
                }
            )
            return int(found.open_runs)

        for start in range(0, count, STEP):
            request = q.EmitManyRequest()
            for number in range(start + 1, start + STEP + 1):
                one = request.windows.add(time_from_ns=number * 10, time_to_ns=number * 10 + 10, origin="b")
                one.window_type.name, one.window_type.version = "Chain", "1.0.0"
            await emit(request)
            await look()
        accepted_s = time.perf_counter() - begun
        accepted_mb = samples[-1]["resident_mb"]
        worker.start()
        while await look():
            await asyncio.sleep(LOOK_S)
        drained_s = time.perf_counter() - begun - accepted_s
        found = await status(q.GetStatusRequest())
        assert found.results == 3 * count, "results are missing"
    draining = [entry["resident_mb"] for entry in samples if entry["at_s"] > accepted_s]
    quarter = max(1, len(draining) // 4)
    return {
        "windows": count,
        "accepted_per_s": count / accepted_s,
        "drained_per_s": count / drained_s,
        "accepted_mb": accepted_mb,
        "drain_first_quarter_mb": max(draining[:quarter]),
        "drain_last_quarter_mb": max(draining[-quarter:]),
        "samples": samples[:: max(1, len(samples) // 200)],
    }


def main(count: int) -> dict[str, Any]:
    """One core; the worker registers first, goes away, and comes back when everything is accepted."""
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        core = context.Process(target=ours.core_main, args=(ready, folder, "fused"))
        core.start()
        address = ready.get(timeout=30)
        try:
            first = context.Process(target=ours.worker_main, args=(address, "fused"))
            first.start()
            uvloop.run(registered(address))
            first.terminate()
            first.join()
            worker = context.Process(target=ours.worker_main, args=(address, "fused"))
            try:
                return uvloop.run(drive(address, core.pid or 0, count, worker))
            finally:
                worker.terminate()
                worker.join()
        finally:
            core.terminate()
            core.join()


async def registered(address: str) -> None:
    """Wait until the worker is known."""
    async with grpc.aio.insecure_channel(address) as channel:
        status = wire.call(channel, q.OrcaQuery.GetStatus)
        while (await status(q.GetStatusRequest())).processors_serving == 0:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
