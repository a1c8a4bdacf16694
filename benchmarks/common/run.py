"""What starting costs: CPU time of each import beyond bare Python, and of `orca --version` in all.

    python benchmarks/common/run.py [--quick] [--json FILE] [--check]

Each import runs in a fresh interpreter, interleaved with a bare one, and the differences of the medians count: a
noisy machine moves both. ``--check`` ends with 1 when a budget is passed by more than half.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

BUDGET_MS = {"orca.common": 60, "orca.statemachine": 90, "orchestra.sdk": 40, "orca.processor": 60}
# The whole command, Python included.
VERSION_COMMAND = "orca --version"
VERSION_BUDGET_MS = 100
VERSION_CODE = "import sys; from orca.common.cli import main; sys.exit(main(['--version']))"
# What must not be loaded by the import alone, because it is heavy and not everybody needs it.
NOT_LOADED = {
    "orca.common": ["grpc", "httpx", "rich", "structlog", "tenacity", "typer"],
    "orca.statemachine": ["anyio", "grpc", "httpx", "lark", "sqlite3"],
    "orchestra.sdk": ["grpc", "httpx", "sqlite3"],
    "orca.processor": ["grpc", "numpy", "pandas", "sqlite3"],
}


def cpu_ms(statement: str) -> float:
    """CPU milliseconds of a fresh interpreter that runs one statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def loaded(module: str) -> list[str]:
    """Which of the modules that must wait are loaded by the import."""
    code = f"import {module}, sys; print(*[m for m in {NOT_LOADED[module]!r} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()


def measure(rounds: int) -> list[dict[str, object]]:
    """One row per package."""
    statements = {"": "pass", VERSION_COMMAND: VERSION_CODE}
    statements |= {module: f"import {module}" for module in BUDGET_MS}
    samples: dict[str, list[float]] = {module: [] for module in statements}
    for _ in range(rounds):
        for module, statement in statements.items():
            samples[module].append(cpu_ms(statement))
    bare = statistics.median(samples[""])
    command = {
        "module": VERSION_COMMAND,
        "cpu_ms": round(statistics.median(samples[VERSION_COMMAND]), 1),
        "budget_ms": VERSION_BUDGET_MS,
        "loaded_too_early": [],
    }
    return [command] + [
        {
            "module": module,
            "cpu_ms": round(statistics.median(samples[module]) - bare, 1),
            "budget_ms": budget,
            "loaded_too_early": loaded(module),
        }
        for module, budget in BUDGET_MS.items()
    ]


def main() -> None:
    """Measure, print a table, and write the figures when asked."""
    parser = argparse.ArgumentParser(description="CPU time of imports beyond bare Python")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = measure(5 if options.quick else 25)
    print(f"{'import':<20}{'CPU ms':>8}{'budget':>8}  loaded too early")
    for row in rows:
        early = ", ".join(row["loaded_too_early"]) or "-"  # type: ignore[arg-type]
        print(f"{row['module']:<20}{row['cpu_ms']:>8}{row['budget_ms']:>8}  {early}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    over = [row for row in rows if row["cpu_ms"] > 1.5 * row["budget_ms"] or row["loaded_too_early"]]  # type: ignore[operator]
    if options.check and over:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
