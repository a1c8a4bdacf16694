"""Layered drawings of directed graphs with boxes inside boxes: a pure function from sizes to places.

Made for statecharts and for graphs of algorithms: edges run from layer to layer (down or to the right),
labels have room of their own, so neither nodes nor labels overlap; loops stand beside their node; an edge that
ends deep inside a box crosses the box's border through a gate of its own, so that it never runs through another
node on its way.

    nodes, edges with sizes ──► arrange ──► Layout: a Box for each node, a Route for each edge

Each container is drawn for itself, innermost first: ranks, order (`_layout_order`), coordinates
(`_layout_place`), routes; then it is one node of the container around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from orca.common._layout_level import Item, LevelDrawing, Piece, draw_level
from orca.common._layout_order import turned_edges
from orca.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "NODES_MAX",
    "Box",
    "Direction",
    "Edge",
    "Layout",
    "Node",
    "Padding",
    "Point",
    "Route",
    "Spacing",
    "arrange",
]

Point: TypeAlias = "tuple[float, float]"
Direction: TypeAlias = Literal["down", "right"]

NODES_MAX: Final = 20_000
"""Nodes in one drawing: nobody reads more, and the time stays within seconds."""


@dataclass(frozen=True, slots=True)
class Padding:
    """Room between the border of a container and what it holds, in the unit of all sizes."""

    left: float = 12.0
    top: float = 12.0
    right: float = 12.0
    bottom: float = 12.0


@dataclass(frozen=True, slots=True)
class Node:
    """A node to place.

    Attributes:
        id: Unique in the drawing.
        width: Its width; of a container, the least width.
        height: Its height; of a container, the least height.
        parent: The container it stands in, or None at the top.
        padding: What a container keeps free inside its border; a title needs room at the top.
    """

    id: str
    width: float
    height: float
    parent: str | None = None
    padding: Padding = Padding()


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed edge with the size of its label; ends may be nodes and containers of any depth."""

    source: str
    target: str
    label_width: float = 0.0
    label_height: float = 0.0


@dataclass(frozen=True, slots=True)
class Spacing:
    """Gaps: ``node`` between neighbours, ``layer`` between layers, ``gate`` between ends at a border."""

    node: float = 28.0
    layer: float = 26.0
    gate: float = 18.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; ``x`` and ``y`` are its upper left corner, y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y + self.height

    @property
    def center(self) -> Point:
        """The middle."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an edge.

    Attributes:
        points: From the border of the source to the border of the target.
        label: The place of the label, or None when it has no size.
        loop: Whether source and target are one node; then there are four points, the controls of one curve.
        direction: The direction of the drawing, which tells how the ways bend.
    """

    points: tuple[Point, ...]
    label: Box | None = None
    loop: bool = False
    direction: Direction = "down"

    def path(self) -> str:
        """The way as the ``d`` attribute of an SVG path: straight through layers, curved between them.

        Example:
            >>> Route(((0.0, 0.0), (0.0, 10.0), (8.0, 30.0))).path()
            'M0 0V10C0 20 8 20 8 30'
        """
        x, y = self.points[0]
        if self.loop:
            return f"M{_n(x)} {_n(y)}C" + " ".join(f"{_n(px)} {_n(py)}" for px, py in self.points[1:])
        parts = [f"M{_n(x)} {_n(y)}"]
        for px, py in self.points[1:]:
            if abs(px - x) < 0.05:
                parts.append(f"V{_n(py)}")
            elif abs(py - y) < 0.05:
                parts.append(f"H{_n(px)}")
            elif self.direction == "down":
                middle = _n((y + py) / 2)
                parts.append(f"C{_n(x)} {middle} {_n(px)} {middle} {_n(px)} {_n(py)}")
            else:
                middle = _n((x + px) / 2)
                parts.append(f"C{middle} {_n(y)} {middle} {_n(py)} {_n(px)} {_n(py)}")
            x, y = px, py
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing: boxes by node, routes in the order of the edges, and the size of the whole."""

    width: float
    height: float
    nodes: Mapping[str, Box]
    edges: tuple[Route, ...]


def _n(value: float) -> str:
    """A number with at most one decimal, without a trailing zero."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


@dataclass(slots=True)
class _Level:
    """What one container holds while the drawing is made."""

    children: list[str] = field(default_factory=list[str])
    pieces: list[Piece] = field(default_factory=list[Piece])
    loops: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


