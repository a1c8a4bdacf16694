"""A game with nested states: the verifier finds the row that never gets its turn, and the mended game is played."""

from __future__ import annotations

import asyncio
from pathlib import Path

from orca.statemachine import Effect, OrcaMachine, parse_orca
from orca.statemachine.verify import verify

SOURCE = Path(__file__).with_name("game.orca").read_text("utf-8")
PLAIN = "    combat + attack -> combat : resolve_attack\n"
HEAL = "    combat + heal [can_heal] -> combat : apply_heal\n"
GUARDED = "    combat + attack [health <= 0] -> game_over : end_game\n"


def shadowed(source: str) -> list[str]:
    """What the verifier says about rows that hide others."""
    report = verify([parse_orca(source)])
    return [one.message for one in report.findings if one.code == "SHADOWED_TRANSITION"]


def damage(effect: Effect) -> dict:
    """What an attack does: the mapping is merged into the context."""
    return {"health": effect.payload["context"]["health"] - 60}


async def play(source: str) -> None:
    """Fight until it is over."""
    machine = OrcaMachine(parse_orca(source))
    machine.register_action("start_combat", lambda context: None)
    machine.register_action("apply_heal", lambda context: {"health": context["health"] + 10})
    machine.register_action("end_game", lambda context: None)
    machine.register_effect("DamageRequest", damage)
    async with machine:
        for event in ("start_game", "heal", "attack", "heal", "attack", "attack"):
            await machine.send(event)
            print(f"{event:10} -> {machine.state}, health {machine.context['health']}")


def main() -> None:
    """Check, mend, play."""
    print(len(shadowed(SOURCE)), "row is shadowed as written")
    mended = SOURCE.replace(PLAIN + HEAL + GUARDED, GUARDED + HEAL + PLAIN)
    print(len(shadowed(mended)), "rows are shadowed with the two swapped")
    asyncio.run(play(mended))


if __name__ == "__main__":
    main()
