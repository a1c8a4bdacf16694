"""Two algorithms, one of which needs the other: a core, a processor and an emitter on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orca.processor import OrcaClient, Processor, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

ORCA = Path(sys.executable).parent / "orca"


def orca(*arguments: str) -> str:
    """Run an ``orca`` command and return what it prints."""
    command = [str(ORCA), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def core() -> Iterator[str]:
    """A core in this folder, stopped at the end; gives its address."""
    orca("start", "--port", "0", "--web-port", "-1")
    try:
        yield next(word for word in orca("status").split() if word.startswith("grpc://"))
    finally:
        orca("stop")


def main() -> None:
    """Run it all."""
    with core() as address:
        proc = Processor("ml", core=address)

        @proc.algorithm("Mean", "1.0.0", "Every30Second", "1.0.0")
        def mean() -> float:
            return 20.5

        @proc.algorithm("Alarm", "1.0.0", "Every30Second", "1.0.0", depends_on=[mean])
        def alarm(dependencies: dict) -> dict:
            return {"too_hot": dependencies["Mean_1.0.0"] > 20}

        with contextlib.redirect_stderr(io.StringIO()):  # the log lines of the processor
            proc.register()
            server = threading.Thread(target=lambda: asyncio.run(proc.serve(register=False)))
            server.start()
            now = int(time.time())
            with OrcaClient(address) as client:
                window = client.emit(Window(now - 30, now, "Every30Second", "1.0.0", "Example"))
                run = client.wait(window)
            proc.stop()
            server.join()
        for execution in sorted(run.executions, key=lambda one: one.name):
            print(f"{execution.full_name}: {execution.status} {execution.value}")


if __name__ == "__main__":
    main()
