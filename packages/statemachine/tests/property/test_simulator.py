"""A run by hand: its trace goes the same way again, every step has its way back, and every choice keeps its word."""

from __future__ import annotations

import random

import pytest
from random_machines import Shape, random_machine

from orca.common.errors import UsageError
from orca.statemachine.simulator import Simulator
from orca.statemachine.verify import play, read_trace

SHAPES = [
    Shape(),
    Shape(parallel=0.5, compound=0.4, depth=2, final=0.4),
    Shape(history=0.9, compound=0.6, parallel=0.2, rows=3.0),
    Shape(failing=0.6, outcome=0.8),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_runs_by_hand(shape: Shape) -> None:
    taken = ended = 0
    for seed in range(30):
        rng = random.Random(seed)
        machine = random_machine(seed, shape)
        run = Simulator(machine, {"n": rng.randint(0, 3)})
        for _ in range(10):
            choices = run.choices()
            if not choices:
                ended += 1
                with pytest.raises(UsageError):
                    run.send("a")
                break
            if rng.random() < 0.3:
                run.set({"m": rng.randint(0, 4)})
                choices = run.choices()
            chosen = rng.choice(choices)
            before = (run.now, run.values)
            frame = run.send(chosen.event)
            assert (frame.verdict, frame.why) == (chosen.verdict, chosen.why)
            if chosen.verdict == "taken":
                assert frame.leaves == chosen.leaves
                taken += 1
            if rng.random() < 0.3:
                run.back()
                assert run.now == before[0]
                run.set({name: before[1][name] for name in run.values})
                run.send(chosen.event)
        # A step that never becomes stable is the end of a trace.
        stable = [frame.verdict != "failed" for frame in run.frames]
        if all(stable):
            played = play(machine, read_trace(run.trace().to_json()))
            assert played.agrees
            assert played.leaves == tuple(frame.leaves for frame in run.frames)
            assert played.context == run.now.snapshot.context
        again = run.replay(machine)
        assert again.frames == run.frames
        assert again.values == run.values
    assert taken > 60
    assert ended or shape.final == 0
