"""`OrchestraSDK` as published: its decorator reports an exception and swallows it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from orca.common.errors import UsageError
from orchestra import sdk
from orchestra.sdk import (
    LinkedConnection,
    OutputError,
    TaskRunStatus,
    get_linked_connection,
    list_linked_connections,
)
from orchestra_sdk import _records
from orchestra_sdk.check_environment import validate_environment
from orchestra_sdk.enum import WebhookEventType
from orchestra_sdk.http import HTTPClient

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "HTTPClient",
    "LinkedConnection",
    "OrchestraSDK",
    "TaskRunStatus",
    "WebhookEventType",
    "get_linked_connection",
    "list_linked_connections",
    "validate_environment",
]

logger = logging.getLogger(__name__)


class OrchestraSDK(sdk.OrchestraSDK):
    """Reports a task to Orchestra, with the signatures, defaults and log records of orchestra-sdk.

    Everything of `orchestra.sdk.OrchestraSDK` is there too: the durable outbox, deadlines, async functions,
    ``task(...)``, ``progress(...)``. The one default that differs is that ``run`` swallows exceptions of the
    function, after reporting FAILED, and returns None.

    Args:
        api_key: The API key.
        log_file: The log file that the program writes.
        send_logs: Send what a run adds to the log file.

    Example:
        >>> orchestra = OrchestraSDK(api_key="your_api_key")
        >>> @orchestra.run()
        ... def divide(a, b):
        ...     return a / b
        >>> divide(6, 2)
        3.0
        >>> divide(1, 0)  # reported, where Orchestra started it, and swallowed
    """

    def __init__(
        self,
        api_key: str,
        log_file: str = "orchestra.log",
        send_logs: bool = False,
    ) -> None:
        _records.translate()
        validate_environment()
        super().__init__(api_key, log_file, send_logs, reraise=False)

    @property
    def send_logs(self) -> bool:
        """Whether the log file's new lines are sent before the terminal status."""
        return super().send_logs

    @send_logs.setter
    def send_logs(self, value: bool) -> None:
        self._reporter.options.send_logs = bool(value)

    @property
    def task_run_id(self) -> UUID | None:
        """The task run that a call from here would report on."""
        return super().task_run_id

    @task_run_id.setter
    def task_run_id(self, value: UUID | str | None) -> None:
        # A program that is tried out with a placeholder runs, as it did; the platform knows no such task run.
        base: Any = super(OrchestraSDK, type(self))
        assign = base.task_run_id.__set__
        try:
            assign(self, value)
        except UsageError as error:
            logger.error("%s: nothing will be reported", error.message)
            assign(self, None)

    @property
    def http_client(self) -> HTTPClient | None:
        """A client for single events, or None when there is no key or no task run."""
        run = self.task_run_id
        if not self.api_key or run is None:
            logger.warning("Environment not configured correctly to send update for Task.")
            return None
        return HTTPClient(self.api_key, run, self.webhook_url)

    def update_task(self, status: TaskRunStatus | str | None = None, message: str | None = None) -> bool:
        """Send a status, a message or both.

        Args:
            status: The status, or a text such as "success".
            message: A line for people.

        Returns:
            Whether it is acknowledged or safely on disk; False, with a warning, when neither is given.

        Raises:
            UsageError: The status is unknown.
        """
        if not status and not message:
            logger.warning("No status or message provided for updating the Task. No update will be sent.")
            return False
        return super().update_task(status, message)

    def set_output(self, name: str, value: Any) -> bool:
        """Set an output of the task.

        Args:
            name: Letters and underscores; case does not matter.
            value: Anything that JSON can carry.

        Returns:
            Whether it is acknowledged or safely on disk; False, with an error in the log, when JSON cannot carry it.
        """
        try:
            return super().set_output(name, value)
        except (OutputError, UsageError) as error:
            logging.getLogger("orchestra_sdk.http").error(
                "Could not send POST request to %s - %s", self.webhook_url, error
            )
            return False

    def send_running_status(self, function_name: str) -> None:
        """Report that a function started."""
        self.update_task(TaskRunStatus.RUNNING, f"{function_name} started.")

    def send_failed_status(self, function_name: str, func_error: Exception) -> None:
        """Report that a function failed, with the first 250 characters of the error."""
        self.update_task(TaskRunStatus.FAILED, f"{function_name} failed. Error: {str(func_error)[:250]}")

    def send_success_status(self, function_name: str) -> None:
        """Report that a function succeeded."""
        self.update_task(TaskRunStatus.SUCCEEDED, f"{function_name} succeeded.")
