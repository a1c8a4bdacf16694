"""``orca machine stubs``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orca.statemachine.cli._inputs import Input

__all__ = ["add"]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stubs")(stubs)


def stubs(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, or - for standard input.")
    ] = None,
    *,
    machine: Annotated[
        str | None, typer.Option("--machine", "-m", help="Which machine; the first one of a file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write, or a folder.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Write JSON schema instead of Python.")] = False,
) -> int:
    """Write typed Python handlers for the actions, effects and context of a machine, or its JSON schema.

    Several files go into an existing folder.
    Exit codes: 0 done, 1 a text has errors, 2 wrong usage.
    """
    from orca.statemachine.cli._inputs import machine_of, write_each  # noqa: PLC0415

    into_folder = output is not None and output.is_dir()

    def make(item: Input) -> tuple[str, str] | None:
        from orca.statemachine.stubs import json_schema, python_stubs  # noqa: PLC0415

        found = machine_of(item, machine, may_lack=into_folder)
        if found is None:
            return None
        if schema:
            import json  # noqa: PLC0415

            return json.dumps(json_schema(found), indent=2, ensure_ascii=False), ".schema.json"
        return python_stubs(found), ".py"

    return write_each(paths, output, make)
