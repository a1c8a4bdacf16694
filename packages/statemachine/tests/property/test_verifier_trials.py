"""The verifier against brute force and against the engine, in the size that the suite can pay."""

from __future__ import annotations

import random

import brute_force as brute
import verifier_trials as trials

from orca.statemachine.engine import compile_plan
from orca.statemachine.loading import parse_orca_md
from orca.statemachine.verify import play
from orca.statemachine.verify.decide import Decider
from orca.statemachine.verify.explore import Explorer
from orca.statemachine.verify.traces import build_trace


def test_no_disagreement_on_all_machines_up_to_three_states() -> None:
    rng = random.Random(1)
    tables = [table for count in (1, 2, 3) for table in brute.all_tables(count)]
    assert len(tables) == 3 + 25 + 729
    assert sum(trials.check_table(table, rng) for table in tables) > 1000


def test_no_disagreement_on_a_sample_of_machines_with_four_states() -> None:
    rng = random.Random(2)
    tables = list(brute.all_tables(4))
    assert len(tables) == 16**4
    for table in rng.sample(tables, 400):
        trials.check_table(table, rng, properties=3)
    for _ in range(400):
        trials.check_table(brute.random_table(rng, rng.randint(2, 4)), rng, properties=3)


def test_every_node_has_a_trace_that_plays_and_no_run_leaves_the_graph() -> None:
    nodes, steps, machines = 0, 0, 0
    for seed in range(80):
        played, walked = trials.check_random(seed)
        nodes, steps, machines = nodes + played, steps + walked, machines + (played > 0)
    assert machines > 40
    assert nodes > 250
    assert steps > 3000


UNDONE = """
# machine Undone

## context

| Field | Type | Default |
|-------|------|---------|
| n     | int  | 0       |

## events

- BEGIN
- GO
- ERR

## state idle [initial]

## state top

- on_exit: close
- on_error: ERR

### state start [initial]

- on_exit: inc

## state other [final]

## state reached [final]

## transitions

| Source | Event | Guard       | Target  | Action |
|--------|-------|-------------|---------|--------|
| idle   | BEGIN |             | top     | count  |
| top    | GO    |             | reached |        |
| top    | ERR   | `ctx.n > 2` | other   |        |
"""


def test_a_value_is_never_left_by_an_action_that_a_later_failure_undid() -> None:
    """`inc` works, `close` fails, both are undone; what ERR's guard then needs must come from `count`."""
    machine = parse_orca_md(UNDONE)
    plan = compile_plan(machine)
    graph = Explorer(plan, Decider(machine)).explore(400)
    edges = [(at, edge) for at in range(graph.size) for edge in graph.edges(at)]
    failing = [
        (at, edge)
        for at, edge in edges
        if any(choice.kind == "undone" for choice in edge.choices)
        and any(choice.kind == "value" for choice in edge.choices)
    ]
    assert failing
    for at, edge in failing:
        trace = build_trace(plan, graph, [*graph.way_to(at), edge])
        assert play(machine, trace, plan).agrees, trace


PASSED_ON = """
# machine PassedOn

## events

- GO

## state outer [initial]

- on_error: mend

### state inner

#### state mend

- on_entry: open
- on_error: start

#### state start [initial]

- on_entry: open

#### state away

### state end [initial, final]

### state before [history: deep]

## transitions

| Source | Event | Guard | Target | Action |
|--------|-------|-------|--------|--------|
| outer  | GO    |       | away   | prepare |
"""


def test_a_state_whose_on_error_was_taken_is_not_asked_again() -> None:
    """GO fails, `mend` fails, `start` fails: `outer` has answered before, so nobody does and GO is undone."""
    machine = parse_orca_md(PASSED_ON)
    plan = compile_plan(machine)
    graph = Explorer(plan, Decider(machine)).explore(400)
    for at in range(graph.size):
        trace = build_trace(plan, graph, graph.way_to(at))
        assert play(machine, trace, plan).agrees, trace
