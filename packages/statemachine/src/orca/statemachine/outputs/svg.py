"""A machine as a self-contained SVG picture: no script, no font, no request.

Compound states are boxes, regions stand side by side with a dashed line between them, a loop stands beside
its state, and every label has its own place. Colours follow the reader's light or dark setting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

from orca.common.layout import Box, Edge, Layout, Node, Padding, Route, Spacing, arrange
from orca.statemachine.model import ANY_STATE, MachineDef, RegionDef, StateDef
from orca.statemachine.outputs._labels import Arrow, arrows, inner_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from orca.common.layout import Direction

__all__ = ["to_svg"]

_FONT: Final = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_TITLE_SIZE: Final = 13.0
_TEXT_SIZE: Final = 11.0
_LINE: Final = 15.0
_MARGIN: Final = 14.0
_WRAP: Final = 34
"""Characters in a line of a description; longer ones go on in the next line."""
_LABEL_WRAP: Final = 44
"""Characters in a line of an arrow's label."""
_NARROW: Final = frozenset("fijlrtI.,:;'|![]() /")
_WIDE: Final = frozenset("mwMWGOQ@%")
_START: Final = "\x00start"
"""Begins the id of the dot before an initial state; no path holds this character."""
_ANY: Final = "\x00any"

_STYLE: Final = (
    ".orca-sc text{font-family:" + _FONT + "}"
    "@media (prefers-color-scheme:dark){"
    ".orca-sc .bg{fill:#14181d}.orca-sc .box{fill:#1e252d;stroke:#7d8da0}"
    ".orca-sc .group{fill:#191f26;stroke:#5b6876}.orca-sc .ground{fill:#191f26}"
    ".orca-sc .ink,.orca-sc .dot{fill:#e6ebf0}.orca-sc .soft{fill:#a9b5c1}.orca-sc .way{stroke:#8fa1b3}"
    ".orca-sc .head{fill:#8fa1b3}.orca-sc .halo{fill:#14181d}.orca-sc .line{stroke:#5b6876}"
    ".orca-sc .active .box,.orca-sc .active .group{fill:#1d3a52;stroke:#5db0f0}.orca-sc .lit{fill:#1d3a52}}"
)


def text_width(text: str, size: float) -> float:
    """How wide a text is at most, in the unit of ``size``, in the usual sans-serif fonts."""
    units = 0.0
    for char in text:
        if ord(char) > 0x2E7F:
            units += 1.05
        elif char in _NARROW:
            units += 0.36
        elif char in _WIDE:
            units += 0.92
        else:
            units += 0.7 if char.isupper() else 0.6
    return units * size


def wrap(text: str, width: int) -> list[str]:
    """A text in lines of at most ``width`` characters, broken at spaces; too long a word is broken too."""
    lines: list[str] = []
    for word in text.split():
        rest = word
        if lines and len(lines[-1]) + 1 + len(rest) <= width:
            lines[-1] += " " + rest
            continue
        while len(rest) > width:
            lines.append(rest[:width])
            rest = rest[width:]
        lines.append(rest)
    return lines


@dataclass(frozen=True, slots=True)
class _Card:
    """What stands in the box of a state."""

    title: str
    notes: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def width(self) -> float:
        widths = [text_width(self.title, _TITLE_SIZE) * 1.06]
        widths += [text_width(line, _TEXT_SIZE) for line in (*self.notes, *self.lines)]
        return max(widths) + 24

    @property
    def height(self) -> float:
        return 14 + _LINE + len(self.notes) * _LINE + (len(self.lines) * _LINE + 6 if self.lines else 0)


@dataclass(slots=True)
class _Picture:
    nodes: list[Node] = field(default_factory=list[Node])
    edges: list[Edge] = field(default_factory=list[Edge])
    labels: list[list[str]] = field(default_factory=list[list[str]])
    kinds: list[str] = field(default_factory=list[str])
    cards: dict[str, _Card] = field(default_factory=dict[str, _Card])
    items: dict[str, StateDef | RegionDef] = field(default_factory=dict[str, "StateDef | RegionDef"])


