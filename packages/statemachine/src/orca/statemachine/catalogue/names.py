"""The findings about names: unknown, declared twice, ambiguous."""

from __future__ import annotations

from typing import Final

from orca.statemachine.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: Final = (
    Entry(
        "UNKNOWN_STATE",
        "a reference names no state",
        """A source, a target, a timeout or an outcome refers to a state that is not declared. A state inside of another
        one is referred to by its own name while that is unique, or by its path: `combat.fighting`.""",
        """
        machine Lamp
        state off [initial]
        state on
        transitions {
            off + TOGGLE -> onn
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
        "AMBIGUOUS_STATE",
        "a simple name may mean several states",
        "Two states at different places have this name. Write the path of the one that is meant.",
        """
        machine Jobs
        state upload [initial] { state running [initial] }
        state report { state running [initial] }
        transitions {
            upload + NEXT -> running
        }
        """,
        """
        machine Jobs
        state upload [initial] { state running [initial] }
        state report { state running [initial] }
        transitions {
            upload + NEXT -> report.running
        }
        """,
    ),
    Entry(
        "UNKNOWN_EVENT",
        "an event is not declared",
        """The machine declares its events, and this one is not among them. A machine without a section `events` takes
        every event that its transitions name.""",
        """
        machine Lamp
        events { TOGGLE }
        state off [initial]
        transitions {
            off + TGGLE -> off
        }
        """,
        """
        machine Lamp
        events { TOGGLE }
        state off [initial]
        transitions {
            off + TOGGLE -> off
        }
        """,
    ),
    Entry(
        "UNKNOWN_GUARD",
        "a guard is neither declared nor a field",
        """A guard in brackets is the name of a declared guard, or an expression over the context. A name that is
        neither would never hold, and is refused instead of being taken for true.""",
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        guards { is_big: ctx.total > 100 }
        transitions {
            cart + PAY [is_bg] -> cart
        }
        """,
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        guards { is_big: ctx.total > 100 }
        transitions {
            cart + PAY [is_big] -> cart
        }
        """,
    ),
    Entry(
        "GUARD_CYCLE",
        "a guard refers to itself",
        "Guards may refer to other guards, but not in a circle: none of them would have a value.",
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        guards {
            big: not small
            small: not big
        }
        """,
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        guards {
            big: not small
            small: ctx.total < 100
        }
        """,
    ),
    Entry(
        "UNKNOWN_ACTION",
        "an action is not declared",
        """The machine declares its actions, and this one is not among them. A machine without a section `actions` may
        name any action.""",
        """
        machine Lamp
        state off [initial] { on_entry: dimm }
        actions { dim: (ctx) -> Context }
        """,
        """
        machine Lamp
        state off [initial] { on_entry: dim }
        actions { dim: (ctx) -> Context }
        """,
    ),
    Entry(
        "UNKNOWN_FIELD",
        "the context has no such field",
        """An expression, a mapping or a return names a field that the context does not declare, or goes into a field
        that holds no other fields.""",
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        transitions {
            cart + PAY [ctx.totl > 100] -> cart
        }
        """,
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        transitions {
            cart + PAY [ctx.total > 100] -> cart
        }
        """,
    ),
    Entry(
        "UNKNOWN_MACHINE",
        "an invoked machine is not in the document",
        """The document holds several machines, and the one that is invoked is not among them. This is a warning: the
        program may register it at run time.""",
        """
        machine Parent
        state work [initial] { invoke: Chld }

        machine Child
        state done [initial, final]
        """,
        """
        machine Parent
        state work [initial] { invoke: Child }

        machine Child
        state done [initial, final]
        """,
    ),
    Entry(
        "UNKNOWN_EFFECT",
        "an effect is not declared",
        "The machine declares its effects, and the one in this signature is not among them.",
        """
        machine Shop
        state cart [initial]
        actions { pay: (ctx) -> Context + Effect<Paymnt> }
        effects { Payment: { amount: int } -> bool }
        """,
        """
        machine Shop
        state cart [initial]
        actions { pay: (ctx) -> Context + Effect<Payment> }
        effects { Payment: { amount: int } -> bool }
        """,
    ),
    Entry(
        "DUPLICATE_MACHINE",
        "two units of a document have one name",
        "Machines and decision tables of one document are told apart by their names.",
        """
        machine Lamp
        state off [initial]

        machine Lamp
        state on [initial]
        """,
        """
        machine Lamp
        state off [initial]

        machine Light
        state on [initial]
        """,
    ),
    Entry(
        "DUPLICATE_STATE",
        "two states of one level have one name",
        "States inside of one parent need different names; states of different parents may share one.",
        """
        machine Lamp
        state off [initial]
        state off
        """,
        """
        machine Lamp
        state off [initial]
        state on
        """,
    ),
    Entry(
        "DUPLICATE_REGION",
        "two regions of a state have one name",
        "The regions of a parallel state need different names.",
        """
        machine Order
        state work [initial, parallel] {
            parallel {
                region pay { state open [initial] }
                region pay { state packed [initial] }
            }
        }
        """,
        """
        machine Order
        state work [initial, parallel] {
            parallel {
                region pay { state open [initial] }
                region ship { state packed [initial] }
            }
        }
        """,
    ),
    Entry(
        "DUPLICATE_EVENT",
        "an event is declared twice",
        "It changes nothing; one of the two can go.",
        """
        machine Lamp
        events { TOGGLE TOGGLE }
        state off [initial]
        """,
        """
        machine Lamp
        events { TOGGLE }
        state off [initial]
        """,
    ),
    Entry(
        "DUPLICATE_GUARD",
        "a guard is declared twice",
        "Only one of the expressions could count. Give them different names, or keep one.",
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        guards {
            big: ctx.total > 100
            big: ctx.total > 200
        }
        """,
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        guards {
            big: ctx.total > 100
            huge: ctx.total > 200
        }
        """,
    ),
    Entry(
        "DUPLICATE_ACTION",
        "an action is declared twice",
        "Only one of the signatures could count.",
        """
        machine Lamp
        state off [initial]
        actions {
            dim: (ctx) -> Context
            dim: () -> Context
        }
        """,
        """
        machine Lamp
        state off [initial]
        actions {
            dim: (ctx) -> Context
        }
        """,
    ),
    Entry(
        "DUPLICATE_EFFECT",
        "an effect is declared twice",
        "Only one of the declarations could count.",
        """
        machine Shop
        state cart [initial]
        effects { Mail Mail }
        """,
        """
        machine Shop
        state cart [initial]
        effects { Mail }
        """,
    ),
    Entry(
        "DUPLICATE_FIELD",
        "a field or a column is declared twice",
        "Only one of the types and defaults could count.",
        """
        machine Shop
        context {
            total: int = 0
            total: decimal = 0
        }
        state cart [initial]
        """,
        """
        machine Shop
        context {
            total: decimal = 0
        }
        state cart [initial]
        """,
    ),
    Entry(
        "DUPLICATE_BULLET",
        "a state says one thing twice",
        "A state has at most one timeout, one entry action, one exit action and one outcome of each kind.",
        """
        machine Lamp
        state on [initial] {
            timeout: 5s -> off
            timeout: 9s -> off
        }
        state off
        """,
        """
        machine Lamp
        state on [initial] {
            timeout: 5s -> off
        }
        state off
        """,
    ),
    Entry(
        "UNKNOWN_ON_DONE_EVENT",
        "`on_done` names neither a state nor an event",
        "`on_done` leads to a state or raises an event that the machine knows.",
        """
        machine Job
        state work [initial] {
            on_done: reddy
            state step [initial, final]
        }
        state ready
        """,
        """
        machine Job
        state work [initial] {
            on_done: ready
            state step [initial, final]
        }
        state ready
        """,
    ),
    Entry(
        "UNKNOWN_ON_ERROR_EVENT",
        "`on_error` names neither a state nor an event",
        "`on_error` leads to a state or raises an event that the machine knows.",
        """
        machine Job
        state work [initial] { on_error: brokn }
        state broken
        """,
        """
        machine Job
        state work [initial] { on_error: broken }
        state broken
        """,
    ),
    Entry(
        "UNKNOWN_SECTION",
        "a heading is almost the name of a section",
        "Headings that are no sections are prose. This one looks like a slip.",
        """
        # machine Job

        ## state work [initial]

        ## transitionz

        | Source | Event | Target |
        |--------|-------|--------|
        | work   | GO    | work   |
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
        "UNKNOWN_BULLET",
        "a bullet says nothing that a state can say",
        "The bullets of a state are its actions, its outcomes, its timer, what it ignores and what it invokes.",
        """
        # machine Lamp

        ## state on [initial]

        - on_entri: shine
        """,
        """
        # machine Lamp

        ## state on [initial]

        - on_entry: shine
        """,
    ),
    Entry(
        "UNKNOWN_COLUMN",
        "a table has a column that is not read",
        "Columns are found by their headers, in any order and case; this header is none of them.",
        """
        # machine Shop

        ## context

        | Field | Type | Defaultt |
        |-------|------|---------|
        | total | int  | 0       |

        ## state cart [initial]
        """,
        """
        # machine Shop

        ## context

        | Field | Type | Default |
        |-------|------|---------|
        | total | int  | 0       |

        ## state cart [initial]
        """,
    ),
    Entry(
        "PROPERTY_INVALID_STATE",
        "a property names no state",
        "What is to be proved speaks of a state that is not declared.",
        """
        machine Job
        state run [initial]
        state done [final]
        properties { reachable: doen from run }
        """,
        """
        machine Job
        state run [initial]
        state done [final]
        properties { reachable: done from run }
        """,
    ),
    Entry(
        "PROPERTY_AMBIGUOUS_STATE",
        "a property names several states",
        "The simple name may mean several states. Write the path of the one that is meant.",
        """
        machine Jobs
        state upload [initial] { state running [initial] }
        state report { state running [initial] }
        properties { reachable: running from upload }
        """,
        """
        machine Jobs
        state upload [initial] { state running [initial] }
        state report { state running [initial] }
        properties { reachable: report.running from upload }
        """,
    ),
    Entry(
        "PROPERTY_INVARIANT_INVALID",
        "an invariant cannot be evaluated",
        "The expression of the invariant names something that the machine does not declare.",
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        properties { invariant: ctx.totl >= 0 }
        """,
        """
        machine Shop
        context { total: int = 0 }
        state cart [initial]
        properties { invariant: ctx.total >= 0 }
        """,
    ),
)
