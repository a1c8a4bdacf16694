"""How fast the verifier explores.

    python benchmarks/statemachine/verify.py [--quick] [--json FILE]

Machines without guards: independent regions (coded as one number), regions that react together, deep nesting. With
guards, actions that fail, history: the general explorer. Ends with 1 when a target is missed (never with --quick).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from orca.statemachine.engine import compile_plan
from orca.statemachine.expr import GuardCompare, ValueRef, VariableRef
from orca.statemachine.model import (
    ContextField,
    MachineDef,
    ParallelDef,
    RegionDef,
    StateDef,
    Transition,
    TypeRef,
)
from orca.statemachine.verify.decide import Decider
from orca.statemachine.verify.explore import Explorer
from orca.statemachine.verify.fast import FastGraph

LEAST_PER_S = 200_000
MILLION_S_MAX = 5.0


def regions(count: int, size: int, *, shared: bool = False, guard: bool = False) -> MachineDef:
    """Rings of states side by side; with ``shared`` one more event turns all of them at once."""
    made, rows = [], []
    for number in range(count):
        path = f"p.r{number}"
        states = tuple(StateDef(f"s{i}", f"{path}.s{i}", is_initial=i == 0) for i in range(size))
        made.append(RegionDef(f"r{number}", path, states))
        limit = (
            GuardCompare("lt", VariableRef(("ctx", f"x{number}")), ValueRef("number", 3)) if guard else None
        )
        for i in range(size):
            following = f"{path}.s{(i + 1) % size}"
            rows.append(Transition(f"{path}.s{i}", f"E{number}", following, limit, "act" if guard else None))
            if shared:
                rows.append(Transition(f"{path}.s{i}", "ALL", following))
    fields = tuple(ContextField(f"x{number}", TypeRef("int"), 0, True) for number in range(count))
    top = StateDef("p", "p", is_initial=True, parallel=ParallelDef(tuple(made)))
    return MachineDef("Rings", fields=fields, states=(top,), transitions=tuple(rows))


def fast(machine: MachineDef, budget: int) -> tuple[int, float]:
    """Configurations and CPU seconds of the guard-free explorer."""
    plan = compile_plan(machine)
    begun = time.process_time()
    graph = FastGraph(plan).explore(budget)
    return graph.size, time.process_time() - begun


def general(machine: MachineDef, budget: int) -> tuple[int, float]:
    """Configurations and CPU seconds of the general explorer."""
    plan = compile_plan(machine)
    begun = time.process_time()
    graph = Explorer(plan, Decider(machine)).explore(budget)
    return graph.size, time.process_time() - begun


def main() -> int:
    """Measure, print, compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    budget = 20_000 if given.quick else 2_000_000
    small = 500 if given.quick else 5_000
    cases = {
        "4 regions of 32 states": fast(regions(4, 32), budget),
        "10 regions of 4 states": fast(regions(10, 4), budget),
        "20 regions of 2 states": fast(regions(20, 2), budget),
        "4 regions of 32 states, one event for all": fast(regions(4, 32, shared=True), budget),
        "6 guarded regions of 4 states with actions": general(regions(6, 4, guard=True), small),
    }
    found: dict[str, object] = {}
    missed: list[str] = []
    for name, (size, seconds) in cases.items():
        rate = size / max(seconds, 1e-9)
        found[name] = {"configurations": size, "cpu_s": round(seconds, 3), "per_s": round(rate)}
        print(f"{name:45} {size:>9,} configurations {seconds:7.2f} s {rate:>12,.0f}/s")
        if "guarded" not in name and (rate < LEAST_PER_S or seconds > MILLION_S_MAX):
            missed.append(name)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    if missed and not given.quick:
        print(f"missed: {', '.join(missed)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
