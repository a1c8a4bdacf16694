"""``orca machine explain``."""

from __future__ import annotations

import sys
from textwrap import fill, indent
from typing import Annotated

import typer

__all__ = ["add"]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    code: Annotated[str | None, typer.Argument(help="A code, such as UNKNOWN_STATE.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Print all codes.")] = False,
) -> int:
    """Say what a code means, with a text that yields it and the same text mended."""
    from dataclasses import asdict  # noqa: PLC0415

    from orca.common.terminal import print_json  # noqa: PLC0415
    from orca.statemachine import catalogue  # noqa: PLC0415

    if code is None or show_list:
        known = catalogue.entries()
        if as_json:
            print_json([asdict(entry) for entry in known.values()])
        else:
            width = max(map(len, known))
            sys.stdout.writelines(f"{entry.code:{width}}  {entry.title}\n" for entry in known.values())
        return 0
    entry = catalogue.explain(code)
    if as_json:
        print_json(asdict(entry))
        return 0
    parts = (
        f"{entry.code}: {entry.title}\n",
        fill(entry.text, 100),
        "\nThis yields it:\n",
        indent(entry.failing, "    "),
        "This does not:\n",
        indent(entry.mended, "    "),
    )
    sys.stdout.write("\n".join(parts))
    return 0
