"""State machines and task events: stores of other programs, read as plain SQLite files and never written.

Diagrams are drawn by whoever offers it under the entry-point group ``orca.diagrams``; the package of the state
machines does, where it is installed beside the core.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import Response as Answer

from orca.orchestrator.errors import FieldFault, InvalidFieldError, NotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from orca.orchestrator.dashboard.site import Site
    from orca.orchestrator.settings import CoreSettings

__all__ = ["ROUTES", "places"]

# Whoever makes or closes the file keeps it for himself for as long as the disk takes.
BUSY_S = 10.0
INSTANCES_MAX = 500
JOURNAL_MAX = 200
JOURNAL_READ_MAX = 5000
"""Steps looked through for changes of state, the newest."""
ACTIVE_MAX = 200
"""Highlighted states of one diagram."""
DIAGRAM_HEADERS = {
    "cache-control": "private, max-age=86400",
    # A drawing carries its own colours; it can do nothing else.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
EVENTS_MAX = 200


def _read(path: Path, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Rows of a file that belongs to somebody else; none of a table that is still to be made."""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
        ) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute(sql, parameters)]
    except sqlite3.Error as error:
        if str(error).startswith("no such table"):
            # The file is there, and its owner is at the first statement.
            return []
        raise StoreError(f"{path} cannot be read: {error}") from error


def _has(path: Path, table: str) -> bool:
    return bool(_read(path, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)))


def places(settings: CoreSettings) -> dict[str, Path]:
    """The files behind these pages, by the kind of news that their change is."""
    machines = Path(settings.machines) if settings.machines else settings.folder / "machines.db"
    outbox = Path(settings.outbox) if settings.outbox else settings.folder / "outbox"
    return {"machine": machines, "task": outbox / "outbox.db"}


def _machines(site: Site) -> Path:
    return places(site.core.settings)["machine"]


def _object(text: str) -> dict[str, Any]:
    try:
        value: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _instances(path: Path) -> list[dict[str, Any]]:
    """What the list of instances shows, by machine and name; reads and parses, so a thread calls it."""
    if not path.exists():
        return []
    # No index has this order, so every run is looked at: only its names, and only what is shown is read whole.
    shown = _read(path, "SELECT run_id FROM orca_runs ORDER BY machine, run_id LIMIT ?", (INSTANCES_MAX,))
    # Once more through the table, hence the plus: a search for a name reads the long snapshots of all that it is
    # compared with. Only question marks are put together here; every value is bound.
    marks = ",".join("?" * len(shown))
    sql = f"SELECT run_id, sequence, machine, snapshot FROM orca_runs WHERE +run_id IN ({marks})"  # noqa: S608
    found = _read(path, sql, [row["run_id"] for row in shown])
    found.sort(key=lambda row: (row["machine"], row["run_id"]))
    for row in found:
        snapshot = _object(row.pop("snapshot"))
        row["state"] = _state_of(snapshot)
        row["status"] = str(snapshot.get("status", ""))
        row["version"] = str(snapshot.get("definition_version", ""))
        row["hash"] = str(snapshot.get("definition_hash", ""))
        row["active"] = _active(snapshot)
        row["at_ns"] = int(float(snapshot.get("timestamp", 0)) * 1e9)
    return found


def _active(snapshot: dict[str, Any]) -> list[str]:
    """The paths of the active states."""
    paths = snapshot.get("configuration")
    if isinstance(paths, list):
        return [str(path) for path in cast("list[object]", paths)]
    state = snapshot.get("state")
    return [part.strip() for part in state.split(",")] if isinstance(state, str) else []


def _state_of(snapshot: dict[str, Any]) -> str:
    """The innermost active states in one line.

    Example:
        >>> _state_of({"configuration": ["watching", "watching.calm"], "state": {"watching": {"calm": {}}}})
        'watching.calm'
    """
    paths = _active(snapshot)
    inner = [path for path in paths if not any(other.startswith(path + ".") for other in paths)]
    return ", ".join(inner) or str(snapshot.get("state", ""))


@cache
def _drawer() -> Callable[[str, Sequence[str]], str] | None:
    """What draws statecharts in this environment, or None."""
    for entry in entry_points(group="orca.diagrams", name="statechart"):
        return cast("Callable[[str, Sequence[str]], str]", entry.load())
    return None


def _sources(path: Path, keys: Iterable[str]) -> dict[str, str]:
    """Definitions by their hashes; stores of earlier versions hold none."""
    wanted = sorted(set(keys))
    if not _has(path, "orca_definitions"):
        return {}
    found: dict[str, str] = {}
    for key in wanted:
        for row in _read(path, "SELECT source FROM orca_definitions WHERE hash = ?", (key,)):
            found[key] = str(row["source"])
    return found


