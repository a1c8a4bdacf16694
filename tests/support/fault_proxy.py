# ruff: noqa: ASYNC110, PYI034 - a switch is looked at every ten milliseconds; Python 3.10 has no Self
"""A TCP proxy on loopback that does what networks do: delay, throttle, slice, go silent, cut, reset.

Everything can be changed while connections run::

    async with FaultProxy(target_port) as proxy:
        connect_to(proxy.port)
        proxy.blackhole = True      # a silent partition: bytes are kept back, nobody is told
        proxy.blackhole = False     # it heals, and what was kept back arrives late
        proxy.cut()                 # both ends are closed
        proxy.reset()               # both ends get a reset
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

__all__ = ["FaultProxy"]

CHUNK_BYTES = 65_536
LOOK_S = 0.01


class FaultProxy:
    """Forwards connections on a free loopback port to another one.

    Args:
        target_port: Where connections go.

    Attributes:
        port: Where to connect.
        latency_s: Every chunk waits so long.
        bytes_per_s: At most so many bytes a second per direction; 0 means no limit.
        slice_bytes: Chunks are cut into pieces of this size; 0 leaves them.
        blackhole: Nothing is forwarded and nothing is closed; new connections are accepted and ignored.
        refuse: New connections are closed at once.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.latency_s = 0.0
        self.bytes_per_s = 0
        self.slice_bytes = 0
        self.blackhole = False
        self.refuse = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *details: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close every connection on both sides."""
        for writer in list(self._writers):
            writer.close()

    def reset(self) -> None:
        """Reset every connection on both sides."""
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self.refuse:
                return
            while self.blackhole:
                await asyncio.sleep(LOOK_S)
            back, upstream = await asyncio.open_connection("127.0.0.1", self.target_port)
            self._writers.add(upstream)
            await asyncio.gather(self._pump(reader, upstream), self._pump(back, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, upstream):
                if one is not None:
                    self._writers.discard(one)
                    one.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                while self.blackhole:
                    await asyncio.sleep(LOOK_S)
                size = self.slice_bytes or len(data)
                for start in range(0, len(data), size):
                    await self._delay(len(data[start : start + size]))
                    writer.write(data[start : start + size])
                    await writer.drain()
        writer.close()

    async def _delay(self, size: int) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.bytes_per_s:
            await asyncio.sleep(size / self.bytes_per_s)
