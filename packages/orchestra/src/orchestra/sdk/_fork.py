"""What must not be under way in another thread at the moment of a fork.

Only the forking thread goes on in the child. A lock that another thread held then (of a module under import, of the C
library's resolver) is held there for ever, and the first thread of the child that needs it stands still.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Forked", "Gate", "import_gate", "resolver_gate", "tell"]


class Gate:
    """A section that a fork waits for.

    Args:
        wait_s: How long a fork waits at most; then it goes on, and the child takes its chance.
    """

    __slots__ = ("_held", "_lock", "_wait_s")

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        # Re-entrant: a signal handler may report while the interrupted code was importing.
        self._lock = threading.RLock()
        self._held = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def before_fork(self) -> None:
        """Wait until no other thread is inside."""
        self._held = self._lock.acquire(timeout=self._wait_s)

    def after_fork_in_parent(self) -> None:
        """Let the others in again."""
        if self._held:
            self._held = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Open: whoever was inside does not exist here."""
        self._held = False
        self._lock = threading.RLock()


import_gate = Gate(wait_s=30.0)
"""Held while a thread imports. A module whose import was under way can never be imported in the child, so a fork
waits; the limit only stands against an import that itself waits for the forking thread."""
resolver_gate = Gate(wait_s=0.2)
"""Held while a host name is looked up: locks of the C library. A name server that hangs must not hold a fork."""


class Forked(Protocol):
    """Who must get ready for a fork."""

    def before_fork(self) -> None:
        """Hold still; the gates are closed."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Start anew."""
        ...


_told: list[Iterable[Forked]] = []
_ready: list[Forked] = []


def tell(those: Iterable[Forked]) -> None:
    """Tell each of ``those`` that is alive then of every fork, while no thread is inside a gate."""
    _told.append(those)


def _before() -> None:
    import_gate.before_fork()
    resolver_gate.before_fork()
    # The same ones hear of the end: what is made in between belongs to the other side of the fork alone.
    _ready[:] = [one for those in _told for one in list(those)]
    for one in _ready:
        one.before_fork()


def _after_in_parent() -> None:
    for one in _ready:
        one.after_fork_in_parent()
    _ready.clear()
    resolver_gate.after_fork_in_parent()
    import_gate.after_fork_in_parent()


def _after_in_child() -> None:
    resolver_gate.after_fork_in_child()
    import_gate.after_fork_in_child()
    for one in _ready:
        one.after_fork_in_child()
    _ready.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
