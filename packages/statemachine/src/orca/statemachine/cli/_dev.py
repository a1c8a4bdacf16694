"""``orca machine dev``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orca.statemachine.cli._session import Session

__all__ = ["add"]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dev")(dev)


def dev(
    path: Annotated[Path, typer.Argument(help="A file.")],
    *,
    machine: Annotated[
        str | None, typer.Option("--machine", "-m", help="Which machine; the first one.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="NAME=VALUE at the start; VALUE is JSON.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="A free one when 0.")] = 0,
) -> int:
    """Play a machine in the browser while its file is edited, until Ctrl-C.

    The page shows the picture with the active states, what may happen now and what it would do, the context, and
    the way so far. After each change of the file it is checked again, and the same way is gone through it.
    """
    import threading  # noqa: PLC0415

    from orca.common.clock import SystemClock  # noqa: PLC0415
    from orca.statemachine.cli._devserver import DevServer  # noqa: PLC0415
    from orca.statemachine.cli._session import Session  # noqa: PLC0415
    from orca.statemachine.cli._simulate import context_of  # noqa: PLC0415
    from orca.statemachine.cli._watch import INTERVAL_S  # noqa: PLC0415

    session = Session(path, machine, context_of(context or ()))
    sleep = SystemClock().sleep
    with DevServer(session, port) as server:
        threading.Thread(target=server.serve_forever, name="orca-machine-dev", daemon=True).start()
        sys.stdout.write(f"{path}\n  simulator  {server.url}\n  Ctrl-C ends it\n")
        _say(session)
        try:
            while True:
                sleep(INTERVAL_S)
                if session.refresh():
                    _say(session)
        except KeyboardInterrupt:
            return 0
        finally:
            server.shutdown()


def _say(session: Session) -> None:
    sys.stdout.write(f"{session.summary()}\n")
    sys.stdout.flush()
