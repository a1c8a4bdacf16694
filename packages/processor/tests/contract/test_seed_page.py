"""The programs of the first generation's page, as printed there but for the package's name, and their log lines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import grpc
from serving import make_request

from orca.processor import convert, wire
from ports import free_port
from scripted_core import scripted_core

PROCESSOR = """
from orca.processor import Processor
import time
proc = Processor("ml")

@proc.algorithm("MyAlgo", "1.0.0", "Every30Second", "1.0.0")
def my_algorithm() -> dict:
    time.sleep(0.01)
    return {"result": 42}

if __name__ == "__main__":
    proc.Register()
    proc.Start()
"""
WINDOW = """
import time
from orca.processor import EmitWindow, Window

def emitWindow():
    now = int(time.time())
    window = Window(time_from=now - 30, time_to=now, name="Every30Second", version="1.0.0", origin="Example")
    EmitWindow(window)

emitWindow()
"""
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - orca\.processor - INFO - "


def expect(lines: list[str], patterns: list[str]) -> None:
    assert len(lines) >= len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=False):
        assert re.fullmatch(STAMP + pattern, line.rstrip("\n")), (line, pattern)


def test_the_page_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "processor.py").write_text(PROCESSOR)
    (tmp_path / "window.py").write_text(WINDOW)
    port = free_port()
    with scripted_core(ours=False) as core:
        env = {
            "PATH": os.environ["PATH"],
            "ORCASERVER": core.address,
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        with subprocess.Popen(
            [sys.executable, "processor.py"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr is not None
            lines = []
            for line in child.stderr:
                lines.append(line)
                if "ready for requests" in line:
                    break
            registration = core.wait_registered()
            assert registration.connection_str == f"127.0.0.1:{port}"
            with grpc.insecure_channel(registration.connection_str) as channel:
                execute = wire.call(channel, wire.OrcaProcessor.ExecuteDagPart)
                request = make_request("MyAlgo_1.0.0", exec_id="ccb19b964d084da489841b4e6588cbd6")
                answer = next(iter(execute(request, timeout=60))).algorithm_result
            assert convert.result_value(answer.result) == {"result": 42}
            child.send_signal(signal.SIGTERM)
            rest = child.communicate(timeout=60)[1].splitlines()
        assert child.returncode == 0
        version = re.escape(sys.version.replace("\n", ""))
        expect(
            lines,
            [
                r"Registering algorithm: MyAlgo_1\.0\.0 \(window: Every30Second_1\.0\.0\)",
                r"Preparing to register processor 'ml' with Orca Core",
                (
                    r"Algorithm registration response recieved: received: true "
                    r'message: "Successfully registered processor"'
                ),
                rf"Starting Orca Processor 'ml' with Python {version}",
                r"Initialising gRPC server with 10 workers",
                rf"Server listening on address 0\.0\.0\.0:{port}",
                r"Server started successfully",
                r"Server is ready for requests",
            ],
        )
        expect(
            rest,
            [
                r"Received DAG execution request with 1 algorithms and ExecId: ccb19b964d084da489841b4e6588cbd6",
                r"Running algorithm MyAlgo_1\.0\.0",
                r"Completed algorithm: MyAlgo",
            ],
        )
        done = subprocess.run(
            [sys.executable, "window.py"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        emitted = convert.window_from_wire(core.windows[0])
    assert (emitted.full_name, emitted.duration_s, emitted.origin) == ("Every30Second_1.0.0", 30, "Example")
    times = r"time_from=\d{10}, time_to=\d{10}"
    expect(
        done.stderr.splitlines(),
        [
            rf"Emitting window: Window\({times}, name='Every30Second', version='1\.0\.0', origin='Example'\)",
            r"Window emitted: status: PROCESSING_TRIGGERED",
        ],
    )
