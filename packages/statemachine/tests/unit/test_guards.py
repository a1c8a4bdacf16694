"""Guards: three-valued evaluation, no way to attributes, bounds."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType

import pytest

from orca.statemachine.expr import (
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
    walk,
)
from orca.statemachine.guards import (
    MAX_GUARD_DEPTH,
    GuardError,
    Unknown,
    compile_guard,
    compile_guards,
    compile_value,
)

X = VariableRef(("ctx", "x"))
Y = VariableRef(("ctx", "y"))
TRUE, FALSE = GuardTrue(), GuardFalse()
UNKNOWN = GuardCompare("lt", VariableRef(("ctx", "missing")), ValueRef("number", 1))


def number(value: float) -> ValueRef:
    return ValueRef("number", value)


def verdict(node: GuardExpression, payload: object = None, **context: object) -> bool | None:
    return compile_guard(node).explain(context, payload)[0]


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        ("lt", 1, 2, True),
        ("lt", 2, 2, False),
        ("le", 2, 2.0, True),
        ("gt", "b", "a", True),
        ("ge", Decimal("1.5"), 1, True),
        ("lt", None, 1, None),
        ("lt", "1", 2, None),
        ("lt", True, 2, None),
        ("lt", [1], [2], None),
        ("ge", object(), object(), None),
        ("eq", None, None, True),
        ("eq", True, 1, False),
        ("eq", 1, 1.0, True),
        ("eq", "1", 1, False),
        ("ne", None, 0, True),
        ("eq", [1, {"a": "b"}], (1, {"a": "b"}), True),
        ("eq", [1], [True], False),
        ("eq", [1], [1, 2], False),
        ("eq", {"a": 1}, {"b": 1}, False),
        ("eq", {"a": 1}, MappingProxyType({"a": 1}), True),
    ],
)
def test_comparisons(op: str, left: object, right: object, expected: bool | None) -> None:
    assert verdict(GuardCompare(op, X, Y), x=left, y=right) is expected  # type: ignore[arg-type]


def test_a_list_is_equal_to_itself_even_when_it_holds_itself() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert verdict(GuardCompare("eq", X, Y), x=loop, y=loop) is True


def test_foreign_objects_are_equal_only_when_they_are_one() -> None:
    class Same:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("a guard called a method of the program")

        __hash__ = None  # type: ignore[assignment]

        def __bool__(self) -> bool:
            raise AssertionError("a guard called a method of the program")

    one, two = Same(), Same()
    assert verdict(GuardCompare("eq", X, Y), x=one, y=one) is True
    assert verdict(GuardCompare("eq", X, Y), x=one, y=two) is False
    assert verdict(X, x=one) is True


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (GuardNot(UNKNOWN), None),
        (GuardNot(TRUE), False),
        (GuardAnd((UNKNOWN, FALSE)), False),
        (GuardAnd((UNKNOWN, TRUE)), None),
        (GuardAnd((TRUE, TRUE)), True),
        (GuardOr((UNKNOWN, TRUE)), True),
        (GuardOr((UNKNOWN, FALSE)), None),
        (GuardOr((FALSE, FALSE)), False),
        (GuardCompare("eq", UNKNOWN, TRUE), None),
        (GuardCompare("eq", TRUE, UNKNOWN), None),
        (GuardCompare("lt", UNKNOWN, number(1)), None),
        (GuardCompare("lt", number(1), UNKNOWN), None),
        (GuardNullcheck(UNKNOWN, is_null=True), None),
        (GuardIn(UNKNOWN, (number(1),)), None),
    ],
)
def test_three_values(node: GuardExpression, expected: bool | None) -> None:
    assert verdict(node) is expected
    assert compile_guard(node)({}) is (expected is True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        (0, False),
        (0.0, False),
        (3, True),
        ("", False),
        ("no", True),
        ([], False),
        ({"a": None}, True),
        (True, True),
        (Decimal(0), False),
    ],
)
def test_a_bare_path_is_its_truth(value: object, expected: bool) -> None:
    assert verdict(X, x=value) is expected


def test_only_mappings_are_traversed() -> None:
    class Thing:
        secret = "s"

    deep = VariableRef(("ctx", "x", "secret"))
    assert compile_value(deep)({"x": Thing()}, None) is None
    assert compile_value(VariableRef(("ctx", "x", "__class__")))({"x": 1}, None) is None
    assert compile_value(deep)({"x": {"secret": 5}}, None) == 5
    assert compile_value(VariableRef(("event", "a")))({}, {"a": 1}) == 1
    assert compile_value(VariableRef(("event", "a")))({}, None) is None
    assert compile_value(VariableRef(("event",)))({}, 7) == 7


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        ("add", 1, 2, 3),
        ("sub", 1, 2, -1),
        ("mul", 2, 2.5, 5.0),
        ("div", 1, 2, 0.5),
        ("mod", 7, 4, 3),
    ],
)
def test_arithmetic(op: str, left: float, right: float, expected: float) -> None:
    assert compile_value(Arithmetic(op, X, Y))({"x": left, "y": right}, None) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "left", "right", "reason"),
    [
        ("div", 1, 0, "1 / 0 has no answer"),
        ("add", None, 1, "null + 1 has no answer"),
        ("add", "a", "b", "'a' + 'b' has no answer"),
        ("add", True, 1, "true + 1 has no answer"),
        ("div", 10**400, 3, "..."),
        ("add", Decimal(1), 0.5, "Decimal('1') + 0.5 has no answer"),
        ("add", [1], {}, "a list + a map has no answer"),
    ],
)
def test_arithmetic_without_an_answer(op: str, left: object, right: object, reason: str) -> None:
    result = compile_value(Arithmetic(op, X, Y))({"x": left, "y": right}, None)  # type: ignore[arg-type]
    assert isinstance(result, Unknown)
    assert reason in str(result)
    assert repr(result).startswith("Unknown(")


def test_the_reason_names_what_was_unknown_first() -> None:
    inner = Arithmetic("add", X, number(1))
    node = GuardCompare("lt", Arithmetic("mul", inner, number(2)), number(9))
    assert compile_guard(node).explain({"x": None}) == (None, "null + 1 has no answer")
    flipped = GuardCompare("lt", Arithmetic("mul", number(2), inner), number(9))
    assert compile_guard(flipped).explain({"x": None}) == (None, "null + 1 has no answer")


def test_negation_of_numbers_only() -> None:
    assert compile_value(Negate(X))({"x": 4}, None) == -4
    assert verdict(GuardCompare("lt", Negate(X), number(0)), x=True) is None
    assert verdict(GuardCompare("lt", Negate(X), number(0)), x="4") is None


def test_membership_and_null() -> None:
    node = GuardIn(X, (number(1), ValueRef("string", "a"), ValueRef("null", None)))
    assert [verdict(node, x=value) for value in (1, "a", None, True, 2)] == [True, True, True, False, False]
    assert verdict(GuardNullcheck(X, is_null=True)) is True
    assert verdict(GuardNullcheck(X, is_null=False), x=0) is True


def test_named_guards() -> None:
    guards = compile_guards(
        {
            "both": GuardAnd((GuardRef("low"), GuardRef("given"))),
            "low": GuardCompare("lt", X, number(3)),
            "given": FALSE,
        },
        {"given": lambda context, payload: 1},
    )
    guard = compile_guard(GuardRef("both"), guards)
    assert guard({"x": 2}) is True
    assert guard({"x": 4}) is False
    assert guard.explain({}) == (None, "null < 3 has no answer")


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        ({"a": GuardRef("b"), "b": GuardNot(GuardRef("a"))}, "a circle: a -> b -> a"),
        ({"a": GuardRef("a")}, "a circle: a -> a"),
        ({"a": GuardRef("b")}, "`b` is not declared"),
    ],
)
def test_named_guards_that_cannot_be(expressions: dict[str, GuardExpression], message: str) -> None:
    with pytest.raises(GuardError, match=message):
        compile_guards(expressions)


def test_what_cannot_be_compiled() -> None:
    with pytest.raises(GuardError, match="`b` is not declared"):
        compile_guard(GuardRef("b"))
    with pytest.raises(GuardError, match="not resolved"):
        compile_guard(VariableRef(("health",)))
    with pytest.raises(GuardError, match="not an expression"):
        compile_guard(GuardExpression())


def test_the_bound_on_nesting() -> None:
    node: GuardExpression = X
    for _ in range(MAX_GUARD_DEPTH - 1):
        node = GuardNot(node)
    assert verdict(node, x=1) is not None
    with pytest.raises(GuardError, match="nested deeper"):
        compile_guard(GuardNot(node))
    chain = {f"g{i}": GuardNot(GuardRef(f"g{i + 1}")) for i in range(MAX_GUARD_DEPTH)}
    with pytest.raises(GuardError, match="nested deeper"):
        compile_guards(chain | {f"g{MAX_GUARD_DEPTH}": X})


def test_a_long_chain_is_one_level() -> None:
    node = GuardOr(tuple(GuardCompare("eq", X, number(i)) for i in range(5000)))
    assert verdict(node, x=4999) is True
    assert len(list(walk(node))) == 15001
    assert node.left == node.operands[0]
    assert node.right == GuardOr(node.operands[1:])
    pair = GuardAnd((TRUE, FALSE))
    assert (pair.left, pair.right) == (TRUE, FALSE)
    triple = GuardAnd((TRUE, FALSE, TRUE))
    assert triple.right == GuardAnd((FALSE, TRUE))
    assert GuardOr((TRUE, FALSE)).right == FALSE
