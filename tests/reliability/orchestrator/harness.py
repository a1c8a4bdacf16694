"""A core in a process that is killed, workers and emitters around it, and what the outside saw."""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "packages" / "orchestrator" / "tests" / "support_orchestrator"))
sys.path.insert(0, str(ROOT / "tests" / "support"))

from running import START_S, window  # noqa: E402
from worker import Worker  # noqa: E402

from orca.orchestrator.corefile import read_core_file  # noqa: E402
from orca.processor import wire  # noqa: E402
from orca.processor import wire_query as q  # noqa: E402
from ports import free_port  # noqa: E402

__all__ = ["START_S", "CoreProcess", "Emitter", "five_nodes", "free_port", "inspect", "settled", "window"]

# Three interpreters that start at once on a machine whose cores are busy.
READY_S = 60.0
# The wire carries float32: products of two numbers below this are exact.
EXACT = 1000


class CoreProcess:
    """``python -m orca.orchestrator`` in a folder, on one port for all its lives."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder, self.port, self.environ = folder, free_port(), environ
        self.address = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.lives = 0

    async def start(self, **environ: str) -> None:
        """Start and wait until it listens."""
        values = {
            **os.environ,
            "ORCA_CORE_FOLDER": str(self.folder),
            "ORCA_CORE_PORT": str(self.port),
            **self.environ,
            **environ,
        }
        quiet = subprocess.DEVNULL
        command = [sys.executable, "-m", "orca.orchestrator"]
        self.process = subprocess.Popen(command, env=values, stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: ASYNC220 - milliseconds
        # However the test ends, no core outlives it.
        atexit.register(self.process.kill)
        self.lives += 1
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            known = read_core_file(self.folder)
            if known is not None and known["pid"] == self.process.pid:
                return
            if self.process.poll() is not None:
                # A failpoint may end it before it ever listens.
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the core did not listen in time")

    def kill(self) -> None:
        """As a power switch does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def ended(self) -> int | None:
        """The exit code, when it has ended by itself."""
        assert self.process is not None
        return self.process.poll()

    def stop(self) -> None:
        """A clean stop; bounded."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def rss_mb(self) -> float:
        """Resident memory."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")


