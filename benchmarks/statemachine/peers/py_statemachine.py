# ruff: noqa: N801 - handlers have the forms that each library wants
"""The four workloads on python-statemachine, with its asynchronous engine."""

import asyncio
import json
import sys
import time

from statemachine import State, StateChart


class Flat(StateChart):
    a = State(initial=True)
    b = State()
    go = a.to(b) | b.to(a)

    async def on_go(self):
        return None


class Guarded(StateChart):
    n = 0
    a = State(initial=True)
    b = State()
    go = a.to(b, cond="small") | b.to(a, cond="small")

    async def small(self):
        return self.n < 1_000_000_000

    async def on_go(self):
        self.n += 1


class Hierarchy(StateChart):
    class a(State.Compound, initial=True):
        class b(State.Compound, initial=True):
            c = State(initial=True)

    class d(State.Compound):
        class f(State.Compound, initial=True):
            g = State(initial=True)

    go = a.to(d) | d.to(a)

    async def on_enter_a(self):
        return None

    on_enter_b = on_enter_c = on_enter_d = on_enter_f = on_enter_g = on_enter_a
    on_exit_a = on_exit_b = on_exit_c = on_exit_d = on_exit_f = on_exit_g = on_enter_a


class Parallel(StateChart):
    class p(State.Parallel):
        class r0(State.Compound):
            a0 = State(initial=True)
            b0 = State()
            go = a0.to(b0) | b0.to(a0)

        class r1(State.Compound):
            a1 = State(initial=True)
            b1 = State()
            go = a1.to(b1) | b1.to(a1)

        class r2(State.Compound):
            a2 = State(initial=True)
            b2 = State()
            go = a2.to(b2) | b2.to(a2)

        class r3(State.Compound):
            a3 = State(initial=True)
            b3 = State()
            go = a3.to(b3) | b3.to(a3)

    async def on_go(self):
        return None


async def rate(kind, events, passes):
    machine = kind()
    await machine.activate_initial_state()
    await machine.send("go")
    best = 0.0
    for _ in range(passes):
        start = time.process_time()
        for _ in range(events):
            await machine.send("go")
        best = max(best, events / (time.process_time() - start) / 1000)
    return best


async def main(events, passes):
    result = {}
    for name, kind in (
        ("flat", Flat),
        ("guarded", Guarded),
        ("hierarchy", Hierarchy),
        ("parallel", Parallel),
    ):
        result[name] = await rate(kind, events, passes)
    sys.stdout.write(json.dumps(result))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
