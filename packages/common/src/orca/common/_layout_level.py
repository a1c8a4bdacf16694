"""One container of `orca.common.layout`: its children in layers, the ways of pieces of edges inside it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from orca.common._layout_order import order_layers, rank_nodes
from orca.common._layout_place import Extents, place_nodes
from orca.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BENDS_MAX", "Item", "LevelDrawing", "Piece", "draw_level"]

BENDS_MAX: Final = 200_000
"""Bends of all edges of one container (about the sum of their lengths in layers): bounds time and memory."""
LOOP_REACH: Final = 30.0
"""How far a loop stands out from its node."""
LABEL_GAP: Final = 4.0
"""Free room around a label."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of an edge inside one container, from ``upper`` to ``lower``; None is a gate in the border.

    Attributes:
        edge: The number of the edge.
        upper: The child it begins at, or None: a gate at the top.
        lower: The child it ends at, or None: a gate at the bottom.
        turned: Whether the edge runs from ``lower`` to ``upper``.
        labelled: Whether the label of the edge stands on this piece.
    """

    edge: int
    upper: str | None
    lower: str | None
    turned: bool = False
    labelled: bool = False

    def reversed(self) -> Piece:
        """The same piece drawn the other way around."""
        return replace(self, upper=self.lower, lower=self.upper, turned=not self.turned)


@dataclass(frozen=True, slots=True)
class Item:
    """A child: its size, loops (edge, label width, label height) and gates (edge to x)."""

    name: str
    width: float
    height: float
    loops: tuple[tuple[int, float, float], ...] = ()
    gates: Mapping[int, float] = field(default_factory=dict[int, float])
    is_container: bool = False

    @property
    def loops_width(self) -> float:
        """The room that the loops take at the right."""
        if not self.loops:
            return 0.0
        return LOOP_REACH + max(width for _, width, _ in self.loops) + LABEL_GAP

    @property
    def loops_height(self) -> float:
        """The height of the loops under each other."""
        return sum(max(height + 2 * LABEL_GAP, 18.0) for _, _, height in self.loops)


_Rect = tuple[float, float, float, float]
_Way = tuple[list[tuple[float, float]], "_Rect | None"]


@dataclass(slots=True)
class LevelDrawing:
    """A drawn container: its size and, from its upper left corner, boxes, ways, loops and gates."""

    width: float = 0.0
    height: float = 0.0
    boxes: dict[str, _Rect] = field(default_factory=dict[str, _Rect])
    routes: dict[Piece, _Way] = field(default_factory=dict[Piece, _Way])
    loops: dict[int, _Way] = field(default_factory=dict[int, _Way])
    gates: dict[int, float] = field(default_factory=dict[int, float])


class _Drawing:
    """The work on one container. Nodes are numbers: the children, then gates, then bends and labels."""

    def __init__(
        self, items: Sequence[Item], pieces: Sequence[Piece], labels: Sequence[tuple[float, float]]
    ) -> None:
        self.items = items
        self.pieces = pieces
        self.labels = labels
        numbers = {item.name: number for number, item in enumerate(items)}
        self.left = [item.width / 2 for item in items]
        self.right = [item.width / 2 + item.loops_width for item in items]
        self.heights = [max(item.height, item.loops_height) for item in items]
        self.ends: list[list[int]] = []
        self.sinks: set[int] = set()
        self.lowest = [int(any(piece.upper is None for piece in pieces))] * len(items)
        for piece in pieces:
            upper = self._add(0.0, 0.0, lowest=0) if piece.upper is None else numbers[piece.upper]
            lower = self._add(0.0, 0.0, lowest=1) if piece.lower is None else numbers[piece.lower]
            if piece.lower is None:
                self.sinks.add(lower)
            self.ends.append([upper, lower])
        self.label_nodes: list[int | None] = [None] * len(pieces)

    def _add(self, width: float, height: float, *, lowest: int) -> int:
        self.left.append(width / 2)
        self.right.append(width / 2)
        self.heights.append(height)
        self.lowest.append(lowest)
        return len(self.heights) - 1

    def rank(self) -> None:
        """Put every node into a layer and every long piece onto bends, one for each layer it passes."""
        spans = [
            (ends[0], ends[1], 2 if size[0] else 1) for ends, size in zip(self.ends, self.labels, strict=True)
        ]
        ranks = rank_nodes(spans, lowest=self.lowest, sinks=frozenset(self.sinks))
        self.real = len(ranks)
        bends = sum(ranks[lower] - ranks[upper] - 1 for upper, lower, _ in spans)
        if bends > BENDS_MAX:
            raise UsageError(f"a drawing with {bends} bends is more than the {BENDS_MAX} that one can hold")
        for number, (ends, (width, height)) in enumerate(zip(self.ends, self.labels, strict=True)):
            upper, lower = ends
            middle = (ranks[upper] + ranks[lower]) // 2
            chain = [upper]
            for rank in range(ranks[upper] + 1, ranks[lower]):
                carries = bool(width) and rank == middle
                bend = (
                    self._add(width, height + 2 * LABEL_GAP, lowest=0)
                    if carries
                    else self._add(0, 0, lowest=0)
                )
                if carries:
                    self.label_nodes[number] = bend
                ranks.append(rank)
                chain.append(bend)
            self.ends[number] = [*chain, lower]
        self.ranks = ranks
        self.layers: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
        for node, rank in enumerate(ranks):
            self.layers[rank].append(node)

    def place(self, node_gap: float) -> None:
        """Order the layers and give every node its x."""
        below: list[list[int]] = [[] for _ in self.heights]
        for chain in self.ends:
            for upper, lower in itertools.pairwise(chain):
                below[upper].append(lower)
        self.layers = order_layers(self.layers, below)
        bend = [node >= self.real for node in range(len(self.heights))]
        self.x = place_nodes(self.layers, below, bend, Extents(self.left, self.right, node_gap))

    def stack(self, layer_gap: float) -> None:
        """Give every layer its top and bottom; where edges run far to the side the gap below grows."""
        drift = [0.0] * len(self.layers)
        for chain in self.ends:
            for upper, lower in itertools.pairwise(chain):
                rank = self.ranks[upper]
                drift[rank] = max(drift[rank], abs(self.x[upper] - self.x[lower]))
        self.tops: list[float] = []
        self.bottoms: list[float] = []
        y = 0.0
        for rank, layer in enumerate(self.layers):
            self.tops.append(y)
            y += max(self.heights[node] for node in layer)
            self.bottoms.append(y)
            y += layer_gap + min(layer_gap * 1.5, drift[rank] / 8)

    def node_top(self, node: int) -> float:
        """The y of a node: containers hang from the top of their layer, others stand in its middle."""
        rank = self.ranks[node]
        if node < len(self.items) and self.items[node].is_container:
            item = self.items[node]  # its loops stand around its middle: they must not reach above the layer
            return self.tops[rank] + max(0.0, (item.loops_height - item.height) / 2)
        height = self.items[node].height if node < len(self.items) else self.heights[node]
        return (self.tops[rank] + self.bottoms[rank] - height) / 2

    def attach(self, gate_gap: float) -> None:
        """Choose where each piece meets its two ends: at its gate, else spread along the side."""
        self.meets: list[list[float]] = [[self.x[chain[0]], self.x[chain[-1]]] for chain in self.ends]
        self._straighten_gates(gate_gap)
        sides: dict[tuple[int, int], list[tuple[float, int]]] = {}
        for number, chain in enumerate(self.ends):
            for side, (node, near) in enumerate(((chain[0], chain[1]), (chain[-1], chain[-2]))):
                if node >= len(self.items):
                    continue
                gate = self.items[node].gates.get(self.pieces[number].edge)
                if gate is None:
                    straight = self.x[near] if near >= self.real else self.x[node]
                    sides.setdefault((node, side), []).append((straight, number))
                else:
                    self.meets[number][side] = self.x[node] - self.left[node] + gate
        for (node, side), wishes in sides.items():
            wishes.sort(key=lambda wish: (wish[0], self._beyond(wish[1], side)))
            reach = max(self.left[node] - 10.0, self.left[node] * 0.6)
            places = _spread(
                [wish for wish, _ in wishes], self.x[node] - reach, self.x[node] + reach, gate_gap
            )
            for (_, number), x in zip(wishes, places, strict=True):
                self.meets[number][side] = x

    def _straighten_gates(self, gap: float) -> None:
        """Move the gates of the container over or under what they lead to; their layers hold nothing else."""
        for side, gated in ((0, "upper"), (1, "lower")):
            wishes: list[tuple[float, int]] = []
            for number, chain in enumerate(self.ends):
                if getattr(self.pieces[number], gated) is None:
                    near = chain[1] if side == 0 else chain[-2]
                    x = self.x[near]
                    if near < len(self.items):
                        x += (
                            self.items[near].gates.get(self.pieces[number].edge, self.left[near])
                            - self.left[near]
                        )
                    wishes.append((x, number))
            wishes.sort()
            for (_, number), x in zip(wishes, _apart([wish for wish, _ in wishes], gap), strict=True):
                self.meets[number][side] = x
                self.x[self.ends[number][-side]] = x

    def _beyond(self, number: int, side: int) -> float:
        """The x of what follows on a piece, to sort ends that wish for the same place."""
        chain = self.ends[number]
        return self.x[chain[1]] if side == 0 else self.x[chain[-2]]

    def finish(self, padding: _Rect, least: tuple[float, float]) -> LevelDrawing:
        """Everything, measured from the upper left corner of the container."""
        left, top, right, bottom = padding
        low = min((self.x[node] - self.left[node] for node in range(len(self.x))), default=0.0)
        high = max((self.x[node] + self.right[node] for node in range(len(self.x))), default=0.0)
        inner = self.bottoms[-1] if self.bottoms else 0.0
        width = max(least[0], high - low + left + right)
        height = max(least[1], inner + top + bottom)
        dx = left - low + (width - (high - low + left + right)) / 2
        dy = top + (height - (inner + top + bottom)) / 2
        found = LevelDrawing(width, height)
        for number, item in enumerate(self.items):
            y = self.node_top(number) + dy
            found.boxes[item.name] = (self.x[number] - item.width / 2 + dx, y, item.width, item.height)
            self._loops(item, self.x[number] + item.width / 2 + dx, y + item.height / 2, found)
        for number, piece in enumerate(self.pieces):
            points = [(x + dx, y + dy) for x, y in self._way(number)]
            if piece.upper is None:
                found.gates[piece.edge] = points[0][0]
                points.insert(0, (points[0][0], 0.0))
            if piece.lower is None:
                found.gates[piece.edge] = points[-1][0]
                points.append((points[-1][0], height))
            node = self.label_nodes[number]
            box = None
            if node is not None:
                size = self.labels[number]
                box = (
                    self.x[node] - size[0] / 2 + dx,
                    self.node_top(node) + LABEL_GAP + dy,
                    size[0],
                    size[1],
                )
            found.routes[piece] = (points, box)
        return found

    def _way(self, number: int) -> list[tuple[float, float]]:
        """The points of a piece from its upper to its lower end: straight inside layers."""
        chain = self.ends[number]
        first, last = self.meets[number]
        start = chain[0]
        height = self.items[start].height if start < len(self.items) else 0.0
        points = [(first, self.node_top(start) + height), (first, self.bottoms[self.ranks[start]])]
        for node in chain[1:-1]:
            rank = self.ranks[node]
            points += [(self.x[node], self.tops[rank]), (self.x[node], self.bottoms[rank])]
        end = chain[-1]
        points += [(last, self.tops[self.ranks[end]]), (last, self.node_top(end))]
        return points

    @staticmethod
    def _loops(item: Item, side: float, middle: float, found: LevelDrawing) -> None:
        """The loops of an item under each other at its right side."""
        y = middle - item.loops_height / 2
        step = min(10.0, 0.8 * item.height / max(1, 2 * len(item.loops) - 1))
        at = middle - (len(item.loops) - 0.5) * step
        for edge, width, height in item.loops:
            room = max(height + 2 * LABEL_GAP, 18.0)
            center = y + room / 2
            reach = side + LOOP_REACH * 1.15
            points = [(side, at), (reach, center - 12.0), (reach, center + 12.0), (side, at + step)]
            at += 2 * step
            label = (side + LOOP_REACH, center - height / 2, width, height) if width else None
            found.loops[edge] = (points, label)
            y += room


def _apart(wishes: Sequence[float], gap: float) -> list[float]:
    """Places near sorted wishes, at least ``gap`` apart; a crowd spreads evenly around its middle."""
    groups: list[tuple[float, int]] = []  # the first place and the number of each crowd
    for wish in wishes:
        first, count = wish, 1
        while groups and groups[-1][0] + groups[-1][1] * gap > first:
            before, members = groups.pop()
            first = (before * members + (first - members * gap) * count) / (members + count)
            count += members
        groups.append((first, count))
    return [first + place * gap for first, count in groups for place in range(count)]


def _spread(wishes: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Places between two bounds near sorted wishes, ``gap`` apart or, where that is too wide, closer."""
    step = min(gap, (high - low) / max(1, len(wishes) - 1))
    places = [min(max(wish, low), high) for wish in wishes]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + step)
    limit = high
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], limit)
        limit = places[index] - step
    return places


def draw_level(
    items: Sequence[Item],
    pieces: Sequence[Piece],
    *,
    labels: Sequence[tuple[float, float]],
    padding: tuple[float, float, float, float],
    least: tuple[float, float],
    spaces: tuple[float, float, float],
) -> LevelDrawing:
    """Draw one container.

    Args:
        items: Its children.
        pieces: The parts of edges inside it.
        labels: The size of the label of each piece; zero when it has none.
        padding: Left, top, right, bottom.
        least: The least width and height of the container.
        spaces: The gap between neighbours, between layers, and between ends at one side.

    Raises:
        UsageError: More than `BENDS_MAX` bends.
    """
    drawing = _Drawing(items, pieces, labels)
    drawing.rank()
    drawing.place(spaces[0])
    drawing.stack(spaces[1])
    drawing.attach(spaces[2])
    return drawing.finish(padding, least)