class Emitter:
    """Emits windows until each is acknowledged, and writes down what it was told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.acknowledged: dict[int, int] = {}
        self.retries = 0

    async def emit(self, numbers: Any, deadline: float) -> None:
        """Take numbers from an iterator that several emitters share."""
        options = [
            *wire.channel_options(),
            ("grpc.max_reconnect_backoff_ms", 300),
            ("grpc.initial_reconnect_backoff_ms", 50),
        ]
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            call = wire.call(channel, wire.OrcaCore.EmitWindow)
            for number in numbers:
                while True:
                    assert time.monotonic() < deadline, "a window was never acknowledged"
                    try:
                        answer = call(window(number), timeout=5, wait_for_ready=True)
                        status = await answer
                        assert status.status == wire.WindowEmitStatus.PROCESSING_TRIGGERED
                        found = dict(list(await answer.trailing_metadata()))
                        self.acknowledged[number] = int(found[wire.WINDOW_ID_KEY])
                        break
                    except grpc.aio.AioRpcError:
                        self.retries += 1
                        await asyncio.sleep(0.02)


def five_nodes(*, chains: bool = True) -> tuple[Worker, Worker]:
    """A -> B, C -> D -> E over two processors; every value follows from the window."""

    def start(inputs: Any, request: Any) -> float:
        return float((request.window.time_from.seconds - START_S) // 30 % EXACT)

    one = Worker(
        "one",
        {"A": start, "C": lambda i, r: i["A"][0] + 2.0, "E": lambda i, r: i["D"][0] + 10.0},
        chains=chains,
    )
    two = Worker(
        "two", {"B": lambda i, r: i["A"][0] + 1.0, "D": lambda i, r: i["B"][0] * i["C"][0]}, chains=chains
    )
    one.algorithm("A")
    two.algorithm("B", "A")
    one.algorithm("C", "A")
    two.algorithm("D", "B", "C")
    one.algorithm("E", "D")
    return one, two


def expected(number: int) -> dict[str, float]:
    """What the five nodes give for a window."""
    a = float(number % EXACT)
    d = (a + 1.0) * (a + 2.0)
    return {"A": a, "B": a + 1.0, "C": a + 2.0, "D": d, "E": d + 10.0}


async def register_five(address: str, workers: tuple[Worker, Worker]) -> None:
    """Register both: each depends on the other, so what is missing comes in a second round."""
    one, two = workers
    kept = dict(one.algorithms)
    try:
        one.algorithms = {"A": kept["A"], "C": kept["C"]}
        await one.register(address)
        await two.register(address)
    finally:
        one.algorithms = kept
    await one.register(address)


async def settled(address: str, deadline: float) -> None:
    """Wait until no run is open."""
    async with grpc.aio.insecure_channel(address) as channel:
        status = wire.call(channel, q.OrcaQuery.GetStatus)
        while True:
            assert time.monotonic() < deadline, "runs stayed open"
            try:
                answer = await status(q.GetStatusRequest(), timeout=5, wait_for_ready=True)
                if answer.open_runs == 0:
                    return
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(0.02)


def stored_nodes(path: Path) -> set[tuple[int, str]]:
    """Window number and algorithm of every result that is on disk now."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    rows = connection.execute(
        "SELECT r.time_from, a.name FROM results r JOIN algorithms a ON a.id = r.algorithm_id"
    ).fetchall()
    connection.close()
    return {((row[0] // 10**9 - START_S) // 30, row[1]) for row in rows}


def causes(path: Path) -> set[str]:
    """Why attempts were given up, without the addresses."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT DISTINCT cause FROM attempts").fetchall()
    connection.close()
    return {re.sub(r"127\.0\.0\.1:\d+", "it", row[0]) for row in rows}


def inspect(path: Path, emitter: Emitter, *, values: Any = expected) -> dict[str, int]:
    """Compare the store of a stopped core with what emitters were told and what algorithms compute."""
    connection = sqlite3.connect(path)
    healthy = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    found = [connection.execute(sql).fetchall() for sql in STORED]
    connection.close()
    return compare(*found, emitter=emitter, values=values) | {"unhealthy": int(not healthy)}


# What a check reads of a store, whichever database it is in.
STORED = (
    "SELECT id, time_from FROM windows",
    "SELECT r.window_id, a.name, r.number FROM results r JOIN algorithms a ON a.id = r.algorithm_id",
    "SELECT state, count(*) FROM runs GROUP BY state",
)


def compare(
    windows: Any, rows: Any, runs: Any, *, emitter: Emitter, values: Any = expected
) -> dict[str, int]:
    """Compare stored rows with what emitters were told and what algorithms compute."""
    stored = {row[0]: (row[1] // 10**9 - START_S) // 30 for row in windows}
    results: dict[int, dict[str, list[float]]] = {}
    for window_id, name, number in rows:
        results.setdefault(window_id, {}).setdefault(name, []).append(number)
    missing = wrong = duplicates = 0
    for window_id, number in stored.items():
        found = results.get(window_id, {})
        for name, value in values(number).items():
            if name not in found:
                missing += 1
            elif found[name] != [value]:
                duplicates += len(found[name]) > 1
                wrong += found[name][0] != value
    lost = sum(window_id not in stored for window_id in emitter.acknowledged.values())
    twice = len(stored) - len(set(stored.values()))
    states = {row[0]: row[1] for row in runs}
    return {
        "acknowledged": len(emitter.acknowledged),
        "stored": len(stored),
        "lost": lost,
        "windows_twice": twice,
        "results_missing": missing,
        "results_wrong": wrong,
        "results_twice": duplicates,
        "runs_open": states.get(0, 0),
        "runs_failed": states.get(2, 0),
        "unhealthy": 0,
        "retries": emitter.retries,
    }


BAD = (
    "lost",
    "windows_twice",
    "results_missing",
    "results_wrong",
    "results_twice",
    "runs_open",
    "runs_failed",
    "unhealthy",
)


def clean(report: dict[str, int]) -> bool:
    """Whether nothing was lost, doubled or broken."""
    return all(report[key] == 0 for key in BAD)


def rng(seed: int) -> random.Random:
    """The one source of chance of a run."""
    return random.Random(seed)
