"""What commands print: JSON for programs, plain text for pipes, colour only where somebody sees it.

Nothing heavy is imported until it is used; `console` is where rich comes in.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from orca.common.errors import OrcaError

__all__ = ["console", "print_error", "print_json", "use_color", "wants_json"]

#: Wide enough that nothing is cut or wrapped when a program reads the output.
PIPE_WIDTH = 10_000

_json_asked: ContextVar[bool] = ContextVar("orca_json_asked", default=False)


def wants_json() -> bool:
    """Say whether the running command was asked for JSON, by ``orca --json NAME`` or ``orca NAME --json``.

    Example:
        >>> wants_json()
        False
    """
    return _json_asked.get()


def ask_for_json(wanted: bool) -> None:
    """Set what `wants_json` returns from here on, in this context."""
    _json_asked.set(wanted)


def use_color(stream: TextIO) -> bool:
    """Say whether ``stream`` is a terminal that shows colour.

    ``NO_COLOR`` with any value turns colour off, as does ``TERM=dumb``.

    Source: https://no-color.org.
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(value: object, *, file: TextIO | None = None) -> None:
    """Print one JSON document: indented on a terminal, one line otherwise.

    Args:
        value: What `json.dumps` takes; anything else in it is printed as its `str`.
        file: Where to; standard output when None.

    Example:
        >>> print_json({"name": "Mean", "versions": ["1.0.0"]})
        {"name": "Mean", "versions": ["1.0.0"]}
    """
    import json  # noqa: PLC0415  only commands that print JSON

    out = file or sys.stdout
    indent = 2 if out.isatty() else None
    out.write(json.dumps(value, default=str, ensure_ascii=False, indent=indent) + "\n")


def print_error(error: OrcaError, *, file: TextIO | None = None) -> None:
    """Print an error: what happened, then what to do about it; as JSON when that was asked for.

    The user part of URLs is masked: addresses with passwords in them are what errors like to repeat.

    Args:
        error: The error.
        file: Where to; standard error when None.
    """
    from orca.common.redact import redact_urls  # noqa: PLC0415  5 ms that only errors cost

    out = file or sys.stderr
    if wants_json():
        facts = error.to_json()
        texts = {name: redact_urls(value) for name, value in facts.items() if isinstance(value, str)}
        print_json({"error": {**facts, **texts}}, file=out)
        return
    red, cyan, end = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if use_color(out) else ("", "", "")
    out.write(f"{red}error:{end} {redact_urls(error.message)}\n")
    if error.hint:
        out.write(f"  {cyan}hint:{end} {redact_urls(error.hint)}\n")


def console(*, stderr: bool = False) -> Console:
    """Return a rich console that cuts and wraps nothing when its output goes to a file or a pipe."""
    from rich.console import Console  # noqa: PLC0415  70 ms to import

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, no_color=not use_color(stream))
    return Console(stderr=stderr, no_color=True, width=PIPE_WIDTH, highlight=False)
