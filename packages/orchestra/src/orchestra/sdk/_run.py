"""One task run in this process: its start, its end in every way, and what is said in between."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

from orchestra.sdk import _ballast, _signals
from orchestra.sdk._protocol import Event, describe_error, log_event, output_event, status_event
from orchestra.sdk._wrapped import leave_word, status_file
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import TaskCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from uuid import UUID

    from orchestra.sdk._courier import Route
    from orchestra.sdk._logs import Capture
    from orchestra.sdk._reporter import Reporter
    from orchestra.sdk._supervise import Supervision
    from orchestra.sdk._tickets import Ticket

__all__ = ["Run", "Scope", "current_run", "ending_of", "left_word", "run_in_context"]

logger = logging.getLogger(__name__)

_current: ContextVar[Run | None] = ContextVar("orchestra_run", default=None)


def current_run() -> Run | None:
    """The run that this code belongs to; None outside, and None in what a finished run left behind."""
    run = _current.get()
    return run if run is not None and run.active else None


def run_in_context() -> Run | None:
    """The run that this context was left in: maybe ended, maybe of the process it was forked from."""
    return _current.get()


def ending_of(error: BaseException | None, name: str, signum: int = 0) -> tuple[TaskRunStatus, str]:
    """The status and message that an ending stands for.

    Args:
        error: What ended it; None for a plain return.
        name: The function or block.
        signum: A signal that was seen shortly before, if any.

    Example:
        >>> ending_of(SystemExit(3), "load")
        (<TaskRunStatus.FAILED: 'FAILED'>, 'load failed. Error: SystemExit: exit code 3')
    """
    if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
        return TaskRunStatus.SUCCEEDED, f"{name} succeeded."
    because = f" ({_signals.signal_name(signum)})" if signum else ""
    if isinstance(error, SystemExit):
        code = f"exit code {error.code}" if isinstance(error.code, int) else str(error.code)[:250]
        return TaskRunStatus.FAILED, f"{name} failed. Error: SystemExit: {code}{because}"
    if isinstance(error, KeyboardInterrupt):
        return TaskRunStatus.CANCELLED, f"{name} cancelled. KeyboardInterrupt{because}"
    if isinstance(error, TaskCancelledError):
        return TaskRunStatus.CANCELLED, f"{name} cancelled. {error.message}"
    if isinstance(error, GeneratorExit):
        return TaskRunStatus.CANCELLED, f"{name} cancelled. It was closed before its end"
    if type(error).__name__ in {"CancelledError", "Cancelled"} and not isinstance(error, Exception):
        return TaskRunStatus.CANCELLED, f"{name} cancelled. {type(error).__name__}{because}"
    return TaskRunStatus.FAILED, f"{name} failed. Error: {describe_error(error)}{because}"


def left_word(path: str, status: TaskRunStatus, message: str | None) -> Ticket:
    """Leave the word for the command around this program; the ticket is settled at once."""
    from orchestra.sdk._protocol import Outcome, Verdict  # noqa: PLC0415
    from orchestra.sdk._tickets import Ticket  # noqa: PLC0415

    ticket = Ticket(terminal=True)
    done = leave_word(path, status, message)
    ticket.store(done)
    ticket.settle(Outcome(Verdict.ACCEPTED if done else Verdict.REFUSED))
    return ticket


class Run:
    """A task run from RUNNING to exactly one terminal status.

    Args:
        reporter: What sends.
        run_id: The task run, or None when nothing is to be reported.
        route: Where it is reported.
        name: The function or block, for messages.
        capture: Collects its logs; closed before the terminal status.
    """

    def __init__(
        self,
        reporter: Reporter,
        run_id: UUID | None,
        route: Route | None,
        name: str,
        capture: Capture | None = None,
    ) -> None:
        self.reporter = reporter
        self.run_id = run_id
        self.route = route
        self.name = name
        self.pid = os.getpid()
        self.capture = capture
        self.declared: tuple[TaskRunStatus, str] | None = None
        self.on_end: list[Callable[[], None]] = []
        self.cancel_requested = threading.Event()
        self._signum = 0
        self._final: Event | None = None
        self._ticket: Ticket | None = None
        self._supervision: Supervision | None = None
        self._word: tuple[TaskRunStatus, str | None] = (TaskRunStatus.FAILED, None)
        self._status_file = status_file(run_id)
        # Taking the one item is atomic, also against a signal handler in the same thread.
        self._right_to_end: deque[None] = deque([None])

    @property
    def active(self) -> bool:
        """Whether no terminal status was given yet, and this is the process that started the run."""
        return bool(self._right_to_end) and self.pid == os.getpid()

    def start(self) -> Ticket | None:
        """Report RUNNING; returns at once."""
        if self.run_id is None or self.route is None:
            return None
        _signals.guard(self)
        _ballast.take()
        if self._status_file is not None:
            return None  # the command around this program has reported RUNNING
        if self.reporter.options.supervise:
            self._supervise()
        if self.reporter.options.cancellable:
            self._watch_for_cancel(str(self.run_id))
        message = self.reporter.redact(f"{self.name} started.")
        event = status_event(self.run_id, TaskRunStatus.RUNNING, message)
        return self.reporter.courier.append(
            event, self.route, opened=self.name, heartbeat_s=self.reporter.options.heartbeat_s
        )

    def _watch_for_cancel(self, run_id: str) -> None:
        from orchestra.sdk._cancellation import CancelWatch  # noqa: PLC0415  opt-in

        watch = CancelWatch(self.reporter.api_key, run_id, self.cancel_requested)
        self.on_end.append(watch.stop)
        watch.start()

    def _supervise(self, *, signum: int = 0) -> None:
        from orchestra.sdk._supervise import Supervision  # noqa: PLC0415  opt-in

        assert self.route is not None
        self._supervision = Supervision(
            str(self.run_id),
            self.route,
            self.name,
            self.reporter.spool_folder,
            deliver_s=self.reporter.options.budgets.terminal_s,
            because=_signals.signal_name(signum) if signum else "",
        )

    def end(self, status: TaskRunStatus, message: str | None) -> Ticket | None:
        """Report the terminal status, after the logs; None when one was reported before."""
        if self.run_id is None or self.route is None or self.pid != os.getpid():
            return None
        try:
            self._right_to_end.pop()
        except IndexError:
            return None
        text = self.reporter.redact(message) if message else None
        self._final = status_event(self.run_id, status, text)
        self._word = (status, text)
        try:
            for callback in self.on_end:
                callback()
            self._send_logs()
        finally:
            # Also when Ctrl-C breaks into the lines above: the terminal status comes first in importance.
            ticket = self._send_final()
        self.reporter.forget(self)
        return ticket

    def _send_final(self) -> Ticket | None:
        if self._ticket is not None or self._final is None or self.route is None:
            return self._ticket
        if self._status_file is not None:
            self._ticket = left_word(self._status_file, *self._word)
        else:
            self._ticket = self.reporter.courier.append(self._final, self.route)
        return self._ticket

    def release(self) -> None:
        """Nobody waits for the end any more: signals go back to whom they belonged."""
        if self._supervision is not None and not self._right_to_end:
            self._supervision.done()
            self._supervision = None
        _signals.unguard(self)

    def end_with(self, error: BaseException | None) -> Ticket | None:
        """Report the end that ``error`` (or a plain return) stands for, or what was declared before."""
        status, message = self.declared or ending_of(error, self.name, self._signum)
        if isinstance(error, MemoryError):
            _ballast.drop(error)
        return self.end(status, message)

    def declare(self, status: TaskRunStatus, message: str) -> None:
        """Settle the terminal status that is sent when the run ends; the first one counts."""
        if self.declared is None:
            self.declared = (status, message or f"{self.name} {status.value.lower()}.")

    def output(self, name: str, value: object) -> Ticket | None:
        """Hand over an output; ``value`` is plain JSON."""
        if self.run_id is None or self.route is None:
            return None
        if not self._right_to_end:
            logger.warning("the output %r comes after the terminal status; the platform refuses it", name)
        return self.reporter.courier.append(output_event(self.run_id, name, value), self.route)

    def log(self, name: str, data: str) -> Ticket | None:
        """Hand over a log."""
        if self.run_id is None or self.route is None:
            return None
        return self.reporter.courier.append(
            log_event(self.run_id, name, self.reporter.redact(data)), self.route
        )

    def note_signal(self, signum: int) -> None:
        """A handler of the user decides what follows: it may also end the process without coming back here.

        Many clean up, put the default back and send themselves the signal again. Nothing in this process can report
        after that, so a watching process is started now.
        """
        self._signum = signum
        if self._supervision is None and self.active and self.route is not None and self._status_file is None:
            self._supervise(signum=signum)

    def end_by_signal(self, signum: int) -> Callable[[], object]:
        """Report that a signal ends the process."""
        name = _signals.signal_name(signum)
        status, message = self.declared or (TaskRunStatus.FAILED, f"{self.name} failed. Error: {name}")
        # Where the signal broke into a reported end, that end is completed and waited for instead.
        ticket = self.end(status, message) or self._send_final()
        if ticket is None:
            return lambda: None
        return lambda: ticket.settled_within(self.reporter.options.budgets.signal_s)

    def _send_logs(self) -> None:
        if self.run_id is None or self.route is None:
            return
        logs = self.capture.finish() if self.capture is not None else []
        for name, data in logs + self.reporter.take_logs():
            self.log(name, data)


class Scope:
    """Enters and leaves a run; a run inside a run of the same task joins it and reports nothing itself."""

    __slots__ = ("_joined", "_reraise", "_token", "run")

    def __init__(self, run: Run, *, joined: bool, reraise: bool) -> None:
        self.run = run
        self._joined = joined
        self._reraise = reraise
        self._token: object = None

    def enter(self) -> Ticket | None:
        """Become the current run of this context and report RUNNING."""
        self.resume()
        return None if self._joined else self.run.start()

    def resume(self) -> None:
        """Become the current run (again, after a generator's yield)."""
        self._token = _current.set(self.run)

    def pause(self) -> None:
        """Stop being the current run (for a generator's yield)."""
        if self._token is not None:
            _current.reset(self._token)  # type: ignore[arg-type]
            self._token = None

    def leave(self, error: BaseException | None) -> Ticket | None:
        """Report the end that ``error`` stands for."""
        self.pause()
        return None if self._joined else self.run.end_with(error)

    def leave_quickly(self, error: BaseException) -> None:
        """Report the end without waiting: the garbage collector may close a generator at any moment."""
        self.leave(error)
        self.release()

    def swallows(self, error: BaseException | None) -> bool:
        """Whether the exception ends here: only by request, and only an ordinary one."""
        return not self._reraise and not self._joined and isinstance(error, Exception)

    # The synchronous context manager; the asynchronous one waits in its own way.

    def __enter__(self) -> Run:
        ticket = self.enter()
        try:
            if ticket is not None:
                ticket.stored_within(self.run.reporter.options.budgets.accept_s)
        except BaseException as error:  # Ctrl-C before the body began: there is no exit without an enter
            self.leave_quickly(error)
            raise
        return self.run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        ticket = self.leave(error)
        try:
            if ticket is not None:
                self.run.reporter.courier.accepted(ticket)
        finally:
            self.release()
        return self.swallows(error)

    def release(self) -> None:
        """Give the signals back after the last wait."""
        if not self._joined:
            self.run.release()
