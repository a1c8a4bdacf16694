"""Cores as the dashboard meets them: empty, with a year of weather, failing and waiting, and huge."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from orca.orchestrator.process import read_core, start_background, stop_background
from orca.orchestrator.settings import CoreSettings
from orca.processor import OrcaClient, Window, wire

__all__ = ["ATTACK", "DAY", "START", "Core", "busy", "day", "demo", "huge", "worker"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "weather_station"
ATTACK = "<img src=x onerror=alert(1)>"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
WAIT_S = 300.0

PROCESSOR = '''
import os, signal, sys, threading, time
from pathlib import Path
from typing import Annotated
from orca.processor import Dep, ExecutionParams, MetadataField, Processor, WindowType

day = WindowType("Day", "1.0.0", "a day", (MetadataField("station", "where", filter=True),))
proc = Processor("probe")

@proc.algorithm("Mean", "1.0.0", day)
def mean(params: ExecutionParams) -> float:
    """The mean of a day; waits for a file where the window names one."""
    gate = params.window.metadata.get("gate")
    end_s = time.monotonic() + 600
    while gate and not Path(str(gate)).exists() and time.monotonic() < end_s:
        time.sleep(0.01)
    return 20.5 + params.window.start.day / 10

@proc.algorithm("Alarm", "1.0.0", day)
def alarm(params: ExecutionParams, mean: Annotated[float, Dep(mean)]) -> float:
    """Fails where the window says so."""
    if params.window.metadata.get("bad"):
        limits = {"upper": 30.0}
        raise KeyError("threshold")
    return 1.0

@proc.algorithm("Trend", "1.0.0", day, attempts=3)
def trend(params: ExecutionParams, before: Annotated[list[float], Dep(mean, n=7)]) -> float:
    """Fails once for each bad window, and is tried again."""
    tried = Path(f"tried-{params.window.start:%Y%m%d}")
    if params.window.metadata.get("bad") and not tried.exists():
        tried.touch()
        raise ConnectionError("the archive did not answer")
    return sum(before) / max(1, len(before))

@proc.algorithm("Summary", "1.0.0", day)
def summary(params: ExecutionParams, alarm: Annotated[float, Dep(alarm)]) -> float:
    """Left out where the alarm fails."""
    return alarm

def end():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

if __name__ == "__main__":
    threading.Thread(target=end, daemon=True).start()
    proc.register()
    print("registered", flush=True)
    proc.start()
'''


def day(number: int, **metadata: Any) -> Window:
    """A window of one day."""
    start = START + number * DAY
    return Window(start, start + DAY, "Day", "1.0.0", "test", {"station": "seattle", **metadata})


class Core:
    """A core as a process of its own, with the address of its pages."""

    def __init__(self, folder: Path, web_port: int = 0) -> None:
        self.folder = folder
        known = read_core(folder) or start_background(CoreSettings(folder=folder, port=0, web_port=web_port))
        self.address = known["address"]
        self.base = known["web"].partition("/?")[0]
        self.port = urlsplit(self.base).port or 0

    def link(self) -> str:
        """A link that was not used yet."""
        return str(json.loads((self.folder / "core.json").read_text("utf-8"))["web"])

    def stop(self) -> None:
        """End the core."""
        stop_background(self.folder)


@contextmanager
def worker(core: Core, script: Path) -> Iterator[None]:
    """A processor that prints a line once it is registered, and ends with its standard input."""
    with (script.parent / "processor.log" if script.parent != EXAMPLE else core.folder / "again.log").open(
        "ab"
    ) as log:
        process = subprocess.Popen(
            [sys.executable, script.name],
            cwd=script.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "ORCA_CORE": core.address},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            heard, _, _ = select.select([process.stdout], [], [], WAIT_S)
            assert heard, "the processor did not register"
            assert process.stdout.readline(), "the processor ended"
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=WAIT_S)
            process.stdout.close()


@contextmanager
def busy(folder: Path) -> Iterator[Core]:
    """Twenty days, one of which fails with hostile metadata."""
    core = Core(folder / "core")
    script = folder / "processor.py"
    script.write_text(PROCESSOR, "utf-8")
    try:
        with worker(core, script), OrcaClient(core.address) as client:
            answers = client.emit_many([day(number) for number in range(20) if number != 7])
            answers += client.emit_many([day(30, bad=True, note=ATTACK)])
            for answer in answers:
                client.wait(answer, timeout_s=WAIT_S)
            yield core
    finally:
        core.stop()


@contextmanager
def demo(folder: Path) -> Iterator[Core]:
    """The year of weather, left there by its own run, with its processor alive again."""
    place = folder / "run"
    command = [sys.executable, str(EXAMPLE / "run.py"), "--keep", "--folder", str(place)]
    with (folder / "run.log").open("wb") as log:  # a file: the core that stays would keep a pipe open
        subprocess.run(
            [*command, "--report", str(folder / "report.html")],
            cwd=folder,
            stdout=log,
            stderr=log,
            check=True,
            timeout=WAIT_S,
        )
    core = Core(place)
    try:
        with worker(core, EXAMPLE / "processor.py"):
            yield core
    finally:
        core.stop()


@contextmanager
def huge(folder: Path) -> Iterator[Core]:
    """10,000 windows of four stations, and a run of 500 algorithms that depend on each other."""
    core = Core(folder / "core")
    try:
        with OrcaClient(core.address) as client:
            client.emit_many([day(number, station=f"s{number % 4}") for number in range(10_000)])
        message = wire.ProcessorRegistration(name="big", runtime="3.11", connection_str="127.0.0.1:1")
        for number in range(500):
            one = message.supported_algorithms.add(name=f"A{number}", version="1.0.0", result_type=wire.VALUE)
            one.window_type.name, one.window_type.version = "Big", "1.0.0"
            for need in {number // 2, number // 3} - {number}:
                one.dependencies.add(name=f"A{need}", version="1.0.0")
        with grpc.insecure_channel(core.address) as channel:
            wire.call(channel, wire.OrcaCore.RegisterProcessor)(message, timeout=WAIT_S)
        with OrcaClient(core.address) as client:
            # One run of all 500, which waits for the processor that never comes.
            client.emit_many([Window(START, START + DAY, "Big", "1.0.0", "test")])
        yield core
    finally:
        core.stop()
