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
    StartChild,
    StartTimer,
    StopChild,
    compile_plan,
    done_name,
    error_name,
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
import { createActor, createMachine, assign, raise, SimulatedClock } from "xstate";
import { readFileSync } from "node:fs";
const jobs = JSON.parse(readFileSync(new URL("./jobs.json", import.meta.url)));
const actions = {
  inc: assign(({ context }) => ({ n: context.n + 1 })),
  dec: assign(({ context }) => ({ n: context.n - 1 })),
  reset: assign(({ context }) => ({ n: 0, m: context.m + 1 })),
  raise_a: raise({ type: "A" }),
};
const Child = createMachine({
  initial: "works",
  states: {
    works: { on: { finish: "finished", fail: { actions: () => { throw new Error("fails on purpose"); } } } },
    finished: { type: "final" },
  },
});
function leaves(snapshot) {
  const ids = snapshot._nodes.filter((n) => n.type === "atomic" || n.type === "final").map((n) => n.id);
  return ids.map((id) => id.slice(id.indexOf(".") + 1)).sort();
}
const traces = [];
for (const job of jobs) {
  const { machine } = await import(`./${job.module}`);
  const clock = new SimulatedClock();
  const guards = Object.fromEntries(job.customs.map((name) => [name, ({ context }) => context.n % 2 === 0]));
  let steps = 0;
  const inspect = (event) => {
    if (event.type === "@xstate.microstep" && ++steps > 50_000) throw new Error(`${job.module} is never stable`);
  };
  const actor = createActor(machine.provide({ actions, guards, actors: { Child } }), { clock, inspect });
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
    else if (operation.child) actor.getSnapshot().children[operation.child]?.send({ type: operation.does });
    else actor.send(operation.event);
    note();
  }
  traces.push(trace);
}
console.log(JSON.stringify(traces));
"""


class Tamed:
    """A machine without what XState has no word for, and without what it does against the standard.

    Left out are
    actions that fail, and ``on_error`` of states that invoke nothing: an action that throws ends an actor;
    transitions that lead from one region of a parallel state into another, which XState carries out without
    leaving the parallel state (SCXML: the least common *compound* ancestor), through history states too;
    transitions without target for an event that somebody handles on the other side of the border of a parallel
    state, because XState asks the ancestors only when no region answers (SCXML asks those of every leaf);
    actions of the default transition of a history state.
    """

    def __init__(self, machine: MachineDef) -> None:
        self.machine = machine
        nodes = [item for item in machine.walk() if isinstance(item, StateDef)]
        self.parallel = {item.path for item in nodes if item.parallel}
        self.histories = {item.path: item.history for item in nodes if item.history}
        self.defaults = {
            row.source: row.target for row in machine.transitions if row.source in self.histories
        }

    def made(self) -> MachineDef:
        rows = [row for row in self.machine.transitions if not self.crosses(row.source, row.target)]
        kept = [
            replace(row, action=None if row.source in self.histories else self.action(row.action))
            for row in rows
            if row.target is not None or not any(self.clash(row, other) for other in rows)
        ]
        states = tuple(map(self.state, self.machine.states))
        return replace(self.machine, states=states, transitions=tuple(kept))

    def crosses(self, source: str, target: str | None, seen: tuple[str, ...] = ()) -> bool:
        """Whether a transition leads between regions of one parallel state that is above its source."""
        if target is None or source == "*":
            return False
        if target in self.histories and target not in seen:
            holder = target.rpartition(".")[0]
            remembered = self.histories[target] == "deep" and any(
                path.startswith(holder + ".") and source.startswith(path + ".") for path in self.parallel
            )
            if remembered or self.crosses(source, self.defaults.get(target), (*seen, target)):
                return True
        common: list[str] = []
        for one, other in zip(source.split("."), target.split("."), strict=False):
            if one != other:
                break
            common.append(one)
        path = ".".join(common)
        return path in self.parallel and path != source

    def clash(self, row: Transition, other: Transition) -> bool:
        """Whether one of two rows for one event is in a region and the other at or above its parallel state."""
        if other is row or row.event is None or row.event != other.event:
            return False

        def above(source: str, path: str) -> bool:
            return source in {"*", path} or path.startswith(source + ".")

        return any(
            (above(one.source, path) and two.source.startswith(path + "."))
            for path in self.parallel
            for one, two in ((row, other), (other, row))
        )

    def action(self, name: str | None) -> str | None:
        return name if name in {None, *ACTIONS} else "inc"

    def outcome(self, item: StateDef, outcome: OutcomeRef | None) -> OutcomeRef | None:
        if outcome is not None and outcome.kind == "state" and self.crosses(item.path, outcome.name):
            return OutcomeRef("event", "D")
        return outcome

    def state(self, item: StateDef) -> StateDef:
        late = item.timeout
        regions = item.parallel and tuple(
            replace(region, states=tuple(map(self.state, region.states))) for region in item.parallel.regions
        )
        # Here the predicate of a `custom` parallel state is asked about its invoked machine too; there it is not.
        custom = item.parallel is not None and item.parallel.sync == "custom"
        return replace(
            item,
            invoke=None if custom else item.invoke,
            on_entry=self.action(item.on_entry),
            on_exit=self.action(item.on_exit),
            on_error=self.outcome(item, item.on_error) if item.invoke and not custom else None,
            on_done=self.outcome(item, item.on_done),
            timeout=None if late is not None and self.crosses(item.path, late.target) else late,
            states=tuple(map(self.state, item.states)),
            parallel=item.parallel and replace(item.parallel, regions=regions),
        )


def customs(machine: MachineDef) -> list[str]:
    """The parallel states whose end a predicate decides."""
    found = [item for item in machine.walk() if isinstance(item, StateDef) and item.parallel]
    return [item.path for item in found if item.parallel and item.parallel.sync == "custom"]


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
        self.children: list[str] = []
        predicates = {path: lambda context, data: context["n"] % 2 == 0 for path in customs(machine)}
        self.handlers = Handlers(actions=ACTIONS, syncs=predicates)
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
            elif isinstance(command, StartChild):
                self.children.append(command.path)
            elif isinstance(command, StopChild) and command.path in self.children:
                self.children.remove(command.path)

    def end(self, path: str, *, well: bool) -> None:
        """A child is done, or it fails."""
        self.children.remove(path)
        self.take(Signal(done_name(path) if well else error_name(path)))
        self.note()

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
            try:
                operations.append({"advance": run.advance()})
            except LivelockError:
                break
            continue
        if run.children and rng.random() < 0.3:
            path = rng.choice(run.children)
            # A failure that nobody awaits ends an actor of XState.
            state = machine.find(path)
            well = rng.random() < 0.5 or not isinstance(state, StateDef) or state.on_error is None
            try:
                run.end(path, well=well)
            except LivelockError:
                break
            child = f"{machine.name}.{path}.invoke"
            operations.append({"child": child, "does": "finish" if well else "fail"})
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
    shape = Shape(failing=0)
    expected, jobs = [], []
    with workspace() as folder:
        for seed in range(MACHINES):
            rng = random.Random(seed)
            machine = more_guards(Tamed(random_machine(seed, shape)).made(), rng)
            try:
                operations, trace = played(machine, rng)
            except LivelockError:
                continue
            (folder / f"m{seed}.mjs").write_text(to_xstate_module(machine), "utf-8")
            names = [f"custom.{path}" for path in customs(machine)]
            jobs.append({"module": f"m{seed}.mjs", "operations": operations, "customs": names})
            expected.append(trace)
        (folder / "jobs.json").write_text(json.dumps(jobs), "utf-8")
        found = json.loads(run_module(folder, "harness.mjs", HARNESS))
    assert len(found) == len(expected) > MACHINES * 0.6
    assert sum(map(len, expected)) > 500
    assert sum("child" in operation for job in jobs for operation in job["operations"]) > 20
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
