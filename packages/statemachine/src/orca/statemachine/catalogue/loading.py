"""The findings of reading a machine."""

from __future__ import annotations

from typing import Final

from orca.statemachine.catalogue.entry import Entry

__all__ = ["ENTRIES"]

_DEEP: Final = "".join(f"state s{level} [initial] {{ " for level in range(34)) + "} " * 34

ENTRIES: Final = (
    Entry(
        "SYNTAX",
        "the text does not follow the grammar",
        """Something stands where the language has no place for it. The message says what may stand there. Sections
        and rows are read independently, so one slip never hides the next.""",
        """
        machine Lamp
        state off [initial]
        state on
        transitions {
            off + TOGGLE => on
        }
        """,
        """
        machine Lamp
        state off [initial]
        state on
        transitions {
            off + TOGGLE -> on
        }
        """,
    ),
    Entry(
        "LIMIT_EXCEEDED",
        "the text goes beyond a limit",
        """Nesting, lengths and the number of findings are bounded, so that no text can take more time or memory than
        its length accounts for. No machine that people read comes near a limit.""",
        f"machine Deep\n{_DEEP}",
        "machine Deep\nstate s0 [initial] { state s1 [initial] }",
    ),
    Entry(
        "MULTIPLE_INITIAL",
        "a level has more than one initial state",
        "A machine, a compound state and a region begin in exactly one of their states.",
        """
        machine Lamp
        state off [initial]
        state on [initial]
        """,
        """
        machine Lamp
        state off [initial]
        state on
        """,
    ),
    Entry(
        "NO_INITIAL_STATE",
        "a level has no initial state",
        """A machine, a compound state and a region begin in exactly one of their states; none of these is marked
        `[initial]`. The mend marks the first one.""",
        """
        machine Lamp
        state off
        state on
        """,
        """
        machine Lamp
        state off [initial]
        state on
        """,
    ),
    Entry(
        "FINAL_WITH_CHILDREN",
        "a final state has states inside",
        "A final state ends its parent at once; nothing inside of it could ever be active.",
        """
        machine Job
        state done [initial, final] {
            state inner [initial]
        }
        """,
        """
        machine Job
        state done [initial] {
            state inner [initial, final]
        }
        """,
    ),
    Entry(
        "FINAL_STATE_OUTGOING",
        "a final state has an outgoing transition",
        "A final state takes no events. Remove the transition, or the mark `[final]`.",
        """
        machine Job
        state run [initial]
        state done [final]
        transitions {
            run + END -> done
            done + AGAIN -> run
        }
        """,
        """
        machine Job
        state run [initial]
        state done
        transitions {
            run + END -> done
            done + AGAIN -> run
        }
        """,
    ),
    Entry(
        "EMPTY_PARALLEL",
        "a parallel state or a region is empty",
        "A parallel state has at least one region, and every region has states.",
        """
        machine Order
        state work [initial, parallel]
        """,
        """
        machine Order
        state work [initial, parallel] {
            parallel {
                region pay { state open [initial] }
            }
        }
        """,
    ),
    Entry(
        "BAD_ANNOTATION",
        "marks and contents of a state do not go together",
        """Regions need `[parallel]`; a parallel state holds regions only; a history state holds nothing, is neither
        initial nor final, and has at most one transition without an event, its default.""",
        """
        machine Order
        state work [initial, parallel] {
            state stray
            parallel {
                region pay { state open [initial] }
            }
        }
        """,
        """
        machine Order
        state work [initial, parallel] {
            parallel {
                region pay { state open [initial] }
            }
        }
        """,
    ),
    Entry(
        "BAD_DEFAULT",
        "a default does not fit its type",
        "The type of a field decides what its default may be; `?` after a type adds null.",
        """
        machine Shop
        context { total: int = "none" }
        state cart [initial]
        """,
        """
        machine Shop
        context { total: int? = null }
        state cart [initial]
        """,
    ),
    Entry(
        "BAD_DURATION",
        "a duration cannot be read",
        "A duration is a number and one of `ms`, `s`, `m`, `h`, `d`, and a whole number of milliseconds.",
        """
        machine Lamp
        state on [initial] { timeout: 5sec -> off }
        state off
        """,
        """
        machine Lamp
        state on [initial] { timeout: 5s -> off }
        state off
        """,
    ),
    Entry(
        "BARE_DURATION",
        "a duration has no unit",
        "A number without a unit is read as seconds. Write the unit, so that nobody has to know that.",
        """
        machine Lamp
        state on [initial] { timeout: 30 -> off }
        state off
        """,
        """
        machine Lamp
        state on [initial] { timeout: 30s -> off }
        state off
        """,
    ),
    Entry(
        "SINGLE_EQUALS",
        "a comparison is written with one equals sign",
        "A guard never assigns, so `=` is read as `==`. Write `==`.",
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        transitions {
            cart + PAY [ctx.total = 0] -> cart
        }
        """,
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        transitions {
            cart + PAY [ctx.total == 0] -> cart
        }
        """,
    ),
    Entry(
        "AMBIGUOUS_ON_DONE",
        "an outcome names both a state and an event",
        "`on_done` and `on_error` lead to a state or raise an event. Rename one of the two.",
        """
        machine Job
        events { ready }
        state work [initial] {
            on_done: ready
            state step [initial, final]
        }
        state ready
        """,
        """
        machine Job
        events { go }
        state work [initial] {
            on_done: ready
            state step [initial, final]
        }
        state ready
        """,
    ),
    Entry(
        "HEADING_SKIPPED",
        "a heading skips a level",
        "The level of a heading says which state it belongs to; a skipped level leaves that open.",
        """
        # machine Job

        ## state work [initial]

        #### state step [initial]
        """,
        """
        # machine Job

        ## state work [initial]

        ### state step [initial]
        """,
    ),
    Entry(
        "MISSING_COLUMN",
        "a table lacks a column",
        "Without this column none of the rows can be read.",
        """
        # machine Job

        ## state work [initial]

        ## transitions

        | Source | Event |
        |--------|-------|
        | work   | GO    |
        """,
        """
        # machine Job

        ## state work [initial]

        ## transitions

        | Source | Event | Target |
        |--------|-------|--------|
        | work   | GO    | work   |
        """,
    ),
    Entry(
        "MULTIPLE_INVOKE",
        "a state invokes more than one machine",
        "A state invokes one machine. Several at once stand in the regions of a parallel state.",
        """
        machine Parent
        state work [initial] {
            invoke: Upload
            invoke: Report
        }
        """,
        """
        machine Parent
        state work [initial, parallel] {
            parallel {
                region one { state first [initial] { invoke: Upload } }
                region two { state second [initial] { invoke: Report } }
            }
        }
        """,
    ),
)
