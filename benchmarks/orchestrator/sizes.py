# ruff: noqa: ASYNC240 - nothing else runs on this loop
"""What grows and what does not: whole windows, look-backs and memory against the number of stored windows; planning."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import ours
import uvloop

from orca.orchestrator.local import LocalCore
from orca.orchestrator.model import (
    AlgorithmDef,
    AlgorithmRef,
    Dependency,
    LookBack,
    ProcessorKey,
    Registration,
    WindowSpan,
    WindowTypeDef,
)
from orca.orchestrator.planner import build_plan
from orca.orchestrator.process import SWITCH_INTERVAL_S
from orca.orchestrator.settings import CoreSettings

PROBE = 1000
PROBES = 9
"""The median of so many samples is shown: one of a tenth of a second is at the mercy of what else runs."""
FLIGHT = 50


def planning() -> float:
    """Milliseconds for a DAG of 500."""
    kind = WindowTypeDef("W", "1.0.0")
    names = [
        AlgorithmDef(
            f"A{n}",
            "1.0.0",
            kind,
            tuple(Dependency(AlgorithmRef(f"A{n - step}", "1.0.0")) for step in (1, 7, 40) if n >= step),
        )
        for n in range(500)
    ]
    begun = time.process_time()
    build_plan([Registration(ProcessorKey("", "P"), tuple(names))], kind.ref)
    return (time.process_time() - begun) * 1000


def resident_mb() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


async def add(core: LocalCore, start: int, count: int) -> None:
    """Whole windows, three results each."""
    left = iter(range(start, start + count))

    async def lane() -> None:
        for number in left:
            await core.emit("Chain", "1.0.0", (number * 10, number * 10 + 10))

    await asyncio.gather(*(lane() for _ in range(FLIGHT)))
    await core.drain()


async def grown(sizes: list[int]) -> list[dict[str, float]]:
    """Cost of a window and of a look-back of 100 at each size."""
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        # Growing takes a while; how fast the disk is does not change what a window costs.
        settings = CoreSettings(folder=Path(folder), synchronous="NORMAL")
        async with LocalCore(ours.processor(), folder=Path(folder), settings=settings) as core:
            assert core.core is not None
            store = core.core.store
            algorithm = await store.algorithm_id(AlgorithmRef("A", "1.0.0"))
            stored = 1
            for size in sizes:
                await add(core, stored, size - stored)
                costs = []
                for number in range(PROBES):
                    begun = time.process_time()
                    await add(core, size + number * PROBE, PROBE)
                    costs.append((time.process_time() - begun) / PROBE * 1e6)
                stored = size + PROBES * PROBE
                span = WindowSpan(10**12, stored * 10, stored * 10 + 10)
                times = []
                for _ in range(50):
                    begun = time.perf_counter()
                    rows = await store.history(algorithm, LookBack(count=100), span)
                    times.append(time.perf_counter() - begun)
                assert len(rows) == 100
                answer = {
                    "windows": size,
                    "window_cpu_us": sorted(costs)[PROBES // 2],
                    "look_back_100_ms": sorted(times)[25] * 1000,
                    "resident_mb": resident_mb(),
                    "store_mb": sum(path.stat().st_size for path in Path(folder).glob("orca.db*")) / 1e6,
                }
                answers.append(answer)
                print(json.dumps(answer), file=sys.stderr, flush=True)
    return answers


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    wanted = [int(text) for text in sys.argv[1].split(",")]
    print(json.dumps({"plan_500_ms": min(planning() for _ in range(5)), "sizes": uvloop.run(grown(wanted))}))
