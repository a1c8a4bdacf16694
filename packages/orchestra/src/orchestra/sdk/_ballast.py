"""Room to report in when a job has taken all memory.

A MemoryError means that no more address space is to be had (a limit of the process or of the system). Reporting needs
some: modules that were not loaded yet, a connection, buffers. So from its first run on, a process has a stretch of it
set aside, without a page behind it, and gives it back when a run ends by a MemoryError.
"""

from __future__ import annotations

import mmap
import traceback
from contextlib import suppress

__all__ = ["drop", "take"]

BYTES = 48 * 1024 * 1024
"""The HTTP stack with TLS maps about half of this; the rest is for a thread's heap."""

_held: list[mmap.mmap] = []


def take() -> None:
    """Set the room aside, unless it is already; where there is none, nothing is lost."""
    if not _held:
        with suppress(OSError, ValueError, MemoryError):
            private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
            _held.append(mmap.mmap(-1, BYTES, **private))


def drop(error: MemoryError) -> None:
    """Give it back, and what the failed functions held: the traceback would keep that alive."""
    while _held:
        _held.pop().close()
    traceback.clear_frames(error.__traceback__)
