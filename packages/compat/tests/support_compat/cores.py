"""Run a processor or emitter program against a scripted core, with a published release or with this package."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
from programs import DROPPED

from orca.processor import wire
from published import published_python
from scripted_core import WAIT_S, ScriptedCore

__all__ = ["emit", "environment", "here", "published", "running", "wait_for_port"]


def published(version: str) -> Path:
    """The interpreter of a published release."""
    return published_python(f"orca-python=={version}", "setuptools<81")


here = Path(sys.executable)
"""The interpreter that has this package."""


FIRST = ("ORCASERVER", "HOST", "PORT")
"""The variables of the first generation."""


def environment(address: str, port: int, *, first: bool = False, **more: str) -> dict[str, str]:
    """A clean environment with the variables of every generation, or of the first only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    own = {
        "ORCASERVER": f"grpc://{address}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ORCA_CORE": f"grpc://{address}",
        "PROCESSOR_ADDRESS": f"127.0.0.1:{port}",
        "PROCESSOR_PORT": str(port),
        "PROCESSOR_EXTERNAL_PORT": str(port),
    }
    if first:
        own = {name: own[name] for name in FIRST}
    return {**kept, **own, **more, "PYTHONUNBUFFERED": "1"}


@contextmanager
def running(
    source: str, folder: Path, env: Mapping[str, str], *, python: Path = here, name: str = "processor.py"
) -> Iterator[Path]:
    """A program that runs until the block ends; gives the file with what it printed and logged.

    One of ours is asked to end and does so. A published release is ended: nothing is promised of how it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(source, "utf-8")
    log = folder / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(python), str(folder / name)], cwd=folder, env=dict(env), stdout=output, stderr=output
        )
        try:
            yield log
        finally:
            if python == here:
                process.send_signal(signal.SIGTERM)
            else:
                process.kill()
            try:
                process.wait(WAIT_S)
            finally:
                process.kill()


def wait_for_port(port: int, log: Path) -> None:
    """Wait until a program listens: it is another process, so there is nothing to wait on but its port."""
    end_s = time.monotonic() + WAIT_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end_s, log.read_text()
        time.sleep(0.02)


def emit(
    core: ScriptedCore, name: str = "Every30Second", metadata: Mapping[str, object] | None = None
) -> None:
    """Emit one window of half a minute."""
    window = wire.Window(window_type_name=name, window_type_version="1.0.0", origin="Example")
    window.time_from.seconds, window.time_to.seconds = 1747582274, 1747582304
    window.metadata.update(dict(metadata or {}))
    with grpc.insecure_channel(core.address) as channel:
        wire.call(channel, wire.OrcaCore.EmitWindow)(window, timeout=WAIT_S)
