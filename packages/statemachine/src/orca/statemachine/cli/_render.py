"""``orca machine render``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine.model import Document, MachineDef

__all__ = ["FORMATS", "add"]

FORMATS: Final = ("svg", "mermaid", "dot", "xstate", "xstate-module", "scxml")


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("render")(render)


def render(
    path: Annotated[Path | None, typer.Argument(help="A file, or - for standard input.")] = None,
    *,
    to: Annotated[str, typer.Option("--to", "-t", help=f"One of {', '.join(FORMATS)}.")] = "",
    machine: Annotated[
        str | None, typer.Option("--machine", "-m", help="Which machine; the first one, in Mermaid all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; its ending tells the format.")
    ] = None,
    active: Annotated[
        list[str] | None, typer.Option("--active", help="A state to highlight, by path; repeatable.")
    ] = None,
    direction: Annotated[str, typer.Option("--direction", help="down or right, for svg.")] = "down",
) -> int:
    """Draw a machine, or write it for another engine.

    Exit codes: 0 done, 1 the text has errors, 2 wrong usage.
    """
    from orca.common.errors import UsageError  # noqa: PLC0415
    from orca.statemachine.cli._inputs import one_input  # noqa: PLC0415
    from orca.statemachine.loading import parse_document  # noqa: PLC0415

    wanted = to or _format_of(output)
    if wanted not in FORMATS:
        raise UsageError(f"`{wanted}` is not a format", hint=f"--to {' | '.join(FORMATS)}")
    if direction not in {"down", "right"}:
        raise UsageError(f"`{direction}` is not a direction", hint="--direction down or --direction right")
    item = one_input(path)
    chosen = _chosen(parse_document(item.text, item.name, notation=item.notation), machine, item.name)
    unknown = [name for name in active or () if chosen[0].find(name) is None]
    if unknown:
        raise UsageError(f"`{unknown[0]}` is not a state of `{chosen[0].name}`")
    text = _text(chosen, wanted, active or (), direction)
    if output is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        output.write_bytes(text.encode("utf-8"))
    return 0


_ENDINGS: Final = {
    ".svg": "svg",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".json": "xstate",
    ".mjs": "xstate-module",
    ".js": "xstate-module",
    ".scxml": "scxml",
}


def _format_of(output: Path | None) -> str:
    """The format that the ending of a file name asks for; Mermaid for a terminal."""
    return "mermaid" if output is None else _ENDINGS.get(output.suffix, output.suffix)


def _chosen(document: Document, name: str | None, file: str) -> list[MachineDef]:
    from orca.common.errors import UsageError  # noqa: PLC0415

    found = [item for item in document.machines if name in {None, item.name}]
    if not found:
        names = ", ".join(item.name for item in document.machines) or "none"
        raise UsageError(f"there is no machine `{name or ''}` in {file}", hint=f"it has {names}")
    return found


def _text(machines: Sequence[MachineDef], wanted: str, active: Sequence[str], direction: str) -> str:
    """The text in one format; only Mermaid shows several machines at once."""
    if wanted == "mermaid":
        from orca.statemachine.outputs.mermaid import to_mermaid  # noqa: PLC0415

        return to_mermaid(*machines)
    if wanted == "svg":
        from orca.statemachine.outputs.svg import to_svg  # noqa: PLC0415

        return to_svg(machines[0], active=active, direction="right" if direction == "right" else "down")
    if wanted == "dot":
        from orca.statemachine.outputs.dot import to_dot  # noqa: PLC0415

        return to_dot(machines[0])
    if wanted == "scxml":
        from orca.statemachine.outputs.scxml import to_scxml  # noqa: PLC0415

        return to_scxml(machines[0])
    from orca.statemachine.outputs.xstate import to_xstate, to_xstate_module  # noqa: PLC0415

    if wanted == "xstate-module":
        return to_xstate_module(machines[0])
    import json  # noqa: PLC0415

    return json.dumps(to_xstate(machines[0]), indent=2)
