"""``orca machine render``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine.cli._inputs import Input, Made
    from orca.statemachine.model import Document, MachineDef
    from orca.statemachine.tables import DecisionTableDef

__all__ = ["FORMATS", "TABLE_FORMATS", "add"]

Item = TypeVar("Item", "MachineDef", "DecisionTableDef")

FORMATS: Final = ("svg", "mermaid", "dot", "xstate", "xstate-module", "scxml")
TABLE_FORMATS: Final = ("python", "typescript", "json")
"""What decision tables are written as."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("render")(render)


def render(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, or - for standard input.")
    ] = None,
    *,
    to: Annotated[
        str, typer.Option("--to", "-t", help=f"One of {', '.join((*FORMATS, *TABLE_FORMATS))}.")
    ] = "",
    machine: Annotated[
        str | None,
        typer.Option("--machine", "-m", help="Which machine; in Mermaid all, else all into a folder."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="Which decision table; all, for python, typescript and json."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, whose ending tells the format, or a folder."),
    ] = None,
    active: Annotated[
        list[str] | None, typer.Option("--active", help="A state to highlight, by path; repeatable.")
    ] = None,
    direction: Annotated[str, typer.Option("--direction", help="down or right, for svg.")] = "down",
) -> int:
    """Draw machines, or write them for another engine, or decision tables for another program.

    Several files go into an existing folder.

    Exit codes: 0 done, 1 the text has errors, 2 wrong usage.
    """
    from orca.common.errors import UsageError  # noqa: PLC0415
    from orca.statemachine.cli._inputs import Made, write_each  # noqa: PLC0415

    if to and to not in {*FORMATS, *TABLE_FORMATS}:
        raise UsageError(f"`{to}` is not a format", hint=f"--to {' | '.join((*FORMATS, *TABLE_FORMATS))}")
    if direction not in {"down", "right"}:
        raise UsageError(f"`{direction}` is not a direction", hint="--direction down or --direction right")
    into_folder = output is not None and output.is_dir()

    def make(item: Input) -> list[Made]:
        from orca.statemachine.loading import parse_document  # noqa: PLC0415

        document = parse_document(item.text, item.name, notation=item.notation)
        wanted = to or _format_of(None if into_folder else output, document)
        ending = _ENDING_OF[wanted]
        of_tables = wanted in TABLE_FORMATS
        if into_folder and not (document.tables if of_tables else document.machines):
            return []
        if of_tables:
            tables = _one_of("decision table", document.tables, table, item.name)
            return [Made(_tables_text(tables, wanted), ending)]
        chosen = _one_of("machine", document.machines, machine, item.name)
        for name in active or ():
            if all(one.find(name) is None for one in chosen):
                machines = ", ".join(f"`{one.name}`" for one in chosen)
                raise UsageError(f"`{name}` is not a state of {machines}")
        if wanted == "mermaid":
            from orca.statemachine.outputs.mermaid import to_mermaid  # noqa: PLC0415

            return [Made(to_mermaid(*chosen), ending)]  # the one format that shows several at once
        return [Made(_text(one, wanted, active or (), direction), ending, one.name) for one in chosen]

    return write_each(paths, output, make)


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
    ".py": "python",
    ".ts": "typescript",
}
_ENDING_OF: Final = {"json": ".json", **{name: ending for ending, name in reversed(_ENDINGS.items())}}


def _format_of(output: Path | None, document: Document) -> str:
    """The format that the ending of a file name asks for; without one Mermaid, or JSON for tables alone.

    Raises:
        UsageError: No format has the ending.
    """
    from orca.common.errors import UsageError  # noqa: PLC0415

    if not document.machines and (output is None or output.suffix == ".json"):
        return "json"
    if output is None:
        return "mermaid"
    if output.suffix not in _ENDINGS:
        hint = f"--to {' | '.join((*FORMATS, *TABLE_FORMATS))}"
        raise UsageError(f"`{output.suffix}` is not the ending of a format", hint=hint)
    return _ENDINGS[output.suffix]


def _one_of(what: str, items: Sequence[Item], name: str | None, file: str) -> list[Item]:
    from orca.common.errors import UsageError  # noqa: PLC0415

    found = [item for item in items if name in {None, item.name}]
    if not found:
        names = ", ".join(item.name for item in items) or "none"
        raise UsageError(f"there is no {what} `{name or ''}` in {file}", hint=f"it has {names}")
    return found


def _tables_text(tables: Sequence[DecisionTableDef], wanted: str) -> str:
    from orca.statemachine.outputs import decision_tables  # noqa: PLC0415

    if wanted == "json":
        return decision_tables.tables_to_json(tables)
    if wanted == "python":
        return decision_tables.tables_to_python(tables)
    return decision_tables.tables_to_typescript(tables)


def _text(machine: MachineDef, wanted: str, active: Sequence[str], direction: str) -> str:
    """One machine in one format."""
    if wanted == "svg":
        from orca.statemachine.outputs.svg import to_svg  # noqa: PLC0415

        shown = [name for name in active if machine.find(name) is not None]
        return to_svg(machine, active=shown, direction="right" if direction == "right" else "down")
    if wanted == "dot":
        from orca.statemachine.outputs.dot import to_dot  # noqa: PLC0415

        return to_dot(machine)
    if wanted == "scxml":
        from orca.statemachine.outputs.scxml import to_scxml  # noqa: PLC0415

        return to_scxml(machine)
    from orca.statemachine.outputs.xstate import to_xstate, to_xstate_module  # noqa: PLC0415

    if wanted == "xstate-module":
        return to_xstate_module(machine)
    import json  # noqa: PLC0415

    return json.dumps(to_xstate(machine), indent=2)
