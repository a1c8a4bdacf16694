"""Reading statements that both databases understand: ``?`` stands for a parameter, times are nanoseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orca.orchestrator.errors import NotFoundError
from orca.orchestrator.store.records import RUN_FAILED, RUN_SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from orca.orchestrator.store.port import Store

__all__ = [
    "PAGE",
    "ROWS_MAX",
    "RUNS",
    "WINDOWS",
    "Page",
    "Where",
    "matches",
    "read_counts",
    "read_failed",
    "read_results",
    "read_run",
    "read_runs",
    "read_windows",
]

# One page of a stream: what is held in memory at a time.
PAGE = 500
# The most rows that one call answers when it asks for no number of its own is 100; this is the most it may ask.
ROWS_MAX = 1_000_000
ROWS_DEFAULT = 100
# So many windows of one type are sooner found and put in order than looked for among all runs.
FEW = 1000

WINDOWS = """
SELECT w.id, t.name AS type_name, t.version AS type_version, w.time_from, w.time_to, w.origin, w.metadata,
  w.parent_id, w.parent_exec, w.created_ns, r.id AS run_id, r.state
FROM windows w JOIN window_types t ON t.id = w.type_id
LEFT JOIN runs r ON r.id = (SELECT max(id) FROM runs x WHERE x.window_id = w.id)
"""
RUNS = """
SELECT r.id, r.window_id, t.name AS type_name, t.version AS type_version, w.time_from, w.time_to, w.metadata,
  w.origin, r.kind, r.state, r.priority, r.created_ns, r.finished_ns, r.succeeded, r.failed, r.skipped, r.plan_id,
  w.type_id
FROM runs r JOIN windows w ON w.id = r.window_id JOIN window_types t ON t.id = w.type_id
"""
_RESULTS = """
SELECT s.id, a.name, a.version, s.window_id, s.run_id, t.name AS type_name, t.version AS type_version, s.time_from,
  s.time_to, w.origin, w.metadata, s.kind, s.number, s.payload, s.created_ns
FROM results s JOIN algorithms a ON a.id = s.algorithm_id JOIN windows w ON w.id = s.window_id
JOIN window_types t ON t.id = w.type_id
"""
# Along the rows' own numbers: a plus keeps a column from leading to everything that a type or algorithm ever had.
_WINDOWS_BY_ID = WINDOWS.replace("= w.type_id", "= +w.type_id")
_RUNS_BY_ID = RUNS.replace("= w.type_id", "= +w.type_id")
_RESULTS_BY_ID = _RESULTS.replace("= s.algorithm_id", "= +s.algorithm_id")
_OF_A_TYPE = """
SELECT count(*) AS number FROM
  (SELECT 1 FROM windows w JOIN window_types t ON t.id = w.type_id{where} LIMIT ?) AS those
"""
_FAILED = f"""
SELECT w.id, t.name AS type_name, t.version AS type_version, w.time_to, r.id AS run_id
FROM runs r JOIN windows w ON w.id = r.window_id JOIN window_types t ON t.id = +w.type_id
WHERE r.state = {RUN_FAILED} AND r.state <> {RUN_SUCCEEDED} AND r.id > ?
  AND r.id = (SELECT max(id) FROM runs x WHERE x.window_id = r.window_id)
"""  # noqa: S608 - constants of our own
_EXECUTIONS = """
SELECT a.name, a.version, e.status, e.attempts, e.queued_ns, e.sent_ns, e.finished_ns, e.address, e.cause, e.error,
  s.kind, s.number, s.payload
