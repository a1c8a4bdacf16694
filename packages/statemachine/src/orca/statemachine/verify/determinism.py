"""Rows of one source and event: which of them can never be taken, which hold together, which leave a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.model import ANY_STATE
from orca.statemachine.outputs._labels import guard_text
from orca.statemachine.verify.analysis import is_open

if TYPE_CHECKING:
    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.model import Transition
    from orca.statemachine.verify.analysis import Analysis

__all__ = ["check_determinism"]


def check_determinism(analysis: Analysis) -> None:
    """Look at the rows of each source and event, in document order."""
    groups: dict[tuple[str, str | None], list[Transition]] = {}
    for row in analysis.machine.transitions:
        item = analysis.items.get(row.source)
        if item is None or item.history is None:
            groups.setdefault((row.source, row.event), []).append(row)
    for rows in groups.values():
        hidden = _hidden_rows(analysis, rows)
        _overlaps(analysis, [row for row in rows if not any(row is other for other in hidden)])
        _holes(analysis, rows)


def _what(row: Transition) -> str:
    source = "any state" if row.source == ANY_STATE else f"`{row.source}`"
    return f"{source} on `{row.event}`" if row.event else f"{source} without event"


def _guard(row: Transition) -> GuardExpression:
    assert row.guard is not None
    return row.guard


def _hidden_rows(analysis: Analysis, rows: list[Transition]) -> list[Transition]:
    """Rows that are never taken because earlier ones always are."""
    hidden: list[Transition] = []
    for place, row in enumerate(rows):
        wide = next((other for other in rows[:place] if is_open(other.guard)), None)
        where = f"line {wide.span.line}" if wide is not None and wide.span is not None else "an earlier row"
        if wide is not None and is_open(row.guard):
            hidden.append(row)
            analysis.report(
                "NON_DETERMINISTIC",
                f"{_what(row)} has two transitions without guard; the first one ({where}) is always taken",
                row.span,
                suggestion="give each a guard, or remove one",
            )
        elif wide is not None:
            hidden.append(row)
            analysis.report(
                "SHADOWED_TRANSITION",
                f"{_what(row)} [{guard_text(_guard(row))}] is never taken: {where} has no guard and comes first",
                row.span,
                suggestion="move the guarded transition before the one without guard",
            )
        elif place and not is_open(row.guard):
            _covered(analysis, rows[:place], row, hidden)
    return hidden


def _covered(
    analysis: Analysis, earlier: list[Transition], row: Transition, hidden: list[Transition]
) -> None:
    """A guarded row whose guard implies that one of the earlier guards holds."""
    decider = analysis.decider
    free = decider.find([(_guard(row), True), *((_guard(other), False) for other in earlier)])
    if free.values is not None:
        return
    if not free.decided:
        analysis.undecided.append(f"whether {_what(row)} [{guard_text(_guard(row))}] is ever taken")
    elif decider.find([(_guard(row), True)]).values is not None:
        hidden.append(row)
        analysis.report(
            "SHADOWED_TRANSITION",
            f"{_what(row)} [{guard_text(_guard(row))}] is never taken: earlier guards hold whenever it does",
            row.span,
            suggestion="move the narrower guard first, or remove it",
        )


def _overlaps(analysis: Analysis, rows: list[Transition]) -> None:
    """Pairs of guards that hold together, with values that show it."""
    guarded = [row for row in rows if not is_open(row.guard)]
    for place, row in enumerate(guarded):
        for other in guarded[:place]:
            both = analysis.decider.find([(_guard(other), True), (_guard(row), True)])
            texts = f"[{guard_text(_guard(other))}] and [{guard_text(_guard(row))}]"
            if both.values is not None:
                analysis.report(
                    "OVERLAPPING_GUARDS",
                    f"{_what(row)}: {texts} can hold together; the first one is taken",
                    row.span,
                    suggestion="make them exclude each other, or rely on their order knowingly",
                    witness=both.values,
                )
            elif not both.decided:
                analysis.undecided.append(f"whether {_what(row)}: {texts} can hold together")


def _holes(analysis: Analysis, rows: list[Transition]) -> None:
    """Several guarded rows none of which may hold, with nothing around that takes the event then."""
    row = rows[0]
    if len(rows) < 2 or row.event is None or any(is_open(other.guard) for other in rows):
        return
    if _has_fallback(analysis, row):
        return
    hole = analysis.decider.find([(_guard(other), False) for other in rows])
    if hole.values is not None:
        analysis.report(
            "GUARD_EXHAUSTIVENESS",
            f"{_what(row)}: no guard of its {len(rows)} transitions may hold, then the event is lost",
            row.span,
            suggestion="add a transition with [else]",
            witness=hole.values,
        )
    elif not hole.decided:
        analysis.undecided.append(f"whether one guard of {_what(row)} always holds")


def _has_fallback(analysis: Analysis, row: Transition) -> bool:
    """Whether a state around the source, or every state, takes or drops the event."""
    around = [row.source] if row.source != ANY_STATE else []
    while around and "." in around[-1]:
        around.append(around[-1].rpartition(".")[0])
    dropped = any(
        {row.event, "*"} & set(analysis.items[path].ignore) for path in around if path in analysis.items
    )
    outer = {*around[1:], ANY_STATE} - {row.source}
    return dropped or any(
        other.source in outer and other.event == row.event for other in analysis.machine.transitions
    )
