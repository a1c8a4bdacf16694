"""Putting the parts of states and machines together, the same way for whole files and for single rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from orca.statemachine.span import Span
from orca.statemachine.syntax import (
    FRAGMENT,
    Name,
    Note,
    RawBullets,
    RawMachine,
    RawRegion,
    RawState,
    RawTable,
    RawTransition,
)

__all__ = [
    "HERE",
    "Bullet",
    "Contents",
    "ParallelPart",
    "Section",
    "Trigger",
    "add_bullet",
    "add_to_machine",
    "add_to_state",
    "add_to_table",
    "annotate",
    "note",
]

HERE: Final = Name("", Span(0, 0, 1, 1, 1, 1))
"""The source of an `on` clause: the state that it stands in."""


@dataclass(slots=True)
class Trigger:
    """The event of a transition."""

    event: Name


@dataclass(slots=True)
class Bullet:
    """One thing that a state says about itself."""

    kind: str
    value: Any


@dataclass(slots=True)
class Contents:
    """What stands between the braces of a state."""

    parts: list[Any]


@dataclass(slots=True)
class ParallelPart:
    """A ``parallel`` block."""

    keyword: Name
    sync: str | None
    regions: list[RawRegion]


@dataclass(slots=True)
class Section:
    """A section of a machine or of a decision table."""

    kind: str
    rows: list[Any]


def add_bullet(bullets: RawBullets, bullet: Bullet) -> None:
    """Add what a bullet says; what may be said only once is checked by the resolver."""
    kind, value = bullet.kind, bullet.value
    if kind == "description":
        bullets.description = value
    elif kind in {"ignore", "returns"}:
        getattr(bullets, kind).extend(value)
    else:
        getattr(bullets, kind).append(value)


def add_to_state(state: RawState, part: Any) -> None:
    """Add annotations or an item of the body to a state."""
    if isinstance(part, Contents):
        for item in part.parts:
            add_to_state(state, item)
    elif isinstance(part, Bullet):
        add_bullet(state.bullets, part)
    elif isinstance(part, RawState):
        state.states.append(part)
    elif isinstance(part, RawTransition):
        state.transitions.append(part)
    elif isinstance(part, Section):
        state.transitions.extend(part.rows)
    elif isinstance(part, ParallelPart):
        state.parallel = state.parallel or part.keyword
        state.sync = part.sync or state.sync
        state.regions.extend(part.regions)
    else:
        for kind, word, value in part:
            annotate(state, kind, word, value)


def annotate(state: RawState, kind: str, word: Name, value: str) -> None:
    """Apply one annotation."""
    if kind == "initial":
        state.initial = word
    elif kind == "final":
        state.final = word
    elif kind == "parallel":
        state.parallel = word
    elif kind == "history":
        state.history = value
    else:
        state.sync = value


def add_to_machine(machine: RawMachine, part: RawState | Section) -> None:
    """Add a state or the rows of a section to a machine; repeated sections merge."""
    if isinstance(part, RawState):
        machine.states.append(part)
    elif part.kind == "version":
        machine.version = part.rows[0]
    else:
        getattr(machine, part.kind).extend(part.rows)


def add_to_table(table: RawTable, section: Section) -> None:
    """Add a section to a decision table."""
    if section.kind == "policy":
        table.policy = section.rows[0]
    else:
        getattr(table, section.kind).extend(section.rows)


def note(
    code: str, message: str, span: Span, *, suggestion: str = "", replacement: str | None = None
) -> None:
    """Report a finding that does not stop the parse."""
    FRAGMENT.get().notes.append(Note(code, message, span, suggestion, replacement))
