# ruff: noqa: PERF203, PERF401 - a simulation reads better step by step
"""A-18: the real engine, kernel and statements in a world made from one seed.

Time is virtual, the disk is SQLite in memory whose uncommitted changes vanish at a crash, the network delays,
loses and doubles, processors vanish in the middle of calls, and the core dies at any commit. The same seed
gives the same history. Afterwards A1 to A5 must hold.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import sqlite3
from typing import Any

from orca.orchestrator.active import ActiveRun
from orca.orchestrator.engine import Engine
from orca.orchestrator.events import EventBus
from orca.orchestrator.execution import RetryRule, Sent, Status
from orca.orchestrator.lookback import bounds
from orca.orchestrator.model import (
    AlgorithmDef,
    AlgorithmRef,
    Dependency,
    LookBack,
    ProcessorKey,
    Registration,
    WindowSpan,
    WindowTypeDef,
    WindowTypeRef,
)
from orca.orchestrator.planner import build_plan
from orca.orchestrator.registry import PlanInfo, plan_info
from orca.orchestrator.settings import CoreSettings
from orca.orchestrator.store import migrations, sqlite_ops
from orca.orchestrator.store.codec import decode_value, encode_plan, encode_value, window_digest
from orca.orchestrator.store.records import HistoryRow, NewWindow, PendingRun, StoredValue
from orca.processor import wire

KIND = WindowTypeRef("W", "1.0.0")
DEADLINE_S = 100_000.0


class VirtualSelector(selectors.DefaultSelector):
    """Never waits: when nothing is ready, time jumps to the next timer."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        """Jump."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number."""

    def __init__(self) -> None:
        selector = VirtualSelector()
        super().__init__(selector)
        selector.loop = self
        self.now = 0.0

    def time(self) -> float:
        """The virtual time."""
        return self.now


class VirtualClock:
    """The wall clock of the simulated machine."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds."""
        return 1_767_225_600 + self._loop.now

    monotonic = now


class Disk:
    """What survives a crash: committed transactions."""

    def __init__(self, plan: Any, refs: list[AlgorithmRef]) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for step in migrations.load_migrations("sqlite"):
            for statement in step.statements:
                self.connection.execute(statement)
        run = self.connection.execute
        run("INSERT INTO window_types (name, version, description, fields) VALUES ('W', '1.0.0', '', '[]')")
        for ref in refs:
            run("INSERT INTO algorithms (name, version) VALUES (?, ?)", ref)
        run("INSERT INTO plans (window_type_id, digest, definition) VALUES (1, 'x', ?)", (encode_plan(plan),))


