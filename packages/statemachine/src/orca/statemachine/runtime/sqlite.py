"""Runs in a SQLite file: snapshot and journal in one commit, many machines in one commit.

One thread writes. It takes everything that waits, commits once and wakes every waiting machine, so that a hundred
busy machines share the price of one sync. Each machine goes on only when its own snapshot is on disk.

    orca_runs      the newest snapshot of each run
    orca_recent    journal entries in the order of their arrival ── every `RECENT_MAX` entries ──> orca_journal

A journal that is sorted by run has a page for each busy run, all of which every commit would write again: four times
the price of the whole commit. So entries are appended first and sorted in later, many of one run at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from orca.common.errors import OrcaError, UsageError
from orca.statemachine.runtime._text import is_writable
from orca.statemachine.runtime.persistence import check_run_id, decode, encode, encode_entry
from orca.statemachine.runtime.timers import asyncio_loop
from orca.statemachine.runtime.types import ConcurrentUpdateError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from orca.statemachine.model import MachineDef

__all__ = ["BATCH_MAX", "CHUNK", "SQLiteStore", "StoreClosedError", "StoreError"]

log = logging.getLogger(__name__)

BATCH_MAX: Final = 1_000
"""How many saves one commit takes: more make a commit no cheaper, and the first would wait for the last."""
CHUNK: Final = 64
"""How many runs one statement saves: SQLite allows 999 values in its oldest builds, and a run takes four."""
RECENT_MAX: Final = 4_000
"""How many journal entries wait to be sorted in: enough that a page takes many, few enough to read them all."""
_BUSY_TIMEOUT_S: Final = 10.0
"""How long to wait for another process that writes to the file."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orca_runs (
    run_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, machine TEXT NOT NULL, snapshot TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orca_journal (
    run_id TEXT NOT NULL, sequence INTEGER NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (run_id, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orca_definitions (
    hash TEXT PRIMARY KEY, machine TEXT NOT NULL, version TEXT NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orca_recent (
    number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, sequence INTEGER NOT NULL, entry TEXT NOT NULL
);
"""
_SORT_IN: Final = """
INSERT OR REPLACE INTO orca_journal (run_id, sequence, entry)
SELECT run_id, sequence, entry FROM orca_recent ORDER BY run_id, sequence, number
"""
_JOURNAL: Final = """
SELECT sequence, entry FROM orca_journal WHERE run_id = ?
UNION ALL SELECT sequence, entry FROM orca_recent WHERE run_id = ?
ORDER BY sequence
"""


class StoreError(OrcaError, OSError):
    """The store could not write or read; what was being saved is not stored."""

    code = "STORE"


class StoreClosedError(StoreError):
    """The store was closed."""

    code = "STORE_CLOSED"


class _Definition(NamedTuple):
    hash: str
    machine: str
    version: str
    source: str


class _Job:
    """One save that waits for its commit."""

    __slots__ = (
        "entry",
        "error",
        "finished",
        "loop",
        "machine",
        "run_id",
        "sequence",
        "text",
        "waiting",
        "written",
    )

    def __init__(self, run_id: str, sequence: int, machine: str, text: str, entry: str | None) -> None:
        self.run_id = run_id
        self.sequence = sequence
        self.machine = machine
        self.text = text
        self.entry = entry
        self.error: Exception | None = None
        self.written = False
        self.finished: Callable[[], object] | None = None
        """Called by the writing thread when it is written, where no asyncio loop waits."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.waiting: asyncio.Future[None] | None = None


def _job_of(run_id: str, snapshot: Mapping[str, Any], entry: Mapping[str, Any] | None) -> _Job:
    sequence, machine = int(snapshot.get("sequence") or 0), str(snapshot.get("machine", ""))
    noted = None if entry is None else encode_entry(machine, entry)
    return _Job(run_id, sequence, machine, encode(snapshot), noted)


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Generator[None, None, None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


class SQLiteStore:
    """Snapshots and journals of any number of runs in one file.

    It is both a blocking and an asynchronous store, and keeps a journal (see `orca.statemachine.replay`).

    Args:
        path: The file; made if needed.
        synchronous: ``FULL`` survives a power cut; ``NORMAL`` may lose the newest commits in one, and is faster.

    Raises:
        StoreError: The file cannot be opened.

    Example:
        >>> import tempfile, pathlib
        >>> with SQLiteStore(pathlib.Path(tempfile.mkdtemp()) / "runs.db") as store:
        ...     store.save("run-1", {"machine": "M", "sequence": 1, "state": "pending"})
        ...     store.load("run-1")["state"], store.exists("run-2")
        ('pending', False)
    """

    def __init__(self, path: str | Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        if synchronous not in {"FULL", "NORMAL"}:
            raise UsageError(f"SQLiteStore: synchronous is {synchronous!r}: give FULL or NORMAL")
        self._path = Path(path)
        self._synchronous = synchronous
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._described: set[str] = set()
        self._definitions: list[_Definition] = []
        self._submitting = (
            threading.RLock()
        )  # a signal handler may save while the interrupted code was saving
        self._closed = False
        self._failure = ""
        self._recent = 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            with _closed_on_error(self._reader):
                self._reader.executescript(_SCHEMA)
                self._recent = int(self._reader.execute("SELECT count(*) FROM orca_recent").fetchone()[0])
                # Made here and not in the thread that uses it, so that the caller hears if it cannot be made.
                self._writer = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path} cannot be opened: {error}") from error
        self._path.chmod(0o600)
        self._thread = threading.Thread(target=self._write, name="orca-sqlite", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        with _closed_on_error(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
        return connection

    # ---- saving

    def save(self, run_id: str, snapshot: Mapping[str, Any]) -> None:
        """Keep a snapshot; returns when it is on disk.

        Raises:
            ConcurrentUpdateError: The stored sequence number is not the one before the snapshot's.
            StoreError: It could not be written.
            ValueNotJsonError: It holds text that UTF-8 has no form for.
        """
        job = _job_of(check_run_id(run_id), snapshot, None)
        finished = threading.Event()
        job.finished = finished.set
        self._submit(job)
        finished.wait()
        if job.error is not None:
            raise job.error

    def describe(self, key: str, definition: MachineDef) -> None:
        """Keep a definition, as brace notation, with the next save; what reads the file can then draw its runs.

        Args:
            key: Its hash, as snapshots name it.
            definition: What it is.
        """
        if key in self._described:
            return
        from orca.statemachine.printer import print_brace  # noqa: PLC0415 - once per definition

        self._described.add(key)
        found = _Definition(key, definition.name, definition.version, print_brace(definition))
        if all(map(is_writable, found)):  # its runs matter more than their drawing
            self._definitions.append(found)

    async def commit(
        self, run_id: str, snapshot: Mapping[str, Any], entry: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a snapshot and its journal entry in one commit, shared with whoever else is saving.

        Raises:
            ConcurrentUpdateError: As for `save`.
            StoreError: As for `save`.
        """
        await self._commit(_job_of(run_id, snapshot, entry))

    async def commit_text(self, run_id: str, sequence: int, machine: str, text: str, entry: str) -> None:
        """`commit` for a caller that has made the JSON itself; raises the same."""
        await self._commit(_Job(run_id, sequence, machine, text, entry))

    async def _commit(self, job: _Job) -> None:
        loop = asyncio_loop()
        if loop is None:
            await self._commit_trio(job)
        else:
            job.loop = loop
            job.waiting = loop.create_future()
            self._submit(job)
            try:
                await job.waiting
            except asyncio.CancelledError:
                await self._commit_cancelled(job, loop)
        if job.error is not None:
            raise job.error

    async def _commit_cancelled(self, job: _Job, loop: asyncio.AbstractEventLoop) -> None:
        """A commit cannot be taken back: it is waited for, and the cancellation follows after it."""
        while not job.written:
            job.waiting = loop.create_future()
            with contextlib.suppress(asyncio.CancelledError):
                await job.waiting
        task = asyncio.current_task()
        if task is not None:
            task.cancel()

    async def _commit_trio(self, job: _Job) -> None:
        import trio  # noqa: PLC0415 - only where trio runs already

        token = trio.lowlevel.current_trio_token()
        done = trio.Event()
        job.finished = lambda: token.run_sync_soon(done.set)
        self._submit(job)
        with trio.CancelScope(shield=True):
            await done.wait()

    def _submit(self, job: _Job) -> None:
        with self._submitting:  # or it would come to lie behind the mark of the end
            self._check_open()
            self._jobs.put(job)

    def _check_open(self) -> None:
        if self._closed:
            why = f": its writer failed: {self._failure}" if self._failure else ""
            raise StoreClosedError(f"{self._path} was closed{why}")

    def _write(self) -> None:
        batch: list[_Job] = []
        try:
            while self._take(batch):
                self._write_batch(self._writer, batch)
                _finish(batch)
                batch.clear()  # while it waits for the next, nothing of these is kept
        except BaseException as error:
            log.exception("%s: the writer cannot go on; the store is closed", self._path)
            self._fail(batch, error)
        finally:
            self._writer.close()

    def _fail(self, batch: list[_Job], error: BaseException) -> None:
        """The writer cannot go on: nobody may wait for it any more, now or later."""
        with self._submitting:
            self._closed = True
            self._failure = f"{type(error).__name__}: {error}"
            while not self._jobs.empty():
                job = self._jobs.get()
                if job is not None:
                    batch.append(job)
        for job in batch:
            if not job.written:
                job.error = StoreError(f"{self._path}: run {job.run_id!r} cannot be written: {self._failure}")
        _finish(batch)
        batch.clear()

    def _take(self, batch: list[_Job]) -> bool:
        """Wait for jobs and take those that are there; whether there are any before the end."""
        first = self._jobs.get()
        if first is None:
            return False
        batch.append(first)
        while len(batch) < BATCH_MAX:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
        return True

    def _write_batch(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        """Commit a batch; if it cannot be, its halves, so that one job that cannot be stored fails alone."""
        recent = self._recent
        try:
            self._write_whole(connection, batch)
        except Exception as error:  # noqa: BLE001 - what a job brings along may fail in many ways
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._recent = recent
            # These two kinds are about the file, so they are the same for everybody.
            if len(batch) == 1 or type(error) in {sqlite3.OperationalError, sqlite3.DatabaseError}:
                for job in batch:
                    job.error = StoreError(f"{self._path}: run {job.run_id!r} cannot be written: {error}")
                return
        else:
            return
        half = len(batch) // 2
        self._write_batch(connection, batch[:half])
        self._write_batch(connection, batch[half:])

    def _write_whole(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        for job in batch:
            job.error = None  # what an attempt before this one found was taken back
        connection.execute("BEGIN IMMEDIATE")
        definitions = len(self._definitions)  # others may add more meanwhile
        if definitions:
            statement = "INSERT OR IGNORE INTO orca_definitions VALUES (?, ?, ?, ?)"
            connection.executemany(statement, self._definitions[:definitions])
        for start in range(0, len(batch), CHUNK):
            self._write_chunk(connection, batch[start : start + CHUNK])
        if self._recent >= RECENT_MAX:
            connection.execute(_SORT_IN)
            connection.execute("DELETE FROM orca_recent")
        connection.execute("COMMIT")
        if self._recent >= RECENT_MAX:
            self._recent = 0
        del self._definitions[:definitions]

    def _write_chunk(self, connection: sqlite3.Connection, chunk: list[_Job]) -> None:
        """Save a chunk with one statement; only if somebody else saved one of its runs, one by one."""
        connection.execute("SAVEPOINT chunk")
        if _upsert(connection, chunk) == len(chunk):
            noted = chunk
        else:
            connection.execute("ROLLBACK TO chunk")
            noted = [job for job in chunk if self._write_one(connection, job)]
        connection.execute("RELEASE chunk")
        entries = [job for job in noted if job.entry is not None]
        if entries:
            rows = ",".join(["(?,?,?)"] * len(entries))
            values = [value for job in entries for value in (job.run_id, job.sequence, job.entry)]
            # Only question marks are put together here; every value is bound.
            connection.execute(f"INSERT INTO orca_recent (run_id, sequence, entry) VALUES {rows}", values)  # noqa: S608
            self._recent += len(entries)

    def _write_one(self, connection: sqlite3.Connection, job: _Job) -> bool:
        if _upsert(connection, [job]):
            return True
        row = connection.execute("SELECT sequence FROM orca_runs WHERE run_id = ?", (job.run_id,)).fetchone()
        job.error = ConcurrentUpdateError(job.run_id, job.sequence - 1, int(row[0]))
        return False

    # ---- reading

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        self._check_open()
        try:
            with self._lock:
                return self._reader.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error

    def load(self, run_id: str) -> dict[str, Any] | None:
        """The snapshot of a run, or None.

        Raises:
            SnapshotError: It was changed by something else than this program.
        """
        rows = self._rows("SELECT snapshot FROM orca_runs WHERE run_id = ?", check_run_id(run_id))
        return decode(str(rows[0][0]), f"run {run_id!r} in {self._path}") if rows else None

    def exists(self, run_id: str) -> bool:
        """Whether a run has a snapshot."""
        return bool(self._rows("SELECT 1 FROM orca_runs WHERE run_id = ?", check_run_id(run_id)))

    def runs(self, *, limit: int = 1_000) -> list[tuple[str, str, int]]:
        """Runs in the order of their ids: id, machine, sequence number; at most ``limit``."""
        rows = self._rows("SELECT run_id, machine, sequence FROM orca_runs ORDER BY run_id LIMIT ?", limit)
        return [(str(run_id), str(machine), int(sequence)) for run_id, machine, sequence in rows]

    def definition(self, key: str) -> str | None:
        """The definition with this hash, in brace notation, or None."""
        rows = self._rows("SELECT source FROM orca_definitions WHERE hash = ?", key)
        return str(rows[0][0]) if rows else None

    def journal(self, run_id: str) -> list[dict[str, Any]]:
        """What happened in a run, in order: each entry with its ``sequence``."""
        rows = self._rows(_JOURNAL, check_run_id(run_id), run_id)
        return [{"sequence": number, **cast("dict[str, Any]", json.loads(entry))} for number, entry in rows]

    def close(self) -> None:
        """Write what waits, then close the file."""
        with self._submitting:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()
        with self._lock:
            self._reader.close()

    def __enter__(self) -> SQLiteStore:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _upsert(connection: sqlite3.Connection, jobs: list[_Job]) -> int:
    """How many of the jobs were saved: those whose number follows the stored one, or that are the first."""
    rows = ",".join(["(?,?,?,?)"] * len(jobs))
    values = [value for job in jobs for value in (job.run_id, job.sequence, job.machine, job.text)]
    # Only question marks are put together here; every value is bound.
    return connection.execute(
        f"INSERT INTO orca_runs AS r (run_id, sequence, machine, snapshot) VALUES {rows} "  # noqa: S608
        "ON CONFLICT (run_id) DO UPDATE SET sequence = excluded.sequence, machine = excluded.machine, "
        "snapshot = excluded.snapshot WHERE r.sequence = excluded.sequence - 1",
        values,
    ).rowcount


def _finish(batch: list[_Job]) -> None:
    """Wake who waits: everybody in one event loop by one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        if job.loop is not None:
            by_loop.setdefault(job.loop, []).append(job)
        else:
            with contextlib.suppress(RuntimeError):  # trio ended meanwhile: nobody waits any more
                _finish_all([job])
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_finish_all, jobs)
        except RuntimeError:  # noqa: PERF203
            continue  # the event loop ended meanwhile: nobody waits any more


def _finish_all(jobs: list[_Job]) -> None:
    for job in jobs:
        job.written = True
        waiting = job.waiting
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(None)
        elif job.finished is not None:
            job.finished()
