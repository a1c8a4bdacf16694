"""Cells of decision tables, how findings are shown, and handler stubs."""

from __future__ import annotations

import pytest

from orca.statemachine._cells import BadCell, parse_cell, parse_domain, parse_output
from orca.statemachine.diagnostics import Diagnostic, Edit, Related, apply_edits, render, worst
from orca.statemachine.loading import parse_orca
from orca.statemachine.model import TypeRef, freeze, thaw
from orca.statemachine.span import SourceText
from orca.statemachine.stubs import function_name, json_schema, python_stubs, python_type
from orca.statemachine.tables import AnyCell, ConditionDef, OutputDef, RangeCell, SetCell

TOTAL = ConditionDef("total", "int_range", low=0, high=1000)
TIER = ConditionDef("tier", "enum", values=("gold", "silver"))


@pytest.mark.parametrize(
    ("condition", "text", "expected"),
    [
        (TOTAL, "", AnyCell()),
        (TOTAL, "-", AnyCell()),
        (TOTAL, "100+", RangeCell(low=100)),
        (TOTAL, ">=100", RangeCell(low=100)),
        (TOTAL, "> 100", RangeCell(low=100, low_open=True)),
        (TOTAL, "<=5", RangeCell(high=5)),
        (TOTAL, "<5", RangeCell(high=5, high_open=True)),
        (TOTAL, "5..10", RangeCell(5, 10)),
        (TOTAL, "5-10", RangeCell(5, 10)),
        (TOTAL, "5", SetCell((5,))),
        (TOTAL, "5, 7", SetCell((5, 7))),
        (TOTAL, "!5", SetCell((5,), negated=True)),
        (ConditionDef("x", "decimal_range"), "-1.5..2", RangeCell(-1.5, 2.0)),
        (ConditionDef("x", "int_range"), "-5--2", RangeCell(-5, -2)),
        (ConditionDef("x", "int_range"), "-5", SetCell((-5,))),
        (ConditionDef("x", "int_range"), "-5+", RangeCell(low=-5)),
        (ConditionDef("s", "string"), "it's, a-b, -", SetCell(("it's", "a-b", "-"))),
        (ConditionDef("s", "string"), "!a, !b", SetCell(("a", "!b"), negated=True)),
        (ConditionDef("ok", "bool"), "!TRUE", SetCell((True,), negated=True)),
        (TIER, "gold", SetCell(("gold",))),
        (TIER, "!gold", SetCell(("gold",), negated=True)),
        (TIER, "gold,silver", SetCell(("gold", "silver"))),
        (ConditionDef("ok", "bool"), "yes", SetCell((True,))),
        (ConditionDef("s", "string"), '"a, b"', SetCell(("a, b",))),
    ],
)
def test_cells(condition: ConditionDef, text: str, expected: object) -> None:
    assert parse_cell(condition, text) == expected


@pytest.mark.parametrize(
    ("condition", "text", "message"),
    [
        (TOTAL, "10..5", "is empty"),
        (TOTAL, "1.5", "not a whole number"),
        (TOTAL, "2000", "outside of 0..1000"),
        (TOTAL, "!1..2", "cannot be negated"),
        (TIER, "bronze", "not one of gold, silver"),
        (ConditionDef("ok", "bool"), "maybe", "not true or false"),
        (ConditionDef("s", "string"), '"open', "quote is not closed"),
        (ConditionDef("s", "string"), "a,,b", "not a list of values"),
        (ConditionDef("s", "string"), '"a" b', "those with commas or quotes stand in quotes"),
        (TOTAL, "5,,7", "not a number, a list of numbers or a range"),
        (TOTAL, "1..2..3", "not a number"),
        (TOTAL, "1" * 31, "not a number"),
        (TOTAL, "!", "not a number"),
        (ConditionDef("ok", "bool"), "truely", "not true or false"),
    ],
)
def test_cells_that_cannot_be_read(condition: ConditionDef, text: str, message: str) -> None:
    with pytest.raises(BadCell, match=message):
        parse_cell(condition, text)


