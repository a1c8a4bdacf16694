"""The graph of algorithms as SVG geometry, by the layout that statecharts use too; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orca.common.layout import Box, Edge, Node, Padding, arrange
from orca.orchestrator.dashboard.shown import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orca.orchestrator.model import LookBack, Registration

__all__ = ["Drawing", "Figure", "Way", "draw", "lookback_text"]

CHAR_WIDTH = 7.6
LINE_CHARS = 34
"""What counts and durations take below a name, in its wider letters."""
NODE_HEIGHT = 58.0
PROCESSOR_PADDING = Padding(16.0, 34.0, 16.0, 16.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn algorithm, or the processor around some."""

    box: Box
    name: str
    version: str
    window_type: str


@dataclass(frozen=True, slots=True)
class Way:
    """A drawn dependency; a look-back has a text."""

    path: str
    text: str
    label: Box | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """The whole graph."""

    width: float
    height: float
    processors: tuple[Figure, ...]
    algorithms: tuple[Figure, ...]
    ways: tuple[Way, ...]


def lookback_text(lookback: LookBack) -> str:
    """A look-back in a few words.

    Example:
        >>> from orca.orchestrator.model import LookBack
        >>> lookback_text(LookBack(count=14)), lookback_text(LookBack(delta_ns=3600 * 10**9))
        ('last 14', 'last 1 h')
    """
    text = f"last {lookback.count}" if lookback.count else f"last {duration(lookback.delta_ns)}"
    if lookback.gap_count:
        text += f", {lookback.gap_count} left out"
    if lookback.gap_delta_ns:
        text += f", gap {duration(lookback.gap_delta_ns)}"
    return text


def draw(registrations: Iterable[Registration], window_type: str = "") -> Drawing:
    """Place what processors offer.

    Args:
        registrations: Everybody's present set.
        window_type: Only its algorithms, as ``Name 1.0.0``; "" for all.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    texts: list[str] = []
    named: dict[str, tuple[str, str, str]] = {}
    for registration in registrations:
        mine = [
            entry
            for entry in registration.algorithms
            if window_type in ("", f"{entry.window_type.name} {entry.window_type.version}")
        ]
        if not mine:
            continue
        around = f"processor {registration.processor}"
        nodes.append(
            Node(around, len(str(registration.processor)) * CHAR_WIDTH + 40, 40, None, PROCESSOR_PADDING)
        )
        for entry in mine:
            key = str(entry.ref)
            kind = f"{entry.window_type.name} {entry.window_type.version}"
            named[key] = (entry.name, entry.version, kind)
            width = max(len(key) + 3, LINE_CHARS) * CHAR_WIDTH + 16
            nodes.append(Node(key, width, NODE_HEIGHT, around))
            needs = [(str(one.algorithm), one.lookback) for one in entry.dependencies]
            if entry.self_lookback is not None:
                needs.append((key, entry.self_lookback))
            for source, lookback in needs:
                text = lookback_text(lookback) if lookback is not None else ""
                edges.append(Edge(source, key, len(text) * 6.6 + 8 if text else 0.0, 18.0 if text else 0.0))
                texts.append(text)
    kept = [number for number, edge in enumerate(edges) if edge.source in named]
    layout = arrange(nodes, [edges[number] for number in kept], direction="right")
    ways = tuple(
        Way(route.path(), texts[number], route.label)
        for number, route in zip(kept, layout.edges, strict=True)
    )
    processors = tuple(
        Figure(layout.nodes[node.id], node.id.partition(" ")[2], "", "")
        for node in nodes
        if node.parent is None
    )
    algorithms = tuple(Figure(layout.nodes[key], *entry) for key, entry in named.items())
    return Drawing(layout.width, layout.height, processors, algorithms, ways)
