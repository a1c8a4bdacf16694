"""Collect the logs of one run, keep their end within a limit, and say what was left out."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Capture", "LogSpool", "SpoolHandler", "read_tail"]

logger = logging.getLogger(__name__)

LOG_BYTES_MAX = 1024 * 1024
"""The tail of a log that is sent; nobody documents a limit, and the last megabyte holds the traceback."""


def left_out(size_bytes: int) -> str:
    """The line that stands for what a limit took away; empty when it took nothing."""
    return f"[... {size_bytes:,} bytes before this were left out]\n" if size_bytes > 0 else ""


def _trim(data: bytes, bytes_max: int) -> bytes:
    """The last ``bytes_max`` bytes, from the beginning of a line where there is one."""
    if len(data) <= bytes_max:
        return data
    tail = data[-bytes_max:]
    newline = tail.find(b"\n", 0, bytes_max // 2)
    return tail[newline + 1 :]


def read_tail(path: Path, *, start: int = 0, bytes_max: int = LOG_BYTES_MAX) -> str:
    """The end of what a file holds after byte ``start``, as text whatever its encoding.

    Args:
        path: The file.
        start: Bytes that belong to earlier runs. A file that is shorter now was begun anew.
        bytes_max: The limit.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        begin = start if start <= size else 0
        # One byte more than allowed tells whether the cut falls on a line's beginning.
        file.seek(max(begin, size - bytes_max - 1))
        data = _trim(file.read(bytes_max + 1), bytes_max)
    return left_out(size - begin - len(data)) + data.decode("utf-8", "replace")


class LogSpool:
    """A private file that keeps the last ``bytes_max`` bytes written to it, in bounded space.

    Args:
        bytes_max: What is kept. The file grows to twice that and is then cut.
        folder: Where the file is; the system's temporary folder when left out.
    """

    def __init__(self, bytes_max: int = LOG_BYTES_MAX, *, folder: Path | None = None) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._left_out = 0
        self._size = 0
        # Unlinked by the system when the process ends in any way, and readable by nobody else.
        self._file = tempfile.TemporaryFile(dir=folder, prefix="orchestra-log-")  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        with self._lock:
            if self._file.closed:
                return
            if len(data) > self._bytes_max:
                self._left_out += len(data) - self._bytes_max
                data = data[-self._bytes_max :]
            if self._size + len(data) > 2 * self._bytes_max:
                self._cut()
            with suppress(OSError):  # a full disk must not fail the task's print
                self._file.write(data)
                self._size += len(data)

    def _cut(self) -> None:
        self._file.seek(0)
        tail = _trim(self._file.read(), self._bytes_max)
        self._left_out += self._size - len(tail)
        self._file.seek(0)
        self._file.truncate()
        with suppress(OSError):
            self._file.write(tail)
        self._size = len(tail)

    def text(self) -> str:
        """What is kept, after a line that says how much is not."""
        with self._lock:
            if self._file.closed:
                return ""
            if self._size > self._bytes_max:
                self._cut()
            self._file.seek(0)
            data = self._file.read()
            return left_out(self._left_out) + data.decode("utf-8", "replace")

    def take(self) -> str:
        """What is kept, and begin anew."""
        text = self.text()
        with self._lock:
            if not self._file.closed:
                self._file.seek(0)
                self._file.truncate()
            self._size = self._left_out = 0
        return text

    def close(self) -> None:
        """Delete the file."""
        with self._lock:
            self._file.close()


class SpoolHandler(logging.Handler):
    """A logging handler that writes into a `LogSpool`."""

    def __init__(self, spool: LogSpool, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._spool = spool
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._spool.write((self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001  logging's own rule: a bad record is reported, never raised
            self.handleError(record)


class _Tee(io.TextIOBase):
    """Passes text on and keeps a copy."""

    def __init__(self, inner: TextIO, spool: LogSpool) -> None:
        self.inner = inner
        self._spool = spool

    def write(self, text: str, /) -> int:
        self._spool.write(text.encode("utf-8", "backslashreplace"))
        self.inner.write(text)
        return len(text)

    def flush(self) -> None:
        # Also called when this object is collected, long after the stream below may be closed.
        if not getattr(self.inner, "closed", False):
            self.inner.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.inner.isatty()

    def fileno(self) -> int:
        return self.inner.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.inner.encoding


class Capture:
    """The logs of one run: new lines of a log file, and captured output and logging.

    Args:
        log_file: A file that the program writes; only what this run adds to it is sent.
        output: Also copy ``sys.stdout``, ``sys.stderr`` and the root logger.
        output_name: The log's name on the platform.
        bytes_max: The limit of each log.
    """

    def __init__(
        self,
        *,
        log_file: str | None,
        output: bool,
        output_name: str = "output.log",
        bytes_max: int = LOG_BYTES_MAX,
    ) -> None:
        self._log_file = log_file
        self._bytes_max = bytes_max
        self._output_name = output_name
        self._start = _size_of(log_file) if log_file else 0
        self._spool: LogSpool | None = None
        self._undo: list[Callable[[], None]] = []
        if output:
            self._spool = LogSpool(bytes_max)
            self._tee(self._spool)

    def _tee(self, spool: LogSpool) -> None:
        handler = SpoolHandler(spool)
        root = logging.getLogger()
        root.addHandler(handler)
        self._undo.append(lambda: root.removeHandler(handler))
        for name in ("stdout", "stderr"):
            inner = getattr(sys, name)
            if inner is None:  # a program without a console
                continue
            tee = _Tee(inner, spool)
            setattr(sys, name, tee)
            self._undo.append(functools.partial(_put_back, name, tee))

    def finish(self) -> list[tuple[str, str]]:
        """Stop collecting and return (name, text) of each log that has something in it."""
        for undo in self._undo:
            undo()
        self._undo.clear()
        logs: list[tuple[str, str]] = []
        if self._log_file is not None:
            logs += self._read_file(self._log_file)
        if self._spool is not None:
            logs.append((self._output_name, self._spool.text()))
            self._spool.close()
            self._spool = None
        return [(name, text) for name, text in logs if text]

    def _read_file(self, log_file: str) -> list[tuple[str, str]]:
        for handler in _handlers():
            with suppress(Exception):
                handler.flush()
        try:
            return [(log_file, read_tail(Path(log_file), start=self._start, bytes_max=self._bytes_max))]
        except OSError as error:
            logger.warning("the log file %s cannot be read (%s)", log_file, error.strerror)
            return []


def _put_back(name: str, tee: _Tee) -> None:
    if getattr(sys, name) is tee:
        setattr(sys, name, tee.inner)


def _handlers() -> list[logging.Handler]:
    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return [handler for log in known if isinstance(log, logging.Logger) for handler in log.handlers]


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0
