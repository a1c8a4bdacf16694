"""The schema in PostgreSQL: the same numbered steps as in SQLite, one replica at a time, copied before."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from orca.orchestrator.store import migrations
from orca.orchestrator.store.postgres_link import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["applied_version", "migrate"]

logger = logging.getLogger(__name__)

# Replicas that start together must not all make the tables.
LOCK_KEY = 7_215_500
_VERSIONS = f"""
CREATE TABLE {SCHEMA}.schema_version (
  number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_ns BIGINT NOT NULL
)
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename"


async def applied_version(connection: Any) -> int:
    """The number of the last step that was applied; 0: nothing is there."""
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.schema_version") is None:
        return 0
    number: int = await connection.fetchval(f"SELECT coalesce(max(number), 0) FROM {SCHEMA}.schema_version")  # noqa: S608 - our own name
    return number


async def migrate(
    connection: Any, queue: Any, *, place: str, upgrading: Callable[[], None] | None = None
) -> None:
    """Bring the database up to date; tables that hold something are copied into a schema of their own before.

    Args:
        connection: Outside a transaction.
        queue: PgQueuer's queries on that connection.
        place: What to call the database.
        upgrading: Is called before that copy, from where on it may take long.

    Raises:
        StoreNewerError: A newer program wrote it; nothing was changed.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    try:
        applied = await applied_version(connection)
        steps = migrations.pending(applied, migrations.load_migrations("postgres"), place=place)
        if not applied:
            await _make_schema(connection)
        elif steps:
            if upgrading is not None:
                upgrading()
            await _copy(connection, steps[-1].number)
        for step in steps:
            await _apply(connection, step)
        if applied and steps:
            await _analyze(connection)
        if await queue.schema_is_installed():
            await queue.upgrade()
        else:
            await queue.install(create_schema=False)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def _make_schema(connection: Any) -> None:
    async with connection.transaction():
        # Without asking first, a role that may not make schemas could not use one that was made for it.
        if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", SCHEMA):
            await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.schema_version") is None:
            await connection.execute(_VERSIONS)


async def _apply(connection: Any, step: migrations.Migration) -> None:
    async with connection.transaction():
        for statement in step.statements:
            await connection.execute(statement)
        row = (step.number, step.name, time.time_ns())
        await connection.execute(f"INSERT INTO {SCHEMA}.schema_version VALUES ($1, $2, $3)", *row)  # noqa: S608 - our own name


async def _analyze(connection: Any) -> None:
    """Without statistics the server guesses which index serves best, and may walk all runs for those of one window."""
    tables: Sequence[Any] = await connection.fetch(_TABLES, SCHEMA)
    for row in tables:
        await connection.execute(f'ANALYZE {SCHEMA}."{row["tablename"]}"')


async def _copy(connection: Any, number: int) -> None:
    target = f"{SCHEMA}_before_{number:04}_{time.time_ns()}"
    tables: Sequence[Any] = await connection.fetch(_TABLES, SCHEMA)
    async with connection.transaction():
        await connection.execute(f"CREATE SCHEMA {target}")
        for row in tables:
            name = row["tablename"]
            await connection.execute(f'CREATE TABLE {target}."{name}" AS TABLE {SCHEMA}."{name}"')
    logger.info("the tables were copied to the schema %s before their upgrade", target)
