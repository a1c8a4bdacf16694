"""A second verifier, as simple as it can be, for small flat machines without guards: sets and loops, no engine.

A machine is a tuple: for each state None when it is final, else the tuple of targets of its events. State 0 is
initial.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from orca.statemachine.model import EventDef, MachineDef, StateDef, Transition

EVENTS = ("E0", "E1", "E2")
Table = tuple["tuple[int, ...] | None", ...]


def all_tables(count: int) -> Iterator[Table]:
    """Every machine with this many states and up to three events.

    Up to the names of the events, and of events of one state with the same target all but one: what those change is
    only which word leads along an arrow that is there anyway.
    """
    targets = [c for size in range(len(EVENTS) + 1) for c in itertools.combinations(range(count), size)]
    yield from itertools.product([None, *targets], repeat=count)


def random_table(rng: random.Random, count: int) -> Table:
    """A machine where several events may have one target."""
    return tuple(
        None
        if rng.random() < 0.25
        else tuple(rng.randrange(count) for _ in range(rng.randint(0, len(EVENTS))))
        for _ in range(count)
    )


def name(state: int) -> str:
    return f"s{state}"


def machine_of(table: Table, **more: object) -> MachineDef:
    states = tuple(
        StateDef(name(i), name(i), is_initial=i == 0, is_final=row is None) for i, row in enumerate(table)
    )
    rows = tuple(
        Transition(name(i), EVENTS[place], name(target))
        for i, row in enumerate(table)
        for place, target in enumerate(row or ())
    )
    return MachineDef(
        "Small", states=states, transitions=rows, event_defs=tuple(map(EventDef, EVENTS)), **more
    )


def closure(table: Table, start: set[int], *, without: int | None = None) -> set[int]:
    """All states that can be reached, those of the start included; never entering ``without``."""
    found = {state for state in start if state != without}
    grown = True
    while grown:
        grown = False
        for state in list(found):
            for target in table[state] or ():
                if target != without and target not in found:
                    found.add(target)
                    grown = True
    return found


def reached(table: Table) -> set[int]:
    return closure(table, {0})


def dead_ends(table: Table) -> set[int]:
    return {state for state in reached(table) if table[state] == ()}


def can_end(table: Table, state: int) -> bool:
    return any(table[other] is None for other in closure(table, {state}))


def can_reach(table: Table, source: int, target: int) -> bool:
    return source in reached(table) and target in closure(table, {source})


def always_through(table: Table, source: int, target: int, via: int) -> bool:
    """No way from the source to the target leaves out ``via``."""
    if source not in reached(table):
        return True
    return target not in closure(table, {source}, without=via)


def steps(table: Table, source: int, target: int) -> int | None:
    level, seen, count = {source}, {source}, 0
    while level:
        if target in level:
            return count
        level = {other for state in level for other in table[state] or ()} - seen
        seen |= level
        count += 1
    return None
