"""The worker side by side with orca-python 0.13.0: the same client, the same calls, in one run.

    python benchmarks/processor/run.py [--quick] [--transport auto|grpc] [--json FILE]

Absolute numbers drift with the machine; the ratios are what counts. Every measurement is taken in turns, theirs and
ours, and the median of the rounds is compared. Both are registered with a core, as in real use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import psutil
import uvloop

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from orca.processor import arrays, convert, wire  # noqa: E402
from orca.processor.model import Window  # noqa: E402
from published import published_python  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

THEIRS = """
import os, sys, time
from orca_python import Processor, ValueResult, WindowType, ExecutionParams
proc = Processor("bench")
window = WindowType("Bench", "1.0.0", "bench")
for i in range(100):
    def quick(params: ExecutionParams) -> ValueResult:
        "does nothing"
        return ValueResult(1.0)
    proc.algorithm(f"Quick{i}", "1.0.0", window)(quick)
def slow(params: ExecutionParams) -> ValueResult:
    "waits"
    time.sleep(0.2)
    return ValueResult(1.0)
proc.algorithm("Slow", "1.0.0", window)(slow)
proc.Register()
proc.Start()
"""
OURS = THEIRS.replace("from orca_python import", "from orca.processor import").replace(
    "import os, sys, time",
    "import logging, os, sys, time\nlogging.basicConfig(level=logging.INFO, "
    "format='%(asctime)s - %(name)s - %(levelname)s - %(message)s')",
)
IMPORT = (
    "import time; start = time.process_time(); import {module}; print((time.process_time() - start) * 1000)"
)
TARGETS = {
    "part of 1": 1.4,
    "part of 10": 2.5,
    "part of 100": 4.0,
    "50 concurrent": 2.0,
    "first of 100": 5.0,
    "cpu per algorithm": 3.0,
}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def core() -> Any:
    """A core that takes every registration and knows every processor; yields its port."""
    known = wire.InternalState()

    def register(request: wire.ProcessorRegistration, _context: Any) -> wire.Status:
        known.processors.append(request)
        return wire.Status(received=True, message="Successfully registered processor")

    def expose(_request: wire.ExposeSettings, _context: Any) -> wire.InternalState:
        return known

    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            function, method.request.FromString, method.response.SerializeToString
        )
        for method, function in ((wire.OrcaCore.RegisterProcessor, register), (wire.OrcaCore.Expose, expose))
    }
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("OrcaCore", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@contextmanager
def worker(python: str, program: str, core_port: int) -> Any:
    """A worker process; yields (port, process)."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            "ORCA_CORE": f"127.0.0.1:{core_port}",
            "PROCESSOR_ADDRESS": f"127.0.0.1:{port}",
            "PROCESSOR_EXTERNAL_PORT": str(port),
        }
        with Path(folder, "log").open("w") as log:
            child = subprocess.Popen([python, "-c", program], env=env, cwd=folder, stdout=log, stderr=log)
            try:
                for _ in range(500):
                    with socket.socket() as probe:
                        if probe.connect_ex(("127.0.0.1", port)) == 0:
                            break
                    time.sleep(0.02)
                else:
                    raise RuntimeError(Path(folder, "log").read_text())
                yield port, psutil.Process(child.pid)
            finally:
                child.terminate()
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()


def request(count: int, name: str = "Quick") -> Any:
    window = Window(1_747_582_274, 1_747_582_304, "Bench", "1.0.0", "bench")
    made = wire.ExecutionRequest(
        exec_id="0123456789abcdef0123456789abcdef", window=convert.window_to_wire(window)
    )
    for i in range(count):
        execution = made.algorithm_executions.add()
        execution.algorithm.name = f"{name}{i}" if name == "Quick" else name
        execution.algorithm.version = "1.0.0"
    return made


