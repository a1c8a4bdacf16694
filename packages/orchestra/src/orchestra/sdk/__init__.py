"""Report a task to the Orchestra platform, and never lose its final status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestra.sdk.aio import AsyncOrchestraSDK, AsyncTask
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

# Where the names come from: an import costs what is used.
_PLACES = {
    "aio": ("AsyncOrchestraSDK", "AsyncTask"),
    "client": ("OrchestraSDK", "Task"),
    "enums": ("TaskRunStatus", "WebhookEventType"),
    "errors": (
        "LinkedConnectionNotFoundError",
        "MissingEnvironmentKeysError",
        "NoEnvironmentVariablesFoundError",
        "OrchestraError",
        "OutputError",
        "SpoolError",
        "TaskCancelledError",
    ),
    "limits": ("Budgets", "Caps"),
    "linked_connections": ("LinkedConnection", "get_linked_connection", "list_linked_connections"),
}


def __getattr__(name: str) -> Any:
    for place, names in _PLACES.items():
        if name in names:
            from importlib import import_module  # noqa: PLC0415

            value = globals()[name] = getattr(import_module(f"{__name__}.{place}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
