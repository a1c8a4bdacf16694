"""The two machines of the project page parse exactly as their author meant."""

from __future__ import annotations

import json

import pytest

from orca.common.cli import run
from orca.statemachine import MachineDef, parse_orca
from orca.statemachine.cli import app
from orca.statemachine.expr import GuardCompare, GuardRef, ValueRef, VariableRef

ORDER = """
machine OrderProcessor

context {
    order_id: ""
    status: "pending"
}

state pending [initial] "Order received"
state fulfilled [final] "Order complete"

transitions {
    pending + ORDER_PLACED -> pending
    pending + ORDER_FULFILLED -> fulfilled
}
"""

GAME = """machine GameEngine

context {
    health: int = 100
    inventory: string[]
}

events {
    start_game
    attack
    heal
}

state idle [initial] {
    description: "Waiting for player input"
}

state combat {
    description: "In combat"

    state fighting [initial] {
        description: "Actively fighting"
    }

    state defending {
        description: "Blocking attacks"
    }
}

state game_over [final] {
    description: "Game ended"
}

guards {
    can_heal: ctx.health < 100
}

transitions {
    idle + start_game -> combat : start_combat
    combat + attack -> combat : resolve_attack
    combat + heal [can_heal] -> combat : apply_heal
    combat + attack [health <= 0] -> game_over : end_game
}

actions {
    start_combat: (ctx: Context) -> Context
    resolve_attack: (ctx: Context) -> Context + Effect<DamageRequest>
    apply_heal: (ctx: Context) -> Context
    end_game: (ctx: Context) -> Context
}
"""


@pytest.fixture(scope="module")
def game() -> MachineDef:
    return parse_orca(GAME)


def test_order_processor() -> None:
    machine = parse_orca(ORDER)
    assert machine.name == "OrderProcessor"
    assert machine.context == {"order_id": "", "status": "pending"}
    assert [str(item.type) for item in machine.fields] == ["string", "string"]
    pending, fulfilled = machine.states
    assert (pending.description, pending.is_initial, pending.is_final) == ("Order received", True, False)
    assert (fulfilled.description, fulfilled.is_initial, fulfilled.is_final) == (
        "Order complete",
        False,
        True,
    )
    assert [(row.source, row.event, row.target) for row in machine.transitions] == [
        ("pending", "ORDER_PLACED", "pending"),
        ("pending", "ORDER_FULFILLED", "fulfilled"),
    ]


def test_context_of_the_game(game: MachineDef) -> None:
    assert game.context == {"health": 100, "inventory": None}
    assert [str(item.type) for item in game.fields] == ["int", "string[]"]


def test_descriptions_stand_on_the_right_states(game: MachineDef) -> None:
    assert [(node.path, node.description) for node in game.walk()] == [  # type: ignore[union-attr]
        ("idle", "Waiting for player input"),
        ("combat", "In combat"),
        ("combat.fighting", "Actively fighting"),
        ("combat.defending", "Blocking attacks"),
        ("game_over", "Game ended"),
    ]
    combat = game.find("combat")
    assert combat is not None
    assert [state.is_initial for state in combat.states] == [True, False]


def test_guards_of_the_game(game: MachineDef) -> None:
    assert [row.guard for row in game.transitions] == [
        None,
        None,
        GuardRef("can_heal"),
        GuardCompare("le", VariableRef(("ctx", "health")), ValueRef("number", 0)),
    ]
    health = VariableRef(("ctx", "health"))
    assert game.guards == {"can_heal": GuardCompare("lt", health, ValueRef("number", 100))}


def test_actions_of_the_game(game: MachineDef) -> None:
    assert [(item.name, str(item.return_type), item.effect_type) for item in game.actions] == [
        ("start_combat", "Context", None),
        ("resolve_attack", "Context", "DamageRequest"),
        ("apply_heal", "Context", None),
        ("end_game", "Context", None),
    ]
    assert str(game.actions[0].parameters[0]) == "ctx: Context"
    assert game.events == ("start_game", "attack", "heal")


def checked(tmp_path, capsys, text: str, *options: str) -> tuple[int, list[dict]]:
    path = tmp_path / "seed.orca"
    path.write_text(text, "utf-8")
    code = run(app, ["check", str(path), "--json", *options], prog="orca machine")
    return code, json.loads(capsys.readouterr().out)["diagnostics"]


def test_check_reports_the_shadowed_transition_and_what_it_hides(tmp_path, capsys) -> None:
    code, found = checked(tmp_path, capsys, GAME)
    # Every row stays where its author wrote it: the machine runs, so nothing here is an error.
    assert code == 0
    assert {(item["code"], item["severity"], item["line"]) for item in found} == {
        ("INCOMPLETE_EVENT_HANDLING", "warning", 14),
        ("INCOMPLETE_EVENT_HANDLING", "warning", 21),
        ("UNREACHABLE_STATE", "warning", 25),
        ("UNREACHABLE_STATE", "warning", 30),
        ("SHADOWED_TRANSITION", "warning", 42),
        ("UNDECLARED_EFFECT", "info", 47),
    }
    shadowed = next(item for item in found if item["code"] == "SHADOWED_TRANSITION")
    assert shadowed["message"].startswith("`combat` on `attack` [health <= 0] is never taken")
    assert checked(tmp_path, capsys, GAME, "--strict")[0] == 1
    assert checked(tmp_path, capsys, GAME, "--level", "UNREACHABLE_STATE=error")[0] == 1


def test_check_has_nothing_to_say_about_the_order(tmp_path, capsys) -> None:
    assert checked(tmp_path, capsys, ORDER, "--strict") == (0, [])