class _Arrangement:
    """One run of `arrange`, in coordinates where edges run down."""

    def __init__(self, nodes: Mapping[str, Node], edges: Sequence[Edge], spacing: Spacing) -> None:
        self.nodes = nodes
        self.edges = edges
        self.spacing = spacing
        self.chains = {name: self._chain(name) for name in nodes}
        self.levels: dict[str | None, _Level] = {None: _Level()}
        for name, node in nodes.items():
            self.levels.setdefault(node.parent, _Level()).children.append(name)
        self.sequence = sorted(self.levels, key=lambda name: -1 if name is None else len(self.chains[name]))
        self.drawings: dict[str | None, LevelDrawing] = {}
        self.crossed: list[list[tuple[str | None, Piece]]] = [[] for _ in edges]

    def _chain(self, name: str) -> tuple[str, ...]:
        """The containers around a node and the node itself, outermost first."""
        found: list[str] = []
        at: str | None = name
        while at is not None:
            if at in found:
                raise UsageError(f"node {name!r} is inside itself")
            found.append(at)
            at = self.nodes[at].parent
        return tuple(reversed(found))

    def split(self) -> None:
        """Give each edge to the innermost container around its ends, then pieces to those it crosses."""
        for index, edge in enumerate(self.edges):
            source, target = self.chains[edge.source], self.chains[edge.target]
            common = 0
            while common < min(len(source), len(target)) and source[common] == target[common]:
                common += 1
            if edge.source == edge.target:
                parent = self.nodes[edge.source].parent
                self.levels[parent].loops.setdefault(edge.source, []).append(index)
                continue
            around = source[common - 1] if common else None
            upper = source[common] if common < len(source) else None
            lower = target[common] if common < len(target) else None
            self.levels[around].pieces.append(Piece(index, upper, lower, labelled=True))
        for name in self.sequence:
            work = self.levels[name]
            work.pieces = self._turn(work.pieces, work.children)
            for piece in work.pieces:
                self.crossed[piece.edge].append((name, piece))
                self._descend(piece)

    @staticmethod
    def _turn(pieces: Sequence[Piece], children: Sequence[str]) -> list[Piece]:
        """The pieces, those that would close a cycle turned around; pieces through a gate have their way."""
        numbers = {name: number for number, name in enumerate(children)}
        free = [number for number, piece in enumerate(pieces) if piece.upper and piece.lower]
        ends = [(numbers[str(pieces[at].upper)], numbers[str(pieces[at].lower)]) for at in free]
        turned = list(pieces)
        for at, back in zip(free, turned_edges(len(children), ends), strict=True):
            if back:
                turned[at] = pieces[at].reversed()
        return turned

    def _descend(self, piece: Piece) -> None:
        """Hand the rest of an edge that ends deeper to the container it ends in."""
        edge = self.edges[piece.edge]
        source, target = (piece.lower, piece.upper) if piece.turned else (piece.upper, piece.lower)
        for inside, end in ((source, edge.source), (target, edge.target)):
            if inside is None or inside == end:
                continue
            chain = self.chains[end]
            item = chain[chain.index(inside) + 1]
            through_top = inside == piece.lower
            outwards = end == edge.source
            stub = (
                Piece(piece.edge, None, item, turned=outwards)
                if through_top
                else Piece(piece.edge, item, None, turned=not outwards)
            )
            self.levels[inside].pieces.append(stub)

    def draw(self) -> None:
        """Draw every container, innermost first."""
        for name in reversed(self.sequence):
            level = self.levels[name]
            items = [self._item(child, level) for child in level.children]
            labels = [
                (self.edges[piece.edge].label_width, self.edges[piece.edge].label_height)
                if piece.labelled
                else (0.0, 0.0)
                for piece in level.pieces
            ]
            padding = Padding(0.0, 0.0, 0.0, 0.0) if name is None else self.nodes[name].padding
            least = (0.0, 0.0) if name is None else (self.nodes[name].width, self.nodes[name].height)
            sides = (padding.left, padding.top, padding.right, padding.bottom)
            spaces = (self.spacing.node, self.spacing.layer, self.spacing.gate)
            self.drawings[name] = draw_level(
                items, level.pieces, labels=labels, padding=sides, least=least, spaces=spaces
            )

    def _item(self, name: str, level: _Level) -> Item:
        """A child with its size, its loops and the gates in its border."""
        inner = self.drawings.get(name)
        node = self.nodes[name]
        width, height = (node.width, node.height) if inner is None else (inner.width, inner.height)
        gates = {} if inner is None else inner.gates
        loops = tuple(
            (index, self.edges[index].label_width, self.edges[index].label_height)
            for index in level.loops.get(name, ())
        )
        return Item(name, width, height, loops, gates, inner is not None)

    def boxes(self) -> dict[str, Box]:
        """The absolute place of every node."""
        found: dict[str, Box] = {}
        for name in self.sequence:
            x, y = self._origin(name, found)
            for child, (left, top, width, height) in self.drawings[name].boxes.items():
                found[child] = Box(x + left, y + top, width, height)
        return found

    @staticmethod
    def _origin(name: str | None, boxes: Mapping[str, Box]) -> Point:
        return (0.0, 0.0) if name is None else (boxes[name].x, boxes[name].y)

    def route(self, index: int, boxes: Mapping[str, Box]) -> Route:
        """The whole way of an edge, put together from its pieces."""
        edge = self.edges[index]
        if edge.source == edge.target:
            parent = self.nodes[edge.source].parent
            return self._placed(self.drawings[parent].loops[index], self._origin(parent, boxes), loop=True)
        outwards: list[Point] = []
        inwards: list[Point] = []
        label: Box | None = None
        for position, (name, piece) in enumerate(self.crossed[index]):
            way = self._placed(self.drawings[name].routes[piece], self._origin(name, boxes), loop=False)
            points = way.points[::-1] if piece.turned else way.points
            if position == 0:
                inwards, label = list(points), way.label
            elif self._leads_out(piece):
                outwards[:0] = points
            else:
                inwards.extend(points)
        return Route(_without_repeats([*outwards, *inwards]), label)

    @staticmethod
    def _leads_out(piece: Piece) -> bool:
        """Whether a piece through a gate leads from the source out of its container."""
        return (piece.upper is None) == piece.turned

    @staticmethod
    def _placed(
        way: tuple[Sequence[Point], tuple[float, float, float, float] | None], origin: Point, *, loop: bool
    ) -> Route:
        points, label = way
        x, y = origin
        box = None if label is None else Box(x + label[0], y + label[1], label[2], label[3])
        return Route(tuple((x + px, y + py) for px, py in points), box, loop=loop)


