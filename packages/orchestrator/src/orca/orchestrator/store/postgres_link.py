"""Connections to PostgreSQL: the drivers of the extra, connections that come back, and errors as ours."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any

from orca.common.errors import UsageError
from orca.orchestrator.errors import StoreError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["SCHEMA", "Connector", "Link", "bare", "clean", "is_lost", "is_passing", "map_error", "numbered"]

logger = logging.getLogger(__name__)

SCHEMA = "orca"
"""Every table lies in this schema, so that a database can be shared with other programs."""

CONNECT_S = 5.0
# A server that is silent for so long is cut off, and asked again over a new connection.
COMMAND_S = 30.0
CLOSE_S = 2.0
_HINT = "check the address and the server; nothing acknowledged is lost"


def _load(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"a PostgreSQL store needs {name.partition('.')[0]}: {error}",
            hint="pip install 'orca-orchestrator[postgres]'",
        ) from error


@lru_cache(maxsize=512)
def numbered(sql: str) -> str:
    """A statement of ours for asyncpg: each ``?`` outside quotes becomes ``$1``, ``$2`` and so on.

    Example:
        >>> numbered("SELECT '?' FROM a WHERE b = ? AND c < ? LIMIT ?")
        "SELECT '?' FROM a WHERE b = $1 AND c < $2 LIMIT $3"
    """
    numbers = count(1)
    return re.sub(
        r"'(?:[^']|'')*'|\?",
        lambda found: f"${next(numbers)}" if found.group() == "?" else found.group(),
        sql,
    )


def clean(value: Any) -> Any:
    r"""PostgreSQL's text holds every character but NUL.

    Example:
        >>> clean("a\x00b"), clean(3)
        ('a\ufffdb', 3)
    """
    return value.replace("\x00", "\ufffd") if isinstance(value, str) and "\x00" in value else value


def bare(error: BaseException) -> str:
    """What the server said, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _state(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", "") or "")


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or was never there: another one may do."""
    if isinstance(error, (OSError, asyncio.TimeoutError, EOFError)):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    # 08: connection exceptions; 57P01-57P05: shut down, crash, starting up, database dropped, idle too long;
    # 53300: too many connections.
    return "InterfaceError" in names or _state(error)[:2] == "08" or _state(error) in _GONE


_GONE = frozenset(("57P01", "57P02", "57P03", "57P04", "57P05", "53300"))


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is tried again: a deadlock, a conflict, a changed plan."""
    return _state(error) in ("40P01", "40001", "0A000")


def map_error(error: BaseException) -> BaseException:
    """Turn an error of the driver into one of ours; ours pass."""
    if is_lost(error):
        return StoreError(f"the database cannot be reached ({bare(error)})", hint=_HINT)
    if _state(error)[:2] == "53":
        return StoreFullError(
            f"the database has no space left ({bare(error)})", hint="free space on its disk; nothing is lost"
        )
    if _state(error) or type(error).__module__.startswith("asyncpg"):
        return StoreError(f"the database failed: {bare(error)}")
    return error


def _number(text: str) -> int | float:
    return float(text) if "." in text or "e" in text or "N" in text else int(text)


class Connector:
    """Makes connections to one database.

    Args:
        url: ``postgresql://...``.
        synchronous: ``FULL`` acknowledges after the sync; ``NORMAL`` may lose the last commits of a power cut.

    Raises:
        UsageError: The extra ``postgres`` is not installed.
    """

    def __init__(self, url: str, *, synchronous: str) -> None:
        self.url = url
        self.driver: Any = _load("asyncpg")
        self._settings = {
            "search_path": SCHEMA,
            "application_name": "orca",
            "synchronous_commit": "off" if synchronous == "NORMAL" else "on",
        }

    @staticmethod
    def queue_parts() -> tuple[Any, Any, Any, Any]:
        """PgQueuer's modules: queries, driver, settings and the parameters of a dequeue."""
        return (
            _load("pgqueuer.adapters.persistence.queries"),
            _load("pgqueuer.adapters.drivers.asyncpg"),
            _load("pgqueuer.domain.settings"),
            _load("pgqueuer.ports.repository"),
        )

    async def _prepare(self, connection: Any) -> None:
        # Sums of whole numbers come as numeric: plain numbers, as SQLite gives them.
        await connection.set_type_codec(
            "numeric", encoder=str, decoder=_number, schema="pg_catalog", format="text"
        )

    async def connect(self) -> Any:
        """One connection of its own."""
        connection = await self.driver.connect(
            self.url, timeout=CONNECT_S, command_timeout=COMMAND_S, server_settings=self._settings
        )
        try:
            await self._prepare(connection)
        except BaseException:
            # Whoever asked was cancelled, or the server has gone again: nobody else knows of this connection.
            connection.terminate()
            raise
        return connection

    async def pool(self, size: int) -> Any:
        """Connections for reading."""
        return await self.driver.create_pool(
            self.url,
            min_size=1,
            max_size=size,
            timeout=CONNECT_S,
            command_timeout=COMMAND_S,
            server_settings=self._settings,
            init=self._prepare,
        )


class Link:
    """One connection, used by one task at a time, that is made anew when it was lost."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: Any = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Any]:
        """The connection for the length of a block.

        Raises:
            Exception: What the driver raises; a lost connection is let go.
        """
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connector.connect()
                yield self._connection
            except BaseException as error:
                if is_lost(error) or isinstance(error, asyncio.CancelledError):
                    # A statement that was given up may still run: its connection is of no use any more.
                    self.drop()
                raise

    def drop(self) -> None:
        """Let the connection go as it is."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Say good-bye."""
        async with self._lock:
            if self._connection is not None:
                with suppress(Exception):
                    await self._connection.close(timeout=CLOSE_S)
                self._connection = None
