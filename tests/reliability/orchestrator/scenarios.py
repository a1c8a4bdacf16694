"""The faults, each as one coroutine that gives its report; ids are those of the reliability page."""

from __future__ import annotations

import asyncio
import atexit
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import harness
from harness import CoreProcess, Emitter, clean, expected, five_nodes, inspect, settled, window
from limits import a7_disk_full, a10_malformed, a11_beyond_limits
from running import until
from shared_store import a15_replicas_killed, databases, inspect_shared
from worker import Worker, chain

from fault_proxy import FaultProxy
from orca.orchestrator.failpoints import NAMES
from orca.processor import wire
from orca.processor import wire_query as q

__all__ = ["SCENARIOS"]

EMITTERS = 10
# As many calls as one of our workers is given at a time.
CALLS_MAX = 100


async def a1_core_killed(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """kill -9 of the core at random moments, under windows with a five-node DAG on two processors."""
    chance = harness.rng(seed)
    core, workers = CoreProcess(folder), five_nodes()
    for worker in workers:
        await worker.start()
    await core.start()
    await harness.register_five(core.address, workers)
    emitter = Emitter(core.address)
    deadline = time.monotonic() + 120 + kills * 30
    numbers = iter(range(1, windows + 1))
    emitting = [asyncio.ensure_future(emitter.emit(numbers, deadline)) for _ in range(EMITTERS)]
    killed_ns: list[int] = []
    busy_ns: list[
        int
    ] = []  # of restarts that had something to dispatch; else the emitters decide when it comes
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        core.kill()
        killed_ns.append(time.time_ns())
        waiting = open_runs(folder / "orca.db")
        calls = sum(len(worker.requests) for worker in workers)
        begun = time.monotonic()
        await core.start()
        while waiting and sum(len(worker.requests) for worker in workers) == calls:
            if time.monotonic() > begun + 60:
                break
            await asyncio.sleep(0.01)
        if waiting:
            busy_ns.append(killed_ns[-1])
    await asyncio.gather(*emitting)
    await settled(core.address, deadline)
    core.stop()
    for worker in workers:
        await worker.stop()
    report: dict[str, Any] = inspect(folder / "orca.db", emitter)
    dispatches = first_dispatches(folder / "orca.db", busy_ns, killed_ns)
    slowest_s = max(dispatches, default=0.0)
    report |= {
        "kills": kills,
        "restarts_with_work": len(busy_ns),
        "first_dispatches_known": len(dispatches),
        "first_dispatch_s": round(slowest_s, 2),
    }
    # The quick size runs beside other tests, and is no place for a promise in seconds.
    in_time = slowest_s <= (2.0 if kills >= 100 else 60.0)
    report["passed"] = clean(report) and report["acknowledged"] == windows and in_time
    return report


def first_dispatches(path: Path, busy_ns: list[int], killed_ns: list[int]) -> list[float]:
    """Seconds from each restart to what it dispatched first, as the core noted it.

    This process runs both workers and all emitters; what it sees itself comes late. Where nothing that was sent before
    the next kill has ended since under the same dispatch, nothing is known.
    """
    found: list[float] = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        for begun_ns in busy_ns:
            end_ns = next((at for at in killed_ns if at > begun_ns), time.time_ns())
            (first_ns,) = store.execute(
                "SELECT min(sent_ns) FROM executions WHERE sent_ns >= ? AND sent_ns < ?", (begun_ns, end_ns)
            ).fetchone()
            if first_ns is not None:
                found.append((first_ns - begun_ns) / 1e9)
    return found


def open_runs(path: Path) -> int:
    """How much a core that is dead has left to do; looking changes nothing."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT count(*) FROM runs WHERE state = 0").fetchone()[0])


class ChainProcess:
    """`chain_process` on one port for all its lives."""

    def __init__(self, core: str, log: Path) -> None:
        self._core, self._log, self._port = core, log, harness.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start; it registers by itself."""
        script = Path(__file__).with_name("chain_process.py")
        command = [sys.executable, str(script), self._core, str(self._port), str(self._log)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        atexit.register(self._process.kill)

    def kill(self) -> None:
        """kill -9, and collect it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def began(self) -> Counter[tuple[int, str]]:
        """How often each body began."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return Counter((int(number), name) for number, name in (line.split() for line in lines))


async def a2_processor_killed(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """kill -9 of a processor in the middle of its calls: what is stored is kept, only missing nodes run again."""
    chance = harness.rng(seed)
    core = CoreProcess(folder)
    await core.start()
    worker = ChainProcess(core.address, folder / "began.log")
    worker.start()
    emitter = Emitter(core.address)
    deadline = time.monotonic() + 120 + kills * 60
    await _served(core.address, deadline)
    numbers = iter(range(1, windows + 1))
    emitting = asyncio.ensure_future(emitter.emit(numbers, deadline))
    kept: dict[tuple[int, str], int] = {}
    partly = done = 0
    while done < kills:
        before = worker.began().total()
        while worker.began().total() < before + 5 and time.monotonic() < deadline:
            if emitting.done() and len(harness.stored_nodes(folder / "orca.db")) == 5 * windows:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.0, 0.1))
        worker.kill()
        done += 1
        # What it sent before has its moment to be stored; it is dead meanwhile, so nothing begins.
        await asyncio.sleep(0.1)
        began, stored = worker.began(), harness.stored_nodes(folder / "orca.db")
        partly += any(0 < sum((number, name) in stored for name in "ABCDE") < 5 for number, _ in began)
        kept.update({key: began[key] for key in stored if key not in kept})
        worker.start()
    await emitting
    await settled(core.address, deadline)
    core.stop()
    worker.kill()
    values = {name: float(place) for place, name in enumerate("ABCDE", 1)}
    report: dict[str, Any] = inspect(folder / "orca.db", emitter, values=lambda number: values)
    ran = worker.began()
    report |= {
        "kills": done,
        "kills_with_partial_results": partly,
        "nodes_again": sum(count - 1 for count in ran.values()),
        "stored_nodes_again": sum(ran[key] - count for key, count in kept.items()),
    }
    report["passed"] = clean(report) and report["nodes_again"] > 0 and report["stored_nodes_again"] == 0
    return report


async def _served(address: str, deadline: float) -> None:
    """Wait until a processor serves."""
    async with grpc.aio.insecure_channel(address) as channel:
        status = wire.call(channel, q.OrcaQuery.GetStatus)
        while (await status(q.GetStatusRequest())).processors_serving == 0:
            assert time.monotonic() < deadline, "no processor came"
            await asyncio.sleep(0.02)


async def a4_failpoints(
    folder: Path, *, seed: int, windows: int, kills: int, database: Any = None
) -> dict[str, Any]:
    """The core dies at every commit boundary in turn, and always comes to the same end."""
    total: dict[str, Any] = {"failpoints": 0, "hit": 0}
    passed = True
    for name in NAMES:
        environ = {} if database is None else {"ORCA_CORE_DATABASE": await database()}
        core, workers = CoreProcess(folder / name, **environ), five_nodes()
        for worker in workers:
            await worker.start()
        emitter = Emitter(core.address)
        deadline = time.monotonic() + 300
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
        while core.ended is None and time.monotonic() < deadline - 150:  # noqa: ASYNC110 - another process tells nothing
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
        if database is None:
            report = inspect(folder / name / "orca.db", emitter)
        else:
            report = await inspect_shared(environ["ORCA_CORE_DATABASE"], emitter)
        total["failpoints"] += 1
        for key in harness.BAD:
            total[key] = total.get(key, 0) + report[key]
        passed = passed and clean(report) and report["acknowledged"] == windows
    total["passed"] = passed and total["hit"] == total["failpoints"]
    return total


async def a4_on_postgresql(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """The same with a store in PostgreSQL: what a dead core held comes back when its lease ends."""
    with databases.server() as server:
        url = server.get_uri()
        return await a4_failpoints(
            folder,
            seed=seed,
            windows=windows,
            kills=kills,
            database=lambda: databases.new_database(url),
        )


async def _try_to_register(core: CoreProcess, workers: Any) -> None:
    try:
        await harness.register_five(core.address, workers)
    except grpc.aio.AioRpcError:
        return


async def a5_partition(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """A silent partition: noticed, sent again elsewhere, and the late results refused.

    The pings of gRPC notice it (five seconds without a word, three for the answer), or a health check that stays
    unanswered, whichever comes first. Published workers may be too busy for health checks: there only pings count.
    """
    total: dict[str, Any] = {}
    passed = True
    # The quick size runs beside other tests: there it only has to be noticed before the test gives up.
    noticed_max_s = 10.0 if windows >= 200 else 120.0
    for chains in (True, False):
        kind = "ours" if chains else "published"
        # No more calls than a published worker is given at a time: all of them are under way when it is cut off.
        count = windows if chains else min(windows, 8)
        report = await _partition(folder / kind, windows=count, chains=chains)
        total |= {f"{kind}_{name}": report[name] for name in ("noticed_s", "noticed_by", "acknowledged")}
        for key in harness.BAD:
            total[key] = total.get(key, 0) + report[key]
        known = "fell silent" in report["noticed_by"] or "ping timeout" in report["noticed_by"]
        passed = passed and clean(report) and report["noticed_s"] < noticed_max_s and known
    total["passed"] = passed
    return total


async def _partition(folder: Path, *, windows: int, chains: bool) -> dict[str, Any]:
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

    cut, whole = chain(length=1, chains=chains), chain(length=1, chains=chains)
    cut.bodies["A"], whole.bodies["A"] = body("cut"), body("whole")
    core = CoreProcess(folder)
    await cut.start()
    await core.start()
    async with FaultProxy(cut.port) as proxy:
        await cut.register(core.address, address=f"127.0.0.1:{proxy.port}")
        emitter = Emitter(core.address)
        await emitter.emit(iter(range(1, windows + 1)), time.monotonic() + 120)
        # More, where a slow machine had one sent again.
        await until(lambda: len(calls) >= min(windows, CALLS_MAX))
        proxy.blackhole = True
        begun = time.monotonic()
        await whole.start()
        await whole.register(core.address)
        await until(lambda: calls.count("whole") >= windows, 120)
        noticed_s = time.monotonic() - begun
        # It heals, and the first attempt's results come, long after the second's were stored.
        holding.set()
        proxy.blackhole = False
        await settled(core.address, time.monotonic() + 120)
        await asyncio.sleep(0.3)
    core.stop()
    await cut.stop()
    await whole.stop()
    report: dict[str, Any] = inspect(folder / "orca.db", emitter, values=lambda number: {"A": 1.0})
    causes = harness.causes(folder / "orca.db")
    return {**report, "noticed_s": round(noticed_s, 1), "noticed_by": "; ".join(sorted(causes))}


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
    await emitter.emit(iter(warm), time.monotonic() + 300)
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
        await settled(core.address, time.monotonic() + 300 + windows / 100)
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
    # The quick size runs beside other tests, and is no place for a promise in milliseconds.
    quick_emits = windows < 100_000 or report["emit_p50_ms"] < 50
    report["passed"] = clean(report) and max(full, after) - before < 60 and quick_emits
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
    "A-2": (a2_processor_killed, {"windows": 200, "kills": 5}, {"windows": 4000, "kills": 60}),
    "A-4": (a4_failpoints, {"windows": 12, "kills": 0}, {"windows": 200, "kills": 0}),
    "A-4-postgresql": (a4_on_postgresql, {"windows": 6, "kills": 0}, {"windows": 200, "kills": 0}),
    "A-5": (a5_partition, {"windows": 5, "kills": 0}, {"windows": 200, "kills": 0}),
    "A-7": (a7_disk_full, {"windows": 400, "kills": 4}, {"windows": 5000, "kills": 40}),
    "A-10": (a10_malformed, {"windows": 1000, "kills": 0}, {"windows": 20_000, "kills": 0}),
    "A-11": (a11_beyond_limits, {"windows": 1, "kills": 0}, {"windows": 20, "kills": 0}),
    "A-9": (a9_backlog, {"windows": 10_000, "kills": 0}, {"windows": 100_000, "kills": 0}),
    "A-13": (a13_crowd, {"windows": 0, "kills": 0}, {"windows": 0, "kills": 0}),
    "A-15": (a15_replicas_killed, {"windows": 500, "kills": 8}, {"windows": 10_000, "kills": 100}),
}
assert expected(3)["E"] == 30.0
