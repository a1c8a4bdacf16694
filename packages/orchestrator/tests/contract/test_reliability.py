"""The promises under faults, in a size for every day; the full size is tests/reliability/orchestrator/run.py."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "tests" / "reliability" / "orchestrator"))

import simulation
from scenarios import SCENARIOS

SEED = 20_261
SIZES = {
    "A-1": {"windows": 300, "kills": 4},
    "A-2": {"windows": 150, "kills": 4},
    "A-4": {"windows": 4, "kills": 0},
    "A-5": {"windows": 5, "kills": 0},
    "A-7": {"windows": 200, "kills": 3},
    "A-10": {"windows": 400, "kills": 0},
    "A-11": {"windows": 1, "kills": 0},
    "A-9": {"windows": 3_000, "kills": 0},
    "A-13": {"windows": 0, "kills": 0},
    "A-15": {"windows": 150, "kills": 3},
}


@pytest.mark.parametrize("name", SIZES)
def test_nothing_is_lost_and_nothing_is_doubled(tmp_path, name):
    report = asyncio.run(asyncio.wait_for(SCENARIOS[name][0](tmp_path, seed=SEED, **SIZES[name]), 1500))
    assert report["passed"], report


def test_simulated_histories_keep_the_promises():
    report = simulation.run_many(SEED, 200)
    assert report["passed"], report
    assert report["crashes"] > 20


def test_the_same_seed_gives_the_same_history():
    one, two = simulation.run_seed(77), simulation.run_seed(77)
    assert (one.calls, one.crash_count, one.loop.now) == (two.calls, two.crash_count, two.loop.now)
