"""Faults against a processor: ``run.py [--size quick|full] [--seed N] [--only A-10] [--report FILE]``.

The processor is a process of its own, served by both transports in turn. While it is attacked, a probe runs a good
algorithm again and again: every one of its calls must be answered, right, and at the end the process must be the same.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil

sys.path.insert(0, str(Path(__file__).parent))

import misbehaving

from orca.processor import convert, wire
from orca.processor.model import Window

WINDOW = Window(1_747_582_274, 1_747_582_304, "Every30Second", "1.0.0", "chaos", {"asset_id": 1})
PATH = wire.OrcaProcessor.ExecuteDagPart.path
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
MEMORY_BYTES_MAX = 1_000_000_000
"""Four messages of 50 MB at work in several forms, and the rest of the process: far more would be a leak."""


def request(*names: str) -> Any:
    made = wire.ExecutionRequest(exec_id="chaos", window=convert.window_to_wire(WINDOW))
    for name in names:
        execution = made.algorithm_executions.add()
        execution.algorithm.name, execution.algorithm.version = name, "1.0.0"
    return made


class Target:
    """The processor, and what calls it."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port, self.process = port, process
        self.channel = self.open()

    def open(self, **options: Any) -> Any:
        return grpc.insecure_channel(
            f"127.0.0.1:{self.port}", options=[("grpc.max_send_message_length", -1)], **options
        )

    def raw(self, data: bytes, channel: Any = None) -> str:
        """The status name of a call with these bytes as its message."""
        try:
            list((channel or self.channel).unary_stream(PATH)(data, timeout=60))
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def execute(self, *names: str, timeout_s: float = 300) -> dict[str, Any]:
        stream = wire.call(self.channel, wire.OrcaProcessor.ExecuteDagPart)(
            request(*names), timeout=timeout_s
        )
        return {
            one.algorithm_result.algorithm.name: convert.result_from_wire(one.algorithm_result.result)
            for one in stream
        }


@contextmanager
def target(transport: str) -> Iterator[Target]:
    program = Path(__file__).with_name("child.py")
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            [sys.executable, str(program), transport],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(log.read())
            yield Target(int(line), psutil.Process(child.pid))
        finally:
            child.terminate()
            child.communicate(timeout=60)


class Probe:
    """Somebody else's good calls while the processor is attacked."""

    def __init__(self, under: Target) -> None:
        self._under, self._over = under, threading.Event()
        self.good = 0
        self.bad: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Probe:  # noqa: PYI034 - not part of any API
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._one()

    def _one(self) -> None:
        try:
            answer = self._under.execute("Good", timeout_s=60)["Good"]
        except grpc.RpcError as error:
            self.bad[str(error.code())] += 1
        else:
            self.good += answer.value == 1.0
            self.bad["wrong"] += answer.value != 1.0


# --- malformed


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def nested(depth: int) -> bytes:
    """A call whose window's metadata is ``depth`` structs deep."""
    value = b"\x20\x01"
    for _ in range(depth):
        value = field(6, field(1, value))
    return field(2, field(6, field(1, field(1, b"k") + field(2, value))))


def mutated(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at:at] = rng.randbytes(rng.randint(1, 20))
        elif kind == 2:
            del out[at : at + rng.randint(1, 20)]
        else:
            out[at:at] = out[: rng.randint(0, len(out))]
    return bytes(out)


def malformed_messages(under: Target, rng: random.Random, count: int) -> dict[str, Any]:
    """Mutations of a good call: run or refused as the caller's fault, never anything else."""
    good = request("Good", "Echo").SerializeToString()
    seen: Counter[str] = Counter()
    for _ in range(count):
        seen[under.raw(mutated(rng, good))] += 1
    for depth in (25, 200, 5000):
        seen[under.raw(nested(depth))] += 1
    odd = request("Echo")
    odd.window.metadata.fields["odd"].number_value = float("nan")
    seen[under.raw(odd.SerializeToString())] += 1
    wrong = seen.keys() - {"OK", "INVALID_ARGUMENT"}
    return {"messages": sum(seen.values()), "refused": seen["INVALID_ARGUMENT"], "wrong": sorted(wrong)}


def http2_stream(rng: random.Random) -> bytes:
    """A connection's bytes: frames of a good beginning, then of nonsense."""
    data = PREFACE + b"\0\0\0\4\0\0\0\0\0"
    for _ in range(rng.randint(1, 30)):
        payload = rng.randbytes(rng.choice([0, 4, 5, 6, 8, 40, 1000]))
        length = len(payload) if rng.random() < 0.9 else rng.randrange(2**24)
        kind, flags, stream = rng.randrange(12), rng.randrange(256), rng.randrange(8)
        data += length.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    return data if rng.random() < 0.8 else mutated(rng, data)


