"""The four workloads on transitions, with its hierarchical asynchronous machine."""

import asyncio
import json
import sys
import time

from transitions.extensions.asyncio import AsyncMachine, HierarchicalAsyncMachine


class Model:
    n = 0

    async def small(self):
        return self.n < 1_000_000_000

    async def inc(self):
        self.n += 1

    async def nothing(self):
        return None


def make(name):
    model = Model()
    if name == "flat":
        AsyncMachine(model, states=["a", "b"], initial="a", transitions=[["go", "a", "b"], ["go", "b", "a"]])
    elif name == "guarded":
        rows = [
            {"trigger": "go", "source": s, "dest": t, "conditions": "small", "after": "inc"}
            for s, t in ("ab", "ba")
        ]
        AsyncMachine(model, states=["a", "b"], initial="a", transitions=rows)
    elif name == "hierarchy":

        def level(names):
            first, *rest = names
            state = {"name": first, "on_enter": "nothing", "on_exit": "nothing"}
            if rest:
                state.update(children=[level(rest)], initial=rest[0])
            return state

        HierarchicalAsyncMachine(
            model,
            states=[level("abc"), level("dfg")],
            initial="a",
            transitions=[["go", "a", "d"], ["go", "d", "a"]],
        )
    else:
        regions = [{"name": f"r{i}", "children": [f"a{i}", f"b{i}"], "initial": f"a{i}"} for i in range(4)]
        rows = [["go", f"p_r{i}_{s}{i}", f"p_r{i}_{t}{i}"] for i in range(4) for s, t in ("ab", "ba")]
        HierarchicalAsyncMachine(
            model, states=[{"name": "p", "parallel": regions}], initial="p", transitions=rows
        )
    return model


async def main(events, passes):
    result = {}
    for name in ("flat", "guarded", "hierarchy", "parallel"):
        model = make(name)
        await model.go()
        best = 0.0
        for _ in range(passes):
            start = time.process_time()
            for _ in range(events):
                await model.go()
            best = max(best, events / (time.process_time() - start) / 1000)
        result[name] = best
    sys.stdout.write(json.dumps(result))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
