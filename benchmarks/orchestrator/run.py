"""Whole windows, side by side with others: ``run.py [--quick] [--json FILE]``. Each system has its own environment."""

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

PEERS = {
    "Dask": ("dask_peer.py", ["distributed==2025.5.1", "dask==2025.5.1"], "no"),
    "DBOS, SQLite": ("dbos_peer.py", ["dbos==2.1.0"], "yes"),
    "Ray": ("ray_peer.py", ["ray==2.46.0"], "no"),
}
TIMEOUT_S = 400


def run(python: str, *command: str) -> dict[str, Any]:
    """One measurement; the last line of its output is JSON."""
    done = subprocess.run(
        [python, *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=HERE
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
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
    for name, (script, requirements, durable) in PEERS.items():
        try:
            python = str(published_python(*requirements))
            table[name] = {"durable": durable, **run(python, f"peers/{script}", str(count // 5), "50")}
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            table[name] = {"durable": durable, "not_run": str(error)[-300:]}
        print(name, table[name], flush=True)
    sizes = "2000,10000" if asked.quick else "2000,10000,100000,1000000"
    table["sizes"] = run(sys.executable, "sizes.py", sizes)
    print(json.dumps(table["sizes"]), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(table, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
