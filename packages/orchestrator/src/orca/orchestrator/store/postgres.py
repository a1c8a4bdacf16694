"""The store on PostgreSQL, shared by replicas: group commit, a backlog with leases, news between replicas."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orca.orchestrator.errors import ConflictError, FencedError, FieldFault, InvalidFieldError, NotFoundError
from orca.orchestrator.lookback import bounds
from orca.orchestrator.model import AlgorithmRef, WindowSpan, WindowTypeDef, WindowTypeRef
from orca.orchestrator.store import postgres_ops, statements
from orca.orchestrator.store.codec import decode_plan, encode_fields, encode_plan, encode_registration
from orca.orchestrator.store.postgres_backlog import PostgresBacklog, Queue
from orca.orchestrator.store.postgres_group import PostgresGroup
from orca.orchestrator.store.postgres_link import Connector, Link, bare, clean, is_lost, map_error, numbered
from orca.orchestrator.store.postgres_news import News
from orca.orchestrator.store.postgres_ops import RESULTS_LOCK, Record, Window
from orca.orchestrator.store.postgres_registry import load_processors, register
from orca.orchestrator.store.postgres_schema import applied_version, migrate
from orca.orchestrator.store.records import HistoryRow, StoredValue
from orca.orchestrator.store.sqlite_ops import HISTORY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from orca.orchestrator.model import LookBack, Registration
    from orca.orchestrator.planner import Input, Plan
    from orca.orchestrator.store.port import Done, Peers
    from orca.orchestrator.store.postgres_group import Operation
    from orca.orchestrator.store.postgres_news import Event
    from orca.orchestrator.store.records import (
        Accepted,
        Completion,
        FailedAttempt,
        NewRun,
        NewWindow,
        NodeRecord,
        PendingRun,
        ProcessorRow,
    )

__all__ = ["PostgresStore", "open_postgres", "schema_of"]

logger = logging.getLogger(__name__)

# What other replicas hear when rows of a kind were written.
_NEWS = {"schedule": "schedules", "token": "tokens", "register": "registry"}
# These tables have no row number of their own.
_WITHOUT_ID = ("executions", "attempts", "instances")
# PgQueuer notes every step of every job; we have our own records.
TIDY_S = 30.0
# Waiting for locks of other replicas: they are held for milliseconds.
LOCK_PAUSE_S = 0.02
SETTLE_PAUSE_S = 0.005
_LOCKS = {"housekeeping": 2, "schedules": 3, "registering": 4}

_TYPES = "SELECT id, name, version, fields FROM window_types"
_ALGORITHMS = "SELECT id, name, version FROM algorithms"
# Only the row that is new is read: processors that register thousands of names would read all for each of them.
_NAMED = " WHERE name = $1 AND version = $2"
_NEW_TYPE = """
INSERT INTO window_types (name, version, description, fields) VALUES ($1, $2, $3, $4)
ON CONFLICT (name, version) DO UPDATE SET description = excluded.description, fields = excluded.fields
"""
_NEW_PLAN = """
INSERT INTO plans (window_type_id, digest, definition) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
_BLOCKER = """
SELECT r.id, r.plan_id FROM runs r JOIN windows w ON w.id = r.window_id
JOIN window_types t ON t.id = w.type_id
WHERE r.state = 0 AND r.id < $1 AND r.priority >= $2 AND t.name = $3 AND t.version = $4 AND w.filter_key = $5
  AND w.id <> $6 AND w.time_to <= $7 AND w.time_from < $8 AND w.time_from >= $9
  AND NOT r.plan_id = ANY($10::bigint[])
  AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.run_id = r.id AND e.algorithm_id = $11)
ORDER BY r.id DESC LIMIT 1
"""
_WRITERS = """
SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = $1 AND objid = $2
"""