FROM executions e JOIN algorithms a ON a.id = e.algorithm_id JOIN runs r ON r.id = e.run_id
LEFT JOIN results s ON s.window_id = r.window_id AND s.algorithm_id = e.algorithm_id AND e.status = 4
WHERE e.run_id = ?
"""
_ATTEMPTS = """
SELECT a.name, a.version, t.attempt, t.sent_ns, t.ended_ns, t.address, t.cause, t.error
FROM attempts t JOIN algorithms a ON a.id = t.algorithm_id WHERE t.run_id = ? ORDER BY t.attempt
"""
_COUNTS = """
SELECT (SELECT count(*) FROM windows) AS windows, (SELECT count(*) FROM results) AS results,
  (SELECT count(*) FROM runs WHERE state = 0) AS open_runs, (SELECT count(*) FROM runs WHERE state = 2) AS failed_runs,
  (SELECT coalesce(min(created_ns), 0) FROM runs WHERE state = 0) AS oldest_open
"""


class Where:
    """Conditions that are put together with AND.

    Example:
        >>> where = Where()
        >>> where.add("a = ?", 1)
        >>> where.text
        ' WHERE a = ?'
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.parameters: list[Any] = []

    def add(self, condition: str, *parameters: Any) -> None:
        """One more condition."""
        self._parts.append(condition)
        self.parameters.extend(parameters)

    def ref(self, alias: str, name: str, version: str) -> None:
        """Name and, where given, version of a table."""
        if name:
            self.add(f"{alias}.name = ?", name)
        if version:
            self.add(f"{alias}.version = ?", version)

    def span(self, alias: str, from_ns: int, to_ns: int) -> None:
        """Wholly inside a range; 0 means no limit."""
        if from_ns:
            # The second follows from the first; the indices are ordered by the end.
            self.add(f"{alias}.time_from >= ? AND {alias}.time_to >= ?", from_ns, from_ns)
        if to_ns:
            self.add(f"{alias}.time_to <= ?", to_ns)

    def latest_run(self, run_id: int) -> None:
        """The window (alias ``w``) whose latest run (``r``) this is; found by the run, not by all windows."""
        self.add("w.id = (SELECT window_id FROM runs WHERE id = ?) AND r.id = ?", run_id, run_id)

    def state(self, alias: str, number: int) -> None:
        """One state of runs."""
        self.add(f"{alias}.state = ?", number)
        if number != RUN_SUCCEEDED:
            # In the words of the index of all others, which are few; those that succeeded are found anywhere.
            self._parts.append(f"{alias}.state <> {RUN_SUCCEEDED}")

    @property
    def text(self) -> str:
        """The clause, or nothing."""
        return " WHERE " + " AND ".join(self._parts) if self._parts else ""


def matches(metadata: str, wanted: Mapping[str, Any]) -> bool:
    """Whether a window's metadata has all wanted values.

    Example:
        >>> matches('{"a":1.0,"b":"x"}', {"a": 1})
        True
    """
    if not wanted:
        return True
    values = json.loads(metadata)
    return all(key in values and values[key] == value for key, value in wanted.items())


@dataclass(frozen=True, slots=True)
class Page:
    """How much of an answer, in which order, and which metadata.

    Attributes:
        limit: How many rows; 0 means 100.
        newest_first: The other way round.
        metadata: Values that a window must have.
        by_id: In the order in which rows were stored, instead of by time.
        since_ns: Only rows made at this time or later; for ``newest_first``. Times grow with the rows' numbers but for
            ties and steps of a clock, so a page that is wholly older ends the reading.
    """

    limit: int = 0
    newest_first: bool = False
    metadata: Mapping[str, Any] | None = None
    by_id: bool = False
    since_ns: int = 0

    @property
    def rows_max(self) -> int:
        """How many rows."""
        return min(self.limit, ROWS_MAX) if self.limit > 0 else ROWS_DEFAULT


