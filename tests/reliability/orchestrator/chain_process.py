"""A processor in a process of its own, to be killed: ``chain_process.py CORE PORT LOG``.

A chain of five of orca.processor's own algorithms; every body writes down that it began before it does anything.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any

from orca.processor import Dep, Processor, Window

# Long enough that a kill often comes between two results of one call.
BODY_S = 0.015
START_S = 1_767_225_600


def main(core: str, port: str, log: str) -> None:
    """Serve until killed."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.environ["PROCESSOR_ADDRESS"] = f"127.0.0.1:{port}"
    os.environ["PROCESSOR_EXTERNAL_PORT"] = port
    proc = Processor("chain", core=core)

    async def began(window: Window, name: str) -> None:
        # One write of a few bytes is on the file whole or not at all, whatever happens to this process.
        os.write(file, f"{(window.from_ns // 10**9 - START_S) // 30} {name}\n".encode())
        await asyncio.sleep(BODY_S)

    @proc.algorithm("A", "1.0.0", "Every30Second", "1.0.0")
    async def first(window: Window) -> float:
        await began(window, "A")
        return 1.0

    before: Any = first
    for name in "BCDE":
        before = _after(proc, name, before, began)
    proc.run()


def _after(proc: Processor, name: str, before: Any, began: Any) -> Any:
    async def body(window: Window, value: Annotated[float, Dep(before)]) -> float:
        await began(window, name)
        return value + 1.0

    body.__annotations__ = {"window": Window, "value": Annotated[float, Dep(before)], "return": float}
    return proc.algorithm(name, "1.0.0", "Every30Second", "1.0.0")(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
