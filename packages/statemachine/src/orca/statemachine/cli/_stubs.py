"""``orca machine stubs``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

__all__ = ["add"]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stubs")(stubs)


def stubs(
    path: Annotated[Path | None, typer.Argument(help="A file, or - for standard input.")] = None,
    *,
    machine: Annotated[
        str | None, typer.Option("--machine", "-m", help="Which machine; the first one.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Write JSON schema instead of Python.")] = False,
) -> int:
    """Write typed Python handlers for the actions, effects and context of a machine, or its JSON schema."""
    from orca.statemachine.cli._inputs import one_machine  # noqa: PLC0415
    from orca.statemachine.stubs import json_schema, python_stubs  # noqa: PLC0415

    found = one_machine(path, machine)
    if schema:
        import json  # noqa: PLC0415

        text = json.dumps(json_schema(found), indent=2, ensure_ascii=False) + "\n"
    else:
        text = python_stubs(found)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_bytes(text.encode("utf-8"))
    return 0
