"""What a group of accepts and a group of records do in a transaction of PostgreSQL: arrays, not rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orca.orchestrator.errors import FencedError, OutdatedPlanError, StoreError
from orca.orchestrator.execution import Status
from orca.orchestrator.store.postgres_link import clean
from orca.orchestrator.store.records import OPEN, RUN_STATES, Accepted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orca.orchestrator.model import AlgorithmRef, WindowTypeRef
    from orca.orchestrator.store.postgres_backlog import PostgresBacklog
    from orca.orchestrator.store.postgres_group import Operation
    from orca.orchestrator.store.postgres_news import Event
    from orca.orchestrator.store.records import (
        Completion,
        FailedAttempt,
        NewWindow,
        NodeRecord,
        PendingRun,
    )

__all__ = ["RESULTS_LOCK", "Record", "Window", "accept", "record"]

RESULTS_LOCK = (7_215_500, 1)
"""Held (shared) by every transaction that stores results, so that readers know which rows may still appear."""

_REGISTRY = "SELECT coalesce(sum(set_version), 0)::bigint FROM processors"
_WINDOWS = """
INSERT INTO windows (type_id, time_from, time_to, origin, metadata, filter_key, digest, parent_id, created_ns,
  parent_exec, trace)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[],
  $8::bigint[], $9::bigint[], $10::text[], $11::text[])
ON CONFLICT (type_id, time_to, time_from, digest) DO NOTHING
RETURNING id, type_id, time_to, time_from, digest
"""
_KNOWN = """
SELECT w.id, w.type_id, w.time_to, w.time_from, w.digest,
  (SELECT min(r.id) FROM runs r WHERE r.window_id = w.id) AS run_id
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) AS k (type_id, time_to, time_from, digest)
JOIN windows w USING (type_id, time_to, time_from, digest)
"""
_RUNS = """
INSERT INTO runs (window_id, plan_id, kind, state, priority, token, owner, created_ns, finished_ns, succeeded,
  failed, skipped)
SELECT k.window_id, k.plan_id, 'emit', 0, k.priority, k.token, k.owner, k.created_ns, 0, 0, 0, 0
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[]) WITH ORDINALITY
  AS k (window_id, plan_id, priority, token, owner, created_ns, place)
ORDER BY k.place
RETURNING id, window_id
"""
# Taking the lock first and in the order of the rows: two replicas never wait for each other.
_FENCE = """
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2, $3))
SELECT r.id, r.token FROM runs r, locked WHERE r.id = ANY($1::bigint[]) AND r.state = 0
ORDER BY r.id FOR NO KEY UPDATE OF r
"""
_EXECUTIONS = """
INSERT INTO executions (run_id, algorithm_id, status, attempts, queued_ns, sent_ns, finished_ns, address, cause,
  error)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[],
  $7::bigint[], $8::text[], $9::text[], $10::text[])
ON CONFLICT DO NOTHING
"""
_RESULTS = """
INSERT INTO results (algorithm_id, window_id, run_id, filter_key, time_from, time_to, kind, number, payload,
  created_ns)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],
  $7::smallint[], $8::double precision[], $9::bytea[], $10::bigint[])
ON CONFLICT (algorithm_id, filter_key, time_to, window_id) DO UPDATE SET
  run_id = excluded.run_id, kind = excluded.kind, number = excluded.number, payload = excluded.payload,
  created_ns = excluded.created_ns
WHERE results.run_id <> excluded.run_id
"""
_ATTEMPTS = """
INSERT INTO attempts (run_id, algorithm_id, attempt, sent_ns, ended_ns, address, cause, error)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[],
  $7::text[], $8::text[])
ON CONFLICT DO NOTHING
"""
_COMPLETE = """
UPDATE runs SET state = k.state, succeeded = k.succeeded, failed = k.failed, skipped = k.skipped,
  finished_ns = k.finished_ns
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
  AS k (id, state, succeeded, failed, skipped, finished_ns)
WHERE runs.id = k.id
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A window to accept; with ``claim`` this replica begins its run."""

    window: NewWindow
    claim: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What ended in a run."""

    run: PendingRun
    nodes: Sequence[NodeRecord]
    attempts: Sequence[FailedAttempt]
    completion: Completion | None


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _key(window: NewWindow) -> tuple[int, int, int, bytes]:
    return (window.type_id, window.time_to_ns, window.time_from_ns, window.digest)


