"""The XState output runs under the real package and gives the traces of our engine."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from node_packages import run_module, workspace
from random_machines import EVENTS, Shape, random_machine
from sample_machines import SAMPLES, ctx, flat, number, payload

from orca.statemachine.engine import (
    ActionResult,
    CancelTimer,
    Handlers,
    LivelockError,
    Signal,
    StartTimer,
    compile_plan,
    initial_snapshot,
    step,
    timeout_name,
)
from orca.statemachine.expr import GuardAnd, GuardCompare, GuardIn, GuardNot, GuardOr, Negate
from orca.statemachine.model import MachineDef, OutcomeRef, StateDef, Transition
from orca.statemachine.outputs.xstate import to_xstate, to_xstate_module

MACHINES = 150
OPERATIONS = 25
ACTIONS = {
    "inc": lambda context, data: {"n": context["n"] + 1},
    "dec": lambda context, data: {"n": context["n"] - 1},
    "reset": lambda context, data: {"n": 0, "m": context["m"] + 1},
    "raise_a": lambda context, data: ActionResult(raised=(Signal("A"),)),
}
HARNESS = """
import { createActor, assign, raise, SimulatedClock } from "xstate";
import { readFileSync } from "node:fs";
const jobs = JSON.parse(readFileSync(new URL("./jobs.json", import.meta.url)));
const actions = {
  inc: assign(({ context }) => ({ n: context.n + 1 })),
  dec: assign(({ context }) => ({ n: context.n - 1 })),
  reset: assign(({ context }) => ({ n: 0, m: context.m + 1 })),
  raise_a: raise({ type: "A" }),
};
function leaves(snapshot) {
  const ids = snapshot._nodes.filter((n) => n.type === "atomic" || n.type === "final").map((n) => n.id);
  return ids.map((id) => id.slice(id.indexOf(".") + 1)).sort();
}
const traces = [];
for (const job of jobs) {
  const { machine } = await import(`./${job.module}`);
  const clock = new SimulatedClock();
  const actor = createActor(machine.provide({ actions }), { clock });
  actor.start();
  const trace = [];
  const note = () => {
    const s = actor.getSnapshot();
    trace.push([leaves(s), s.context.n, s.context.m]);
  };
  note();
  for (const operation of job.operations) {
    if (actor.getSnapshot().status !== "active") break;
    if (operation.advance) clock.increment(operation.advance);
    else actor.send(operation.event);
    note();
  }
  traces.push(trace);
}
console.log(JSON.stringify(traces));
"""


def tamed(machine: MachineDef) -> MachineDef:
    """The machine without what XState has no word for, and without what it does against the standard.

    Left out: actions that fail and their on_error, invoked children, ``custom`` and ``any-final``; transitions
    between regions of one parallel state, which XState carries out without leaving the parallel state (SCXML:
    the least common *compound* ancestor); transitions without target inside a region, which keep XState from
    asking the ancestors of the other regions (SCXML asks those of every leaf); history.
    """
    parallel = {item.path for item in machine.walk() if isinstance(item, StateDef) and item.parallel}

    def crosses(source: str, target: str | None) -> bool:
        if target is None:
            return False
        one, other = source.split("."), target.split(".")
        common = 0
        while common < min(len(one), len(other)) and one[common] == other[common]:
            common += 1
        return ".".join(one[:common]) in parallel

    def action(name: str | None) -> str | None:
        return name if name in {None, *ACTIONS} else "inc"

    def state(item: StateDef) -> StateDef:
        done = item.on_done
        if (
            done is not None
            and done.kind == "state"
            and (crosses(item.path, done.name) or item.path in done.name)
        ):
            done = OutcomeRef("event", "D")
        late = item.timeout
        if late is not None and (crosses(item.path, late.target) or item.path in late.target):
            late = None
        regions = item.parallel and tuple(
            replace(region, states=tuple(map(state, region.states))) for region in item.parallel.regions
        )
        return replace(
            item,
            on_entry=action(item.on_entry),
            on_exit=action(item.on_exit),
            on_error=None,
            on_done=done,
            timeout=late,
            states=tuple(map(state, item.states)),
            parallel=item.parallel and replace(item.parallel, regions=regions, sync="all-final"),
        )

    rows = [
        replace(row, action=action(row.action), internal=False)
        for row in machine.transitions
        if not crosses(row.source, row.target)
        and (row.target is not None or not any(row.source.startswith(path + ".") for path in parallel))
    ]
    return replace(machine, states=tuple(map(state, machine.states)), transitions=tuple(rows))


def more_guards(machine: MachineDef, rng: random.Random) -> MachineDef:
    """The machine with some guards over the payload and over kinds that do not fit."""
    kinds = [
        GuardCompare("gt", payload("k"), number(1)),
        GuardNot(GuardCompare("lt", payload("missing"), number(1))),
        GuardOr(
            (GuardIn(payload("k"), (number(0), number(3))), GuardCompare("eq", ctx("n"), Negate(number(1))))
        ),
        GuardAnd(
            (GuardNot(GuardCompare("eq", payload("k"), number(2))), GuardCompare("ge", ctx("n"), number(0)))
        ),
    ]
    rows = [
        replace(row, guard=rng.choice(kinds)) if row.event and rng.random() < 0.3 else row
        for row in machine.transitions
    ]
    return replace(machine, transitions=tuple(rows))


class Run:
    """A machine of ours with its timers on a clock of its own."""

    def __init__(self, machine: MachineDef) -> None:
        self.plan = compile_plan(machine)
        self.now = 0
        self.timers: dict[str, int] = {}
        self.handlers = Handlers(actions=ACTIONS)
        self.trace: list[object] = []
        self.snapshot = initial_snapshot(self.plan)
        self.take(None)
        self.note()

    def take(self, signal: Signal | None) -> None:
        found = step(self.plan, self.snapshot, signal, handlers=self.handlers)
        self.snapshot = found.snapshot
        for command in found.commands:
            if isinstance(command, StartTimer):
                self.timers.pop(command.path, None)
                self.timers[command.path] = self.now + command.delay_ms
            elif isinstance(command, CancelTimer):
                self.timers.pop(command.path, None)

    def note(self) -> None:
        shown = self.plan.describe(self.snapshot.configuration)
        context = self.snapshot.context
        self.trace.append([sorted(shown.split(", ")), context["n"], context["m"]])

    def advance(self) -> int:
        """To the next timer; all that are due then fire."""
        due = min(self.timers.values())
        delay, self.now = due - self.now, due
        while self.snapshot.status == "running":
            ready = [path for path, at in self.timers.items() if at <= self.now]
            if not ready:
                break
            del self.timers[ready[0]]
            self.take(Signal(timeout_name(ready[0])))
        self.note()
        return delay


def played(machine: MachineDef, rng: random.Random) -> tuple[list[dict], list]:
    """Operations and the trace that our engine gives; they end where the machine is done or never stable."""
    run = Run(machine)
    operations: list[dict] = []
    for _ in range(OPERATIONS):
        if run.snapshot.status == "done":
            break
        if run.timers and rng.random() < 0.25:
            operations.append({"advance": run.advance()})
            continue
        event = {"k": rng.randint(0, 3)}
        name = rng.choice([*EVENTS, "unknown"])
        try:
            run.take(Signal(name, event))
        except LivelockError:
            break
        operations.append({"event": {"type": name, **event}})
        run.note()
    return operations, run.trace


def test_the_traces_are_those_of_our_engine() -> None:
    shape = Shape(failing=0, invoke=0, custom_sync=False, history=0)
    expected, jobs = [], []
    with workspace() as folder:
        for seed in range(MACHINES):
            rng = random.Random(seed)
            machine = more_guards(tamed(random_machine(seed, shape)), rng)
            try:
                operations, trace = played(machine, rng)
            except LivelockError:
                continue
            (folder / f"m{seed}.mjs").write_text(to_xstate_module(machine), "utf-8")
            jobs.append({"module": f"m{seed}.mjs", "operations": operations})
            expected.append(trace)
        (folder / "jobs.json").write_text(json.dumps(jobs), "utf-8")
        found = json.loads(run_module(folder, "harness.mjs", HARNESS))
    assert len(found) == len(expected) > MACHINES * 0.6
    assert sum(map(len, expected)) > 500
    for job, ours, theirs in zip(jobs, expected, found, strict=True):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert one == other, (job["module"], place, job["operations"][:place])


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_loads(name) -> None:
    machine = SAMPLES[name]()
    with workspace() as folder:
        (folder / "m.mjs").write_text(to_xstate_module(machine), "utf-8")
        check = 'import { machine } from "./m.mjs"; console.log(JSON.stringify(machine.id));'
        assert json.loads(run_module(folder, "check.mjs", check)) == machine.name
    assert json.loads(json.dumps(to_xstate(machine)))["id"] == machine.name


def test_names_that_would_end_a_script_stay_inside_their_string() -> None:
    machine = flat(
        "Odd", "a b", Transition("a", "</script>", "b", GuardNot(GuardCompare("eq", ctx("x"), number(1))))
    )
    text = to_xstate_module(machine)
    assert "</script>" not in text
    with workspace() as folder:
        (folder / "m.mjs").write_text(text, "utf-8")
        check = """
            import { createActor } from "xstate";
            import { machine } from "./m.mjs";
            const actor = createActor(machine).start();
            actor.send({ type: "</script>" });
            console.log(JSON.stringify(actor.getSnapshot().value));
        """
        assert json.loads(run_module(folder, "check.mjs", check)) == "b"
