"""The statements of the SQLite store: what an accept, a record and a registration do in a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orca.orchestrator.errors import FencedError
from orca.orchestrator.store import statements
from orca.orchestrator.store.records import (
    OPEN,
    Accepted,
    InstanceRow,
    ProcessorRow,
    StoredNode,
    StoredValue,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from orca.orchestrator.model import Registration
    from orca.orchestrator.store.records import (
        Completion,
        FailedAttempt,
        NewRun,
        NewWindow,
        NodeRecord,
        PendingRun,
    )

__all__ = [
    "HISTORY",
    "PENDING",
    "accept",
    "begin_run",
    "finished_nodes",
    "record",
    "record_many",
    "register",
]

_ACCEPT = """
INSERT OR IGNORE INTO windows
  (type_id, time_from, time_to, origin, metadata, filter_key, digest, parent_id, created_ns, parent_exec, trace)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_RUN = """
INSERT INTO runs (window_id, plan_id, kind, state, priority, token, owner, created_ns, finished_ns,
  succeeded, failed, skipped)
VALUES (?, ?, 'emit', 0, ?, 1, '', ?, 0, 0, 0, 0)
"""
_KNOWN = "SELECT id FROM windows WHERE type_id = ? AND time_to = ? AND time_from = ? AND digest = ?"
_EXECUTION = """
INSERT INTO executions (run_id, algorithm_id, status, attempts, queued_ns, sent_ns, finished_ns, address,
  cause, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_RESULT = """
