"""What other replicas of a shared store do, as this core must know it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.orchestrator.core import Core

__all__ = ["Replicas"]

logger = logging.getLogger(__name__)

AGAIN_S = 1.0


class Replicas:
    """The core's ear: implements the store's `Peers`.

    Args:
        core: Who listens.

    Attributes:
        on_tokens: Is called when tokens have changed.
        on_schedules: Is called when schedules have changed.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._refreshing: asyncio.Task[None] | None = None
        self._again = False
        self.on_tokens: Callable[[], None] = _nothing
        self.on_schedules: Callable[[], None] = _nothing

    def told(self, kind: str, detail: dict[str, Any]) -> None:
        """Another replica did something."""
        core = self._core
        if kind == "wake":
            core.engine.wake()
        elif kind == "registry":
            self._refresh_soon()
        elif kind == "tokens":
            self.on_tokens()
        elif kind == "schedules":
            self.on_schedules()
        else:
            if kind == "run" and detail.get("state") == "cancelled":
                core.engine.forget(detail["run_id"])
            if "run_id" in detail:
                core.engine.elsewhere.told(detail["run_id"])
            if core.bus.wanted:
                core.bus.publish(kind, detail)

    def missed(self) -> None:
        """News may have been lost."""
        self._refresh_soon()
        self.on_tokens()
        self.on_schedules()
        self._core.engine.wake()
        if self._core.bus.wanted:
            self._core.bus.publish("lost", {"events": 0})

    def taken(self, run_id: int) -> None:
        """This replica no longer holds a run."""
        logger.warning("run %d was taken over by another replica", run_id)
        self._core.engine.forget(run_id)

    def _refresh_soon(self) -> None:
        self._again = True
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh_until_told())

    async def _refresh_until_told(self) -> None:
        try:
            while self._again:
                self._again = False
                try:
                    await self.refresh()
                except Exception:
                    logger.exception("registrations could not be read; trying again in %g s", AGAIN_S)
                    self._again = True
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._refreshing = None

    async def refresh(self) -> None:
        """Take up registrations and addresses that other replicas stored."""
        core = self._core
        for row in await core.registry.refresh():
            await core.take_up(row)

    def stop(self) -> None:
        """Read nothing more."""
        if self._refreshing is not None:
            self._refreshing.cancel()


def _nothing() -> None:
    """Nobody listens yet."""
