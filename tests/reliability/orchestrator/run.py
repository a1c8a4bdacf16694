"""Faults against the orchestrator: ``run.py [--size quick|full] [--seed N] [--only A-1] [--report FILE]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import simulation
from scenarios import SCENARIOS

SIMULATED = {"quick": 500, "full": 10_000}


def run_one(name: str, *, size: str, seed: int) -> dict[str, Any]:
    """One fault in a fresh folder; gives its report."""
    begun = time.monotonic()
    if name == "A-18":
        report = simulation.run_many(seed, SIMULATED[size])
    else:
        scenario, quick, full = SCENARIOS[name]
        with tempfile.TemporaryDirectory() as folder:
            work = scenario(Path(folder), seed=seed, **(quick if size == "quick" else full))
            report = asyncio.run(asyncio.wait_for(work, 3600))
    return {"seed": seed, "duration_s": round(time.monotonic() - begun, 1), **report}


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; the exit code is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--only", action="append", choices=[*SCENARIOS, "A-18"])
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args(arguments)
    lines = [f"# Reliability of the orchestrator ({asked.size}, seed {asked.seed})", ""]
    lines += ["| id | passed | numbers |", "|---|---|---|"]
    failed = 0
    for name in asked.only or [*SCENARIOS, "A-18"]:
        report = run_one(name, size=asked.size, seed=asked.seed)
        failed += not report["passed"]
        print(name, json.dumps(report), flush=True)
        numbers = ", ".join(f"{key} {value}" for key, value in report.items() if key != "passed")
        lines.append(f"| {name} | {'yes' if report['passed'] else 'NO'} | {numbers} |")
    if asked.report is not None:
        asked.report.parent.mkdir(parents=True, exist_ok=True)
        asked.report.write_text("\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
