"""Which earlier results a look-back sees: pure functions, shared by every store.

A look-back sees results of windows that end at or before the start of the present one, of the same filter
values, in ascending order of time. By count: the latest n. By time: all that lie wholly within the delta.
A gap leaves out the newest: as many rows, or all that end later than the gap before the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orca.orchestrator.model import LookBack, WindowSpan

__all__ = ["ROWS_MAX", "Bounds", "bounds", "may_feed", "select"]

# One call must fit into one message: 10,000 rows of a small struct are about 2 MB, 50 MB is the wire's limit.
ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """A look-back as a range that a store can ask its index for.

    Attributes:
        end_max_ns: The latest end of a window that counts.
        start_min_ns: The earliest start of a window that counts, or None for no limit.
        skip: How many of the newest rows to leave out.
        take: How many rows to keep, newest first.
    """

    end_max_ns: int
    start_min_ns: int | None
    skip: int
    take: int


def bounds(lookback: LookBack, window: WindowSpan) -> Bounds:
    """Turn a look-back of ``window`` into a range.

    Example:
        >>> from orca.orchestrator.model import LookBack, WindowSpan
        >>> bounds(LookBack(count=3, gap_count=1), WindowSpan(7, 100, 110))
        Bounds(end_max_ns=100, start_min_ns=None, skip=1, take=3)
    """
    end_max_ns = window.time_from_ns - lookback.gap_delta_ns
    if lookback.delta_ns > 0:
        return Bounds(end_max_ns, window.time_from_ns - lookback.delta_ns, lookback.gap_count, ROWS_MAX)
    return Bounds(end_max_ns, None, lookback.gap_count, min(lookback.count, ROWS_MAX))


def _counts(limits: Bounds, candidate: WindowSpan, window: WindowSpan) -> bool:
    return (
        candidate.id != window.id
        and candidate.time_to_ns <= limits.end_max_ns
        # A point window ends where it starts: one at the same instant is not earlier.
        and candidate.time_from_ns < window.time_from_ns
        and candidate.filter_key == window.filter_key
        and (limits.start_min_ns is None or candidate.time_from_ns >= limits.start_min_ns)
    )


def select(
    lookback: LookBack, window: WindowSpan, candidates: Iterable[WindowSpan]
) -> tuple[WindowSpan, ...]:
    """Pick the windows that a look-back sees, ascending in time.

    Example:
        >>> from orca.orchestrator.model import LookBack, WindowSpan
        >>> earlier = [WindowSpan(n, n * 10, n * 10 + 10) for n in range(5)]
        >>> [span.id for span in select(LookBack(count=2), WindowSpan(9, 50, 60), earlier)]
        [3, 4]
    """
    limits = bounds(lookback, window)
    rows: Sequence[WindowSpan] = sorted(
        (entry for entry in candidates if _counts(limits, entry, window)),
        key=lambda entry: (entry.time_to_ns, entry.id),
        reverse=True,
    )
    return tuple(reversed(rows[limits.skip : limits.skip + limits.take]))


def may_feed(lookback: LookBack, window: WindowSpan, earlier: WindowSpan) -> bool:
    """Whether an unfinished window's result could belong to the look-back, so that it must be waited for.

    A range by count has no lower end, so every earlier window of the same filter values may belong to it.
    """
    return _counts(bounds(lookback, window), earlier, window)