def _card(item: StateDef | RegionDef, lines: Sequence[str]) -> _Card:
    note = item.description if isinstance(item, StateDef) else None
    wrapped = [part for line in lines for part in wrap(line, _LABEL_WRAP)]
    return _Card(item.name, tuple(wrap(note or "", _WRAP)), tuple(wrapped))


def _is_container(item: StateDef | RegionDef) -> bool:
    return isinstance(item, RegionDef) or item.parallel is not None or bool(item.states)


def _collect(machine: MachineDef) -> _Picture:
    """The nodes and edges of a machine, arrows between the same two states joined under one label."""
    picture = _Picture()
    lines = inner_lines(machine)
    _add_start(picture, None, machine.states)
    for item in machine.walk():
        picture.items[item.path] = item
        card = picture.cards[item.path] = _card(item, lines[item.path])
        parent = item.path.rpartition(".")[0] or None
        if isinstance(item, StateDef) and item.history is not None:
            picture.nodes.append(Node(item.path, 26, 26, parent))
        elif _is_container(item):
            padding = Padding(16, card.height + 8, 16, 16)
            picture.nodes.append(Node(item.path, card.width, card.height, parent, padding))
            _add_start(picture, item.path, item.states)
        else:
            picture.nodes.append(Node(item.path, max(card.width, 84), card.height, parent))
    joined: dict[tuple[str, str, str], list[str]] = {}
    for arrow in arrows(machine):
        if arrow.target is not None:
            joined.setdefault(_ends(arrow), []).append(arrow.label)
    if lines[ANY_STATE] or any(source == _ANY for source, _, _ in joined):
        wrapped = [part for line in lines[ANY_STATE] for part in wrap(line, _LABEL_WRAP)]
        card = picture.cards[_ANY] = _Card("any state", (), tuple(wrapped))
        picture.nodes.append(Node(_ANY, card.width, card.height))
    for (source, target, kind), texts in joined.items():
        _add_edge(
            picture, (source, target), kind, [part for text in texts for part in wrap(text, _LABEL_WRAP)]
        )
    return picture


def _ends(arrow: Arrow) -> tuple[str, str, str]:
    look = {"timeout": "soft", "error": "soft"}.get(arrow.kind, "plain")
    return (_ANY if arrow.source == ANY_STATE else arrow.source, arrow.target or "", look)


def _add_start(picture: _Picture, parent: str | None, states: Sequence[StateDef]) -> None:
    for state in states:
        if state.is_initial:
            name = f"{_START} {parent or ''}"
            picture.nodes.append(Node(name, 12, 12, parent))
            _add_edge(picture, (name, state.path), "plain", [])
            return


def _add_edge(picture: _Picture, ends: tuple[str, str], kind: str, lines: list[str]) -> None:
    width = max((text_width(line, _TEXT_SIZE) for line in lines), default=0.0)
    picture.edges.append(Edge(*ends, width + 6 if lines else 0.0, len(lines) * (_LINE - 1)))
    picture.labels.append(lines)
    picture.kinds.append(kind)


def to_svg(machine: MachineDef, *, active: Collection[str] = (), direction: Direction = "down") -> str:
    """Draw a machine.

    Args:
        machine: The definition.
        active: Paths of states to highlight, such as the leaves of a running instance; the states around them
            are highlighted too.
        direction: Where transitions run to: ``down`` or ``right``.

    Returns:
        One ``svg`` element, to embed or to save.

    Raises:
        UsageError: More states than a drawing can hold.
    """
    picture = _collect(machine)
    layout = arrange(picture.nodes, picture.edges, direction=direction, spacing=Spacing(26, 24, 18))
    head = _Card(machine.name, (), ())
    top = _MARGIN * 2 + head.height - 6
    width = max(layout.width, head.width) + 2 * _MARGIN
    height = layout.height + top + _MARGIN
    lit = {".".join(path.split(".")[:end]) for path in active for end in range(1, path.count(".") + 2)}
    body = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="orca-sc" role="img" width="{width:.0f}"'
            f' height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" font-family={quoteattr(_FONT)}>'
        ),
        f"<title>{escape(machine.name)}</title><style>{_STYLE}</style>",
        '<rect class="bg" width="100%" height="100%" fill="#ffffff"/>',
        _text(_MARGIN, _MARGIN + 16, machine.name, size=15, bold=True),
        f'<g transform="translate({(width - layout.width) / 2:.1f} {top:.1f})">',
        *_boxes(picture, layout, lit),
        *_ways(picture, layout),
        *_titles(picture, layout, lit),
        *_labels(picture, layout),
        "</g></svg>",
    ]
    return "\n".join(body)


