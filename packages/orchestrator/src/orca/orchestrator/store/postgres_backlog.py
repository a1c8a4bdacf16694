"""The backlog on PgQueuer: one job per open run, claimed by one replica, taken over when its lease ends.

A job's row is the lease: the replica that holds it touches it; a row that nobody touched for the length of the
lease is taken by whoever asks next. Taking a run changes its token, so whatever its former holder still records
is refused.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from orca.orchestrator.model import WindowSpan
from orca.orchestrator.store.postgres_link import SCHEMA, bare, is_passing, map_error
from orca.orchestrator.store.records import (
    RUN_FAILED,
    RUN_SUCCEEDED,
    PendingRun,
    StoredNode,
    StoredValue,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from orca.orchestrator.store.postgres_link import Connector, Link

__all__ = ["PostgresBacklog", "Queue"]

logger = logging.getLogger(__name__)

ENTRYPOINT = "run"
# Three touches fit into a lease: two may be lost.
BEATS_PER_LEASE = 4
# A job's priority is an int4.
PRIORITY_MAX = 2**31 - 1

_JOB_STATES = {RUN_SUCCEEDED: "successful", RUN_FAILED: "exception"}
# PgQueuer has no call that claims the jobs just made: a replica that has room begins them without asking again.
_CLAIM = """
UPDATE pgqueuer SET status = 'picked', queue_manager_id = $1, heartbeat = now(), updated = now()
WHERE id = ANY($2::bigint[])
"""
_RELEASE = """
UPDATE pgqueuer SET status = 'queued', queue_manager_id = NULL, updated = now()
WHERE id = ANY($2::bigint[]) AND queue_manager_id = $1
"""
_OPEN = """
SELECT r.id, r.token, r.owner, r.plan_id, r.priority, r.created_ns, w.id AS window_id, w.type_id,
  w.time_from, w.time_to, w.origin, w.metadata, w.filter_key, w.trace
