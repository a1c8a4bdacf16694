"""Threads for synchronous algorithms: made when needed, kept, and replaced when one is lost to a call that hangs."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ABANDONED_MAX", "LanePool"]

ABANDONED_MAX: Final = 64
"""Threads that may hang in calls past their timeout, each with its stack; beyond that the processor says it is ill."""

IDLE_S: Final = 60.0
"""A thread without work ends after this long; a burst should not leave its threads for ever."""


class LanePool:
    """At most ``max_workers`` threads at work, not counting those that were given up.

    Args:
        max_workers: Threads at most.
        name: What the threads are called.
    """

    def __init__(self, max_workers: int, *, name: str = "orca-lane") -> None:
        self._max = max_workers
        self._name = name
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._abandoned: set[int] = set()
        self._idle = 0
        self._count = 0
        self._closed = False

    @property
    def abandoned(self) -> int:
        """How many threads hang in a call past its timeout."""
        return len(self._abandoned)

    @property
    def healthy(self) -> bool:
        """Whether threads that hang can still be replaced."""
        return len(self._abandoned) < ABANDONED_MAX

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` on a thread; it must not raise."""
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
            else:
                self._grow()

    def _grow(self) -> None:
        hanging = min(len(self._abandoned), ABANDONED_MAX)
        if len(self._threads) - hanging >= self._max or self._closed:
            return
        self._count += 1
        thread = threading.Thread(target=self._run, name=f"{self._name}-{self._count}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def abandon(self, thread_id: int) -> None:
        """Give a thread up: its call hangs, and another takes its place until it comes back."""
        with self._changed:
            self._abandoned.add(thread_id)
            if self._jobs and not self._idle:
                self._grow()

    def _run(self) -> None:
        mine = threading.get_ident()
        while True:
            with self._changed:
                if mine in self._abandoned:
                    # It came back; its substitute is there, so one of the two is too many.
                    self._abandoned.discard(mine)
                    break
                self._idle += 1
                self._changed.wait_for(lambda: self._jobs or self._closed, IDLE_S)
                self._idle -= 1
                if not self._jobs:
                    break
                job = self._jobs.popleft()
            job()
        with self._changed:
            self._threads.discard(threading.current_thread())
            if self._jobs and not self._idle:
                self._grow()

    def close(self) -> None:
        """Let threads end after their jobs; one that hangs does not keep the program alive."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
