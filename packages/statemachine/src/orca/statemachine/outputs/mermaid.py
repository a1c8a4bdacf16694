"""Machines as Mermaid state diagrams, for Markdown pages that render them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orca.statemachine.model import ANY_STATE, MachineDef, RegionDef, StateDef
from orca.statemachine.outputs._labels import Arrow, arrows, inner_lines, node_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["to_mermaid"]

_SPECIAL: Final = {ord(char): f"#{ord(char)};" for char in "#;:\"'`<>{}[]()\\|%&"}
"""What Mermaid would read as syntax or markup; it takes decimal codes instead."""


def _escaped(text: str) -> str:
    return " ".join(text.translate(_SPECIAL).split())


class _Diagram:
    """One machine; ``prefix`` keeps its names apart from those of other machines in the same diagram."""

    def __init__(self, machine: MachineDef, prefix: str) -> None:
        self.machine = machine
        self.prefix = prefix
        self.ids = {path: prefix + name for path, name in node_ids(machine).items()}
        self.inside = inner_lines(machine)
        self.items = {item.path: item for item in machine.walk()}
        self.rows: dict[str, list[str]] = {}
        self.has_any = bool(self.inside[ANY_STATE])
        for arrow in arrows(machine):
            if arrow.target is not None:
                self._add(arrow, arrow.target)

    def _add(self, arrow: Arrow, target: str) -> None:
        """Put an arrow at the innermost level around both ends, where Mermaid can draw it."""
        if arrow.source == ANY_STATE:
            self.has_any = True
            source, level = f"{self.prefix}any", ""
        else:
            source, level = self.ids[arrow.source], _around(arrow.source, target)
        label = f" : {_escaped(arrow.label)}" if arrow.label else ""
        self.rows.setdefault(level, []).append(f"{source} --> {self.ids[target]}{label}")

    def lines(self, indent: str) -> list[str]:
        """The body of the machine."""
        found: list[str] = []
        if self.has_any:
            found.append(f'{indent}state "any state" as {self.prefix}any')
            found += [f"{indent}{self.prefix}any : {_escaped(line)}" for line in self.inside[ANY_STATE]]
        return found + self._level("", self.machine.states, indent)

    def _level(self, path: str, states: Sequence[StateDef], indent: str) -> list[str]:
        """The states of one level, their starts and ends, and the arrows between them.

        Recursion is bounded by the nesting that the parser allows.
        """
        found: list[str] = []
        for state in states:
            found += self._state(state, indent)
        found += [f"{indent}[*] --> {self.ids[state.path]}" for state in states if state.is_initial]
        found += [f"{indent}{row}" for row in self.rows.get(path, ())]
        found += [f"{indent}{self.ids[state.path]} --> [*]" for state in states if state.is_final]
        return found

    def _state(self, state: StateDef, indent: str) -> list[str]:
        name = self.ids[state.path]
        if state.history is not None:
            return [f'{indent}state "{"H" if state.history == "shallow" else "H*"}" as {name}']
        notes = ([state.description] if state.description else []) + self.inside[state.path]
        if state.parallel is None and not state.states:
            found = [f'{indent}state "{_escaped(state.name)}" as {name}']
            return found + [f"{indent}{name} : {_escaped(note)}" for note in notes]
        title = " - ".join([state.name, *notes])
        found = [f'{indent}state "{_escaped(title)}" as {name} {{']
        if state.parallel is None:
            found += self._level(state.path, state.states, indent + "  ")
        else:
            for number, region in enumerate(state.parallel.regions):
                found += [f"{indent}  --"] if number else []
                found += self._region(region, indent + "  ")
            found += [f"{indent}  {row}" for row in self.rows.get(state.path, ())]
        return [*found, f"{indent}}}"]

    def _region(self, region: RegionDef, indent: str) -> list[str]:
        inner = self._level(region.path, region.states, indent + "  ")
        return [
            f'{indent}state "{_escaped(region.name)}" as {self.ids[region.path]} {{',
            *inner,
            f"{indent}}}",
        ]


def _around(source: str, target: str) -> str:
    """The path of the innermost state that holds both; an end itself does not count."""
    shared: list[str] = []
    for one, other in zip(source.split(".")[:-1], target.split(".")[:-1], strict=False):
        if one != other:
            break
        shared.append(one)
    return ".".join(shared)


def to_mermaid(*machines: MachineDef, names: Mapping[str, str] | None = None) -> str:
    """Draw machines as one Mermaid state diagram; several stand beside each other, each in a box.

    Args:
        machines: At least one.
        names: Titles for machines by their name, where the name itself will not do.

    Example:
        >>> from orca.statemachine.model import MachineDef, StateDef, Transition
        >>> lamp = MachineDef(
        ...     "Lamp",
        ...     states=(StateDef("off", "off", is_initial=True), StateDef("on", "on")),
        ...     transitions=(Transition("off", "press", "on"),),
        ... )
        >>> print(to_mermaid(lamp), end="")
        stateDiagram-v2
          state "off" as s_off
          state "on" as s_on
          [*] --> s_off
          s_off --> s_on : press
    """
    found = ["stateDiagram-v2"]
    if len(machines) == 1:
        found += _Diagram(machines[0], "").lines("  ")
    else:
        for number, machine in enumerate(machines):
            title = (names or {}).get(machine.name, machine.name)
            found.append(f'  state "{_escaped(title)}" as m{number} {{')
            found += _Diagram(machine, f"m{number}_").lines("    ")
            found.append("  }")
    return "\n".join(found) + "\n"
