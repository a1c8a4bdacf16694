"""The main job, run as a user runs it: to the end, and through kills."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from orca.orchestrator.process import FolderLock, stop_background

RUN = Path(__file__).resolve().parents[2] / "examples" / "weather_station" / "run.py"
WINDOWS = 730
RESULTS = 3 * WINDOWS
TIMEOUT_S = 600
KILLS = 4


def start(folder: Path, *options: str, path: str = "") -> subprocess.Popen[bytes]:
    # A file, not a pipe: a core that outlives its parent would keep a pipe open.
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [
                sys.executable,
                str(RUN),
                "--folder",
                str(folder / "run"),
                "--report",
                str(folder / "report.html"),
                *options,
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def finish(process: subprocess.Popen[bytes], folder: Path) -> str:
    code = process.wait(timeout=TIMEOUT_S)
    output = (folder / "output.txt").read_text("utf-8")
    assert code == 0, output
    return output


def test_it_runs_checks_itself_and_cleans_up(tmp_path: Path) -> None:
    output = finish(start(tmp_path), tmp_path)
    assert "figures against pandas: all equal" in output
    assert "SUCCEEDED" in output
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<svg") == 5
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "<script" not in page
    assert not (tmp_path / "run").exists()


def test_one_that_fails_leaves_no_core_behind(tmp_path: Path) -> None:
    """Not even with --keep: nobody would know of it."""
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "vega_datasets.py").write_text("raise ImportError('not here')")
    assert start(tmp_path, "--keep", path=str(missing)).wait(timeout=TIMEOUT_S) != 0
    assert "not here" in (tmp_path / "output.txt").read_text("utf-8")
    assert (tmp_path / "run" / "orca.db").exists()
    assert not FolderLock.held(tmp_path / "run")


def counted(folder: Path, query: str) -> int:
    with closing(sqlite3.connect(f"file:{folder / 'run' / 'orca.db'}?mode=ro", uri=True)) as store, store:
        return int(store.execute(query).fetchone()[0])


def test_killed_at_any_moment_it_goes_on_and_computes_nothing_twice(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    moments = random.Random(seed)
    try:
        for _ in range(KILLS):
            process = start(tmp_path, "--keep")
            time.sleep(moments.uniform(0.5, 5.0))  # the moment of the fault, not a wait for something
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=TIMEOUT_S)
        output = finish(start(tmp_path, "--keep"), tmp_path)
        assert "all equal" in output
        assert counted(tmp_path, "select count(*) from windows") == WINDOWS
        assert counted(tmp_path, "select count(*) from results") == RESULTS
        # What a draining processor hands back is sent again, but no body has run twice.
        log = (tmp_path / "run" / "processor.log").read_text("utf-8")
        assert log.count("Running algorithm ") == RESULTS
    finally:
        stop_background(tmp_path / "run")
