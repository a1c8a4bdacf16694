"""Where the time of a run went: queued, sent, running, attempts that failed; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.processor import wire_query as q

__all__ = ["WIDTH", "Line", "Piece", "gantt"]

WIDTH = 1000
"""Units across; the drawing is stretched to the page."""
LINES_MAX = 500
"""Algorithms drawn on one page; a run of more is still whole in `orca runs show`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line: what it shows (``queued``, ``retry``, a status), where, and how long it took."""

    kind: str
    x: float
    width: float
    took_ns: int


@dataclass(frozen=True, slots=True)
class Line:
    """One algorithm of a run."""

    execution: q.ExecutionRow
    pieces: tuple[Piece, ...]
    took_ns: int


def gantt(detail: q.RunDetail, *, now_ns: int, running_ns: dict[str, int]) -> tuple[list[Line], int]:
    """The lines of a run and its length in nanoseconds.

    Args:
        detail: The run with its executions.
        now_ns: The right end of a run that is open.
        running_ns: When what runs now was sent, by ``name version``.
    """
    start = detail.run.created_ns
    ends = [start + 1]
    for one in detail.executions:
        ends += [one.finished_ns, one.sent_ns, *(attempt.ended_ns for attempt in one.failed_attempts)]
    end = max(ends)
    end = max(end, now_ns if detail.run.state == "open" else detail.run.finished_ns)
    scale = WIDTH / (end - start)
    lines = [
        _line(one, (start, end, scale), running_ns.get(f"{one.algorithm.name} {one.algorithm.version}", 0))
        for one in detail.executions[:LINES_MAX]
    ]
    return lines, end - start


def _line(one: q.ExecutionRow, frame: tuple[int, int, float], running_ns: int) -> Line:
    start, end, scale = frame
    spans: list[tuple[str, int, int]] = []
    sent = one.sent_ns or running_ns
    finished = one.finished_ns or (end if sent else 0)
    attempts: Sequence[Any] = one.failed_attempts
    firsts = [attempt.sent_ns for attempt in attempts if attempt.sent_ns] + ([sent] if sent else [])
    if one.queued_ns:
        open_end = min(firsts) if firsts else (end if one.status in ("ready", "backoff") else 0)
        if open_end:
            spans.append(("queued", one.queued_ns, open_end))
    spans.extend(("retry", attempt.sent_ns, attempt.ended_ns) for attempt in attempts if attempt.sent_ns)
    if sent:
        spans.append((one.status, sent, finished))
    pieces = tuple(
        Piece(kind, round((max(a, start) - start) * scale, 1), max(2.0, round((b - a) * scale, 1)), b - a)
        for kind, a, b in spans
        if b >= a
    )
    return Line(one, pieces, finished - sent if sent else 0)
