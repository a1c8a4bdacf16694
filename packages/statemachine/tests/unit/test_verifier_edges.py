"""The verifier at its edges: open questions about every property, sources that are never entered, odd guards."""

from __future__ import annotations

from sample_machines import compare, ctx, field, flat, number

from orca.statemachine.expr import (
    Arithmetic,
    GuardCompare,
    GuardIn,
    GuardNullcheck,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
)
from orca.statemachine.model import (
    Invariant,
    Live,
    PassesThrough,
    Reachable,
    Responds,
    Transition,
    Unreachable,
)
from orca.statemachine.outputs._javascript import javascript
from orca.statemachine.verify import Options, verify

INT = (field("n", "int", 0),)
PRIME = 7919
NEVER = GuardCompare("eq", Arithmetic("mul", ctx("n"), ctx("n")), number(PRIME * 2))


def machine(*properties, **more):
    rows = (Transition("a", "go", "b"), Transition("b", "end", "c"), Transition("b", "odd", "d", NEVER))
    return flat("M", "a b c. d", *rows, fields=INT, properties=properties, **more)


def open_questions(*properties) -> str:
    report = verify([machine(*properties)])
    return " ".join(finding.message for finding in report.of("INCONCLUSIVE"))


def test_what_hangs_on_an_undecided_guard_is_an_open_question() -> None:
    assert "reachable: d from a" in open_questions(Reachable("d", "a"))
    assert "unreachable: d from a" in open_questions(Unreachable("d", "a"))
    assert "passes_through: c for a -> d" in open_questions(PassesThrough("c", "a", "d"))
    assert "responds: d from a" in open_questions(Responds("d", "a", 5))
    assert "invariant: n == 5" not in open_questions(Invariant(compare("n", "eq", 5), "c"))
    assert not verify([machine(Unreachable("a", "c"))]).of("PROPERTY_EXCLUSION_FAIL")


def test_with_the_budget_used_up_nothing_is_claimed() -> None:
    asked = (
        Live(),
        Reachable("c", "a"),
        Unreachable("c", "a"),
        PassesThrough("d", "b", "c"),
        Responds("c", "b", 9),
    )
    report = verify([machine(*asked)], options=Options(budget=1))
    assert not [finding for finding in report.findings if finding.code.startswith("PROPERTY")]
    assert "live" in report.of("INCONCLUSIVE")[0].message


def test_a_source_that_is_never_entered_is_named() -> None:
    rows = (Transition("a", "go", "b"), Transition("c", "back", "a"))
    report = verify([flat("M", "a b. c", *rows, properties=(Reachable("a", "c"),))])
    (failed,) = report.of("PROPERTY_REACHABILITY_FAIL")
    assert "`c` itself is never entered" in failed.message
    assert failed.trace is None


def test_a_missing_answer_says_whether_it_is_late_or_never_comes() -> None:
    rows = (Transition("a", "go", "b"), Transition("b", "go", "c"), Transition("a", "out", "d"))
    made = flat("M", "a b c. d.", *rows, properties=(Responds("c", "a", 1), Responds("a", "b", 3)))
    late, never = verify([made]).of("PROPERTY_RESPONSE_FAIL")
    assert late.message.endswith("it takes 2")
    assert never.message.endswith("no way leads there")


def test_guards_that_are_not_about_numbers_alone_are_open_or_decided() -> None:
    texts = (field("s", "string", "x"), field("t", "string", "y"), field("flag", "bool", False))
    ordered = GuardCompare("lt", ctx("s"), ValueRef("string", "m"))
    rows = (
        Transition("a", "one", "b", ordered),
        Transition("a", "two", "b", GuardCompare("eq", ctx("s"), ctx("t"))),
        Transition("a", "three", "b", GuardCompare("eq", ctx("flag"), ValueRef("boolean", True))),
        Transition("a", "four", "b", GuardNullcheck(Arithmetic("add", ctx("flag"), number(1)), is_null=True)),
        Transition("a", "five", "b", GuardCompare("eq", Arithmetic("sub", ctx("s"), ctx("s")), number(0))),
        Transition("a", "six", "b", GuardIn(Negate(VariableRef(("event", "k"))), (number(1), number(-2)))),
        Transition("a", "seven", "b", GuardCompare("gt", Arithmetic("mod", ctx("n"), number(3)), number(1))),
    )
    report = verify([flat("M", "a b.", *rows, fields=(*texts, *INT))])
    assert report.ok
    assert not report.of("UNREACHABLE_STATE")


def test_unsatisfiable_guards_leave_their_state_unreachable() -> None:
    both = GuardCompare("lt", Negate(ctx("n")), Negate(ctx("n")))
    report = verify(
        [flat("M", "a b. c.", Transition("a", "e", "b"), Transition("a", "f", "c", both), fields=INT)]
    )
    assert report.of("UNREACHABLE_STATE") or report.of("INCONCLUSIVE")


def test_javascript_of_every_kind_of_expression() -> None:
    kinds = {
        "true": GuardTrue(),
        "orca.isNull(orca.get(c, [\"n\"]), false)": GuardNullcheck(ctx("n"), is_null=False),
        "orca.neg(1)": Negate(number(1)),
        "orca.isIn(1, [1, null])": GuardIn(number(1), (number(1), ValueRef("null", None))),
    }  # fmt: skip
    for text, node in kinds.items():
        assert javascript(node, "c", "p") == text
