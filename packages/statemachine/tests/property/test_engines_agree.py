"""The compiled engine does exactly what the SCXML algorithm does, on generated machines and events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_machines import ASKING, HANDLERS, Shape, random_events, random_machine

from orca.common.errors import OrcaError
from orca.statemachine.engine import (
    Compiled,
    Handlers,
    Reference,
    Snapshot,
    check_snapshot,
    compile_plan,
    initial_snapshot,
    step,
)

SHAPES = [
    Shape(),
    Shape(parallel=0.5, compound=0.4, depth=3, final=0.4),
    Shape(history=0.9, compound=0.6, parallel=0.2, rows=3.0),
    Shape(failing=0.6, outcome=0.8),
    Shape(eventless=0.4, depth=2),
    Shape(depth=0, guard=0.2, failing=0.0),
]


def _try(plan, snapshot, event, handlers, engine):
    try:
        return step(plan, snapshot, event, handlers=handlers, engine=engine)
    except OrcaError as error:
        return type(error), str(error)


def compare(seed: int, shape: Shape, events: int = 12) -> int:
    """Run one machine on both engines; the number of steps that were compared."""
    definition = random_machine(seed, shape)
    plan = compile_plan(definition, microsteps_max=30)
    reference, fast = Reference(plan), Compiled(plan)
    syncs = {n.path: (lambda ctx, p: ctx.get("n", 0) > 0) for n in plan.nodes if n.sync == "custom"}
    base = ASKING if seed % 2 else HANDLERS
    handlers = Handlers(base.actions, base.guards, syncs)
    snapshot: Snapshot = initial_snapshot(plan)
    compared = 0
    for event in [None, *random_events(seed, definition, events)]:
        one = _try(plan, snapshot, event, handlers, reference)
        two = _try(plan, snapshot, event, handlers, fast)
        assert one == two, f"seed {seed} event {event}"
        compared += 1
        if isinstance(one, tuple):
            if event is None:
                break
            continue
        snapshot = one.snapshot
        check_snapshot(plan, snapshot)
    return compared


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_engines_agree(shape: Shape, seed: int) -> None:
    compare(seed, shape)


def test_generated_machines_do_something() -> None:
    steps = sum(compare(seed, Shape()) for seed in range(40))
    assert steps > 300
