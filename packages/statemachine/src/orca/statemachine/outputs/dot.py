"""Machines in the language of Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.model import ANY_STATE, MachineDef, RegionDef, StateDef
from orca.statemachine.outputs._labels import arrows, inner_lines, node_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["to_dot"]


def _quoted(*lines: str) -> str:
    """A quoted string; each line is centred on its own."""
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines]
    return '"' + "\\n".join(escaped) + '"'


def _inside(path: str, around: str) -> bool:
    """Whether a state is another one or below it: Graphviz cannot end such an arrow at the cluster's border."""
    return path == around or path.startswith(around + ".")


class _Graph:
    """The statements of one machine; arrows to clusters need a node inside them, their anchor."""

    def __init__(self, machine: MachineDef) -> None:
        self.machine = machine
        self.ids = node_ids(machine)
        self.inside = inner_lines(machine)
        self.anchors: dict[str, str] = {}
        self.lines: list[str] = []

    def level(self, path: str, states: tuple[StateDef, ...], indent: str) -> None:
        if any(state.is_initial for state in states):
            self.lines.append(f'{indent}{_quoted(f"start {path}")} [shape=point, width=0.12, label=""];')
        for state in states:
            self.place(state, indent)

    def place(self, item: StateDef | RegionDef, indent: str) -> None:
        """A state as a node or a cluster. Recursion is bounded by the nesting that the parser allows."""
        name = self.ids[item.path]
        note = item.description if isinstance(item, StateDef) else None
        label = _quoted(item.name, *([note] if note else ()), *self.inside[item.path])
        regions = item.parallel.regions if isinstance(item, StateDef) and item.parallel else ()
        below: tuple[StateDef | RegionDef, ...] = (*item.states, *regions)
        if not below:
            self.anchors[item.path] = name
            look = f"label={label}"
            if isinstance(item, StateDef) and item.history is not None:
                look = f'shape=circle, label="{"H" if item.history == "shallow" else "H*"}"'
            elif isinstance(item, StateDef) and item.is_final:
                look += ", peripheries=2"
            self.lines.append(f"{indent}{name} [{look}];")
            return
        border = "dashed" if isinstance(item, RegionDef) else "rounded"
        self.lines.append(f"{indent}subgraph cluster_{name} {{")
        self.lines.append(f'{indent}  label={label}; style={border}; fontname="Helvetica"; fontsize=11;')
        self.level(item.path, item.states, indent + "  ")
        for region in regions:
            self.place(region, indent + "  ")
        self.lines.append(f"{indent}}}")
        self.anchors[item.path] = self.anchors[below[0].path]

    def any_state(self) -> None:
        lines = self.inside[ANY_STATE]
        if lines or any(arrow.source == ANY_STATE for arrow in arrows(self.machine)):
            self.lines.append(f"  any [shape=plaintext, label={_quoted('any state', *lines)}];")
            self.anchors[ANY_STATE] = "any"

    def edges(self) -> Iterator[str]:
        clusters = {path for path, anchor in self.anchors.items() if anchor != self.ids.get(path, anchor)}
        levels = [("", self.machine.states)] + [(item.path, item.states) for item in self.machine.walk()]
        for path, states in levels:
            for state in states:
                if state.is_initial:
                    head = f" [lhead=cluster_{self.ids[state.path]}]" if state.path in clusters else ""
                    yield f"  {_quoted(f'start {path}')} -> {self.anchors[state.path]}{head};"
        for arrow in arrows(self.machine):
            if arrow.target is None:
                continue
            marks = [f"label={_quoted(arrow.label)}"] if arrow.label else []
            if arrow.kind in {"timeout", "error"}:
                marks.append("style=dashed")
            if arrow.source in clusters and not _inside(arrow.target, arrow.source):
                marks.append(f"ltail=cluster_{self.ids[arrow.source]}")
            if arrow.target in clusters and not _inside(arrow.source, arrow.target):
                marks.append(f"lhead=cluster_{self.ids[arrow.target]}")
            attributes = f" [{', '.join(marks)}]" if marks else ""
            yield f"  {self.anchors[arrow.source]} -> {self.anchors[arrow.target]}{attributes};"


def to_dot(machine: MachineDef) -> str:
    """Draw a machine as a Graphviz digraph: compound states, parallel states and regions are clusters.

    An arrow to or from a cluster ends at its border (``compound=true``).
    """
    graph = _Graph(machine)
    graph.level("", machine.states, "  ")
    graph.any_state()
    lines = [
        f"digraph {_quoted(machine.name)} {{",
        "  compound=true;",
        '  node [shape=box, style=rounded, fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=10];',
        f"  label={_quoted(machine.name)}; labelloc=t;",
        *graph.lines,
        *graph.edges(),
        "}",
    ]
    return "\n".join(lines) + "\n"
