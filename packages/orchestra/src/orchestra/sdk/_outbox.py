"""The rules of the outbox without its storage: what may be dropped, what goes next, how long to wait.

Order holds within one line (a task run at one address with one key) and nowhere else, so a line whose first event
must wait blocks itself only: what a dead process left for another address, or for a key that nobody has any more,
does not hold back the same run elsewhere. An address that answers nobody blocks every line that goes there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestra.sdk._protocol import Kind, Outcome, backoff_s
from orchestra.sdk.limits import Caps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "Caps",
    "Head",
    "Held",
    "Pause",
    "choose",
    "pause_after",
    "plan_eviction",
    "replay_gap_s",
]


@dataclass(frozen=True, slots=True)
class Held:
    """One event in the outbox, as far as the caps care."""

    id: int
    kind: Kind
    size_bytes: int
    created_s: float


EVICTION_TARGET = 0.9
"""An eviction goes a tenth below the cap, or the next event would start another one."""


def plan_eviction(held: Sequence[Held], caps: Caps, *, now_s: float) -> list[int]:
    """Return the ids to drop: what is too old, then the least valuable and oldest until the caps hold.

    A terminal status is never among them, even when the caps cannot hold then.

    Example:
        >>> kinds = (Kind.TERMINAL, Kind.OUTPUT, Kind.PROGRESS)
        >>> rows = [Held(id, kind, 10, 0.0) for id, kind in enumerate(kinds, start=1)]
        >>> plan_eviction(rows, Caps(bytes_max=23), now_s=1.0)
        [3]
    """
    droppable = [row for row in held if row.kind is not Kind.TERMINAL]
    dropped = [row for row in droppable if now_s - row.created_s > caps.age_s_max]
    gone = {row.id for row in dropped}
    size = sum(row.size_bytes for row in held) - sum(row.size_bytes for row in dropped)
    count = len(held) - len(dropped)
    if size > caps.bytes_max or count > caps.rows_max:
        for row in sorted(droppable, key=lambda row: (row.kind, row.id)):
            if size <= caps.bytes_max * EVICTION_TARGET and count <= caps.rows_max * EVICTION_TARGET:
                break
            if row.id not in gone:
                gone.add(row.id)
                size -= row.size_bytes
                count -= 1
    return sorted(gone)


@dataclass(frozen=True, slots=True)
class Pause:
    """A line or an address that must wait.

    Attributes:
        failures: Failed attempts in a row.
        until_s: The monotonic time of the next attempt.
    """

    failures: int
    until_s: float


def pause_after(outcome: Outcome, before: Pause | None, *, now_s: float, jitter: float) -> Pause:
    """The pause that follows one more failed attempt."""
    failures = 1 if before is None else before.failures + 1
    return Pause(failures, now_s + backoff_s(failures, jitter=jitter, after_s=outcome.after_s))


@dataclass(frozen=True, slots=True)
class Head:
    """The first undelivered event of a line.

    Attributes:
        run: The task run.
        route: The address.
        key: The fingerprint of the key.
        id: The event.
    """

    run: str
    route: str
    key: str
    id: int

    @property
    def line(self) -> str:
        """A name of the line; claims and pauses go by it."""
        return f"{self.run} {self.key} {self.route}"


def choose(
    heads: Iterable[Head], own: frozenset[str], paused: Mapping[str, Pause], *, now_s: float
) -> tuple[list[Head], float | None]:
    """Return the lines to serve now, in order, and the time at which the next paused one is due.

    This process's own runs come first: somebody waits for them. Then what others left, the oldest first.

    Args:
        heads: The first event of each line.
        own: Runs that this process reported on.
        paused: Pauses by line and by address.
        now_s: The monotonic time.
    """
    ready: list[Head] = []
    due_s: float | None = None
    for head in heads:
        until_s = max((paused[k].until_s for k in (head.line, head.route) if k in paused), default=0.0)
        if until_s <= now_s:
            ready.append(head)
        elif due_s is None or until_s < due_s:
            due_s = until_s
    ready.sort(key=lambda head: (head.run not in own, head.id))
    return ready, due_s


REPLAY_GAP_S = 0.01
"""Spacing of events that an earlier process left: a backlog of thousands must not meet a recovering receiver
as a burst, and 100 a second still empty a thousand in ten seconds."""


def replay_gap_s(run: str, own: frozenset[str]) -> float:
    """The wait between two events of ``run``."""
    return 0.0 if run in own else REPLAY_GAP_S
