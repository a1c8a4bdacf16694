"""A year of real weather through windows, algorithms, a state machine and task reporting, on this machine alone.

    python examples/weather_station/run.py [--keep] [--folder DIR] [--report FILE]

Starts a core and a processor as processes of their own, emits a window for each day of two stations, feeds the
results to one heat-wave machine per station, reports all of it as a task, checks every figure against pandas, and
writes a page. Kill it at any moment and run it again: it goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import reference
import report
from heat import DEFINITION, HeatWatch, replay
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from stations import DAY, STATIONS, days

from orca.orchestrator.process import FolderLock, read_core, start_background, stop_background
from orca.orchestrator.settings import CoreSettings
from orca.processor import CoreTimeout, OrcaClient, Window
from orca.statemachine.outputs.svg import to_svg
from orca.statemachine.runtime.sqlite import SQLiteStore
from orchestra.sdk import OrchestraSDK
from orchestra.sdk.testing import WebhookServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ALGORITHMS = ("DailyStatistics", "TemperatureAnomaly", "SmoothedCurve")
UNUSUAL = 2.5  # standard deviations
READY_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 120.0
console = Console(soft_wrap=True)


def windows() -> list[Window]:
    """One window per day and station, oldest first."""
    return [
        Window(day, day + DAY, "StationDay", "1.0.0", "weather_station", {"station": station})
        for day in days()
        for station in STATIONS
    ]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else works in the folder; the lock goes with the process, however it ends."""
    with (folder / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another run works in {folder}; wait for it, or give --folder") from None
        yield


def listener_port(folder: Path) -> int:
    """The port of the local webhook, the same in every run: what a killed run could not deliver still arrives."""
    path = folder / "listener.port"
    while not path.exists():
        # Below those that systems give to whoever asks for any: nobody has it by chance when the next run wants it.
        port = random.randint(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            chosen = path.with_suffix(".new")
            chosen.write_text(str(port))
            chosen.rename(path)
    return int(path.read_text())


@contextmanager
def core(folder: Path, *, keep: bool) -> Iterator[dict[str, Any]]:
    """A core in ``folder``: one that an earlier run left, or a new process."""
    known = read_core(folder) if FolderLock.held(folder) else None
    deadline = time.monotonic() + READY_TIMEOUT_S
    while known is None and FolderLock.held(folder) and time.monotonic() < deadline:
        # The run that started it was killed before it listened.
        time.sleep(0.05)
        known = read_core(folder)
    settings = CoreSettings(folder=folder, port=0, web_port=0 if keep else -1)
    finished = False
    try:
        yield known or start_background(settings)
        finished = True
    finally:
        if not (keep and finished):  # of one that stays after a failure nobody would know
            stop_background(folder)


@contextmanager
def processor(address: str, folder: Path) -> Iterator[None]:
    """The worker as a process that ends with this one, however this one ends; entered once it is registered."""
    with (folder / "processor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "processor.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "ORCA_CORE": address},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # Its only line on standard output says that the core knows it; its end shows as no line at all.
            heard, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT_S)
            if not heard or not process.stdout.readline():
                raise SystemExit(f"the processor did not register; see {folder / 'processor.log'}")
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=READY_TIMEOUT_S)
            process.stdout.close()


async def finished_days(client: OrcaClient) -> AsyncIterator[tuple[str, datetime, dict[str, Any]]]:
    """Station, day and statistics of each finished window: the stored ones first, then as they arrive."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def pump() -> None:
        left = {(station, day) for station in STATIONS for day in days()}
        rows = client.follow("DailyStatistics", "1.0.0")
        while left:
            row = next(rows)
            left.discard((str(row.window.metadata["station"]), row.window.start))
            loop.call_soon_threadsafe(queue.put_nowait, row)
        rows.close()

    threading.Thread(target=pump, daemon=True).start()
    seen: set[tuple[str, datetime]] = set()
    while len(seen) < len(STATIONS) * len(days()):
        row = await asyncio.wait_for(queue.get(), RUN_TIMEOUT_S)
        key = (str(row.window.metadata["station"]), row.window.start)
        if key not in seen:
            seen.add(key)
            yield *key, row.value


async def follow(client: OrcaClient, watches: dict[str, HeatWatch], task: Any) -> None:
    """Feed the machines while windows finish, with progress on the terminal and in the task."""
    total = len(STATIONS) * len(days())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("windows", total=total)
        done = 0
        async for station, day, statistics in finished_days(client):
            await watches[station].add(day, statistics["high"])
            done += 1
            progress.update(bar, completed=done)
            task.progress(done / total, f"{done} of {total} days")
    for watch in watches.values():
        await watch.close_year()
    await asyncio.to_thread(wait_until_idle, client)


def wait_until_idle(client: OrcaClient) -> None:
    """Until no run is open: the other two algorithms may end after the statistics."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    try:
        for run in client.runs(state="open", limit=len(STATIONS) * len(days())):
            client.wait(run.window_id, timeout_s=max(0.1, deadline - time.monotonic()))
    except CoreTimeout:
        raise SystemExit("some windows did not finish; see core.log in the folder") from None


