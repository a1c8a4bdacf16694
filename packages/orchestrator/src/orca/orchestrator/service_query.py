# ruff: noqa: ARG002 - gRPC hands a request and a context to every handler
"""``orca.v1.OrcaQuery``: everything read back, watched, replayed, scheduled and annotated."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from orca.orchestrator import __version__, operations, queries, rows
from orca.orchestrator.core import EmitOptions
from orca.orchestrator.errors import FieldFault, InvalidFieldError, LimitError, NotFoundError
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.queries import Page, Where
from orca.orchestrator.store.codec import decode_registration
from orca.orchestrator.store.records import OPEN, RUN_STATES
from orca.orchestrator.timetable import Schedule
from orca.processor import wire_query as q

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from orca.orchestrator.events import Subscription
    from orca.orchestrator.rpc import Guard
    from orca.orchestrator.server import CoreServer

__all__ = ["QueryService"]

# A watching call looks again after this time even when nothing was told.
WATCH_PAUSE_S = 1.0
SQL_ROWS_MAX = 100_000
# Windows of one call that begin in one turn of the loop; everything else has its turn in between.
EMIT_STEP = 500


def parse_object(text: str, field: str) -> dict[str, Any]:
    """A JSON object of a request; "" is the empty one.

    Raises:
        InvalidFieldError: It is something else.
    """
    if not text:
        return {}
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFieldError((FieldFault(field, f"is no JSON: {error}"),)) from None
    if not isinstance(value, dict):
        raise InvalidFieldError((FieldFault(field, "is no JSON object"),))
    return cast("dict[str, Any]", _floats(value))


def _items(value: Any) -> list[Any]:
    return value  # type: ignore[no-any-return]


def _floats(value: Any) -> Any:
    """Numbers as the wire's Struct has them, so that one window has one key however it is sent."""
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_floats(item) for item in _items(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


class QueryService:
    """The query service of one core.

    Args:
        server: The core with its tokens.
    """

    def __init__(self, server: CoreServer) -> None:
        self._server = server
        self._core = server.core
        self._store = server.core.store

    def handlers(self, guard: Guard) -> Mapping[Any, Callable[..., Any]]:
        """The methods with their guards."""
        offered = q.OrcaQuery
        return {
            offered.GetStatus: guard("read", self.status),
            offered.EmitMany: guard("emit", self.emit_many),
            offered.ListWindows: guard("read", self.windows),
            offered.ListRuns: guard("read", self.runs),
            offered.GetRun: guard("read", self.run),
            offered.WatchRun: guard("read", self.watch_run, unlimited=_always),
            offered.Watch: guard("read", self.watch, unlimited=_always),
            offered.ReadResults: guard("read", self.results, unlimited=lambda request: request.follow),
            offered.ListProcessors: guard("read", self.processors),
            offered.Reprocess: guard("admin", self.reprocess),
            offered.CancelRun: guard("admin", self.cancel),
            offered.PutSchedule: guard("admin", self.put_schedule),
            offered.ListSchedules: guard("read", self.schedules),
            offered.DeleteSchedule: guard("admin", self.delete_schedule),
            offered.PutAnnotation: guard("emit", self.put_annotation),
            offered.ListAnnotations: guard("read", self.annotations),
            offered.DeleteAnnotation: guard("emit", self.delete_annotation),
            offered.Sql: guard("admin", self.sql, unlimited=_always),
            offered.Backup: guard("admin", self.backup),
            offered.Retain: guard("admin", self.retain),
            offered.CreateToken: guard("admin", self.create_token),
            offered.ListTokens: guard("admin", self.tokens),
            offered.DeleteToken: guard("admin", self.delete_token),
        }

    async def status(self, request: q.GetStatusRequest, context: Any) -> q.CoreStatus:
        """The core about itself."""
        counts = await queries.read_counts(self._store)
        links = list(self._core.links)
        serving = sum(any(one.state == "serving" for one in link.instances.values()) for link in links)
        settings = self._core.settings
        return q.CoreStatus(
            version=__version__,
            store="postgresql" if settings.database else "sqlite",
            started_ns=self._core.started_ns,
            windows=counts["windows"],
            open_runs=counts["open_runs"],
            failed_runs=counts["failed_runs"],
            results=counts["results"],
            oldest_open_ns=counts["oldest_open"],
            active_runs=len(self._core.engine.index),
            calls=self._core.links.calls,
            processors=len(self._core.registry.registrations),
            processors_serving=serving,
        )

    async def emit_many(self, request: q.EmitManyRequest, context: Any) -> q.EmitManyResponse:
        """Store many windows; each is on disk when the answer comes."""
        limit = self._core.settings.emit_many_max
        if len(request.windows) > limit:
            raise LimitError(f"windows has {len(request.windows)} entries, at most {limit}")
        # Nothing is stored of a request with a fault that can be seen before.
        metadata: list[dict[str, Any]] = []
        for index, one in enumerate(request.windows):
            metadata.append(parse_object(one.metadata, f"windows[{index}].metadata"))
            if index % EMIT_STEP == EMIT_STEP - 1:
                await asyncio.sleep(0)
        answer = q.EmitManyResponse()
        faults: list[BaseException] = []
        for start in range(0, len(request.windows), EMIT_STEP):
            work = [
                self._core.emit(
                    WindowTypeRef(one.window_type.name, one.window_type.version),
                    (one.time_from_ns, one.time_to_ns),
                    origin=one.origin,
                    metadata=values,
                    options=EmitOptions(priority=one.priority, force=one.force, parent_id=one.parent_id),
                )
                for one, values in zip(
                    request.windows[start : start + EMIT_STEP],
                    metadata[start : start + EMIT_STEP],
                    strict=True,
                )
            ]
            for accepted in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(accepted, BaseException):
                    # The others are tried all the same; the first fault is the answer.
                    faults.append(accepted)
                else:
                    answer.emitted.add(
                        window_id=accepted.window_id, run_id=accepted.run_id, duplicate=accepted.duplicate
                    )
        if faults:
            raise faults[0]
        return answer

    async def windows(self, request: q.ListWindowsRequest, context: Any) -> AsyncIterator[q.WindowRow]:
        """Windows in order of time; after a given one in the order in which they were stored, to go on from."""
        where = Where()
        where.ref("t", request.window_type.name, request.window_type.version)
        where.span("w", request.range.from_ns, request.range.to_ns)
        if request.after_id:
            where.add("w.id > ?", request.after_id)
        if request.id:
            where.add("w.id = ?", request.id)
        page = Page(
            request.limit,
            request.newest_first,
            parse_object(request.metadata, "metadata"),
            by_id=bool(request.after_id),
        )
        async for row in queries.read_windows(self._store, where, page):
            yield rows.window_row(row)

    async def runs(self, request: q.ListRunsRequest, context: Any) -> AsyncIterator[q.RunRow]:
        """Runs, the newest first."""
        where = Where()
        if request.state:
            known = {name: number for number, name in RUN_STATES.items()}
            if request.state not in known:
                fault = FieldFault("state", f"is {request.state!r}, not one of {', '.join(known)}")
                raise InvalidFieldError((fault,))
            where.state("r", known[request.state])
        if request.window_id:
            where.add("r.window_id = ?", request.window_id)
        if request.before_id:
            where.add("r.id < ?", request.before_id)
        page = Page(request.limit, newest_first=True, since_ns=request.since_ns)
        kind = request.window_type
        async for row in queries.read_runs(self._store, where, page, name=kind.name, version=kind.version):
            yield rows.run_row(row)

    async def run(self, request: q.GetRunRequest, context: Any) -> q.RunDetail:
        """One run with its executions."""
        return (await self._run(request))[0]

    async def _run(self, request: q.GetRunRequest) -> tuple[q.RunDetail, bool]:
        run, executions, attempts = await queries.read_run(self._store, request.id, request.window_id)
        info = await self._core.registry.info(run["plan_id"], run["type_id"])
        active = self._core.engine.index.get(run["id"])
        detail = rows.run_detail(run, executions, attempts, plan=info.plan, active=active)
        return detail, run["state"] != OPEN

    async def watch_run(self, request: q.GetRunRequest, context: Any) -> AsyncIterator[q.RunDetail]:
        """One run now and at each change, until its end."""
        with self._core.bus.subscribe() as events:
            last: q.RunDetail | None = None
            while True:
                detail, finished = await self._run(request)
                if detail != last:
                    last = detail
                    yield detail
                if finished:
                    return
                await _until_told(events, detail.run.id)

    async def watch(self, request: q.WatchRequest, context: Any) -> AsyncIterator[q.CoreEvent]:
        """Everything that happens from now on."""
        wanted = set(request.kinds)
        with self._core.bus.subscribe() as events:
            while True:
                event = await events.next()
                if not wanted or event.kind in wanted:
                    yield q.CoreEvent(kind=event.kind, at_ns=event.at_ns, detail=json.dumps(event.detail))

    async def results(self, request: q.ReadResultsRequest, context: Any) -> AsyncIterator[q.ResultRow]:
        """Results in order of time; with ``follow`` all that are stored, then what comes later, none left out."""
        metadata = parse_object(request.metadata, "metadata")
        if not request.follow:
            page = Page(request.limit, request.newest_first, metadata)
            async for row in queries.read_results(self._store, _results_where(request), page):
                yield rows.result_row(row)
            return
        with self._core.bus.subscribe() as events:
            seen = 0
            while True:
                # Rows are read by time at first but told apart by id: without an upper end, a row that is stored at an
                # earlier time while a page is read would be passed over for ever.
                newest = await self._store.newest_result()
                for above in range(seen, newest, queries.ROWS_MAX):
                    where = _results_where(request)
                    where.add("s.id > ?", above)
                    where.add("s.id <= ?", min(above + queries.ROWS_MAX, newest))
                    # Later only the new rows are read, whatever the algorithm has from before.
                    page = Page(queries.ROWS_MAX, metadata=metadata, by_id=seen > 0)
                    async for row in queries.read_results(self._store, where, page):
                        yield rows.result_row(row)
                seen = newest
                await _until_execution(events)

    async def processors(
        self, request: q.ListProcessorsRequest, context: Any
    ) -> AsyncIterator[q.ProcessorRow]:
        """Every processor; with ``history`` also its former sets."""
        registry = self._core.registry
        for registration in registry.registrations:
            row = registry.rows.get(registration.processor)
            link = self._core.links.get(registration.processor)
            registered_ns = row.registered_ns if row is not None else 0
            yield rows.processor_row(registration, row, link, registered_ns=registered_ns)
        if request.history:
            sql = "SELECT set_version, definition, registered_ns FROM processor_history ORDER BY id DESC"
            for past in await self._store.fetch(sql):
                message = rows.processor_row(
                    decode_registration(past["definition"]), None, None, registered_ns=past["registered_ns"]
                )
                message.set_version = past["set_version"]
                yield message

    async def reprocess(
        self, request: q.ReprocessRequest, context: Any
    ) -> AsyncIterator[q.ReprocessProgress]:
        """Run windows again; progress comes as runs are made."""
        where = Where()
        if request.window_id:
            where.add("w.id = ?", request.window_id)
        if request.run_id:
            where.latest_run(request.run_id)
        where.ref("t", request.window_type.name, request.window_type.version)
        where.span("w", request.range.from_ns, request.range.to_ns)
        if request.since_ns:
            where.add("w.created_ns >= ?", request.since_ns)
        if not where.parameters and not request.failed:
            fault = FieldFault("window_id", "name a window, a run, a window type, a range, or failed")
            raise InvalidFieldError((fault,))
        work = operations.Reprocess(
            where, failed=request.failed, reuse=request.reuse, priority=request.priority
        )
        async for done, total, run_id, window_id in operations.reprocess(self._core, work):
            yield q.ReprocessProgress(done=done, total=total, run_id=run_id, window_id=window_id)

    async def cancel(self, request: q.GetRunRequest, context: Any) -> q.RunRow:
        """End an open run."""
        run, _, _ = await queries.read_run(self._store, request.id, request.window_id)
        with self._core.bus.subscribe() as events:
            await operations.cancel_run(self._core, run["id"])
            while run["state"] == OPEN:
                run, _, _ = await queries.read_run(self._store, run["id"])
                if run["state"] == OPEN:
                    await _until_told(events, run["id"])
        return rows.run_row(run)

    async def put_schedule(self, request: q.ScheduleRow, context: Any) -> q.ScheduleRow:
        """Make or replace a schedule."""
        schedule = Schedule(
            name=request.name,
            window_type=request.window_type.name,
            window_version=request.window_type.version,
            cron=request.cron,
            every_ns=request.every_ns,
            length_ns=request.length_ns,
            timezone=request.timezone or "UTC",
            origin=request.origin,
            metadata=json.dumps(parse_object(request.metadata, "metadata"), sort_keys=True),
            catch_up=request.catch_up or "all",
            priority=request.priority,
        )
        stored = await self._server.scheduler.put(schedule, paused=request.paused, start_ns=request.start_ns)
        return rows.schedule_row(stored)

    async def schedules(self, request: q.ListSchedulesRequest, context: Any) -> AsyncIterator[q.ScheduleRow]:
        """All schedules."""
        for stored in await self._server.scheduler.list():
            yield rows.schedule_row(stored)

    async def delete_schedule(
        self, request: q.DeleteScheduleRequest, context: Any
    ) -> q.DeleteScheduleResponse:
        """End a schedule."""
        await self._server.scheduler.delete(request.name)
        return q.DeleteScheduleResponse()

    async def put_annotation(self, request: q.AnnotationRow, context: Any) -> q.AnnotationRow:
        """Store a note."""
        row = await operations.put_annotation(
            self._core,
            (request.time_from_ns, request.time_to_ns),
            request.description,
            metadata=parse_object(request.metadata, "metadata"),
            algorithms=[(one.name, one.version) for one in request.algorithms],
            window_types=[(one.name, one.version) for one in request.window_types],
        )
        stored = await self._store.fetch("SELECT * FROM annotations WHERE id = ?", (row,))
        if not stored:
            raise NotFoundError(f"annotation {row} was deleted again at once")
        return rows.annotation_row(stored[0])

    async def annotations(
        self, request: q.ListAnnotationsRequest, context: Any
    ) -> AsyncIterator[q.AnnotationRow]:
        """Notes that touch a range."""
        where = Where()
        if request.range.from_ns:
            where.add("n.time_to >= ?", request.range.from_ns)
        if request.range.to_ns:
            where.add("n.time_from <= ?", request.range.to_ns)
        limit = Page(request.limit).rows_max
        left = limit
        sql = f"SELECT n.* FROM annotations n{where.text} ORDER BY n.time_from, n.id"  # noqa: S608
        for row in await self._store.fetch(sql, where.parameters):
            message = rows.annotation_row(row)
            if (
                left
                and _about(message.algorithms, request.algorithm)
                and _about(message.window_types, request.window_type)
            ):
                left -= 1
                yield message

    async def delete_annotation(
        self, request: q.DeleteAnnotationRequest, context: Any
    ) -> q.DeleteAnnotationResponse:
        """Remove a note."""
        statement = ("DELETE FROM annotations WHERE id = ?", (request.id,))
        (count,) = await self._store.write("annotate", [statement])
        if count == 0:
            raise NotFoundError(f"there is no annotation {request.id}", hint="orca annotations list")
        return q.DeleteAnnotationResponse()

    async def sql(self, request: q.SqlRequest, context: Any) -> AsyncIterator[q.SqlRow]:
        """One reading statement; the first row holds the names of the columns."""
        limit = min(request.limit, SQL_ROWS_MAX) if request.limit > 0 else 1000
        names, found = await self._store.read_sql(
            request.statement, limit=limit, timeout_s=self._core.settings.call_deadline_s
        )
        yield q.SqlRow(values=json.dumps(names))
        for row in found:
            yield q.SqlRow(values=json.dumps(row, default=_shown))

    async def backup(self, request: q.BackupRequest, context: Any) -> q.BackupResponse:
        """Copy the store beside itself while it is in use."""
        path = await self._store.backup_named(request.path)
        return q.BackupResponse(path=str(path), size_bytes=path.stat().st_size)

    async def retain(self, request: q.RetainRequest, context: Any) -> q.RetainResponse:
        """Delete old finished windows."""
        deleted = await operations.retain(self._core, older_than_ns=request.older_than_ns, keep=request.keep)
        return q.RetainResponse(deleted=deleted)

    async def create_token(self, request: q.CreateTokenRequest, context: Any) -> q.CreateTokenResponse:
        """Make a token."""
        token, digest = await operations.create_token(self._core, request.name, list(request.scopes))
        self._server.tokens.add(digest, request.name, request.scopes)
        return q.CreateTokenResponse(token=token)

    async def tokens(self, request: q.ListTokensRequest, context: Any) -> AsyncIterator[q.TokenRow]:
        """All tokens, without themselves."""
        for row in await self._store.fetch("SELECT name, scopes, created_ns FROM tokens ORDER BY name"):
            yield q.TokenRow(name=row["name"], scopes=row["scopes"].split(","), created_ns=row["created_ns"])

    async def delete_token(self, request: q.DeleteTokenRequest, context: Any) -> q.DeleteTokenResponse:
        """Refuse a token from now on."""
        (count,) = await self._store.write("token", [("DELETE FROM tokens WHERE name = ?", (request.name,))])
        if count == 0:
            raise NotFoundError(f"there is no token '{request.name}'", hint="orca token list")
        self._server.tokens.remove(request.name)
        return q.DeleteTokenResponse()


def _results_where(request: q.ReadResultsRequest) -> Where:
    where = Where()
    where.ref("a", request.algorithm.name, request.algorithm.version)
    where.span("s", request.range.from_ns, request.range.to_ns)
    if request.window_id:
        where.add("s.window_id = ?", request.window_id)
    return where


def _about(refs: Any, wanted: q.Ref) -> bool:
    if not wanted.name:
        return True
    return any(one.name == wanted.name and wanted.version in ("", one.version) for one in refs)


def _shown(value: object) -> str:
    """Bytes in an SQL answer."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _always(_request: object) -> bool:
    return True


async def _until_told(events: Subscription, run_id: int) -> None:
    """Wait for news of a run, or a while."""

    async def news() -> None:
        while (await events.next()).detail.get("run_id") != run_id:
            pass

    try:
        await asyncio.wait_for(news(), WATCH_PAUSE_S)
    except asyncio.TimeoutError:
        return


async def _until_execution(events: Subscription) -> None:
    while (await events.next()).kind not in ("execution", "lost"):
        pass
    # What is read now answers for all of them: one reading for each would fall behind when much is going on.
    while events.waiting() is not None:
        pass
