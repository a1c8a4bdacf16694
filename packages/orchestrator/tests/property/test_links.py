"""What waits for an instance or for an algorithm's limit, under random limits, windows, ends and cancels."""

import asyncio
import gc
from dataclasses import replace
from typing import Annotated

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orca.orchestrator.active import ActiveRun
from orca.orchestrator.core import EmitOptions
from orca.orchestrator.execution import RetryRule
from orca.orchestrator.local import LocalCore
from orca.orchestrator.settings import CoreSettings
from orca.processor import Dep, Processor, Window

SETTINGS = CoreSettings(retry=RetryRule(initial_s=0.0), stop_grace_s=0.0)


class Runs:
    """Algorithms that end when they are told to, in a core of this process.

    An hour has a chain of two, the second of which may fail and is then sent again by itself; a day has two that
    go out together, by way of the processor's engine.
    """

    def __init__(self, limits):
        self.proc = Processor("limited", max_workers=1)
        self.told = {}
        first = self.algorithm("A", limits[0])
        self.algorithm("B", limits[1], before=first)
        self.algorithm("C", limits[2], kind="Day")
        self.algorithm("D", limits[3], kind="Day")

    def algorithm(self, name, limit, *, kind="Hour", before=None):
        async def follows(window: Window, value: Annotated[float, Dep(before)]) -> float:
            return await self.end(name, window.from_ns)

        async def begins(window: Window) -> float:
            return await self.end(name, window.from_ns)

        body = begins if before is None else follows
        return self.proc.algorithm(name, "1.0.0", kind, "1.0.0", concurrency=limit, attempts=3)(body)

    async def end(self, name, number):
        if not await self.told.setdefault((name, number), asyncio.get_running_loop().create_future()):
            self.told.pop((name, number))
            raise ValueError("not yet")
        return 1.0

    async def main(self, body, places=100):
        async with LocalCore(self.proc, settings=replace(SETTINGS, calls_per_instance_max=places)) as core:
            self.core = core
            self.engine = core.core.engine
            (self.link,) = core.core.links
            self.over = asyncio.Event()
            self.link.over = self.over.set
            await body(self)

    def go(self, body, places=100):
        asyncio.run(asyncio.wait_for(self.main(body, places), 120))

    async def emit(self, number, kind="Hour", priority=0):
        options = EmitOptions(priority=priority)
        return await self.core.emit(kind, "1.0.0", (number, number), options=options)

    @property
    def calls(self):
        (instance,) = self.link.instances.values()
        return sorted(instance.calls, key=lambda call: (call.active.run.run_id, call.nodes))

    def tell(self, name, number, value=True):
        """Let an algorithm end, now or when it begins."""
        future = self.told.setdefault((name, number), asyncio.get_running_loop().create_future())
        if not future.done():
            future.set_result(value)

    async def finish(self, call, fails=None):
        """Let a call end, or one of its algorithms fail, and wait until the link knows."""
        for position, node in enumerate(call.nodes):
            good = fails is None or position != fails % len(call.nodes)
            self.tell(call.active.info.refs[node].name, call.active.run.span.time_from_ns, good)
        await self.until_over()

    async def turn(self):
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(done.set_result, None)
        await done

    async def until_over(self):
        await self.over.wait()
        self.over.clear()
        while any(active.timers for active in self.engine.index):
            # The pause before another attempt is none, but it takes a turn of the loop.
            await self.turn()

    async def cancel(self, active):
        runs = any(call.active is active for call in self.calls)
        self.engine.cancel(active, "enough")
        if runs:
            await self.until_over()

    def check(self):
        """Nothing waits although it could run; nothing runs that may not."""
        counts = {}
        for call in self.calls:
            for node in call.active.info.limits.keys() & call.nodes:
                algorithm_id = call.active.info.algorithm_ids[node]
                counts[algorithm_id] = counts.get(algorithm_id, 0) + 1
                assert counts[algorithm_id] <= call.active.info.limits[node]
        (instance,) = self.link.instances.values()
        if instance.room <= 0:
            return
        for entry in [*self.link._queue, *(one for heap in self.link._parked.values() for one in heap)]:
            active, nodes = entry[2], entry[3]
            if self.link._startable(entry):
                ids, limits = active.info.algorithm_ids, active.info.limits
                assert any(counts.get(ids[node], 0) >= limits.get(node, 1000) for node in nodes), (
                    f"{nodes} of run {active.run.run_id} waits for nothing"
                )

    async def finish_all(self):
        """Everything that is open comes to its end."""
        while self.calls:
            await self.finish(self.calls[0])
            self.check()
        assert self.link.waiting == 0, "nothing runs, and something waits"
        await self.core.drain()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    limits=st.tuples(*[st.sampled_from([1, 1, 2, 0])] * 4),
    places=st.sampled_from([10, 1, 3]),
    days=st.lists(st.booleans(), min_size=2, max_size=8),
    moves=st.lists(
        st.tuples(
            st.sampled_from(["emit", "finish", "fail", "cancel running", "cancel waiting"]),
            st.integers(0, 9),
        ),
        min_size=3,
        max_size=25,
    ),
)
def test_nothing_that_may_start_waits(limits, places, days, moves):
    async def body(runs):
        for number, day in enumerate(days, 101):
            await runs.emit(number, "Day" if day else "Hour")
        for number, (move, choice) in enumerate(moves, 1):
            calls = runs.calls
            busy = {call.active for call in calls}
            waits = [active for active in runs.engine.index if active not in busy and active.state.open]
            if move == "emit":
                await runs.emit(number, "Day" if choice > 6 else "Hour", priority=choice % 2)
            elif move == "cancel waiting" and waits:
                await runs.cancel(waits[choice % len(waits)])
            elif calls and move == "cancel running":
                await runs.cancel(calls[choice % len(calls)].active)
            elif calls and move in ("finish", "fail"):
                await runs.finish(calls[choice % len(calls)], fails=choice if move == "fail" else None)
            runs.check()
        await runs.finish_all()

    Runs(limits).go(body, places)