class SimStore:
    """The store port over the disk; every transaction takes a while and may be cut by a crash."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._queue: list[tuple[Any, Any]] = []
        self._busy = False

    backlog = property(lambda self: self)
    shared = False

    def window_type(self, type_id: int) -> WindowTypeRef:
        return KIND

    def algorithm(self, algorithm_id: int) -> AlgorithmRef:
        return self._world.refs[algorithm_id - 1]

    async def algorithm_id(self, ref: AlgorithmRef) -> int:
        return self._world.refs.index(ref) + 1

    def accept(self, window: NewWindow, done: Any, *, claim: bool = True) -> None:
        self._submit(lambda connection: sqlite_ops.accept(connection, window), done)

    def record(self, run: Any, nodes: Any, attempts: Any, completion: Any, done: Any) -> None:
        self._submit(lambda c: sqlite_ops.record(c, run, nodes, attempts, completion), done)

    def _submit(self, apply: Any, done: Any) -> None:
        self._queue.append((apply, done))
        if not self._busy:
            self._busy = True
            self._world.later(0.0, self._begin)

    def _begin(self) -> None:
        group, self._queue = self._queue, []
        connection = self._world.disk.connection
        connection.execute("BEGIN")
        answers: list[tuple[Any, Any, BaseException | None]] = []
        for apply, done in group:
            try:
                answers.append((done, apply(connection), None))
            except Exception as error:  # noqa: BLE001 - told to its owner
                answers.append((done, None, error))
        if self._world.crashes("before commit"):
            connection.execute("ROLLBACK")
            return
        self._world.later(self._world.chance.expovariate(500), lambda: self._commit(answers))

    def _commit(self, answers: Any) -> None:
        self._world.disk.connection.execute("COMMIT")
        if self._world.crashes("after commit"):
            return
        self._busy = bool(self._queue)
        for done, value, error in answers:
            done(value, error)
        if self._busy:
            self._world.later(0.0, self._begin)

    async def take(self, limit: int, active: Any) -> list[PendingRun]:
        reader = self._world.disk.connection
        rows = [
            r
            for r in reader.execute(sqlite_ops.PENDING, (limit + len(active),)).fetchall()
            if r[0] not in active
        ]
        return [
            PendingRun(
                r[0],
                r[1],
                r[2],
                r[3],
                WindowSpan(r[5], r[7], r[8], r[11]),
                r[6],
                r[9],
                r[10],
                r[4],
                sqlite_ops.finished_nodes(reader, r[0], r[5]),
            )
            for r in rows[:limit]
        ]

    async def history(self, algorithm_id: int, lookback: LookBack, span: WindowSpan) -> list[HistoryRow]:
        limits = bounds(lookback, span)
        rows = self._world.disk.connection.execute(
            sqlite_ops.HISTORY.format(lower=""),
            (algorithm_id, "", limits.end_max_ns, span.time_from_ns, span.id, limits.take, limits.skip),
        ).fetchall()
        return [
            HistoryRow(WindowSpan(r[3], r[5], r[6], r[9]), r[4], r[7], r[8], StoredValue(*r[:3]))
            for r in reversed(rows)
        ]


class Attempt:
    """What the engine wants to know of a call."""

    address, sent_ns = "sim", 0


class SimDispatcher:
    """Carries calls over a bad network to processors that forget."""

    def __init__(self, world: World, engine: Engine) -> None:
        self._world, self._engine, self._life = world, engine, world.life

    def fuses(self, processor: ProcessorKey) -> bool:
        return self._world.fuses

    def drop(self, active: ActiveRun) -> None:
        return None

    def send(self, active: ActiveRun, processor: ProcessorKey, nodes: tuple[int, ...]) -> None:
        world, engine = self._world, self._engine
        engine.step(active, Sent(nodes))
        done: dict[int, float] = {}
        world.calls += 1
        for node in nodes:
            entries = active.info.plan.nodes[node].inputs
            values: list[float] = []
            for position, entry in enumerate(entries):
                if entry.lookback is not None:
                    rows = engine.history[active.run.run_id, node][position]
                    values.extend(decode_value(row.value) for row in rows)
                elif entry.node in done:
                    values.append(done[entry.node])
                else:
                    values.append(active.value(entry.node))
            done[node] = world.compute(active.run.span, node, values)
        self._stream(active, list(nodes), done)

    def _stream(self, active: ActiveRun, left: list[int], values: dict[int, float]) -> None:
        """Results come one by one, later, twice, or never."""
        world, life = self._world, self._life
        chance = world.chance
        delay = 0.0
        lost = chance.random() < world.loss
        stops = chance.randint(0, len(left)) if lost else len(left)
        for node in left[:stops]:
            delay += chance.expovariate(50)
            for _ in range(2 if chance.random() < 0.05 else 1):
                world.later(delay, lambda node=node: self._deliver(active, node, values[node], life))
        if lost:
            rest = tuple(left[stops:])
            world.later(delay + chance.uniform(0.1, 8), lambda: self._lose(active, rest, life))

    def _deliver(self, active: ActiveRun, node: int, value: float, life: int) -> None:
        if life != self._world.life or active.run.run_id not in self._engine.index:
            return
        if self._world.chance.random() < self._world.failure:
            self._engine.failed(active, node, "boom", error="", attempt=Attempt())
            return
        result = wire.Result(status=wire.RESULT_STATUS_SUCEEDED, single_value=value)
        self._engine.succeeded(active, node, encode_value(value), result, Attempt())

    def _lose(self, active: ActiveRun, nodes: tuple[int, ...], life: int) -> None:
        if life == self._world.life and nodes and active.run.run_id in self._engine.index:
            self._engine.lost(active, nodes, "lost", Attempt())


class SimRegistry:
    """The engine asks its registry only for plans."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def info(self, plan_id: int, type_id: int) -> PlanInfo:
        return self._world.info


