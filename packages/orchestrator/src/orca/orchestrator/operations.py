"""What people do to a core: annotate, reprocess, cancel, keep only so much, make tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orca.orchestrator.errors import ConflictError, FieldFault, InvalidFieldError, NotFoundError
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.queries import ROWS_MAX, Page, Where, read_windows
from orca.orchestrator.security import SCOPES, new_token, token_digest
from orca.orchestrator.store.codec import canonical
from orca.orchestrator.store.records import OPEN, RUN_FAILED, NewRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from orca.orchestrator.core import Core
    from orca.orchestrator.registry import PlanInfo

__all__ = ["Reprocess", "cancel_run", "create_token", "put_annotation", "reprocess", "retain"]

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
    if request.failed:
        request.where.state("r", RUN_FAILED)
    rows = [
        row
        async for row in read_windows(core.store, request.where, Page(limit=ROWS_MAX))
        if row["run_id"] is None or row["state"] != OPEN
    ]
    done = 0
    for start in range(0, len(rows), REPROCESS_STEP):
        step = rows[start : start + REPROCESS_STEP]
        runs = [_new_run(core, request, row, await _plan_for(core, row)) for row in step]
        made = await core.store.begin_runs(runs)
        core.engine.wake()
        for row, run_id in zip(step, made, strict=True):
            done += 1
            yield done, len(rows), run_id, row["id"]


async def _plan_for(core: Core, row: Mapping[str, Any]) -> PlanInfo:
    kind = WindowTypeRef(row["type_name"], row["type_version"])
    trigger = await core.registry.trigger(kind)
    if trigger.info is None:
        raise ConflictError(f"no algorithm is registered for window type {kind}", hint="start its processor")
    return trigger.info


def _new_run(core: Core, request: Reprocess, row: Mapping[str, Any], info: PlanInfo) -> NewRun:
    keep = "succeeded" if request.failed else "results"
    algorithm_ids = info.algorithm_ids
    if not request.failed and not request.reuse:
        nodes = zip(algorithm_ids, info.plan.nodes, strict=True)
        algorithm_ids = tuple(one for one, node in nodes if node.definition.options.cache)
    return NewRun(
        row["id"],
        info.plan_id,
        "retry" if request.failed else "reprocess",
        request.priority,
        core.engine.now_ns(),
        keep if algorithm_ids else "none",
        row["run_id"] or 0,
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
        rows = await core.store.fetch(_NEWEST_TO_GO, (keep,))
        deleted += await _delete(core, "w.id <= ?", rows[0]["id"]) if rows else 0
    return deleted


async def _delete(core: Core, rule: str, limit: int) -> int:
    """Delete finished windows of which the rule holds, some at a time; gives how many."""
    deleted = last = 0
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
