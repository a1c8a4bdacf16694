"""Ways through the graph: shortest ones that a small automaton accepts, and distances to what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.statemachine.verify.explore import Edge, Space

__all__ = ["ACCEPT", "Advance", "distances", "find_way"]

ACCEPT: Final = -1
"""The phase in which a way is what was looked for."""

Advance: TypeAlias = "Callable[[int, int], int]"
"""From a phase and the states that an edge touches (as bits) to the next phase."""


def find_way(space: Space, advance: Advance) -> list[Edge] | None:
    """A way of fewest events, from the start, on which the automaton accepts; None when there is none.

    Args:
        space: The graph.
        advance: The automaton; it begins in phase 0 before the start.
    """
    found: dict[tuple[int, int], tuple[tuple[int, int] | None, Edge]] = {}
    waiting: list[tuple[int, int]] = []

    def visit(before: tuple[int, int] | None, phase: int, edge: Edge) -> list[Edge] | None:
        after = advance(phase, edge.entered | space.active(edge.target))
        place = (edge.target, after)
        if place not in found:
            found[place] = (before, edge)
            if after == ACCEPT:
                return _way(found, place)
            waiting.append(place)
        return None

    for edge in space.starts:
        way = visit(None, 0, edge)
        if way is not None:
            return way
    for place in waiting:  # grows while it is walked: breadth first
        for edge in space.edges(place[0]):
            way = visit(place, place[1], edge)
            if way is not None:
                return way
    return None


def _way(
    found: dict[tuple[int, int], tuple[tuple[int, int] | None, Edge]], place: tuple[int, int]
) -> list[Edge]:
    way: list[Edge] = []
    at: tuple[int, int] | None = place
    while at is not None:
        at, edge = found[at]
        way.append(edge)
    return way[::-1]


def distances(space: Space, goal: Callable[[int], bool], *, touching: int = 0) -> list[int | None]:
    """For each node how many events it takes at least to reach a goal; None when no way leads to one.

    A node that was not expanded counts as a goal: what is beyond it is not known.

    Args:
        space: The graph.
        goal: Whether a node is a goal.
        touching: States, as bits: an edge that enters one of them reaches a goal too.
    """
    before: list[list[int]] = [[] for _ in range(space.size)]
    found: list[int | None] = [None] * space.size
    level: list[int] = []
    later: list[int] = []
    for at in range(space.size):
        if goal(at) or at >= space.expanded:
            found[at] = 0
            level.append(at)
            continue
        if touching and any(edge.entered & touching for edge in space.edges(at)):
            later.append(at)
        for target in space.targets(at):
            before[target].append(at)
    count = 0
    while level or later:
        count += 1
        following = [at for at in later if found[at] is None]
        later = []
        following += [source for at in level for source in before[at] if found[source] is None]
        level = []
        for at in following:
            if found[at] is None:
                found[at] = count
                level.append(at)
    return found
