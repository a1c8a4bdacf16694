"""Definitions made by hand, and those that the published shapes cannot say."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest

from orca.statemachine import model
from orca.statemachine import parse_orca as parse_model
from orca_runtime_python import parser, types
from orca_runtime_python.parser import DefinitionError, ParseError, from_model, parse_orca, to_model

RICH = """
machine Rich
context { a: 1  b: "x"  c: int? }
events { GO BACK }
state s [initial] {
    timeout: 500ms -> t
    on_error: t
}
state t {
    state h [history: deep]
    state u [initial]
    state v
}
state w {
    on_done: BACK
    parallel [sync: any-final] {
        region r { state x [initial] state y [final] }
        region q { state x [initial] }
    }
}
guards {
    one: ctx.a + 1 == 2
    two: ctx.b in ["x", "y"] and not one or ctx.a > -3 and event.n is null
}
transitions {
    s + GO [one] -> t
    s + GO [!two] -> t
    s + GO [ctx.a * (ctx.a + 1) > 3 or ctx.b == "z"] -> w
    s + GO [else] -> t.v
    t + BACK -> s
}
"""


def test_there_and_back_gives_the_same_definition() -> None:
    machine = parse_model(RICH)
    view = from_model(machine)
    assert to_model(view) is machine
    changed = copy.deepcopy(view)
    changed.source = None
    back = to_model(changed)
    assert back.states == machine.states
    assert back.transitions == machine.transitions
    assert back.guard_defs == machine.guard_defs
    assert back.context == machine.context
    assert to_model(changed) is back


def test_texts_of_inline_guards() -> None:
    guards = [row.guard for row in from_model(parse_model(RICH)).transitions]
    assert guards == ["one", "!two", '(ctx.a * (ctx.a + 1)) > 3 or ctx.b == "z"', "else", None]
    assert pickle.loads(pickle.dumps(guards[2])).expression == guards[2].expression  # type: ignore[union-attr]
    assert "guard" in repr(from_model(parse_model(RICH)).guards["one"])


def test_names_that_two_states_have_are_paths() -> None:
    view = from_model(parse_model(RICH))
    assert view.states[0].timeout == {"duration": "500ms", "target": "t"}
    assert view.states[2].parallel is not None
    assert view.states[2].parallel.sync == "any-final"


def test_a_change_of_a_parsed_definition_counts() -> None:
    view = from_model(parse_model(RICH))
    view.transitions[0].target = "w"
    assert to_model(view).transitions[0].target == "w"
    view.version = "9.0.0"
    assert to_model(view).version == "9.0.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transitions": [types.Transition("off", "GO", "gone")]}, "transition target 'gone' is not defined"),
        ({"transitions": [types.Transition("gone", "GO", "off")]}, "transition source 'gone' is not defined"),
        (
            {"transitions": [types.Transition("off", "GO", "off", guard="!no")]},
            "guard '!no' is used but not defined",
        ),
        (
            {"states": [types.StateDef("off", timeout={"duration": "soon", "target": "off"})]},
            "'soon' is no duration",
        ),
        (
            {"states": [types.StateDef("off", timeout={"duration": "1s", "target": "on"})]},
            "timeout target 'on'",
        ),
    ],
)
def test_what_a_definition_by_hand_does_not_have(change: dict[str, object], message: str) -> None:
    parts: dict[str, object] = {"states": [types.StateDef("off")], "transitions": []} | change
    with pytest.raises(DefinitionError, match=message):
        to_model(types.MachineDef("Lamp", {}, ["GO"], **parts))  # type: ignore[arg-type]


def test_a_definition_by_hand_with_everything() -> None:
    given = {"k": "ctx.a", "n": "3", "t": '"q"', "b": "true", "f": "1.5", "z": "zz"}
    leaf = types.StateDef("x", invoke=types.InvokeDef("C", given, "DONE", "s", {"a": "r"}, 5))
    region = types.RegionDef("r", [leaf])
    made = to_model(
        types.MachineDef(
            "M",
            {"a": 1, "b": None, "c": {"d": 1}, "e": [1], "f": 1.5, "g": True},
            ["DONE"],
            [
                types.StateDef("s"),
                types.StateDef("p", parallel=types.ParallelDef([region], None), on_done="s"),
            ],
            [types.Transition("*", "DONE", "s", "g1"), types.Transition("s", "", "p", action="act")],
            {
                "g1": types.GuardOr(
                    types.GuardAnd(types.GuardTrue(), types.GuardFalse()),
                    types.GuardNullcheck(types.VariableRef(["payload", "x"]), is_null=True),
                ),
                "g2": types.GuardCompare("eq", types.VariableRef(["a"]), types.VariableRef(["context", "f"])),
            },
            [types.ActionSignature("act", ["ctx"], "Context", has_effect=True)],
            [types.EffectDef("E", "{ a: int }", "int")],
            [types.ReturnDef("a", "int", ["variance"])],
        )
    )
    found = made.find("p.r.x")
    assert isinstance(found, model.StateDef)
    assert found.invoke is not None
    assert [type(value).__name__ for _, value in found.invoke.input] == [
        "VariableRef", "ValueRef", "ValueRef", "ValueRef", "ValueRef", "VariableRef",
    ]  # fmt: skip
    assert found.on_done == model.OutcomeRef("event", "DONE")
    assert found.on_error == model.OutcomeRef("state", "s")
    assert made.states[0].is_initial
    assert made.actions[0].effect_type == "Effect"


def test_what_is_no_guard() -> None:
    bad = types.MachineDef("M", {}, [], [types.StateDef("s")], [], {"g": types.GuardExpression()})
    with pytest.raises(TypeError, match="is no guard"):
        to_model(bad)


def test_undeclared_names_are_logged_and_accepted(caplog: pytest.LogCaptureFixture) -> None:
    text = "machine M\nevents { A }\nstate s [initial]\ntransitions { s + B [ctx.n > 1] -> s }\n"
    with caplog.at_level(logging.WARNING):
        assert parse_orca(text).transitions[0].event == "B"
    assert [record.name for record in caplog.records] == ["orca_runtime_python.parser"] * 2
    with pytest.raises(ParseError):
        parse_orca("machine M\nstate s [initial]\ntransitions { s + B -> gone }\n")


def test_a_file_name_decides_the_notation() -> None:
    text = "machine M\nstate s [initial]\n"
    assert parser.parse_orca_auto(text).name == "M"
    assert parser.parse_orca_auto(text, "m.orca").name == "M"
    assert parser.parse_orca_auto("# machine N\n## state s [initial]\n", "m.orca.md").name == "N"
    two = "# machine N\n## state s [initial]\n---\n# machine O\n## state s [initial]\n"
    assert [machine.name for machine in parser.parse_orca_md_multi(two)] == ["N", "O"]
    with pytest.raises(ParseError):
        parser.parse_orca_auto(text, "m.md")