def collect(client: OrcaClient) -> pd.DataFrame:
    """All results as one row per station and day."""
    tables: dict[str, dict[tuple[str, datetime], Any]] = {}
    for name in ALGORITHMS:
        rows = client.results(name, "1.0.0", limit=10_000)
        tables[name] = {(str(row.window.metadata["station"]), row.window.start): row.value for row in rows}
    found = [
        {
            "station": station,
            "day": pd.Timestamp(day),
            **tables["DailyStatistics"][station, day],
            "anomaly": tables["TemperatureAnomaly"][station, day]["score"],
            "smoothed": tables["SmoothedCurve"][station, day],
        }
        for station in STATIONS
        for day in days()
    ]
    return pd.DataFrame(found).rename(columns={"low": "min", "high": "max"})


def check(found: pd.DataFrame) -> int:
    """Hold every figure against the plain computation; gives how many were compared.

    Raises:
        SystemExit: A figure differs; the first one is named.
    """
    expected = reference.expected()
    compared = 0
    for ours, plain in zip(found.itertuples(), expected.itertuples(), strict=True):
        place = f"{ours.station}, {ours.day:%Y-%m-%d}"
        if (ours.station, ours.day) != (plain.station, plain.day):
            raise SystemExit(f"the rows differ: {place} against {plain.station}, {plain.day:%Y-%m-%d}")
        # Structs carry float64; arrays travel as float32.
        for name, tolerance in (
            ("mean", 1e-9),
            ("min", 1e-9),
            ("max", 1e-9),
            ("hours", 0),
            ("anomaly", 1e-6),
        ):
            compared += 1
            if not same(getattr(ours, name), getattr(plain, name), tolerance):
                raise SystemExit(
                    f"{place}: {name} is {getattr(ours, name)}, pandas says {getattr(plain, name)}"
                )
        compared += len(plain.smoothed)
        if len(ours.smoothed) != len(plain.smoothed) or not all(map(close, ours.smoothed, plain.smoothed)):
            raise SystemExit(f"{place}: the smoothed curve differs from numpy's")
    return compared


def same(ours: Any, plain: Any, tolerance: float) -> bool:
    """Equal within a tolerance; no value equals no value."""
    if pd.isna(ours) or pd.isna(plain):
        return bool(pd.isna(ours) and pd.isna(plain))
    return abs(ours - plain) <= tolerance * max(1.0, abs(plain))


def close(ours: float, plain: float) -> bool:
    """Equal as float32."""
    return same(ours, plain, 1e-6)


