"""Every block of the state machine page runs as printed."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import run_program

import orca_runtime_python as orca
import seeds
from orca.statemachine import parse_orca as parse_model
from orca.statemachine.verify import verify

pytestmark = pytest.mark.skipif(seeds.MISSING, reason="the seed documents are not beside this checkout")


def page() -> seeds.MachinePage:
    return seeds.machine_page()


async def run(source: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run a block that may await at its top level, as the page's blocks do."""
    code = compile(source, "<block>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace |= {name: getattr(orca, name) for name in orca.__all__ if name not in namespace}
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, namespace)
    else:
        exec(code, namespace)
    return namespace


def test_the_quick_start_prints_what_it_says(tmp_path: Path) -> None:
    done = run_program(page().quick_start, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "Initial state: pending\nAfter event: fulfilled\n",
        "",
    )


def test_the_machine_snippet_tells_of_transitions(capsys: pytest.CaptureFixture[str]) -> None:
    source = page().quick_start.split('"""')[1]
    definition = orca.parse_orca(source)

    async def main() -> None:
        found = await run(page().machine, {"machine_def": definition})
        machine = found["machine"]
        await machine.start()
        assert machine.context == {"order_id": "123", "status": "pending"}
        await machine.send("ORDER_PLACED")
        await machine.send("ORDER_FULFILLED")
        await machine.stop()

    asyncio.run(main())
    assert capsys.readouterr().out == "pending -> pending\npending -> fulfilled\n"


@pytest.fixture
def fresh_bus() -> Any:
    orca.reset_event_bus()
    yield orca.get_event_bus()
    orca.reset_event_bus()


def test_the_bus_snippet_publishes_and_asks(fresh_bus: orca.EventBus) -> None:
    seen: list[orca.Event] = []

    async def handler(event: orca.Event) -> None:
        seen.append(event)

    async def answer(event: orca.Event) -> None:
        response = orca.Event(
            type=orca.EventType.SCHEDULING_QUERY_RESPONSE,
            source="calendar",
            correlation_id=event.correlation_id,
            payload={"free": event.payload["type"] == "availability"},
        )
        await orca.get_event_bus().publish(response)

    fresh_bus.subscribe(orca.EventType.SCHEDULING_QUERY, answer)
    found = asyncio.run(run(page().bus, {"handler": handler}))
    assert [event.payload for event in seen] == [{"from": "pending", "to": "fulfilled"}]
    assert found["response"] == {"free": True}


def test_the_effect_snippet_handles_an_effect(fresh_bus: orca.EventBus) -> None:
    async def generate_narrative(payload: dict[str, Any]) -> str:
        return f"once upon a {payload['action']}"

    async def main() -> orca.EffectResult:
        await run(page().effects, {"generate_narrative": generate_narrative, "bus": fresh_bus})
        return await fresh_bus.execute_effect(orca.Effect("NarrativeRequest", {"action": "look"}))

    result = asyncio.run(main())
    assert (result.status, result.data) == ("success", {"narrative": "once upon a look"})


def test_the_game_parses_as_its_author_meant() -> None:
    game = orca.parse_orca(page().language)
    assert (game.name, game.events) == ("GameEngine", ["start_game", "attack", "heal"])
    assert game.context == {"health": 100, "inventory": None}
    assert [state.name for state in game.states] == ["idle", "combat", "game_over"]
    assert [state.name for state in game.states[1].contains] == ["fighting", "defending"]
    assert game.states[1].contains[1].description == "Blocking attacks"
    assert [row.guard for row in game.transitions] == [None, None, "can_heal", "ctx.health <= 0"]


def swapped(source: str) -> str:
    """The page's machine with its two rows for ``attack`` the other way round."""
    first, second = (line for line in source.splitlines() if "combat + attack" in line)
    return source.replace(first, "@").replace(second, first).replace("@", second)


async def play(source: str, damage: int, events: list[str]) -> list[str]:
    machine = orca.OrcaMachine(orca.parse_orca(source), event_bus=orca.EventBus())
    actions: dict[str, Callable[..., Any]] = {
        "start_combat": lambda context: None,
        "apply_heal": lambda context: {"health": context["health"] + 10},
        "end_game": lambda context: None,
    }
    for name, handler in actions.items():
        machine.register_action(name, handler)
    machine.event_bus.register_effect_handler(
        "DamageRequest", lambda effect: {"health": effect.payload["context"]["health"] - damage}
    )
    await machine.start()
    seen = [str(machine.state)]
    for event in events:
        await machine.send(event)
        seen.append(f"{machine.state} {machine.context['health']}")
    await machine.stop()
    return seen


def test_the_game_is_played_through_its_nested_states() -> None:
    events = ["attack", "start_game", "heal", "attack", "heal", "heal"]
    assert asyncio.run(play(page().language, 30, events)) == [
        "idle",
        "idle 100",
        "combat.fighting 100",
        "combat.fighting 100",
        "combat.fighting 70",
        "combat.fighting 80",
        "combat.fighting 90",
    ]


def test_the_shadowed_row_never_ends_the_game_as_printed() -> None:
    seen = asyncio.run(play(page().language, 60, ["start_game", "attack", "attack", "attack"]))
    assert seen[-1] == "combat.fighting -80"


def test_with_the_rows_swapped_the_game_ends() -> None:
    seen = asyncio.run(play(swapped(page().language), 60, ["start_game", "attack", "attack", "attack"]))
    assert seen == [
        "idle",
        "combat.fighting 100",
        "combat.fighting 40",
        "combat.fighting -20",
        "game_over -20",
    ]


def shadowed(source: str) -> list[int]:
    """The lines that the verifier calls shadowed, counted in the section of transitions."""
    findings = verify([parse_model(source)]).findings
    found = [one.span for one in findings if one.code == "SHADOWED_TRANSITION"]
    head = source[: source.index("transitions {")].count("\n") + 1
    return [span.line - head for span in found if span is not None]


def test_the_verifier_reports_the_shadowed_row_and_only_as_printed() -> None:
    assert shadowed(page().language) == [4]
    assert shadowed(swapped(page().language)) == []
