"""Options that several commands share."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from orca.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.orchestrator.query import QueryClient
    from orca.processor import wire_query as q

__all__ = ["Core", "Folder", "Json", "Since", "Until", "Watch", "connect", "lists", "new_app", "ref_of"]

Json = Annotated[bool, typer.Option("--json", help="Print for programs instead of people.")]
Core = Annotated[str, typer.Option("--core", help="Address of the core; found by itself otherwise.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder of the core.")]
Watch = Annotated[bool, typer.Option("--watch", help="Print again every second until Ctrl-C.")]
Since = Annotated[str, typer.Option("--from", help="Start: 2026-01-31T12:00, unix seconds, or -1h.")]
Until = Annotated[str, typer.Option("--to", help="End, in the same forms.")]


class _Group(TyperGroup):
    """A name or a number where a command should be is most likely what somebody wants to see."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        shows = [name for name in ("show", "get") if name in self.commands]
        plain = word not in self.commands and not word.startswith("-")
        if plain and shows and not difflib.get_close_matches(word, self.commands):
            text = f"'{word}' is no command of {ctx.command_path}"
            raise UsageError(text, hint=f"{ctx.command_path} {shows[0]} {shlex.quote(word)}")
        return super().resolve_command(ctx, args)


def new_app(text: str) -> typer.Typer:
    """A group of commands; without one of them it prints its help, unless it `lists`."""
    app = typer.Typer(help=text, cls=_Group, no_args_is_help=True, add_completion=False)
    # With a callback a group stays a group, also while it has one command.
    app.callback(help=text)(_group)
    return app


def _group(*, json: Json = False) -> None:
    """Nothing of its own."""


def lists(app: typer.Typer, text: str, listing: Callable[..., None]) -> None:
    """Let a group without a command do what its command ``list`` does without options of its own."""

    def bare(context: typer.Context, *, core: Core = "", json: Json = False) -> None:
        if context.invoked_subcommand is None:
            listing(core=core, json=json)

    app.info.no_args_is_help = False
    app.callback(help=text, invoke_without_command=True, no_args_is_help=False)(bare)


def connect(core: str) -> QueryClient:
    """A client of the core that was named or found."""
    from orca.orchestrator.query import QueryClient  # noqa: PLC0415 - gRPC only when it is used

    return QueryClient(core or None)


def ref_of(text: str) -> q.Ref:
    """``Name`` or ``Name_1.0.0``."""
    from orca.processor import wire_query as q  # noqa: PLC0415

    name, _, version = text.rpartition("_")
    if name and version[:1].isdigit():
        return q.Ref(name=name, version=version)
    return q.Ref(name=text)
