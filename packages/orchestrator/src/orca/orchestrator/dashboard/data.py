"""Numbers for charts, and exports: everything that reads payloads."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse, Response, StreamingResponse

from orca.common.errors import UsageError
from orca.orchestrator import queries
from orca.orchestrator.dashboard import shown
from orca.orchestrator.dashboard.pages import windows_where
from orca.orchestrator.model import ResultKind
from orca.orchestrator.queries import Page, Where
from orca.orchestrator.store.codec import decode_value
from orca.orchestrator.store.records import RUN_STATES, StoredValue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

    from orca.orchestrator.dashboard.site import Site

__all__ = ["POINTS_MAX", "ROUTES", "numbers_of"]

POINTS_MAX = 100_000
"""Points of one chart: what a browser draws in a blink."""
EXPORT_MAX = 1_000_000
PARQUET_MAX = 200_000
FIELDS_MAX = 20
DURATIONS_MAX = 1000

_POINTS = (
    "SELECT s.kind, s.number, CASE WHEN s.kind = 1 THEN s.payload END AS payload, length(s.payload) AS size,"
    " s.time_from, s.time_to, s.window_id, s.filter_key, a.version"
    " FROM results s JOIN algorithms a ON a.id = s.algorithm_id"
)


def numbers_of(kind: int, number: float | None, payload: bytes | None, size: int | None) -> dict[str, float]:
    """What of a result can be drawn: its number, a struct's number fields, or an array's length.

    Example:
        >>> numbers_of(1, None, b'{"mean": 2, "name": "x", "ok": true}', 30)
        {'mean': 2.0}
        >>> numbers_of(2, 1.5, None, None), numbers_of(3, None, b"", 80)
        ({'value': 1.5}, {'length': 10.0})
    """
    if kind == ResultKind.VALUE:
        return {} if number is None else {"value": number}
    if kind == ResultKind.ARRAY:
        return {"length": (size or 0) / 8}
    if kind != ResultKind.STRUCT:
        return {}
    value = cast("dict[str, Any]", json.loads(payload or b"{}"))
    found: dict[str, float] = {}
    for key, item in value.items():
        if isinstance(item, (int, float)) and not isinstance(item, bool) and math.isfinite(item):
            found[key] = float(item)
        if len(found) == FIELDS_MAX:
            break
    return found


def _results_where(query: Mapping[str, str]) -> Where:
    name, _, version = query.get("algorithm", "").rpartition(" ")
    if query.get("name"):  # all its versions, one over the other
        name, version = query["name"], ""
    where = Where()
    where.ref("a", name, version)
    where.span("s", shown.time_ns(query.get("from", ""), "from"), shown.time_ns(query.get("to", ""), "to"))
    return where


async def points(site: Site, request: Request) -> Response:
    """The results of an algorithm as columns: one series per version and lane."""
    where = _results_where(request.query_params)
    sql = f"{_POINTS}{where.text} ORDER BY s.time_to DESC, s.id DESC LIMIT ?"
    found = await site.fetch(sql, [*where.parameters, POINTS_MAX])
    notes = await site.fetch("SELECT id, time_from, time_to, description FROM annotations LIMIT 1000")
    # Also the text that is sent: of so many points it takes as long as the columns.
    return await asyncio.to_thread(_chart, found, notes, request.query_params.get("field", ""))


def _chart(found: list[Mapping[str, Any]], notes: list[Mapping[str, Any]], wanted: str) -> Response:
    columns = _columns(found[::-1], wanted)
    columns["notes"] = [
        [note["time_from"] / 1e9, note["time_to"] / 1e9, note["description"]] for note in notes
    ]
    return JSONResponse(columns)


def _columns(found: list[Mapping[str, Any]], wanted: str) -> dict[str, Any]:
    fields: dict[str, int] = {}
    lanes: dict[tuple[str, str], int] = {}
    rows: list[tuple[Mapping[str, Any], dict[str, float]]] = []
    for row in found:
        numbers = numbers_of(row["kind"], row["number"], row["payload"], row["size"])
        rows.append((row, numbers))
        lanes.setdefault((row["version"], row["filter_key"]), len(lanes))
        for name in numbers:
            fields[name] = fields.get(name, 0) + 1
    field = wanted if wanted in fields else next(iter(fields), "")
    series: list[list[float | None]] = [[] for _ in lanes]
    times: list[float] = []
    starts: list[float] = []
    ids: list[int] = []
    for row, numbers in rows:
        at = row["time_to"] / 1e9
        # Lanes share their points in time, so a series has one column however many lanes there are.
        if not times or times[-1] != at:
            times.append(at)
            starts.append(row["time_from"] / 1e9)
            ids.append(row["window_id"])
            for one in series:
                one.append(None)
        series[lanes[row["version"], row["filter_key"]]][-1] = numbers.get(field)
    several = len({version for version, _ in lanes}) > 1
    names = [
        " ".join(
            [
                *([version] if several else []),
                *([", ".join(value for _, value in shown.metadata_of(lane))] if lane else []),
            ]
        )
        or field
        for version, lane in lanes
    ]
    return {
        "fields": list(fields),
        "field": field,
        "names": names,
        "times": times,
        "starts": starts,
        "windows": ids,
        "series": series,
        "full": len(found) >= POINTS_MAX,
    }


async def durations(site: Site, request: Request) -> Response:
    """Milliseconds of the newest executions of an algorithm, one series per version."""
    sql = (
        "SELECT a.version, e.sent_ns, e.finished_ns, r.window_id FROM executions e"
        " JOIN algorithms a ON a.id = e.algorithm_id JOIN runs r ON r.id = e.run_id"
        " WHERE a.name = ? AND e.sent_ns > 0 AND e.run_id > (SELECT coalesce(max(id), 0) - ? FROM runs)"
        " ORDER BY e.finished_ns"
    )
    found = await site.fetch(sql, (request.query_params.get("name", ""), DURATIONS_MAX))
    versions = sorted({row["version"] for row in found})
    times = [row["finished_ns"] / 1e9 for row in found]
    series = [
        [(row["finished_ns"] - row["sent_ns"]) / 1e6 if row["version"] == version else None for row in found]
        for version in versions
    ]
    answer = {
        "fields": ["ms"],
        "field": "ms",
        "names": versions,
        "times": times,
        "starts": times,
        "notes": [],
    }
    return JSONResponse({**answer, "windows": [row["window_id"] for row in found], "series": series})


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A result as an exported row; a struct or an array stays JSON."""
    value = decode_value(StoredValue(row["kind"], row["number"], row["payload"]))
    if not isinstance(value, (float, type(None))):
        value = json.dumps(value)
    return {
        "algorithm": row["name"],
        "version": row["version"],
        "window_id": row["window_id"],
        "run_id": row["run_id"],
        "window_type": f"{row['type_name']}_{row['type_version']}",
        "time_from": shown.clock(row["time_from"]),
        "time_to": shown.clock(row["time_to"]),
        "origin": row["origin"],
        "metadata": row["metadata"],
        "value": value,
    }


