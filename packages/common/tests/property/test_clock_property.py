"""For all tasks and pauses: everybody wakes at the moment they asked for, and moments come in order."""

from __future__ import annotations

import asyncio
from itertools import accumulate

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from orca.common.testing import FakeClock

# Whole numbers, so that sums are exact.
plans = st.lists(st.lists(st.integers(0, 20), max_size=5), min_size=1, max_size=5)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("auto", [True, False])
@settings(max_examples=30)
@given(plan=plans)
def test_everybody_wakes_when_they_asked(loop: str, auto: bool, plan: list[list[int]]) -> None:
    clock = FakeClock(auto=auto)
    woken: list[tuple[float, int]] = []

    async def sleeper(number: int) -> None:
        for pause_s in plan[number]:
            await clock.sleep_async(pause_s)
            woken.append((clock.monotonic(), number))

    async def advance() -> None:
        if not auto:
            await clock.advance_async(100)

    async def under_asyncio() -> None:
        tasks = [asyncio.create_task(sleeper(number)) for number in range(len(plan))]
        await advance()
        await asyncio.gather(*tasks)

    async def under_trio() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(len(plan)):
                nursery.start_soon(sleeper, number)
            await advance()

    if loop == "asyncio":
        asyncio.run(under_asyncio())
    else:
        trio.run(under_trio)

    assert [moment for moment, _ in woken] == sorted(moment for moment, _ in woken)
    for number, pauses in enumerate(plan):
        assert [moment for moment, who in woken if who == number] == list(accumulate(pauses))
    assert clock.waiting == 0
    assert sorted(clock.sleeps) == sorted(pause_s for pauses in plan for pause_s in pauses)
