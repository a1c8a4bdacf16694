"""Windows as bars on lanes, one lane per window type and metadata value; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orca.orchestrator.dashboard.shown import percentile, short_clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["COLUMNS", "LANES_MAX", "Bar", "Lane", "lanes_of", "ticks"]

COLUMNS = 1200
"""Steps of time across a lane: finer than a screen, and a bound on what a page weighs."""
CUT_STEPS = 8
"""Steps that a window has on average at least where lines separate windows."""
LANES_MAX = 60
"""Lanes on one page; more cannot be compared by eye, and filters make fewer."""

# What is drawn over what, and the class of its colour: the worst state of a step is the one to see.
_ORDER = ("none", "cancelled", "succeeded", "open", "failed")


@dataclass(frozen=True, slots=True)
class Bar:
    """A window as far as a lane shows it, with its latest run's state and when it was accepted."""

    lane: tuple[str, str]
    from_ns: int
    to_ns: int
    state: str
    created_ns: int


@dataclass(slots=True)
class Lane:
    """One line of bars.

    Attributes:
        kind: The window type.
        value: Metadata that separates this lane, as JSON or "".
        paths: SVG path data by state.
        windows: How many windows.
        gaps: Spans between windows that no window covers, as path data.
        gap_count: How many.
        cuts: Where one window ends and the next begins, as path data; "" where they are too narrow to tell apart.
        overlaps: Windows that begin before another ended.
        failed: Windows whose latest run failed.
        late_p50_ns: From a window's end to its acceptance, half of them.
    """

    kind: str
    value: str
    paths: dict[str, str] = field(default_factory=dict[str, str])
    windows: int = 0
    gaps: str = ""
    cuts: str = ""
    gap_count: int = 0
    overlaps: int = 0
    failed: int = 0
    late_p50_ns: float | None = None


def lanes_of(bars: Iterable[Bar], from_ns: int, to_ns: int) -> list[Lane]:
    """Draw all lanes of a span of time.

    Example:
        >>> one, two = Bar(("Day", ""), 0, 10, "succeeded", 10), Bar(("Day", ""), 20, 30, "failed", 31)
        >>> lane, = lanes_of([one, two], 0, 30)
        >>> lane.windows, lane.gap_count, lane.failed, sorted(lane.paths)
        (2, 1, 1, ['failed', 'succeeded'])
    """
    found: dict[tuple[str, str], list[Bar]] = {}
    for bar in bars:
        found.setdefault(bar.lane, []).append(bar)
    chosen = sorted(found)[:LANES_MAX]
    return [_lane(key, found[key], from_ns, max(1, to_ns - from_ns)) for key in chosen]


def _lane(key: tuple[str, str], bars: list[Bar], from_ns: int, span_ns: int) -> Lane:
    bars.sort(key=lambda bar: (bar.from_ns, bar.to_ns))
    lane = Lane(*key, windows=len(bars))
    steps = bytearray(COLUMNS)
    gaps: list[tuple[int, int]] = []
    covered = bars[0].from_ns
    for bar in bars:
        rank = _ORDER.index(bar.state) + 1
        first, last = _step(bar.from_ns, from_ns, span_ns), _step(bar.to_ns - 1, from_ns, span_ns)
        for step in range(first, max(first, last) + 1):
            steps[step] = max(steps[step], rank)
        if bar.from_ns > covered:
            gaps.append((covered, bar.from_ns))
        elif bar.from_ns < covered:
            lane.overlaps += 1
        covered = max(covered, bar.to_ns)
        lane.failed += bar.state == "failed"
    lane.gap_count = len(gaps)
    lane.gaps = _path([(_step(a, from_ns, span_ns), _step(b, from_ns, span_ns) - 1) for a, b in gaps])
    for rank, state in enumerate(_ORDER, 1):
        runs = _runs(steps, rank)
        if runs:
            lane.paths[state] = _path(runs)
    if len(bars) * CUT_STEPS <= COLUMNS:
        lane.cuts = _path(
            [(step, step) for step in sorted({_step(bar.from_ns, from_ns, span_ns) for bar in bars})]
        )
    lane.late_p50_ns = percentile([max(0, bar.created_ns - bar.to_ns) for bar in bars], 0.5)
    return lane


def _step(ns: int, from_ns: int, span_ns: int) -> int:
    return max(0, min(COLUMNS - 1, (ns - from_ns) * COLUMNS // span_ns))


def _runs(steps: bytearray, rank: int) -> list[tuple[int, int]]:
    """Spans of neighbouring steps of one rank, both ends included."""
    found: list[tuple[int, int]] = []
    start = -1
    for position in range(COLUMNS + 1):
        inside = position < COLUMNS and steps[position] == rank
        if inside and start < 0:
            start = position
        elif not inside and start >= 0:
            found.append((start, position - 1))
            start = -1
    return found


def _path(spans: Sequence[tuple[int, int]]) -> str:
    return "".join(f"M{a} 0h{b - a + 1}v20h-{b - a + 1}z" for a, b in spans if b >= a)


def ticks(from_ns: int, to_ns: int, count: int = 6) -> list[str]:
    """Marks of an axis at equal distances, both ends included."""
    span_ns = max(1, to_ns - from_ns)
    return [short_clock(from_ns + span_ns * step // (count - 1), span_ns) for step in range(count)]
