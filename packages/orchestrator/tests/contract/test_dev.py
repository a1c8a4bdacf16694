"""`orca dev`: one terminal with a core and a processor that starts anew when its file changes."""

import sqlite3
import subprocess
import sys
import time

from orca.orchestrator.process import FolderLock, read_core, stop_background

# Three programs start one after the other, maybe with the lowest priority of a busy machine.
WAIT_S = 90

PROGRAM = """
from orca.processor import Processor
proc = Processor("demo")

@proc.algorithm("{name}", "1.0.0", "Every30Second", "1.0.0")
def body() -> float:
    return 1.0

if __name__ == "__main__":
    proc.run()
"""


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def registered(folder):
    """What the core's store says."""
    if not (folder / ".orca" / "core.json").exists():
        return ""
    connection = sqlite3.connect(folder / ".orca" / "orca.db")
    rows = connection.execute("SELECT definition FROM processors").fetchall()
    connection.close()
    return str(rows)


def test_a_processor_is_run_reloaded_and_stopped(tmp_path):
    (tmp_path / "processor.py").write_text(PROGRAM.format(name="Alpha"))
    command = [sys.executable, "-c", "import sys; from orca.common.cli import main; sys.exit(main())"]
    with (tmp_path / "out.txt").open("w") as output:
        process = subprocess.Popen(
            [*command, "dev", "processor.py"],
            cwd=tmp_path,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
        try:
            until(lambda: "Alpha" in registered(tmp_path))
            # In one step: half a program that is looked at and run would have the time of the whole one.
            (tmp_path / "processor.new").write_text(PROGRAM.format(name="Beta"))
            (tmp_path / "processor.new").rename(tmp_path / "processor.py")
            until(lambda: "Beta" in registered(tmp_path))
            assert read_core(tmp_path / ".orca") is not None
            process.terminate()
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
            process.wait()
            # Only where the command did not do it.
            left_alone = not stop_background(tmp_path / ".orca")
    assert left_alone
    text = (tmp_path / "out.txt").read_text()
    assert "core       grpc://127.0.0.1:" in text
    assert "starts anew" in text
    assert not FolderLock.held(tmp_path / ".orca")
