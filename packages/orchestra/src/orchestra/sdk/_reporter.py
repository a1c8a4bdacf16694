"""What both SDKs share: options, identity, redaction, and the way to the outbox."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from orchestra.sdk._fork import import_gate
from orchestra.sdk._protocol import (
    log_event,
    output_event,
    parse_status,
    sensor_event,
    status_event,
)
from orchestra.sdk._run import Run, Scope, current_run, left_word, run_in_context
from orchestra.sdk.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from orchestra.sdk._courier import Courier, Route
    from orchestra.sdk._identity import Identity, IdentitySource
    from orchestra.sdk._logs import LogSpool
    from orchestra.sdk._redact import Redactor
    from orchestra.sdk._tickets import Ticket
    from orchestra.sdk.enums import TaskRunStatus
    from orchestra.sdk.limits import Budgets, Caps

__all__ = ["Options", "Reporter"]

logger = logging.getLogger(__name__)

HEARTBEAT_S_MIN = 1.0
"""A faster heartbeat is a flood, not a sign of life."""


class Options:
    """The settings of one SDK instance.

    Attributes:
        send_logs: Send the log file's new lines before the terminal status.
        capture: Also send what the run prints and logs.
        heartbeat_s: Repeat RUNNING this often; None is off.
        supervise: Start a watching process that reports a killed run.
        cancellable: Ask the platform API whether the run was cancelled.
        reraise: Whether decorated functions let exceptions through.
        quiet: No warning when nothing is configured.
        spool: The outbox's folder; "memory" keeps it in memory, None means the default place.
        redact: More values to mask.
    """

    def __init__(
        self,
        *,
        send_logs: bool = False,
        capture: bool = False,
        heartbeat_s: float | None = None,
        supervise: bool = False,
        cancellable: bool = False,
        reraise: bool = True,
        quiet: bool = False,
        spool: Path | str | None = None,
        redact: tuple[str, ...] = (),
        budgets: Budgets | None = None,
        caps: Caps | None = None,
    ) -> None:
        self.send_logs = send_logs
        self.capture = capture
        self.heartbeat_s = heartbeat_s
        self.supervise = supervise
        self.cancellable = cancellable
        self.reraise = reraise
        self.quiet = quiet
        self.spool = spool
        self.redact = redact
        self._budgets = budgets
        self._caps = caps

    @property
    def budgets(self) -> Budgets:
        """How long calls may wait."""
        if self._budgets is None:
            from orchestra.sdk.limits import Budgets  # noqa: PLC0415  with dataclasses, for who reports

            self._budgets = Budgets()
        return self._budgets

    @property
    def caps(self) -> Caps:
        """What the outbox may hold."""
        if self._caps is None:
            from orchestra.sdk.limits import Caps  # noqa: PLC0415

            self._caps = Caps()
        return self._caps


_NEEDED = ("_courier", "_encode", "_redact", "_wrapped", "linked_connections")


def _load() -> None:
    """Import what a report may need, threads, queues and SQLite among it: only for who reports.

    It happens in one go that no fork can cut in two, whichever thread comes first.
    """
    from importlib import import_module  # noqa: PLC0415

    with import_gate:
        for name in _NEEDED:
            import_module(f"orchestra.sdk.{name}")


class Reporter:
    """Builds events for whoever calls and hands them to the courier.

    Args:
        api_key: The key; the environment's ORCHESTRA_API_KEY when None or empty.
        source: Where the identity comes from.
        log_file: The log file's path.
        options: Everything else.
    """

    def __init__(self, api_key: str | None, source: IdentitySource, log_file: str, options: Options) -> None:
        # It refuses its first import when the interpreter ends, where a report may be the first to need it: httpcore
        # imports an anyio that does.
        from importlib import import_module  # noqa: PLC0415

        import_module("concurrent.futures.thread")
        self._api_key = api_key
        self.source = source
        self.log_file = log_file
        self.options = options
        self._couriers: list[Courier] = []
        self._redactor: Redactor | None = None
        self._active: dict[UUID, Run] = {}
        self._log_spools: dict[str, LogSpool] = {}
        self._warned = False

    @property
    def api_key(self) -> str:
        """The key that holds now; empty when there is none."""
        return self._api_key or os.environ.get("ORCHESTRA_API_KEY", "")

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self._api_key = value
        self._redactor = None

    @property
    def courier(self) -> Courier:
        """The background delivery, made at the first use."""
        if not self._couriers:
            _load()
            from orchestra.sdk._courier import Courier  # noqa: PLC0415

            made = Courier(
                self.spool_folder, budgets=self.options.budgets, caps=self.options.caps, redact=self.redact
            )
            # Threads that come at once all take the first one; nobody needs a lock that a fork could copy.
            self._couriers.append(made)
        return self._couriers[0]

    @property
    def spool_folder(self) -> Path | None:
        """Where the outbox is; None when it is in memory."""
        from pathlib import Path  # noqa: PLC0415  with what it imports, three milliseconds

        from orchestra.sdk._spool import default_spool_dir  # noqa: PLC0415

        spool = self.options.spool
        return default_spool_dir() if spool is None else None if spool == "memory" else Path(spool)

    def redact(self, text: str) -> str:
        """Mask what is known to be secret."""
        if self._redactor is None:
            with import_gate:
                from orchestra.sdk._redact import Redactor, secrets_in_environment  # noqa: PLC0415
                from orchestra.sdk.linked_connections import list_linked_connections  # noqa: PLC0415

            found = secrets_in_environment(os.environ, [c.fields for c in list_linked_connections()])
            self._redactor = Redactor({self.api_key, *self.options.redact, *found})
        return self._redactor.text(text)

    # -- identity --------------------------------------------------------------

    def route(self, identity: Identity) -> Route | None:
        """Where events of ``identity`` go; None, said once, when that is not known."""
        if not self.api_key or identity.run is None:
            self._say_unconfigured("no API key" if not self.api_key else "no ORCHESTRA_TASK_RUN_ID")
            return None
        return self.make_route(identity.url)

    def make_route(self, url: str) -> Route:
        """Where events go, with the present key."""
        _load()
        from orchestra.sdk._courier import Route  # noqa: PLC0415

        return Route(url, self.api_key)

    def _say_unconfigured(self, what: str) -> None:
        if self._warned:
            return
        self._warned = True
        level = logging.DEBUG if self.options.quiet else logging.WARNING
        logger.log(level, "Orchestra is not configured (%s): the task runs, and nothing is reported", what)

    def target(self) -> tuple[UUID, Route, Run | None] | None:
        """The task run that a call belongs to: the current run's, else the one that the identity names."""
        run = run_in_context()
        if run is not None and run.run_id is not None and run.route is not None:
            if run.pid != os.getpid():
                return run.run_id, run.route, None  # a forked child speaks for the run and does not end it
            if not run.active:
                logger.warning("%s has ended: what comes after the terminal status is not sent", run.name)
                return None
            return run.run_id, run.route, run
        identity = self.source.now()
        route = self.route(identity)
        if route is None or identity.run is None:
            return None
        return identity.run, route, self.active_run(identity.run)

    def active_run(self, run_id: UUID | None) -> Run | None:
        """The run of this process that has started and not ended, whichever thread started it."""
        run = self._active.get(run_id) if run_id is not None else None
        return run if run is not None and run.active else None

    def forget(self, run: Run) -> None:
        """The run has ended."""
        if run.run_id is not None and self._active.get(run.run_id) is run:
            del self._active[run.run_id]

    # -- runs --------------------------------------------------------------------

    def scope(self, name: str, *, identity: Identity | None, reraise: bool | None) -> Scope:
        """A run to enter, or the one that is already under way."""
        reraise = self.options.reraise if reraise is None else reraise
        outer = current_run()
        if identity is None:
            if outer is not None:
                return Scope(outer, joined=True, reraise=True)
            identity = self.source.now()
        if outer is not None and outer.run_id == identity.run:
            return Scope(outer, joined=True, reraise=True)
        active = self.active_run(identity.run)
        if active is not None:
            return Scope(active, joined=True, reraise=True)
        return Scope(self._begin(name, identity), joined=False, reraise=reraise)

    def _begin(self, name: str, identity: Identity) -> Run:
        route = self.route(identity)
        if route is None or identity.run is None:
            return Run(self, None, None, name)
        capture = None
        if self.options.send_logs or self.options.capture:
            from orchestra.sdk._logs import Capture  # noqa: PLC0415

            log_file = (identity.log_file or self.log_file) if self.options.send_logs else None
            capture = Capture(log_file=log_file, output=self.options.capture)
        run = Run(self, identity.run, route, name, capture)
        self._active[identity.run] = run
        return run

    # -- events --------------------------------------------------------------------

    def update(self, status: TaskRunStatus | str | None, message: str | None) -> Ticket | None:
        """Hand over a status, a message or both.

        Raises:
            UsageError: Neither is given, or the status is unknown.
        """
        wanted = None if status is None else parse_status(status)
        text = None if message is None else self.redact(str(message))
        if wanted is None and not text:
            raise UsageError("an update needs a status or a message")
        target = self.target()
        if target is None:
            return None
        run_id, route, run = target
        if wanted is not None and wanted.terminal and run is not None:
            return run.end(wanted, text)
        if wanted is not None and wanted.terminal:
            from orchestra.sdk._wrapped import status_file  # noqa: PLC0415

            word = status_file(run_id)
            if word is not None:
                return left_word(word, wanted, text)
        return self.courier.append(status_event(run_id, wanted, text), route)

    def output(self, name: str, value: object, *, run: Run | None = None) -> Ticket | None:
        """Hand over an output, of ``run`` or of what the context says.

        Raises:
            OutputError: The name is empty, or JSON cannot carry the value.
        """
        from orchestra.sdk._encode import encode, name_warning  # noqa: PLC0415  for who sends outputs

        doubt = name_warning(name)
        plain = encode(value)
        if doubt:
            logger.warning("%s", doubt)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("output %s = %s", name, self.redact(repr(plain)[:200]))
        if run is not None:
            return run.output(name, plain)
        target = self.target()
        if target is None:
            return None
        run_id, route, run = target
        if run is not None:
            return run.output(name, plain)
        return self.courier.append(output_event(run_id, name, plain), route)

    def log(self, name: str, data: str) -> Ticket | None:
        """Hand over a log."""
        target = self.target()
        if target is None:
            return None
        return self.courier.append(log_event(target[0], name, self.redact(data)), target[1])

    def sensor(self, kind: str, event: object) -> Ticket | None:
        """Hand over a sensor event, which needs a key and no task run."""
        from orchestra.sdk._encode import encode  # noqa: PLC0415

        plain = encode(event)
        if not self.api_key:
            self._say_unconfigured("no API key")
            return None
        return self.courier.append(sensor_event(kind, plain), self.make_route(self.source.now().url))

    def progress(self, fraction: float | None, message: str) -> None:
        """Keep the latest progress; it is sent in the background.

        Raises:
            UsageError: The fraction is not within 0 and 1, or there is nothing to say.
        """
        from orchestra.sdk._protocol import progress_message  # noqa: PLC0415

        progress_message(fraction, message)
        target = self.target()
        if target is not None:
            self.courier.progress(target[0], target[1], fraction, self.redact(message))

    def log_spool(self, name: str) -> LogSpool:
        """The spool of a log of that name, made once."""
        from orchestra.sdk._logs import LogSpool  # noqa: PLC0415

        return self._log_spools.setdefault(name, LogSpool())

    def take_logs(self) -> list[tuple[str, str]]:
        """Name and text of each spooled log that has something in it; they begin anew."""
        logs = [(name, spool.take()) for name, spool in self._log_spools.items()]
        return [(name, text) for name, text in logs if text]

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop the background delivery, waiting that long for an event that is on its way."""
        for spool in self._log_spools.values():
            spool.close()
        self._log_spools.clear()
        couriers, self._couriers = self._couriers, []
        for courier in couriers:
            courier.close(timeout_s)
