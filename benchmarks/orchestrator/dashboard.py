"""What the dashboard costs: start, memory, pages, the end, each with its bound: ``dashboard.py [--rounds N]``.

Start, memory and the end are those of a core of its own; pages are opened in a real browser that has kept nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "support"))

from chromium import browser  # noqa: E402
from dashboard_cores import Core, huge  # noqa: E402
from orca.orchestrator.process import read_core  # noqa: E402

WAIT_S = 30.0
SETTLED_S = 3.0  # what loading the pages took for a moment has gone back to the system
ORCA = str(Path(sys.executable).with_name("orca"))


def memory_mb(pid: int) -> float:
    """What a process holds, in megabytes (resident)."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1000


def lives(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has asked for its exit code has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def version_cpu_ms() -> float:
    """CPU milliseconds of ``orca --version``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([ORCA, "--version"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def page(chromium: Any, core: Core, path: str = "/") -> tuple[float, int, float]:
    """Kilobytes, requests and seconds until a page is live in a browser that has kept nothing."""
    context = chromium.new_context()
    tab = context.new_page()
    answers: dict[str, Any] = {}
    tab.on("response", lambda answer: answers.update({urlsplit(answer.url).path: answer}))
    begun = time.monotonic()
    tab.goto(core.link().replace("/?", f"{path}?", 1))
    tab.locator("#link[data-state=live]").wait_for()
    took_s = time.monotonic() - begun
    good = {name: answer for name, answer in answers.items() if answer.status == 200 and name != "/events"}
    weight = sum(len(answer.body()) for answer in good.values())
    context.close()
    # The redirect of the link, the worker and its stream are requests too.
    return weight / 1000, 1 + len(good.keys() | {"/static/worker.js", "/events"}), took_s


def main() -> int:
    """Measure, print, compare with the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ready: list[float] = []
    ended: list[float] = []
    bare: list[float] = []
    loaded: list[float] = []
    first: list[tuple[float, int, float]] = []
    with browser() as chromium, tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds):
            folder = Path(temporary) / str(number)
            begun = time.monotonic()
            core = Core(folder)
            ready.append(time.monotonic() - begun)
            pid = read_core(folder)["pid"]
            bare.append(memory_mb(pid))
            first.append(page(chromium, core))
            time.sleep(SETTLED_S)
            loaded.append(memory_mb(pid))
            begun = time.monotonic()
            os.kill(pid, signal.SIGINT)
            while lives(pid) and time.monotonic() - begun < WAIT_S:
                time.sleep(0.005)
            ended.append(time.monotonic() - begun)
        version = min(version_cpu_ms() for _ in range(rounds))
        (Path(temporary) / "huge").mkdir()
        with huge(Path(temporary) / "huge") as core:
            lanes = page(chromium, core, "/windows")
            graph = page(chromium, core, "/dag")
    middle = statistics.median
    rows = [
        ("ready", middle(ready), 1.0, "s"),
        ("orca --version", version, 100.0, "ms CPU"),
        ("memory, ready", middle(bare), 60.0, "MB"),
        ("memory after the first page", middle(loaded), 60.0, "MB"),
        ("first page", middle(one[0] for one in first), 200.0, "KB"),
        ("first page", middle(one[1] for one in first), 8.0, "requests"),
        ("first page live", middle(one[2] for one in first), 0.0, "s"),
        ("10,000 windows as lanes", lanes[0], 200.0, "KB"),
        ("10,000 windows live", lanes[2], 0.0, "s"),
        ("500 algorithms as a graph", graph[0], 0.0, "KB"),
        ("500 algorithms live", graph[2], 0.0, "s"),
        ("Ctrl-C to the end", middle(ended), 0.5, "s"),
    ]
    for name, value, bound, unit in rows:
        print(f"{name:30} {value:8.2f} {unit:9}" + (f" (at most {bound:g})" if bound else ""))
    over = [name for name, value, bound, _ in rows if bound and value > bound]
    print("over its bound: " + ", ".join(over) if over else "all within their bounds")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
