"""Schedules in the store, fired by the core: the next firing is durable, and a firing is emitted at most once.

A firing emits its window first and moves on after: a crash in between emits the same window again, which is
a no-op. So no firing is lost and none runs twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orca.orchestrator.core import EmitOptions
from orca.orchestrator.errors import NotFoundError
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.store.codec import canonical
from orca.orchestrator.timetable import Schedule, check_schedule, due, next_after, window_of

if TYPE_CHECKING:
    from orca.orchestrator.core import Core

__all__ = ["Scheduler", "StoredSchedule"]

logger = logging.getLogger(__name__)

# The loop looks at least this often, in case the system's clock was set.
LOOK_S_MAX = 30.0
RETRY_S = 5.0

_PUT = """
INSERT INTO schedules (name, definition, paused, next_ns, last_ns, created_ns) VALUES (?, ?, ?, ?, 0, ?)
ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, paused = excluded.paused,
  next_ns = excluded.next_ns
"""
_MOVE = "UPDATE schedules SET next_ns = ?, last_ns = ? WHERE name = ? AND next_ns = ?"


class StoredSchedule:
    """A schedule with where it stands."""

    __slots__ = ("last_ns", "next_ns", "paused", "schedule")

    def __init__(self, schedule: Schedule, *, paused: bool, next_ns: int, last_ns: int) -> None:
        self.schedule = schedule
        self.paused = paused
        self.next_ns = next_ns
        self.last_ns = last_ns


class Scheduler:
    """Fires what is due.

    Args:
        core: Emits the windows.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fire."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Fire nothing more."""
        if self._task is not None:
            self._task.cancel()

    def changed(self) -> None:
        """Another replica changed a schedule: look again."""
        self._changed.set()

    async def put(self, schedule: Schedule, *, paused: bool = False, start_ns: int = 0) -> StoredSchedule:
        """Make or replace a schedule.

        Args:
            schedule: What to fire.
            paused: Keep it without firing.
            start_ns: First firing not before this time; one in the past is caught up by the schedule's policy.

        Raises:
            InvalidFieldError: It can never work.
        """
        check_schedule(schedule)
        now_ns = self._core.engine.now_ns()
        next_ns = next_after(schedule, (start_ns or now_ns) - 1 if start_ns else now_ns)
        definition = canonical(asdict(schedule))
        await self._core.store.write(
            "schedule", [(_PUT, (schedule.name, definition, int(paused), next_ns, now_ns))]
        )
        self._changed.set()
        return StoredSchedule(schedule, paused=paused, next_ns=next_ns, last_ns=0)

    async def list(self) -> list[StoredSchedule]:
        """All schedules by name."""
        rows = await self._core.store.fetch("SELECT * FROM schedules ORDER BY name")
        return [_stored(row) for row in rows]

    async def delete(self, name: str) -> None:
        """End a schedule.

        Raises:
            NotFoundError: There is none of that name.
        """
        (count,) = await self._core.store.write(
            "schedule", [("DELETE FROM schedules WHERE name = ?", (name,))]
        )
        if count == 0:
            raise NotFoundError(f"there is no schedule '{name}'", hint="orca schedules list")
        self._changed.set()

    async def _run(self) -> None:
        while True:
            pause = RETRY_S
            # Before the look: what changes from now on may come too late for it, and asks for another one.
            self._changed.clear()
            try:
                async with self._core.store.alone("schedules") as mine:
                    if mine:
                        pause = await self.fire_due()
            except Exception:
                logger.exception("schedules could not be fired; trying again in %g s", RETRY_S)
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except asyncio.TimeoutError:
                continue

    async def fire_due(self) -> float:
        """Emit the windows of everything due; gives the seconds until the next look."""
        rows = await self._core.store.fetch("SELECT * FROM schedules WHERE paused = 0 ORDER BY next_ns")
        soonest = LOOK_S_MAX
        for row in rows:
            stored = _stored(row)
            now_ns = self._core.engine.now_ns()
            if stored.next_ns <= now_ns:
                await self._fire(stored, now_ns)
                soonest = 0.0
            else:
                soonest = min(soonest, (stored.next_ns - now_ns) / 1e9)
        return soonest

    async def _fire(self, stored: StoredSchedule, now_ns: int) -> None:
        schedule = stored.schedule
        firings, next_ns = due(schedule, stored.next_ns, now_ns)
        kind = WindowTypeRef(schedule.window_type, schedule.window_version)
        metadata: dict[str, Any] = json.loads(schedule.metadata)
        origin = schedule.origin or f"schedule:{schedule.name}"
        options = EmitOptions(priority=schedule.priority)
        for fired_ns in firings:
            times = window_of(schedule, fired_ns)
            await self._core.emit(kind, times, origin=origin, metadata=metadata, options=options)
        last_ns = firings[-1] if firings else stored.last_ns
        await self._core.store.write("schedule", [(_MOVE, (next_ns, last_ns, schedule.name, stored.next_ns))])


def _stored(row: Any) -> StoredSchedule:
    schedule = Schedule(**json.loads(row["definition"]))
    return StoredSchedule(
        schedule, paused=bool(row["paused"]), next_ns=row["next_ns"], last_ns=row["last_ns"]
    )
