"""What every drawing says: the text of guards, the labels of arrows, the lines inside a state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from orca.statemachine.expr import (
    ARITHMETIC_OPERATORS,
    COMPARISON_OPERATORS,
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardExpression,
    GuardFalse,
    GuardIn,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
)
from orca.statemachine.model import ANY_STATE, MachineDef, OutcomeRef, RegionDef, StateDef

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Arrow", "ArrowKind", "arrows", "duration_text", "guard_text", "inner_lines", "node_ids"]

ArrowKind: TypeAlias = Literal["event", "eventless", "timeout", "done", "error"]

_BINDING: Final[dict[type[GuardExpression], int]] = {
    GuardOr: 1,
    GuardAnd: 2,
    GuardNot: 3,
    GuardCompare: 4,
    GuardIn: 4,
    GuardNullcheck: 4,
    Arithmetic: 5,
    Negate: 7,
}
"""How tightly an operator binds; multiplication is one above the sums, atoms are above all."""
_ATOM: Final = 9


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow of a drawing.

    Attributes:
        source: The path of a state, or ``*``.
        target: The path of a state, or None for an internal transition.
        label: ``event [guard] / action``; may be empty for an eventless transition without guard.
        kind: What it reacts to.
    """

    source: str
    target: str | None
    label: str
    kind: ArrowKind


def guard_text(node: GuardExpression) -> str:
    """A guard as a person writes it in a drawing: context fields by their bare name.

    Example:
        >>> low = GuardCompare("lt", VariableRef(("ctx", "health")), ValueRef("number", 10))
        >>> guard_text(GuardNot(GuardAnd((low, GuardRef("armed")))))
        'not (health < 10 and armed)'
    """
    return _text(node, 0)


def _text(node: GuardExpression, outer: int) -> str:
    binding = _BINDING.get(type(node), _ATOM)
    if isinstance(node, Arithmetic) and node.op in {"mul", "div", "mod"}:
        binding = 6
    text = _plain(node, binding)
    return f"({text})" if binding < outer else text


def _plain(node: GuardExpression, binding: int) -> str:
    if isinstance(node, GuardOr | GuardAnd):
        word = " or " if isinstance(node, GuardOr) else " and "
        return word.join(_text(part, binding + 1) for part in node.operands)
    if isinstance(node, GuardNot):
        return f"not {_text(node.expr, binding)}"
    if isinstance(node, GuardCompare):
        sign = COMPARISON_OPERATORS[node.op]
        return f"{_text(node.left, binding + 1)} {sign} {_text(node.right, binding + 1)}"
    if isinstance(node, Arithmetic):
        sign = ARITHMETIC_OPERATORS[node.op]
        return f"{_text(node.left, binding)} {sign} {_text(node.right, binding + 1)}"
    if isinstance(node, Negate):
        return f"-{_text(node.expr, binding)}"
    if isinstance(node, GuardIn):
        return (
            f"{_text(node.expr, binding + 1)} in [{', '.join(_literal(option) for option in node.options)}]"
        )
    if isinstance(node, GuardNullcheck):
        return f"{_text(node.expr, binding + 1)} is {'null' if node.is_null else 'not null'}"
    return _atom(node)


def _atom(node: GuardExpression) -> str:
    if isinstance(node, GuardTrue):
        return "else"
    if isinstance(node, GuardFalse):
        return "false"
    if isinstance(node, GuardRef):
        return node.name
    if isinstance(node, ValueRef):
        return _literal(node)
    assert isinstance(node, VariableRef)
    return ".".join(node.path[1:]) if node.root == "ctx" and len(node.path) > 1 else str(node)


def _literal(node: ValueRef) -> str:
    if node.type == "null":
        return "null"
    if node.type == "boolean":
        return "true" if node.value else "false"
    if node.type == "string":
        return '"' + str(node.value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(node.value)


def duration_text(delay_ms: int) -> str:
    """A delay in the largest unit that divides it.

    Example:
        >>> [duration_text(delay) for delay in (1500, 30_000, 7_200_000)]
        ['1500ms', '30s', '2h']
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if delay_ms and delay_ms % size == 0:
            return f"{delay_ms // size}{unit}"
    return f"{delay_ms}ms"


def arrows(machine: MachineDef) -> Iterator[Arrow]:
    """The rows of the transition table in document order, then what follows from states."""
    histories = {item.path for item in machine.walk() if isinstance(item, StateDef) and item.history}
    for row in machine.transitions:
        parts = [row.event or ("default" if row.source in histories else "")]
        if row.guard is not None:
            parts.append(f"[{guard_text(row.guard)}]")
        if row.action is not None:
            parts.append(f"/ {row.action}")
        kind: ArrowKind = "event" if row.event else "eventless"
        yield Arrow(row.source, row.target, " ".join(part for part in parts if part), kind)
    for item in machine.walk():
        if isinstance(item, RegionDef):
            continue
        if item.timeout is not None:
            yield Arrow(
                item.path, item.timeout.target, f"after {duration_text(item.timeout.delay_ms)}", "timeout"
            )
        if item.on_done is not None:
            yield _outcome(item.path, item.on_done, "done")
        if item.on_error is not None:
            yield _outcome(item.path, item.on_error, "error")


def _outcome(path: str, outcome: OutcomeRef, kind: Literal["done", "error"]) -> Arrow:
    if outcome.kind == "state":
        return Arrow(path, outcome.name, f"on_{kind}", kind)
    return Arrow(path, None, f"on_{kind} / raise {outcome.name}", kind)


def inner_lines(machine: MachineDef) -> dict[str, list[str]]:
    """For each state the lines inside its box: entry, exit, invoked machine, internal transitions."""
    found: dict[str, list[str]] = {}
    for item in machine.walk():
        lines = found.setdefault(item.path, [])
        if isinstance(item, RegionDef):
            continue
        if item.on_entry is not None:
            lines.append(f"entry / {item.on_entry}")
        if item.on_exit is not None:
            lines.append(f"exit / {item.on_exit}")
        if item.invoke is not None:
            lines.append(f"invoke {item.invoke.machine}")
        if item.ignore:
            lines.append(f"ignore {', '.join(item.ignore)}")
    found.setdefault(ANY_STATE, [])
    for arrow in arrows(machine):
        if arrow.target is None:
            found[arrow.source].append(arrow.label)
    return found


def node_ids(machine: MachineDef) -> dict[str, str]:
    """A name for each state and region that every diagram language accepts, unique within the machine.

    Dots become underscores; where two paths would meet, a number keeps them apart.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for item in machine.walk():
        base = "s_" + item.path.replace(".", "_")
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        found[item.path] = name
    return found
