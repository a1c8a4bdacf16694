# ruff: noqa: ARG001, E501 - handlers have the forms that each library wants
"""The four workloads on orca-runtime-python 0.1.30.

Its parallel states move one region for each event, so it does a quarter of the work there.
"""

import asyncio
import json
import sys
import time

from orca_runtime_python import EventBus, OrcaMachine, parse_orca_md

HEAD = "\n## transitions\n\n| Source | Event | Guard | Target | Action |\n|---|---|---|---|---|\n"
FLAT = (
    "# machine F\n\n## state a [initial]\n\n## state b\n" + HEAD + "| a | GO | | b | |\n| b | GO | | a | |\n"
)
GUARDED = (
    "# machine G\n\n## context\n\n| Field | Type | Default |\n|---|---|---|\n| n | int | 0 |\n\n## state a [initial]\n\n"
    "## state b\n" + HEAD + "| a | GO | small | b | inc |\n| b | GO | small | a | inc |\n"
    "\n## guards\n\n| Name | Expression |\n|---|---|\n| small | `ctx.n < 1000000000` |\n"
    "\n## actions\n\n| Name | Signature |\n|---|---|\n| inc | `(ctx) -> Context` |\n"
)
STEPS = "- on_entry: e\n- on_exit: x\n"
HIERARCHY = (
    "# machine H\n\n"
    f"## state a [initial]\n{STEPS}\n### state b [initial]\n{STEPS}\n#### state c [initial]\n{STEPS}\n"
    f"## state d\n{STEPS}\n### state f [initial]\n{STEPS}\n#### state g [initial]\n{STEPS}\n"
    + HEAD
    + "| a | GO | | d | |\n| d | GO | | a | |\n"
)
PARALLEL = (
    "# machine P\n\n## state idle [initial]\n\n## state p [parallel]\n\n"
    + "".join(f"### region r{i}\n\n#### state a{i} [initial]\n\n#### state b{i}\n\n" for i in range(4))
    + HEAD
    + "| idle | ENTER | | p | |\n"
    + "".join(f"| a{i} | GO | | b{i} | |\n| b{i} | GO | | a{i} | |\n" for i in range(4))
)


async def nothing(ctx, event):
    return None


async def inc(ctx, event):
    return {"n": ctx["n"] + 1}


async def observer(old, new):
    return None


async def rate(text, events, passes, observed):
    machine = OrcaMachine(parse_orca_md(text), EventBus(), on_transition=observer if observed else None)
    for name in "ex":
        machine.register_action(name, nothing)
    machine.register_action("inc", inc)
    machine.context["n"] = 0
    await machine.start()
    await machine.send("ENTER")  # it never expands a parallel state that is initial
    assert (await machine.send("GO")).taken
    best = 0.0
    for _ in range(passes):
        start = time.process_time()
        for _ in range(events):
            await machine.send("GO")
        best = max(best, events / (time.process_time() - start) / 1000)
    return best


async def main(events, passes):
    result = {}
    for observed in (False, True):
        for name, text in (
            ("flat", FLAT),
            ("guarded", GUARDED),
            ("hierarchy", HIERARCHY),
            ("parallel", PARALLEL),
        ):
            result[name + ("_observed" if observed else "")] = await rate(text, events, passes, observed)
    sys.stdout.write(json.dumps(result))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
