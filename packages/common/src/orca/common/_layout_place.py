"""Horizontal coordinates for `orca.common.layout`: long edges straight, nodes amid their neighbours.

Source: U. Brandes, B. Köpf, "Fast and simple horizontal coordinate assignment", 2001: four alignments (from
above and below, from the left and the right), each compacted, then the mean of the two medians. Compaction
takes the longest ways through the graph of blocks, which is exact for nodes of any width.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Extents", "place_nodes"]


@dataclass(frozen=True, slots=True)
class Extents:
    """How far each node reaches to both sides of its coordinate, and the least gap between two."""

    left: Sequence[float]
    right: Sequence[float]
    gap: float


def _conflicts(
    layers: Sequence[Sequence[int]], above: Sequence[Sequence[int]], bend: Sequence[bool]
) -> set[tuple[int, int]]:
    """Edges that cross a straight part of a long edge (both ends bends); the straight part wins."""
    found: set[tuple[int, int]] = set()
    for upper, layer in itertools.pairwise(layers):
        places = {node: place for place, node in enumerate(upper)}
        straight = [
            next((places[over] for over in above[node] if bend[node] and bend[over]), None) for node in layer
        ]
        right_of: list[int] = []  # the rightmost upper end of a straight part that begins further left
        rightmost = -1
        for end in straight:
            right_of.append(rightmost)
            rightmost = max(rightmost, -1 if end is None else end)
        leftmost = len(upper)
        for place in range(len(layer) - 1, -1, -1):
            node, end = layer[place], straight[place]
            for over in above[node] if end is None else ():
                if right_of[place] > places[over] or leftmost < places[over]:
                    found.add((over, node))
            leftmost = min(leftmost, len(upper) if end is None else end)
    return found


def _align(
    layers: Sequence[Sequence[int]], above: Sequence[Sequence[int]], conflicts: set[tuple[int, int]]
) -> list[int]:
    """The block of each node (named by its topmost node): each node joins its median neighbour above."""
    root = list(range(len(above)))
    for upper, layer in itertools.pairwise(layers):
        places = {node: place for place, node in enumerate(upper)}
        last = -1
        for node in layer:
            near = sorted(above[node], key=places.__getitem__)
            for index in sorted({(len(near) - 1) // 2, len(near) // 2} if near else ()):
                over = near[index]
                if (over, node) in conflicts or (node, over) in conflicts or places[over] <= last:
                    continue
                root[node] = root[over]
                last = places[over]
                break
    return root


def _compact(layers: Sequence[Sequence[int]], root: Sequence[int], extents: Extents) -> list[float]:
    """Coordinates that keep blocks straight and gaps open: as far left as they go, then pulled together."""
    following: dict[int, dict[int, float]] = {block: {} for block in root}
    waiting = dict.fromkeys(following, 0)
    for layer in layers:
        for one, other in itertools.pairwise(layer):
            distance = extents.right[one] + extents.gap + extents.left[other]
            near = following[root[one]]
            if root[other] not in near:
                waiting[root[other]] += 1
            near[root[other]] = max(distance, near.get(root[other], 0.0))
    sequence = [block for block, count in waiting.items() if not count]
    x = dict.fromkeys(following, 0.0)
    for block in sequence:  # grows while it is walked
        for other, distance in following[block].items():
            x[other] = max(x[other], x[block] + distance)
            waiting[other] -= 1
            if not waiting[other]:
                sequence.append(other)
    for block in reversed(sequence):
        if following[block]:
            x[block] = max(x[block], min(x[other] - distance for other, distance in following[block].items()))
    return [x[block] for block in root]


def place_nodes(
    layers: Sequence[Sequence[int]], below: Sequence[Sequence[int]], bend: Sequence[bool], extents: Extents
) -> list[float]:
    """The horizontal coordinate of each node; neighbours in a layer keep their order and the gap.

    Args:
        layers: The nodes of each layer from left to right.
        below: For each node its neighbours in the next layer.
        bend: Whether a node is only a bend of a long edge.
        extents: Sizes and gap.
    """
    above: list[list[int]] = [[] for _ in below]
    for upper, lowers in enumerate(below):
        for lower in lowers:
            above[lower].append(upper)
    conflicts = _conflicts(layers, above, bend)
    mirrored = Extents(extents.right, extents.left, extents.gap)
    results: list[list[float]] = []
    for stack, near in ((list(layers), above), (list(reversed(layers)), below)):
        results.append(_compact(stack, _align(stack, near, conflicts), extents))
        turned = [list(reversed(layer)) for layer in stack]
        results.append([-x for x in _compact(turned, _align(turned, near, conflicts), mirrored)])
    spans = [(min(xs, default=0.0), max(xs, default=0.0)) for xs in results]
    low, high = min(spans, key=lambda span: span[1] - span[0])
    for index, (xs, span) in enumerate(zip(results, spans, strict=True)):
        shift = low - span[0] if index % 2 == 0 else high - span[1]
        results[index] = [x + shift for x in xs]
    return [sum(sorted(candidates)[1:3]) / 2 for candidates in zip(*results, strict=True)]
