"""A listening socket from the start; the web server behind it from the first connection on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from typing import TYPE_CHECKING, Any

from orca.orchestrator.dashboard.access import Access, load_secret

if TYPE_CHECKING:
    from orca.orchestrator.server import CoreServer

__all__ = ["LOOPBACK", "Pages"]

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""The pages never listen anywhere else, wherever the core does: reach them from afar through a tunnel."""

BACKLOG = 128
# When the first page is out, and what compiling it took can go back to the system.
TIDY_S = 2.0
# What is left of half a second, within which the whole core ends, once streams were told to end.
STOP_S = 0.4


class Pages:
    """The pages of one core.

    Args:
        port: Where to listen on loopback; 0, or a taken port, means a free one.
    """

    def __init__(self, port: int) -> None:
        self._wanted = port
        self._socket: socket.socket | None = None
        self._web: Any = None
        self._serving: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._access: Access | None = None
        self._core: CoreServer | None = None
        self.port = 0

    @property
    def loaded(self) -> bool:
        """Whether somebody opened a page, so that the web server is in memory."""
        return self._web is not None

    @property
    def access(self) -> Access:
        """Who may see the pages; only after `start`."""
        assert self._access is not None
        return self._access

    async def start(self, server: CoreServer) -> None:
        """Listen; the printed address, with its one-time token, goes into ``server.web_url``."""
        self._socket = _listen(self._wanted)
        self.port = self._socket.getsockname()[1]
        self._core = server
        self._access = Access(load_secret(server.settings.folder), port=self.port, used=self._renewed)
        server.web_url = self.access.link()
        asyncio.get_running_loop().add_reader(self._socket, self._first)

    def _renewed(self) -> None:
        """The link was used, which it may be once: `orca status` prints a fresh one."""
        assert self._core is not None
        self._core.web_url = self.access.link()
        path = self._core.settings.folder / "core.json"
        if path.exists():
            try:
                self._core.write_core_file()
            except OSError as error:
                logger.warning("core.json keeps a used link: %s", error)

    def _first(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._opening = loop.create_task(self._open())

    async def _open(self) -> None:
        """Import in a thread, so that windows go on meanwhile, then hand the socket over."""
        web = await asyncio.to_thread(_load)
        assert self._core is not None
        self._web = web.Web(self._core, self.access)
        loop = asyncio.get_running_loop()
        self._serving = loop.create_task(self._web.serve(self._socket))
        self._tidying = loop.call_later(TIDY_S, _give_back)

    async def stop(self) -> None:
        """Close within half a second."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError, ValueError):
            asyncio.get_running_loop().remove_reader(self._socket)
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._tidying is not None:
            self._tidying.cancel()
        if self._serving is not None:
            self._web.stop()
            _, late = await asyncio.wait([self._serving], timeout=STOP_S)
            for task in late:
                task.cancel()
        self._socket.close()


def _load() -> Any:
    from orca.orchestrator.dashboard import web  # noqa: PLC0415 - only when a page is opened

    return web


def _give_back() -> None:
    """Return memory that imports and templates needed for a moment, where the C library can (glibc)."""
    import ctypes  # noqa: PLC0415 - only when a page is opened

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _listen(port: int) -> socket.socket:
    """A listening socket on loopback; a taken port is replaced by a free one and said in the log."""
    for wanted in (port, 0):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, wanted))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            if wanted == 0:
                raise
            logger.warning("port %d is taken (%s); the pages take a free one", wanted, error)
            continue
        listening.setblocking(False)
        return listening
    raise AssertionError("a free port is always the last try")
