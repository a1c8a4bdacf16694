"""The store that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.orchestrator.store import sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.orchestrator.settings import CoreSettings
    from orca.orchestrator.store.port import Store

__all__ = ["open_store"]


async def open_store(settings: CoreSettings) -> Store:
    """Open the store: PostgreSQL when ``database`` is set, SQLite in the folder otherwise.

    Raises:
        StoreNewerError: A newer program wrote it.
        StoreError: The database cannot be reached, or refuses.
        UsageError: The extra ``postgres`` is not installed.
    """
    try:
        return await _open(settings, settings.upgrade_mark.touch)
    finally:
        settings.upgrade_mark.unlink(missing_ok=True)


async def _open(settings: CoreSettings, upgrading: Callable[[], None]) -> Store:
    if settings.database:
        # asyncpg and pgqueuer are an extra, and half a second to import.
        from orca.orchestrator.store.postgres import open_postgres  # noqa: PLC0415

        return await open_postgres(
            settings.database.reveal(),
            lease_s=settings.lease_s,
            synchronous=settings.synchronous,
            connections_max=settings.database_connections_max,
            upgrading=upgrading,
        )
    return await sqlite.open_store(settings.store_path, synchronous=settings.synchronous, upgrading=upgrading)
