"""The credentials of connections that the platform linked to the task."""

from __future__ import annotations

from orchestra.sdk import (
    LinkedConnection,
    LinkedConnectionNotFoundError,
    get_linked_connection,
    list_linked_connections,
)

__all__ = [
    "LinkedConnection",
    "LinkedConnectionNotFoundError",
    "get_linked_connection",
    "list_linked_connections",
]
