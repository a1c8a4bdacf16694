"""The findings of the verifier about what a machine can do, and about names that nothing uses."""

from __future__ import annotations

from typing import Final

from orca.statemachine.catalogue.entry import Entry

__all__ = ["ENTRIES"]

_LAMP: Final = """
machine Lamp
state off [initial]
state on
transitions {
    off + TOGGLE -> on
    on + TOGGLE -> off
}
"""


def _lamp(*, extra: str = "", rows: str = "", context: str = "") -> str:
    """The lamp with more rows and sections."""
    body = _LAMP.replace("machine Lamp\n", f"machine Lamp\n{context}")
    return body.rstrip().removesuffix("}") + rows + "}\n" + extra


_CHOICE: Final = "context { n: int = 0 }\n"

ENTRIES: Final = (
    Entry(
        "UNREACHABLE_STATE",
        "a state is never entered",
        """No run of the machine enters this state: not by events, timers, eventless transitions, outcomes
        of children or
        failures, whatever values the context and the payloads have.""",
        _LAMP.replace("transitions", "state broken [final]\ntransitions"),
        _LAMP.replace("transitions", "state broken [final]\ntransitions")
        .replace("on + TOGGLE", "on + BREAK -> broken\n    on + TOGGLE")
        .replace("state off [initial]", "state off [initial] { ignore: BREAK }"),
    ),
    Entry(
        "DEADLOCK",
        "nothing leads out of a configuration",
        """The machine can come to a place that no event, timer or child leads out of, and it is not done.
        The trace is a
        shortest way there. States inside of others and regions count: what matters is the whole
        configuration.""",
        _LAMP.replace("    on + TOGGLE -> off\n", ""),
        _LAMP,
    ),
    Entry(
        "LIVELOCK",
        "a macrostep never ends",
        """Eventless transitions, or events that outcomes raise, lead in a circle that nothing breaks: the
        machine would
        never be ready for the next event. The engine ends such a run with an error.""",
        """
        # machine Loop

        ## state a [initial]
        ## state b
        ## state c

        ## transitions

        | Source | Event | Guard | Target | Action |
        |--------|-------|-------|--------|--------|
        | a      | GO    |       | b      |        |
        | b      |       |       | c      |        |
        | c      |       |       | b      |        |
        """,
        """
        # machine Loop

        ## state a [initial]
        ## state b
        ## state c

        ## transitions

        | Source | Event | Guard | Target | Action |
        |--------|-------|-------|--------|--------|
        | a      | GO    |       | b      |        |
        | b      |       |       | c      |        |
        | c      | GO    |       | b      |        |
        """,
    ),
    Entry(
        "INCOMPLETE_EVENT_HANDLING",
        "a state does not handle an event",
        """When the event comes while this state is active, nothing happens and the sender is told so.
        Handle it, drop
        it with `ignore`, or put one row with `*` as its source. The level of this code can be set:
        `orca machine check --level INCOMPLETE_EVENT_HANDLING=off`.""",
        _lamp(rows="    off + BREAK -> off\n"),
        _lamp(rows="    off + BREAK -> off\n    on + BREAK -> off\n"),
    ),
    Entry(
        "NON_DETERMINISTIC",
        "two transitions without guard",
        "Two rows of the same source and event have no guard. The first one is always taken, the other never.",
        _lamp(rows="    on + TOGGLE -> on\n"),
        _LAMP,
    ),
    Entry(
        "SHADOWED_TRANSITION",
        "a guarded transition is never taken",
        """An earlier row of the same source and event has no guard, or guards that hold whenever this one
        does. Rows
        are tried in their order, so this one never has its turn: move it up.""",
        _lamp(context=_CHOICE, rows="    on + TOGGLE [n > 3] -> on\n"),
        _LAMP.replace("machine Lamp\n", f"machine Lamp\n{_CHOICE}").replace(
            "    on + TOGGLE", "    on + TOGGLE [n > 3] -> on\n    on + TOGGLE"
        ),
    ),
    Entry(
        "OVERLAPPING_GUARDS",
        "two guards can hold together",
        """Values exist for which both guards hold; the first row is taken then. The values are part of the
        finding. When
        the order is meant, the guards can say so, or the code can be switched off.""",
        _lamp(
            context=_CHOICE,
            rows="    on + SET [n > 3] -> on\n    on + SET [n > 5] -> off\n    off + SET -> off\n",
        )
        .replace("[n > 3]", "[n < 9]")
        .replace("    off + SET -> off\n", "    on + SET -> on\n    off + SET -> off\n"),
        _lamp(
            context=_CHOICE,
            rows="    on + SET [n < 9] -> on\n    on + SET [n >= 9] -> off\n    off + SET -> off\n",
        ),
    ),
    Entry(
        "GUARD_EXHAUSTIVENESS",
        "no guard may hold",
        """All transitions of this source and event have guards, and values exist for which none holds: the
        event is
        lost then. The values are part of the finding; null counts, where the context can hold it.""",
        _lamp(
            context=_CHOICE,
            rows="    on + SET [n < 3] -> on\n    on + SET [n > 3] -> off\n    off + SET -> off\n",
        ),
        _lamp(
            context=_CHOICE,
            rows="    on + SET [n < 3] -> on\n    on + SET [n >= 3] -> off\n    off + SET -> off\n",
        ),
    ),
    Entry(
        "ORPHAN_EVENT",
        "a declared event is never taken",
        "The event is declared, but no transition takes it, nothing ignores it and no outcome raises it.",
        _LAMP.replace("state off", "events { TOGGLE, BREAK }\nstate off").replace(
            "[initial]\n", "[initial] \n"
        ),
        _LAMP.replace("state off", "events { TOGGLE }\nstate off"),
    ),
    Entry(
        "ORPHAN_ACTION",
        "a declared action never runs",
        "The action is declared, but no transition, entry or exit names it.",
        _lamp(extra="actions { shine: (ctx) -> Context }\n"),
        _lamp(extra="actions { shine: (ctx) -> Context }\n").replace("-> on\n", "-> on : shine\n"),
    ),
    Entry(
        "ORPHAN_EFFECT",
        "a declared effect is never used",
        "The effect is declared, but no action has it in its signature.",
        _lamp(extra="effects { Beep }\n"),
        _lamp(extra="effects { Beep }\nactions { shine: (ctx) -> Context + Effect<Beep> }\n").replace(
            "-> on\n", "-> on : shine\n"
        ),
    ),
    Entry(
        "UNDECLARED_EFFECT",
        "an action has an effect that is not declared",
        """The machine works without, but a declaration says what the effect takes and gives, and finds
        slips in its name:
        where a machine declares effects, an unknown one is the error UNKNOWN_EFFECT.""",
        _lamp(extra="actions { shine: (ctx) -> Context + Effect<Beep> }\n").replace(
            "-> on\n", "-> on : shine\n"
        ),
        _lamp(extra="effects { Beep }\nactions { shine: (ctx) -> Context + Effect<Beep> }\n").replace(
            "-> on\n", "-> on : shine\n"
        ),
    ),
    Entry(
        "UNUSED_GUARD",
        "a declared guard is never used",
        "No transition, property or used guard refers to it.",
        _lamp(context=_CHOICE, extra="guards { many: n > 3 }\n"),
        _lamp(context=_CHOICE, extra="guards { many: n > 3 }\n").replace(
            "on + TOGGLE ->", "on + TOGGLE [many] ->"
        ),
    ),
    Entry(
        "IGNORE_AND_HANDLE",
        "a state ignores an event that it handles",
        "A transition without guard always takes the event, so `ignore` has no say. Remove one of the two.",
        _LAMP.replace("state on", "state on { ignore: TOGGLE }"),
        _LAMP,
    ),
    Entry(
        "CIRCULAR_INVOCATION",
        "machines invoke each other in a circle",
        "Each of them would start the next one, for ever.",
        """
        machine Ping
        state go [initial] { invoke: Pong on_done: end on_error: end }
        state end [final]

        machine Pong
        state go [initial] { invoke: Ping on_done: end on_error: end }
        state end [final]
        """,
        """
        machine Ping
        state go [initial] { invoke: Pong on_done: end on_error: end }
        state end [final]

        machine Pong
        state go [initial] { timeout: 1s -> end }
        state end [final]
        """,
    ),
    Entry(
        "CHILD_NO_FINAL_STATE",
        "an invoked machine never ends",
        "A state waits for a machine that has no final state on its outermost level, so it waits for ever.",
        """
        machine Parent
        state go [initial] { invoke: Child on_done: end on_error: end }
        state end [final]

        machine Child
        state a [initial] { timeout: 1s -> b }
        state b { timeout: 1s -> a }
        """,
        """
        machine Parent
        state go [initial] { invoke: Child on_done: end on_error: end }
        state end [final]

        machine Child
        state a [initial] { timeout: 1s -> b }
        state b [final]
        """,
    ),
    Entry(
        "MISSING_ON_ERROR",
        "nothing answers when an invoked machine fails",
        "A child can fail by an exception or by a final state that counts as failure; say where that leads.",
        """
        machine Parent
        state go [initial] { invoke: Child on_done: end }
        state end [final]

        machine Child
        state a [initial] { timeout: 1s -> b }
        state b [final]
        """,
        """
        machine Parent
        state go [initial] { invoke: Child on_done: end on_error: end }
        state end [final]

        machine Child
        state a [initial] { timeout: 1s -> b }
        state b [final]
        """,
    ),
    Entry(
        "INVALID_INPUT_MAPPING",
        "an invocation names a field that is not there",
        """`input` gives fields of the child's context, `returns` takes what the child returns and puts it
        into fields of
        the parent's context. One of these names does not exist.""",
        """
        machine Parent
        context { id: int = 1 }
        state go [initial] { invoke: Child input: { order: ctx.id } on_done: end on_error: end }
        state end [final]

        machine Child
        context { number: int = 0 }
        state a [initial] { timeout: 1s -> b }
        state b [final]
        """,
        """
        machine Parent
        context { id: int = 1 }
        state go [initial] { invoke: Child input: { number: ctx.id } on_done: end on_error: end }
        state end [final]

        machine Child
        context { number: int = 0 }
        state a [initial] { timeout: 1s -> b }
        state b [final]
        """,
    ),
    Entry(
        "INCONCLUSIVE",
        "something was not decided",
        """The budget of configurations was used up, or a guard calculates in a way that is only decided
        with z3
        (`pip install 'orca-statemachine[z3]'`). What was found is true all the same; what was not found
        may be there.""",
        _lamp(
            context="context { n: int?, m: int? }\n",
            rows="    on + SET [n * m == 7919] -> off\n    on + SET [n * m != 7919] -> on\n    off + SET -> off\n",
        ),
        _LAMP,
    ),
)