async def _paged(
    store: Store, select: str, where: Where, page: Page, *, order: str
) -> AsyncIterator[Mapping[str, Any]]:
    left = page.rows_max
    names = order.split(", ")
    direction, beyond = ("DESC", "<") if page.newest_first else ("ASC", ">")
    columns = ", ".join(f"{name} {direction}" for name in names)
    after = f"({order}) {beyond} ({', '.join('?' for _ in names)})"
    last: list[Any] = []
    while left > 0:
        # From where the last page ended: an offset would read all pages before once more for each page.
        text = where.text if not last else f"{where.text} AND {after}" if where.text else f" WHERE {after}"
        size = PAGE if page.metadata or page.since_ns else min(PAGE, left)
        sql = f"{select}{text} ORDER BY {columns} LIMIT ?"
        rows = await store.fetch(sql, [*where.parameters, *last, size])
        old = 0
        for row in rows:
            if page.since_ns and row["created_ns"] < page.since_ns:
                old += 1
            elif left > 0 and matches(row["metadata"], page.metadata or {}):
                left -= 1
                yield row
        if len(rows) < size or old == len(rows):
            return
        last = [rows[-1][name.partition(".")[2]] for name in names]


def read_windows(store: Store, where: Where, page: Page) -> AsyncIterator[Mapping[str, Any]]:
    """Windows in order of time."""
    if page.by_id:
        return _paged(store, _WINDOWS_BY_ID, where, page, order="w.id")
    return _paged(store, WINDOWS, where, page, order="w.time_to, w.id")


async def read_runs(
    store: Store, where: Where, page: Page, *, name: str = "", version: str = ""
) -> AsyncIterator[Mapping[str, Any]]:
    """Runs in order of acceptance, all of them or those of a window type."""
    select = RUNS
    if name or version:
        kind = Where()
        kind.ref("t", name, version)
        (found,) = await store.fetch(_OF_A_TYPE.format(where=kind.text), [*kind.parameters, FEW])
        if found["number"] == FEW:
            # Every page would begin with all windows of the type.
            select = _RUNS_BY_ID
        where.ref("t", name, version)
    async for row in _paged(store, select, where, page, order="r.id"):
        yield row


async def read_failed(store: Store, where: Where) -> list[tuple[int, int, int, str, str]]:
    """Windows whose latest run failed, found by the runs, which are few; in order of time.

    Gives time, window, run, and the type's name and version.
    """
    found: list[tuple[int, int, int, str, str]] = []
    also = where.text.replace(" WHERE ", " AND ", 1)
    last = 0
    while len(found) < ROWS_MAX:
        sql = f"{_FAILED}{also} ORDER BY r.id LIMIT ?"
        rows = await store.fetch(sql, [last, *where.parameters, PAGE])
        found.extend(
            (row["time_to"], row["id"], row["run_id"], row["type_name"], row["type_version"]) for row in rows
        )
        if len(rows) < PAGE:
            break
        last = rows[-1]["run_id"]
    return sorted(found)


def read_results(store: Store, where: Where, page: Page) -> AsyncIterator[Mapping[str, Any]]:
    """Results in order of their windows' time."""
    if page.by_id:
        return _paged(store, _RESULTS_BY_ID, where, page, order="s.id")
    return _paged(store, _RESULTS, where, page, order="s.time_to, s.id")


async def read_run(store: Store, run_id: int, window_id: int = 0) -> tuple[Any, list[Any], list[Any]]:
    """A run, its stored executions and its given-up attempts.

    Raises:
        NotFoundError: There is none.
    """
    where = Where()
    if run_id:
        where.add("r.id = ?", run_id)
    else:
        where.add("r.window_id = ?", window_id)
    rows = await store.fetch(f"{RUNS}{where.text} ORDER BY r.id DESC LIMIT 1", where.parameters)
    if not rows:
        what = f"run {run_id}" if run_id else f"a run of window {window_id}"
        raise NotFoundError(f"{what} is not in the store", hint="orca runs list")
    found = rows[0]["id"]
    return rows[0], await store.fetch(_EXECUTIONS, (found,)), await store.fetch(_ATTEMPTS, (found,))


async def read_counts(store: Store) -> Mapping[str, Any]:
    """How much there is."""
    return (await store.fetch(_COUNTS))[0]