def summary(found: pd.DataFrame, watches: dict[str, HeatWatch]) -> Table:
    """The year of each station in a table, its months as bars."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("station", "mean", "hottest day", "unusual days", "heat waves", "monthly means"):
        table.add_column(name, justify="left" if name in ("station", "monthly means") else "right")
    for station, rows in found.groupby("station"):
        hottest = rows.loc[rows["max"].idxmax()]
        months = rows.groupby(rows["day"].dt.month)["mean"].mean()
        table.add_row(
            str(station),
            f"{rows['mean'].mean():.1f} °C",
            f"{hottest['day']:%d %b}, {hottest['max']:.1f} °C",
            str(int((rows["anomaly"].abs() > UNUSUAL).sum())),
            str(watches[str(station)].machine.context["waves"]),
            bars(months.tolist(), found["mean"].min(), found["mean"].max()),
        )
    return table


def bars(values: list[float], low: float, high: float) -> str:
    """Numbers as a line of blocks."""
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[min(7, int((value - low) / (high - low) * 8))] for value in values)


async def check_machines(
    found: pd.DataFrame, watches: dict[str, HeatWatch]
) -> dict[str, dict[datetime, str]]:
    """The state of each station on each day, replayed; the durable machines must have ended the same way.

    Raises:
        SystemExit: A machine that went through the run differs from a fresh one.
    """
    states = {}
    for station, rows in found.groupby("station"):
        highs = {row.day.to_pydatetime(): row.max for row in rows.itertuples()}
        states[str(station)], context = await replay(str(station), highs)
        lived = watches[str(station)].machine.context
        if lived != context or len(watches[str(station)].alerts) != context["waves"]:
            raise SystemExit(f"{station}: the machine says {lived}, a replay {context}")
    return states


def write_report(
    path: Path, found: pd.DataFrame, states: dict[str, dict[datetime, str]], facts: list[tuple[str, str]]
) -> None:
    """The page, next to nothing that it would need."""
    years = []
    for station, rows in found.groupby("station", sort=False):
        entries = tuple(
            report.Day(
                row.day.to_pydatetime(),
                row.min,
                row.mean,
                row.max,
                None if pd.isna(row.anomaly) else row.anomaly,
                states[str(station)][row.day.to_pydatetime()],
            )
            for row in rows.itertuples()
        )
        years.append(report.StationYear(str(station), entries))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.page("A year of weather", facts, years, to_svg(DEFINITION)), "utf-8")


async def weather(options: argparse.Namespace, address: str, task: Any) -> None:
    """The job itself, once core and processor run."""
    client = OrcaClient(address)
    store = SQLiteStore(options.folder / "machines.db")
    watches = {station: HeatWatch(station, options.folder, store) for station in STATIONS}
    for watch in watches.values():
        await watch.open()
    before = client.status().windows
    started = time.monotonic()
    answers = client.emit_many(windows())
    known = sum(answer.duplicate for answer in answers)
    if before:
        console.print(f"going on: {known} of {len(answers)} windows were known already")
    await follow(client, watches, task)
    took_s = time.monotonic() - started
    found = collect(client)
    compared = check(found)
    states = await check_machines(found, watches)
    hottest = found.loc[found["max"].idxmax()]
    unusual = int((found["anomaly"].abs() > UNUSUAL).sum())
    task.output("hottest_day", f"{hottest['day']:%Y-%m-%d}")
    task.output("anomalies", unusual)
    console.print(summary(found, watches))
    fresh = len(answers) - known
    facts = [
        ("Windows", str(len(answers))),
        ("Results", str(client.status().results)),
        ("This run", f"{took_s:.1f} s, {len(answers) / took_s:.0f} windows/s"),
        ("Hottest day", f"{hottest['day']:%d %b}, {hottest['max']:.1f} °C"),
        ("Unusual days", str(unusual)),
    ]
    write_report(options.report, found, states, facts)
    speed = f"{len(answers)} windows, {fresh} of them new, in {took_s:.1f} s"
    console.print(f"{speed}: {len(answers) / took_s:.0f} windows/s, stored and synced")
    console.print(f"checked {compared:,} figures against pandas: all equal")
    console.print(f"report: {options.report}")
    store.close()
    client.close()


def main() -> None:
    """Parse the command line, bring everything up, run, and clean up."""
    parser = argparse.ArgumentParser(description="A year of weather through orca")
    parser.add_argument("--keep", action="store_true", help="leave the core with its dashboard running")
    parser.add_argument("--folder", type=Path, default=Path(".orca") / "weather_station")
    parser.add_argument("--report", type=Path, default=Path("reports") / "weather_station.html")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    run_id = uuid.uuid4()  # a repeated run is a task run of its own, as on the platform
    with (
        alone(options.folder),
        WebhookServer(api_key="local", port=listener_port(options.folder)) as listener,
        core(options.folder, keep=options.keep) as known,
        processor(known["address"], options.folder),
    ):
        sdk = OrchestraSDK(
            "local", webhook_url=listener.url, task_run_id=run_id, spool=options.folder / "outbox"
        )
        with sdk.task("weather station") as task:
            asyncio.run(weather(options, known["address"], task))
        sdk.close()
        for task_run, view in listener.runs().items():
            console.print(f"task run {task_run}: {view.status} {view.outputs or ''}")
    if options.keep:
        console.print(
            f"dashboard: {known.get('web', 'not served')}   stop it: orca stop --folder {options.folder}"
        )
        worker = f"ORCA_CORE={known['address']} {sys.executable} {HERE / 'processor.py'}"
        console.print(f"to retry or reprocess there, run the processor too: {worker}")
    else:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
