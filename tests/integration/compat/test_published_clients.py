"""Published processors and emitters talk to our wire over real sockets, each from an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet

from orca.processor import wire
from ports import free_port
from published import published_python
from scripted_core import ScriptedCore

SETUP = {
    "0.2.0": 'from orca_python import EmitWindow, Window\nSPAN = {"time_from": 1747582274, "time_to": 1747582304}',
    "0.13.0": (
        "import datetime as dt\nfrom orca_python import EmitWindow, Window\n"
        "at = dt.datetime.fromtimestamp(1747582274, dt.timezone.utc)\n"
        'SPAN = {"time_from": at, "time_to": at + dt.timedelta(seconds=30)}'
    ),
}
EMIT = '\nEmitWindow(Window(**SPAN, name="Every30Second", version="1.0.0", origin="Example"))\n'


def environment(core: ScriptedCore, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "ORCASERVER": f"grpc://{core.address}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ORCA_CORE": f"grpc://{core.address}",
        "PROCESSOR_ADDRESS": f"127.0.0.1:{port}",
        "PROCESSOR_EXTERNAL_PORT": str(port),
    }


def times(message: wire.Window) -> tuple[int, int]:
    """Seconds, also from the first generation, whose numbers are unknown fields today."""
    found = {one.field_number: one.data for one in UnknownFieldSet(message)}
    if found:
        return found[1], found[2]
    return message.time_from.seconds, message.time_to.seconds


@pytest.mark.parametrize("version", list(SETUP))
def test_a_published_emitter_is_understood(version: str, tmp_path: Path) -> None:
    python = published_python(f"orca-python=={version}", "setuptools<81")
    with ScriptedCore() as core:
        done = subprocess.run(
            [str(python), "-c", SETUP[version] + EMIT],
            cwd=tmp_path,
            env=environment(core, free_port()),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (message,) = core.windows
    assert times(message) == (1747582274, 1747582304)
    assert (message.window_type_name, message.window_type_version) == ("Every30Second", "1.0.0")
    assert message.origin == "Example"


PROCESSORS = {
    "0.2.0": """
from orca_python import Processor
proc = Processor("ml")

@proc.algorithm("First", "1.0.0", "Every30Second", "1.0.0")
def first() -> dict:
    return {"result": 42}

@proc.algorithm("Second", "1.0.0", "Every30Second", "1.0.0", depends_on=[first])
def second(dependencies=None):
    return dependencies["First_1.0.0"]["result"] / 4

proc.Register()
proc.Start()
""",
    "0.13.0": '''
from orca_python import ExecutionParams, Processor, StructResult, ValueResult, WindowType
half = WindowType("Every30Second", "1.0.0", "each half minute")
proc = Processor("ml")

@proc.algorithm("First", "1.0.0", half)
def first(params: ExecutionParams) -> StructResult:
    """The answer."""
    return StructResult({"result": 42})

@proc.algorithm("Second", "1.0.0", half, depends_on=[first])
def second(params: ExecutionParams) -> ValueResult:
    """A quarter of it."""
    return ValueResult(params.dependencies.get_result(first).results[0].result["result"] / 4)

proc.Register()
proc.Start()
''',
}


@pytest.mark.parametrize("version", list(PROCESSORS))
def test_a_published_processor_is_executed(version: str, tmp_path: Path) -> None:
    # Run on Python 3.11 or later: the released 0.13 fails on 3.10, where datetime has no UTC.
    python = published_python(f"orca-python=={version}", "setuptools<81")
    port = free_port()
    (tmp_path / "processor.py").write_text(PROCESSORS[version])
    with ScriptedCore() as core:
        command = [str(python), str(tmp_path / "processor.py")]
        with (tmp_path / "log").open("w") as log:
            running = subprocess.Popen(command, cwd=tmp_path, env=environment(core, port), stderr=log)
        try:
            core.wait(lambda: core.registrations)
            wait_for_port(port)
            window = wire.Window(window_type_name="Every30Second", window_type_version="1.0.0", origin="Me")
            window.time_from.seconds, window.time_to.seconds = 1747582274, 1747582304
            with grpc.insecure_channel(core.address) as channel:
                wire.call(channel, wire.OrcaCore.EmitWindow)(window, timeout=30)
            core.wait(lambda: len(core.results) == 2)
        finally:
            running.terminate()
            running.wait(30)
    assert core.results["First_1.0.0"].struct_value["result"] == 42
    assert core.results["Second_1.0.0"].single_value == 10.5


def wait_for_port(port: int) -> None:
    # Another process: there is nothing to wait on but its port.
    end_s = time.monotonic() + 30
    while not listens(port):
        assert time.monotonic() < end_s, "the processor does not listen"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
