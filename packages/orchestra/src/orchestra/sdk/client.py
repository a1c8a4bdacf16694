"""The synchronous SDK: `OrchestraSDK` and the `Task` that its context manager gives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from orchestra.sdk import _identity
from orchestra.sdk._identity import Identity, IdentitySource
from orchestra.sdk._protocol import parse_task_run_id, webhook_url
from orchestra.sdk._reporter import HEARTBEAT_S_MIN, Options, Reporter
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import TaskCancelledError, UsageError

if TYPE_CHECKING:
    import logging
    from pathlib import Path
    from uuid import UUID

    from orchestra.sdk._run import Run, Scope
    from orchestra.sdk._tickets import Ticket
    from orchestra.sdk.limits import Budgets, Caps
    from orchestra.sdk.linked_connections import LinkedConnection

__all__ = ["BaseSDK", "BaseTask", "OrchestraSDK", "Task"]

F = TypeVar("F", bound=Callable[..., Any])


class BaseSDK:
    """Settings and identity, the same for both SDKs."""

    def __init__(
        self,
        api_key: str | None = None,
        log_file: str = "orchestra.log",
        send_logs: bool = False,
        *,
        webhook_url: str | None = None,
        task_run_id: UUID | str | None = None,
        spool: Path | str | None = None,
        capture: bool = False,
        heartbeat_s: float | None = None,
        supervise: bool = False,
        cancellable: bool = False,
        reraise: bool = True,
        quiet: bool = False,
        redact: Iterable[str] = (),
        budgets: Budgets | None = None,
        caps: Caps | None = None,
    ) -> None:
        if heartbeat_s is not None and heartbeat_s < HEARTBEAT_S_MIN:
            raise UsageError(f"heartbeat_s is {heartbeat_s!r}; the least is {HEARTBEAT_S_MIN} s")
        options = Options(
            send_logs=send_logs,
            capture=capture,
            heartbeat_s=heartbeat_s,
            supervise=supervise,
            cancellable=cancellable,
            reraise=reraise,
            quiet=quiet,
            spool=spool,
            redact=tuple(redact),
            budgets=budgets,
            caps=caps,
        )
        source = IdentitySource(_id_or_raise(task_run_id), _url_or_none(webhook_url))
        self._reporter = Reporter(api_key, source, log_file, options)

    @property
    def api_key(self) -> str:
        """The API key: as given, else ORCHESTRA_API_KEY of the environment."""
        return self._reporter.api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self._reporter.api_key = value

    @property
    def send_logs(self) -> bool:
        """Whether the log file's new lines are sent before the terminal status."""
        return self._reporter.options.send_logs

    @send_logs.setter
    def send_logs(self, value: bool) -> None:
        self._reporter.options.send_logs = bool(value)

    @property
    def log_file(self) -> str:
        """The log file; on Lambda, a name of its own for each event."""
        found = self._reporter.source.in_context()
        return found.log_file if found is not None and found.log_file else self._reporter.log_file

    @log_file.setter
    def log_file(self, value: str) -> None:
        self._reporter.log_file = value

    @property
    def task_run_id(self) -> UUID | None:
        """The task run that a call from here would report on."""
        return self._reporter.source.now().run

    @task_run_id.setter
    def task_run_id(self, value: UUID | str | None) -> None:
        self._reporter.source.set_in_context(None)
        self._reporter.source.run = _id_or_raise(value)

    @property
    def webhook_url(self) -> str:
        """Where events go."""
        return self._reporter.source.now().url

    @webhook_url.setter
    def webhook_url(self, value: str | None) -> None:
        self._reporter.source.set_in_context(None)
        self._reporter.source.url = _url_or_none(value)

    @property
    def is_configured(self) -> bool:
        """Whether there is a key and a task run, so that something is reported."""
        return bool(self._reporter.api_key) and self.task_run_id is not None

    def configure_aws_lambda_event(self, event: Mapping[str, Any]) -> None:
        """Take the identity from an AWS Lambda event, for this context only.

        Args:
            event: The event; ``orchestra_task_run_id`` and, if there, ``orchestra_webhook_url`` are read.
        """
        self._reporter.source.set_in_context(_identity.from_lambda_event(event))

    def configure_http_request(self, headers: Mapping[str, str]) -> None:
        """Take the task run from the headers of the request that triggered this code, for this context only.

        Only the id is taken; where events go stays this service's own setting.

        Args:
            headers: The request's headers; ``orchestra_task_run_id`` in any case, with ``_`` or ``-``.
        """
        self._reporter.source.set_in_context(_identity.from_headers(headers, self.webhook_url))

    def list_linked_connections(self) -> list[LinkedConnection]:
        """All connections linked to this task, sorted by integration and id."""
        from orchestra.sdk.linked_connections import list_linked_connections  # noqa: PLC0415

        return list_linked_connections()

    def get_linked_connection(self, integration: str, connection_id: str | None = None) -> LinkedConnection:
        """The one linked connection that fits; see `orchestra.sdk.get_linked_connection`.

        Raises:
            LinkedConnectionNotFoundError: None fits, or several do; the message names the candidates.
        """
        from orchestra.sdk.linked_connections import get_linked_connection  # noqa: PLC0415

        return get_linked_connection(integration, connection_id)

    def log_handler(self, name: str = "task.log") -> logging.Handler:
        """A logging handler whose records are sent as one log, just before each terminal status.

        Args:
            name: The log's name on the platform.
        """
        from orchestra.sdk._logs import SpoolHandler  # noqa: PLC0415

        return SpoolHandler(self._reporter.log_spool(name))

    def _identity(self, task_run_id: UUID | str | None, url: str | None) -> Identity | None:
        if task_run_id is None and url is None:
            return None
        now = self._reporter.source.now()
        return Identity(_id_or_raise(task_run_id) or now.run, _url_or_none(url) or now.url, now.log_file)

    def _scope(
        self, name: str, task_run_id: UUID | str | None, url: str | None, *, reraise: bool | None
    ) -> Scope:
        return self._reporter.scope(name, identity=self._identity(task_run_id, url), reraise=reraise)

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Report progress of the task run; cheap, in the background, the latest of a second wins.

        Args:
            fraction: From 0 to 1, or None.
            message: A line for people.

        Raises:
            UsageError: The fraction is not within 0 and 1, or there is nothing to say.
        """
        self._reporter.progress(fraction, message)

    @property
    def terminal_budget_s(self) -> float:
        """How long a call with a terminal status may wait for the receiver."""
        return self._reporter.options.budgets.terminal_s

    def begin(self, name: str) -> Scope:
        """The scope of one run, for who enters and leaves it by hand; `run` and `task` are built on it."""
        return self._reporter.scope(name, identity=None, reraise=True)

    @overload
    def run(self, function: F) -> F: ...

    @overload
    def run(
        self,
        *,
        task_run_id: UUID | str | None = None,
        webhook_url: str | None = None,
        reraise: bool | None = None,
    ) -> Callable[[F], F]: ...

    def run(
        self,
        function: Callable[..., Any] | None = None,
        *,
        task_run_id: UUID | str | None = None,
        webhook_url: str | None = None,
        reraise: bool | None = None,
    ) -> Any:
        """Decorate a callable: RUNNING before, SUCCEEDED, FAILED or CANCELLED after, whatever way it ends.

        Works with and without parentheses, for functions, methods, async functions, generators, async
        generators, partials and callable objects. A decorated call inside another one of the same task run
        reports nothing.

        Args:
            function: The callable, when used without parentheses.
            task_run_id: The task run, instead of the usual places.
            webhook_url: The address, instead of the usual places.
            reraise: Overrides the instance's setting.
        """
        from orchestra.sdk._decorate import wrap  # noqa: PLC0415

        def decorate(target: Callable[..., Any]) -> Callable[..., Any]:
            return wrap(target, lambda name: self._scope(name, task_run_id, webhook_url, reraise=reraise))

        return decorate if function is None else decorate(function)

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop the background delivery; what is undelivered stays in the outbox.

        Args:
            timeout_s: How long to wait for an event that is on its way.
        """
        self._reporter.close(timeout_s)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(task_run_id={str(self.task_run_id)!r}, webhook_url={self.webhook_url!r})"
        )