async def _drawable(path: Path, keys: Iterable[str]) -> tuple[set[str], str]:
    """Which definitions have a diagram, and why others have none."""
    if await asyncio.to_thread(_drawer) is None:
        return (
            set(),
            "Diagrams need the state machines' package beside the core: pip install orca-statemachine",
        )
    return set(await asyncio.to_thread(_sources, path, keys)), "The store has no definition of this machine."


async def machines(site: Site, request: Request) -> Response:
    """Instances of state machines by their states."""
    path = _machines(site)
    instances = await asyncio.to_thread(_instances, path)
    kinds: dict[str, dict[str, Any]] = {}
    for row in instances:
        kind = kinds.setdefault(
            f"{row['machine']} {row['version']} {row['hash']}",
            {
                "machine": row["machine"],
                "version": row["version"],
                "hash": row["hash"],
                "counts": {},
                "rows": [],
            },
        )
        kind["rows"].append(row)
        kind["counts"][row["state"]] = kind["counts"].get(row["state"], 0) + 1
    drawn, why = await _drawable(path, (row["hash"] for row in instances)) if instances else (set[str](), "")
    for kind in kinds.values():
        kind["active"] = sorted({name for row in kind["rows"] for name in row["active"]})[:ACTIVE_MAX]
    return site.page(
        request,
        "machines.html",
        "State machines",
        place=str(path),
        found=path.exists(),
        kinds=list(kinds.values()),
        drawn=drawn,
        why=why,
        full=len(instances) == INSTANCES_MAX,
    )


async def diagram(site: Site, request: Request) -> Response:
    """A definition of the store as a picture, with the asked states highlighted."""
    key = request.path_params["hash"]
    path = _machines(site)
    sources = await asyncio.to_thread(_sources, path, [key]) if path.exists() else {}
    drawer = await asyncio.to_thread(_drawer)
    if drawer is None or key not in sources:
        raise NotFoundError(f"there is no diagram of definition '{key[:100]}'")
    active = [name for name in request.query_params.get("active", "").split(",") if name]
    if len(active) > ACTIVE_MAX:
        raise InvalidFieldError((FieldFault("active", f"names more than {ACTIVE_MAX} states"),))
    svg = await asyncio.to_thread(drawer, sources[key], active)
    return Answer(svg, media_type="image/svg+xml", headers=DIAGRAM_HEADERS)


def _steps(path: Path, run_id: str, *, every: bool) -> list[dict[str, str]]:
    """The newest steps of an instance, or only those that changed its state."""
    found: list[dict[str, str]] = []
    # The newest entries wait in a table of their own where the store has one.
    journal = "SELECT sequence, entry FROM orca_journal WHERE run_id = ?1"
    if _has(path, "orca_recent"):
        journal += " UNION ALL SELECT sequence, entry FROM orca_recent WHERE run_id = ?1"
    sql = f"{journal} ORDER BY sequence DESC LIMIT ?2"
    for row in _read(path, sql, (run_id, JOURNAL_MAX if every else JOURNAL_READ_MAX)):
        entry = _object(row["entry"])
        source, target = str(entry.get("from", "")), str(entry.get("to", ""))
        if not every and source == target:
            continue
        found.append(
            {
                "sequence": row["sequence"],
                "event": str(entry.get("event", "")),
                "source": source,
                "target": target,
                "changed": json.dumps(entry.get("delta") or {}),
            }
        )
        if len(found) == JOURNAL_MAX:
            break
    return found


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
    every = request.query_params.get("steps", "") == "all"
    key = str(snapshot.get("definition_hash", ""))
    drawn, why = await _drawable(path, [key])
    context = cast("dict[str, Any]", snapshot.get("context") or {})
    return site.page(
        request,
        "machine.html",
        run_id,
        machine=rows[0]["machine"],
        snapshot=snapshot,
        state=_state_of(snapshot),
        at_ns=int(float(snapshot.get("timestamp", 0)) * 1e9),
        steps=rows[0]["sequence"],
        key=key if key in drawn else "",
        why=why,
        active=_active(snapshot)[:ACTIVE_MAX],
        context=json.dumps(context),
        every=every,
        journal=await asyncio.to_thread(_steps, path, run_id, every=every),
    )


async def tasks(site: Site, request: Request) -> Response:
    """Task events that are not delivered, and why."""
    path = places(site.core.settings)["task"]
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


ROUTES = (
    ("/machines", machines),
    ("/machines/{run}", machine),
    ("/diagrams/{hash}", diagram),
    ("/tasks", tasks),
)