def test_domains_and_outputs() -> None:
    assert parse_domain("int_range", "0..9") == ((), 0, 9)
    assert parse_domain("bool", "true, false") == ((), None, None)
    with pytest.raises(BadCell, match="not a range"):
        parse_domain("int_range", "many")
    assert parse_output(OutputDef("a", "bool"), "no") is False
    assert parse_output(OutputDef("a", "decimal"), "2") == 2.0
    assert parse_output(OutputDef("a"), "two words") == "two words"
    assert parse_output(OutputDef("a"), "-") is None
    with pytest.raises(BadCell, match="not one of x, y"):
        parse_output(OutputDef("a", "enum", values=("x", "y")), "z")
    assert parse_domain("enum", 'gold, "a, b", silver') == (("gold", "a, b", "silver"), None, None)
    with pytest.raises(BadCell, match="not a whole number"):
        parse_output(OutputDef("a", "int"), "1.5")
    with pytest.raises(BadCell, match="not true or false"):
        parse_output(OutputDef("a", "bool"), "perhaps")


@pytest.mark.parametrize("text", ["", " ", "-", "_", "*"])
@pytest.mark.parametrize("condition", [TOTAL, TIER, ConditionDef("ok", "bool"), ConditionDef("s", "string")])
def test_empty_cells_say_any_value_in_every_column(condition: ConditionDef, text: str) -> None:
    assert parse_cell(condition, text) == AnyCell()


def test_a_finding_as_a_compiler_shows_it() -> None:
    source = SourceText("one\n\ttwo three\n" + "x" * 900 + "!\n", "f.orca")
    related = (Related("the first one", source.span(0, 3)),)
    found = Diagnostic("SYNTAX", "error", "wrong", "f.orca", source.span(9, 14), "mend it", (), related)
    assert render(found, source).split("\n")[3:] == [
        "2 | \ttwo three",
        "  | \t    ^^^^^ mend it",
        "  = the first one (1:1)",
    ]
    far = render(Diagnostic("SYNTAX", "error", "wrong", "f.orca", source.span(915, 916)), source)
    assert all(len(line) < 220 for line in far.split("\n"))
    assert render(Diagnostic("SYNTAX", "warning", "no place", "f.orca", None, "do this")).endswith(
        "= do this"
    )
    assert render(found).split("\n")[2].strip() == "= mend it"
    assert worst([found, Diagnostic("A", "warning", "")]) == "error"
    assert worst([]) is None


def test_edits_that_overlap_are_not_both_made() -> None:
    edits = [Edit(0, 3, "a"), Edit(1, 2, "b"), Edit(3, 3, "!"), Edit(0, 3, "a")]
    assert apply_edits("xyz.", edits) == "a!."


def test_values_freeze_and_thaw() -> None:
    value = {"a": [1, {"b": None}]}
    frozen = freeze(value)
    assert thaw(frozen) == value
    assert thaw(frozen) is not value
    with pytest.raises(TypeError, match="object is not a JSON value"):
        freeze(object())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, "Any"),
        (TypeRef("int"), "int"),
        (TypeRef("map", (TypeRef("string"), TypeRef("decimal"))), "dict[str, float]"),
        (TypeRef("enum", (TypeRef("a"), TypeRef("b"))), "Literal['a', 'b']"),
        (TypeRef("Order", optional=True), "Any"),
        (TypeRef("string", optional=True), "str | None"),
    ],
)
def test_types_in_python(kind: TypeRef | None, expected: str) -> None:
    assert python_type(kind) == expected


def test_stubs_are_deterministic_and_run() -> None:
    text = """machine Shop
    context { class: string = "a"  tier: enum<gold, silver>?  m: map<string, int> }
    state a [initial]
    actions { import: (ctx) -> Context + Effect<Pay>  sendMail: () -> Context }
    effects { Pay: { amount: int } -> { id: string } }
    """
    machine = parse_orca(text)
    stubs = python_stubs(machine)
    assert stubs == python_stubs(parse_orca(text))
    namespace: dict[str, object] = {}
    exec(compile(stubs, "stubs", "exec"), namespace)
    assert {"import_", "send_mail", "effect_pay", "ShopContext", "PayInput", "register"} <= set(namespace)
    assert function_name("register") == "register_"
    schema = json_schema(machine)["$defs"]["context"]["properties"]
    assert schema["class"] == {"type": "string", "default": "a"}
    assert schema["tier"] == {"anyOf": [{"type": "string", "enum": ["gold", "silver"]}, {"type": "null"}]}
    assert schema["m"] == {"type": "object", "additionalProperties": {"type": "integer"}}
