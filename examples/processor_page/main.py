"""A processor and an emitter as two programs beside this one, with the variables that ``orca status`` prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from orca.processor import OrcaClient

HERE = Path(__file__).parent
ORCA = Path(sys.executable).parent / "orca"
# In place of the loop of window.py, which waits for half a minute.
EMIT = f"import sys; sys.path.insert(0, {str(HERE)!r}); import window; window.emitWindow()"


def orca(*arguments: str) -> str:
    """Run an ``orca`` command and return what it prints."""
    command = [str(ORCA), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run() -> None:
    """Start the processor, emit one window, show the result."""
    variables = dict(re.findall(r"(ORCASERVER|HOST)=(\S+)", orca("status")))
    environ = {**os.environ, **variables}  # without PORT a free one is taken, and told
    command = [sys.executable, str(HERE / "processor.py")]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as processor:
        assert processor.stderr is not None
        while "Server is ready for requests" not in processor.stderr.readline():
            assert processor.poll() is None, "the processor ended"
        subprocess.run([sys.executable, "-c", EMIT], env=environ, check=True, capture_output=True)
        with OrcaClient(variables["ORCASERVER"]) as client:
            (window,) = client.windows()
            done = client.wait(window.id)
        processor.terminate()
        lines = processor.stderr.read().splitlines()
    print(*(re.sub(r".* - INFO - | and ExecId: .*", "", line) for line in lines if "lgorithm" in line), sep="\n")
    for execution in done.executions:
        print(f"{execution.full_name}: {execution.status} {execution.value}")


def main() -> None:
    """A core in this folder, stopped at the end."""
    orca("start", "--port", "0", "--web-port", "-1")
    try:
        run()
    finally:
        orca("stop")


if __name__ == "__main__":
    main()
