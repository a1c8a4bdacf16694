"""The store on SQLite: WAL, full sync, group commit, one writing and a few reading connections."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from orca.orchestrator.errors import AccessError, ConflictError, FieldFault, InvalidFieldError, NotFoundError
from orca.orchestrator.lookback import bounds
from orca.orchestrator.model import AlgorithmRef, WindowSpan, WindowTypeDef, WindowTypeRef
from orca.orchestrator.store import migrations, sqlite_ops, statements
from orca.orchestrator.store.codec import decode_plan, encode_fields, encode_plan, encode_registration
from orca.orchestrator.store.group import GroupCommit, map_error
from orca.orchestrator.store.records import (
    HistoryRow,
    InstanceRow,
    PendingRun,
    ProcessorRow,
    StoredValue,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from orca.orchestrator.model import LookBack, Registration
    from orca.orchestrator.planner import Input, Plan
    from orca.orchestrator.store.port import Done, Peers
    from orca.orchestrator.store.records import Completion, FailedAttempt, NewRun, NewWindow, NodeRecord

__all__ = ["SqliteBacklog", "SqliteStore", "migrate", "open_connection", "open_store"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Enough for the inner pages of the indices of a million windows, small beside the 60 MB of the whole process.
CACHE_KIB = 8_192
# For pages and command lines: what they scan need not stay.
READER_CACHE_KIB = 1_024
# Reading statements for pages and command lines wait in threads of their own, not on the loop.
READERS_MAX = 4
# What users ask may take minutes; the core itself must still find a place.
USERS_READERS_MAX = 2

_TYPES = "SELECT id, name, version, fields FROM window_types"
_ALGORITHMS = "SELECT id, name, version FROM algorithms"
# Only the row that is new is read: processors that register thousands of names would read all for each of them.
_NAMED = " WHERE name = ? AND version = ?"
_NEW_TYPE = """
INSERT INTO window_types (name, version, description, fields) VALUES (?, ?, ?, ?)
ON CONFLICT (name, version) DO UPDATE SET description = excluded.description, fields = excluded.fields
"""
_FORGET_INSTANCE = "DELETE FROM instances WHERE processor_id = ? AND address = ?"


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


class SqliteStore:
    """One file, one writing process.

    Use `open_store` to make one.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self._writer = connection
        self._reader = _connect(path, read_only=True)
        self._group = GroupCommit(connection, loop)
        self._read_slots = asyncio.Semaphore(READERS_MAX)
        self._users_slots = asyncio.Semaphore(USERS_READERS_MAX)
        self._idle_readers: list[sqlite3.Connection] = []
        self._types: dict[int, WindowTypeRef] = {}
        self._type_ids: dict[WindowTypeRef, tuple[int, str]] = {}
        self._algorithms: dict[int, AlgorithmRef] = {}
        self._algorithm_ids: dict[AlgorithmRef, int] = {}
        self._plans: dict[int, Plan] = {}
        self._backlog = SqliteBacklog(self)
        self._load_names()

    @property
    def backlog(self) -> SqliteBacklog:
        """The open runs."""
        return self._backlog

    @property
    def shared(self) -> bool:
        """One file has one core."""
        return False

    def follow(self, peers: Peers) -> None:
        """There is nobody else."""

    @asynccontextmanager
    async def alone(self, task: str) -> AsyncGenerator[bool]:  # noqa: ARG002 - the port's form
        """There is nobody else."""
        yield True

    @asynccontextmanager
    async def registering(self) -> AsyncGenerator[None]:
        """There is nobody else."""
        yield

    @property
    def reader(self) -> sqlite3.Connection:
        """The loop's own reading connection, for statements of microseconds."""
        return self._reader

    @property
    def commits(self) -> int:
        """How many transactions were synced since the store was opened."""
        return self._group.commits

    def _load_names(self) -> None:
        for row in self._reader.execute(_TYPES):
            self._know_type(*row)
        for row in self._reader.execute(_ALGORITHMS):
            self._know_algorithm(*row)

    def _know_type(self, type_id: int, name: str, version: str, fields: str) -> None:
        self._types[type_id] = WindowTypeRef(name, version)
        self._type_ids[WindowTypeRef(name, version)] = (type_id, fields)

    def _know_algorithm(self, row_id: int, name: str, version: str) -> None:
        self._algorithms[row_id] = AlgorithmRef(name, version)
        self._algorithm_ids[AlgorithmRef(name, version)] = row_id

    async def close(self) -> None:
        """Write what waits, fold the log into the file, close."""
        await self._group.drain()
        self._group.close()
        async with AsyncExitStack() as held:
            # Whoever still reads has a connection of its own for that.
            for _ in range(READERS_MAX):
                await held.enter_async_context(self._read_slots)
            for reader in (self._reader, *self._idle_readers):
                reader.close()
        try:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            logger.debug("the log was left for the next start: %s", error)
        self._writer.close()

    # registrations

    async def load_processors(self) -> list[ProcessorRow]:
        """Every processor with its instances."""
        rows: list[ProcessorRow] = []
        for row_id, set_version, definition, registered_ns in self._reader.execute(
            "SELECT id, set_version, definition, registered_ns FROM processors ORDER BY id"
        ).fetchall():
            instances = tuple(
                InstanceRow(*entry)
                for entry in self._reader.execute(
                    "SELECT address, set_version, features, seen_ns FROM instances WHERE processor_id = ?"
                    " ORDER BY address",
                    (row_id,),
                )
            )
            rows.append(ProcessorRow(row_id, set_version, definition, registered_ns, instances))
        return rows

    async def register(self, registration: Registration, *, features: str, now_ns: int) -> ProcessorRow:
        """Store a registration; a changed set becomes the next version and goes into the history."""
        for definition in registration.algorithms:
            await self.window_type_id(definition.window_type)
            await self.algorithm_id(definition.ref)
        text = encode_registration(registration)

        def apply(connection: sqlite3.Connection) -> ProcessorRow:
            return sqlite_ops.register(connection, registration, text, features, now_ns)

        row: ProcessorRow = await self._group.run("register", apply)
        return row

    async def remove_instance(self, processor_id: int, address: str) -> None:
        """Forget an address."""
        await self.write(
            "register",
            [("DELETE FROM instances WHERE processor_id = ? AND address = ?", (processor_id, address))],
        )

    async def window_type_id(self, definition: WindowTypeDef) -> int:
        """Row of a window type; a description with fields replaces one without."""
        fields = encode_fields(definition.fields)
        known = self._type_ids.get(definition.ref)
        if known is not None and (known[1] == fields or not definition.fields):
            return known[0]
        row = (definition.name, definition.version, definition.description, fields)
        await self.write("register", [(_NEW_TYPE, row)])
        self._know_type(*self._reader.execute(_TYPES + _NAMED, definition.ref).fetchone())
        return self._type_ids[definition.ref][0]

    def window_type(self, type_id: int) -> WindowTypeRef:
        """Name and version of a row."""
        return self._types[type_id]

    async def algorithm_id(self, ref: AlgorithmRef) -> int:
        """Row of an algorithm."""
        if ref not in self._algorithm_ids:
            statement = "INSERT INTO algorithms (name, version) VALUES (?, ?) ON CONFLICT DO NOTHING"
            await self.write("register", [(statement, ref)])
            self._know_algorithm(*self._reader.execute(_ALGORITHMS + _NAMED, ref).fetchone())
        return self._algorithm_ids[ref]

    def algorithm(self, algorithm_id: int) -> AlgorithmRef:
        """Name and version of a row."""
        return self._algorithms[algorithm_id]

    async def plan_id(self, plan: Plan, type_id: int) -> int:
        """Row of a plan; equal plans share one."""
        text = encode_plan(plan)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        for node in plan.nodes:
            await self.algorithm_id(node.ref)
        statement = (
            "INSERT INTO plans (window_type_id, digest, definition) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        )
        find = "SELECT id FROM plans WHERE digest = ?"
        row = self._reader.execute(find, (digest,)).fetchone()
        if row is None:
            await self.write("register", [(statement, (type_id, digest, text))])
            row = self._reader.execute(find, (digest,)).fetchone()
        plan_id: int = row[0]
        self._plans[plan_id] = plan
        return plan_id

    async def load_plan(self, plan_id: int) -> Plan:
        """A plan by its row."""
        if plan_id not in self._plans:
            row = self._reader.execute("SELECT definition FROM plans WHERE id = ?", (plan_id,)).fetchone()
            if row is None:
                raise NotFoundError(f"plan {plan_id} is not in the store")
            self._plans[plan_id] = decode_plan(row[0])
        return self._plans[plan_id]

    # windows and runs

    def accept(self, window: NewWindow, done: Done, *, claim: bool = True) -> None:  # noqa: ARG002 - the port's form
        """Store a window and its run in one transaction; ``done`` gets `Accepted` after the sync."""
        self._group.submit("accept", lambda connection: sqlite_ops.accept(connection, window), done)

    async def begin_runs(self, runs: Sequence[NewRun]) -> list[int]:
        """Store further runs of stored windows in one transaction; gives their rows."""
        made: list[int] = await self._group.run(
            "accept", lambda connection: [sqlite_ops.begin_run(connection, entry) for entry in runs]
        )
        return made

    async def cancel(self, run_id: int, now_ns: int) -> None:
        """End an open run; the token changes, so that whoever holds it can record nothing more."""
        await self.write("record", [(statements.CANCEL, (now_ns, run_id))])

    async def blocker(self, run: PendingRun, inputs: Sequence[Input]) -> int:  # noqa: ARG002 - the port's form
        """Every open run that matters is in this process."""
        return 0

    async def newest_result(self) -> int:
        """The newest row: one connection writes, so rows appear in their order."""
        (row,) = await self.fetch("SELECT COALESCE(MAX(id), 0) AS newest FROM results")
        return int(row["newest"])

    def record(
        self,
        run: PendingRun,
        nodes: Sequence[NodeRecord],
        attempts: Sequence[FailedAttempt],
        completion: Completion | None,
        done: Done,
    ) -> None:
        """Store results and ends of one run in one transaction, unless somebody else holds the run."""
        whole = completion is not None and not attempts
        self._group.submit(
            "record",
            lambda connection: sqlite_ops.record(connection, run, nodes, attempts, completion),
            done,
            bulk=sqlite_ops.record_many if whole else None,
            item=(run, nodes, completion),
        )

    async def history(self, algorithm_id: int, lookback: LookBack, span: WindowSpan) -> list[HistoryRow]:
        """The rows of a look-back, ascending; microseconds by the index, so it runs on the loop."""
        limits = bounds(lookback, span)
        lower = "" if limits.start_min_ns is None else "AND r.time_to >= ? AND r.time_from >= ?"
        extra = () if limits.start_min_ns is None else (limits.start_min_ns, limits.start_min_ns)
        rows = self._reader.execute(
            sqlite_ops.HISTORY.format(lower=lower),
            (
                algorithm_id,
                span.filter_key,
                limits.end_max_ns,
                span.time_from_ns,
                span.id,
                *extra,
                limits.take,
                limits.skip,
            ),
        ).fetchall()
        return [
            HistoryRow(
                WindowSpan(row[3], row[5], row[6], row[9]), row[4], row[7], row[8], StoredValue(*row[:3])
            )
            for row in reversed(rows)
        ]

    # anything else

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """Run one reading statement in a thread, on a connection that cannot write."""
        work = partial(self._fetch, sql, tuple(parameters))
        return await self._in_thread(work, self._read_slots)

    async def _in_thread(self, work: Callable[[], _T], *slots: asyncio.Semaphore) -> _T:
        """Run work in a thread; its slots are free when the thread is, also after whoever waits was cancelled."""
        async with AsyncExitStack() as held:
            for slot in slots:
                await held.enter_async_context(slot)
            thread = asyncio.get_running_loop().run_in_executor(None, work)
            held.pop_all()

        def free(_: object) -> None:
            for slot in slots:
                slot.release()

        thread.add_done_callback(free)
        return await asyncio.shield(thread)

    def _fetch(self, sql: str, parameters: tuple[Any, ...]) -> list[Mapping[str, Any]]:
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            connection = _connect(self.path, read_only=True)
            connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
            connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql, parameters)]
        except sqlite3.Error as error:
            raise map_error(error) from error
        finally:
            # Opening one costs more than most statements; there are as many as may read at once.
            self._idle_readers.append(connection)

    async def write(self, kind: str, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[int]:
        """Run writing statements in one transaction; an INSERT gives its row, others their count."""

        def apply(connection: sqlite3.Connection) -> list[int]:
            answers: list[int] = []
            for sql, parameters in statements:
                cursor = connection.execute(sql, tuple(parameters))
                inserted = sql.lstrip().startswith("INSERT") and cursor.rowcount > 0
                answers.append((cursor.lastrowid or 0) if inserted else cursor.rowcount)
            return answers

        answers: list[int] = await self._group.run(kind, apply)
        return answers

    async def read_sql(
        self, statement: str, *, limit: int, timeout_s: float
    ) -> tuple[list[str], list[list[Any]]]:
        """Run one statement of a user's on a connection that can only read this file.

        Raises:
            InvalidFieldError: It is wrong, writes, reaches for another file, or takes longer than ``timeout_s``.
        """
        left = Event()
        work = partial(self._read_sql, statement, limit, timeout_s, left)
        try:
            return await self._in_thread(work, self._users_slots, self._read_slots)
        finally:
            left.set()

    def _read_sql(
        self, statement: str, limit: int, timeout_s: float, left: Event
    ) -> tuple[list[str], list[list[Any]]]:
        connection = _connect(self.path, read_only=True)
        deadline = time.monotonic() + timeout_s
        connection.set_authorizer(_reads_only)
        # Also when nobody waits for the answer any more: until it ends it holds a place.
        connection.set_progress_handler(lambda: left.is_set() or time.monotonic() > deadline, 10_000)
        try:
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            return names, [list(row) for row in cursor.fetchmany(limit)]
        except (sqlite3.Error, sqlite3.Warning) as error:
            fault = FieldFault("statement", f"failed: {error}")
            raise InvalidFieldError((fault,), hint="only one reading statement is allowed") from error
        finally:
            connection.close()

    async def backup_named(self, name: str) -> Path:
        """Copy the store into a new file below its own folder.

        Raises:
            ConflictError: The file exists.
            AccessError: The name leads out of the folder.
        """
        target = await asyncio.to_thread(_backup_target, self.path.parent, name)
        await self.backup(target)
        return target

    async def backup(self, target: Path) -> None:
        """Copy the store to ``target`` while it is in use."""

        def copy() -> None:
            with sqlite3.connect(target) as destination:
                source = _connect(self.path, read_only=True)
                try:
                    source.backup(destination)
                finally:
                    source.close()
            destination.close()

        await self._group.drain()
        await asyncio.to_thread(copy)


def _backup_target(folder: Path, name: str) -> Path:
    target = (folder / (name or f"backup-{time.strftime('%Y%m%d-%H%M%S')}.db")).resolve()
    if folder.resolve() not in target.parents:
        raise AccessError(
            f"a backup goes below {folder}, not to {target}", hint="copy it from there afterwards"
        )
    if target.exists():
        raise ConflictError(f"{target} exists", hint="choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    return target


_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def _reads_only(action: int, *names: str | None) -> int:
    allowed = action in _READING and "load_extension" not in names
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class SqliteBacklog:
    """The backlog is the open rows of the runs themselves: nothing to keep in step."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def take(self, limit: int, active: Collection[int]) -> list[PendingRun]:
        """Open runs that nobody in this process holds, with what they have already."""
        reader = self._store.reader
        rows = [
            row
            for row in reader.execute(sqlite_ops.PENDING, (limit + len(active),)).fetchall()
            if row[0] not in active
        ][:limit]
        return [
            PendingRun(
                row[0],
                row[1],
                row[2],
                row[3],
                WindowSpan(row[5], row[7], row[8], row[11]),
                row[6],
                row[9],
                row[10],
                row[4],
                sqlite_ops.finished_nodes(reader, row[0], row[5]),
                row[12],
            )
            for row in rows
        ]

    async def give_back(self, run_id: int) -> None:
        """Nothing to do: an open run that is not active is taken again."""

    async def depth(self) -> int:
        """How many runs are open."""
        count: int = self._store.reader.execute("SELECT count(*) FROM runs WHERE state = 0").fetchone()[0]
        return count


def migrate(path: Path, connection: sqlite3.Connection, upgrading: Callable[[], None] | None = None) -> None:
    """Bring the file up to date; a file that holds something is copied beside itself before.

    Args:
        path: The file.
        connection: The only one that writes.
        upgrading: Is called before that copy, from where on it may take long.

    Raises:
        StoreNewerError: A newer program wrote it; nothing was changed.
    """
    applied: int = connection.execute("PRAGMA user_version").fetchone()[0]
    steps = migrations.pending(applied, migrations.load_migrations("sqlite"), place=str(path))
    if steps and applied:
        if upgrading is not None:
            upgrading()
        target = path.with_name(f"{path.name}.before-{steps[-1].number:04}-{time.time_ns()}")
        target.touch(mode=0o600)
        with sqlite3.connect(target) as copy:
            connection.backup(copy)
        copy.close()
        logger.info("the store was copied to %s before its upgrade", target)
    for step in steps:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step.number}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


async def open_store(
    path: Path, *, synchronous: str = "FULL", upgrading: Callable[[], None] | None = None
) -> SqliteStore:
    """Open or make a store.

    Args:
        path: The file; its folder is made.
        synchronous: ``FULL`` syncs before anything is acknowledged. ``NORMAL`` is faster, and may lose the
            last commits when the power fails.
        upgrading: Is called when an older store is going to be brought up to date, which may take long.

    Raises:
        StoreNewerError: A newer program wrote the file.
    """
    # A few milliseconds, before anything else runs on the loop.
    connection = open_connection(path, synchronous=synchronous, upgrading=upgrading)
    return SqliteStore(path, connection, asyncio.get_running_loop())


def open_connection(
    path: Path, *, synchronous: str = "FULL", upgrading: Callable[[], None] | None = None
) -> sqlite3.Connection:
    """Open the writing connection: made, migrated, in WAL mode, private to the user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    connection = _connect(path, read_only=False)
    try:
        migrate(path, connection, upgrading)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if synchronous == 'NORMAL' else 'FULL'}")
    except BaseException:
        connection.close()
        raise
    return connection
