"""Group commit for PostgreSQL: all that is waiting goes into one transaction, and is told only after it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orca.orchestrator.errors import LimitError
from orca.orchestrator.failpoints import hit
from orca.orchestrator.store.postgres_link import is_lost, is_passing, map_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orca.orchestrator.store.port import Done
    from orca.orchestrator.store.postgres_link import Link

__all__ = ["GROUP_MAX", "WAITING_MAX", "Operation", "PostgresGroup"]

logger = logging.getLogger(__name__)

# Each statement takes the whole group as arrays: so many rows are sent and checked within some milliseconds.
GROUP_MAX = 500
# More than this waits only when the database stands still; then emitters must hear about it.
WAITING_MAX = 20_000
# A deadlock with another replica, or a connection that was cut before the commit, is tried again so often.
TRIES_MAX = 5
TRY_PAUSE_S = 0.1


@dataclass(slots=True, eq=False)
class Operation:
    """One thing to store.

    Attributes:
        kind: Names its failpoints: ``accept``, ``record``, ``register``.
        item: What the group's function understands.
        done: Is called after the commit with the value or the error.
        value: Its answer.
        error: Why this one, and not the transaction, failed.
    """

    kind: str
    item: Any
    done: Done
    value: Any = None
    error: Exception | None = None


class PostgresGroup:
    """One connection that writes.

    Args:
        link: The connection.
        perform: Stores many operations in the transaction that is open on a connection.
    """

    def __init__(self, link: Link, perform: Callable[[Any, Sequence[Operation]], Awaitable[None]]) -> None:
        self._link = link
        self._perform = perform
        self._waiting: deque[Operation] = deque()
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.get_running_loop().create_task(self._work())
        self.commits = 0

    def submit(self, kind: str, item: Any, done: Done) -> None:
        """Store ``item`` with the next group.

        Raises:
            LimitError: Too many operations wait already.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise LimitError(
                f"{WAITING_MAX} writes wait for the database", hint="emit more slowly, or check the database"
            )
        self._waiting.append(Operation(kind, item, done))
        self._idle.clear()
        self._wanted.set()

    async def run(self, kind: str, item: Any) -> Any:
        """`submit`, and wait for it."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(value: Any, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.submit(kind, item, done)
        return await future

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]
                await self._store(group)
                # While it waits for the next, it would keep all that the last ones who were told hold.
                del group
            self._wanted.clear()
            self._idle.set()

    async def _store(self, group: list[Operation]) -> None:
        failure: BaseException | None = None
        for tried in range(TRIES_MAX):
            committing: list[bool] = []
            try:
                await self._transact(group, committing)
            except Exception as error:  # noqa: BLE001 - told to whom it concerns, below
                failure = error
                if is_lost(error):
                    # What was cut in the middle of a commit may be stored: only its owner can know what to do.
                    if committing or tried == TRIES_MAX - 1:
                        break
                    await asyncio.sleep(TRY_PAUSE_S * tried)
                elif not is_passing(error):
                    break
            else:
                self.commits += 1
                self._tell(group, None)
                return
        if len(group) > 1 and failure is not None and not is_lost(failure):
            # One operation broke the transaction: each by itself, so that only the guilty one fails.
            for operation in group:
                await self._store([operation])
            return
        self._tell(group, None if failure is None else map_error(failure))

    async def _transact(self, group: list[Operation], committing: list[bool]) -> None:
        kinds = {operation.kind for operation in group}
        async with self._link.use() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                for operation in group:
                    operation.value = operation.error = None
                await self._perform(connection, group)
            except BaseException:
                with suppress(Exception):
                    await transaction.rollback()
                raise
            for kind in kinds:
                hit(f"{kind}.before_commit")
            committing.append(True)
            await transaction.commit()
            for kind in kinds:
                hit(f"{kind}.after_commit")

    def _tell(self, group: Sequence[Operation], error: BaseException | None) -> None:
        for operation in group:
            _tell_one(operation, error or operation.error)

    async def drain(self) -> None:
        """Wait until everything submitted has been told."""
        while self._waiting or self._wanted.is_set():
            await self._idle.wait()

    async def close(self) -> None:
        """End; call `drain` before."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._link.close()


def _tell_one(operation: Operation, error: BaseException | None) -> None:
    try:
        operation.done(None if error else operation.value, error)
    except Exception:
        # Whoever listens must not end the writing of everybody else.
        logger.exception("the end of an operation could not be told")
