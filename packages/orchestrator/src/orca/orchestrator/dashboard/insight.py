"""What depends on what, what failed and why, who is alive, what waits, and what it all costs."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import TYPE_CHECKING, Any

from orca.orchestrator import queries
from orca.orchestrator.dashboard import shown
from orca.orchestrator.dashboard.graph import draw, lookback_text
from orca.orchestrator.execution import Status
from orca.orchestrator.model import AlgorithmRef
from orca.orchestrator.queries import Page, Where
from orca.orchestrator.store.records import OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from orca.orchestrator.dashboard.site import Site

__all__ = ["ROUTES"]

RECENT_RUNS = 1000
"""Runs that counts and percentiles look back on."""
FAILURES_MAX = 1000
QUEUE_MAX = 100
FRESH_MAX = 5000
DAY_NS = 86_400 * 10**9

_STATS = (
    "SELECT a.name, a.version, e.status, e.sent_ns, e.finished_ns, e.run_id FROM executions e"
    " JOIN algorithms a ON a.id = e.algorithm_id WHERE e.run_id > (SELECT coalesce(max(id), 0) - ? FROM runs)"
)
_FAILURES = (
    "SELECT r.id, r.window_id, r.finished_ns, w.metadata, w.time_from, w.time_to, t.name AS type_name,"
    " t.version AS type_version, a.name, a.version, e.cause, e.error FROM runs r"
    " JOIN executions e ON e.run_id = r.id AND e.status = 5 JOIN algorithms a ON a.id = e.algorithm_id"
    " JOIN windows w ON w.id = r.window_id JOIN window_types t ON t.id = w.type_id"
    " WHERE r.state = 2 ORDER BY r.finished_ns DESC LIMIT ?"
)
_FRESH = (
    "SELECT t.name, t.version, w.id, w.time_from, w.time_to, w.filter_key, w.created_ns, r.finished_ns, r.state"
    " FROM windows w JOIN window_types t ON t.id = w.type_id"
    " LEFT JOIN runs r ON r.id = (SELECT min(id) FROM runs x WHERE x.window_id = w.id)"
    " ORDER BY w.id DESC LIMIT ?"
)
# Runs' times of acceptance grow with their numbers: this looks back from the newest no further than that day.
_BEFORE = "SELECT id FROM runs WHERE created_ns < ? ORDER BY id DESC LIMIT 1"
_COST = (
    "SELECT t.name, t.version, count(*) AS executions, sum(e.finished_ns - e.sent_ns) AS busy_ns,"
    " sum(e.attempts) AS attempts FROM executions e JOIN runs r ON r.id = e.run_id"
    " JOIN windows w ON w.id = r.window_id JOIN window_types t ON t.id = w.type_id"
    " WHERE e.run_id > ? AND e.sent_ns > 0 GROUP BY t.name, t.version"
)


async def _stats(site: Site) -> dict[str, dict[str, Any]]:
    """Counts, durations and the latest state of each algorithm over the recent runs."""
    found: dict[str, dict[str, Any]] = {}
    for row in await site.fetch(_STATS, (RECENT_RUNS,)):
        one = found.setdefault(
            f"{row['name']} {row['version']}",
            {"succeeded": 0, "failed": 0, "took": [], "run": 0, "state": ""},
        )
        status = Status(row["status"]).name.lower()
        if status in ("succeeded", "failed"):
            one[status] += 1
        if row["sent_ns"]:
            one["took"].append(row["finished_ns"] - row["sent_ns"])
        if row["run_id"] >= one["run"]:
            one.update(run=row["run_id"], state=status)
    for one in found.values():
        took = one.pop("took")
        one.update(p50=shown.percentile(took, 0.5), p95=shown.percentile(took, 0.95))
    return found


def _running(site: Site) -> set[str]:
    return {
        str(call.active.info.plan.nodes[node].ref)
        for link in site.core.links
        for instance in link.instances.values()
        for call in instance.calls
        for node in call.open
    }


async def dag(site: Site, request: Request) -> Response:
    """What depends on what?"""
    registrations = site.core.registry.registrations
    kinds = sorted(
        {
            (one.window_type.name, one.window_type.version)
            for entry in registrations
            for one in entry.algorithms
        }
    )
    chosen = request.query_params.get("type", "")
    drawing = await asyncio.to_thread(draw, registrations, chosen)
    return site.page(
        request,
        "dag.html",
        "DAG",
        drawing=drawing,
        kinds=kinds,
        chosen=chosen,
        stats=await _stats(site),
        running=_running(site),
    )


async def algorithm(site: Site, request: Request) -> Response:
    """One algorithm: versions, needs, results, durations, success rate."""
    name, version = request.path_params["name"], request.path_params["version"]
    ref = AlgorithmRef(name, version)
    versions = await site.fetch("SELECT version FROM algorithms WHERE name = ? ORDER BY version", (name,))
    definition: Any = None
    owner = ""
    users: list[AlgorithmRef] = []
    for entry in site.core.registry.registrations:
        for one in entry.algorithms:
            if one.ref == ref:
                definition, owner = one, str(entry.processor)
            if any(need.algorithm == ref for need in one.dependencies):
                users.append(one.ref)
    if definition is None and not any(row["version"] == version for row in versions):
        site.core.registry.owner(ref)  # says that nobody offers it
    needs = [
        (need.algorithm, lookback_text(need.lookback) if need.lookback else "")
        for need in (definition.dependencies if definition else ())
    ]
    stats = (await _stats(site)).get(f"{name} {version}")
    return site.page(
        request,
        "algorithm.html",
        name,
        version=version,
        versions=[row["version"] for row in versions],
        definition=definition,
        owner=owner,
        needs=needs,
        users=users,
        stats=stats,
    )


async def failures(site: Site, request: Request) -> Response:
    """What fails, grouped by algorithm, exception and the user's frame."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    rows = await site.fetch(_FAILURES, (FAILURES_MAX,))
    for row in rows:
        error = shown.error_of(row["error"])
        place = f"{error['file']}:{error['line']}" if error["file"] else ""
        key = (row["name"], row["version"], str(error["type"]), place)
        group = groups.setdefault(
            key,
            {
                "name": row["name"],
                "version": row["version"],
                "place": place,
                "error": error,
                "latest": row,
                "command": _command(row, error),
                "runs": [],
            },
        )
        group["runs"].append(row["id"])
    return site.page(
        request, "failures.html", "Failures", groups=list(groups.values()), full=len(rows) == FAILURES_MAX
    )


