"""``orca machine watch``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["add", "watch_files"]

INTERVAL_S: Final = 0.3
"""Seconds between looks at the files: shorter than a glance from the editor to the terminal takes."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch")(watch)


def watch(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    *,
    times: Annotated[int | None, typer.Option("--times", min=1, help="End after so many checks.")] = None,
) -> int:
    """Check files now and whenever they change, until Ctrl-C."""
    from orca.common.clock import SystemClock  # noqa: PLC0415

    return watch_files(paths, times=times, sleep=SystemClock().sleep)


def watch_files(paths: Sequence[Path], *, times: int | None, sleep: Callable[[float], None]) -> int:
    """Check at once and after every change.

    Args:
        paths: Files and folders.
        times: After how many checks to end, or None for never.
        sleep: How to wait, in seconds.

    Returns:
        The exit code of the last check.
    """
    from orca.statemachine.cli._check import check  # noqa: PLC0415

    seen: dict[Path, tuple[int, int]] | None = None
    code = 0
    done = 0
    while times is None or done < times:
        now = _state_of(paths)
        if now != seen:
            seen = now
            done += 1
            code = check(list(paths))
            sys.stdout.flush()
        else:
            sleep(INTERVAL_S)
    return code


def _state_of(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of every file; one that goes away between two looks is not there."""
    from orca.statemachine.cli._inputs import find_files  # noqa: PLC0415

    found: dict[Path, tuple[int, int]] = {}
    for path in find_files(paths):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found
