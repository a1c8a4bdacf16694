"""Runs in PostgreSQL, for several processes (``pip install orca-statemachine[postgres]``).

The sequence number of a run is an optimistic lock: of two writers, one gets `ConcurrentUpdateError`. asyncio only,
since asyncpg is.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from orca.common.errors import UsageError
from orca.statemachine.runtime.persistence import check_run_id, decode, encode, encode_entry
from orca.statemachine.runtime.sqlite import StoreError
from orca.statemachine.runtime.types import ConcurrentUpdateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PostgresStore"]

_POOL_MAX: Final = 10
"""Connections of one process: saves are short, and a server allows about a hundred in all."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orca_runs (
    run_id text PRIMARY KEY, sequence bigint NOT NULL, machine text NOT NULL, snapshot text NOT NULL
);
CREATE TABLE IF NOT EXISTS orca_journal (
    run_id text NOT NULL, sequence bigint NOT NULL, entry text NOT NULL, PRIMARY KEY (run_id, sequence)
);
"""
# One round trip: the row changes only if the sequence number is the one before, or if there is no row yet.
_SAVE: Final = """
WITH saved AS (
    INSERT INTO orca_runs AS r (run_id, sequence, machine, snapshot) VALUES ($1, $2, $3, $4)
    ON CONFLICT (run_id) DO UPDATE
        SET sequence = excluded.sequence, machine = excluded.machine, snapshot = excluded.snapshot
        WHERE r.sequence = excluded.sequence - 1
    RETURNING sequence
), noted AS (
    INSERT INTO orca_journal (run_id, sequence, entry)
    SELECT $1, sequence, $5::text FROM saved WHERE $5::text IS NOT NULL
)
SELECT sequence FROM saved
"""


class PostgresStore:
    """Snapshots and journals of any number of runs in one database.

    Args:
        dsn: Where the database is, such as ``postgresql://user@host/name``.

    Raises:
        UsageError: asyncpg is not installed.
    """

    def __init__(self, dsn: str) -> None:
        try:
            self._asyncpg: Any = import_module("asyncpg")
        except ImportError as error:
            raise UsageError(
                "PostgresStore needs asyncpg", hint="pip install 'orca-statemachine[postgres]'"
            ) from error
        self._dsn = dsn
        self._pool: Any = None
        self._opening = anyio.Lock()

    async def open(self) -> None:
        """Connect and make the tables where they are missing; does nothing when it is open.

        Raises:
            StoreError: The server cannot be reached or refuses.
        """
        if self._pool is not None:
            return
        async with self._opening:  # many machines may use it for the first time at once
            if self._pool is None:
                try:
                    self._pool = await self._ready_pool()
                except (OSError, self._asyncpg.PostgresError) as error:
                    raise StoreError(f"PostgreSQL cannot be used: {error}") from error

    async def _ready_pool(self) -> Any:
        """Connections to a database that has the tables."""
        pool = await self._asyncpg.create_pool(self._dsn, min_size=1, max_size=_POOL_MAX)
        try:
            async with pool.acquire() as connection, connection.transaction():
                # Two processes that begin at once would both try to make the tables.
                await connection.execute("SELECT pg_advisory_xact_lock(7215503)")
                await connection.execute(_SCHEMA)
        except BaseException:
            pool.terminate()  # does not wait, so that a cancellation cannot leave it half open
            raise
        return pool

    async def close(self) -> None:
        """Close all connections."""
        async with self._opening:
            pool, self._pool = self._pool, None
            if pool is not None:
                await pool.close()

    async def __aenter__(self) -> PostgresStore:  # noqa: PYI034 - Self needs Python 3.11
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _fetch(self, query: str, *values: object) -> list[Any]:
        await self.open()
        try:
            return cast("list[Any]", await self._pool.fetch(query, *values))
        except (OSError, self._asyncpg.PostgresError, self._asyncpg.InterfaceError) as error:
            raise StoreError(f"PostgreSQL failed: {error}") from error

    async def save(self, run_id: str, snapshot: Mapping[str, Any]) -> None:
        """Keep a snapshot; returns when it is committed.

        Raises:
            ConcurrentUpdateError: The stored sequence number is not the one before the snapshot's.
            StoreError: The server failed; whether it committed is then unknown, as after any lost connection.
            ValueNotJsonError: The snapshot or entry holds text that UTF-8 has no form for.
        """
        await self.commit(run_id, snapshot)

    async def commit(
        self, run_id: str, snapshot: Mapping[str, Any], entry: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a snapshot and its journal entry in one transaction; raises as `save` does."""
        check_run_id(run_id)
        sequence = int(snapshot.get("sequence") or 0)
        machine = str(snapshot.get("machine", ""))
        noted = None if entry is None else encode_entry(machine, entry)
        rows = await self._fetch(_SAVE, run_id, sequence, machine, encode(snapshot), noted)
        if not rows:
            found = await self._fetch("SELECT sequence FROM orca_runs WHERE run_id = $1", run_id)
            raise ConcurrentUpdateError(run_id, sequence - 1, int(found[0][0]) if found else 0)

    async def load(self, run_id: str) -> dict[str, Any] | None:
        """The snapshot of a run, or None.

        Raises:
            SnapshotError: It was changed by something else than this program.
            StoreError: The server failed.
        """
        rows = await self._fetch("SELECT snapshot FROM orca_runs WHERE run_id = $1", check_run_id(run_id))
        return decode(str(rows[0][0]), f"run {run_id!r}") if rows else None

    async def exists(self, run_id: str) -> bool:
        """Whether a run has a snapshot."""
        return bool(await self._fetch("SELECT 1 FROM orca_runs WHERE run_id = $1", check_run_id(run_id)))

    async def journal(self, run_id: str) -> list[dict[str, Any]]:
        """What happened in a run, in order: each entry with its ``sequence``."""
        rows = await self._fetch(
            "SELECT sequence, entry FROM orca_journal WHERE run_id = $1 ORDER BY sequence",
            check_run_id(run_id),
        )
        return [{"sequence": row[0], **cast("dict[str, Any]", json.loads(row[1]))} for row in rows]