def _without_repeats(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points without those that stand at the place of the one before."""
    kept = [points[0]]
    for point in points[1:]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) > 0.05:
            kept.append(point)
    return tuple(kept)


def _transposed_node(node: Node) -> Node:
    sides = node.padding
    padding = Padding(sides.top, sides.left, sides.bottom, sides.right)
    return Node(node.id, node.height, node.width, node.parent, padding)


def _transposed_box(box: Box) -> Box:
    return Box(box.y, box.x, box.height, box.width)


def _transposed_route(route: Route) -> Route:
    label = None if route.label is None else _transposed_box(route.label)
    return Route(tuple((y, x) for x, y in route.points), label, route.loop, "right")


def arrange(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    *,
    direction: Direction = "down",
    spacing: Spacing = Spacing(),
) -> Layout:
    """Place nodes and edges; the same input always gives the same drawing.

    Args:
        nodes: The nodes, containers included; where nothing else decides, their order does.
        edges: The edges; several between the same nodes are drawn side by side.
        direction: Where edges run to.
        spacing: The gaps.

    Raises:
        UsageError: An id is given twice, a parent or an end is no node, a node is inside itself, or there are
            more than `NODES_MAX` nodes.

    Example:
        >>> drawing = arrange([Node("a", 40, 20), Node("b", 40, 20)], [Edge("a", "b")])
        >>> drawing.nodes["b"]
        Box(x=0.0, y=46.0, width=40, height=20)
        >>> drawing.edges[0].path()
        'M20 20V46'
    """
    if len(nodes) > NODES_MAX:
        raise UsageError(f"{len(nodes)} nodes are more than the {NODES_MAX} that a drawing can hold")
    known = {node.id: node for node in nodes}
    if len(known) < len(nodes):
        raise UsageError("two nodes have the same id")
    missing = [node.parent for node in nodes if node.parent is not None and node.parent not in known]
    missing += [end for edge in edges for end in (edge.source, edge.target) if end not in known]
    if missing:
        raise UsageError(f"{missing[0]!r} is not a node")
    if direction == "right":
        known = {name: _transposed_node(node) for name, node in known.items()}
        edges = [Edge(edge.source, edge.target, edge.label_height, edge.label_width) for edge in edges]
    work = _Arrangement(known, edges, spacing)
    work.split()
    work.draw()
    boxes = work.boxes()
    routes = [work.route(index, boxes) for index in range(len(edges))]
    whole = work.drawings[None]
    if direction == "down":
        return Layout(whole.width, whole.height, boxes, tuple(routes))
    turned = {name: _transposed_box(box) for name, box in boxes.items()}
    return Layout(whole.height, whole.width, turned, tuple(_transposed_route(route) for route in routes))
