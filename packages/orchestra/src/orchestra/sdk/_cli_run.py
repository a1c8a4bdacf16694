"""``orchestra run -- PROGRAM``: any program as a task run.

The program runs whatever the reporting service does, keeps its standard streams, gets every signal, and its exit
status is the exit status of the command. If it dies by a signal, so does the command.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from orca.common.errors import UsageError
from orca.common.terminal import use_color
from orchestra.sdk._logs import LogSpool
from orchestra.sdk._signals import signal_name
from orchestra.sdk._wrapped import STATUS_VARIABLE, WRAPPED_VARIABLE, read_word
from orchestra.sdk.client import OrchestraSDK
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import OutputError
from orchestra.sdk.limits import Budgets

if TYPE_CHECKING:
    import argparse
    from types import FrameType

    from orchestra.sdk._run import Run
    from orchestra.sdk._tickets import Ticket

__all__ = ["ending_of_program", "parse_outputs", "run"]

OUTPUT_VARIABLE = "ORCHESTRA_OUTPUT"
OUTPUT_BYTES_MAX = 8 * 1024 * 1024
"""Outputs are small results; what a file holds beyond this is not read."""
FORWARDED = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGINT")
FROM_TERMINAL = ("SIGINT", "SIGQUIT")
"""A terminal sends these to the program itself; forwarding would make two of one."""
EXIT_NOT_FOUND = 127
EXIT_NOT_EXECUTABLE = 126
CLOSE_S = 0.5
"""At the end, for an event that is on its way; everything undelivered is in the outbox."""
SIGNALS_S = 0.25
"""How late a signal can be forwarded that comes in the one moment in which nothing is interrupted by it."""
NEWS_S = 10.0
"""How often to say that the final status is still on its way."""
PIPES_S = 2.0
"""How long to read on after the program's end: a child it left behind may hold the pipe for ever."""


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status of the program."""
    program = list(options.program)
    if program[:1] == ["--"]:
        program = program[1:]
    if not program:
        raise UsageError("there is no program to run", hint="orchestra run -- python job.py")
    level = logging.CRITICAL if options.quiet else logging.WARNING
    logging.basicConfig(level=level, format="orchestra: %(message)s")
    sdk = OrchestraSDK(
        budgets=budgets(), quiet=True, heartbeat_s=options.heartbeat, supervise=options.supervise
    )
    code = _Wrapped(sdk, program, options).run()
    if code < 0:
        _die_by(-code)
    return code


def budgets() -> Budgets:
    """The usual budgets; ORCHESTRA_TERMINAL_BUDGET_S shortens the wait for the final status.

    Raises:
        UsageError: The variable is no number.
    """
    text = os.environ.get("ORCHESTRA_TERMINAL_BUDGET_S", "")
    try:
        return Budgets(terminal_s=float(text)) if text else Budgets()
    except ValueError:
        raise UsageError(f"ORCHESTRA_TERMINAL_BUDGET_S is {text!r}, not a number of seconds") from None


def _die_by(signum: int) -> None:
    """End as the program did, so that a shell or a scheduler sees the same."""
    sys.stdout.flush()
    sys.stderr.flush()
    if signum not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signum, signal.SIG_DFL)
    with suppress(ImportError):
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's core dump is enough
    os.kill(os.getpid(), signum)
    raise SystemExit(128 + signum)  # the first process of a container does not die of it


def parse_outputs(text: str) -> tuple[dict[str, Any], list[str]]:
    r"""Read output lines: ``NAME=VALUE``, or ``NAME<<END`` and the lines up to ``END``.

    A value that is JSON is taken as what it says; anything else is text.

    Returns:
        The outputs, and what could not be understood.

    Example:
        >>> parse_outputs('rows=42\npath=/tmp/x\nbad line\n')
        ({'rows': 42, 'path': '/tmp/x'}, ['bad line'])
    """
    outputs: dict[str, Any] = {}
    faults: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip():
            continue
        name, separator, value = line.partition("=")
        before, heredoc, end = line.partition("<<")
        if heredoc and end.strip() and len(before) < len(name):
            block: list[str] = []
            for inner in lines:
                if inner == end.strip():
                    break
                block.append(inner)
            outputs[before.strip()] = "\n".join(block)
        elif separator and name.strip():
            outputs[name.strip()] = _value(value.strip())
        else:
            faults.append(line)
    return outputs, faults


def _value(text: str) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text


def ending_of_program(
    code: int, name: str, *, warn_exits: list[int], word: tuple[TaskRunStatus, str] | None, interrupted: bool
) -> tuple[TaskRunStatus, str]:
    """The status and message of a program's end.

    Args:
        code: Its exit status; negative for a signal.
        name: What messages call it.
        warn_exits: Exit codes that mean WARNING.
        word: What the program itself reported through the SDK, if it did.
        interrupted: Whether Ctrl-C was seen.

    Example:
        >>> ending_of_program(-9, "job", warn_exits=[], word=None, interrupted=False)[1]
        'job failed. Error: SIGKILL (killed, or out of memory)'
    """
    if code == 0:
        return word or (TaskRunStatus.SUCCEEDED, f"{name} succeeded.")
    if word is not None and word[0] is not TaskRunStatus.SUCCEEDED:
        return word
    if code in warn_exits:
        return TaskRunStatus.WARNING, f"{name} ended with exit code {code}."
    if interrupted and code in {-signal.SIGINT, 128 + signal.SIGINT}:
        return TaskRunStatus.CANCELLED, f"{name} cancelled. KeyboardInterrupt"
    if code < 0:
        more = " (killed, or out of memory)" if code == -9 else ""
        return TaskRunStatus.FAILED, f"{name} failed. Error: {signal_name(-code)}{more}"
    return TaskRunStatus.FAILED, f"{name} failed. Error: exit code {code}"


class _Wrapped:
    """One program under the command's care."""

    def __init__(self, sdk: OrchestraSDK, program: list[str], options: argparse.Namespace) -> None:
        self._sdk = sdk
        self._program = program
        self._options = options
        self._name = options.name or Path(program[0]).name
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._interrupted = False
        self._handlers: dict[int, Any] = {}
        self._outputs = 0
        self._started_s = time.monotonic()
        self._log = LogSpool()

    def run(self) -> int:
        """Run the program and report it; return its exit status, negative for a signal."""
        self._forward_signals()
        scope = self._sdk.begin(self._name)
        run = scope.run
        ticket = scope.enter()
        if ticket is not None:
            ticket.stored_within(1.0)
        if run.run_id is None:
            self._say("not configured: the program runs, and nothing is reported")
        else:
            self._say(f"RUNNING {self._name}, task run {run.run_id}")
        folder = Path(tempfile.mkdtemp(prefix="orchestra-run-"))
        try:
            code, problem = self._execute(run, folder)
            self._send_results(run, folder)
            word = read_word(str(folder / "status"))
            status, message = ending_of_program(
                code, self._name, warn_exits=self._options.warn_exit, word=word, interrupted=self._interrupted
            )
            if problem:
                message = f"{self._name} failed. Error: {problem}"
            self._wait(run.end(status, message), status, code)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            scope.pause()
            run.release()
            self._log.close()
            self._sdk.close(CLOSE_S)
            for signum, handler in self._handlers.items():
                signal.signal(signum, handler)
        return code

    # -- the program ------------------------------------------------------------

    def _execute(self, run: Run, folder: Path) -> tuple[int, str]:
        for name in ("output", "status"):
            (folder / name).touch(mode=0o600)
        environment = {**os.environ, OUTPUT_VARIABLE: str(folder / "output")}
        if run.run_id is not None:
            environment[STATUS_VARIABLE] = str(folder / "status")
            environment[WRAPPED_VARIABLE] = str(run.run_id)
        pipe = None if self._options.no_logs else subprocess.PIPE
        try:
            process = subprocess.Popen(  # noqa: S603  running what was asked for is the whole purpose
                self._program, env=environment, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            problem = f"{self._program[0]}: {error.strerror}"
            self._say(problem, always=True)
            return EXIT_NOT_FOUND if isinstance(error, FileNotFoundError) else EXIT_NOT_EXECUTABLE, problem
        self._process = process
        for signum in self._early:
            process.send_signal(signum)
        pumps = [
            threading.Thread(target=self._pump, args=(source, target), daemon=True)
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
            if source is not None
        ]
        for pump in pumps:
            pump.start()
        code = self._wait_for_program(process)
        end_s = time.monotonic() + PIPES_S
        for pump in pumps:
            pump.join(max(end_s - time.monotonic(), 0.0))
        for source, pump in zip((process.stdout, process.stderr), pumps, strict=False):
            if source is not None and not pump.is_alive():
                source.close()
        return code, ""

    @staticmethod
    def _wait_for_program(process: subprocess.Popen[bytes]) -> int:
        """The exit status. A signal that comes right before a wait without end would be handled after it."""
        ended = threading.Event()

        def wait() -> None:
            process.wait()
            ended.set()

        threading.Thread(target=wait, name="orchestra-program", daemon=True).start()
        while not ended.wait(SIGNALS_S):
            pass
        return process.wait()

    def _pump(self, source: IO[bytes], target: Any) -> None:
        out = getattr(target, "buffer", None)
        while True:
            try:
                data = os.read(source.fileno(), 65_536)
            except (OSError, ValueError):
                return
            if not data:
                return
            self._log.write(data)
            if out is None:
                target.write(data.decode("utf-8", "replace"))
                target.flush()
                continue
            try:
                out.write(data)
                out.flush()
            except OSError:
                out = open(os.devnull, "wb")  # noqa: SIM115, PTH123  nobody reads it; the program goes on

    # -- results ---------------------------------------------------------------

    def _send_results(self, run: Run, folder: Path) -> None:
        if run.run_id is None:
            return
        text = _read(folder / "output")
        if self._options.output_file:
            text += "\n" + _read(Path(self._options.output_file))
        outputs, faults = parse_outputs(text)
        for fault in faults[:5]:
            self._say(f"not an output line (NAME=VALUE): {run.reporter.redact(fault)[:80]!r}")
        for name, value in outputs.items():
            try:
                run.reporter.output(name, value, run=run)
                self._outputs += 1
            except OutputError as error:  # noqa: PERF203  one bad output must not take the others along
                self._say(error.message)
        log = self._log.text()
        if log:
            run.log("output.log", log)

    def _wait(self, ticket: Ticket | None, status: TaskRunStatus, code: int) -> None:
        took = f"{time.monotonic() - self._started_s:.1f} s"
        ended = f"exit code {code}" if code >= 0 else signal_name(-code)
        summary = f"{status.value} after {took}, {ended}"
        if self._outputs:
            summary += f", {self._outputs} output{'s' if self._outputs > 1 else ''}"
        if ticket is None:
            self._say(summary)
            return
        if not ticket.settled_within(1.0):
            self._say(f"{summary}; delivering the final status ...")
        with suppress(KeyboardInterrupt):
            end_s = time.monotonic() + self._sdk.terminal_budget_s
            while (left_s := end_s - time.monotonic()) > 0 and not ticket.settled_within(min(NEWS_S, left_s)):
                self._say(f"the receiver does not take it yet; {max(left_s - NEWS_S, 0.0):.0f} s left ...")
        if ticket.delivered_within(0.0):
            self._say(f"{summary}; reported")
        elif ticket.settled.done():
            self._say(
                f"{summary}; refused: {ticket.settled.result().reason} (orchestra outbox dead)", always=True
            )
        else:
            self._say(f"{summary}; NOT delivered yet (orchestra outbox flush)", always=True)

    def _say(self, text: str, *, always: bool = False) -> None:
        if self._options.quiet and not always:
            return
        dim, end = ("\x1b[2m", "\x1b[0m") if use_color(sys.stderr) else ("", "")
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{dim}orchestra: {text}{end}\n")
            sys.stderr.flush()

    # -- signals ------------------------------------------------------------------

    def _forward_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for name in FORWARDED:
            signum = getattr(signal, name, None)
            if signum is not None and signal.getsignal(signum) != signal.SIG_IGN:
                self._handlers[signum] = signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, _: FrameType | None) -> None:
        if signum == signal.SIGINT:
            self._interrupted = True
        process = self._process
        if process is None:
            self._early.append(signum)
        elif process.poll() is not None:
            if signum in {signal.SIGINT, signal.SIGTERM}:
                raise KeyboardInterrupt  # nothing runs any more: stop waiting for the delivery
        elif signal_name(signum) not in FROM_TERMINAL or not _in_foreground():
            with suppress(ProcessLookupError):
                process.send_signal(signum)


def _in_foreground() -> bool:
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
