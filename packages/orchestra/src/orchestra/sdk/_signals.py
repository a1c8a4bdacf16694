"""Report before a signal ends the process, then let it end exactly as it would have.

A handler of the user stays in charge: it is called, and what it does (raise, return, exit) decides how the
run ends. Where the default action would have ended the process, the runs are reported FAILED first, the
default is put back, and the process sends itself the signal again, so that its parent sees the same exit
status.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Signalled", "guard", "signal_name", "unguard"]

logger = logging.getLogger(__name__)

_GUARDED = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Signalled(Protocol):
    """A run that wants to know."""

    pid: int

    def note_signal(self, signum: int) -> None:
        """A signal arrived and a handler of the user decides what follows."""
        ...

    def end_by_signal(self, signum: int) -> Callable[[], object]:
        """Report the end now; the result waits for the delivery."""
        ...


_guarded: list[Signalled] = []
_previous: dict[int, Any] = {}


def signal_name(signum: int) -> str:
    """The signal's name, such as ``SIGTERM``.

    Example:
        >>> signal_name(15)
        'SIGTERM'
    """
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def guard(run: Signalled) -> None:
    """Watch over ``run``; only the main thread may set handlers, elsewhere this only adds the run."""
    _guarded.append(run)
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in _GUARDED:
        current = signal.getsignal(signum)
        if current is _handle or current is None or current == signal.SIG_IGN:
            continue  # ours already, not set from Python, or ignored on purpose (nohup)
        _previous[signum] = current
        signal.signal(signum, _handle)


def unguard(run: Signalled) -> None:
    """Stop watching; after the last run the handlers that were there before come back."""
    if run in _guarded:
        _guarded.remove(run)
    if _guarded or threading.current_thread() is not threading.main_thread():
        return
    for signum, previous in list(_previous.items()):
        if signal.getsignal(signum) is _handle:
            signal.signal(signum, previous)
        del _previous[signum]


def _handle(signum: int, frame: FrameType | None) -> None:
    previous = _previous.get(signum, signal.SIG_DFL)
    here = [run for run in list(_guarded) if run.pid == os.getpid()]
    if callable(previous):
        for run in here:
            run.note_signal(signum)
        previous(signum, frame)
        return
    for wait in [run.end_by_signal(signum) for run in here]:
        wait()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    # The first process of a container is never ended by a default action; it must go all the same.
    raise SystemExit(128 + signum)