class World:
    """One seed's machine, network and clients."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        chance = self.chance
        self.loop = VirtualLoop()
        self.fuses = chance.random() < 0.5
        self.loss = chance.choice([0.0, 0.05, 0.3])
        self.failure = chance.choice([0.0, 0.0, 0.1])
        self.crash_rate = chance.choice([0.0, 0.01, 0.05])
        self.life, self.crash_count, self.calls = 0, 0, 0
        self.plan = self._make_plan()
        self.refs = [node.ref for node in self.plan.nodes]
        self.disk = Disk(self.plan, self.refs)
        self.info = self._info()
        self.acknowledged: dict[int, int] = {}
        self.engine: Engine | None = None
        self.results: dict[tuple[int, int], float] = {}
        self.runs: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.checked_histories = 0

    def _make_plan(self) -> Any:
        chance = self.chance
        kind = WindowTypeDef("W", "1.0.0")
        members: dict[str, list[AlgorithmDef]] = {}
        for number in range(chance.randint(1, 7)):
            needs = [
                Dependency(
                    AlgorithmRef(f"N{parent}", "1.0.0"),
                    "",
                    LookBack(count=2) if chance.random() < 0.25 else None,
                )
                for parent in range(number)
                if chance.random() < 0.4
            ]
            owner = f"p{chance.randint(0, 2)}"
            members.setdefault(owner, []).append(AlgorithmDef(f"N{number}", "1.0.0", kind, tuple(needs)))
        return build_plan([Registration(ProcessorKey("", k), tuple(v)) for k, v in members.items()], KIND)

    def _info(self) -> PlanInfo:
        return plan_info(self.plan, range(1, len(self.refs) + 1), plan_id=1, type_id=1)

    def compute(self, span: WindowSpan, node: int, values: list[float]) -> float:
        """What a body gives: it follows from the window and its inputs alone."""
        return float(int(span.time_from_ns % 97 + node + sum(values)) % 9973)

    def later(self, delay_s: float, action: Any) -> None:
        """Do something in this life of the core, or never."""
        life = self.life
        self.loop.call_later(delay_s, lambda: action() if life == self.life else None)

    def crashes(self, _: str) -> bool:
        """Whether the core dies here."""
        if self.crash_count < 8 and self.chance.random() < self.crash_rate:
            self.crash_count += 1
            self._die()
            return True
        return False

    def _die(self) -> None:
        self.life += 1
        if self.engine is not None:
            self.engine.index = type(self.engine.index)()
            self.engine._stopping = True
        self.engine = None
        self.loop.call_later(self.chance.uniform(0.2, 2.0), self.boot)

    def boot(self) -> None:
        """Start the core: nobody else does anything (A5)."""
        registry: Any = SimRegistry(self)
        settings = CoreSettings(
            active_runs_max=self.chance.choice([2, 5, 1000]), retry=RetryRule(losses_max=1000)
        )
        clock: Any = VirtualClock(self.loop)
        store: Any = SimStore(self)
        self.engine = Engine(store, registry, settings, clock, bus=EventBus(clock))
        self.engine.dispatcher = SimDispatcher(self, self.engine)
        self.engine.wake()

    async def emit(self, number: int) -> None:
        """A client that asks until it is told."""
        start = number * 10
        window = NewWindow(1, start, start + 10, "sim", "{}", "", window_digest("sim", "{}"), 1, 0, 0, 1)
        for _ in range(1000):
            engine, life = self.engine, self.life
            if engine is not None:
                future: asyncio.Future[Any] = self.loop.create_future()
                engine.accept(
                    window, self.info, lambda value, error, f=future: f.done() or f.set_result(value)
                )
                try:
                    answer = await asyncio.wait_for(future, 5.0)
                    if answer is not None and life == self.life and self.chance.random() > 0.1:
                        self.acknowledged[number] = answer.window_id
                        return
                except asyncio.TimeoutError:
                    pass
            await asyncio.sleep(self.chance.uniform(0.05, 1.0))
        raise AssertionError("a window was never acknowledged")

    async def main(self) -> None:
        """Emit, wait for the end, check."""
        self.boot()
        count = self.chance.randint(1, 12)
        await asyncio.gather(*(self.emit(number) for number in range(1, count + 1)))
        read = self.disk.connection.execute
        while read("SELECT count(*) FROM runs WHERE state = 0").fetchone()[0]:
            assert self.loop.now < DEADLINE_S, "runs stayed open"
            await asyncio.sleep(0.5)
        self.check(count)

    def check(self, count: int) -> None:
        """A1 to A4 on what the disk has."""
        read = self.disk.connection.execute
        stored = {row[0]: row[1] for row in read("SELECT id, time_from FROM windows")}
        assert len(stored) == count, "A3: a window is there twice, or not at all"
        assert set(self.acknowledged.values()) == set(stored), "A1: an acknowledged window is gone"
        nodes = self.plan.nodes
        rows = read("SELECT window_id, algorithm_id, number FROM results").fetchall()
        self.results = {(window_id, algorithm_id): number for window_id, algorithm_id, number in rows}
        self.runs = dict(read("SELECT window_id, id FROM runs").fetchall())
        self.starts = stored
        for window_id, start in stored.items():
            runs = read("SELECT id FROM runs WHERE window_id = ?", (window_id,)).fetchall()
            assert len(runs) == 1, "A3: a window ran twice"
            ends = dict(
                read("SELECT algorithm_id, status FROM executions WHERE run_id = ?", runs[0]).fetchall()
            )
            assert set(ends) == set(range(1, len(nodes) + 1)), "A1: an algorithm has no end"
            values = dict(
                read("SELECT algorithm_id, number FROM results WHERE window_id = ?", (window_id,)).fetchall()
            )
            assert set(values) == {i for i, end in ends.items() if end == Status.SUCCEEDED}, "A2"
            for node in nodes:
                self._check_node(node, ends, values, window_id, start)

    def _check_node(self, node: Any, ends: Any, values: Any, window_id: int, start: int) -> None:
        end = ends[node.index + 1]
        bad = any(ends[parent + 1] != Status.SUCCEEDED for parent in node.upstream)
        assert (end == Status.SKIPPED) == bad, "A4: skipped without cause, or run without input"
        if end != Status.SUCCEEDED:
            return
        given: list[float] = []
        for entry in node.inputs:
            if entry.lookback is None:
                given.append(values[entry.node + 1])
        sums = {sum(given)}
        for entry in node.inputs:
            if entry.lookback is not None:
                seen = self._may_have_seen(
                    self.refs.index(entry.algorithm) + 1, window_id, entry.lookback.count
                )
                sums = {one + other for one in sums for other in seen}
        span = WindowSpan(window_id, start, start + 10)
        allowed = {self.compute(span, node.index, [one]) for one in sums}
        assert values[node.index + 1] in allowed, "A4: another input, or another history, was seen"
        self.checked_histories += any(entry.lookback is not None for entry in node.inputs)

    def _may_have_seen(self, algorithm_id: int, window_id: int, count: int) -> set[float]:
        """The sums that a look-back may have given.

        Every earlier window that was accepted before this one must be in it; of those that were accepted later,
        any may be there or not. The newest come first, so what is left out is older than all that is seen.
        """
        start, run = self.starts[window_id], self.runs[window_id]
        earlier = sorted(
            (
                (time, self.runs[other] < run, self.results[other, algorithm_id])
                for other, time in self.starts.items()
                if time < start and (other, algorithm_id) in self.results
            ),
            reverse=True,
        )
        found: set[float] = set()

        def choose(position: int, taken: int, total: float) -> None:
            if taken == count or position == len(earlier):
                found.add(total)
                return
            _, must, value = earlier[position]
            choose(position + 1, taken + 1, total + value)
            if not must:
                choose(position + 1, taken, total)

        choose(0, 0, 0.0)
        return found


def run_seed(seed: int) -> World:
    """One whole history; raises AssertionError when a promise is broken."""
    world = World(seed)
    asyncio.set_event_loop(world.loop)
    try:
        world.loop.run_until_complete(world.main())
    finally:
        world.loop.close()
        asyncio.set_event_loop(None)
        world.disk.connection.close()
    return world


def run_many(seed: int, count: int) -> dict[str, Any]:
    """``count`` seeds from ``seed`` on."""
    crashes = calls = windows = histories = 0
    broken: list[str] = []
    for one in range(seed, seed + count):
        try:
            world = run_seed(one)
        except Exception as error:  # noqa: BLE001 - reported with its seed
            broken.append(f"{one}: {type(error).__name__}: {error}")
            continue
        crashes += world.crash_count
        calls += world.calls
        windows += len(world.acknowledged)
        histories += world.checked_histories
    return {
        "seeds": count,
        "windows": windows,
        "crashes": crashes,
        "calls": calls,
        "look_backs_checked": histories,
        "broken": broken[:5],
        "passed": not broken,
    }