def test_a_cancelled_run_passes_its_turn_on():
    async def body(runs):
        for number in (1, 2, 3):
            await runs.emit(number)
        (first,) = runs.calls
        runs.engine.cancel(runs.engine.index.get(2), "enough")
        await runs.finish(first)
        assert [call.active.run.run_id for call in runs.calls] == [3]
        await runs.finish_all()

    Runs((1, 0, 0, 0)).go(body)


def test_a_slot_that_one_cannot_use_yet_goes_to_another():
    async def body(runs):
        await runs.emit(1, "Day")
        await runs.emit(2, "Day", priority=1)
        await runs.emit(3, "Day")
        runs.tell("C", 1, False)
        while runs.link.waiting < 3:
            await runs.turn()
        # The first run still needs C, and comes after the third one in line.
        runs.tell("D", 1)
        await runs.until_over()
        assert [call.active.run.run_id for call in runs.calls] == [2]
        runs.tell("D", 2, False)
        while runs.link.waiting < 3:
            await runs.turn()
        runs.tell("C", 2)
        await runs.until_over()
        # The second one takes D again, without which the third one cannot use the C that has become free.
        assert [(call.active.run.run_id, len(call.nodes)) for call in runs.calls] == [(1, 1), (2, 1)]
        await runs.finish_all()

    Runs((0, 0, 1, 1)).go(body)


def test_a_call_cancelled_before_it_is_sent_gives_its_place_back():
    async def body(runs):
        (instance,) = runs.link.instances.values()
        instance.state = "lost"
        await runs.emit(1, "Day")
        instance.state = "serving"
        runs.link.pump()
        assert len(runs.calls) == 1
        runs.engine.cancel(runs.engine.index.get(1), "enough")
        await asyncio.wait_for(runs.until_over(), 60)
        assert not runs.calls
        await runs.emit(2, "Day")
        await runs.finish_all()

    Runs((0, 0, 1, 0)).go(body)


def test_a_cancelled_backlog_is_let_go_of_while_nobody_serves():
    async def body(runs):
        (instance,) = runs.link.instances.values()
        instance.state = "lost"
        for number in range(1, 101):
            await runs.emit(number)
        assert runs.link.waiting == 100
        for active in list(runs.engine.index):
            if active.run.run_id <= 90:
                runs.engine.cancel(active, "enough")
        active = None
        for number in range(1, 91):
            assert (await runs.core.wait(number))["state"] == "cancelled"
        # The store's threads are at something else now.
        await runs.emit(101)
        gc.collect()
        kept = [one.run.run_id for one in gc.get_objects() if isinstance(one, ActiveRun)]
        assert len(kept) <= 20, kept
        instance.state = "serving"
        runs.link.pump()
        await runs.finish_all()

    Runs((1, 0, 1, 0)).go(body)
