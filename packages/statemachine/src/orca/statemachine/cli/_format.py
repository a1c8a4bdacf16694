"""``orca machine fmt`` and ``orca machine convert``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from orca.statemachine.cli._inputs import Input, Made

__all__ = ["add"]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("fmt")(fmt)
    app.command("convert")(convert)


def fmt(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, or - for standard input.")
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail when something would change.")
    ] = False,
) -> int:
    """Put definitions into canonical form, in place; standard input goes to standard output.

    Comments of the brace notation and the prose of the Markdown notation are kept.
    Exit codes: 0 done, 1 a text has errors or, with --check, would change, 2 wrong usage.
    """
    from orca.statemachine.cli._inputs import print_findings, read_inputs  # noqa: PLC0415
    from orca.statemachine.diagnostics import ParseError  # noqa: PLC0415
    from orca.statemachine.formatting import format_text  # noqa: PLC0415
    from orca.statemachine.loading import load  # noqa: PLC0415

    failed = False
    for item in read_inputs(paths):
        try:
            text = format_text(item.text, item.name, notation=item.notation)
        except ParseError as error:
            failed = True
            result = load(item.text, item.name, notation=item.notation)
            print_findings(result, [each for each in error.diagnostics if each.severity == "error"])
            continue
        if check:
            if text != item.text:
                failed = True
                sys.stdout.write(f"{item.name} would change\n")
        elif item.path is None:
            sys.stdout.write(text)
        elif text != item.text:
            item.path.write_bytes(text.encode("utf-8"))
            sys.stdout.write(f"{item.name} formatted\n")
    return 1 if failed else 0


def convert(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, or - for standard input.")
    ] = None,
    *,
    to: Annotated[str, typer.Option("--to", help="brace or markdown; the other one when left out.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write, or a folder.")
    ] = None,
) -> int:
    """Write definitions in the other notation. Several files go into an existing folder.

    Exit codes: 0 done, 1 a text has errors, 2 wrong usage.
    """
    from orca.common.errors import UsageError  # noqa: PLC0415
    from orca.statemachine.cli._inputs import Made, write_each  # noqa: PLC0415

    if to not in {"", "brace", "markdown"}:
        raise UsageError(f"`{to}` is not a notation", hint="--to brace or --to markdown")

    def make(item: Input) -> list[Made]:
        from orca.statemachine.formatting import convert_text  # noqa: PLC0415
        from orca.statemachine.loading import notation_of  # noqa: PLC0415

        other = "brace" if (item.notation or notation_of(item.text)) == "markdown" else "markdown"
        target = cast("Literal['brace', 'markdown']", cast("Any", to or other))
        text = convert_text(item.text, item.name, to=target, notation=item.notation)
        return [Made(text, ".orca" if target == "brace" else ".orca.md")]

    return write_each(paths, output, make)
