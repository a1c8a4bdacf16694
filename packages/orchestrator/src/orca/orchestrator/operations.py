"""What people do to a core: annotate, reprocess, cancel, keep only so much, make tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from orca.orchestrator.errors import ConflictError, FieldFault, InvalidFieldError, NotFoundError
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.queries import ROWS_MAX, Page, Where, read_failed, read_windows
from orca.orchestrator.security import SCOPES, new_token, token_digest
from orca.orchestrator.store.codec import canonical
from orca.orchestrator.store.records import OPEN, NewRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from orca.orchestrator.core import Core
    from orca.orchestrator.registry import PlanInfo
    from orca.orchestrator.store.port import Store

__all__ = [
    "Reprocess",
    "Stored",
    "cancel_run",
    "create_token",
    "put_annotation",
    "reprocess",
    "retain",
    "retain_again",
]

DESCRIPTION_CHARS_MAX = 10_000
# Windows deleted per transaction, so that emits go on in between.
RETAIN_STEP = 200
# Runs made per transaction.
REPROCESS_STEP = 100


async def put_annotation(
    core: Core,
    times_ns: tuple[int, int],
    description: str,
    *,
    metadata: Mapping[str, Any],
    algorithms: Sequence[tuple[str, str]],
    window_types: Sequence[tuple[str, str]],
) -> int:
    """Store a note on a span of time; gives its row.

    Raises:
        InvalidFieldError: The times are in the wrong order, or the text is too long.
    """
    faults: list[FieldFault] = []
    if not 0 <= times_ns[0] <= times_ns[1]:
        faults.append(FieldFault("time_to", "must not lie before time_from"))
    if len(description) > DESCRIPTION_CHARS_MAX:
        faults.append(
            FieldFault("description", f"has {len(description)} characters, at most {DESCRIPTION_CHARS_MAX}")
        )
    if faults:
        raise InvalidFieldError(tuple(faults))
    row = (
        *times_ns,
        description,
        canonical(dict(metadata)),
        canonical([list(entry) for entry in algorithms]),
        canonical([list(entry) for entry in window_types]),
        core.engine.now_ns(),
    )
    sql = (
        "INSERT INTO annotations (time_from, time_to, description, metadata, algorithms, window_types, created_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    return (await core.store.write("annotate", [(sql, row)]))[0]


class Reprocess:
    """Which windows to run again, and what to keep of them.

    The results of algorithms that asked for ``cache`` are always kept: one per algorithm, version and window.

    Args:
        where: Conditions on windows (alias ``w``), their types (``t``) and latest runs (``r``).
        failed: Only windows whose latest run failed; what succeeded there is kept.
        reuse: Keep every result that is there, and run only what has none.
        priority: Of the new runs.
    """

    def __init__(self, where: Where, *, failed: bool = False, reuse: bool = False, priority: int = 0) -> None:
        self.where = where
        self.failed = failed
        self.reuse = reuse
        self.priority = priority


async def reprocess(core: Core, request: Reprocess) -> AsyncIterator[tuple[int, int, int, int]]:
    """Make new runs with the present plans; gives (done, total, run, window) as it goes.

    Windows whose latest run is still open are passed over: they will have results without help.

    Raises:
        ConflictError: Nothing is registered for a window's type any more.
    """
    places = await _places(core, request)
    done = 0
    for start in range(0, len(places), REPROCESS_STEP):
        step = places[start : start + REPROCESS_STEP]
        runs = [_new_run(core, request, place, await _plan_for(core, place.kind)) for place in step]
        made = await core.store.begin_runs(runs)
        core.engine.wake()
        for place, run_id in zip(step, made, strict=True):
            done += 1
            yield done, len(places), run_id, place.window_id


class _Place(NamedTuple):
    """All that is held of a window before its turn: there may be a million of them."""

    window_id: int
    run_id: int
    kind: WindowTypeRef


async def _places(core: Core, request: Reprocess) -> list[_Place]:
    kinds: dict[tuple[str, str], WindowTypeRef] = {}

    def kind_of(name: str, version: str) -> WindowTypeRef:
        return kinds.setdefault((name, version), WindowTypeRef(name, version))

    if request.failed:
        return [
            _Place(window_id, run_id, kind_of(name, version))
            for _, window_id, run_id, name, version in await read_failed(core.store, request.where)
        ]
    return [
        _Place(row["id"], row["run_id"] or 0, kind_of(row["type_name"], row["type_version"]))
        async for row in read_windows(core.store, request.where, Page(limit=ROWS_MAX))
        if row["run_id"] is None or row["state"] != OPEN
    ]


async def _plan_for(core: Core, kind: WindowTypeRef) -> PlanInfo:
    trigger = await core.registry.trigger(kind)
    if trigger.info is None:
        raise ConflictError(f"no algorithm is registered for window type {kind}", hint="start its processor")
    return trigger.info


def _new_run(core: Core, request: Reprocess, place: _Place, info: PlanInfo) -> NewRun:
    keep = "succeeded" if request.failed else "results"
    algorithm_ids = info.algorithm_ids
    if not request.failed and not request.reuse:
        nodes = zip(algorithm_ids, info.plan.nodes, strict=True)
        algorithm_ids = tuple(one for one, node in nodes if node.definition.options.cache)
    return NewRun(
        place.window_id,
        info.plan_id,
        "retry" if request.failed else "reprocess",
        request.priority,
        core.engine.now_ns(),
        keep if algorithm_ids else "none",
        place.run_id,
        algorithm_ids,
    )


async def cancel_run(core: Core, run_id: int) -> None:
    """End an open run; what is done stays.

    Raises:
        NotFoundError: There is no such run.
        ConflictError: It is finished.
    """
    rows = await core.store.fetch("SELECT state FROM runs WHERE id = ?", (run_id,))
    if not rows:
        raise NotFoundError(f"run {run_id} is not in the store", hint="orca runs list")
    if rows[0]["state"] != OPEN:
        raise ConflictError(f"run {run_id} is finished", hint=f"orca runs show {run_id}")
    active = core.engine.index.get(run_id)
    if active is not None:
        core.engine.cancel(active, "cancelled by request")
        return
    await core.store.cancel(run_id, core.engine.now_ns())


_FINISHED = "NOT EXISTS (SELECT 1 FROM runs r WHERE r.window_id = w.id AND r.state = 0)"
_DOOMED = f"""
SELECT w.id FROM windows w WHERE w.id > ? AND {{rule}} AND {_FINISHED} ORDER BY w.id LIMIT {RETAIN_STEP}
"""  # noqa: S608 - constants of our own
_NEWEST_TO_GO = f"""
SELECT w.id FROM windows w WHERE {_FINISHED} ORDER BY w.id DESC LIMIT 1 OFFSET ?
"""  # noqa: S608 - constants of our own
# Two inner statements: SQLite counts a whole table in one step, as long as nothing else is asked of it.
_STORED = """
SELECT (SELECT count(*) FROM windows) AS stored, (SELECT coalesce(max(id), 0) FROM windows) AS newest
"""
_NEWEST = "SELECT coalesce(max(id), 0) AS newest FROM windows"
_OPEN_WINDOWS = "SELECT count(DISTINCT window_id) AS number FROM runs WHERE state = 0"
_ACCEPTED = f"SELECT id, created_ns FROM windows WHERE id > ? ORDER BY id LIMIT {RETAIN_STEP}"  # noqa: S608 - ours


class Stored:
    """How many windows are stored at most: counted once, then by how far their numbers went on.

    Whoever deletes in another process, and numbers that were left out, only make it too large.
    """

    def __init__(self) -> None:
        self._newest: int | None = None
        self._stored = 0

    async def at_most(self, store: Store) -> int:
        """Not less than there are."""
        if self._newest is None:
            (row,) = await store.fetch(_STORED)
            self._stored = row["stored"]
        else:
            (row,) = await store.fetch(_NEWEST)
            self._stored += max(0, row["newest"] - self._newest)
        self._newest = max(self._newest or 0, row["newest"])
        return self._stored

    def deleted(self, ids: Sequence[int]) -> None:
        """These are gone, in ascending order; after the newest one SQLite gives its number once more."""
        self._stored -= len(ids)
        if self._newest is not None and ids[-1] >= self._newest:
            self.forget()

    def forget(self) -> None:
        """Count again the next time."""
        self._newest = None


async def retain(core: Core, *, older_than_ns: int = 0, keep: int = 0) -> int:
    """Delete finished windows with their runs and results, by age and by number; gives how many.

    Args:
        core: Whose store.
        older_than_ns: Windows accepted before this time go; 0 keeps all ages.
        keep: So many of the newest finished windows stay; 0 keeps any number.
    """
    deleted = 0
    if older_than_ns:
        deleted += await _delete(core, "w.created_ns < ?", older_than_ns)
    if keep:
        deleted += await _delete_beyond(core, keep)
    return deleted


async def retain_again(core: Core, *, older_than_ns: int = 0, keep: int = 0) -> int:
    """The same for whoever asks every now and then: little is read when nothing is due.

    Times of acceptance grow with the windows' numbers but for ties and steps of a clock, so the first page of windows
    that are all younger ends the search. What lies behind it goes when that page is old enough.
    """
    deleted = 0
    if older_than_ns:
        last = 0
        while rows := await core.store.fetch(_ACCEPTED, (last,)):
            if all(row["created_ns"] >= older_than_ns for row in rows):
                break
            end = rows[-1]["id"]
            deleted += await _delete(core, f"w.id <= {end} AND w.created_ns < ?", older_than_ns, last)
            last = end
    if keep and (stored := await core.stored.at_most(core.store)) > keep:
        (waiting,) = await core.store.fetch(_OPEN_WINDOWS)
        if stored - waiting["number"] > keep:
            beyond = await _delete_beyond(core, keep)
            deleted += beyond
            if not beyond:
                core.stored.forget()
    return deleted


async def _delete_beyond(core: Core, keep: int) -> int:
    rows = await core.store.fetch(_NEWEST_TO_GO, (keep,))
    return await _delete(core, "w.id <= ?", rows[0]["id"]) if rows else 0


async def _delete(core: Core, rule: str, limit: int, last: int = 0) -> int:
    """Delete finished windows of which the rule holds, behind ``last``, some at a time; gives how many."""
    deleted = 0
    while rows := await core.store.fetch(_DOOMED.format(rule=rule), (last, limit)):
        deleted += len(rows)
        last = rows[-1]["id"]
        ids = ", ".join(str(row["id"]) for row in rows)
        runs = f"SELECT id FROM runs WHERE window_id IN ({ids})"  # noqa: S608 - numbers of our own
        tables = [
            f"DELETE FROM executions WHERE run_id IN ({runs})",  # noqa: S608 - numbers of our own
            f"DELETE FROM attempts WHERE run_id IN ({runs})",  # noqa: S608 - numbers of our own
            f"DELETE FROM results WHERE window_id IN ({ids})",  # noqa: S608 - numbers of our own
            f"DELETE FROM runs WHERE window_id IN ({ids})",  # noqa: S608 - numbers of our own
            f"DELETE FROM windows WHERE id IN ({ids})",  # noqa: S608 - numbers of our own
        ]
        await core.store.write("retain", [(sql, ()) for sql in tables])
        core.stored.deleted([row["id"] for row in rows])
        if len(rows) < RETAIN_STEP:
            break
    return deleted


async def create_token(core: Core, name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """Make a token; gives it (this is the only time it is shown) and its digest.

    Raises:
        InvalidFieldError: The name or a scope has a wrong form.
        ConflictError: The name is taken.
    """
    faults: list[FieldFault] = []
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        faults.append(FieldFault("name", "must have 1 to 64 letters, digits, dots, dashes or underscores"))
    faults.extend(
        FieldFault("scopes", f"has {scope!r}, not one of {', '.join(SCOPES)}")
        for scope in scopes
        if scope not in SCOPES
    )
    if not scopes:
        faults.append(FieldFault("scopes", f"must have at least one of {', '.join(SCOPES)}"))
    if faults:
        raise InvalidFieldError(tuple(faults))
    if await core.store.fetch("SELECT id FROM tokens WHERE name = ?", (name,)):
        raise ConflictError(f"a token '{name}' exists", hint=f"orca token delete {name}")
    token = new_token()
    sql = "INSERT INTO tokens (name, digest, scopes, created_ns) VALUES (?, ?, ?, ?)"
    row = (name, token_digest(token), ",".join(scopes), core.engine.now_ns())
    await core.store.write("token", [(sql, row)])
    return token, token_digest(token)