def _given(value: Any) -> str:
    """Metadata as the command line reads it: JSON, or plain text where that is no JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)


def _command(row: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    """The command that runs the same body on the same window in a terminal, with a debugger at hand."""
    words = ["orca", "run", str(error["file"] or "processor.py")]
    words += ["--window", row["type_name"], "--window-version", row["type_version"]]
    for option, moment in (("--from", row["time_from"]), ("--to", row["time_to"])):
        words += [option, shown.local_input(moment).replace(" ", "T") + "Z"]
    for key, value in json.loads(row["metadata"] or "{}").items():
        words += ["--meta", f"{key}={_given(value)}"]
    return shlex.join([*words, "--only", row["name"]])


async def processors(site: Site, request: Request) -> Response:
    """Who is alive?"""
    registry = site.core.registry
    found: list[dict[str, Any]] = []
    for registration in registry.registrations:
        link = site.core.links.get(registration.processor)
        row = registry.rows.get(registration.processor)
        found.append(
            {
                "name": str(registration.processor),
                "runtime": registration.runtime,
                "registered_ns": row.registered_ns if row is not None else 0,
                "algorithms": [one.ref for one in registration.algorithms],
                "instances": list(link.instances.values()) if link is not None else [],
            }
        )
    return site.page(request, "processors.html", "Processors", found=found)


async def queue(site: Site, request: Request) -> Response:
    """What waits, and why?"""
    where = Where()
    where.state("r", OPEN)
    rows = [row async for row in queries.read_runs(site.core.store, where, Page(QUEUE_MAX))]
    counts = await queries.read_counts(site.core.store)
    waiting = [(row, _why(site, row["id"])) for row in rows]
    return site.page(
        request, "queue.html", "Queue", waiting=waiting, counts=counts, active=len(site.core.engine.index)
    )


def _why(site: Site, run_id: int) -> str:
    """In a few words, why a run is not done."""
    active = site.core.engine.index.get(run_id)
    if active is None:
        return "waits for room among the active runs"
    parts: list[str] = []
    for node in active.info.plan.nodes:
        status = active.state.statuses[node.index]
        if status is Status.RUNNING:
            parts.append(f"{node.ref} runs")
        elif status is Status.BACKOFF:
            parts.append(f"{node.ref} is tried again soon")
        elif status is Status.READY:
            link = site.core.links.get(node.processor)
            alive = link is not None and any(one.state == "serving" for one in link.instances.values())
            waits = (
                "earlier windows or a free place"
                if alive
                else f"processor {node.processor}, which is not there"
            )
            parts.append(f"{node.ref} waits for {waits}")
    return "; ".join(parts[:4]) or "is being recorded"


async def freshness(site: Site, request: Request) -> Response:
    """How fresh are results, and what do they cost?"""
    kinds: dict[str, dict[str, Any]] = {}
    newest: dict[tuple[str, str], int] = {}
    spans: set[tuple[str, str, int, int]] = set()
    for row in reversed(await site.fetch(_FRESH, (FRESH_MAX,))):
        kind = f"{row['name']} {row['version']}"
        one = kinds.setdefault(
            kind, {"kind": kind, "windows": 0, "late": 0, "double": 0, "lag": [], "took": [], "executions": 0}
        )
        one["windows"] += 1
        lane = (kind, row["filter_key"])
        one["late"] += row["time_to"] < newest.get(lane, 0)
        newest[lane] = max(newest.get(lane, 0), row["time_to"])
        span = (*lane, row["time_from"], row["time_to"])
        one["double"] += span in spans
        spans.add(span)
        if row["finished_ns"]:
            one["lag"].append(row["finished_ns"] - row["time_to"])
            one["took"].append(row["finished_ns"] - row["created_ns"])
    before = await site.fetch(_BEFORE, (site.now_ns() - DAY_NS,))
    for row in await site.fetch(_COST, (before[0]["id"] if before else 0,)):
        kind = f"{row['name']} {row['version']}"
        if kind in kinds:
            kinds[kind].update(executions=row["executions"], busy_ns=row["busy_ns"], attempts=row["attempts"])
    for one in kinds.values():
        for name in ("lag", "took"):
            values = one.pop(name)
            one[f"{name}_p50"], one[f"{name}_p95"] = (
                shown.percentile(values, share) for share in (0.5, 0.95)
            )
    return site.page(
        request, "freshness.html", "Freshness and cost", kinds=list(kinds.values()), limit=FRESH_MAX
    )


ROUTES = (
    ("/dag", dag),
    ("/algorithms/{name}/{version}", algorithm),
    ("/failures", failures),
    ("/processors", processors),
    ("/queue", queue),
    ("/freshness", freshness),
)