async def accept(
    connection: Any,
    operations: Sequence[Operation],
    *,
    backlog: PostgresBacklog,
    owner: str,
    name: Callable[[int], WindowTypeRef],
    tell: Callable[[Any, Sequence[Event]], Awaitable[None]],
) -> None:
    """Store windows, their runs and the runs' jobs; each operation's value is (accepted, job)."""
    present: int = await connection.fetchval(_REGISTRY)
    planned: list[Operation] = []
    for operation in operations:
        if operation.item.window.registry == present:
            planned.append(operation)
        else:
            operation.error = OutdatedPlanError("registrations have changed since the window was planned")
    if not planned:
        return
    ids, known = await _store_windows(connection, [operation.item.window for operation in planned])
    fresh: list[Operation] = []
    for operation in planned:
        window: NewWindow = operation.item.window
        key = _key(window)
        if key in ids:
            # The first of several equal windows in one group is the new one.
            window_id = ids.pop(key)
            known[key] = (window_id, 0)
            operation.value = (Accepted(window_id, 0, duplicate=False, token=0), 0)
            if window.plan_id:
                fresh.append(operation)
    await _store_runs(connection, fresh, known, backlog=backlog, owner=owner)
    for operation in planned:
        if operation.value is None:
            found = known.get(_key(operation.item.window))
            if found is None:
                operation.error = StoreError(
                    "the equal window was deleted at this moment", hint="emit it again"
                )
            else:
                operation.value = (Accepted(*found, duplicate=True, token=0), 0)
    await tell(connection, _accept_events(planned, name))


def _accept_events(operations: Sequence[Operation], name: Callable[[int], WindowTypeRef]) -> list[Event]:
    events: list[Event] = []
    waits = False
    for operation in operations:
        if operation.value is None or operation.value[0].duplicate:
            continue
        accepted: Accepted = operation.value[0]
        window_id, run_id = accepted.window_id, accepted.run_id
        detail = {"window_id": window_id, "type": str(name(operation.item.window.type_id))}
        events.append(("window", detail))
        if accepted.token:
            events.append(("run", {"run_id": run_id, "window_id": window_id, "state": "started"}))
        waits = waits or bool(run_id and not accepted.token)
    return [("wake", {}), *events] if waits else events


async def _store_windows(
    connection: Any, windows: Sequence[NewWindow]
) -> tuple[dict[tuple[int, int, int, bytes], int], dict[tuple[int, int, int, bytes], tuple[int, int]]]:
    """New windows by key, and known ones with their first run."""
    # In the order of the key, so that two replicas with the same windows never wait for each other.
    rows = [
        (
            one.type_id,
            one.time_from_ns,
            one.time_to_ns,
            clean(one.origin),
            one.metadata,
            one.filter_key,
            one.digest,
            one.parent_id or None,
            one.created_ns,
            clean(one.parent_exec),
            clean(one.trace),
        )
        for one in sorted(windows, key=_key)
    ]
    found = await connection.fetch(_WINDOWS, *_columns(rows))
    ids = {(row["type_id"], row["time_to"], row["time_from"], row["digest"]): row["id"] for row in found}
    left = [key for key in {_key(one) for one in windows} if key not in ids]
    known: dict[tuple[int, int, int, bytes], tuple[int, int]] = {}
    if left:
        for row in await connection.fetch(_KNOWN, *_columns(left)):
            key = (row["type_id"], row["time_to"], row["time_from"], row["digest"])
            known[key] = (row["id"], row["run_id"] or 0)
    return ids, known


async def _store_runs(
    connection: Any,
    fresh: Sequence[Operation],
    known: dict[tuple[int, int, int, bytes], tuple[int, int]],
    *,
    backlog: PostgresBacklog,
    owner: str,
) -> None:
    if not fresh:
        return
    rows = [
        (
            operation.value[0].window_id,
            operation.item.window.plan_id,
            operation.item.window.priority,
            int(operation.item.claim),
            owner if operation.item.claim else "",
            operation.item.window.created_ns,
        )
        for operation in fresh
    ]
    run_ids = {row["window_id"]: row["id"] for row in await connection.fetch(_RUNS, *_columns(rows))}
    runs = [(run_ids[row[0]], row[2]) for row in rows]
    jobs = await backlog.enqueue(connection, runs)
    claimed = [job for job, operation in zip(jobs, fresh, strict=True) if operation.item.claim]
    if claimed:
        await backlog.claim(connection, claimed)
    for operation, (run_id, _), job in zip(fresh, runs, jobs, strict=True):
        window_id, token = operation.value[0].window_id, int(operation.item.claim)
        operation.value = (Accepted(window_id, run_id, duplicate=False, token=token), job)
        known[_key(operation.item.window)] = (window_id, run_id)


