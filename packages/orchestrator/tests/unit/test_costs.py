"""What one call costs does not grow with what is stored: counted in steps of SQLite's machine, so nothing is timed."""

import asyncio
from types import SimpleNamespace

from making import WINDOW, algorithm, plan_of, processor

from orca.orchestrator import operations, queries
from orca.orchestrator.dashboard import data, insight, pages
from orca.orchestrator.model import AlgorithmRef, LookBack, WindowSpan, WindowTypeDef
from orca.orchestrator.queries import Page, Where
from orca.orchestrator.store import sqlite
from orca.orchestrator.store.codec import encode_value, window_digest
from orca.orchestrator.store.records import OPEN, RUN_FAILED, Completion, NewRun, NewWindow, NodeRecord
from orca.orchestrator.store.sqlite import open_store

PLAN = plan_of(processor("P", algorithm("A"), algorithm("B", "A")))
SMALL, LARGE = 100, 2000
STEP = 10


class Steps:
    """How many steps all connections of a store have done."""

    def __init__(self, monkeypatch):
        self.count = 0
        connect = sqlite._connect

        def counted(*arguments, **options):
            connection = connect(*arguments, **options)
            connection.set_progress_handler(self._step, STEP)
            return connection

        monkeypatch.setattr(sqlite, "_connect", counted)

    def _step(self):
        self.count += STEP
        return 0


class Filled:
    """A store of so many windows; the last ones are open, with their first algorithm done."""

    def __init__(self, store, size):
        self.store, self.size = store, size

    async def fill(self):
        self.type_id = await self.store.window_type_id(WINDOW)
        self.plan_id = await self.store.plan_id(PLAN, self.type_id)
        self.a, self.b = [await self.store.algorithm_id(node.ref) for node in PLAN.nodes]
        await asyncio.gather(*(self.accept(number) for number in range(self.size)))
        for run in await self.store.backlog.take(self.size, ()):
            await self.end(run, self.a, None if run.run_id > self.size - 10 else Completion(1, 2, 0, 0, 9))

    async def call(self, method, *arguments):
        future = asyncio.get_running_loop().create_future()
        method(
            *arguments,
            lambda value, error: future.set_exception(error) if error else future.set_result(value),
        )
        return await future

    async def accept(self, number):
        digest = window_digest("test", "{}")
        new = NewWindow(self.type_id, number, number + 10, "test", "{}", "", digest, self.plan_id, 0, 0, 1)
        return await self.call(lambda *given: self.store.accept(*given, claim=False), new)

    async def end(self, run, algorithm_id, completion):
        node = NodeRecord(algorithm_id, 4, 1, 1, 2, 3, "host:1", value=encode_value(1.5))
        await self.call(self.store.record, run, [node], (), completion)


def where(condition="", *parameters):
    made = Where()
    if condition:
        made.add(condition, *parameters)
    return made


def in_state(number):
    made = Where()
    made.state("r", number)
    return made


async def read(rows):
    return [row async for row in rows]


async def take(filled):
    assert len(await filled.store.backlog.take(100, ())) == 10


async def accept(filled):
    filled.size += 1
    assert not (await filled.accept(filled.size)).duplicate


