# ruff: noqa: ARG001, ARG005 - handlers have the forms that each library wants
"""The four workloads on orca.statemachine, and what only it is measured for.

python ours.py EVENTS PASSES -> one JSON object
"""

import asyncio
import json
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

from orca.statemachine import EventBus, OrcaMachine, parse_orca
from orca.statemachine.runtime.sqlite import SQLiteStore

FLAT = "machine F\nstate a [initial]\nstate b\ntransitions { a + GO -> b\n b + GO -> a }"
GUARDED = """machine G
context { n: int = 0 }
state a [initial]
state b
guards { small: ctx.n < 1000000000 }
transitions { a + GO [small] -> b : inc
 b + GO [small] -> a : inc }
actions { inc: (ctx: Context) -> Context }"""
LEVELS = (
    "state {0} {3} {{ on_entry: e on_exit: x state {1} [initial] {{ on_entry: e on_exit: x "
    "state {2} [initial] {{ on_entry: e on_exit: x }} }} }}"
)
HIERARCHY = (
    "machine H\n"
    + LEVELS.format("a", "b", "c", "[initial]")
    + "\n"
    + LEVELS.format("d", "f", "g", "")
    + "\ntransitions { a + GO -> d\n d + GO -> a }\n"
    "actions { e: (ctx: Context) -> Context\n x: (ctx: Context) -> Context }"
)
PARALLEL = (
    "machine P\nstate p [initial] { parallel {\n"
    + "\n".join(f"region r{i} {{ state a{i} [initial] state b{i} }}" for i in range(4))
    + "\n} }\ntransitions {\n"
    + "\n".join(f"a{i} + GO -> b{i}\nb{i} + GO -> a{i}" for i in range(4))
    + "\n}"
)


def flat_of(states: int) -> str:
    """A ring of states."""
    names = "\n".join(f"state s{i}{' [initial]' if i == 0 else ''}" for i in range(states))
    rows = "\n".join(f"s{i} + GO -> s{(i + 1) % states}" for i in range(states))
    rows += "\ns0 + SWING -> s1\ns1 + SWING -> s0"
    return f"machine Ring\n{names}\ntransitions {{\n{rows}\n}}"


def inc(ctx):
    return {"n": ctx["n"] + 1}


def nothing(ctx):
    return None


async def rate(text, actions, events, passes, observed):
    """Thousand events per CPU-second, the best of some passes."""
    machine = OrcaMachine(
        parse_orca(text), EventBus(), on_transition=(lambda old, new: None) if observed else None
    )
    for name, handler in actions.items():
        machine.register_action(name, handler)
    await machine.start()
    for _ in range(200):
        assert (await machine.send("GO")).taken
    best = 0.0
    for _ in range(passes):
        start = time.process_time()
        for _ in range(events):
            await machine.send("GO")
        best = max(best, events / (time.process_time() - start) / 1000)
    return best


async def cost_of_size(events):
    """Cost of an event with 10,000 states as a multiple of that with 10: between two states, and all around.

    Around, every event meets a state that was last touched 10,000 events ago, so its memory is no longer in the
    processor's cache; that is what the second number shows.
    """
    texts = {size: flat_of(size) for size in (10, 10_000)}
    ratios = []
    for event in ("SWING", "GO"):
        times = {}
        for size, text in texts.items():
            machine = OrcaMachine(parse_orca(text), EventBus())
            await machine.start()
            for _ in range(max(size + 1, 200)):
                await machine.send(event)
            spent = []
            for _ in range(5):
                start = time.process_time()
                for _ in range(events):
                    await machine.send(event)
                spent.append(time.process_time() - start)
            times[size] = min(spent)
        ratios.append(times[10_000] / times[10])
    return ratios


async def instances(count):
    """Bytes for each instance without its context, and instances made and started each second."""
    definition = parse_orca(FLAT)
    bus = EventBus()
    first = OrcaMachine(definition, bus)
    await first.start()
    start = time.process_time()
    made = [OrcaMachine(definition, bus) for _ in range(count)]
    for machine in made:
        await machine.start()
    speed = count / (time.process_time() - start)
    del made
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [OrcaMachine(definition, bus) for _ in range(10_000)]
    for machine in kept:
        await machine.start()
        await machine.send("GO")
    size = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    tracemalloc.stop()
    return size, speed


async def durable(events):
    """CPU microseconds of an event that is stored in SQLite, a hundred machines at once."""
    definition = parse_orca(GUARDED)
    with tempfile.TemporaryDirectory() as folder, SQLiteStore(Path(folder) / "runs.db") as store:
        machines = [
            OrcaMachine(definition, EventBus(), persistence=store, run_id=f"r{i}") for i in range(100)
        ]
        for machine in machines:
            machine.register_action("inc", inc)
        await asyncio.gather(*(machine.start() for machine in machines))

        async def run(machine):
            for _ in range(events // 100):
                await machine.send("GO")

        best = 0.0
        for _ in range(3):
            start = time.process_time()
            await asyncio.gather(*(run(machine) for machine in machines))
            spent = (time.process_time() - start) / events * 1e6
            best = spent if not best else min(best, spent)
        return best


async def bare(events):
    """A dictionary behind an asynchronous call: the ceiling for anything that is called `await send`."""
    table = {("a", "GO"): "b", ("b", "GO"): "a"}
    state = "a"

    async def send(event):
        nonlocal state
        state = table[state, event]
        return state

    start = time.process_time()
    for _ in range(events):
        await send("GO")
    return events / (time.process_time() - start) / 1000


async def main(events, passes):
    result = {}
    for observed in (False, True):
        suffix = "_observed" if observed else ""
        steps = {"e": nothing, "x": nothing}
        result["flat" + suffix] = await rate(FLAT, {}, events, passes, observed)
        result["guarded" + suffix] = await rate(GUARDED, {"inc": inc}, events, passes, observed)
        result["hierarchy" + suffix] = await rate(HIERARCHY, steps, events, passes, observed)
        result["parallel" + suffix] = await rate(PARALLEL, {}, events, passes, observed)
    result["bare_dictionary"] = await bare(events)
    result["instance_bytes"], result["instances_per_s"] = await instances(max(events, 10_000))
    result["ratio_10000_states"], result["ratio_10000_around"] = await cost_of_size(max(events, 20_000))
    result["durable_us"] = await durable(max(events // 10, 1_000))
    sys.stdout.write(json.dumps(result))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