def _text(x: float, y: float, text: str, *, size: float, bold: bool = False, kind: str = "ink") -> str:
    fill = {"ink": "#17212b", "soft": "#52606d"}[kind]
    weight = ' font-weight="600"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"'
    return f'<text class="{kind}" {place} fill="{fill}"{weight}>{escape(text)}</text>'


def _rect(box: Box, kind: str, fill: str, stroke: str, *, radius: float = 8, inset: float = 0) -> str:
    place = f'x="{box.x + inset:.1f}" y="{box.y + inset:.1f}"'
    size = f'width="{box.width - 2 * inset:.1f}" height="{box.height - 2 * inset:.1f}"'
    return f'<rect class="{kind}" {place} {size} rx="{radius:g}" fill="{fill}" stroke="{stroke}"/>'


def _boxes(picture: _Picture, layout: Layout, lit: Collection[str]) -> Iterator[str]:
    """Every state, containers first because they stand first in the document."""
    for node in picture.nodes:
        box = layout.nodes[node.id]
        if node.id.startswith(_START):
            x, y = box.center
            yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="6" fill="#17212b"/>'
            continue
        item = picture.items.get(node.id)
        is_lit = node.id in lit
        path = quoteattr(node.id if item else ANY_STATE)
        yield f'<g class="state{" active" if is_lit else ""}" data-state={path}>'
        yield from _state(picture, layout, node.id, box, is_lit=is_lit)
        yield "</g>"


def _state(picture: _Picture, layout: Layout, name: str, box: Box, *, is_lit: bool) -> Iterator[str]:
    item = picture.items.get(name)
    fill, stroke = ("#dcefff", "#1a7fd0") if is_lit else ("#ffffff", "#5b6b7b")
    if isinstance(item, StateDef) and item.history is not None:
        x, y = box.center
        yield f'<circle class="box" cx="{x:.1f}" cy="{y:.1f}" r="13" fill="{fill}" stroke="{stroke}"/>'
        sign = "H" if item.history == "shallow" else "H*"
        yield _text(x - text_width(sign, _TEXT_SIZE) / 2, y + 4, sign, size=_TEXT_SIZE, bold=True)
        return
    if isinstance(item, RegionDef):
        yield from _region(picture, layout, item, box)
    elif item is not None and _is_container(item):
        yield _rect(box, "group", "#e8f3fd" if is_lit else "#f6f8fa", stroke, radius=10)
    else:
        yield _rect(box, "box", fill, stroke, radius=box.height / 2 if item is None else 8)
    if isinstance(item, StateDef) and item.is_final:
        yield _rect(box, "box", "none", stroke, radius=5.5, inset=3)
    if item is None or not _is_container(item):
        yield from _writing(picture.cards[name], box, middle=item is not None)


def _titles(picture: _Picture, layout: Layout, lit: Collection[str]) -> Iterator[str]:
    """The writing of containers, over the ways that enter them, on a ground that lets it be read."""
    for name, item in picture.items.items():
        if not _is_container(item):
            continue
        box, card = layout.nodes[name], picture.cards[name]
        is_lit = isinstance(item, StateDef) and name in lit
        kind, fill = ("ground lit", "#e8f3fd") if is_lit else ("ground", "#f6f8fa")
        if isinstance(item, RegionDef):  # a region has the colour of its parallel state
            kind, fill = ("ground lit", "#e8f3fd") if name.rpartition(".")[0] in lit else (kind, fill)
        room = Box(box.x + 8, box.y + 6, card.width - 16, card.height - 6)
        place = f'x="{room.x:.1f}" y="{room.y:.1f}" width="{room.width:.1f}" height="{room.height:.1f}"'
        yield f'<rect class="{kind}" {place} fill="{fill}" fill-opacity="0.85" stroke="none"/>'
        yield from _writing(card, box, middle=False)


