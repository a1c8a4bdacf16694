"""What grows and what does not: planning, windows and look-backs against the number of stored windows."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

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
from orca.orchestrator.store.codec import encode_value, window_digest
from orca.orchestrator.store.records import Completion, NewWindow, NodeRecord
from orca.orchestrator.store.sqlite import SqliteStore, open_store

KIND = WindowTypeDef("W", "1.0.0")
BATCH = 100


def planning() -> float:
    """Milliseconds for a DAG of 500."""
    names = [
        AlgorithmDef(
            f"A{n}",
            "1.0.0",
            KIND,
            tuple(Dependency(AlgorithmRef(f"A{n - step}", "1.0.0")) for step in (1, 7, 40) if n >= step),
        )
        for n in range(500)
    ]
    begun = time.process_time()
    build_plan([Registration(ProcessorKey("", "P"), tuple(names))], KIND.ref)
    return (time.process_time() - begun) * 1000


async def add(store: SqliteStore, ids: tuple[int, int, int], start: int, count: int) -> None:
    """Windows with one result each, many per transaction."""
    loop = asyncio.get_running_loop()

    async def call(method, *arguments):
        future = loop.create_future()
        method(
            *arguments,
            lambda value, error: future.set_exception(error) if error else future.set_result(value),
        )
        return await future

    type_id, plan_id, algorithm_id = ids
    for first in range(start, start + count, BATCH):
        windows = [
            NewWindow(type_id, n * 10, n * 10 + 10, "b", "{}", "", window_digest("b", "{}"), plan_id, 0, 0, 1)
            for n in range(first, first + BATCH)
        ]
        await asyncio.gather(*(call(store.accept, one) for one in windows))
        runs = await store.backlog.take(BATCH, ())
        done = Completion(1, 1, 0, 0, 1)
        node = [NodeRecord(algorithm_id, 4, value=encode_value(1.0))]
        await asyncio.gather(*(call(store.record, run, node, (), done) for run in runs))


async def grown(sizes: list[int]) -> list[dict[str, float]]:
    """Cost of a window and of a look-back of 100 at each size."""
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Path(folder) / "orca.db", synchronous="NORMAL")
        type_id = await store.window_type_id(KIND)
        definition = AlgorithmDef("A", "1.0.0", KIND)
        plan = build_plan([Registration(ProcessorKey("", "P"), (definition,))], KIND.ref)
        ids = (type_id, await store.plan_id(plan, type_id), await store.algorithm_id(definition.ref))
        stored = 1
        for size in sizes:
            await add(store, ids, stored, size - stored - 1000)
            begun = time.process_time()
            await add(store, ids, size - 1000, 1000)
            cost = (time.process_time() - begun) * 1000
            stored = size
            span = WindowSpan(10**12, size * 10, size * 10 + 10)
            best = 9.0
            for _ in range(20):
                begun = time.perf_counter()
                rows = await store.history(ids[2], LookBack(count=100), span)
                best = min(best, time.perf_counter() - begun)
            assert len(rows) == 100
            answers.append({"windows": size, "window_cpu_us": cost, "look_back_100_ms": best * 1000})
        await store.close()
    return answers


if __name__ == "__main__":
    wanted = [int(text) for text in sys.argv[1].split(",")]
    print(json.dumps({"plan_500_ms": min(planning() for _ in range(5)), "sizes": asyncio.run(grown(wanted))}))
