"""Inside ``orchestra run``: the program leaves its word in a file, and the command around it reports the end.

A program that uses the SDK itself would otherwise end its task run before the command has sent log and outputs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestra.sdk.enums import TaskRunStatus

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["STATUS_VARIABLE", "WRAPPED_VARIABLE", "leave_word", "read_word", "status_file"]

STATUS_VARIABLE = "ORCHESTRA_STATUS_FILE"
WRAPPED_VARIABLE = "ORCHESTRA_WRAPPED_TASK_RUN_ID"
WORD_BYTES_MAX = 65_536


def status_file(run: UUID | None) -> str | None:
    """Where to leave the word on ``run``; None when no command around us reports on it."""
    path = os.environ.get(STATUS_VARIABLE)
    return path if path and run is not None and os.environ.get(WRAPPED_VARIABLE) == str(run) else None


def leave_word(path: str, status: TaskRunStatus, message: str | None) -> bool:
    """Write how the program says it ended; whether that worked."""
    import json  # noqa: PLC0415

    line = json.dumps({"status": status.value, "message": message or ""}) + "\n"
    try:
        # One write to a file opened for appending: words of several processes do not mix.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, line.encode()[:WORD_BYTES_MAX])
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def read_word(path: str) -> tuple[TaskRunStatus, str] | None:
    """The first word that was left, if any."""
    import json  # noqa: PLC0415

    try:
        with open(path, "rb") as file:  # noqa: PTH123
            event = json.loads(file.readline(WORD_BYTES_MAX) or b"null")
        return (TaskRunStatus(event["status"]), str(event["message"])) if event else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