def _region(picture: _Picture, layout: Layout, item: RegionDef, box: Box) -> Iterator[str]:
    """A dashed line between this region and the one before, over the whole height of the parallel state."""
    parent = item.path.rpartition(".")[0]
    owner = picture.items[parent]
    regions = owner.parallel.regions if isinstance(owner, StateDef) and owner.parallel else ()
    boxes = sorted((layout.nodes[region.path] for region in regions), key=lambda other: (other.x, other.y))
    at = boxes.index(box)
    if at == 0:
        return
    before, around = boxes[at - 1], layout.nodes[parent]
    if before.right <= box.x:
        x = (before.right + box.x) / 2
        y = around.y + picture.cards[parent].height
        line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{around.bottom:.1f}"'
    else:
        y = (before.bottom + box.y) / 2
        line = f'x1="{around.x:.1f}" x2="{around.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"'
    yield f'<line class="line" {line} stroke="#9aa7b4" stroke-dasharray="5 4"/>'


def _writing(card: _Card, box: Box, *, middle: bool) -> Iterator[str]:
    """The text of a state: centred in simple states, at the left in containers."""
    y = box.y + 20
    x = box.x + (box.width - text_width(card.title, _TITLE_SIZE) * 0.94) / 2 if middle else box.x + 12
    yield _text(x, y, card.title, size=_TITLE_SIZE, bold=True)
    for note in card.notes:
        y += _LINE
        shift = (box.width - text_width(note, _TEXT_SIZE) * 0.92) / 2 if middle else 12
        yield _text(box.x + shift, y, note, size=_TEXT_SIZE, kind="soft")
    if card.lines and middle:
        yield (
            f'<line class="line" x1="{box.x:.1f}" x2="{box.right:.1f}" y1="{y + 6:.1f}" y2="{y + 6:.1f}"'
            ' stroke="#c3ccd5"/>'
        )
    y += 6 if card.lines else 0
    for line in card.lines:
        y += _LINE
        yield _text(box.x + 12, y, line, size=_TEXT_SIZE)


def _ways(picture: _Picture, layout: Layout) -> Iterator[str]:
    for route, kind in zip(layout.edges, picture.kinds, strict=True):
        dashes = ' stroke-dasharray="6 3"' if kind == "soft" else ""
        line = f'fill="none" stroke="#5b6b7b" stroke-width="1.2"{dashes}'
        yield f'<path class="way" d="{route.path()}" {line}/>'
        yield _head(route)


def _head(route: Route) -> str:
    """An arrow head at the end, pointing as the way arrives: along the layers, of a loop across."""
    x, y = route.points[-1]
    from_x, from_y = route.points[-2]
    if (route.direction == "down") is not route.loop:
        dx, dy = 0.0, (1.0 if y > from_y else -1.0)
    else:
        dx, dy = (1.0 if x > from_x else -1.0), 0.0
    left = (x - 8 * dx - 3.5 * dy, y - 8 * dy + 3.5 * dx)
    right = (x - 8 * dx + 3.5 * dy, y - 8 * dy - 3.5 * dx)
    corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in ((x, y), left, right))
    return f'<polygon class="head" points="{corners}" fill="#5b6b7b"/>'


def _labels(picture: _Picture, layout: Layout) -> Iterator[str]:
    """The labels over their ways, on a ground of their own so that the way does not cross the letters."""
    for route, lines in zip(layout.edges, picture.labels, strict=True):
        if route.label is None:
            continue
        box = route.label
        if not route.loop:
            yield (
                f'<rect class="halo" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}"'
                f' height="{box.height:.1f}" rx="3" fill="#ffffff" fill-opacity="0.92"/>'
            )
        for number, line in enumerate(lines):
            shift = 3 if route.loop else (box.width - text_width(line, _TEXT_SIZE) * 0.92) / 2
            y = box.y + (number + 1) * (_LINE - 1) - 3.5
            yield _text(box.x + shift, y, line, size=_TEXT_SIZE)
