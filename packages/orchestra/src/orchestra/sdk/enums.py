"""The values that go over the wire: statuses of a task run and types of a webhook event."""

from __future__ import annotations

from enum import Enum

__all__ = ["TaskRunStatus", "WebhookEventType"]

_ALIASES = {
    "CANCELED": "CANCELLED",
    "CANCEL": "CANCELLED",
    "COMPLETED": "SUCCEEDED",
    "DONE": "SUCCEEDED",
    "ERROR": "FAILED",
    "FAIL": "FAILED",
    "FAILURE": "FAILED",
    "IN_PROGRESS": "RUNNING",
    "OK": "SUCCEEDED",
    "STARTED": "RUNNING",
    "SUCCEED": "SUCCEEDED",
    "SUCCESS": "SUCCEEDED",
    "WARN": "WARNING",
}


class TaskRunStatus(Enum):
    """The status of a task run. A text in any case, and the usual synonyms, are understood.

    Example:
        >>> TaskRunStatus("success")
        <TaskRunStatus.SUCCEEDED: 'SUCCEEDED'>
        >>> TaskRunStatus.RUNNING.terminal
        False
    """

    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    WARNING = "WARNING"

    @property
    def terminal(self) -> bool:
        """Whether the platform takes this status as the end of the task run."""
        return self is not TaskRunStatus.RUNNING

    @classmethod
    def _missing_(cls, value: object) -> TaskRunStatus | None:
        name = str(value).strip().upper().replace("-", "_").replace(" ", "_")
        return cls.__members__.get(_ALIASES.get(name, name))


class WebhookEventType(Enum):
    """The kinds of webhook event."""

    LOG = "LOG"
    SENSOR_EVENT = "SENSOR_EVENT"
    SET_OUTPUT = "SET_OUTPUT"
    UPDATE_STATUS = "UPDATE_STATUS"