def malformed_connections(under: Target, rng: random.Random, count: int) -> dict[str, Any]:
    """Connections that speak nonsense: each is ended or ignored, and nobody else notices."""
    for _ in range(count):
        with suppress(OSError), socket.create_connection(("127.0.0.1", under.port), timeout=10) as plain:
            plain.sendall(http2_stream(rng))
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65_536):
                pass
    return {"connections": count}


# --- too large


def oversized(under: Target, rng: random.Random, count: int) -> dict[str, Any]:
    """Messages beyond 50 MB, plain and packed, calls that are never completed, and floods of small frames."""
    seen: Counter[str] = Counter()
    for _ in range(count):
        size = rng.randint(53_000_000, 90_000_000)
        seen[under.raw(field(1, b"x" * size))] += 1
        with under.open(compression=grpc.Compression.Gzip) as packed:
            seen[under.raw(field(1, b"\0" * 200_000_000), packed)] += 1
        flood(under, rng)
    wrong = seen.keys() - {"RESOURCE_EXHAUSTED"}
    bomb = len(gzip.compress(bytes(200_000_000), 1))
    return {"messages": sum(seen.values()), "bomb_bytes": bomb, "wrong": sorted(wrong)}


def flood(under: Target, rng: random.Random) -> None:
    frames = [
        b"\0\0\x08\6\0\0\0\0\0" + b"12345678",  # pings
        b"\0\0\0\4\0\0\0\0\0",  # settings
        b"\0\0\x06\4\0\0\0\0\0\0\4\0\1\0\0",  # settings that change the window
    ]
    with suppress(OSError), socket.create_connection(("127.0.0.1", under.port), timeout=10) as plain:
        plain.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0" + rng.choice(frames) * 30_000)
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(65_536):
            pass


# --- user code


def user_code(under: Target, rng: random.Random, count: int) -> dict[str, Any]:
    """Every way in which an algorithm goes wrong, beside good ones, in any order."""
    names = [f"Thread{name}" for name in misbehaving.THREADS]
    names += [f"Process{name}" for name in misbehaving.PROCESSES]
    failures: Counter[str] = Counter()
    wrong: list[str] = []
    for _ in range(count):
        chosen = rng.sample(names, len(names))
        found = under.execute(*chosen, "Good")
        wrong += [name for name in [*chosen, "Good"] if name not in found]
        for name, record in found.items():
            short = name.removeprefix("Thread").removeprefix("Process")
            expected = misbehaving.EXPECTED.get(name, misbehaving.EXPECTED.get(short))
            kind = "" if record.ok else str(record.error["kind"])
            failures[kind] += bool(kind)
            if kind != expected:
                wrong.append(f"{name}: {kind or 'ok'} {record.error.get('message', '')}")
    return {"runs": count * (len(names) + 1), "failures": dict(failures), "wrong": wrong}


Attack = Callable[[Target, random.Random, int], dict[str, Any]]
SCENARIOS: dict[str, tuple[tuple[Attack, int, int], ...]] = {
    "A-10": ((malformed_messages, 300, 20_000), (malformed_connections, 100, 5_000)),
    "A-11": ((oversized, 1, 20),),
    "A-14": ((user_code, 1, 25),),
}


def run_one(name: str, transport: str, *, size: str, seed: int) -> dict[str, Any]:
    """One fault against a fresh processor; gives its report."""
    rng = random.Random(seed)
    begun = time.monotonic()
    report: dict[str, Any] = {"seed": seed}
    with target(transport) as under:
        with Probe(under) as probe:
            for attack, quick, full in SCENARIOS[name]:
                report |= attack(under, rng, quick if size == "quick" else full)
        memory = under.process.memory_info().rss
        alive = under.process.is_running() and under.execute("Good")["Good"].value == 1.0
    lost = sum(probe.bad.values())
    report |= {"probes": probe.good, "probes_lost": lost, "memory_mb": memory // 10**6, "alive": alive}
    report["duration_s"] = round(time.monotonic() - begun, 1)
    good = alive and probe.good > 0 and not lost and not report.get("wrong") and memory < MEMORY_BYTES_MAX
    return {"passed": good, **report}


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; the exit code is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--only", action="append", choices=SCENARIOS)
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args(arguments)
    lines = [f"# Reliability of the processor ({asked.size}, seed {asked.seed})", ""]
    lines += ["| id | transport | passed | numbers |", "|---|---|---|---|"]
    failed = 0
    for name in asked.only or SCENARIOS:
        for transport in ("asyncio", "grpc"):
            report = run_one(name, transport, size=asked.size, seed=asked.seed)
            failed += not report["passed"]
            print(name, transport, json.dumps(report), flush=True)
            numbers = ", ".join(f"{key} {value}" for key, value in report.items() if key != "passed")
            lines.append(f"| {name} | {transport} | {'yes' if report['passed'] else 'NO'} | {numbers} |")
    if asked.report is not None:
        asked.report.parent.mkdir(exist_ok=True)
        asked.report.write_text("\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
