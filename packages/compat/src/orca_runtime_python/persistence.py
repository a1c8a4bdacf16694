"""Where snapshots are kept."""

from __future__ import annotations

from orca.statemachine.runtime.persistence import (
    AsyncPersistenceAdapter,
    FilePersistence,
    PersistenceAdapter,
)

__all__ = ["AsyncPersistenceAdapter", "FilePersistence", "PersistenceAdapter"]
