"""Requests of the client and what their answers mean: one description for the sync and the async client."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orca.processor import wire
from orca.processor import wire_query as q
from orca.processor.convert import processor_from_wire, window_to_wire
from orca.processor.model import Window
from orca.processor.records import (
    Annotation,
    CoreState,
    Emitted,
    Execution,
    ResultRow,
    Run,
    Schedule,
    WindowRow,
)
from orca.processor.structs import struct_dict, to_struct
from orca.processor.times import TimeLike, datetime_of, ns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orca.processor._method import Method

__all__ = ["EMIT_MANY_MAX", "Call", "emit", "emitted", "row_of", "run_of"]

EMIT_MANY_MAX: Final = 1000
"""Windows in one EmitMany call: large enough that the call costs nothing, small enough to be far below 50 MB."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is ready to be sent.

    Attributes:
        method: Where it goes.
        request: The message.
        read: Makes the value of a response message.
        metadata: Invocation metadata beside the token.
        repeatable: The call may be sent again after any failure, because doing it twice is doing it once.
    """

    method: Method[Any, Any]
    request: Any
    read: Callable[[Any], Any]
    metadata: tuple[tuple[str, str], ...] = ()
    repeatable: bool = True


def emit(
    window: Window, *, force: bool, priority: int, parent: Mapping[str, str] | None, key: str | None
) -> Call:
    """One window, over the wire that every core understands."""
    metadata: list[tuple[str, str]] = list((parent or {}).items())
    if force:
        metadata.append((wire.FORCE_KEY, "1"))
    if priority:
        metadata.append((wire.PRIORITY_KEY, str(priority)))
    if key:
        metadata.append((wire.IDEMPOTENCY_KEY, key))
    # A forced window has no key that would make the second one a no-op.
    return Call(
        wire.OrcaCore.EmitWindow,
        window_to_wire(window),
        lambda reply: reply,
        tuple(metadata),
        repeatable=not force,
    )


def emitted(reply: wire.WindowEmitStatus, trailing: Mapping[str, str]) -> Emitted:
    """The answer to :func:`emit`; only our core sends the trailing metadata."""
    names = {
        wire.WindowEmitStatus.PROCESSING_TRIGGERED: "PROCESSING_TRIGGERED",
        wire.WindowEmitStatus.NO_TRIGGERED_ALGORITHMS: "NO_TRIGGERED_ALGORITHMS",
    }
    return Emitted(
        status=names.get(reply.status, "TRIGGERING_FAILED"),
        window_id=_int(trailing.get(wire.WINDOW_ID_KEY, "0")),
        duplicate=trailing.get(wire.DUPLICATE_KEY) == "1",
    )


def _int(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def emit_many(windows: Iterable[Window], *, force: bool, priority: int) -> Call:
    """Many windows in one call of our core."""
    rows = [
        q.EmitWindow(
            window_type=q.Ref(name=one.name, version=one.version),
            time_from_ns=one.from_ns,
            time_to_ns=one.to_ns,
            origin=one.origin,
            metadata=_json(one.metadata),
            force=force,
            priority=priority,
        )
        for one in windows
    ]
    return Call(q.OrcaQuery.EmitMany, q.EmitManyRequest(windows=rows), _emitted_many, repeatable=not force)


def _emitted_many(reply: q.EmitManyResponse) -> list[Emitted]:
    return [
        Emitted(
            status="PROCESSING_TRIGGERED" if one.run_id else "NO_TRIGGERED_ALGORITHMS",
            window_id=one.window_id,
            duplicate=one.duplicate,
            run_id=one.run_id,
        )
        for one in reply.emitted
    ]


def _json(mapping: Mapping[str, Any] | None) -> str:
    """The JSON of metadata, in the same form that it takes through a Struct: the same window has one key."""
    if not mapping:
        return ""
    return json.dumps(struct_dict(to_struct(mapping)), sort_keys=True, ensure_ascii=False)


def _object(text: str) -> dict[str, Any]:
    return json.loads(text) if text else {}


def _ref(name: str | None, version: str | None) -> q.Ref | None:
    """A reference; ``Mean_1.0.0`` is understood as name and version."""
    if name is None:
        return None
    if version is None and "_" in name:
        name, _, version = name.rpartition("_")
    return q.Ref(name=name, version=version or "")


def _range(since: TimeLike | None, until: TimeLike | None) -> q.Range:
    return q.Range(from_ns=0 if since is None else ns_of(since), to_ns=0 if until is None else ns_of(until))


def _value(message: q.ResultValue) -> Any:
    kind = message.WhichOneof("value")
    if kind == "number":
        return message.number
    if kind == "array":
        values = array("d")
        values.frombytes(message.array)
        return values.tolist()
    return json.loads(message.json) if kind == "json" else None


def _when(ns: int) -> Any:
    return datetime_of(ns) if ns else None


def _window(row: Any) -> Window:
    return Window.unchecked(
        row.time_from_ns,
        row.time_to_ns,
        row.window_type.name,
        row.window_type.version,
        row.origin,
        _object(row.metadata),
    )


def run_of(message: q.RunDetail) -> Run:
    """The run of an answer."""
    row = message.run
    return Run(
        id=row.id,
        window_id=row.window_id,
        window=_window(row),
        state=row.state,
        executions=tuple(_execution(one) for one in message.executions),
        created=_when(row.created_ns),
        finished=_when(row.finished_ns),
    )


def _execution(row: q.ExecutionRow) -> Execution:
    return Execution(
        name=row.algorithm.name,
        version=row.algorithm.version,
        processor=row.processor,
        status=row.status,
        value=_value(row.value),
        error=_object(row.error),
        cause=row.cause,
        attempts=row.attempts,
        duration_s=(row.finished_ns - row.sent_ns) / 1e9 if row.finished_ns and row.sent_ns else None,
    )


def window_id(window: Emitted | int) -> int:
    """The id of a window that was emitted."""
    return window if isinstance(window, int) else window.window_id


def expose(exclude_project: str) -> Call:
    """All registered processors."""
    return Call(
        wire.OrcaCore.Expose,
        wire.ExposeSettings(exclude_project=exclude_project),
        lambda state: [processor_from_wire(one) for one in state.processors],
    )


def get_run(*, run_id: int, window_id: int, watch: bool) -> Call:
    """One run, now or at each change."""
    method = q.OrcaQuery.WatchRun if watch else q.OrcaQuery.GetRun
    return Call(method, q.GetRunRequest(id=run_id, window_id=window_id), run_of)


def runs(
    *, state: str, window_type: str | None, version: str | None, since: TimeLike | None, limit: int
) -> Call:
    """The latest runs, without their executions."""
    request = q.ListRunsRequest(
        state=state,
        window_type=_ref(window_type, version),
        since_ns=0 if since is None else ns_of(since),
        limit=limit,
    )
    return Call(q.OrcaQuery.ListRuns, request, lambda row: run_of(q.RunDetail(run=row)))


def results(
    algorithm: str,
    version: str | None,
    *,
    since: TimeLike | None = None,
    until: TimeLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    limit: int = 0,
    newest_first: bool = False,
    window_id: int = 0,
    follow: bool = False,
) -> Call:
    """Results of one algorithm."""
    request = q.ReadResultsRequest(
        algorithm=_ref(algorithm, version),
        range=_range(since, until),
        metadata=_json(metadata),
        limit=limit,
        newest_first=newest_first,
        window_id=window_id,
        follow=follow,
    )
    return Call(q.OrcaQuery.ReadResults, request, row_of)


def row_of(row: q.ResultRow) -> ResultRow:
    """The result of an answer."""
    return ResultRow(
        name=row.algorithm.name,
        version=row.algorithm.version,
        window=_window(row),
        value=_value(row.value),
        window_id=row.window_id,
        run_id=row.run_id,
        created=_when(row.created_ns),
    )


def windows(
    window_type: str | None,
    version: str | None,
    *,
    since: TimeLike | None,
    until: TimeLike | None,
    metadata: Mapping[str, Any] | None,
    limit: int,
    newest_first: bool,
) -> Call:
    """Stored windows."""
    request = q.ListWindowsRequest(
        window_type=_ref(window_type, version),
        range=_range(since, until),
        metadata=_json(metadata),
        limit=limit,
        newest_first=newest_first,
    )
    return Call(q.OrcaQuery.ListWindows, request, _window_row)


def _window_row(row: q.WindowRow) -> WindowRow:
    return WindowRow(
        id=row.id,
        window=_window(row),
        state=row.state,
        run_id=row.run_id,
        parent_id=row.parent_id,
        created=_when(row.created_ns),
    )


def reprocess(
    *,
    window_id: int,
    run_id: int,
    window_type: str | None,
    version: str | None,
    since: TimeLike | None,
    until: TimeLike | None,
    failed: bool,
    reuse: bool,
    priority: int,
) -> Call:
    """Replay of one window, of a range, or of what failed."""
    request = q.ReprocessRequest(
        window_id=window_id,
        run_id=run_id,
        window_type=_ref(window_type, version),
        range=_range(since, until),
        failed=failed,
        reuse=reuse,
        priority=priority,
    )
    return Call(
        q.OrcaQuery.Reprocess, request, lambda row: (row.done, row.total, row.run_id), repeatable=False
    )


def cancel(run_id: int) -> Call:
    """Ends a run."""
    return Call(q.OrcaQuery.CancelRun, q.GetRunRequest(id=run_id), lambda row: run_of(q.RunDetail(run=row)))


def status() -> Call:
    """The core about itself."""
    return Call(q.OrcaQuery.GetStatus, q.GetStatusRequest(), _state)


def _state(row: q.CoreStatus) -> CoreState:
    return CoreState(
        version=row.version,
        windows=row.windows,
        results=row.results,
        open_runs=row.open_runs,
        failed_runs=row.failed_runs,
        processors=row.processors,
        processors_serving=row.processors_serving,
    )


def put_schedule(schedule: Schedule) -> Call:
    """Makes or replaces a schedule."""
    request = q.ScheduleRow(
        name=schedule.name,
        window_type=q.Ref(name=schedule.window_type, version=schedule.window_version),
        cron=schedule.cron,
        every_ns=round(schedule.every_s * 1e9),
        length_ns=round(schedule.length_s * 1e9),
        timezone=schedule.timezone,
        catch_up=schedule.catch_up,
        origin=schedule.origin,
        metadata=_json(schedule.metadata),
        paused=schedule.paused,
    )
    return Call(q.OrcaQuery.PutSchedule, request, _schedule)


def schedules() -> Call:
    """All schedules."""
    return Call(q.OrcaQuery.ListSchedules, q.ListSchedulesRequest(), _schedule)


def delete_schedule(name: str) -> Call:
    """Ends a schedule."""
    return Call(q.OrcaQuery.DeleteSchedule, q.DeleteScheduleRequest(name=name), lambda _: None)


def _schedule(row: q.ScheduleRow) -> Schedule:
    return Schedule(
        name=row.name,
        window_type=row.window_type.name,
        window_version=row.window_type.version,
        cron=row.cron,
        every_s=row.every_ns / 1e9,
        length_s=row.length_ns / 1e9,
        timezone=row.timezone,
        catch_up=row.catch_up,
        origin=row.origin,
        metadata=_object(row.metadata),
        paused=row.paused,
        next=_when(row.next_ns),
    )


def annotate(
    since: TimeLike,
    until: TimeLike,
    description: str,
    *,
    metadata: Mapping[str, Any] | None,
    algorithms: Iterable[str],
    window_types: Iterable[str],
) -> Call:
    """A note on a span of time."""
    request = q.AnnotationRow(
        time_from_ns=ns_of(since),
        time_to_ns=ns_of(until),
        description=description,
        metadata=_json(metadata),
        algorithms=[ref for ref in (_ref(name, None) for name in algorithms) if ref],
        window_types=[ref for ref in (_ref(name, None) for name in window_types) if ref],
    )
    return Call(q.OrcaQuery.PutAnnotation, request, _annotation, repeatable=False)


def notes(*, since: TimeLike | None, until: TimeLike | None, algorithm: str | None, limit: int) -> Call:
    """Notes that lie in a span of time."""
    request = q.ListAnnotationsRequest(
        range=_range(since, until), algorithm=_ref(algorithm, None), limit=limit
    )
    return Call(q.OrcaQuery.ListAnnotations, request, _annotation)


def _annotation(row: q.AnnotationRow) -> Annotation:
    return Annotation(
        id=row.id,
        span=(datetime_of(row.time_from_ns), datetime_of(row.time_to_ns)),
        description=row.description,
        metadata=_object(row.metadata),
        algorithms=tuple(f"{ref.name}_{ref.version}" for ref in row.algorithms),
        window_types=tuple(f"{ref.name}_{ref.version}" for ref in row.window_types),
    )
