"""Rows of the store as messages of the query service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orca.orchestrator.execution import Status
from orca.orchestrator.store.records import RUN_STATES
from orca.processor import wire_query as q

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orca.orchestrator.active import ActiveRun
    from orca.orchestrator.links import Link
    from orca.orchestrator.model import AlgorithmRef, Registration, WindowTypeRef
    from orca.orchestrator.planner import Plan
    from orca.orchestrator.scheduler import StoredSchedule
    from orca.orchestrator.store.records import ProcessorRow

__all__ = [
    "annotation_row",
    "processor_row",
    "ref",
    "result_row",
    "run_detail",
    "run_row",
    "schedule_row",
    "window_row",
]


def ref(source: AlgorithmRef | WindowTypeRef | Sequence[str]) -> q.Ref:
    """Name and version."""
    return q.Ref(name=source[0], version=source[1])


def value_of(kind: int, number: float | None, payload: bytes | None) -> q.ResultValue:
    """A stored result; an array stays as it is stored."""
    if kind == 2:
        return q.ResultValue(number=float("nan") if number is None else number)
    if kind == 3:
        return q.ResultValue(array=payload or b"")
    if kind == 1:
        return q.ResultValue(json=(payload or b"{}").decode())
    return q.ResultValue(none=True)


def window_row(row: Mapping[str, Any]) -> q.WindowRow:
    """A window with the state of its latest run."""
    return q.WindowRow(
        id=row["id"],
        window_type=q.Ref(name=row["type_name"], version=row["type_version"]),
        time_from_ns=row["time_from"],
        time_to_ns=row["time_to"],
        origin=row["origin"],
        metadata=row["metadata"],
        parent_id=row["parent_id"] or 0,
        created_ns=row["created_ns"],
        state="none" if row["run_id"] is None else RUN_STATES[row["state"]],
        run_id=row["run_id"] or 0,
        parent_exec_id=row["parent_exec"],
    )


def run_row(row: Mapping[str, Any]) -> q.RunRow:
    """A run."""
    return q.RunRow(
        id=row["id"],
        window_id=row["window_id"],
        window_type=q.Ref(name=row["type_name"], version=row["type_version"]),
        time_from_ns=row["time_from"],
        time_to_ns=row["time_to"],
        metadata=row["metadata"],
        origin=row["origin"],
        kind=row["kind"],
        state=RUN_STATES[row["state"]],
        priority=row["priority"],
        created_ns=row["created_ns"],
        finished_ns=row["finished_ns"],
        succeeded=row["succeeded"],
        failed=row["failed"],
        skipped=row["skipped"],
    )


def result_row(row: Mapping[str, Any]) -> q.ResultRow:
    """A result with its window."""
    return q.ResultRow(
        algorithm=q.Ref(name=row["name"], version=row["version"]),
        window_id=row["window_id"],
        run_id=row["run_id"],
        window_type=q.Ref(name=row["type_name"], version=row["type_version"]),
        time_from_ns=row["time_from"],
        time_to_ns=row["time_to"],
        origin=row["origin"],
        metadata=row["metadata"],
        value=value_of(row["kind"], row["number"], row["payload"]),
        created_ns=row["created_ns"],
    )


def run_detail(
    run: Mapping[str, Any],
    executions: Sequence[Mapping[str, Any]],
    attempts: Sequence[Mapping[str, Any]],
    *,
    plan: Plan,
    active: ActiveRun | None,
) -> q.RunDetail:
    """A run with each algorithm: what is stored, and for an open run what happens now."""
    stored = {(row["name"], row["version"]): row for row in executions}
    detail = q.RunDetail(run=run_row(run))
    for node in plan.nodes:
        row = stored.get((node.ref.name, node.ref.version))
        one = detail.executions.add(
            algorithm=ref(node.ref),
            processor=str(node.processor),
            depends_on=[ref(entry.algorithm) for entry in node.inputs],
        )
        if row is not None:
            _fill_execution(one, row)
        elif active is not None:
            one.status = active.state.statuses[node.index].name.lower()
            one.attempts = active.state.attempts[node.index]
            one.queued_ns = active.queued_ns[node.index]
        else:
            one.status = "cancelled" if run["state"] == 3 else "waiting"
        _fill_attempts(one, (entry for entry in attempts if (entry["name"], entry["version"]) == node.ref))
    return detail


def _fill_execution(one: q.ExecutionRow, row: Mapping[str, Any]) -> None:
    one.status = Status(row["status"]).name.lower()
    one.attempts = row["attempts"]
    one.queued_ns = row["queued_ns"]
    one.sent_ns = row["sent_ns"]
    one.finished_ns = row["finished_ns"]
    one.address = row["address"]
    one.cause = row["cause"]
    one.error = row["error"]
    if row["kind"] is not None:
        one.value.CopyFrom(value_of(row["kind"], row["number"], row["payload"]))


def _fill_attempts(one: q.ExecutionRow, attempts: Iterable[Mapping[str, Any]]) -> None:
    for entry in attempts:
        one.failed_attempts.add(
            attempt=entry["attempt"],
            sent_ns=entry["sent_ns"],
            ended_ns=entry["ended_ns"],
            address=entry["address"],
            cause=entry["cause"],
            error=entry["error"],
        )


def processor_row(
    registration: Registration, row: ProcessorRow | None, link: Link | None, *, registered_ns: int
) -> q.ProcessorRow:
    """A processor with its instances as they are now."""
    message = q.ProcessorRow(
        name=registration.processor.name,
        project=registration.processor.project,
        runtime=registration.runtime,
        set_version=row.set_version if row is not None else 0,
        registered_ns=registered_ns,
    )
    for entry in registration.algorithms:
        message.algorithms.add(
            algorithm=ref(entry.ref),
            window_type=ref(entry.window_type.ref),
            description=entry.description,
            result_type=entry.result_kind.name,
            depends_on=[ref(one.algorithm) for one in entry.dependencies],
        )
    for instance in link.instances.values() if link is not None else ():
        message.instances.add(
            address=instance.address,
            state=instance.state,
            seen_ns=instance.seen_ns,
            in_flight=len(instance.calls),
            detail=instance.detail,
            features=",".join(sorted(instance.features)),
        )
    return message


def schedule_row(stored: StoredSchedule) -> q.ScheduleRow:
    """A schedule with where it stands."""
    one = stored.schedule
    return q.ScheduleRow(
        name=one.name,
        window_type=q.Ref(name=one.window_type, version=one.window_version),
        cron=one.cron,
        every_ns=one.every_ns,
        length_ns=one.length_ns,
        timezone=one.timezone,
        origin=one.origin,
        metadata=one.metadata,
        catch_up=one.catch_up,
        priority=one.priority,
        paused=stored.paused,
        next_ns=stored.next_ns,
        last_ns=stored.last_ns,
    )


def annotation_row(row: Mapping[str, Any]) -> q.AnnotationRow:
    """A note."""
    return q.AnnotationRow(
        id=row["id"],
        time_from_ns=row["time_from"],
        time_to_ns=row["time_to"],
        description=row["description"],
        metadata=row["metadata"],
        algorithms=[ref(entry) for entry in json.loads(row["algorithms"])],
        window_types=[ref(entry) for entry in json.loads(row["window_types"])],
        created_ns=row["created_ns"],
    )
