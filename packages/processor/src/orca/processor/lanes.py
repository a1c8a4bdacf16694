"""Threads for synchronous algorithms: made when needed, kept, and replaced when one is lost to a call that hangs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
from queue import Empty, SimpleQueue

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
        # The queue of C code: a condition of Python code would cost more than a quick algorithm.
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._abandoned: set[int] = set()
        self._came_back: set[int] = set()  # threads that left their calls before they were given up
        self._open = 0  # jobs that wait or run, without those of abandoned threads
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

    def submit(self, job: Callable[[], object]) -> None:
        """Run ``job`` on a thread; it must not raise, and returns False when `abandon` is or will be called for it."""
        with self._lock:
            self._open += 1
            self._grow()
        self._jobs.put(job)

    def _grow(self) -> None:
        """One more thread, when there is work for it and room."""
        working = len(self._threads) - min(len(self._abandoned), ABANDONED_MAX)
        if self._open <= working or working >= self._max or self._closed:
            return
        self._count += 1
        thread = threading.Thread(target=self._run, name=f"{self._name}-{self._count}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def abandon(self, thread_id: int) -> None:
        """Give a thread up: its call hangs, and another takes its place until it comes back."""
        with self._lock:
            if thread_id in self._came_back:
                # It may be at another call already.
                self._came_back.discard(thread_id)
                return
            self._abandoned.add(thread_id)
            self._open -= 1
            self._grow()

    def _run(self) -> None:
        mine = threading.get_ident()
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except Empty:
                job = None
            ran, given_up = job is not None, False
            if job is not None:
                given_up = job() is False
                job = None  # an idle thread would keep the whole call, with its windows and results, alive
            with self._lock:
                if mine in self._abandoned:
                    # It came back; its substitute is there, so one of the two is too many.
                    self._abandoned.discard(mine)
                    ran = False
                elif ran:
                    self._open -= 1
                    if given_up:
                        self._came_back.add(mine)
                elif not self._jobs.empty() and not self._closed:
                    continue  # a job came in the very moment of giving up waiting
                if not ran:
                    self._threads.discard(threading.current_thread())
                    self._grow()
                    return

    def close(self) -> None:
        """Let threads end after their jobs; one that hangs does not keep the program alive."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
