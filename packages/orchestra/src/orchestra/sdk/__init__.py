"""Report a task to the Orchestra platform, and never lose its final status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestra.sdk.client import OrchestraSDK, Task
from orchestra.sdk.enums import TaskRunStatus, WebhookEventType
from orchestra.sdk.errors import (
    LinkedConnectionNotFoundError,
    MissingEnvironmentKeysError,
    NoEnvironmentVariablesFoundError,
    OrchestraError,
    OutputError,
    SpoolError,
    TaskCancelledError,
)
from orchestra.sdk.limits import Budgets, Caps

if TYPE_CHECKING:
    from orchestra.sdk.aio import AsyncOrchestraSDK, AsyncTask
    from orchestra.sdk.linked_connections import (
        LinkedConnection,
        get_linked_connection,
        list_linked_connections,
    )

__version__ = "0.1.0"

__all__ = [
    "AsyncOrchestraSDK",
    "AsyncTask",
    "Budgets",
    "Caps",
    "LinkedConnection",
    "LinkedConnectionNotFoundError",
    "MissingEnvironmentKeysError",
    "NoEnvironmentVariablesFoundError",
    "OrchestraError",
    "OrchestraSDK",
    "OutputError",
    "SpoolError",
    "Task",
    "TaskCancelledError",
    "TaskRunStatus",
    "WebhookEventType",
    "get_linked_connection",
    "list_linked_connections",
]

# Names that many programs never use, and where they come from: an import costs what is used.
_LAZY = {
    "AsyncOrchestraSDK": "orchestra.sdk.aio",
    "AsyncTask": "orchestra.sdk.aio",
    "LinkedConnection": "orchestra.sdk.linked_connections",
    "get_linked_connection": "orchestra.sdk.linked_connections",
    "list_linked_connections": "orchestra.sdk.linked_connections",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(module), name)
