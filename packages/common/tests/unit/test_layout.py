"""Drawings of graphs: nothing overlaps, boxes hold what is inside them, ways end at borders, on any graph."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orca.common import _layout_level, layout
from orca.common._layout_order import count_crossings, order_layers, rank_nodes, turned_edges
from orca.common._layout_place import Extents, place_nodes
from orca.common.errors import UsageError
from orca.common.layout import Box, Edge, Layout, Node, Padding, Route, Spacing, arrange


def overlap(one: Box, other: Box) -> bool:
    near = 0.01
    apart = (
        one.right <= other.x + near
        or other.right <= one.x + near
        or one.bottom <= other.y + near
        or other.bottom <= one.y + near
    )
    return not apart


def on_border(point: tuple[float, float], box: Box) -> bool:
    x, y = point
    near = 0.1
    inside = box.x - near <= x <= box.right + near and box.y - near <= y <= box.bottom + near
    edge = min(abs(x - box.x), abs(x - box.right), abs(y - box.y), abs(y - box.bottom))
    return inside and edge < near


def check(nodes: list[Node], edges: list[Edge], drawing: Layout) -> None:
    """What every drawing must hold."""
    parents = {node.id: node.parent for node in nodes}

    def around(name: str) -> set[str]:
        found = set()
        at: str | None = name
        while at is not None:
            found.add(at)
            at = parents[at]
        return found

    whole = Box(0, 0, drawing.width, drawing.height)
    for one, other in itertools.combinations(nodes, 2):
        if one.id not in around(other.id) and other.id not in around(one.id):
            assert not overlap(drawing.nodes[one.id], drawing.nodes[other.id]), (one, other)
    for node in nodes:
        box = drawing.nodes[node.id]
        holder = whole if node.parent is None else drawing.nodes[node.parent]
        assert holder.x - 0.01 <= box.x
        assert box.right <= holder.right + 0.01
        assert holder.y - 0.01 <= box.y
        assert box.bottom <= holder.bottom + 0.01
    labels = [(index, route.label) for index, route in enumerate(drawing.edges) if route.label is not None]
    for (_, one), (_, other) in itertools.combinations(labels, 2):
        assert not overlap(one, other)
    for index, label in labels:
        ends = around(edges[index].source) | around(edges[index].target)
        for node in nodes:
            if node.id not in ends and not any(other.parent == node.id for other in nodes):
                assert not overlap(label, drawing.nodes[node.id])
    for edge, route in zip(edges, drawing.edges, strict=True):
        assert on_border(route.points[0], drawing.nodes[edge.source])
        assert on_border(route.points[-1], drawing.nodes[edge.target])
        assert (route.label is not None) is (edge.label_width > 0)
        assert route.loop is (edge.source == edge.target)
        for x, y in route.points[1:-1] if not route.loop else ():
            assert -0.01 <= x <= drawing.width + 0.01
            assert -0.01 <= y <= drawing.height + 0.01


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[Edge]]:
    count = draw(st.integers(1, 9))
    nodes: list[Node] = []
    for number in range(count):
        parent = draw(st.sampled_from([None, *(f"n{other}" for other in range(number))]))
        width, height = draw(st.integers(10, 90)), draw(st.integers(10, 40))
        nodes.append(Node(f"n{number}", width, height, parent, Padding(8, 22, 8, 8)))
    name = st.sampled_from([node.id for node in nodes])
    size = st.sampled_from([(0, 0), (40, 12), (120, 26)])
    edges = [
        Edge(source, target, *label)
        for source, target, label in draw(st.lists(st.tuples(name, name, size), max_size=12))
    ]
    return nodes, edges


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from(["down", "right"]))
def test_nothing_overlaps_and_every_way_ends_at_its_nodes(graph, direction) -> None:
    nodes, edges = graph
    drawing = arrange(nodes, edges, direction=direction)
    check(nodes, edges, drawing)
    assert drawing == arrange(nodes, edges, direction=direction)
    assert all(route.path().startswith("M") for route in drawing.edges)


def test_loops_higher_than_their_container_keep_inside_its_layer() -> None:
    sides = Padding(8, 22, 8, 8)
    nodes = [
        Node("n0", 10, 10, None, sides),
        Node("n1", 10, 10, None, sides),
        Node("n2", 10, 10, "n1", sides),
    ]
    edges = [Edge("n0", "n0", 120, 26), Edge("n0", "n1"), Edge("n1", "n1", 120, 26)]
    check(nodes, edges, arrange(nodes, edges, direction="right"))


def test_an_empty_drawing_has_no_size() -> None:
    assert arrange([], []) == Layout(0.0, 0.0, {}, ())


def test_edges_run_down_and_the_edge_that_closes_a_cycle_runs_up() -> None:
    nodes = [Node(name, 40, 20) for name in "abc"]
    edges = [Edge("a", "b"), Edge("b", "c"), Edge("c", "a")]
    drawing = arrange(nodes, edges)
    heights = [drawing.nodes[name].y for name in "abc"]
    assert heights == sorted(heights)
    assert heights[0] < heights[1]
    back = drawing.edges[2].points
    assert back[0][1] > back[-1][1]
    check(nodes, edges, drawing)


def test_the_other_direction_is_the_same_drawing_turned() -> None:
    nodes = [Node("a", 40, 20), Node("b", 20, 40, padding=Padding(1, 2, 3, 4)), Node("c", 6, 8, "b")]
    edges = [Edge("a", "c", 30, 10), Edge("a", "a")]
    drawing = arrange(nodes, edges, direction="right")
    check(nodes, edges, drawing)
    assert drawing.nodes["a"].right < drawing.nodes["b"].x
    assert drawing.nodes["c"].y - drawing.nodes["b"].y >= 2
    assert drawing.edges[0].direction == "right"


def test_a_long_edge_runs_straight_beside_the_nodes_it_passes() -> None:
    nodes = [Node(name, 40, 20) for name in "abcd"]
    edges = [Edge("a", "b"), Edge("b", "c"), Edge("c", "d"), Edge("a", "d")]
    drawing = arrange(nodes, edges)
    xs = {round(x, 3) for x, _ in drawing.edges[3].points[1:-1]}
    assert len(xs) <= 3
    check(nodes, edges, drawing)


def test_an_edge_into_a_box_crosses_the_border_through_a_gate() -> None:
    nodes = [Node("a", 40, 20), Node("box", 10, 10), Node("x", 30, 20, "box"), Node("y", 30, 20, "box")]
    edges = [
        Edge("a", "y", 20, 10),
        Edge("y", "a"),
        Edge("x", "y"),
        Edge("box", "x"),
        Edge("y", "box", 30, 10),
    ]
    drawing = arrange(nodes, edges)
    check(nodes, edges, drawing)
    top = drawing.nodes["box"].y
    assert any(abs(y - top) < 0.01 for _, y in drawing.edges[0].points[1:-1])


def test_many_gates_keep_apart_and_many_ends_share_a_side() -> None:
    nodes = [Node("box", 10, 10), *(Node(f"in{n}", 12, 10, "box") for n in range(4)), Node("out", 16, 10)]
    edges = [Edge(f"in{n % 4}", "out") for n in range(8)] + [Edge("out", "in0")]
    drawing = arrange(nodes, edges)
    check(nodes, edges, drawing)
    ends = sorted(route.points[-1][0] for route in drawing.edges[:8])
    assert len({round(x, 1) for x in ends}) == 8
    bottom = drawing.nodes["box"].bottom
    gates = sorted(x for route in drawing.edges[:8] for x, y in route.points if abs(y - bottom) < 0.01)
    assert all(other - one > 1 for one, other in itertools.pairwise(gates))


def test_loops_stand_under_each_other_at_the_right() -> None:
    nodes = [Node("a", 40, 20), Node("b", 40, 20)]
    edges = [Edge("a", "a", 50, 14), Edge("a", "a"), Edge("a", "a", 20, 14)]
    drawing = arrange(nodes, edges)
    check(nodes, edges, drawing)
    first, second, third = drawing.edges
    assert first.label is not None
    assert third.label is not None
    assert first.label.bottom < third.label.y
    assert second.label is None
    assert drawing.nodes["b"].x >= first.label.right
    assert first.path().startswith("M40")


def test_a_path_is_straight_in_layers_and_curved_between() -> None:
    assert Route(((0.0, 0.0), (5.0, 0.0), (5.0, 9.0)), direction="right").path() == "M0 0H5V9"
    assert Route(((0.0, 0.0), (10.0, 8.0)), direction="right").path() == "M0 0C5 0 5 8 10 8"
    assert (
        Route(((1.25, 0.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.5)), loop=True).path() == "M1.2 0C2 1 3 2 4 3.5"
    )


def test_box_knows_its_sides() -> None:
    assert Box(1, 2, 3, 4).center == (2.5, 4.0)


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ([Node("a", 1, 1), Node("a", 1, 1)], [], "same id"),
        ([Node("a", 1, 1, "b")], [], "'b' is not a node"),
        ([Node("a", 1, 1)], [Edge("a", "z")], "'z' is not a node"),
        ([Node("a", 1, 1, "b"), Node("b", 1, 1, "a")], [], "inside itself"),
    ],
)
def test_what_cannot_be_drawn_is_said(nodes, edges, message) -> None:
    with pytest.raises(UsageError, match=message):
        arrange(nodes, edges)


def test_more_nodes_than_anybody_reads_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(layout, "NODES_MAX", 2)
    with pytest.raises(UsageError, match="3 nodes"):
        arrange([Node(str(n), 1, 1) for n in range(3)], [])


def test_more_bends_than_memory_likes_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(_layout_level, "BENDS_MAX", 1)
    nodes = [Node(str(n), 1, 1) for n in range(4)]
    chain = [Edge(str(n), str(n + 1)) for n in range(3)]
    with pytest.raises(UsageError, match="2 bends"):
        arrange(nodes, [*chain, Edge("0", "3")])


def test_crossings_are_counted_and_taken_away() -> None:
    below = [[3, 4], [2], [], [], []]
    assert count_crossings([0, 1], below, [0, 1, 0, 1, 2]) == 2
    order = order_layers([[0, 1], [2, 3, 4]], below)
    places = {node: place for layer in order for place, node in enumerate(layer)}
    assert count_crossings(order[0], below, [places[n] for n in range(5)]) == 0
    assert count_crossings([0], [[]], [0]) == 0


def test_an_order_that_nothing_betters_ends_after_a_bounded_number_of_sweeps() -> None:
    both = [[2, 3], [2, 3], [], []]
    assert order_layers([[0, 1], [2, 3]], both) == [[0, 1], [2, 3]]


def test_a_better_order_is_found_on_the_way_up_too() -> None:
    below = [[3], [2], [4], [5], [], []]
    order = order_layers([[0, 1], [2, 3], [4, 5]], below)
    places = {node: place for layer in order for place, node in enumerate(layer)}
    flat = [places[n] for n in range(6)]
    assert sum(count_crossings(layer, below, flat) for layer in order) == 0


def test_turned_edges_leave_no_cycle() -> None:
    edges = [(0, 1), (1, 2), (2, 0), (3, 0), (2, 1), (0, 2)]
    turned = turned_edges(4, edges)
    forward = [(b, a) if back else (a, b) for (a, b), back in zip(edges, turned, strict=True)]
    ranks = rank_nodes([(a, b, 1) for a, b in forward], lowest=[0] * 4, sinks=frozenset())
    assert all(ranks[a] < ranks[b] for a, b in forward)


def test_ranks_keep_lengths_and_put_gates_last() -> None:
    ranks = rank_nodes([(0, 1, 2), (1, 2, 1), (3, 1, 1)], lowest=[0, 1, 1, 1], sinks=frozenset({2}))
    assert ranks == [0, 2, 3, 1]
    assert rank_nodes([], lowest=[], sinks=frozenset()) == []


def test_straight_parts_win_over_edges_that_cross_them() -> None:
    # 0-3 is a straight part between two bends; 1-2 crosses it.
    layers = [[0, 1], [2, 3]]
    below = [[3], [2], [], []]
    extents = Extents([5.0] * 4, [5.0] * 4, 2.0)
    xs = place_nodes(layers, below, [True, False, False, True], extents)
    assert xs[0] == xs[3]
    assert xs[1] - xs[0] >= 12
    assert place_nodes([], [], [], extents) == []
    # Two straight parts that cross each other: one of them gives way, the gaps hold.
    xs = place_nodes(layers, below, [True] * 4, extents)
    assert xs[1] - xs[0] >= 12
    assert xs[3] - xs[2] >= 12


def test_five_hundred_nodes_are_placed_quickly() -> None:
    nodes = [Node(str(n), 60, 24) for n in range(500)]
    edges = [Edge(str(n), str(n + 1 + n % 7), 40, 12) for n in range(490)]
    start = time.process_time()
    drawing = arrange(nodes, edges, spacing=Spacing(10, 10, 8))
    assert time.process_time() - start < 3.0
    assert len(drawing.nodes) == 500
