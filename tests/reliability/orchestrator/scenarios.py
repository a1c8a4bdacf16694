"""The faults, each as one coroutine that gives its report; ids are those of the reliability page."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import harness
from harness import CoreProcess, Emitter, clean, expected, five_nodes, inspect, settled, window
from running import until
from worker import Worker, chain

from fault_proxy import FaultProxy
from orca.orchestrator.failpoints import NAMES
from orca.processor import wire
from orca.processor import wire_query as q

__all__ = ["SCENARIOS"]

EMITTERS = 10


async def a1_core_killed(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """kill -9 of the core at random moments, under windows with a five-node DAG on two processors."""
    chance = harness.rng(seed)
    core, workers = CoreProcess(folder), five_nodes()
    for worker in workers:
        await worker.start()
    await core.start()
    await harness.register_five(core.address, workers)
    emitter = Emitter(core.address)
    deadline = time.monotonic() + 60 + kills * 5
    numbers = iter(range(1, windows + 1))
    emitting = [asyncio.ensure_future(emitter.emit(numbers, deadline)) for _ in range(EMITTERS)]
    slowest_s = 0.0
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        core.kill()
        calls = sum(len(worker.requests) for worker in workers)
        begun = time.monotonic()
        await core.start()
        while sum(len(worker.requests) for worker in workers) == calls and time.monotonic() < begun + 10:
            if len(emitter.acknowledged) == windows:
                break
            await asyncio.sleep(0.01)
        slowest_s = max(slowest_s, time.monotonic() - begun)
    await asyncio.gather(*emitting)
    await settled(core.address, deadline)
    core.stop()
    for worker in workers:
        await worker.stop()
    report: dict[str, Any] = inspect(folder / "orca.db", emitter)
    report |= {"kills": kills, "first_dispatch_s": round(slowest_s, 2)}
    report["passed"] = clean(report) and report["acknowledged"] == windows
    return report


async def a2_processor_killed(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """A processor dies after some of its results: those are kept, only the missing nodes run again."""
    chance = harness.rng(seed)
    ran: dict[tuple[int, str], int] = {}
    stop_at: dict[str, int] = {"left": 0}
    dying = asyncio.Event()
    kept: dict[tuple[int, str], int] = {}

    def body(name: str) -> Any:
        async def run(inputs: Any, request: Any) -> float:
            number = int(expected_number(request))
            ran[number, name] = ran.get((number, name), 0) + 1
            if stop_at["left"] > 0:
                stop_at["left"] -= 1
                if stop_at["left"] == 0:
                    dying.set()
            if dying.is_set():
                # The process is about to die: nothing more gets out of it.
                await asyncio.Event().wait()
            return sum(sum(rows) for rows in inputs.values()) + 1.0

        return run

    worker = chain(chains=True, length=5)
    worker.bodies = {name: body(name) for name in worker.bodies}
    core = CoreProcess(folder)
    await worker.start()
    await core.start()
    await worker.register(core.address)
    emitter = Emitter(core.address)
    deadline = time.monotonic() + 60 + kills * 5
    numbers = iter(range(1, windows + 1))
    emitting = asyncio.ensure_future(emitter.emit(numbers, deadline))
    for _ in range(kills):
        stop_at["left"] = chance.randint(2, 9)
        try:
            await asyncio.wait_for(dying.wait(), 5)
        except asyncio.TimeoutError:
            break
        # Results that were sent before have had their moment to be stored.
        await asyncio.sleep(0.05)
        await worker.stop()
        for key in harness.stored_nodes(folder / "orca.db"):
            kept.setdefault(key, ran[key])
        dying.clear()
        stop_at["left"] = 0
        await worker.start()
    await emitting
    await settled(core.address, deadline)
    core.stop()
    await worker.stop()
    chain_values = {name: float(place) for place, name in enumerate("ABCDE", 1)}
    report: dict[str, Any] = inspect(folder / "orca.db", emitter, values=lambda number: chain_values)
    again = sum(count - 1 for count in ran.values())
    needless = sum(ran[key] - count for key, count in kept.items())
    report |= {"kills": kills, "nodes_again": again, "stored_nodes_again": needless}
    report["passed"] = clean(report) and again > 0 and needless == 0
    return report


def expected_number(request: Any) -> float:
    """Which window a request is about."""
    return float((request.window.time_from.seconds - harness.START_S) // 30)


async def a4_failpoints(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """The core dies at every commit boundary in turn, and always comes to the same end."""
    total: dict[str, Any] = {"failpoints": 0, "hit": 0}
    passed = True
    for name in NAMES:
        core, workers = CoreProcess(folder / name), five_nodes()
        for worker in workers:
            await worker.start()
        emitter = Emitter(core.address)
        deadline = time.monotonic() + 60
        registering = name.startswith("register")
        if not registering:
            await core.start()
            await harness.register_five(core.address, workers)
            core.stop()
        await core.start(ORCA_FAILPOINT=f"{name}:exit9:{1 + seed % 3}")
        numbers = iter(range(1, windows + 1))
        emitting: asyncio.Future[Any] | None = None
        if registering:
            await _try_to_register(core, workers)
        else:
            emitting = asyncio.ensure_future(emitter.emit(numbers, deadline))
        while core.ended is None and time.monotonic() < deadline - 30:  # noqa: ASYNC110 - another process tells nothing
            await asyncio.sleep(0.01)
        total["hit"] += core.ended == 9
        await core.start()
        if registering:
            await harness.register_five(core.address, workers)
            emitting = asyncio.ensure_future(emitter.emit(numbers, deadline))
        assert emitting is not None
        await emitting
        await settled(core.address, deadline)
        core.stop()
        for worker in workers:
            await worker.stop()
        report = inspect(folder / name / "orca.db", emitter)
        total["failpoints"] += 1
        for key in harness.BAD:
            total[key] = total.get(key, 0) + report[key]
        passed = passed and clean(report) and report["acknowledged"] == windows
    total["passed"] = passed and total["hit"] == total["failpoints"]
    return total


async def _try_to_register(core: CoreProcess, workers: Any) -> None:
    try:
        await harness.register_five(core.address, workers)
    except grpc.aio.AioRpcError:
        return


async def a5_partition(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """A silent partition: noticed by the keepalive, sent again elsewhere, and the late result refused."""
    holding = asyncio.Event()
    calls: list[str] = []

    def body(name: str) -> Any:
        async def run(inputs: Any, request: Any) -> float:
            calls.append(name)
            if name == "cut":
                await holding.wait()
                return -1.0
            return 1.0

        return run

    cut, whole = chain(length=1), chain(length=1)
    cut.bodies["A"], whole.bodies["A"] = body("cut"), body("whole")
    core = CoreProcess(folder)
    await cut.start()
    await core.start()
    async with FaultProxy(cut.port) as proxy:
        await cut.register(core.address, address=f"127.0.0.1:{proxy.port}")
        emitter = Emitter(core.address)
        await emitter.emit(iter(range(1, windows + 1)), time.monotonic() + 30)
        await until(lambda: len(calls) == windows)
        proxy.blackhole = True
        begun = time.monotonic()
        await whole.start()
        await whole.register(core.address)
        await until(lambda: calls.count("whole") == windows, 30)
        noticed_s = time.monotonic() - begun
        # It heals, and the first attempt's results come, long after the second's were stored.
        holding.set()
        proxy.blackhole = False
        await settled(core.address, time.monotonic() + 30)
        await asyncio.sleep(0.3)
    core.stop()
    await cut.stop()
    await whole.stop()
    report: dict[str, Any] = inspect(folder / "orca.db", emitter, values=lambda number: {"A": 1.0})
    report |= {"noticed_s": round(noticed_s, 1)}
    report["passed"] = clean(report) and noticed_s < 10
    return report


async def a9_backlog(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """A processor that takes its time, and a backlog that stays on the disk: memory bounded, emits fast."""
    opened = asyncio.Event()

    async def slow(inputs: Any, request: Any) -> float:
        await opened.wait()
        return 1.0

    worker = chain(length=1)
    worker.bodies["A"] = slow
    core = CoreProcess(folder)
    await worker.start()
    await core.start()
    await worker.register(core.address)
    emitter = Emitter(core.address)
    warm = list(range(1, 200))
    await emitter.emit(iter(warm), time.monotonic() + 60)
    before = core.rss_mb()
    begun = time.monotonic()
    async with grpc.aio.insecure_channel(core.address) as channel:
        many = wire.call(channel, q.OrcaQuery.EmitMany)
        kind = q.Ref(name="Every30Second", version="1.0.0")
        for start in range(200, windows, 1000):
            batch = [
                q.EmitWindow(
                    window_type=kind,
                    time_from_ns=(harness.START_S + number * 30) * 10**9,
                    time_to_ns=(harness.START_S + number * 30 + 30) * 10**9,
                    origin="test",
                )
                for number in range(start, min(start + 1000, windows))
            ]
            answer = await many(q.EmitManyRequest(windows=batch), timeout=60)
            for number, one in zip(range(start, start + 1000), answer.emitted, strict=False):
                emitter.acknowledged[number] = one.window_id
        emit_rate = windows / (time.monotonic() - begun)
        call = wire.call(channel, wire.OrcaCore.EmitWindow)
        took: list[float] = []
        for number in range(windows, windows + 100):
            t = time.perf_counter()
            answer = call(window(number))
            await answer
            took.append(time.perf_counter() - t)
            emitter.acknowledged[number] = int(
                dict(list(await answer.trailing_metadata()))[wire.WINDOW_ID_KEY]
            )
        full = core.rss_mb()
        opened.set()
        begun = time.monotonic()
        await settled(core.address, time.monotonic() + 60 + windows / 100)
        drain_rate = windows / (time.monotonic() - begun)
        after = core.rss_mb()
    core.stop()
    await worker.stop()
    report: dict[str, Any] = inspect(folder / "orca.db", emitter, values=lambda number: {"A": 1.0})
    report |= {
        "rss_before_mb": round(before),
        "rss_full_mb": round(full),
        "rss_after_mb": round(after),
        "emit_p50_ms": round(sorted(took)[50] * 1000, 2),
        "emitted_per_s": round(emit_rate),
        "drained_per_s": round(drain_rate),
    }
    report["passed"] = clean(report) and max(full, after) - before < 60 and report["emit_p50_ms"] < 50
    return report


async def a13_crowd(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """Many processors registering at once, some of them in conflict."""
    core = CoreProcess(folder)
    await core.start()
    count = 50
    workers = []
    for number in range(count):
        worker = Worker(f"p{number}", {})
        # Every tenth claims an algorithm that its neighbour has too.
        worker.algorithm(f"Own{number - 1}" if number % 10 == 9 else f"Own{number}")
        worker.port = 20_000 + number
        workers.append(worker)
    answers = await asyncio.gather(
        *(worker.register(core.address) for worker in workers), return_exceptions=True
    )
    refused = [error for error in answers if isinstance(error, grpc.aio.AioRpcError)]
    both_shown = all(
        error.code() is grpc.StatusCode.ALREADY_EXISTS and error.details().count("of processor 'p") == 2
        for error in refused
    )
    taken = count - len(refused)
    async with grpc.aio.insecure_channel(core.address) as channel:
        listing = wire.call(channel, q.OrcaQuery.ListProcessors)
        first = [row.name async for row in listing(q.ListProcessorsRequest())]
        await asyncio.gather(
            *(
                worker.register(core.address)
                for worker, a in zip(workers, answers, strict=True)
                if not isinstance(a, BaseException)
            )
        )
        again = [row.name async for row in listing(q.ListProcessorsRequest())]
    core.stop()
    report: dict[str, Any] = {"processors": count, "taken": taken, "refused": len(refused)}
    report["passed"] = (
        len(refused) == count // 10 and both_shown and sorted(first) == sorted(again) and len(again) == taken
    )
    return report


SCENARIOS: dict[str, tuple[Any, dict[str, int], dict[str, int]]] = {
    "A-1": (a1_core_killed, {"windows": 1000, "kills": 10}, {"windows": 10_000, "kills": 100}),
    "A-2": (a2_processor_killed, {"windows": 60, "kills": 4}, {"windows": 2000, "kills": 100}),
    "A-4": (a4_failpoints, {"windows": 12, "kills": 0}, {"windows": 200, "kills": 0}),
    "A-5": (a5_partition, {"windows": 5, "kills": 0}, {"windows": 200, "kills": 0}),
    "A-9": (a9_backlog, {"windows": 10_000, "kills": 0}, {"windows": 100_000, "kills": 0}),
    "A-13": (a13_crowd, {"windows": 0, "kills": 0}, {"windows": 0, "kills": 0}),
}
assert expected(3)["E"] == 30.0
