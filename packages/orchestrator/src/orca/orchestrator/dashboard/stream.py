"""One stream of news per browser: which kinds of things changed, a few times a second at most."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

    from orca.orchestrator.core import Core
    from orca.orchestrator.events import CoreEvent, Subscription

__all__ = ["STREAMS_MAX", "Streams"]

STREAMS_MAX = 64
"""Streams at a time: one per browser, or one per tab where a browser cannot share."""

PAUSE_S = 0.25
# How often files of other programs are looked at: nobody tells about their changes.
LOOK_S = 1.0
# Proxies and laptops that fall asleep cut silent connections.
BEAT_S = 15.0
RUNS_MAX = 50


class Streams:
    """The streams of one core; each message says what kinds of things changed, and which runs.

    Args:
        core: Whose news.
        files: SQLite files of other programs, by the kind of news that their change is.
    """

    def __init__(self, core: Core, files: Mapping[str, Path]) -> None:
        self._core = core
        self._files = files
        # What happens between a page and its stream must not be lost.
        core.bus.remember()
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
                seen, told_s = self._looks(), time.monotonic()
                # Pages that are older than the newest news ask anew: it came between them and this stream.
                newest_ns = max([self._core.bus.last_ns, *(ns for look in seen.values() for _, ns in look)])
                yield f'retry: 500\n\nevent: hello\ndata: {{"at": {newest_ns / 1e6}}}\n\n'
                following = asyncio.ensure_future(events.next())
                while not self._closed.is_set():
                    await asyncio.wait(
                        [following, closed], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    kinds, runs = dict[str, int](), set[int]()
                    if following.done():
                        # Gather what comes in the next moment into the same message.
                        await asyncio.wait([closed], timeout=PAUSE_S)
                        _gather(following.result(), events, kinds, runs)
                        following = asyncio.ensure_future(events.next())
                    looks = self._looks()
                    kinds.update({kind: 1 for kind, look in looks.items() if look != seen[kind]})
                    seen = looks
                    if kinds:
                        text = json.dumps(
                            {"kinds": kinds, "runs": sorted(runs - {0}), "at": self._core.clock.now() * 1e3}
                        )
                        yield f"event: news\ndata: {text}\n\n"
                        told_s = time.monotonic()
                    elif time.monotonic() - told_s > BEAT_S:
                        yield ": still here\n\n"
                        told_s = time.monotonic()
        finally:
            self.open -= 1
            closed.cancel()
            if following is not None:
                following.cancel()

    def _looks(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Size and time of each file and of its log, which is where changes arrive first."""
        return {kind: (_look(path), _look(Path(f"{path}-wal"))) for kind, path in self._files.items()}


def _look(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def _gather(event: CoreEvent, events: Subscription, kinds: dict[str, int], runs: set[int]) -> None:
    """Count what happened by kind, with the runs that it happened to."""
    more: CoreEvent | None = event
    while more is not None:
        kinds[more.kind] = kinds.get(more.kind, 0) + 1
        if len(runs) < RUNS_MAX:
            runs.add(more.detail.get("run_id", 0))
        more = events.waiting()
