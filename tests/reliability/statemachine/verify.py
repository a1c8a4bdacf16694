"""B-7: the verifier against brute force on all small machines, and against the engine on generated ones.

    python tests/reliability/statemachine/verify.py [--size quick|full] [--seed N] [--report FILE]

All machines up to four states and three events (up to the names of events): states that are never entered, dead
ends and every kind of property must agree with a second implementation that is nothing but sets and loops. Random
machines with hierarchy, regions, history, timers, guards, failing actions and children: the trace of every explored
place must play on the engine, and no random run of the engine may leave the explored graph.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[3] / "packages" / "statemachine" / "tests" / "support_statemachine"
sys.path.insert(0, str(SUPPORT))

import brute_force as brute  # noqa: E402
import verifier_trials as trials  # noqa: E402

SIZES = {"quick": (400, 40), "full": (16**4, 2_000)}
"""Machines of four states out of the 65,536, and generated machines."""


def run(size: str, seed: int) -> dict[str, object]:
    """Run everything; a disagreement ends with an AssertionError that shows the machine."""
    four, generated = SIZES[size]
    rng = random.Random(seed)
    begun = time.monotonic()
    tables = [table for count in (1, 2, 3) for table in brute.all_tables(count)]
    largest = list(brute.all_tables(4))
    tables += largest if four == len(largest) else rng.sample(largest, four)
    played = sum(trials.check_table(table, rng, properties=3) for table in tables)
    nodes, steps, explored = 0, 0, 0
    for number in range(generated):
        found, walked = trials.check_random(seed * 1_000_000 + number)
        nodes, steps, explored = nodes + found, steps + walked, explored + (found > 0)
    return {
        "size": size,
        "seed": seed,
        "machines_against_brute_force": len(tables),
        "traces_played": played,
        "generated_machines_explored": explored,
        "places_whose_trace_played": nodes,
        "engine_steps_inside_the_graph": steps,
        "disagreements": 0,
        "duration_s": round(time.monotonic() - begun, 1),
    }


def main() -> None:
    """Run and write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    text = json.dumps(run(given.size, given.seed), indent=2)
    print(text)
    if given.report is not None:
        given.report.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