FROM runs r JOIN windows w ON w.id = r.window_id
WHERE r.id = ANY($1::bigint[]) AND r.state = 0 ORDER BY r.id FOR NO KEY UPDATE OF r
"""
_TAKE = "UPDATE runs SET token = token + 1, owner = $2 WHERE id = ANY($1::bigint[])"
_FINISHED = """
SELECT e.run_id, e.algorithm_id, e.status, s.kind, s.number, s.payload
FROM executions e JOIN runs r ON r.id = e.run_id
LEFT JOIN results s ON s.window_id = r.window_id AND s.algorithm_id = e.algorithm_id
WHERE e.run_id = ANY($1::bigint[])
"""
_HELD = "SELECT id, token, owner, state FROM runs WHERE id = ANY($1::bigint[])"


class Queue:
    """PgQueuer on a connection of ours, so that its rows change in our transactions.

    Args:
        connector: Knows where PgQueuer is.
    """

    def __init__(self, connector: Connector) -> None:
        queries, drivers, settings, parameters = connector.queue_parts()
        # Every name is given: PgQueuer would otherwise look for each in the environment.
        names = settings.DBSettings(
            prefix="",
            db_schema=SCHEMA,
            channel="orca_queue",
            function="fn_pgqueuer_changed",
            statistics_table="pgqueuer_statistics",
            queue_status_type="pgqueuer_status",
            queue_table="pgqueuer",
            queue_table_log="pgqueuer_log",
            trigger="tg_pgqueuer_changed",
            schedules_table="pgqueuer_schedules",
            durability=settings.Durability.durable,
        )
        self._queries, self._driver = queries.Queries, drivers.AsyncpgDriver
        self._parts = {
            "qbe": queries.qb.QueryBuilderEnvironment(names),
            "qbq": queries.qb.QueryQueueBuilder(names),
            "qbs": queries.qb.QuerySchedulerBuilder(names),
        }
        self.entrypoints = {ENTRYPOINT: parameters.EntrypointExecutionParameter(0)}

    def on(self, connection: Any) -> Any:
        """The queries on one connection."""
        return self._queries(self._driver(connection), **self._parts)


@dataclass(slots=True)
class _Held:
    job_id: int
    token: int
    touched_s: float


class PostgresBacklog:
    """Open runs, of which this replica holds some.

    Args:
        queue: PgQueuer.
        link: The connection that takes and touches.
        owner: This replica.
        lease_s: How long a job stays this replica's without a touch.
        know_types: Makes sure that rows of window types have names here.
        on_taken: Is told of runs that this replica works on and no longer holds.
    """

    def __init__(
        self,
        queue: Queue,
        link: Link,
        *,
        owner: UUID,
        lease_s: float,
        know_types: Callable[[set[int]], Awaitable[None]],
        on_taken: Callable[[int], None],
    ) -> None:
        self._queue = queue
        self._link = link
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)
        self._know_types = know_types
        self._on_taken = on_taken
        self._held: dict[int, _Held] = {}

    @property
    def held(self) -> int:
        """How many runs this replica holds."""
        return len(self._held)

    # inside other transactions

    async def enqueue(self, connection: Any, runs: Sequence[tuple[int, int]]) -> list[int]:
        """Make a job for each (run, priority) in the open transaction; gives the jobs."""
        ids: list[int] = await self._queue.on(connection).enqueue(
            [ENTRYPOINT] * len(runs),
            [str(run_id).encode() for run_id, _ in runs],
            [max(-PRIORITY_MAX, min(priority, PRIORITY_MAX)) for _, priority in runs],
        )
        return ids

    async def claim(self, connection: Any, job_ids: Sequence[int]) -> None:
        """Make jobs this replica's in the transaction that made them."""
        await connection.execute(_CLAIM, self._owner, list(job_ids))

    async def finish(self, connection: Any, runs: Sequence[tuple[int, int]]) -> None:
        """End the jobs of (run, state) in the open transaction."""
        ended = [
            (SimpleNamespace(id=self._held[run_id].job_id), _JOB_STATES.get(state, "canceled"), None)
            for run_id, state in runs
            if run_id in self._held
        ]
        if ended:
            await self._queue.on(connection).log_jobs(ended)

    # after the commit

    def hold(self, run_id: int, job_id: int, token: int) -> None:
        """The claim is committed."""
        self._held[run_id] = _Held(job_id, token, time.monotonic())

    def drop(self, run_id: int, token: int) -> None:
        """The run is finished, or somebody else's; a newer claim of this replica's own stays."""
        held = self._held.get(run_id)
        if held is not None and held.token == token:
            del self._held[run_id]

    # by itself

    async def take(self, limit: int, active: Collection[int]) -> list[PendingRun]:
        """Open runs that nobody holds, or whose holder fell silent: highest priority and oldest first."""
        while limit > 0:
            jobs, runs = await self._take(limit, active)
            if runs or not jobs:
                # Jobs of runs that were cancelled or deleted are gone now: look behind them.
                return runs
        return []

    async def _take(self, limit: int, active: Collection[int]) -> tuple[int, list[PendingRun]]:
        try:
            async with self._link.use() as connection, connection.transaction():
                queries = self._queue.on(connection)
                found = await queries.dequeue(limit, self._queue.entrypoints, self._owner, None, self._lease)
                jobs = {int(job.payload): job for job in found}
                rows: list[Any] = await connection.fetch(_OPEN, list(jobs)) if jobs else []
                gone = [job for run_id, job in jobs.items() if run_id not in {row["id"] for row in rows}]
                if gone:
                    await queries.log_jobs([(job, "canceled", None) for job in gone])
                rows = [row for row in rows if not self._still_mine(row, active)]
                ids = [row["id"] for row in rows]
                if ids:
                    await connection.execute(_TAKE, ids, str(self._owner))
                finished: Any = await connection.fetch(_FINISHED, ids)
        except Exception as error:
            if is_passing(error):
                # Another replica records one of these runs at this moment.
                return 1, []
            raise map_error(error) from error
        await self._know_types({row["type_id"] for row in rows})
        for row in rows:
            if row["id"] in active:
                # It was taken from this replica and has come back: what runs here has an old token.
                self._on_taken(row["id"])
        return len(jobs), self._pending(rows, finished, jobs)

    def _still_mine(self, row: Mapping[str, Any], active: Collection[int]) -> bool:
        """Whether this replica works on the run already and was only slow to touch its job."""
        held = self._held.get(row["id"])
        mine = held is not None and held.token == row["token"] and row["owner"] in ("", str(self._owner))
        return mine and row["id"] in active

    def _pending(
        self, rows: Sequence[Any], finished: Sequence[Any], jobs: Mapping[int, Any]
    ) -> list[PendingRun]:
        done: dict[int, list[StoredNode]] = {}
        for run_id, algorithm_id, status, *value in finished:
            stored = None if value[0] is None else StoredValue(*value)
            done.setdefault(run_id, []).append(StoredNode(algorithm_id, status, stored))
        runs: list[PendingRun] = []
        for row in sorted(rows, key=lambda entry: (-entry["priority"], entry["id"])):
            token = row["token"] + 1
            self.hold(row["id"], jobs[row["id"]].id, token)
            span = WindowSpan(row["window_id"], row["time_from"], row["time_to"], row["filter_key"])
            runs.append(
                PendingRun(
                    row["id"],
                    row["plan_id"],
                    row["priority"],
                    token,
                    span,
                    row["type_id"],
                    row["origin"],
                    row["metadata"],
                    row["created_ns"],
                    tuple(done.get(row["id"], ())),
                    row["trace"],
                )
            )
        return runs

    async def give_back(self, run_id: int) -> None:
        """Let another replica have a run at once."""
        held = self._held.pop(run_id, None)
        if held is not None:
            try:
                await self._release([held.job_id])
            except Exception as error:  # noqa: BLE001 - it is not touched any more, so its lease ends
                logger.warning("run %d is given back when its lease ends: %s", run_id, bare(error))

    async def give_all_back(self) -> bool:
        """Let the other replicas have everything that is unfinished here; gives whether there was anything."""
        job_ids = [held.job_id for held in self._held.values()]
        self._held.clear()
        if job_ids:
            await self._release(job_ids)
        return bool(job_ids)

    async def _release(self, job_ids: list[int]) -> None:
        async with self._link.use() as connection:
            await connection.execute(_RELEASE, self._owner, job_ids)

    async def depth(self) -> int:
        """How many runs are open, here and elsewhere."""
        try:
            async with self._link.use() as connection:
                count: int = await connection.fetchval("SELECT count(*) FROM runs WHERE state = 0")
                return count
        except Exception as error:
            raise map_error(error) from error

    async def touch(self) -> list[int]:
        """Keep what is held; gives the runs that another replica has taken meanwhile."""
        now = time.monotonic()
        late_s = now - self._lease.total_seconds() / BEATS_PER_LEASE
        old = {run_id: held for run_id, held in self._held.items() if held.touched_s < late_s}
        if not old:
            return []
        async with self._link.use() as connection:
            rows = {row["id"]: row for row in await connection.fetch(_HELD, list(old))}
            mine = [held.job_id for run_id, held in old.items() if self._mine(rows.get(run_id), held.token)]
            await self._queue.on(connection).update_heartbeat(mine)
        lost: list[int] = []
        for run_id, held in old.items():
            if self._held.get(run_id) is not held:
                continue
            if self._mine(rows.get(run_id), held.token):
                held.touched_s = now
            else:
                del self._held[run_id]
                lost.append(run_id)
        return lost

    def _mine(self, row: Mapping[str, Any] | None, token: int) -> bool:
        return row is not None and row["token"] == token and row["owner"] == str(self._owner)

    async def tidy(self) -> None:
        """Forget PgQueuer's log of finished jobs: the runs themselves say more."""
        async with self._link.use() as connection:
            await self._queue.on(connection).clear_queue_log(ENTRYPOINT)
