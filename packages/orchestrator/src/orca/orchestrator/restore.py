"""A backup in place of a stopped core's store."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from orca.orchestrator.errors import NotFoundError, StoreError
from orca.orchestrator.process import FolderLock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["restore_store"]


def restore_store(source: Path, folder: Path) -> Path | None:
    """Copy ``source`` to ``folder/orca.db``; gives where the former store was put, if there was one.

    Raises:
        NotFoundError: There is no such backup.
        StoreError: The file is damaged or no store.
        RunningError: A core runs in the folder.
    """
    if not source.is_file():
        raise NotFoundError(f"there is no backup at {source}", hint="orca db backup")
    lock = FolderLock(folder)
    try:
        _check(source)
        target = folder / "orca.db"
        kept: Path | None = None
        if target.exists():
            kept = folder / f"orca.db.replaced-{time.time_ns()}"
            target.replace(kept)
        for rest in ("orca.db-wal", "orca.db-shm"):
            (folder / rest).unlink(missing_ok=True)
        target.touch(mode=0o600)
        with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
            old.backup(new)
        old.close()
        new.close()
        return kept
    finally:
        lock.release()


def _check(source: Path) -> None:
    connection = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    try:
        healthy = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{source} is no store: {error}", hint="choose another backup") from error
    finally:
        connection.close()
    if not healthy or version == 0:
        raise StoreError(f"{source} is damaged, or no store of this program", hint="choose another backup")
