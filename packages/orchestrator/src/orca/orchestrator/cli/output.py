"""Tables for people, JSON for programs, times and durations in one form everywhere."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from orca.common.errors import UsageError
from orca.common.terminal import console, print_json, wants_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["duration_ns", "echo", "moment_ns", "show", "time_text", "watching"]

NS = 1_000_000_000
WATCH_S = 1.0
# Longer cells are cut on a terminal only; pipes and JSON always get everything.
CELL_CHARS = 60

_UNITS = {"ms": 10**6, "s": NS, "m": 60 * NS, "h": 3600 * NS, "d": 86400 * NS, "w": 7 * 86400 * NS}


def duration_ns(text: str) -> int:
    """A duration such as ``30s``, ``1h30m`` or ``2d``.

    Raises:
        UsageError: The text has another form.

    Example:
        >>> duration_ns("1h30m") == 5400 * 10**9
        True
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"'{text}' is no duration", hint="write 30s, 15m, 1h30m, 2d or 1w")
    return sum(round(float(number) * _UNITS[unit]) for number, unit in parts)


def moment_ns(text: str, *, now_ns: int | None = None) -> int:
    """A moment: ISO 8601 (local time without a zone), unix seconds, ``now``, or a duration ago (``-1h``).

    Raises:
        UsageError: The text has another form.

    Example:
        >>> moment_ns("2026-01-01T00:00:00+00:00")
        1767225600000000000
    """
    now = time.time_ns() if now_ns is None else now_ns
    if not text:
        return 0
    if text == "now":
        return now
    if text.startswith("-"):
        return now - duration_ns(text[1:])
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return round(float(text) * NS)
    try:
        return (
            int(dt.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone().timestamp() * 10**6)
            * 1000
        )
    except ValueError:
        hint = "write 2026-01-31T12:00, unix seconds, now, or -1h"
        raise UsageError(f"'{text}' is no time", hint=hint) from None


def time_text(at_ns: int) -> str:
    """Local time for people; empty for 0."""
    if not at_ns:
        return ""
    return (
        dt.datetime.fromtimestamp(at_ns / NS, tz=dt.timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    )


def echo(text: str = "") -> None:
    """One line for people."""
    sys.stdout.write(f"{text}\n")


def _cell(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str = "nothing") -> None:
    """Print rows: JSON when asked for, a table on a terminal, aligned text in a pipe.

    Args:
        rows: All with the same keys.
        columns: Which of them people see, in order; JSON has all.
        empty: What to say when there are none.
    """
    found = list(rows)
    if wants_json():
        print_json(found)
        return
    if not found:
        echo(empty)
        return
    texts = [[_cell(row.get(column)) for column in columns] for row in found]
    if sys.stdout.isatty():
        from rich.table import Table  # noqa: PLC0415 - 42 ms that JSON and pipes need not pay

        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for line in texts:
            table.add_row(
                *(cell if len(cell) <= CELL_CHARS else cell[: CELL_CHARS - 1] + "…" for cell in line)
            )
        console().print(table)
        return
    widths = [max(len(column), *(len(line[n]) for line in texts)) for n, column in enumerate(columns)]
    for line in [list(columns), *texts]:
        echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def watching(draw: Callable[[], None], *, watch: bool) -> None:
    """Draw once, or again every second until Ctrl-C."""
    while True:
        if watch and sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")
        draw()
        if not watch:
            return
        sys.stdout.flush()
        time.sleep(WATCH_S)
