"""Trials of the verifier that the suite runs in a small size and the reliability run in full."""

from __future__ import annotations

import random
from dataclasses import replace

import brute_force as brute
from random_machines import EVENTS, Shape, random_machine

from orca.statemachine.engine import (
    ActionError,
    Handlers,
    LivelockError,
    Signal,
    compile_plan,
    initial_snapshot,
    step,
)
from orca.statemachine.engine.types import error_name, timeout_name
from orca.statemachine.model import (
    Live,
    MachineDef,
    PassesThrough,
    Reachable,
    Responds,
    StateDef,
    Unreachable,
)
from orca.statemachine.verify import Report, play, verify
from orca.statemachine.verify.decide import Decider
from orca.statemachine.verify.explore import Explorer
from orca.statemachine.verify.traces import build_trace


def named(report: Report, code: str) -> set[str]:
    """The names in backquotes that begin the messages of a code."""
    return {finding.message.split("`")[1] for finding in report.of(code)}


def check_table(table: brute.Table, rng: random.Random, *, properties: int = 6) -> int:
    """Hold the verifier against brute force on one machine; gives the number of traces that were played."""
    count = len(table)
    asked = []
    for _ in range(properties):
        a, b, c = (rng.randrange(count) for _ in range(3))
        within = rng.randrange(4)
        asked += [
            (Reachable(brute.name(b), brute.name(a)), brute.can_reach(table, a, b)),
            (Unreachable(brute.name(b), brute.name(a)), not brute.can_reach(table, a, b)),
            (
                PassesThrough(brute.name(c), brute.name(a), brute.name(b)),
                brute.always_through(table, a, b, c),
            ),
            (Responds(brute.name(b), brute.name(a), within), _responds(table, a, b, within)),
        ]
    asked.append((Live(), all(brute.can_end(table, state) for state in brute.reached(table))))
    machine = brute.machine_of(table, properties=tuple(item for item, _ in asked))
    report = verify([machine])
    assert report.complete
    hidden = {brute.name(state) for state in range(count) if state not in brute.reached(table)}
    assert named(report, "UNREACHABLE_STATE") == hidden, table
    ends = {brute.name(state) for state in brute.dead_ends(table)}
    assert named(report, "DEADLOCK") == ends, table
    failed = [finding for finding in report.findings if finding.code.startswith("PROPERTY_")]
    expected = sum(not holds for _, holds in asked)
    assert len(failed) == expected, (table, [f.message for f in failed], asked)
    for kind, code in CODES.items():
        wanted = sum(not holds for item, holds in asked if isinstance(item, kind))
        assert len(report.of(code)) == wanted, (table, code)
    return sum(check_trace(machine, finding.trace) for finding in report.findings)


CODES = {
    Reachable: "PROPERTY_REACHABILITY_FAIL",
    Unreachable: "PROPERTY_EXCLUSION_FAIL",
    PassesThrough: "PROPERTY_PATH_FAIL",
    Responds: "PROPERTY_RESPONSE_FAIL",
    Live: "PROPERTY_LIVENESS_FAIL",
}


def _responds(table: brute.Table, source: int, target: int, within: int) -> bool:
    if source not in brute.reached(table):
        return True
    needed = brute.steps(table, source, target)
    return needed is not None and needed <= within


def check_trace(machine: MachineDef, trace: object) -> int:
    """A trace plays as it says."""
    if trace is None:
        return 0
    assert play(machine, trace).agrees, (machine.name, trace)
    return 1


def quiet(machine: MachineDef) -> MachineDef:
    """The machine with actions that raise no events, because the verifier does not model that."""

    def action(name: str | None) -> str | None:
        return "inc" if name in {"raise_a", "raise_b", "note", "effect", "fail"} else name

    def state(item: StateDef) -> StateDef:
        regions = item.parallel and tuple(
            replace(region, states=tuple(map(state, region.states))) for region in item.parallel.regions
        )
        return replace(
            item,
            on_entry=action(item.on_entry),
            on_exit=action(item.on_exit),
            states=tuple(map(state, item.states)),
            parallel=item.parallel and replace(item.parallel, regions=regions),
        )

    rows = tuple(replace(row, action=action(row.action)) for row in machine.transitions)
    return replace(machine, states=tuple(map(state, machine.states)), transitions=rows, actions=())


def check_random(seed: int, *, walks: int = 12, events: int = 25, budget: int = 400) -> tuple[int, int]:
    """A generated machine with everything: every node's trace plays, and no run leaves the graph.

    Gives the number of nodes played and of steps walked; (0, 0) when the graph is larger than the budget.
    """
    machine = quiet(random_machine(seed, Shape(depth=2, rows=1.2)))
    plan = compile_plan(machine)
    graph = Explorer(plan, Decider(machine)).explore(budget)
    if not graph.complete:
        return 0, 0
    for at in range(graph.size):
        trace = build_trace(plan, graph, graph.way_to(at))
        played = play(machine, trace, plan)
        assert played.agrees, (seed, at, trace)
        assert not played.livelock
    for at, edge in graph.livelocks:
        way = [*(graph.way_to(at) if at >= 0 else []), edge]
        assert play(machine, build_trace(plan, graph, way), plan).livelock, (seed, at)
    known = {(node.states, node.history, node.done) for node in graph.nodes}
    rng = random.Random(seed)
    return graph.size, sum(_walk(plan, rng, known, events) for _ in range(walks))


def _walk(plan: object, rng: random.Random, known: set, events: int) -> int:
    """One run of the real engine with actions that set anything and fail at will; it must stay in the graph."""
    asking = Handlers(
        actions=dict.fromkeys(("inc", "dec", "reset"), lambda context, payload: _anything(rng)),
        syncs={node.path: lambda context, payload: rng.random() < 0.5 for node in plan.nodes},
    )
    values = {"n": rng.randint(-3, 6), "m": rng.randint(-3, 6)}
    try:
        snapshot = step(plan, initial_snapshot(plan, values), handlers=asking).snapshot
    except (ActionError, LivelockError):
        return 0  # an action failed while nothing answers for it
    taken = 0
    for _ in range(events):
        place = (snapshot.configuration, snapshot.history, snapshot.status == "done")
        assert place in known, (plan.name, plan.describe(snapshot.configuration))
        if snapshot.status == "done":
            break
        try:
            after = step(
                plan, snapshot, Signal(rng.choice(_possible(plan, snapshot)), {"k": 1}), handlers=asking
            )
        except (ActionError, LivelockError):
            continue
        snapshot = after.snapshot
        taken += 1
    return taken


def _anything(rng: random.Random) -> dict[str, object]:
    if rng.random() < 0.2:
        raise ValueError("fails at will")
    return {"n": rng.randint(-3, 6), "m": rng.randint(-3, 6)}


def _possible(plan: object, snapshot: object) -> list[str]:
    found = list(EVENTS)
    for state in snapshot.configuration:
        node = plan.nodes[state]
        if node.timeout_ms is not None:
            found.append(timeout_name(node.path))
        if node.invoke is not None and node.has_done:
            found.append(f"@done.{node.path}")
        if node.invoke is not None and node.handler == state:
            found.append(error_name(node.path))
    return found
