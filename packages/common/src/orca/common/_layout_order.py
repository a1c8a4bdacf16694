"""Ranks and orders for `orca.common.layout`: which edges point up, which layer, which place in the layer.

Nodes are the integers from 0. Everything here is iterative, so that depth is never bounded by the stack.

Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures", 1981 (layers, barycentres); W. Barth, P. Mutzel, M. Jünger, "Simple and efficient bilayer cross
counting", 2004.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["count_crossings", "order_layers", "rank_nodes", "turned_edges"]

SWEEPS_MAX: Final = 12
"""Sweeps of the ordering: crossings hardly fall after eight; a bound keeps large graphs fast."""


def turned_edges(count: int, edges: Sequence[tuple[int, int]]) -> list[bool]:
    """Which edges to turn around so that no cycle is left: those that lead back in a depth-first walk.

    The walk begins at the nodes that nothing leads to, then takes the others in their given order, so that
    the drawing begins where the author began.
    """
    successors: list[list[int]] = [[] for _ in range(count)]
    has_source = [False] * count
    for index, (source, target) in enumerate(edges):
        successors[source].append(index)
        has_source[target] = True
    turned = [False] * len(edges)
    state = [0] * count  # 0 new, 1 on the walk's path, 2 done
    for root in sorted(range(count), key=lambda node: has_source[node]):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(successors[root]))]
        while path:
            node, remaining = path[-1]
            for index in remaining:
                target = edges[index][1]
                if state[target] == 0:
                    state[target] = 1
                    path.append((target, iter(successors[target])))
                    break
                turned[index] = state[target] == 1
            else:
                state[node] = 2
                path.pop()
    return turned


def rank_nodes(
    edges: Sequence[tuple[int, int, int]], *, lowest: Sequence[int], sinks: frozenset[int]
) -> list[int]:
    """The layer of each node, such that every edge (upper, lower, length) spans at least its length.

    Args:
        edges: Edges without cycles.
        lowest: For each node the lowest layer that it may have; nodes with 0 and no way up stay there.
        sinks: Nodes without successors that belong below everything else, in one last layer.
    """
    count = len(lowest)
    below: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    above: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for upper, lower, length in edges:
        below[upper].append((lower, length))
        above[lower].append((upper, length))
    waiting = [len(items) for items in above]
    sequence = [node for node in range(count) if not waiting[node]]
    ranks = list(lowest)
    for node in sequence:  # grows while it is walked: the topological order
        for lower, length in below[node]:
            ranks[lower] = max(ranks[lower], ranks[node] + length)
            waiting[lower] -= 1
            if not waiting[lower]:
                sequence.append(lower)
    for node in reversed(sequence):  # a node with more edges down than up moves down: shorter edges
        if lowest[node] and len(below[node]) > len(above[node]):
            ranks[node] = min(ranks[lower] - length for lower, length in below[node])
    bottom = max((ranks[node] + (node not in sinks) for node in range(count)), default=0)
    for node in sinks:
        ranks[node] = bottom
    return ranks


def count_crossings(order: Sequence[int], below: Sequence[Sequence[int]], places: Sequence[int]) -> int:
    """How many edges between a layer and the one below cross, in O(edges * log(edges)).

    Args:
        order: The nodes of the upper layer from left to right.
        below: For each node its neighbours in the lower layer.
        places: For each node of the lower layer its place.
    """
    ends = [place for node in order for place in sorted(places[lower] for lower in below[node])]
    size = max(ends, default=-1) + 1
    tree = [0] * (size + 1)
    crossings = 0
    for seen, place in enumerate(ends):
        index = place + 1
        not_right = 0
        while index:
            not_right += tree[index]
            index &= index - 1
        crossings += seen - not_right
        index = place + 1
        while index <= size:
            tree[index] += 1
            index += index & -index
    return crossings


def _sweep(
    order: list[list[int]], neighbours: Sequence[Sequence[int]], places: list[int], layers: range
) -> None:
    """Sort each layer by the mean place of the neighbours in the layer before; ties keep their order."""
    for rank in layers:
        keys: dict[int, float] = {}
        for node in order[rank]:
            near = neighbours[node]
            keys[node] = sum(places[other] for other in near) / len(near) if near else float(places[node])
        order[rank].sort(key=keys.__getitem__)
        for place, node in enumerate(order[rank]):
            places[node] = place


def order_layers(layers: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> list[list[int]]:
    """The layers, each sorted so that few edges cross.

    Args:
        layers: The nodes of each layer; this first order wins where no other has fewer crossings.
        below: For each node its neighbours in the next layer.
    """
    above: list[list[int]] = [[] for _ in below]
    for upper, lowers in enumerate(below):
        for lower in lowers:
            above[lower].append(upper)
    order = [list(layer) for layer in layers]
    places = [0] * len(below)
    for layer in order:
        for place, node in enumerate(layer):
            places[node] = place

    def total() -> int:
        return sum(count_crossings(layer, below, places) for layer in order)

    best, best_order = total(), [list(layer) for layer in order]
    for turn in range(SWEEPS_MAX):
        if not best:
            break
        if turn % 2 == 0:
            _sweep(order, above, places, range(1, len(order)))
        else:
            _sweep(order, below, places, range(len(order) - 2, -1, -1))
        crossings = total()
        if crossings < best:
            best, best_order = crossings, [list(layer) for layer in order]
    return best_order
