"""The small parts of orca_runtime_python: effects, guards as text, the bridge, children."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orca.statemachine import expr
from orca.statemachine import parse_orca as parse_model
from orca_runtime_python import OrcaMachine, descriptor_for, effects, parse_orca, types
from orca_runtime_python._guards import guard_from_model, guard_to_model, text_of
from orca_runtime_python.effects import Effect, EffectRegistry, EffectResult, EffectStatus, EffectType
from orca_runtime_python.parser import to_model


def test_the_registry_of_the_process() -> None:
    effects.reset_effect_registry()
    registry = effects.get_effect_registry()
    assert registry is effects.get_effect_registry()
    assert registry.effect_types == ["NarrativeRequest", "Effect"]

    async def main() -> list[EffectResult]:
        payload = {"action": "look", "context": {"current_location": "hall"}}
        kinds = [("NarrativeRequest", payload), ("Effect", {}), ("Unknown", {})]
        return [await registry.execute(Effect(kind, given)) for kind, given in kinds]

    narrative, plain, unknown = asyncio.run(main())
    assert narrative.data["new_location"] == "hall"
    assert (plain.status, plain.data) == (EffectStatus.SUCCESS, None)
    assert unknown.error == "No handler registered for effect type: Unknown"
    effects.reset_effect_registry()


def test_handlers_may_be_plain_or_coroutines() -> None:
    @effects.effect_handler("Plain")
    def plain(effect: Effect) -> EffectResult:
        return EffectResult("success", effect.payload)

    async def later(effect: Effect) -> EffectResult:
        return EffectResult("success", effect.type)

    registry = EffectRegistry()
    effects.register_effect_handlers(registry, {plain._effect_type: plain, "Later": later})  # type: ignore[attr-defined]
    effects.register_effect_handlers(registry)
    assert registry.get_handler("Plain") is plain
    assert not registry.has_handler("Other")

    async def main() -> list[Any]:
        return [
            (await EffectType("Plain", plain).execute({"a": 1})).data,
            (await EffectType("Later", later).execute({})).data,
        ]

    assert asyncio.run(main()) == [{"a": 1}, "Later"]


def test_the_published_payloads() -> None:
    assert effects.NarrativeRequest("look", {}).event is None
    assert effects.NarrativeResponse("text").new_location is None
    assert effects.MoveRequest("north", {}).direction == "north"
    assert effects.MoveResponse("hall", "a hall").visited is False
    assert effects.SaveRequest("s").session_id == effects.LoadRequest("s").session_id
    assert (
        effects.SaveResponse(saved=True, timestamp=1).saved
        is effects.LoadResponse(loaded=True, context={}).loaded
    )


CTX = expr.VariableRef(("ctx", "a"))
ONE = expr.ValueRef("number", 1)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (expr.GuardTrue(), "else"),
        (expr.GuardFalse(), "false"),
        (expr.GuardNot(expr.GuardOr((expr.GuardRef("x"), CTX))), "not (x or ctx.a)"),
        (expr.GuardAnd((CTX, expr.GuardOr((CTX, CTX)))), "ctx.a and (ctx.a or ctx.a)"),
        (expr.GuardNullcheck(CTX, is_null=False), "ctx.a is not null"),
        (expr.GuardIn(CTX, (ONE, expr.ValueRef("string", "x"))), 'ctx.a in [1, "x"]'),
        (expr.GuardCompare("eq", expr.Negate(CTX), ONE), "-ctx.a == 1"),
        (expr.GuardCompare("ne", CTX, expr.ValueRef("boolean", value=True)), "ctx.a != true"),
        (expr.GuardCompare("ne", CTX, expr.ValueRef("null", None)), "ctx.a != null"),
    ],
)
def test_guards_as_text_and_there_and_back(tree: expr.GuardExpression, text: str) -> None:
    assert text_of(tree) == text
    view = guard_from_model(tree)
    back = guard_to_model(view, frozenset({"a"}))
    if not isinstance(tree, expr.GuardCompare):
        assert back == tree
    assert guard_from_model(back) == view


def test_guards_that_the_published_trees_cannot_say() -> None:
    odd = guard_from_model(expr.GuardIn(CTX, (ONE,)))
    assert repr(odd) == "<guard ctx.a in [1]>"
    assert hash(odd) == hash(guard_from_model(expr.GuardIn(CTX, (ONE,))))
    assert odd != types.GuardTrue()
    assert isinstance(
        guard_from_model(expr.GuardCompare("eq", CTX, expr.Arithmetic("add", CTX, ONE))), type(odd)
    )


def test_a_comparison_with_a_negative_number() -> None:
    view = guard_from_model(expr.GuardCompare("gt", CTX, expr.Negate(ONE)))
    assert view == types.GuardCompare("gt", types.VariableRef(["ctx", "a"]), types.ValueRef("number", -1))


def test_definitions_of_both_kinds_are_taken() -> None:
    source = "machine M\ncontext { n: 1 }\nstate a [initial]\nstate b\ntransitions {\n a + GO -> b\n}\n"
    assert descriptor_for(parse_orca(source)) == descriptor_for(parse_model(source))
    model = parse_model(source)
    assert to_model(model) is model

    async def main() -> str:
        machine = OrcaMachine(model)
        machine.register_machines({"Other": parse_orca(source), "Model": model})
        await machine.start()
        await machine.send("GO")
        return str(machine.state)

    assert asyncio.run(main()) == "b"


def test_invoked_machines_keep_their_mappings() -> None:
    source = """
machine P
context { n: 1 }
events { OK BAD }
state a [initial] {
    invoke: C input: { k: ctx.n, z: 5 } returns: { n: total }
    on_done: OK
    on_error: BAD
}
state b [final]
transitions {
    a + OK -> b
    a + BAD -> b
}
"""
    invoke = parse_orca(source).states[0].invoke
    assert invoke == types.InvokeDef("C", {"k": "ctx.n", "z": "5"}, "OK", "BAD", {"n": "total"})
