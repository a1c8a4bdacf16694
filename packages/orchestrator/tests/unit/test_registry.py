"""Plans made ready: kept while something triggers or runs them, and no longer."""

import asyncio
import weakref

from making import WINDOW, WINDOW_REF, algorithm, processor

from orca.common.clock import SystemClock
from orca.orchestrator.registry import Registry
from orca.orchestrator.store.sqlite import open_store


def test_a_plan_that_nothing_runs_any_more_is_let_go(tmp_path):
    async def main():
        store = await open_store(tmp_path / "orca.db")
        try:
            registry = Registry(store, SystemClock())
            await registry.register(processor("P", algorithm("A")), features="[]")
            first = (await registry.trigger(WINDOW_REF)).info
            # An open run holds it, as the engine does for a run that began before the next registration.
            plan_id, kept = first.plan_id, weakref.ref(first)
            await registry.register(processor("P", algorithm("A"), algorithm("B", "A")), features="[]")
            second = (await registry.trigger(WINDOW_REF)).info
            assert (len(second.plan.nodes), second.plan_id != plan_id) == (2, True)
            assert await registry.info(plan_id, first.type_id) is first
            del first
            assert kept() is None
            # A run of it that waits on disk brings it back.
            again = await registry.info(plan_id, await store.window_type_id(WINDOW))
            assert [node.ref.name for node in again.plan.nodes] == ["A"]
        finally:
            await store.close()

    asyncio.run(main())
