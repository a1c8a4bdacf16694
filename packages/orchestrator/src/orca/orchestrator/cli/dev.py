"""``orca dev FILE``: a core and a processor in one terminal, the processor started anew when its file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orca.common.errors import UsageError
from orca.common.terminal import print_json, wants_json
from orca.orchestrator.cli.common import Json  # noqa: TC001 - typer needs the type
from orca.orchestrator.cli.output import echo
from orca.orchestrator.process import FolderLock, read_core, start_background, stop_background
from orca.orchestrator.settings import CoreSettings

__all__ = ["dev"]

dev = typer.Typer(add_completion=False)

LOOK_S = 0.3
STOP_S = 5.0
FOLDER = Path(".orca")


@dev.command()
def run_dev(
    file: Annotated[Path, typer.Argument(help="The processor's program; its last line runs it.")],
    *,
    port: Annotated[
        int, typer.Option("--port", help="Port of a core that is started; 0 takes a free one.")
    ] = 0,
    reload: Annotated[bool, typer.Option("--reload/--no-reload", help="Start anew on changes.")] = True,
    json: Json = False,  # noqa: ARG001 - read by the dispatcher
) -> None:
    """Start or find the core of this folder, run a processor, and stop both at Ctrl-C."""
    if not file.is_file():
        raise UsageError(f"there is no file {file}", hint="orca init demo")
    begun = time.monotonic()
    ours = not FolderLock.held(FOLDER)
    known = start_background(CoreSettings(port=port)) if ours else read_core(FOLDER)
    if known is None:
        raise UsageError(f"a core is starting in {FOLDER}", hint="try again in a moment")
    _banner(known, begun)
    ended = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        ended.set()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        _keep(file, known["address"], ended, reload=reload)
    except KeyboardInterrupt:
        echo()
    finally:
        signal.signal(signal.SIGTERM, before)
        if ours:
            stop_background(FOLDER)


def _banner(known: dict[str, Any], begun: float) -> None:
    if wants_json():
        print_json({key: value for key, value in known.items() if key != "token"})
        sys.stdout.flush()
        return
    echo(f"  orca {known['version']}  ready in {time.monotonic() - begun:.1f} s")
    echo(f"    core       grpc://{known['address']}")
    if known.get("web"):
        echo(f"    dashboard  {known['web']}")
    echo(f"    store      {known['store']}")
    sys.stdout.flush()


def _keep(file: Path, address: str, ended: threading.Event, *, reload: bool) -> None:
    """Run the program; again after each change of it or of a Python file beside it."""
    while not ended.is_set():
        process = _start(file, address)
        seen = _changes(file)
        try:
            while process.poll() is None and not ended.wait(LOOK_S):
                if reload and _changes(file) != seen:
                    echo("  dev  | the program changed: it starts anew")
                    break
        finally:
            _stop(process)
        if not reload:
            return
        while process.returncode not in (0, -signal.SIGTERM) and _changes(file) == seen:
            # It failed by itself: only a change can help.
            if ended.wait(LOOK_S):
                return
        if process.returncode == 0 and _changes(file) == seen:
            return


def _start(file: Path, address: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "ORCA_CORE": address, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, the user's own file
        [sys.executable, str(file)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    threading.Thread(target=_print_lines, args=(process,), daemon=True).start()
    return process


def _print_lines(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(f"  proc | {line}")
        sys.stdout.flush()


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _changes(file: Path) -> dict[str, int]:
    """When each Python file beside the program was written."""
    return {str(path): path.stat().st_mtime_ns for path in file.absolute().parent.glob("*.py")}
