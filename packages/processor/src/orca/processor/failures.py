"""What a failed result says: the error, the user's own frame with its line, the SDK's frames left out."""

from __future__ import annotations

import linecache
import traceback
from typing import TYPE_CHECKING, Any, Final

from orca.processor.annotations import InputError
from orca.processor.errors import ConversionError
from orca.processor.executors import RemoteTraceback, WorkerLost

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["TRACE_CHARS_MAX", "describe", "skipped", "timed_out", "unknown"]

TRACE_CHARS_MAX: Final = 20_000
"""A traceback that is longer is cut in its middle: a recursion error has megabytes of it."""

MESSAGE_CHARS_MAX: Final = 4_000

_LOST: Final = frozenset({"BrokenProcessPool", "BrokenThreadPool", "KilledWorker", "WorkerCrashedError"})
"""How the standard library, Dask and Ray name the end of the process that ran a call."""


def describe(error: BaseException, *, skip_file: str = "") -> dict[str, Any]:
    """All that is known of an error that an algorithm raised, ready to be sent.

    Args:
        error: What was raised.
        skip_file: The SDK's own file, whose frames are of no interest.
    """
    frame = _last_frame(error.__traceback__, skip_file)
    kind = "raised"
    if isinstance(error, InputError):
        kind = "input"
    elif isinstance(error, ConversionError):
        kind = "result"
    elif isinstance(error, WorkerLost) or type(error).__name__ in _LOST:
        kind = "lost"
    remote = error.__cause__
    trace = remote.text if isinstance(remote, RemoteTraceback) else _trace(error, skip_file)
    details: dict[str, Any] = {
        "kind": kind,
        "type": type(error).__name__,
        "message": _cut(_text(error), MESSAGE_CHARS_MAX),
        "stack_trace": _cut(trace, TRACE_CHARS_MAX),
    }
    if frame is not None:
        file, line, function = frame
        details |= {"file": file, "line": line, "function": function}
        details["source"] = linecache.getline(file, line).strip()
    return details


def _text(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return type(error).__name__


def _last_frame(trace: TracebackType | None, skip_file: str) -> tuple[str, int, str] | None:
    found = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != skip_file:
            found = (code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found


def _trace(error: BaseException, skip_file: str) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == skip_file:
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception:  # noqa: BLE001 - formatting calls the user's __str__ and __repr__
        return type(error).__name__


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - limit} characters left out ...\n{text[-half:]}"


def timed_out(timeout_s: float) -> dict[str, Any]:
    """The algorithm ran longer than it may."""
    text = f"no result within {timeout_s:g} s"
    return {"kind": "timeout", "type": "TimeoutError", "message": text}


def skipped(cause: str) -> dict[str, Any]:
    """What it depends on failed in the same call."""
    return {"kind": "skipped", "type": "Skipped", "message": f"{cause} failed", "cause": cause}


def unknown(full_name: str, processor: str) -> dict[str, Any]:
    """No such algorithm here."""
    text = f"processor '{processor}' has no algorithm {full_name}"
    return {"kind": "unknown", "type": "LookupError", "message": text}


def too_large(size_bytes: int, limit_bytes: int) -> dict[str, Any]:
    """The result does not fit into a message."""
    text = f"the result has {size_bytes:,} bytes, and the limit is {limit_bytes:,}"
    hint = "; store it elsewhere and return where it is"
    return {"kind": "too_large", "type": "ResultTooLarge", "message": text + hint}


def cancelled() -> dict[str, Any]:
    """Its executor dropped it."""
    return {"kind": "cancelled", "type": "CancelledError", "message": "the execution was cancelled"}
