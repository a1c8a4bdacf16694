"""What replicas tell each other through the database: NOTIFY within the transaction that did it."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from orca.orchestrator.store.postgres_link import bare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orca.orchestrator.store.port import Peers
    from orca.orchestrator.store.postgres_link import Connector

__all__ = ["News", "payloads"]

logger = logging.getLogger(__name__)

CHANNEL = "orca"
# The server takes less than 8,000 bytes in one message.
PAYLOAD_BYTES_MAX = 7_500
CONNECT_PAUSE_S = 0.1
CONNECT_PAUSE_MAX_S = 2.0
# A connection that is cut without a word is noticed this way.
BEAT_S = 5.0

Event = tuple[str, "dict[str, Any]"]


def payloads(sender: str, events: Iterable[Event]) -> list[str]:
    """Events as messages that are small enough.

    Example:
        >>> payloads("a", [("wake", {})])
        ['["a",["wake",{}]]']
    """
    found: list[str] = []
    parts: list[str] = []
    size = 0
    for event in events:
        text = json.dumps(event, separators=(",", ":"))
        if parts and size + len(text) > PAYLOAD_BYTES_MAX:
            found.append(f'["{sender}",{",".join(parts)}]')
            parts, size = [], 0
        parts.append(text)
        size += len(text) + 1
    if parts:
        found.append(f'["{sender}",{",".join(parts)}]')
    return found


class News:
    """Listens to the other replicas, and speaks to them.

    Args:
        connector: Makes the listening connection.
        sender: This replica.
    """

    def __init__(self, connector: Connector, sender: str) -> None:
        self._connector = connector
        self._sender = sender
        self._peers: Peers | None = None
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and go on whatever happens to the connection."""
        await self._connect()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def follow(self, peers: Peers) -> None:
        """Tell these from now on."""
        self._peers = peers

    async def tell(self, connection: Any, events: Sequence[Event]) -> None:
        """Tell everybody once the transaction on ``connection`` is committed."""
        if events:
            messages = payloads(self._sender, events)
            await connection.execute(
                "SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message", CHANNEL, messages
            )

    async def _connect(self) -> None:
        connection = await self._connector.connect()
        try:
            await connection.add_listener(CHANNEL, self._heard)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        peers = self._peers
        if peers is None:
            return
        try:
            sender, *events = cast("list[Any]", json.loads(str(payload)))
            if sender != self._sender:
                for kind, detail in events:
                    peers.told(kind, detail)
        except (ValueError, TypeError, KeyError):
            logger.exception("a message of another program came over the channel '%s'", CHANNEL)

    async def _keep(self) -> None:
        pause = CONNECT_PAUSE_S
        while True:
            heard = await self._listen()
            pause = CONNECT_PAUSE_S if heard else min(pause * 2, CONNECT_PAUSE_MAX_S)
            await asyncio.sleep(pause)

    async def _listen(self) -> bool:
        """Listen until the connection ends; gives whether there was one at all."""
        try:
            if self._connection is None:
                await self._connect()
                logger.info("other replicas are heard again")
                if self._peers is not None:
                    self._peers.missed()
        except Exception as error:  # noqa: BLE001 - whatever it is, listening is tried again
            logger.warning("other replicas cannot be heard: %s", bare(error))
            return False
        connection: Any = self._connection
        try:
            await self._ended(connection)
        except Exception as error:  # noqa: BLE001 - a silent end
            logger.warning("other replicas cannot be heard any more: %s", bare(error))
            connection.terminate()
        self._connection = None
        return True

    async def _ended(self, connection: Any) -> None:
        """Wait until the connection ends; a silent end is an error of the beat."""
        gone = asyncio.Event()
        listener: Callable[[Any], None] = lambda _: gone.set()  # noqa: E731 - the driver compares it
        connection.add_termination_listener(listener)
        end = asyncio.ensure_future(gone.wait())
        try:
            while not connection.is_closed():
                done, _ = await asyncio.wait([end], timeout=BEAT_S)
                if done:
                    return
                await connection.fetchval("SELECT 1", timeout=BEAT_S)
        finally:
            end.cancel()

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            with suppress(Exception):
                await self._connection.close(timeout=2.0)