async def accept_again(filled):
    assert (await filled.accept(filled.size // 2)).duplicate


async def record(filled):
    run = (await filled.store.backlog.take(1, ()))[0]
    await filled.end(run, filled.b, Completion(1, 2, 0, 0, 9))


async def look_back(filled):
    half = filled.size // 2
    rows = await filled.store.history(filled.a, LookBack(count=10), WindowSpan(half, half + 10, half + 20))
    assert len(rows) == 10


async def look_back_by_time(filled):
    half = filled.size // 2
    rows = await filled.store.history(filled.a, LookBack(delta_ns=20), WindowSpan(half, half + 10, half + 20))
    assert rows


async def run_again(filled):
    runs = [
        NewRun(5, filled.plan_id, "retry", 0, 1, keep, 5, (filled.a, filled.b))
        for keep in ("results", "succeeded")
    ]
    assert len(await filled.store.begin_runs(runs)) == 2


async def one_run(filled):
    _, executions, _ = await queries.read_run(filled.store, 5)
    assert len(executions) == 1


async def run_of_window(filled):
    await queries.read_run(filled.store, 0, 5)


async def newest_runs(filled):
    assert len(await read(queries.read_runs(filled.store, where(), Page(10, newest_first=True)))) == 10


async def open_runs(filled):
    assert len(await read(queries.read_runs(filled.store, in_state(OPEN), Page(10)))) == 10


async def newest_windows(filled):
    assert len(await read(queries.read_windows(filled.store, where(), Page(10, newest_first=True)))) == 10


async def windows_of_a_type(filled):
    named = where()
    named.ref("t", WINDOW.name, WINDOW.version)
    assert len(await read(queries.read_windows(filled.store, named, Page(10, newest_first=True)))) == 10


async def windows_of_a_time(filled):
    span = where()
    span.span("w", 20, 40)
    assert await read(queries.read_windows(filled.store, span, Page(10)))


async def results_of_a_window(filled):
    assert len(await read(queries.read_results(filled.store, where("s.window_id = ?", 5), Page(10)))) == 1


async def newest_results(filled):
    named = where()
    named.ref("a", "A", "1.0.0")
    assert len(await read(queries.read_results(filled.store, named, Page(10, newest_first=True)))) == 10


async def results_after(filled):
    rows = where("s.id > ?", filled.size - 10)
    assert await read(queries.read_results(filled.store, rows, Page(10)))


async def run_to_repeat(filled):
    one = where()
    one.latest_run(7)
    assert len(await read(queries.read_windows(filled.store, one, Page(10)))) == 1


async def failures_of_the_home_page(filled):
    await filled.store.fetch(pages._FAILED_NOW)
    assert await read(queries.read_runs(filled.store, in_state(RUN_FAILED), Page(5, newest_first=True))) == []


async def freshness(filled):
    assert len(await filled.store.fetch(insight._FRESH, (10,))) == 10


async def recent_statistics(filled):
    assert await filled.store.fetch(insight._STATS, (10,))


async def failures(filled):
    assert await filled.store.fetch(insight._FAILURES, (10,)) == []


async def values_of_a_window(filled):
    assert len(await filled.store.fetch(pages._VALUES.format(n=10), (5,))) == 1


async def newest_points(filled):
    named = where()
    named.ref("a", "A", "1.0.0")
    sql = f"{data._POINTS}{named.text} ORDER BY s.time_to DESC, s.id DESC LIMIT 10"
    assert len(await filled.store.fetch(sql, named.parameters)) == 10


async def windows_to_delete(filled):
    rows = await filled.store.fetch(operations._DOOMED.format(rule="w.id <= ?"), (0, 20))
    assert len(rows) == 19  # window 5 runs again
    assert len(await filled.store.fetch(operations._NEWEST_TO_GO, (10,))) == 1


def of_a_type(version=WINDOW.version):
    named = where()
    named.ref("t", WINDOW.name, version)
    return named


async def followed_results(filled):
    for window_id in (0, filled.size - 5):
        named = where("s.id > ?", filled.size - 5)
        named.add("s.id <= ?", filled.size)
        named.ref("a", "A", "")
        if window_id:
            named.add("s.window_id = ?", window_id + 1)
        rows = await read(queries.read_results(filled.store, named, Page(1000, by_id=True)))
        assert [row["id"] for row in rows][:1] == [filled.size - 4]


async def windows_after(filled):
    for version in ("", WINDOW.version):
        named = of_a_type(version)
        named.add("w.id > ?", filled.size - 5)
        rows = await read(queries.read_windows(filled.store, named, Page(5, by_id=True)))
        assert len(rows) == 5


async def failed_to_repeat(filled):
    assert await queries.read_failed(filled.store, of_a_type()) == []


async def runs_of_a_type(filled):
    for version in ("", WINDOW.version):
        page = Page(10, newest_first=True)
        rows = await read(queries.read_runs(filled.store, where(), page, name=WINDOW.name, version=version))
        assert len(rows) == 10


async def runs_of_a_type_that_is_not_there(filled):
    assert (
        await read(queries.read_runs(filled.store, where(), Page(10, newest_first=True), name="None")) == []
    )


async def runs_since(filled):
    assert await read(queries.read_runs(filled.store, where(), Page(10, newest_first=True, since_ns=9))) == []


async def cost_of_a_day(filled):
    (before,) = await filled.store.fetch(insight._BEFORE, (9,))
    assert await filled.store.fetch(insight._COST, (before["id"] - 3,))


async def table_of_a_type(filled):
    sql = pages._TABLE.format(where=of_a_type().text)
    rows = await filled.store.fetch(sql, [*of_a_type().parameters, 51])
    assert len(rows) == 51
    further = of_a_type()
    further.add("(w.time_to, w.id) < (?, ?)", rows[-1]["time_to"], rows[-1]["id"])
    rows = await filled.store.fetch(pages._TABLE.format(where=further.text), [*further.parameters, 10])
    assert len(rows) == 10


async def housekeeping(filled):
    core = SimpleNamespace(store=filled.store, stored=operations.Stored())
    for _ in range(2):
        assert await operations.retain_again(core, older_than_ns=1, keep=filled.size + 100) == 0


CALLS = [
    take,
    accept,
    accept_again,
    record,
    look_back,
    look_back_by_time,
    run_again,
    one_run,
    run_of_window,
    newest_runs,
    open_runs,
    newest_windows,
    windows_of_a_type,
    windows_of_a_time,
    results_of_a_window,
    newest_results,
    results_after,
    run_to_repeat,
    failures_of_the_home_page,
    freshness,
    recent_statistics,
    failures,
    values_of_a_window,
    newest_points,
    windows_to_delete,
    followed_results,
    windows_after,
    failed_to_repeat,
    runs_of_a_type,
    runs_of_a_type_that_is_not_there,
    runs_since,
    cost_of_a_day,
    table_of_a_type,
    housekeeping,
]


def test_costs_do_not_grow_with_what_is_stored(tmp_path, monkeypatch):
    steps = Steps(monkeypatch)
    # Both stores are larger than these.
    monkeypatch.setattr(queries, "PAGE", 60)
    monkeypatch.setattr(queries, "FEW", 60)
    monkeypatch.setattr(operations, "_ACCEPTED", operations._ACCEPTED.replace("LIMIT 200", "LIMIT 60"))

    async def main():
        costs = {call.__name__: [] for call in CALLS}
        for size in (SMALL, LARGE):
            store = await open_store(tmp_path / f"{size}.db")
            try:
                filled = Filled(store, size)
                await filled.fill()
                for call in CALLS:
                    before = steps.count
                    await call(filled)
                    costs[call.__name__].append(steps.count - before)
            finally:
                await store.close()
        return costs

    costs = asyncio.run(main())
    # Twenty times as much is stored. Depth of an index, and counting in tens of steps, are allowed for.
    grown = {name: cost for name, cost in costs.items() if cost[1] > 1.5 * cost[0] + 5 * STEP}
    assert not grown


def test_a_long_list_is_read_in_one_pass(tmp_path, monkeypatch):
    steps = Steps(monkeypatch)
    monkeypatch.setattr(queries, "PAGE", 20)

    async def main():
        store = await open_store(tmp_path / "orca.db")
        try:
            filled = Filled(store, LARGE)
            await filled.fill()
            costs, found = [], []
            for newest_first in (False, True):
                for limit in (200, LARGE):
                    before = steps.count
                    page = Page(limit, newest_first)
                    found.append(
                        [
                            row["id"]
                            for row in await read(queries.read_results(store, where("a.name = ?", "A"), page))
                        ]
                    )
                    costs.append(steps.count - before)
            return costs, found
        finally:
            await store.close()

    costs, found = asyncio.run(main())
    ordered = list(range(1, LARGE + 1))
    assert found == [ordered[:200], ordered, ordered[:-201:-1], ordered[::-1]]
    assert costs[1] < 1.5 * costs[0] * LARGE / 200
    assert costs[3] < 1.5 * costs[2] * LARGE / 200


def test_another_name_costs_the_same_among_many(tmp_path, monkeypatch):
    steps = Steps(monkeypatch)

    async def main():
        store = await open_store(tmp_path / "orca.db")
        try:
            costs = []
            for number in range(400):
                before = steps.count
                await store.window_type_id(WindowTypeDef(f"Type{number}", "1.0.0", "", ()))
                await store.algorithm_id(AlgorithmRef(f"A{number}", "1.0.0"))
                costs.append(steps.count - before)
            for number in (0, 399):
                kind = WindowTypeDef(f"Type{number}", "1.0.0", "", ())
                assert store.window_type(await store.window_type_id(kind)) == kind.ref
                ref = AlgorithmRef(f"A{number}", "1.0.0")
                assert store.algorithm(await store.algorithm_id(ref)) == ref
            return costs
        finally:
            await store.close()

    costs = asyncio.run(main())
    assert sum(costs[-20:]) <= 1.5 * sum(costs[:20])
