"""orchestra.sdk and the published orchestra-sdk 0.2.0 side by side, against one local server.

usage: run.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from orchestra.sdk.testing import WebhookServer  # noqa: E402
from published import published_python  # noqa: E402

SUBJECT = Path(__file__).with_name("subject.py")
PUBLISHED = published_python("orchestra-sdk==0.2.0")


def measure(who: str, case: str, count: int, url: str, folder: str) -> dict[str, float]:
    python = sys.executable if who == "ours" else str(PUBLISHED)
    env = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRA_")}
    env |= {
        "ORCHESTRA_API_KEY": "key-of-the-benchmark",
        "ORCHESTRA_WEBHOOK_URL": url,
        "ORCHESTRA_TASK_RUN_ID": str(uuid4()),
        "ORCHESTRA_SPOOL_DIR": folder,
    }
    command = [python, str(SUBJECT), who, case, str(count)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout)


def import_cpu_ms(python: str, module: str, passes: int) -> float:
    """CPU time of an import beyond that of bare Python, the least of several passes."""

    def cpu(code: str) -> float:
        least = float("inf")
        for _ in range(passes):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([python, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return least * 1e3

    return cpu(f"from {module} import OrchestraSDK") - cpu("pass")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    passes = 5 if options.quick else 15
    calls = 20 if options.quick else 100
    rows: list[tuple[str, float, float, str]] = []

    def add(name: str, ours: float, theirs: float, limit: str = "") -> None:
        rows.append((name, ours, theirs, limit))
        ratio = theirs / ours if ours else float("inf")
        print(f"{name:<52} {ours:>10.2f} {theirs:>12.2f} {ratio:>9.1f}x  {limit}", flush=True)

    print(f"{'':<52} {'ours':>10} {'0.2.0':>12} {'ratio':>10}")
    add(
        "import, CPU ms beyond bare Python",
        import_cpu_ms(sys.executable, "orchestra.sdk", passes),
        import_cpu_ms(str(PUBLISHED), "orchestra_sdk.orchestra", passes),
        "at most 40",
    )
    with tempfile.TemporaryDirectory() as folder, WebhookServer() as server:

        def both(case: str, count: int) -> tuple[dict[str, float], dict[str, float]]:
            return (
                measure("ours", case, count, server.url, folder),
                measure("published", case, count, server.url, folder),
            )

        ours, theirs = both("decorator", calls)
        add("receiver up: before the function, ms", ours["before_ms"], theirs["before_ms"])
        add("receiver up: before the first function, ms", ours["first_before_ms"], theirs["first_before_ms"])
        add("receiver up: after the function, ms", ours["after_ms"], theirs["after_ms"])
        ours, theirs = both("outputs", calls)
        add("one output of many, delivered, ms", ours["per_output_ms"], theirs["per_output_ms"])
        ours, theirs = both("progress", 1_000)
        add("1,000 progress events add, ms", ours["added_ms"], theirs["added_ms"], "at most 50")
        server.stop()
        ours, theirs = both("decorator", 1)
        add("receiver down: before the function, ms", ours["before_ms"], theirs["before_ms"], "at most 1,000")
        add(
            "receiver down: after it (budget 1 s here), ms",
            ours["after_ms"],
            theirs["after_ms"],
            "the budget",
        )
        ours, theirs = measure("ours", "progress", 1_000, server.url, folder), {"added_ms": float("nan")}
        add(
            "receiver down: 1,000 progress events add, ms", ours["added_ms"], theirs["added_ms"], "at most 50"
        )
    if options.json:
        value: list[dict[str, Any]] = [
            {"name": name, "ours": ours, "published": None if math.isnan(theirs) else theirs, "limit": limit}
            for name, ours, theirs, limit in rows
        ]
        options.json.write_text(json.dumps({"benchmark": "orchestra", "rows": value}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
