"""One stream of news per browser: which kinds of things changed, a few times a second at most."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

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
        return _Answer(self)

    async def news(self, gone: asyncio.Future[None]) -> AsyncGenerator[str]:
        """Messages until the core ends, or ``gone`` says that nobody reads any more."""
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
                while not self._closed.is_set() and not gone.done():
                    waits: list[asyncio.Future[Any]] = [following, closed, gone]
                    await asyncio.wait(waits, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
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


class _Answer(Response):
    """The stream as an answer. Starlette's own brings a second event library, four megabytes for nothing more."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until somebody goes."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with aclosing(self._streams.news(gone)) as news:
                async for text in news:
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
