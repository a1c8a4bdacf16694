"""State machines and task events: stores of other programs, read as plain SQLite files and never written."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orca.orchestrator.errors import NotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from orca.orchestrator.dashboard.site import Site

__all__ = ["ROUTES"]

BUSY_S = 1.0
INSTANCES_MAX = 500
JOURNAL_MAX = 200
EVENTS_MAX = 200


def _read(path: Path, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Rows of a file that belongs to somebody else."""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
        ) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute(sql, parameters)]
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _machines(site: Site) -> Path:
    settings = site.core.settings
    return Path(settings.machines) if settings.machines else settings.folder / "machines.db"


def _outbox(site: Site) -> Path:
    settings = site.core.settings
    return (Path(settings.outbox) if settings.outbox else settings.folder / "outbox") / "outbox.db"


def _object(text: str) -> dict[str, Any]:
    try:
        value: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


async def machines(site: Site, request: Request) -> Response:
    """Instances of state machines by their states."""
    path = _machines(site)
    instances: list[dict[str, Any]] = []
    if path.exists():
        sql = "SELECT run_id, sequence, machine, snapshot FROM orca_runs ORDER BY machine, run_id LIMIT ?"
        for row in await asyncio.to_thread(_read, path, sql, (INSTANCES_MAX,)):
            snapshot = _object(row.pop("snapshot"))
            row["state"] = str(snapshot.get("state", ""))
            row["status"] = str(snapshot.get("status", ""))
            row["at_ns"] = int(float(snapshot.get("timestamp", 0)) * 1e9)
            instances.append(row)
    counts: dict[tuple[str, str], int] = {}
    for row in instances:
        key = (row["machine"], row["state"])
        counts[key] = counts.get(key, 0) + 1
    return site.page(
        request,
        "machines.html",
        "State machines",
        place=str(path),
        found=path.exists(),
        instances=instances,
        counts=counts,
    )


async def machine(site: Site, request: Request) -> Response:
    """One instance: where it is, what it knows, how it came there."""
    run_id = request.path_params["run"]
    path = _machines(site)
    rows = (
        await asyncio.to_thread(_read, path, "SELECT * FROM orca_runs WHERE run_id = ?", (run_id,))
        if path.exists()
        else []
    )
    if not rows:
        raise NotFoundError(f"there is no state machine '{run_id[:100]}' in {path}")
    snapshot = _object(rows[0]["snapshot"])
    sql = "SELECT sequence, entry FROM orca_journal WHERE run_id = ? ORDER BY sequence DESC LIMIT ?"
    journal = [
        {**_object(row["entry"]), "sequence": row["sequence"]}
        for row in await asyncio.to_thread(_read, path, sql, (run_id, JOURNAL_MAX))
    ]
    context = cast("dict[str, Any]", snapshot.get("context") or {})
    return site.page(
        request,
        "machine.html",
        run_id,
        machine=rows[0]["machine"],
        snapshot=snapshot,
        context=json.dumps(context),
        journal=[
            {
                "sequence": entry["sequence"],
                "event": str(entry.get("event", "")),
                "source": str(entry.get("from", "")),
                "target": str(entry.get("to", "")),
                "changed": json.dumps(entry.get("delta") or {}),
            }
            for entry in journal
        ],
    )


async def tasks(site: Site, request: Request) -> Response:
    """Task events that are not delivered, and why."""
    path = _outbox(site)
    waiting: list[dict[str, Any]] = []
    dead: list[dict[str, Any]] = []
    running: list[dict[str, Any]] = []
    if path.exists():
        columns = "SELECT id, run, size, created, attempts, error FROM events ORDER BY id LIMIT ?"
        waiting = await asyncio.to_thread(_read, path, columns, (EVENTS_MAX,))
        columns = "SELECT id, run, created, died, reason FROM dead ORDER BY id DESC LIMIT ?"
        dead = await asyncio.to_thread(_read, path, columns, (EVENTS_MAX,))
        columns = "SELECT run, name, started FROM runs ORDER BY started DESC LIMIT ?"
        running = await asyncio.to_thread(_read, path, columns, (EVENTS_MAX,))
    return site.page(
        request,
        "tasks.html",
        "Tasks",
        place=str(path),
        found=path.exists(),
        waiting=waiting,
        dead=dead,
        running=running,
    )


ROUTES = (("/machines", machines), ("/machines/{run}", machine), ("/tasks", tasks))
