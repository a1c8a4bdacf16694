# ruff: noqa: ARG001, TC001 - every command takes --json, which the dispatcher reads; typer needs the types
"""``orca start | stop | status | destroy | logs``."""

from __future__ import annotations

import collections
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from orca.common.errors import UnreachableError, UsageError
from orca.common.terminal import print_json, wants_json
from orca.orchestrator.cli.common import Folder, Json
from orca.orchestrator.cli.output import echo
from orca.orchestrator.process import (
    FolderLock,
    read_core,
    run_foreground,
    start_background,
    stop_background,
)
from orca.orchestrator.settings import (
    DEFAULT_PORT,
    DEFAULT_WEB_PORT,
    CoreSettings,
    DatabaseUrl,
    from_environ,
)

__all__ = ["destroy", "logs", "start", "status", "stop"]

DEFAULT_FOLDER = Path(".orca")
FOLLOW_S = 0.2

start = typer.Typer(add_completion=False)
stop = typer.Typer(add_completion=False)
status = typer.Typer(add_completion=False)
destroy = typer.Typer(add_completion=False)
logs = typer.Typer(add_completion=False)

Foreground = Annotated[bool, typer.Option("--foreground", help="Stay in this process, for containers.")]
Port = Annotated[
    int,
    typer.Option("--port", help="Port to listen on; 0 takes a free one.", show_default=str(DEFAULT_PORT)),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on; beyond loopback it needs TLS.")]
Database = Annotated[
    str, typer.Option("--database", help="postgresql://... instead of SQLite in the folder.")
]
WebPort = Annotated[
    int,
    typer.Option(
        "--web-port",
        help="Port of the pages; 0 takes a free one, -1 serves none.",
        show_default=f"{DEFAULT_WEB_PORT}; beside another --port a free one",
    ),
]


def _settings(folder: Path, *, port: int, host: str, web_port: int, database: str) -> CoreSettings:
    settings = replace(from_environ(), folder=folder)
    if database:
        settings = replace(settings, database=DatabaseUrl(database))
    if port >= 0:
        settings = replace(settings, port=port)
    if host:
        settings = replace(settings, host=host)
    if web_port >= -1:
        settings = replace(settings, web_port=web_port)
    elif "ORCA_CORE_WEB_PORT" not in os.environ:
        # A core on a port that somebody chose is one of several: its pages stand beside the others' too.
        settings = replace(settings, web_port=DEFAULT_WEB_PORT if settings.port == DEFAULT_PORT else 0)
    return settings


@start.command()
def start_core(
    *,
    folder: Folder = DEFAULT_FOLDER,
    port: Port = -1,
    host: Host = "",
    web_port: WebPort = -2,
    database: Database = "",
    foreground: Foreground = False,
    json: Json = False,
) -> None:
    """Start the core of this folder in the background, and say where it listens."""
    settings = _settings(folder, port=port, host=host, web_port=web_port, database=database)
    begun = time.monotonic()
    if foreground:
        run_foreground(settings, ready=lambda server: _print_ready(_facts(server), begun))
        return
    _print_ready(start_background(settings, upgrading=_tell_upgrading), begun)


def _tell_upgrading() -> None:
    """On the error stream: what is printed for programs stays what it is."""
    sys.stderr.write("the store is copied and brought up to date first; this may take minutes ...\n")
    sys.stderr.flush()


def _facts(server: Any) -> dict[str, Any]:
    known = read_core(server.settings.folder)
    return known or {"address": server.address, "web": server.web_url, "store": "", "version": ""}


def _print_ready(known: dict[str, Any], begun: float) -> None:
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


@stop.command()
def stop_core(*, folder: Folder = DEFAULT_FOLDER, json: Json = False) -> None:
    """Stop the core of this folder; open runs go on at the next start."""
    stopped = stop_background(folder)
    if wants_json():
        print_json({"stopped": stopped})
    else:
        echo("Orca: stopped" if stopped else "Orca: was not running")


@status.command()
def show_status(*, folder: Folder = DEFAULT_FOLDER, json: Json = False) -> None:
    """Print what runs and the variables that connect SDKs to it."""
    known = read_core(folder) if FolderLock.held(folder) else None
    if known is None:
        if wants_json():
            print_json({"running": False})
        raise UnreachableError(f"No core runs in {folder}.", hint="Start it: orca start")
    host, _, port = str(known["address"]).rpartition(":")
    if wants_json():
        print_json({"running": True, **{key: value for key, value in known.items() if key != "token"}})
        return
    shared = "://" in str(known["store"])
    echo("PostgreSQL: connected" if shared else "SQLite: running")
    echo(f"Connection string: {known['store'] if shared else 'sqlite:///' + str(known['store'])}")
    echo()
    echo("Orca: running")
    echo(f"Connection string: grpc://{known['address']}")
    if known.get("web"):
        echo(f"Dashboard: {known['web']}")
    echo()
    echo("→ Set these environment variables in your Orca SDKs to connect them to Orca:")
    echo(f"→     ORCASERVER=grpc://{known['address']}")
    echo(f"→     ORCA_CORE={host}:{port}")
    echo(f"→     HOST={host}")


@destroy.command()
def destroy_core(
    *,
    folder: Folder = DEFAULT_FOLDER,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Stop the core of this folder and delete everything that it stored."""
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"this deletes everything in {folder}", hint="orca destroy --yes")
        typer.confirm(f"Delete everything in {folder}?", abort=True)
    known = read_core(folder) if FolderLock.held(folder) else None
    stop_background(folder)
    # Only a folder that a core made: never what happens to be named like one.
    made = (folder / "core.lock").exists()
    if made:
        shutil.rmtree(folder)
    if wants_json():
        print_json({"destroyed": made})
    else:
        echo(f"{folder} is gone" if made else f"{folder} is no core's folder; nothing was deleted")
        if known is not None and "://" in str(known["store"]):
            echo(f"{known['store']} was left as it is: other replicas may use it (DROP SCHEMA orca CASCADE)")


def _print_line(line: str) -> None:
    """As it is, or as one JSON text a line."""
    if wants_json():
        print_json({"line": line.rstrip("\n")})
    else:
        sys.stdout.write(line)


@logs.command()
def show_logs(
    *,
    folder: Folder = DEFAULT_FOLDER,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Print the last lines of the core's log."""
    path = folder / "core.log"
    if not path.exists():
        raise UsageError(f"there is no log at {path}", hint="orca start")
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in collections.deque(file, maxlen=lines):
            _print_line(line)
        while follow:
            line = file.readline()
            if line:
                _print_line(line)
                sys.stdout.flush()
            else:
                time.sleep(FOLLOW_S)
