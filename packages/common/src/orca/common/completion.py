"""Shell completion of ``orca``: names come from the entry points, only the chosen command is imported."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from orca.common import cli
from orca.common.errors import UsageError

__all__ = ["SHELLS", "answer", "install", "script", "show"]

#: Where each shell looks for the completion of a command by itself, below the home directory.
SHELLS = {
    "bash": ".local/share/bash-completion/completions/orca",
    "fish": ".config/fish/completions/orca.fish",
    "zsh": ".zfunc/_orca",
}


class _Commands(TyperGroup):
    """All installed commands as one group; a command is imported when it is entered, not when listed."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the signature is typer's
        return list(cli.find_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  the signature is typer's
        if self._listing:
            return TyperCommand(name=cmd_name)
        entry = cli.find_commands().get(cmd_name)
        return None if entry is None else cli.to_click(cli.load_command(entry))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        self._listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._listing = False


def answer() -> int:
    """Print the answer to the question that the shell put into the environment.

    Raises:
        SystemExit: Always, with the exit code: that is how click ends.
    """
    app = typer.Typer(cls=_Commands)

    @app.callback()
    def orca() -> None:  # pyright: ignore[reportUnusedFunction]
        """Makes the app a group; nothing else happens here."""

    return int(get_command(app).main(args=[], prog_name="orca", complete_var=cli.COMPLETE_VARIABLE) or 0)


def script(shell: str | None = None) -> tuple[str, str]:
    """Return a shell's name and its completion script.

    Args:
        shell: One of `SHELLS`; when None, the one that ``$SHELL`` names.

    Raises:
        UsageError: The shell is none of `SHELLS`.
    """
    name = Path(os.environ.get("SHELL", "")).name if shell is None else shell
    if name not in SHELLS:
        raise UsageError(
            f"no completion for the shell {name!r}: it is there for {', '.join(SHELLS)}",
            hint="orca --show-completion bash",
        )
    os.environ[cli.COMPLETE_VARIABLE] = f"source_{name}"
    try:
        with redirect_stdout(StringIO()) as out, suppress(SystemExit):
            answer()
    finally:
        del os.environ[cli.COMPLETE_VARIABLE]
    return name, out.getvalue().strip() + "\n"


def show(shell: str | None = None) -> None:
    """Print a shell's completion script; arguments and errors are those of `script`."""
    sys.stdout.write(script(shell)[1])


def install(shell: str | None = None) -> Path:
    """Write a shell's completion script where the shell finds it, and say so.

    Args:
        shell: As for `script`.

    Returns:
        The file that was written.
    """
    name, text = script(shell)
    path = Path.home() / SHELLS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {path}; new shells complete `orca`\n")
    if name == "zsh":
        sys.stdout.write(
            "zsh looks there when ~/.zshrc has: fpath+=~/.zfunc; autoload -Uz compinit && compinit\n"
        )
    return path
