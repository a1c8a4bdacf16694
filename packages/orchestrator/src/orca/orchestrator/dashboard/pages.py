"""Home, windows, runs, one run, and results: the pages of every day."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from orca.orchestrator import queries, rows
from orca.orchestrator.dashboard import shown
from orca.orchestrator.dashboard.gantt import gantt
from orca.orchestrator.dashboard.lanes import Bar, Lane, lanes_of, ticks
from orca.orchestrator.dashboard.site import whole
from orca.orchestrator.errors import FieldFault, InvalidFieldError, NotFoundError
from orca.orchestrator.queries import Page, Where
from orca.orchestrator.store.records import OPEN, RUN_FAILED, RUN_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from orca.orchestrator.dashboard.site import Site

__all__ = ["ROUTES", "ROWS", "windows_where"]

ROWS = 50
"""Rows of one page of a table."""
LANE_WINDOWS_MAX = 20_000
"""Windows drawn at a time, the newest; a span of time chooses others."""
LANE_VALUES_MAX = 12
"""Distinct metadata values that get lanes of their own where a window type has no filter field."""
RECENT_RUNS = 200
PREVIEW_BYTES = 300

_FAILED_NOW = (
    "SELECT count(*) AS n FROM runs r WHERE r.state = 2"
    " AND r.id = (SELECT max(id) FROM runs x WHERE x.window_id = r.window_id)"
)
_LANES = (
    "SELECT t.name, t.version, w.filter_key, w.metadata, w.time_from, w.time_to, w.created_ns, r.state"
    " FROM windows w JOIN window_types t ON t.id = w.type_id"
    " LEFT JOIN runs r ON r.id = (SELECT max(id) FROM runs x WHERE x.window_id = w.id)"
)
# As the lanes above it: by time, along an index of the type or of all.
_TABLE = f"{queries.WINDOWS}{{where}} ORDER BY w.time_to DESC, w.id DESC LIMIT ?"
# A list never reads a payload; one run shows the beginning of each result.
_VALUES = (
    "SELECT a.name, a.version, s.kind, s.number, length(s.payload) AS size,"
    " substr(s.payload, 1, {n}) AS head FROM results s JOIN algorithms a ON a.id = s.algorithm_id"
    " WHERE s.window_id = ?"
)
_RUN_EXECUTIONS = (
    "SELECT a.name, a.version, e.status, e.attempts, e.queued_ns, e.sent_ns, e.finished_ns, e.address,"
    " e.cause, e.error, NULL AS kind FROM executions e JOIN algorithms a ON a.id = e.algorithm_id"
    " WHERE e.run_id = ?"
)
_RUN_ATTEMPTS = (
    "SELECT a.name, a.version, t.attempt, t.sent_ns, t.ended_ns, t.address, t.cause, t.error"
    " FROM attempts t JOIN algorithms a ON a.id = t.algorithm_id WHERE t.run_id = ? ORDER BY t.attempt"
)


async def _some(source: Any) -> list[Mapping[str, Any]]:
    return [row async for row in source]


async def home(site: Site, request: Request) -> Response:
    """Is anything wrong now?"""
    store = site.core.store
    counts = await queries.read_counts(store)
    failed = (await site.fetch(_FAILED_NOW))[0]["n"]
    finished = await site.fetch(
        "SELECT created_ns, finished_ns FROM runs WHERE state IN (1, 2) ORDER BY id DESC LIMIT ?",
        (RECENT_RUNS,),
    )
    took = [row["finished_ns"] - row["created_ns"] for row in finished]
    where = Where()
    where.state("r", RUN_FAILED)
    links = list(site.core.links)
    lost = [link for link in links if not any(one.state == "serving" for one in link.instances.values())]
    recent = await _some(queries.read_runs(store, Where(), Page(10, newest_first=True)))
    return site.page(
        request,
        "home.html",
        "Home",
        counts=counts,
        failed=failed,
        lost=[str(link.key) for link in lost],
        processors=len(links),
        lag_p50=shown.percentile(took, 0.5),
        lag_p95=shown.percentile(took, 0.95),
        recent=recent,
        failures=await _some(queries.read_runs(store, where, Page(5, newest_first=True))),
        states=RUN_STATES,
        address_of_core=site.server.address,
    )


def windows_where(query: Mapping[str, str]) -> tuple[Where, dict[str, Any], dict[str, Any]]:
    """Conditions, wanted metadata and the values to show again of a filter form."""
    name, _, version = query.get("type", "").rpartition(" ")
    from_ns = shown.time_ns(query.get("from", ""), "from")
    to_ns = shown.time_ns(query.get("to", ""), "to")
    where = Where()
    where.ref("t", name, version)
    if from_ns:
        where.add("w.time_to > ?", from_ns)
    if to_ns:
        where.add("w.time_from < ?", to_ns)
    wanted: dict[str, Any] = {}
    text = query.get("metadata", "").strip()
    for part in text.split(",") if text else []:
        key, _, value = part.partition("=")
        try:
            wanted[key.strip()] = json.loads(value)
        except ValueError:
            wanted[key.strip()] = value.strip()
    chosen = {"type": query.get("type", ""), "from_ns": from_ns, "to_ns": to_ns, "metadata": text}
    return where, wanted, chosen


async def windows(site: Site, request: Request) -> Response:
    """What was processed, when, how late?"""
    where, wanted, chosen = windows_where(request.query_params)
    sql = f"{_LANES}{where.text} ORDER BY w.time_to DESC, w.id DESC LIMIT ?"
    found = await site.fetch(sql, [*where.parameters, LANE_WINDOWS_MAX])
    # So many take a good part of a second: the loop has other things to do.
    drawn, lanes, (from_ns, to_ns) = await asyncio.to_thread(
        _drawn, found, wanted, (chosen["from_ns"], chosen["to_ns"])
    )
    before = whole(request.query_params.get("before", ""), "before")
    if before:
        last = await site.fetch("SELECT time_to FROM windows WHERE id = ?", (before,))
        if last:
            where.add("(w.time_to, w.id) < (?, ?)", last[0]["time_to"], before)
        else:  # deleted meanwhile
            where.add("w.id < ?", before)
    sql = _TABLE.format(where=where.text)
    table = await site.fetch(sql, [*where.parameters, LANE_WINDOWS_MAX if wanted else ROWS + 1])
    table = [row for row in table if queries.matches(row["metadata"], wanted)]
    notes = await site.fetch(
        "SELECT * FROM annotations WHERE time_to >= ? AND time_from <= ? ORDER BY time_from LIMIT 100",
        (from_ns, to_ns),
    )
    span = max(1, to_ns - from_ns)
    marks = [
        (
            round(max(0, note["time_from"] - from_ns) * 1000 / span, 1),
            max(1.0, round((min(note["time_to"], to_ns) - max(note["time_from"], from_ns)) * 1000 / span, 1)),
            note["description"],
        )
        for note in notes
    ]
    return site.page(
        request,
        "windows.html",
        "Windows",
        lanes=lanes,
        ticks=ticks(from_ns, to_ns) if drawn else [],
        from_ns=from_ns,
        to_ns=to_ns,
        drawn=drawn,
        full=drawn >= LANE_WINDOWS_MAX,
        chosen=chosen,
        kinds=await site.window_types(),
        table=table[:ROWS],
        following=table[ROWS - 1]["id"] if len(table) > ROWS else 0,
        notes=notes,
        marks=marks,
        states=RUN_STATES,
    )


def _drawn(
    found: list[Mapping[str, Any]], wanted: Mapping[str, Any], chosen: tuple[int, int]
) -> tuple[int, list[Lane], tuple[int, int]]:
    """How many windows are drawn, their lanes, and from when to when."""
    bars = _bars([row for row in found if queries.matches(row["metadata"], wanted)])
    from_ns = chosen[0] or min((bar.from_ns for bar in bars), default=0)
    to_ns = chosen[1] or max((bar.to_ns for bar in bars), default=0)
    return len(bars), lanes_of(bars, from_ns, to_ns), (from_ns, to_ns)


def _bars(found: list[Mapping[str, Any]]) -> list[Bar]:
    """Windows on their lanes: by filter fields, else by metadata where that has few values."""
    values: dict[tuple[str, str], set[str]] = {}
    for row in found:
        values.setdefault((row["name"], row["version"]), set()).add(row["metadata"])
    bars: list[Bar] = []
    for row in found:
        kind = (row["name"], row["version"])
        few = len(values[kind]) <= LANE_VALUES_MAX
        value = row["filter_key"] or (row["metadata"] if few and row["metadata"] != "{}" else "")
        state = "none" if row["state"] is None else RUN_STATES[row["state"]]
        span = (row["time_from"], row["time_to"])
        bars.append(Bar((f"{kind[0]} {kind[1]}", value), *span, state, row["created_ns"]))
    return bars


async def runs(site: Site, request: Request) -> Response:
    """All runs, the newest first."""
    query = request.query_params
    where = Where()
    state = query.get("state", "")
    numbers = {name: number for number, name in RUN_STATES.items()}
    if state:
        where.state("r", numbers.get(state, -1))
    name, _, version = query.get("type", "").rpartition(" ")
    before = whole(query.get("before", ""), "before")
    if before:
        where.add("r.id < ?", before)
    page = Page(ROWS + 1, newest_first=True)
    table = await _some(queries.read_runs(site.core.store, where, page, name=name, version=version))
    return site.page(
        request,
        "runs.html",
        "Runs",
        table=table[:ROWS],
        following=table[ROWS - 1]["id"] if len(table) > ROWS else 0,
        chosen={"state": state, "type": query.get("type", "")},
        kinds=await site.window_types(),
        states=RUN_STATES,
    )


async def run(site: Site, request: Request) -> Response:
    """Where did the time of one run go, and where did it fail?"""
    run_id = whole(request.path_params["run"], "run")
    found = await site.fetch(f"{queries.RUNS} WHERE r.id = ?", (run_id,))
    if not found:
        raise NotFoundError(f"run {run_id} is not in the store", hint="orca runs list")
    row = found[0]
    info = await site.core.registry.info(row["plan_id"], row["type_id"])
    active = site.core.engine.index.get(run_id)
    detail = rows.run_detail(
        row,
        await site.fetch(_RUN_EXECUTIONS, (run_id,)),
        await site.fetch(_RUN_ATTEMPTS, (run_id,)),
        plan=info.plan,
        active=active,
    )
    lines, length_ns = gantt(detail, now_ns=site.now_ns(), running_ns=_running(site, run_id))
    siblings = await site.fetch(
        "SELECT id, kind, state FROM runs WHERE window_id = ? ORDER BY id DESC LIMIT 20", (row["window_id"],)
    )
    parent = await site.fetch("SELECT parent_id FROM windows WHERE id = ?", (row["window_id"],))
    return site.page(
        request,
        "run.html",
        f"Run {run_id}",
        run=row,
        state=RUN_STATES[row["state"]],
        open=row["state"] == OPEN,
        lines=lines,
        length_ns=length_ns,
        errors={
            f"{one.algorithm.name} {one.algorithm.version}": shown.error_of(one.error)
            for one in detail.executions
        },
        values=await _values(site, row["window_id"]),
        siblings=siblings,
        parent=parent[0]["parent_id"] or 0,
        states=RUN_STATES,
    )


def _running(site: Site, run_id: int) -> dict[str, int]:
    """When what runs now was sent, by algorithm."""
    found: dict[str, int] = {}
    for link in site.core.links:
        for instance in link.instances.values():
            for call in instance.calls:
                if call.active.run.run_id == run_id:
                    for node in call.open:
                        ref = call.active.info.plan.nodes[node].ref
                        found[f"{ref.name} {ref.version}"] = call.sent_ns
    return found


async def _values(site: Site, window_id: int) -> dict[str, str]:
    """The beginning of each result of a window."""
    found: dict[str, str] = {}
    for row in await site.fetch(_VALUES.format(n=PREVIEW_BYTES), (window_id,)):
        key = f"{row['name']} {row['version']}"
        if row["kind"] == 2:
            found[key] = "nan" if row["number"] is None else f"{row['number']:g}"
        elif row["kind"] == 3:
            found[key] = f"{(row['size'] or 0) // 8} numbers"
        elif row["kind"] == 1:
            text = bytes(row["head"] or b"").decode("utf-8", "replace")
            found[key] = text + ("…" if (row["size"] or 0) > PREVIEW_BYTES else "")
        else:
            found[key] = "no value"
    return found


async def latest(site: Site, request: Request) -> Response:
    """The newest run of a window, as a page."""
    window_id = whole(request.path_params["window"], "window")
    found = await site.fetch("SELECT max(id) AS id FROM runs WHERE window_id = ?", (window_id,))
    if not found[0]["id"]:
        raise NotFoundError(f"window {window_id} has no run", hint="orca windows list")
    request.path_params["run"] = str(found[0]["id"])
    return await run(site, request)


async def results(site: Site, request: Request) -> Response:
    """A chart of any results over time."""
    query = request.query_params
    known = await site.fetch(
        "SELECT a.name, a.version FROM algorithms a WHERE EXISTS"
        " (SELECT 1 FROM results s WHERE s.algorithm_id = a.id) ORDER BY a.name, a.version"
    )
    names = [f"{row['name']} {row['version']}" for row in known]
    chosen = query.get("algorithm", "") or (names[0] if names else "")
    if chosen and chosen not in names:
        raise InvalidFieldError((FieldFault("algorithm", f"has no results: {chosen[:100]!r}"),))
    return site.page(
        request,
        "results.html",
        "Results",
        names=names,
        chosen=chosen,
        field=query.get("field", ""),
        from_ns=shown.time_ns(query.get("from", ""), "from"),
        to_ns=shown.time_ns(query.get("to", ""), "to"),
        notes=await site.fetch("SELECT * FROM annotations ORDER BY time_from DESC LIMIT 100"),
    )


ROUTES = (
    ("/", home),
    ("/windows", windows),
    ("/windows/{window}", latest),
    ("/runs", runs),
    ("/runs/{run}", run),
    ("/results", results),
)
