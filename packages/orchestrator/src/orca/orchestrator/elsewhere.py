"""Look-backs that wait for runs which other replicas work on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.orchestrator.active import ActiveRun

__all__ = ["Elsewhere"]

# News of other replicas may pass before the wait begins, or be lost with a connection: then the store is asked.
LOOK_S = 0.25


class Elsewhere:
    """Who waits for which run.

    Args:
        again: Is called with a run and its node when what it waited for may have ended.
    """

    def __init__(self, again: Callable[[ActiveRun, int], None]) -> None:
        self._again = again
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, list[tuple[ActiveRun, int]]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._waiting.values())

    def wait(self, active: ActiveRun, node: int, run_id: int) -> None:
        """Let a node wait for news of a run."""
        self._waiting.setdefault(run_id, []).append((active, node))
        if run_id not in self._timers:
            self._timers[run_id] = self._loop.call_later(LOOK_S, self.told, run_id)

    def told(self, run_id: int) -> None:
        """Something happened to a run, or a while has passed."""
        timer = self._timers.pop(run_id, None)
        if timer is not None:
            timer.cancel()
        for active, node in self._waiting.pop(run_id, ()):
            self._again(active, node)

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
