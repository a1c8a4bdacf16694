"""Group commit for SQLite: all that is waiting goes into one transaction, and is told only after the sync.

The statements run on the event loop's thread, a few microseconds each; the commit, which waits for the disk,
runs in a thread of its own. While it waits, the next group gathers.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from orca.orchestrator.errors import LimitError, StoreError, StoreFullError
from orca.orchestrator.failpoints import hit

__all__ = ["GROUP_MAX", "WAITING_MAX", "GroupCommit", "map_error"]

logger = logging.getLogger(__name__)

# At most so many operations per transaction: about 2 ms of statements, so that the loop stays responsive.
GROUP_MAX = 128
# More than this waits only when the disk stands still; then emitters must hear about it.
WAITING_MAX = 20_000
# Another process may hold the write lock for a moment (a backup, a read-only shell never does).
BUSY_TRIES = 200
BUSY_PAUSE_S = 0.02

Apply = Callable[[sqlite3.Connection], Any]
Bulk = Callable[[sqlite3.Connection, list[Any]], None]
Done = Callable[[Any, "BaseException | None"], None]


@dataclass(slots=True)
class _Operation:
    kind: str
    apply: Apply
    done: Done
    bulk: Bulk | None = None
    item: Any = None
    value: Any = None


def map_error(error: Exception) -> Exception:
    """Turn an error of sqlite3 into one of ours; others pass."""
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and ("is full" in text or "disk I/O" in text):
        return StoreFullError(
            f"the store has no space left ({text})", hint="free space on the disk; nothing is lost"
        )
    if isinstance(error, sqlite3.Error):
        return StoreError(f"the store failed: {text}")
    return error


class GroupCommit:
    """One writing connection, shared by everybody on the loop.

    Args:
        connection: Opened with ``isolation_level=None`` and ``check_same_thread=False``.
        loop: The loop that `submit` is called on.
    """

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._waiting: deque[_Operation] = deque()
        self._busy = False
        self._planned = False
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._orders: SimpleQueue[list[_Operation] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._commits, name="orca-commit", daemon=True)
        self._thread.start()
        self._busy_tries = 0
        self.commits = 0

    def submit(
        self, kind: str, apply: Apply, done: Done, *, bulk: Bulk | None = None, item: Any = None
    ) -> None:
        """Run ``apply`` in the next transaction and tell ``done(value, error)`` on the loop after its sync.

        Args:
            kind: Names the commit's failpoints.
            apply: Carries it out.
            done: Is told.
            bulk: Carries out many at once, given their items: a group's share of these comes last. When it
                raises, each is applied alone.
            item: What ``bulk`` gets for this one.

        Raises:
            LimitError: Too many operations wait already.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise LimitError(
                f"{WAITING_MAX} writes wait for the disk", hint="emit more slowly, or check the disk"
            )
        self._waiting.append(_Operation(kind, apply, done, bulk, item))
        self._idle.clear()
        if not self._busy and not self._planned:
            # Everything that the loop still has to hand out in this turn joins the group.
            self._planned = True
            self._loop.call_soon(self._begin)

    async def run(self, kind: str, apply: Apply) -> Any:
        """`submit`, and wait for it."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(value: Any, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.submit(kind, apply, done)
        return await future

    def _begin(self) -> None:
        self._planned = False
        if self._busy or not self._waiting:
            return
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            self._waiting.extendleft(reversed(group))
            self._begin_later(error)
            return
        except Exception as error:  # noqa: BLE001 - told to whom it concerns
            self._tell(group, map_error(error))
            return
        self._busy_tries = 0
        self._busy = True
        try:
            self._apply(group)
        except Exception as error:  # noqa: BLE001 - told to whom it concerns, below
            self._rollback()
            self._alone(group, error)
            return
        self._commit(group)

    def _apply(self, group: list[_Operation]) -> None:
        together: dict[Bulk, list[Any]] = {}
        for operation in group:
            if operation.bulk is None:
                operation.value = operation.apply(self._connection)
            else:
                together.setdefault(operation.bulk, []).append(operation.item)
        for bulk, items in together.items():
            bulk(self._connection, items)

    def _begin_later(self, error: sqlite3.OperationalError) -> None:
        self._busy_tries += 1
        if "locked" in str(error) and self._busy_tries <= BUSY_TRIES:
            self._planned = True
            self._loop.call_later(BUSY_PAUSE_S, self._begin)
            return
        self._busy_tries = 0
        failed, self._waiting = list(self._waiting), deque()
        self._tell(failed, map_error(error))

    def _alone(self, group: list[_Operation], error: Exception) -> None:
        """One operation broke the transaction: run each by itself, so that only the guilty one fails."""
        if len(group) == 1:
            self._busy = False
            self._tell(group, map_error(error))
            return
        good: list[_Operation] = []
        guilty: set[int] = set()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for operation in group:
                if self._single(operation):
                    good.append(operation)
                else:
                    guilty.add(id(operation))
        except Exception as whole:  # noqa: BLE001 - told to everybody who has not heard yet
            # SQLite itself ended the transaction, as it does when the disk is full.
            self._rollback()
            self._busy = False
            self._tell([entry for entry in group if id(entry) not in guilty], map_error(whole))
            return
        self._commit(good)

    def _single(self, operation: _Operation) -> bool:
        self._connection.execute("SAVEPOINT one")
        try:
            operation.value = operation.apply(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            self._loop.call_soon(operation.done, None, map_error(error))
            return False
        self._connection.execute("RELEASE one")
        return True

    def _rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # Whoever waits is told why the transaction failed, and the next one why it cannot begin.
            logger.exception("a failed transaction could not be rolled back")

    def _commit(self, group: list[_Operation]) -> None:
        for kind in {operation.kind for operation in group}:
            hit(f"{kind}.before_commit")
        self._orders.put(group)

    def _commits(self) -> None:
        """The committing thread: one group after the other, until `close`."""
        while True:
            group = self._orders.get()
            if group is None:
                return
            error: Exception | None = None
            try:
                self._connection.execute("COMMIT")
            except Exception as raised:  # noqa: BLE001 - told to whom it concerns, on the loop
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._committed, group, error)
            except RuntimeError:
                logger.debug("the loop ended before a commit could be told")
                return
            # While it waits for the next, it would keep all that the last ones who were told hold.
            del group, error

    def _committed(self, group: list[_Operation], error: Exception | None) -> None:
        self._busy = False
        if error is not None:
            self._rollback()
            self._tell(group, map_error(error))
            return
        self.commits += 1
        for kind in {operation.kind for operation in group}:
            hit(f"{kind}.after_commit")
        if self._waiting:
            # The next group goes to the disk while this one is being told.
            self._begin()
        for operation in group:
            _tell_one(operation, None)
        self._settle()

    def _tell(self, group: list[_Operation], error: BaseException) -> None:
        for operation in group:
            _tell_one(operation, error)
        if self._waiting and not self._planned:
            self._planned = True
            self._loop.call_soon(self._begin)
        self._settle()

    def _settle(self) -> None:
        if not self._busy and not self._waiting:
            self._idle.set()

    async def drain(self) -> None:
        """Wait until everything submitted has been told."""
        while self._busy or self._waiting:
            await self._idle.wait()

    def close(self) -> None:
        """End the thread; call `drain` before."""
        self._orders.put(None)
        self._thread.join()


def _tell_one(operation: _Operation, error: BaseException | None) -> None:
    try:
        operation.done(None if error else operation.value, error)
    except Exception:
        # Whoever listens must not keep the others of the group from hearing of their end.
        logger.exception("the end of an operation could not be told")
