"""The properties that a machine declares, on its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from orca.statemachine.model import Invariant, Live, PassesThrough, Reachable, Responds, Unreachable
from orca.statemachine.outputs._labels import guard_text
from orca.statemachine.verify.paths import ACCEPT, Advance, distances, find_way

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.statemachine.verify.analysis import Analysis
    from orca.statemachine.verify.domains import Variable
    from orca.statemachine.verify.findings import Severity

__all__ = ["check_properties"]


def check_properties(analysis: Analysis) -> None:
    """Decide every declared property."""
    for item in analysis.machine.properties:
        if isinstance(item, Reachable):
            _reachable(analysis, item)
        elif isinstance(item, Unreachable):
            _unreachable(analysis, item)
        elif isinstance(item, PassesThrough):
            _passes(analysis, item)
        elif isinstance(item, Live):
            _live(analysis, item)
        elif isinstance(item, Responds):
            _responds(analysis, item)
        else:
            _invariant(analysis, item)


def _then(first: int, second: int) -> Advance:
    """Accepts when ``second`` is touched, ``first`` having been touched before or with it."""

    def advance(phase: int, touched: int) -> int:
        if phase or touched & first:
            return ACCEPT if touched & second else 1
        return 0

    return advance


def _around(first: int, avoided: int, second: int) -> Advance:
    """Accepts when ``second`` is touched after ``first`` without ``avoided`` in between."""

    def advance(phase: int, touched: int) -> int:
        if touched & avoided:
            return 0
        if phase or touched & first:
            return ACCEPT if touched & second else 1
        return 0

    return advance


def _reachable(analysis: Analysis, item: Reachable) -> None:
    source, target = analysis.bit(item.source), analysis.bit(item.target)
    if find_way(analysis.space, _then(source, target)) is not None:
        return
    if not analysis.complete or find_way(analysis.loose, _then(source, target)) is not None:
        analysis.undecided.append(f"reachable: {item.target} from {item.source}")
        return
    there = find_way(analysis.space, _then(source, source))
    hint = "" if there is not None else f" (`{item.source}` itself is never entered)"
    analysis.report(
        "PROPERTY_REACHABILITY_FAIL",
        f"`{item.target}` cannot be reached from `{item.source}`{hint}",
        item.span,
        suggestion="the trace leads to the source" if there is not None else "",
        way=there,
    )


def _unreachable(analysis: Analysis, item: Unreachable) -> None:
    advance = _then(analysis.bit(item.source), analysis.bit(item.target))
    way = find_way(analysis.space, advance)
    if way is not None:
        text = f"`{item.target}` can be reached from `{item.source}`"
        analysis.report("PROPERTY_EXCLUSION_FAIL", text, item.span, way=way)
    elif not analysis.complete or find_way(analysis.loose, advance) is not None:
        analysis.undecided.append(f"unreachable: {item.target} from {item.source}")


def _passes(analysis: Analysis, item: PassesThrough) -> None:
    advance = _around(analysis.bit(item.source), analysis.bit(item.via), analysis.bit(item.target))
    way = find_way(analysis.space, advance)
    if way is not None:
        text = f"a way from `{item.source}` to `{item.target}` does not pass through `{item.via}`"
        analysis.report("PROPERTY_PATH_FAIL", text, item.span, way=way)
    elif not analysis.complete or find_way(analysis.loose, advance) is not None:
        analysis.undecided.append(f"passes_through: {item.via} for {item.source} -> {item.target}")


def _live(analysis: Analysis, item: Live) -> None:
    space = analysis.space
    reach = distances(analysis.loose, analysis.loose.is_done)
    possible: dict[tuple[int, ...], bool] = {}
    if analysis.loose is not space:
        for at in range(analysis.loose.size):
            states = analysis.loose.states(at)
            possible[states] = possible.get(states, False) or reach[at] is not None
        reach = distances(space, space.is_done)
    for at in range(space.expanded):
        if reach[at] is None:
            if possible.get(space.states(at), False):
                analysis.undecided.append("live")
                return
            leaves = analysis.plan.describe(space.states(at))
            analysis.report(
                "PROPERTY_LIVENESS_FAIL",
                f"from `{leaves}` the machine can never be done",
                item.span,
                suggestion="add a way to a [final] state",
                way=space.way_to(at),
            )
            return
    if not space.complete:
        analysis.undecided.append("live")


def _responds(analysis: Analysis, item: Responds) -> None:
    space = analysis.space
    source, target = analysis.bit(item.source), analysis.bit(item.target)
    reach = distances(space, lambda at: bool(space.active(at) & target), touching=target)
    for at in range(space.expanded):
        steps = reach[at]
        if space.active(at) & source and (steps is None or steps > item.within):
            if analysis.blurred:
                analysis.undecided.append(f"responds: {item.target} from {item.source}")
                return
            needed = f"it takes {steps}" if steps is not None else "no way leads there"
            analysis.report(
                "PROPERTY_RESPONSE_FAIL",
                f"`{item.target}` is not reached from `{item.source}` within {item.within} events: {needed}",
                item.span,
                suggestion="the trace leads to where the answer is missing",
                way=space.way_to(at),
            )
            return
    if not space.complete:
        analysis.undecided.append(f"responds: {item.target} from {item.source}")


def _invariant(analysis: Analysis, item: Invariant) -> None:
    """Where the state is active the expression must hold, whatever the actions left in the context.

    A value that only an action or a context given at the start can have left is a warning: the verifier does not
    see what actions do. A default that breaks the invariant is an error.
    """
    space, decider = analysis.space, analysis.decider
    wanted = analysis.bit(item.state) if item.state is not None else -1
    names = decider.variables(item.expression)
    worst: tuple[int, Mapping[Variable, object]] | None = None
    for at in range(space.expanded):
        if not space.active(at) & wanted:
            continue
        fixed = {name: value for name, value in space.known(at).items() if name in names}
        broken = decider.find_with(item.expression, fixed, want=False)
        if broken is None:
            continue
        by_default = _defaults_break(analysis, item, at)
        if worst is None or by_default:
            worst = (at, broken)
        if by_default:
            break
    if worst is not None:
        at, values = worst
        surely = _defaults_break(analysis, item, at)
        severity: Severity = "error" if surely else "warning"
        known = space.known(at)
        final = {} if surely else {name: value for name, value in values.items() if name not in known}
        place = f" in `{item.state}`" if item.state is not None else ""
        reason = "" if surely else "; no guard on the way excludes it"
        analysis.report(
            "PROPERTY_INVARIANT_FAIL",
            f"`{guard_text(item.expression)}` need not hold{place}{reason}",
            item.span,
            suggestion="guard the transitions that lead there",
            way=space.way_to(at),
            final=final,
            witness=_default_values(analysis, item) if surely else values,
            severity=severity,
        )
    elif not analysis.complete or not decider.exact(item.expression):
        analysis.undecided.append(f"invariant: {guard_text(item.expression)}")


def _default_values(analysis: Analysis, item: Invariant) -> dict[Variable, object]:
    context = analysis.machine.context
    found: dict[Variable, object] = {}
    for name in analysis.decider.variables(item.expression):
        value: object = context
        for part in name[1:]:
            value = cast("Mapping[str, object]", value).get(part) if isinstance(value, dict) else None
        found[name] = value
    return found


def _defaults_break(analysis: Analysis, item: Invariant, at: int) -> bool:
    """Whether the defaults break it in a node that the start leads to without any action or chosen value."""
    way = analysis.space.way_to(at)
    if any(choice.kind in {"run", "value"} for edge in way for choice in edge.choices):
        return False
    return not analysis.decider.holds(item.expression, _default_values(analysis, item))
