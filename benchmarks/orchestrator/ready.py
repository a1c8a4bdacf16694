"""How soon a core is ready, what that costs, and what it holds then: ``ready.py [REPEATS]``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from orca.orchestrator.process import start_background, stop_background
from orca.orchestrator.settings import CoreSettings


def cost(pid: int) -> tuple[float, float]:
    """CPU seconds and resident megabytes of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * 4096 / 1e6


def once() -> dict[str, float]:
    """One start and stop, as ``orca start`` and ``orca stop`` do it."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        pid = start_background(CoreSettings(folder=Path(folder), port=0, web_port=0))["pid"]
        ready_s = time.monotonic() - begun
        cpu_s, resident_mb = cost(pid)
        begun = time.monotonic()
        stop_background(Path(folder))
        stop_s = time.monotonic() - begun
    return {"ready_s": ready_s, "cpu_s": cpu_s, "resident_mb": resident_mb, "stop_s": stop_s}


if __name__ == "__main__":
    found = [once() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)]
    print(json.dumps({name: min(one[name] for one in found) for name in found[0]}))
