"""The processor under test: good algorithms, and one for each way in which user code goes wrong.

python child.py asyncio|grpc
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import misbehaving

from orca.processor import Processor, WindowType
from orca.processor.executors import ProcessExecutor

PATIENCE_S = 90.0
"""A busy machine starts a process or fills an oversized list far slower than an idle one."""

LOOPS_S = 2.0
"""For the one that never ends."""

TYPE = WindowType("Every30Second", "1.0.0", "half a minute")


def good() -> float:
    return 1.0


def echo(params: Any) -> dict[str, Any]:
    return {"metadata": dict(params.window.metadata)}


def end_with_parent() -> None:
    """A test that is killed leaves nothing behind."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    proc = Processor("chaos", max_workers=4, bind="127.0.0.1:0", environ={}, transport=sys.argv[1])  # type: ignore[arg-type]
    proc.algorithm("Good", "1.0.0", TYPE)(good)
    proc.algorithm("Echo", "1.0.0", TYPE)(echo)
    for name in misbehaving.THREADS:
        proc.algorithm(f"Thread{name}", "1.0.0", TYPE, timeout_s=PATIENCE_S)(
            getattr(misbehaving, name.lower())
        )
    pool = ProcessExecutor(4)
    for name in misbehaving.PROCESSES:
        function = getattr(misbehaving, name.lower())
        timeout_s = LOOPS_S if name == "Loops" else PATIENCE_S
        proc.algorithm(f"Process{name}", "1.0.0", TYPE, executor=pool, timeout_s=timeout_s)(function)

    def ready(server: Any) -> None:
        print(server.port, flush=True)

    asyncio.run(proc.serve(register=False, ready=ready))


if __name__ == "__main__":
    main()