class OrchestraSDK(BaseSDK):
    """Reports a task to Orchestra from synchronous or asynchronous code.

    Nothing of it fails or delays the task: without configuration everything still runs and methods return
    False.

    Args:
        api_key: The API key; ORCHESTRA_API_KEY of the environment when left out.
        log_file: A log file that the program writes; see ``send_logs``.
        send_logs: Send what a run adds to the log file, before its terminal status.
        webhook_url: Where events go; else ORCHESTRA_WEBHOOK_URL, else the public address.
        task_run_id: The task run; else ORCHESTRA_TASK_RUN_ID at the time of each run.
        spool: The outbox's folder; "memory" for none on disk.
        capture: Also send what a run prints and logs.
        heartbeat_s: Repeat RUNNING this often while a run lasts; at least 1 s; None is off.
        supervise: Start a watching process that reports the run when this one is killed.
        cancellable: Ask the platform whether the run was cancelled; see `Task.raise_if_cancelled`.
        reraise: Let exceptions of decorated functions through. False swallows ordinary ones after reporting.
        quiet: Do not warn when nothing is configured.
        redact: More values to mask in messages and logs.
        budgets: How long calls may wait for an acknowledgement.
        caps: What the outbox may hold.

    Raises:
        UsageError: An option has a form that can never work.

    Example:
        >>> sdk = OrchestraSDK("key", quiet=True)
        >>> @sdk.run
        ... def add(a: int, b: int) -> int:
        ...     return a + b
        >>> add(1, 2)  # nothing is configured here, so this is a plain call
        3
    """

    @contextmanager
    def task(
        self,
        name: str,
        *,
        task_run_id: UUID | str | None = None,
        webhook_url: str | None = None,
        reraise: bool | None = None,
    ) -> Generator[Task]:
        """Report a block of code as the task run.

        Args:
            name: What messages call it.
            task_run_id: The task run, instead of the usual places.
            webhook_url: The address, instead of the usual places.
            reraise: Overrides the instance's setting.
        """
        with self._scope(name, task_run_id, webhook_url, reraise=reraise) as run:
            yield Task(self._reporter, run)

    def update_task(self, status: TaskRunStatus | str | None = None, message: str | None = None) -> bool:
        """Send a status, a message or both.

        A terminal status waits up to ``budgets.terminal_s`` for the receiver; anything else returns at once.

        Args:
            status: A `TaskRunStatus`, or a text such as "success".
            message: A line for people.

        Returns:
            True when it is acknowledged or safely on disk; False when nothing is configured, the task run has
            ended, or it is neither on disk nor acknowledged yet.

        Raises:
            UsageError: Neither is given, or the status is unknown.
        """
        return self._accepted(self._reporter.update(status, message))

    def set_output(self, name: str, value: Any) -> bool:
        """Set an output of the task run.

        Args:
            name: Its name: letters and underscores; the platform ignores case.
            value: Anything JSON can carry, and dates, Decimal, UUID, Path, Enum, sets, numpy and pydantic
                values.

        Returns:
            As for `update_task`.

        Raises:
            OutputError: The name is empty or JSON cannot carry the value; the error says where in it.
        """
        return self._accepted(self._reporter.output(name, value))

    def send_log(self, name: str, data: str) -> bool:
        """Send a text as a log of the task run. Returns as `update_task`."""
        return self._accepted(self._reporter.log(name, data))

    def send_sensor_event(self, event_type: str, event: Mapping[str, Any]) -> bool:
        """Send a sensor event; it needs an API key and no task run. Returns as `update_task`.

        Args:
            event_type: The sensor's type of event.
            event: Any object.

        Raises:
            OutputError: JSON cannot carry the event.
        """
        return self._accepted(self._reporter.sensor(event_type, event))

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything said so far is delivered or refused; False when time ran out."""
        return self._reporter.courier.flush(timeout_s)

    def _accepted(self, ticket: Ticket | None) -> bool:
        return ticket is not None and self._reporter.courier.accepted(ticket)


class BaseTask:
    """What both kinds of task can do without waiting."""

    def __init__(self, reporter: Reporter, run: Run) -> None:
        self._reporter = reporter
        self._run = run

    @property
    def id(self) -> UUID | None:
        """The task run, or None when nothing is configured."""
        return self._run.run_id

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._run.name

    @property
    def is_configured(self) -> bool:
        """Whether anything is reported."""
        return self._run.run_id is not None

    @property
    def cancel_requested(self) -> bool:
        """Whether the platform asked this run to stop (with ``cancellable=True``)."""
        return self._run.cancel_requested.is_set()

    def raise_if_cancelled(self) -> None:
        """End the run as CANCELLED where the program can afford it.

        Raises:
            TaskCancelledError: The platform asked this run to stop.
        """
        if self.cancel_requested:
            raise TaskCancelledError("the platform asked this task run to stop")

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """As `OrchestraSDK.progress`."""
        self._reporter.progress(fraction, message)

    def warn(self, message: str = "") -> None:
        """Declare that the run ends as WARNING."""
        self._run.declare(TaskRunStatus.WARNING, message)

    def cancel(self, message: str = "") -> None:
        """Declare that the run ends as CANCELLED."""
        self._run.declare(TaskRunStatus.CANCELLED, message)

    def fail(self, message: str = "") -> None:
        """Declare that the run ends as FAILED."""
        self._run.declare(TaskRunStatus.FAILED, message)

    def succeed(self, message: str = "") -> None:
        """Declare that the run ends as SUCCEEDED."""
        self._run.declare(TaskRunStatus.SUCCEEDED, message)


class Task(BaseTask):
    """What a block of `OrchestraSDK.task` says about its task run.

    ``warn``, ``cancel``, ``fail`` and ``succeed`` declare how the run ends; the first one counts, also when an
    exception follows. The status goes out when the block ends, so that outputs and logs still come before it.
    """

    def output(self, name: str, value: Any) -> bool:
        """As `OrchestraSDK.set_output`."""
        return self._accepted(self._reporter.output(name, value))

    def message(self, text: str) -> bool:
        """Send a message without a status."""
        return self._accepted(self._reporter.update(None, text))

    def _accepted(self, ticket: Ticket | None) -> bool:
        return ticket is not None and self._reporter.courier.accepted(ticket)


def _id_or_raise(value: UUID | str | None) -> UUID | None:
    if value is None:
        return None
    run = parse_task_run_id(value)
    if run is None:
        raise UsageError(f"{value!r} is not the uuid of a task run")
    return run


def _url_or_none(value: str | None) -> str | None:
    return webhook_url(value) if value else None