class PostgresStore:
    """One database, any number of replicas.

    Use `open_postgres` to make one.
    """

    def __init__(self, connector: Connector, pool: Any, *, lease_s: float, readers: int) -> None:
        self._connector = connector
        self._pool = pool
        self._owner = uuid4()
        self._keeper = Link(connector)
        self._lease_s = lease_s
        self._peers: Peers | None = None
        self._backlog = PostgresBacklog(
            Queue(connector),
            self._keeper,
            owner=self._owner,
            lease_s=lease_s,
            know_types=self._know_types,
            on_taken=self._taken,
        )
        self._news = News(connector, str(self._owner))
        self._accepting = PostgresGroup(Link(connector), self._accept_group)
        self._recording = PostgresGroup(Link(connector), self._record_group)
        # One connection is always left for look-backs and plans, however many pages are read.
        self._read_slots = asyncio.Semaphore(max(1, readers - 1))
        # What users ask may take minutes; the core itself must still find a place.
        self._users_slots = asyncio.Semaphore(max(1, (readers - 1) // 2))
        self._tasks: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in _LOCKS}
        self._types: dict[int, WindowTypeRef] = {}
        self._type_ids: dict[WindowTypeRef, tuple[int, str]] = {}
        self._algorithms: dict[int, AlgorithmRef] = {}
        self._algorithm_ids: dict[AlgorithmRef, int] = {}
        self._plans: dict[int, Plan] = {}
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen to other replicas, know all names, keep what is held."""
        await self._news.start()
        await self._load_names()
        loop = asyncio.get_running_loop()
        self._keeping = [loop.create_task(self._keep()), loop.create_task(self._tidy())]

    @property
    def backlog(self) -> PostgresBacklog:
        """The open runs."""
        return self._backlog

    @property
    def shared(self) -> bool:
        """Other replicas may be there at any time."""
        return True

    @property
    def commits(self) -> int:
        """How many transactions were committed since the store was opened."""
        return self._accepting.commits + self._recording.commits

    def follow(self, peers: Peers) -> None:
        """From now on tell ``peers`` what other replicas do."""
        self._peers = peers
        self._news.follow(peers)

    def _taken(self, run_id: int) -> None:
        if self._peers is not None:
            self._peers.taken(run_id)

    async def _load_names(self) -> None:
        await self._load_types(_TYPES)
        await self._load_algorithms(_ALGORITHMS)

    async def _load_types(self, sql: str, *parameters: Any) -> None:
        for row in await self._read(sql, *parameters):
            kind = WindowTypeRef(row["name"], row["version"])
            self._types[row["id"]] = kind
            self._type_ids[kind] = (row["id"], row["fields"])

    async def _load_algorithms(self, sql: str, *parameters: Any) -> None:
        for row in await self._read(sql, *parameters):
            ref = AlgorithmRef(row["name"], row["version"])
            self._algorithms[row["id"]] = ref
            self._algorithm_ids[ref] = row["id"]

    async def _know_types(self, ids: set[int]) -> None:
        if not ids <= self._types.keys():
            await self._load_names()

    async def _read(self, sql: str, *parameters: Any) -> list[Any]:
        try:
            found: list[Any] = await self._pool.fetch(sql, *parameters)
        except Exception as error:
            raise map_error(error) from error
        return found

    async def _keep(self) -> None:
        """Touch what is held, and look for work that a dead replica left."""
        pause_s = self._lease_s / 4
        while True:
            await asyncio.sleep(pause_s)
            try:
                for run_id in await self._backlog.touch():
                    self._taken(run_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, the lease is kept as soon as it works again
                logger.warning("the lease of open runs could not be renewed: %s", bare(error))
            if self._peers is not None:
                self._peers.told("wake", {})

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            try:
                await self._backlog.tidy()
            except Exception as error:  # noqa: BLE001 - nothing depends on it; the next time will do
                logger.warning("the log of the queue could not be cleared: %s", bare(error))

    async def close(self) -> None:
        """Write what waits, let other replicas have what is unfinished, close."""
        await self._accepting.drain()
        await self._recording.drain()
        for task in self._keeping:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        try:
            if await self._backlog.give_all_back():
                async with self._keeper.use() as connection:
                    await self._news.tell(connection, [("wake", {})])
        except Exception as error:  # noqa: BLE001 - it goes to others when the lease ends
            logger.warning("open runs stay with this replica until their lease ends: %s", bare(error))
        await self._news.close()
        await self._accepting.close()
        await self._recording.close()
        await self._keeper.close()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._pool.close(), 2.0)

    # between replicas

    @asynccontextmanager
    async def alone(self, task: str) -> AsyncGenerator[bool]:
        """Hold a task for the length of the block; False when another replica holds it."""
        key = (RESULTS_LOCK[0], _LOCKS[task])
        async with self._tasks[task]:
            async with self._keeper.use() as connection:
                mine = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *key)
            try:
                yield mine
            finally:
                if mine:
                    # A lost connection has let go of the lock already.
                    with suppress(Exception):
                        async with self._keeper.use() as connection:
                            await connection.execute("SELECT pg_advisory_unlock($1, $2)", *key)

    @asynccontextmanager
    async def registering(self) -> AsyncGenerator[None]:
        """Only one replica at a time checks and stores a registration."""
        while True:
            async with self.alone("registering") as mine:
                if mine:
                    yield
                    return
            await asyncio.sleep(LOCK_PAUSE_S)

    # registrations

    async def load_processors(self) -> list[ProcessorRow]:
        """Every processor with its instances."""
        try:
            async with self._pool.acquire() as connection:
                return await load_processors(connection)
        except Exception as error:
            raise map_error(error) from error

    async def register(self, registration: Registration, *, features: str, now_ns: int) -> ProcessorRow:
        """Store a registration; a changed set becomes the next version and goes into the history."""
        for definition in registration.algorithms:
            await self.window_type_id(definition.window_type)
            await self.algorithm_id(definition.ref)
        text = encode_registration(registration)

        async def apply(connection: Any) -> ProcessorRow:
            row = await register(connection, registration, text, features, now_ns)
            await self._news.tell(connection, [("registry", {})])
            return row

        row: ProcessorRow = await self._recording.run("register", apply)
        return row

    async def remove_instance(self, processor_id: int, address: str) -> None:
        """Forget an address."""
        sql = "DELETE FROM instances WHERE processor_id = ? AND address = ?"
        await self.write("register", [(sql, (processor_id, address))])

    async def window_type_id(self, definition: WindowTypeDef) -> int:
        """Row of a window type; a description with fields replaces one without."""
        fields = encode_fields(definition.fields)
        known = self._type_ids.get(definition.ref)
        if known is None:
            await self._load_types(_TYPES + _NAMED, *definition.ref)
            known = self._type_ids.get(definition.ref)
        if known is not None and (known[1] == fields or not definition.fields):
            return known[0]
        row = [clean(part) for part in (definition.name, definition.version, definition.description, fields)]
        await self._read(_NEW_TYPE, *row)
        await self._load_types(_TYPES + _NAMED, *definition.ref)
        return self._type_ids[definition.ref][0]

    def window_type(self, type_id: int) -> WindowTypeRef:
        """Name and version of a row."""
        return self._types[type_id]

    async def algorithm_id(self, ref: AlgorithmRef) -> int:
        """Row of an algorithm."""
        if ref not in self._algorithm_ids:
            await self._read(
                "INSERT INTO algorithms (name, version) VALUES ($1, $2) ON CONFLICT DO NOTHING", *ref
            )
            await self._load_algorithms(_ALGORITHMS + _NAMED, *ref)
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
        await self._read(_NEW_PLAN, type_id, digest, clean(text))
        (row,) = await self._read("SELECT id FROM plans WHERE digest = $1", digest)
        self._plans[row["id"]] = plan
        return int(row["id"])

    async def load_plan(self, plan_id: int) -> Plan:
        """A plan by its row."""
        if plan_id not in self._plans:
            rows = await self._read("SELECT definition FROM plans WHERE id = $1", plan_id)
            if not rows:
                raise NotFoundError(f"plan {plan_id} is not in the store")
            self._plans[plan_id] = decode_plan(rows[0]["definition"])
        return self._plans[plan_id]

    # windows and runs

    def accept(self, window: NewWindow, done: Done, *, claim: bool = True) -> None:
        """Store a window, its run and the run's job in one transaction; ``done`` gets `Accepted` after it."""

        def told(value: tuple[Accepted, int] | None, error: BaseException | None) -> None:
            if value is None:
                done(None, error)
                return
            accepted, job = value
            if accepted.token:
                self._backlog.hold(accepted.run_id, job, accepted.token)
            done(accepted, None)

        self._accepting.submit("accept", Window(window, claim), told)

    async def _accept_group(self, connection: Any, operations: Sequence[Operation]) -> None:
        await postgres_ops.accept(
            connection,
            operations,
            backlog=self._backlog,
            owner=str(self._owner),
            name=self.window_type,
            tell=self._news.tell,
        )

    def record(
        self,
        run: PendingRun,
        nodes: Sequence[NodeRecord],
        attempts: Sequence[FailedAttempt],
        completion: Completion | None,
        done: Done,
    ) -> None:
        """Store results and ends of one run in one transaction, unless somebody else holds the run."""

        def told(value: object, error: BaseException | None) -> None:
            if isinstance(error, FencedError) or (error is None and completion is not None):
                self._backlog.drop(run.run_id, run.token)
            done(value, error)

        self._recording.submit("record", Record(run, nodes, attempts, completion), told)

    async def _record_group(self, connection: Any, operations: Sequence[Operation]) -> None:
        records = [operation for operation in operations if isinstance(operation.item, Record)]
        if records:
            await postgres_ops.record(
                connection, records, backlog=self._backlog, name=self.algorithm, tell=self._news.tell
            )
        for operation in operations:
            if not isinstance(operation.item, Record):
                apply: Callable[[Any], Awaitable[Any]] = operation.item
                operation.value = await apply(connection)

    async def begin_runs(self, runs: Sequence[NewRun]) -> list[int]:
        """Store further runs of stored windows with their jobs in one transaction; gives their rows."""

        async def apply(connection: Any) -> list[int]:
            made: list[int] = []
            for run in runs:
                row = (run.window_id, run.plan_id, run.kind, run.priority, 0, run.created_ns)
                run_id = await connection.fetchval(f"{numbered(statements.NEW_RUN)} RETURNING id", *row)
                for sql, parameters in statements.kept(run, run_id):
                    await connection.execute(numbered(sql), *parameters)
                made.append(run_id)
            await self._backlog.enqueue(
                connection, [(run_id, run.priority) for run_id, run in zip(made, runs, strict=True)]
            )
            await self._news.tell(connection, [("wake", {})])
            return made

        made: list[int] = await self._recording.run("accept", apply)
        return made

    async def cancel(self, run_id: int, now_ns: int) -> None:
        """End an open run; the token changes, so that whoever holds it can record nothing more."""

        async def apply(connection: Any) -> None:
            rows = await connection.fetch(
                f"{numbered(statements.CANCEL)} RETURNING window_id", now_ns, run_id
            )
            events: list[Event] = [
                ("run", {"run_id": run_id, "window_id": row["window_id"], "state": "cancelled"})
                for row in rows
            ]
            await self._news.tell(connection, events)

        await self._recording.run("record", apply)

    async def blocker(self, run: PendingRun, inputs: Sequence[Input]) -> int:
        """The newest open run, here or elsewhere, whose result may belong to one of the look-backs, or 0."""
        for entry in inputs:
            assert entry.lookback is not None
            limits, span = bounds(entry.lookback, run.span), run.span
            algorithm_id = await self.algorithm_id(entry.algorithm)
            others: list[int] = []
            while True:
                rows = await self._read(
                    _BLOCKER,
                    run.run_id,
                    run.priority,
                    *entry.window_type,
                    span.filter_key,
                    span.id,
                    limits.end_max_ns,
                    span.time_from_ns,
                    limits.start_min_ns if limits.start_min_ns is not None else -(2**63),
                    others,
                    algorithm_id,
                )
                if not rows:
                    break
                plan = await self.load_plan(rows[0]["plan_id"])
                if any(node.ref == entry.algorithm for node in plan.nodes):
                    return int(rows[0]["id"])
                # A plan without the algorithm has nothing to wait for.
                others.append(rows[0]["plan_id"])
        return 0

    async def newest_result(self) -> int:
        """A row below which no result will appear any more.

        Rows get their numbers before they are committed, in several transactions at a time. Whoever might still
        commit a smaller number than the newest that is there now holds a lock at this moment: wait for those.
        """
        (row,) = await self._read("SELECT coalesce(max(id), 0) AS newest FROM results")
        writers = {entry["virtualtransaction"] for entry in await self._read(_WRITERS, *RESULTS_LOCK)}
        while writers:
            await asyncio.sleep(SETTLE_PAUSE_S)
            writers &= {entry["virtualtransaction"] for entry in await self._read(_WRITERS, *RESULTS_LOCK)}
        return int(row["newest"])

    async def history(self, algorithm_id: int, lookback: LookBack, span: WindowSpan) -> list[HistoryRow]:
        """The rows of a look-back, ascending."""
        limits = bounds(lookback, span)
        lower = "" if limits.start_min_ns is None else "AND r.time_to >= ? AND r.time_from >= ?"
        extra = () if limits.start_min_ns is None else (limits.start_min_ns, limits.start_min_ns)
        rows = await self._read(
            numbered(HISTORY.format(lower=lower)),
            algorithm_id,
            span.filter_key,
            limits.end_max_ns,
            span.time_from_ns,
            span.id,
            *extra,
            limits.take,
            limits.skip,
        )
        await self._know_types({row["type_id"] for row in rows})
        return [
            HistoryRow(
                WindowSpan(row["id"], row["time_from"], row["time_to"], row["filter_key"]),
                row["type_id"],
                row["origin"],
                row["metadata"],
                StoredValue(row["kind"], row["number"], row["payload"]),
            )
            for row in reversed(rows)
        ]

    # anything else

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """Run one reading statement."""
        async with self._read_slots:
            rows = await self._read(numbered(sql), *(clean(value) for value in parameters))
        return [dict(row) for row in rows]

    async def write(self, kind: str, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[int]:
        """Run writing statements in one transaction; an INSERT gives its row, others their count."""

        async def apply(connection: Any) -> list[int]:
            answers = [await _answer(connection, sql, parameters) for sql, parameters in statements]
            if kind in _NEWS:
                await self._news.tell(connection, [(_NEWS[kind], {})])
            return answers

        answers: list[int] = await self._recording.run(kind, apply)
        return answers

    async def read_sql(
        self, statement: str, *, limit: int, timeout_s: float
    ) -> tuple[list[str], list[list[Any]]]:
        """Run one statement of a user's in a transaction that can only read.

        Raises:
            InvalidFieldError: It is wrong, writes, is more than one, or takes longer than ``timeout_s``.
        """
        async with self._users_slots, self._read_slots:
            try:
                async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                    return await _read_only(connection, statement, limit, timeout_s)
            except Exception as error:
                if is_lost(error):
                    raise map_error(error) from error
                fault = FieldFault("statement", f"failed: {bare(error)}")
                raise InvalidFieldError((fault,), hint="only one reading statement is allowed") from error

    async def backup_named(self, name: str) -> Path:  # noqa: ARG002 - the port's form
        """PostgreSQL has its own tools, which know the whole server.

        Raises:
            ConflictError: Always; it names the command.
        """
        raise ConflictError(
            "the store is in PostgreSQL, which is backed up by its own tools",
            hint="pg_dump --format=custom --schema=orca --file=orca.dump DATABASE",
        )


async def _answer(connection: Any, sql: str, parameters: Sequence[Any]) -> int:
    values = [clean(value) for value in parameters]
    found = re.match(r"\s*INSERT INTO (\w+)", sql)
    if found is not None and found.group(1) not in _WITHOUT_ID:
        return int(await connection.fetchval(f"{numbered(sql)} RETURNING id", *values) or 0)
    # "DELETE 3", "UPDATE 1", "INSERT 0 2"
    status: str = await connection.execute(numbered(sql), *values)
    return int(status.rpartition(" ")[2])


async def _read_only(
    connection: Any, statement: str, limit: int, timeout_s: float
) -> tuple[list[str], list[list[Any]]]:
    await connection.execute(f"SET LOCAL statement_timeout = {max(1, int(timeout_s * 1000))}")
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        # A superuser's functions reach files and processes of the server.
        await connection.execute("SET LOCAL ROLE pg_read_all_data")
    # A cursor is made for one statement that gives rows and changes nothing; everything else is refused.
    prepared = await connection.prepare(f"DECLARE orca_sql NO SCROLL CURSOR FOR {statement}")
    await prepared.fetch()
    found = await connection.prepare(f"FETCH FORWARD {int(limit)} FROM orca_sql")
    names = [attribute.name for attribute in found.get_attributes()]
    return names, [list(row) for row in await found.fetch()]


async def schema_of(url: str) -> int:
    """The schema version of a database; 0: it has no tables yet.

    Raises:
        StoreError: It cannot be reached, or refuses.
        UsageError: The extra ``postgres`` is not installed.
    """
    connector = Connector(url, synchronous="FULL")
    try:
        connection = await connector.connect()
        try:
            return await applied_version(connection)
        finally:
            await connection.close()
    except Exception as error:
        raise map_error(error) from error


async def open_postgres(
    url: str,
    *,
    lease_s: float,
    synchronous: str = "FULL",
    connections_max: int = 5,
    upgrading: Callable[[], None] | None = None,
) -> PostgresStore:
    """Open a store that replicas share; the tables are made or brought up to date.

    Args:
        url: ``postgresql://user:password@host:port/name``.
        lease_s: How long a replica that died keeps its runs.
        synchronous: ``FULL`` acknowledges after the sync. ``NORMAL`` is faster, and may lose the last commits
            when the power fails.
        connections_max: Connections for reading.
        upgrading: Is called when older tables are going to be brought up to date, which may take long.

    Raises:
        StoreNewerError: A newer program wrote it; nothing was changed.
        StoreError: The database cannot be reached, or refuses.
        UsageError: The extra ``postgres`` is not installed.
    """
    connector = Connector(url, synchronous=synchronous)
    queue = Queue(connector)
    try:
        connection = await connector.connect()
        try:
            await migrate(connection, queue.on(connection), place="the database", upgrading=upgrading)
        finally:
            await connection.close()
        pool = await connector.pool(connections_max)
    except Exception as error:
        raise map_error(error) from error
    store = PostgresStore(connector, pool, lease_s=lease_s, readers=connections_max)
    try:
        await store.start()
    except BaseException as error:
        await store.close()
        if isinstance(error, Exception):
            raise map_error(error) from error
        raise
    return store
