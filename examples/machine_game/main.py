"""A game with nested states: the verifier finds the row that never gets its turn, and the mended game is played."""

from __future__ import annotations

import asyncio

from orca.statemachine import OrcaMachine, parse_orca
from orca.statemachine.verify import verify

SOURCE = """
machine GameEngine

context {
    health: int = 100
}

state idle [initial]
state combat {
    state fighting [initial] "Actively fighting"
    state defending "Blocking attacks"
}
state game_over [final]

transitions {
    idle + start_game -> combat
    fighting + block -> defending
    combat + attack -> combat : resolve_attack
    combat + attack [health <= 0] -> game_over
}
"""
PLAIN = "    combat + attack -> combat : resolve_attack\n"
GUARDED = "    combat + attack [health <= 0] -> game_over\n"


def shadowed(source: str) -> list[str]:
    """What the verifier says about rows that hide others."""
    report = verify([parse_orca(source)])
    return [one.message for one in report.findings if one.code == "SHADOWED_TRANSITION"]


async def play(source: str) -> None:
    """Fight until it is over."""
    machine = OrcaMachine(parse_orca(source))
    machine.register_action("resolve_attack", lambda context: {"health": context["health"] - 60})
    async with machine:
        for event in ("start_game", "block", "attack", "attack", "attack"):
            await machine.send(event)
            print(f"{event:10} -> {machine.state}, health {machine.context['health']}")


def main() -> None:
    """Check, mend, play."""
    print(len(shadowed(SOURCE)), "row is shadowed as written")
    mended = SOURCE.replace(PLAIN + GUARDED, GUARDED + PLAIN)
    print(len(shadowed(mended)), "rows are shadowed with the two swapped")
    asyncio.run(play(mended))


if __name__ == "__main__":
    main()