INSERT INTO results (algorithm_id, window_id, run_id, filter_key, time_from, time_to, kind, number, payload,
  created_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (algorithm_id, filter_key, time_to, window_id) DO UPDATE SET
  run_id = excluded.run_id, kind = excluded.kind, number = excluded.number, payload = excluded.payload,
  created_ns = excluded.created_ns
WHERE results.run_id <> excluded.run_id
"""
_ATTEMPT = """
INSERT INTO attempts (run_id, algorithm_id, attempt, sent_ns, ended_ns, address, cause, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_COMPLETE = "UPDATE runs SET state = ?, succeeded = ?, failed = ?, skipped = ?, finished_ns = ? WHERE id = ?"
_COMPLETE_HELD = f"{_COMPLETE} AND token = ? AND state = 0"
PENDING = """
SELECT r.id AS run_id, r.plan_id, r.priority, r.token, r.created_ns, w.id AS window_id, w.type_id,
  w.time_from, w.time_to, w.origin, w.metadata, w.filter_key, w.trace
FROM runs r JOIN windows w ON w.id = r.window_id
WHERE r.state = 0 ORDER BY r.priority DESC, r.id LIMIT ?
"""
HISTORY = """
SELECT r.kind, r.number, r.payload, w.id, w.type_id, w.time_from, w.time_to, w.origin, w.metadata,
  w.filter_key
FROM results r JOIN windows w ON w.id = r.window_id
WHERE r.algorithm_id = ? AND r.filter_key = ? AND r.time_to <= ? AND r.time_from < ?
  AND r.window_id <> ? {lower}
ORDER BY r.time_to DESC, r.window_id DESC LIMIT ? OFFSET ?
"""
_FINISHED = """
SELECT e.algorithm_id, e.status, r.kind, r.number, r.payload
FROM executions e LEFT JOIN results r ON r.window_id = ? AND r.algorithm_id = e.algorithm_id
WHERE e.run_id = ?
"""
_FIND_PROCESSOR = "SELECT id, set_version, definition FROM processors WHERE project = ? AND name = ?"
_NEW_PROCESSOR = """
INSERT INTO processors (project, name, set_version, runtime, definition, registered_ns)
VALUES (?, ?, 0, '', '', 0)
"""
_NEW_SET = """
UPDATE processors SET set_version = ?, runtime = ?, definition = ?, registered_ns = ? WHERE id = ?
"""
_REMEMBER_SET = """
INSERT INTO processor_history (processor_id, set_version, runtime, address, definition, registered_ns)
VALUES (?, ?, ?, ?, ?, ?)
"""
_INSTANCE = """
INSERT INTO instances (processor_id, address, set_version, features, seen_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (processor_id, address) DO UPDATE SET
  set_version = excluded.set_version, features = excluded.features, seen_ns = excluded.seen_ns
"""
_INSTANCES = (
    "SELECT address, set_version, features, seen_ns FROM instances WHERE processor_id = ? ORDER BY address"
)


def finished_nodes(reader: sqlite3.Connection, run_id: int, window_id: int) -> tuple[StoredNode, ...]:
    """What a run has already."""
    rows = reader.execute(
        _FINISHED,
        (window_id, run_id),
    ).fetchall()
    return tuple(
        StoredNode(row[0], row[1], None if row[2] is None else StoredValue(*row[2:])) for row in rows
    )


def accept(connection: sqlite3.Connection, window: NewWindow) -> Accepted:
    """Store a window and its run, or find the equal one that is there."""
    cursor = connection.execute(
        _ACCEPT,
        (
            window.type_id,
            window.time_from_ns,
            window.time_to_ns,
            window.origin,
            window.metadata,
            window.filter_key,
            window.digest,
            window.parent_id or None,
            window.created_ns,
            window.parent_exec,
            window.trace,
        ),
    )
    if cursor.rowcount == 0:
        key = (window.type_id, window.time_to_ns, window.time_from_ns, window.digest)
        window_id: int = connection.execute(_KNOWN, key).fetchone()[0]
        row = connection.execute("SELECT min(id) FROM runs WHERE window_id = ?", (window_id,)).fetchone()
        return Accepted(window_id, row[0] or 0, duplicate=True)
    window_id = cursor.lastrowid or 0
    if not window.plan_id:
        return Accepted(window_id, 0, duplicate=False)
    run = connection.execute(_RUN, (window_id, window.plan_id, window.priority, window.created_ns))
    return Accepted(window_id, run.lastrowid or 0, duplicate=False)


def begin_run(connection: sqlite3.Connection, run: NewRun) -> int:
    """Store a further run of a window with what it keeps."""
    made = (run.window_id, run.plan_id, run.kind, run.priority, 1, run.created_ns)
    run_id = connection.execute(statements.NEW_RUN, made).lastrowid or 0
    for sql, parameters in statements.kept(run, run_id):
        connection.execute(sql, tuple(parameters))
    return run_id


def record(
    connection: sqlite3.Connection,
    run: PendingRun,
    nodes: Sequence[NodeRecord],
    attempts: Sequence[FailedAttempt],
    completion: Completion | None,
) -> None:
    """Store what ended in a run, unless its token has changed.

    Raises:
        FencedError: The run is finished, or held by somebody else.
    """
    row = connection.execute("SELECT token, state FROM runs WHERE id = ?", (run.run_id,)).fetchone()
    if row is None or row[0] != run.token or row[1] != OPEN:
        raise FencedError(
            f"run {run.run_id} is no longer held with token {run.token}: the late result was refused"
        )
    for node in nodes:
        _record_node(connection, run, node)
    for entry in attempts:
        connection.execute(
            _ATTEMPT,
            (
                run.run_id,
                entry.algorithm_id,
                entry.attempt,
                entry.sent_ns,
                entry.ended_ns,
                entry.address,
                entry.cause,
                entry.error,
            ),
        )
    if completion is not None:
        connection.execute(
            _COMPLETE,
            (
                completion.state,
                completion.succeeded,
                completion.failed,
                completion.skipped,
                completion.finished_ns,
                run.run_id,
            ),
        )


def record_many(
    connection: sqlite3.Connection, items: Sequence[tuple[PendingRun, Sequence[NodeRecord], Completion]]
) -> None:
    """Store the ends of many runs with few statements.

    Raises:
        FencedError: One of them is not held any more; nothing may be kept of this transaction.
    """
    held = connection.executemany(
        _COMPLETE_HELD,
        [
            (end.state, end.succeeded, end.failed, end.skipped, end.finished_ns, run.run_id, run.token)
            for run, _, end in items
        ],
    )
    if held.rowcount != len(items):
        raise FencedError("one of several runs is no longer held")
    connection.executemany(
        _EXECUTION, [_execution_row(run, node) for run, nodes, _ in items for node in nodes]
    )
    connection.executemany(
        _RESULT,
        [
            _result_row(run, node, node.value)
            for run, nodes, _ in items
            for node in nodes
            if node.value is not None
        ],
    )


def _record_node(connection: sqlite3.Connection, run: PendingRun, node: NodeRecord) -> None:
    connection.execute(_EXECUTION, _execution_row(run, node))
    if node.value is not None:
        connection.execute(_RESULT, _result_row(run, node, node.value))


def _execution_row(run: PendingRun, node: NodeRecord) -> tuple[Any, ...]:
    # All of the record but its value, in the order of the columns.
    return (run.run_id, *node[:-1])


def _result_row(run: PendingRun, node: NodeRecord, value: StoredValue) -> tuple[Any, ...]:
    span = run.span
    return (
        node.algorithm_id,
        span.id,
        run.run_id,
        span.filter_key,
        span.time_from_ns,
        span.time_to_ns,
        int(value.kind),
        value.number,
        value.payload,
        node.finished_ns,
    )


def register(
    connection: sqlite3.Connection, registration: Registration, text: str, features: str, now_ns: int
) -> ProcessorRow:
    """Store a processor's set; a changed one becomes the next version and goes into the history."""
    key = (registration.processor.project, registration.processor.name)
    row = connection.execute(_FIND_PROCESSOR, key).fetchone()
    if row is None:
        cursor = connection.execute(
            _NEW_PROCESSOR,
            key,
        )
        row = (cursor.lastrowid or 0, 0, "")
    processor_id, set_version = int(row[0]), int(row[1])
    if row[2] != text:
        set_version += 1
        connection.execute(
            _NEW_SET,
            (set_version, registration.runtime, text, now_ns, processor_id),
        )
        connection.execute(
            _REMEMBER_SET,
            (processor_id, set_version, registration.runtime, registration.address, text, now_ns),
        )
    if registration.address:
        connection.execute(
            _INSTANCE,
            (processor_id, registration.address, set_version, features, now_ns),
        )
    instances = tuple(
        InstanceRow(*entry)
        for entry in connection.execute(
            _INSTANCES,
            (processor_id,),
        )
    )
    return ProcessorRow(processor_id, set_version, text, now_ns, instances)
