"""The findings of the verifier about declared properties."""

from __future__ import annotations

from typing import Final

from orca.statemachine.catalogue.entry import Entry

__all__ = ["ENTRIES"]


def _order(declared: str, *, pay: str = "paid", more: str = "") -> str:
    return f"""
machine Order
context {{ amount: int = 1 }}
state open [initial] {{ ignore: SHIP }}
state paid {{ ignore: PAY, CANCEL }}
state shipped [final]
state cancelled [final]
transitions {{
    open + PAY -> {pay}
    open + CANCEL -> cancelled
    paid + SHIP -> shipped
{more}}}
properties {{
    {declared}
}}
"""


_STUCK: Final = (
    _order("live", more="    paid + LOSE -> lost\n    lost + SEARCH -> lost\n    open + LOSE -> open\n")
    .replace("state shipped", "state lost { ignore: PAY, CANCEL, SHIP, LOSE }\nstate shipped")
    .replace("ignore: SHIP }", "ignore: SHIP, SEARCH }")
    .replace("ignore: PAY, CANCEL }", "ignore: PAY, CANCEL, SEARCH }")
)

ENTRIES: Final = (
    Entry(
        "PROPERTY_REACHABILITY_FAIL",
        "a state cannot be reached from another",
        """`reachable: B from A` holds when some run enters B after A. No run does; the trace leads to A.""",
        _order("reachable: cancelled from paid"),
        _order("reachable: shipped from paid"),
    ),
    Entry(
        "PROPERTY_EXCLUSION_FAIL",
        "a state can be reached that must not be",
        "`unreachable: B from A` holds when no run enters B after A. The trace is a shortest run that does.",
        _order("unreachable: shipped from open"),
        _order("unreachable: cancelled from paid"),
    ),
    Entry(
        "PROPERTY_PATH_FAIL",
        "a way leaves out a state that it must pass through",
        """`passes_through: M for A -> B` holds when every run from A to B enters M in between. The trace
        is a shortest run
        that does not.""",
        _order("passes_through: paid for open -> shipped", more="    open + RUSH -> shipped\n").replace(
            "ignore: PAY, CANCEL", "ignore: PAY, CANCEL, RUSH"
        ),
        _order("passes_through: paid for open -> shipped"),
    ),
    Entry(
        "PROPERTY_LIVENESS_FAIL",
        "the machine may never be done",
        """`live` holds when a final state can be reached from every configuration. The trace leads to one
        from which none
        can.""",
        _STUCK,
        _STUCK.replace("lost + SEARCH -> lost", "lost + SEARCH -> paid"),
    ),
    Entry(
        "PROPERTY_RESPONSE_FAIL",
        "an answer takes too many events",
        """`responds: B from A within N` holds when from every configuration with A, B can be reached with
        at most N events.
        The trace leads to a configuration from which it cannot.""",
        _order("responds: shipped from open within 1"),
        _order("responds: shipped from open within 2"),
    ),
    Entry(
        "PROPERTY_INVARIANT_FAIL",
        "an invariant need not hold",
        """`invariant: expr in S` holds when the expression is true whenever S is active. The verifier does
        not see what
        actions do, so only guards on the way to S count: guard the transition that leads there. A default
        that breaks
        the invariant is an error, everything else a warning.""",
        _order("invariant: `amount > 0` in paid".replace("`", "")),
        _order("invariant: `amount > 0` in paid".replace("`", "")).replace(
            "open + PAY ->", "open + PAY [amount > 0] ->"
        ),
    ),
)
