"""One stream of news per browser: which kinds of things changed, a few times a second at most."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from orca.orchestrator.core import Core
    from orca.orchestrator.events import CoreEvent

__all__ = ["STREAMS_MAX", "Streams"]

STREAMS_MAX = 64
"""Streams at a time: one per browser, or one per tab where a browser cannot share."""

PAUSE_S = 0.25
# Proxies and laptops that fall asleep cut silent connections.
BEAT_S = 15.0
RUNS_MAX = 50


class Streams:
    """The streams of one core; each message says what kinds of things changed, and which runs.

    Args:
        core: Whose news.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._closed = asyncio.Event()
        self.open = 0

    def close(self) -> None:
        """End every stream."""
        self._closed.set()

    async def respond(self, _: Request) -> Response:
        """``GET /events``."""
        if self.open >= STREAMS_MAX:
            return Response("Too many streams.\n", 503, headers={"retry-after": "5"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._news(), media_type="text/event-stream", headers=headers)

    async def _news(self) -> AsyncIterator[str]:
        self.open += 1
        closed = asyncio.ensure_future(self._closed.wait())
        following: asyncio.Future[CoreEvent] | None = None
        try:
            with self._core.bus.subscribe() as events:
                yield "retry: 500\n\nevent: hello\ndata: {}\n\n"
                while not self._closed.is_set():
                    following = asyncio.ensure_future(events.next())
                    done, _ = await asyncio.wait(
                        [following, closed], timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    if following not in done:
                        following.cancel()
                        yield ": still here\n\n"
                        continue
                    kinds: dict[str, int] = {}
                    runs: set[int] = set()
                    event = following.result()
                    # Gather what comes in the next moment into the same message.
                    await asyncio.wait([closed], timeout=PAUSE_S)
                    while True:
                        kinds[event.kind] = kinds.get(event.kind, 0) + 1
                        if len(runs) < RUNS_MAX:
                            runs.add(event.detail.get("run_id", 0))
                        more = events.waiting()
                        if more is None:
                            break
                        event = more
                    text = json.dumps({"kinds": kinds, "runs": sorted(runs - {0})})
                    yield f"event: news\ndata: {text}\n\n"
        finally:
            self.open -= 1
            closed.cancel()
            if following is not None:
                following.cancel()
