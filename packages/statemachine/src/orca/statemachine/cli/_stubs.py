"""``orca machine stubs``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orca.statemachine.cli._inputs import Input, Made

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
        str | None, typer.Option("--machine", "-m", help="Which machine; all of a file, into a folder.")
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
    from orca.statemachine.cli._inputs import Made, machines_of, write_each  # noqa: PLC0415

    into_folder = output is not None and output.is_dir()

    def make(item: Input) -> list[Made]:
        from orca.statemachine.stubs import json_schema, python_stubs  # noqa: PLC0415

        found = machines_of(item, machine, may_lack=into_folder)
        if schema:
            import json  # noqa: PLC0415

            texts = [json.dumps(json_schema(one), indent=2, ensure_ascii=False) for one in found]
        else:
            texts = [python_stubs(one) for one in found]
        ending = ".schema.json" if schema else ".py"
        return [Made(text, ending, one.name) for text, one in zip(texts, found, strict=True)]

    return write_each(paths, output, make)