def _window(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "window_type": f"{row['type_name']}_{row['type_version']}",
        "time_from": shown.clock(row["time_from"]),
        "time_to": shown.clock(row["time_to"]),
        "origin": row["origin"],
        "metadata": row["metadata"],
        "state": "none" if row["run_id"] is None else RUN_STATES[row["state"]],
        "run_id": row["run_id"] or 0,
        "accepted": shown.clock(row["created_ns"]),
    }


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and value != "-":
        return "'" + value
    return value


async def _csv(found: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    buffer = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    async for row in found:
        if writer is None:
            writer = csv.DictWriter(buffer, list(row))
            writer.writeheader()
        writer.writerow({name: _safe(value) for name, value in row.items()})
        if buffer.tell() > 65_536:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _download(name: str, content: AsyncIterator[str]) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)


async def results_csv(site: Site, request: Request) -> Response:
    """Results as a table of text."""
    found = queries.read_results(site.core.store, _results_where(request.query_params), Page(EXPORT_MAX))
    return _download("results.csv", _csv(_plain(row) async for row in found))


async def windows_csv(site: Site, request: Request) -> Response:
    """Windows as a table of text."""
    where, wanted, _ = windows_where(request.query_params)
    found = queries.read_windows(site.core.store, where, Page(EXPORT_MAX, metadata=wanted))
    return _download("windows.csv", _csv(_window(row) async for row in found))


async def results_parquet(site: Site, request: Request) -> Response:
    """Results as Parquet, where pyarrow is installed."""
    try:
        # By name, because it is nobody's dependency: whoever wants Parquet has it.
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError("Parquet needs pyarrow", hint="pip install pyarrow; or export CSV") from None
    where = _results_where(request.query_params)
    found = [_plain(row) async for row in queries.read_results(site.core.store, where, Page(PARQUET_MAX))]
    for row in found:
        # One column has one type: numbers stay numbers, everything else is JSON beside them.
        value = row.pop("value")
        row["number"] = value if isinstance(value, float) else None
        row["json"] = value if isinstance(value, str) else None

    def written() -> bytes:
        sink = io.BytesIO()
        parquet.write_table(arrow.Table.from_pylist(found), sink)
        return sink.getvalue()

    headers = {"content-disposition": 'attachment; filename="results.parquet"'}
    content = await asyncio.to_thread(written)
    return Response(content, media_type="application/vnd.apache.parquet", headers=headers)


ROUTES = (
    ("/data/results", points),
    ("/data/durations", durations),
    ("/export/results.csv", results_csv),
    ("/export/results.parquet", results_parquet),
    ("/export/windows.csv", windows_csv),
)
