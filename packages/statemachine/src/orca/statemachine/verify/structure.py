"""States that nothing reaches or leaves, names that nothing uses, events that nothing handles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orca.statemachine.engine import Kind
from orca.statemachine.expr import GuardRef
from orca.statemachine.model import ANY_EVENT, ANY_STATE, Invariant
from orca.statemachine.verify.analysis import is_open
from orca.statemachine.verify.domains import expand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.verify.analysis import Analysis

_NAMED_MAX: Final = 6
"""Events that one message names."""

__all__ = ["check_names", "check_structure"]

_LOOKED_AT_MAX: Final = 20_000
"""Configurations in which unhandled events are looked for: a warning, not a proof."""


def check_structure(analysis: Analysis) -> None:
    """Reachability of states, dead ends, runs without end, unhandled events."""
    _unreachable(analysis)
    _dead_ends(analysis)
    _endless(analysis)
    _unhandled(analysis)


def _unreachable(analysis: Analysis) -> None:
    touched, possible = analysis.space.touched(), analysis.loose.touched()
    hidden: set[str] = set()
    for path, item in analysis.items.items():
        if item.history is not None or touched & analysis.bit(path):
            continue
        if path.rpartition(".")[0] in hidden:
            hidden.add(path)
            continue
        if possible & analysis.bit(path) or not analysis.complete:
            analysis.undecided.append(f"whether `{path}` can be reached")
            continue
        hidden.add(path)
        hidden.update(f"{path}.{region.name}" for region in (item.parallel.regions if item.parallel else ()))
        analysis.report(
            "UNREACHABLE_STATE",
            f"state `{path}` is never entered",
            item.span,
            suggestion="add a transition that leads to it, or remove it",
        )


def _dead_ends(analysis: Analysis) -> None:
    """Configurations that nothing leads out of, one finding for each set of leaves."""
    space = analysis.space
    shown: set[str] = set()
    for at in space.dead_ends():
        leaves = analysis.plan.describe(space.states(at))
        if leaves in shown or _may_go_on(analysis, at):
            continue
        shown.add(leaves)
        open_leaves = [
            analysis.plan.nodes[state].path
            for state in space.states(at)
            if analysis.plan.nodes[state].kind is Kind.ATOMIC
        ]
        first = analysis.items[(open_leaves or leaves.split(", "))[0]]
        analysis.report(
            "DEADLOCK",
            f"nothing leads out of `{leaves}`, and the machine is not done",
            first.span,
            suggestion="add a transition, or mark the state [final]",
            way=space.way_to(at),
        )


def _may_go_on(analysis: Analysis, at: int) -> bool:
    """Whether a guard that is not decided, or an endless run, leads out of a configuration."""
    if any(source == at for source, _ in analysis.space.livelocks):
        return True
    around = {analysis.plan.nodes[state].path for state in analysis.space.states(at)} | {ANY_STATE}
    if any(row.source in around for row in analysis.blurred):
        analysis.undecided.append(
            f"whether anything leads out of `{analysis.plan.describe(analysis.space.states(at))}`"
        )
        return True
    return False


def _endless(analysis: Analysis) -> None:
    shown: set[str] = set()
    for at, edge in analysis.space.livelocks:
        place = analysis.plan.describe(analysis.space.states(at)) if at >= 0 else "the start"
        if place in shown:
            continue
        shown.add(place)
        way = [*(analysis.space.way_to(at) if at >= 0 else []), edge]
        what = f"`{edge.event}` in `{place}`" if at >= 0 else "the start"
        state = analysis.plan.nodes[analysis.space.states(at)[-1]].path if at >= 0 else ""
        analysis.report(
            "LIVELOCK",
            f"{what} never becomes stable: eventless transitions or raised events lead in a circle",
            analysis.items[state].span if state in analysis.items else None,
            suggestion="put a guard on one of the transitions of the circle",
            way=way,
        )


def _unhandled(analysis: Analysis) -> None:
    """Declared events that a simple state neither handles nor ignores, in some configuration."""
    machine, plan, space = analysis.machine, analysis.plan, analysis.space
    rows = {row.event for row in machine.transitions if row.event is not None}
    events = tuple(machine.events) or tuple(sorted(rows))
    handled = {index: _chain(analysis, index) for index in range(len(plan.nodes))}
    missing: dict[str, set[str]] = {}
    for at in range(min(space.expanded, _LOOKED_AT_MAX)):
        leaves = [state for state in space.states(at) if plan.nodes[state].kind in {Kind.ATOMIC, Kind.FINAL}]
        taken = set[str]().union(*(handled[leaf] for leaf in leaves))
        if ANY_EVENT in taken or space.is_done(at):
            continue
        for leaf in leaves:
            if plan.nodes[leaf].kind is Kind.ATOMIC:
                missing.setdefault(plan.nodes[leaf].path, set()).update(e for e in events if e not in taken)
    for path, names in missing.items():
        if names:
            every = [f"`{name}`" for name in events if name in names]
            more = [f"{len(every) - _NAMED_MAX} more"] if len(every) > _NAMED_MAX else []
            listed = ", ".join([*every[:_NAMED_MAX], *more])
            analysis.report(
                "INCOMPLETE_EVENT_HANDLING",
                f"state `{path}` does not handle {listed}",
                analysis.items[path].span,
                suggestion="add transitions, or `ignore` what should be dropped",
            )


def _chain(analysis: Analysis, index: int) -> set[str]:
    found: set[str] = set()
    while index >= 0:
        node = analysis.plan.nodes[index]
        found |= set(node.arcs) | node.ignore
        index = node.parent
    return found


def check_names(analysis: Analysis) -> None:
    """Declarations that nothing uses, effects that nothing declares, events both handled and ignored."""
    machine = analysis.machine
    used_events = {row.event for row in machine.transitions}
    used_actions = {row.action for row in machine.transitions}
    for item in analysis.items.values():
        used_events |= set(item.ignore)
        used_events |= {end.name for end in (item.on_done, item.on_error) if end and end.kind == "event"}
        used_actions |= {item.on_entry, item.on_exit}
    for event in machine.event_defs:
        if event.name not in used_events:
            analysis.report(
                "ORPHAN_EVENT", f"event `{event.name}` is declared, but no transition takes it", event.span
            )
    for action in machine.actions:
        if action.name not in used_actions:
            analysis.report(
                "ORPHAN_ACTION", f"action `{action.name}` is declared, but nothing runs it", action.span
            )
    used_effects = {action.effect_type for action in machine.actions}
    declared = {effect.name for effect in machine.effects}
    for effect in machine.effects:
        if effect.name not in used_effects:
            analysis.report(
                "ORPHAN_EFFECT", f"effect `{effect.name}` is declared, but no action has it", effect.span
            )
    for action in machine.actions:
        if action.effect_type is not None and action.effect_type not in declared:
            analysis.report(
                "UNDECLARED_EFFECT",
                f"action `{action.name}` has the effect `{action.effect_type}`, which is not declared",
                action.span,
                suggestion=f"declare `{action.effect_type}` under effects",
            )
    _guards(analysis)
    _ignored(analysis)


def _guards(analysis: Analysis) -> None:
    machine = analysis.machine
    used = {name for row in machine.transitions if row.guard for name in _names(analysis, row.guard)}
    for item in machine.properties:
        used |= set(_names(analysis, item.expression)) if isinstance(item, Invariant) else set()
    for guard in machine.guard_defs:
        if guard.name not in used:
            analysis.report(
                "UNUSED_GUARD", f"guard `{guard.name}` is declared, but nothing uses it", guard.span
            )


def _names(analysis: Analysis, expression: GuardExpression) -> Iterator[str]:
    for node in expand(expression, analysis.machine.guards):
        if isinstance(node, GuardRef):
            yield node.name


def _ignored(analysis: Analysis) -> None:
    """Events that a state ignores although it always handles them: the ignore has no say."""
    for item in analysis.items.values():
        for row in analysis.machine.transitions:
            if row.source == item.path and row.event in item.ignore and is_open(row.guard):
                analysis.report(
                    "IGNORE_AND_HANDLE",
                    f"state `{item.path}` ignores `{row.event}` and handles it too; it is handled",
                    row.span or item.span,
                    suggestion=f"remove `{row.event}` from ignore",
                )
