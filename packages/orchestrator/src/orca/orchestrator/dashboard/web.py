"""The web server: one Starlette application under uvicorn, on the core's loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import uvicorn

from orca.orchestrator.dashboard.app import build
from orca.orchestrator.dashboard.foreign import places
from orca.orchestrator.dashboard.gate import Gate
from orca.orchestrator.dashboard.stream import Streams

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from orca.orchestrator.dashboard.access import Access
    from orca.orchestrator.server import CoreServer

__all__ = ["Web"]

# A page left open must not hold the core's end: streams are told to end, the rest is cut.
GRACE_S = 1
CONNECTIONS_MAX = 500


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: signals belong to the core."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


class Web:
    """The pages behind a socket.

    Args:
        server: Whose core.
        access: Who may see them.
    """

    def __init__(self, server: CoreServer, access: Access) -> None:
        self.streams = Streams(server.core, places(server.settings))
        app: Any = Gate(build(server, self.streams), access)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            http="h11",
            loop="none",
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)

    async def serve(self, listening: socket.socket) -> None:
        """Answer until `stop`."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._server.serve([listening])

    def stop(self) -> None:
        """End streams, then everything."""
        self.streams.close()
        self._server.should_exit = True
        self._server.force_exit = False