class Side:
    """One worker under the client."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.process = process
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=wire.channel_options())
        # Bytes in and bytes out: the client's own parsing must not be what is measured.
        self.execute = self.channel.unary_stream(wire.OrcaProcessor.ExecuteDagPart.path)
        options = [*wire.channel_options(), ("SingleThreadedUnaryStream", 1)]
        self.blocking = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        self.serial = self.blocking.unary_stream(wire.OrcaProcessor.ExecuteDagPart.path)
        self.health = wire.call(self.channel, wire.OrcaProcessor.HealthCheck)

    async def call(self, message: Any, count: int) -> None:
        """Read a whole answer among others."""
        async for _ in self.execute(message, timeout=60):
            count -= 1
        if count:
            raise RuntimeError(f"{count} results are missing")

    def one(self, request: bytes, count: int) -> float:
        """Read a whole answer alone; returns the seconds until its first result."""
        start = time.perf_counter()
        stream = self.serial(request, timeout=60)
        last = next(stream)
        first = time.perf_counter() - start
        for message in stream:
            last = message
            count -= 1
        if count != 1 or wire.ExecutionResult.FromString(last).algorithm_result.result.single_value != 1.0:
            raise RuntimeError(f"{count} results are missing, or wrong")
        return first

    def rate(self, size: int, repeats: int) -> dict[str, float]:
        message = request(size).SerializeToString()
        self.one(message, size)
        before = sum(self.process.cpu_times()[:2])
        start = time.perf_counter()
        firsts = [self.one(message, size) for _ in range(repeats)]
        spent = time.perf_counter() - start
        cpu = sum(self.process.cpu_times()[:2]) - before
        done = size * repeats
        return {"rate": done / spent, "first_ms": statistics.median(firsts) * 1e3, "cpu_us": cpu / done * 1e6}

    async def concurrent(self, rounds: int) -> dict[str, float]:
        message = request(1).SerializeToString()
        await asyncio.gather(*(self.call(message, 1) for _ in range(50)))
        start = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(self.call(message, 1) for _ in range(50)))
        return {"rate": 50 * rounds / (time.perf_counter() - start)}

    async def health_ms(self) -> float:
        """The health check behind 50 algorithms of 200 ms."""
        busy = [asyncio.create_task(self.call(request(1, "Slow").SerializeToString(), 1)) for _ in range(50)]
        await asyncio.sleep(0.1)
        start = time.perf_counter()
        await self.health(wire.HealthCheckRequest(), timeout=60)
        spent = time.perf_counter() - start
        await asyncio.gather(*busy)
        return spent * 1e3


async def compare(
    sides: dict[str, Side], *, rounds: int, scale: int
) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    plan: list[tuple[str, Callable[[Side], Awaitable[dict[str, float]]]]] = [
        ("part of 1", lambda side: asyncio.to_thread(side.rate, 1, 60 * scale)),
        ("part of 10", lambda side: asyncio.to_thread(side.rate, 10, 25 * scale)),
        ("part of 100", lambda side: asyncio.to_thread(side.rate, 100, 8 * scale)),
        ("50 concurrent", lambda side: side.concurrent(2 * scale)),
    ]
    for _ in range(rounds):
        for name, measure in plan:
            for who, side in sides.items():
                found.setdefault(name, {}).setdefault(who, []).append(await measure(side))
    return {
        name: {
            who: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
            for who, runs in both.items()
        }
        for name, both in found.items()
    }


def timed(function: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return min(spent) * 1e3


def conversions() -> dict[str, float]:
    """A million numbers, by protobuf's own way and by ours, in milliseconds."""
    values = np.random.default_rng(0).random(1_000_000, dtype=np.float32)
    message = wire.FloatArray(values=values)

    def ours() -> None:
        arrays.fill_floats(wire.FloatArray(), values)

    return {
        "to_theirs_ms": timed(lambda: wire.FloatArray(values=values), 3),
        "to_ours_ms": timed(ours, 10),
        "from_theirs_ms": timed(lambda: np.array(list(message.values), dtype=np.float32), 3),
        "from_ours_ms": timed(lambda: arrays.as_numpy(message), 10),
    }


def import_ms(python: str, module: str) -> float:
    program = IMPORT.format(module=module)
    runs = [
        subprocess.run([python, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    return statistics.median(float(run.stdout) for run in runs)


async def measure(ports: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    sides = {who: Side(*place) for who, place in ports.items()}
    found: dict[str, Any] = dict(await compare(sides, rounds=3 if quick else 7, scale=3 if quick else 10))
    found["health behind 50 slow"] = {who: {"ms": await side.health_ms()} for who, side in sides.items()}
    found["memory and threads"] = {
        who: {"mb": side.process.memory_info().rss / 1e6, "threads": side.process.num_threads()}
        for who, side in sides.items()
    }
    for side in sides.values():
        await side.channel.close()
        side.blocking.close()
    return found


def ratios(found: dict[str, Any]) -> dict[str, float]:
    both = {name: (value["theirs"], value["ours"]) for name, value in found.items() if name != "arrays"}
    made = {name: ours["rate"] / theirs["rate"] for name, (theirs, ours) in both.items() if "rate" in ours}
    theirs, ours = both["part of 100"]
    made["first of 100"] = theirs["first_ms"] / ours["first_ms"]
    made["cpu per algorithm"] = theirs["cpu_us"] / max(ours["cpu_us"], 0.01)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--transport", choices=["auto", "grpc"], default="auto", help="what serves our side")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    theirs = str(published_python("orca-python==0.13.0", python=sys.executable))
    program = OURS.replace('Processor("bench")', f'Processor("bench", transport="{options.transport}")')
    with (
        core() as port,
        worker(theirs, THEIRS, port) as one,
        worker(sys.executable, program, port) as two,
    ):
        found = uvloop.run(measure({"theirs": one, "ours": two}, quick=options.quick))
    found["arrays"] = conversions()
    found["import ms"] = {
        "theirs": {"ms": import_ms(theirs, "service_pb2")},
        "ours": {"ms": import_ms(sys.executable, "orca.processor")},
    }
    made = ratios(found)
    for name, both in found.items():
        print(f"{name:24}", json.dumps(both, default=float))
    missed = 0
    for name, ratio in made.items():
        good = ratio >= TARGETS[name]
        missed += not good
        print(f"{name:24} {ratio:6.2f}x  target {TARGETS[name]:.1f}x  {'ok' if good else 'MISSED'}")
    print(
        f"arrays to {found['arrays']['to_theirs_ms'] / found['arrays']['to_ours_ms']:.0f}x, "
        f"from {found['arrays']['from_theirs_ms'] / found['arrays']['from_ours_ms']:.0f}x  target 30x"
    )
    if options.json:
        options.json.write_text(json.dumps({"measured": found, "ratios": made}, indent=2, default=float))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