async def record(
    connection: Any,
    operations: Sequence[Operation],
    *,
    backlog: PostgresBacklog,
    name: Callable[[int], AlgorithmRef],
    tell: Callable[[Any, Sequence[Event]], Awaitable[None]],
) -> None:
    """Store what ended in runs, but nothing of a run that is finished or held by somebody else."""
    ids = list({operation.item.run.run_id for operation in operations})
    tokens = {row["id"]: row["token"] for row in await connection.fetch(_FENCE, ids, *RESULTS_LOCK)}
    held: list[Record] = []
    for operation in operations:
        run = operation.item.run
        if tokens.get(run.run_id) == run.token:
            held.append(operation.item)
        else:
            operation.error = FencedError(
                f"run {run.run_id} is no longer held with token {run.token}: the late result was refused"
            )
    await _store_nodes(connection, held)
    await _store_ends(connection, held, backlog)
    await tell(connection, _events(held, name))


async def _store_nodes(connection: Any, records: Sequence[Record]) -> None:
    executions = [
        (
            entry.run.run_id,
            node.algorithm_id,
            node.status,
            node.attempts,
            node.queued_ns,
            node.sent_ns,
            node.finished_ns,
            clean(node.address),
            clean(node.cause),
            clean(node.error),
        )
        for entry in records
        for node in entry.nodes
    ]
    if executions:
        await connection.execute(_EXECUTIONS, *_columns(executions))
    results: dict[tuple[int, int], tuple[Any, ...]] = {}
    for entry in records:
        span, run_id = entry.run.span, entry.run.run_id
        for node in entry.nodes:
            if node.value is None:
                continue
            key = (node.algorithm_id, span.id)
            if key in results and results[key][2] == run_id:
                # One statement cannot store one row twice; the first of a run is the one that counts.
                continue
            results[key] = (
                node.algorithm_id,
                span.id,
                run_id,
                span.filter_key,
                span.time_from_ns,
                span.time_to_ns,
                int(node.value.kind),
                node.value.number,
                node.value.payload,
                node.finished_ns,
            )
    if results:
        await connection.execute(_RESULTS, *_columns([results[key] for key in sorted(results)]))


async def _store_ends(connection: Any, records: Sequence[Record], backlog: PostgresBacklog) -> None:
    attempts = [
        (
            entry.run.run_id,
            one.algorithm_id,
            one.attempt,
            one.sent_ns,
            one.ended_ns,
            clean(one.address),
            clean(one.cause),
            clean(one.error),
        )
        for entry in records
        for one in entry.attempts
    ]
    if attempts:
        await connection.execute(_ATTEMPTS, *_columns(attempts))
    ends = [
        (entry.run.run_id, end.state, end.succeeded, end.failed, end.skipped, end.finished_ns)
        for entry in records
        if (end := entry.completion) is not None
    ]
    if ends:
        await connection.execute(_COMPLETE, *_columns(ends))
        await backlog.finish(connection, [(run_id, state) for run_id, state, *_ in ends])


def _events(records: Sequence[Record], name: Callable[[int], AlgorithmRef]) -> list[Event]:
    events: list[Event] = []
    for entry in records:
        run_id, window_id = entry.run.run_id, entry.run.span.id
        for node in entry.nodes:
            detail = {
                "run_id": run_id,
                "window_id": window_id,
                "algorithm": str(name(node.algorithm_id)),
                "status": Status(node.status).name.lower(),
            }
            events.append(("execution", detail))
        if entry.completion is not None and entry.completion.state != OPEN:
            state = RUN_STATES[entry.completion.state]
            events.append(("run", {"run_id": run_id, "window_id": window_id, "state": state}))
    return events
