"""Machines built by hand that the tests of outputs and verifier share."""

from __future__ import annotations

from orca.statemachine.expr import GuardCompare, GuardRef, ValueRef, VariableRef
from orca.statemachine.model import (
    ActionSignature,
    ContextField,
    EventDef,
    GuardDef,
    InvokeDef,
    MachineDef,
    OutcomeRef,
    ParallelDef,
    RegionDef,
    StateDef,
    TimeoutDef,
    Transition,
    TypeRef,
)


def field(name: str, kind: str, default: object = None, **more: object) -> ContextField:
    return ContextField(name, TypeRef(kind, **more), default, default is not None)


def ctx(name: str) -> VariableRef:
    return VariableRef(("ctx", name))


def payload(name: str) -> VariableRef:
    return VariableRef(("event", name))


def number(value: float) -> ValueRef:
    return ValueRef("number", value)


def compare(name: str, op: str, value: float) -> GuardCompare:
    return GuardCompare(op, ctx(name), number(value))


def flat(name: str, text: str, *rows: Transition, **more: object) -> MachineDef:
    """A machine of simple states: ``a b. c`` - the first is initial, a dot marks a final one."""
    words = text.split()
    states = tuple(
        StateDef(word.strip("."), word.strip("."), is_initial=i == 0, is_final=word.endswith("."))
        for i, word in enumerate(words)
    )
    events = tuple(EventDef(e) for e in dict.fromkeys(row.event for row in rows if row.event))
    return MachineDef(name, states=states, transitions=rows, **{"event_defs": events, **more})


def order() -> MachineDef:
    """The first machine of the documentation."""
    return MachineDef(
        "OrderProcessor",
        fields=(field("order_id", "string", ""), field("status", "string", "pending")),
        states=(
            StateDef("pending", "pending", is_initial=True, description="Order received"),
            StateDef("fulfilled", "fulfilled", is_final=True, description="Order complete"),
        ),
        transitions=(
            Transition("pending", "ORDER_PLACED", "pending"),
            Transition("pending", "ORDER_FULFILLED", "fulfilled"),
        ),
    )


def game() -> MachineDef:
    """A machine with nested states, guards, effects and a shadowed transition."""
    return MachineDef(
        "GameEngine",
        fields=(
            field("health", "int", 100),
            ContextField("inventory", TypeRef("list", (TypeRef("string"),))),
        ),
        event_defs=tuple(EventDef(name) for name in ("start_game", "attack", "heal")),
        states=(
            StateDef("idle", "idle", is_initial=True, description="Waiting for player input"),
            StateDef(
                "combat",
                "combat",
                description="In combat",
                states=(
                    StateDef("fighting", "combat.fighting", is_initial=True, description="Actively fighting"),
                    StateDef("defending", "combat.defending", description="Blocking attacks"),
                ),
            ),
            StateDef("game_over", "game_over", is_final=True, description="Game ended"),
        ),
        transitions=(
            Transition("idle", "start_game", "combat", None, "start_combat"),
            Transition("combat", "attack", "combat", None, "resolve_attack"),
            Transition("combat", "heal", "combat", GuardRef("can_heal"), "apply_heal"),
            Transition("combat", "attack", "game_over", compare("health", "le", 0), "end_game"),
        ),
        guard_defs=(GuardDef("can_heal", compare("health", "lt", 100)),),
        actions=(
            ActionSignature("start_combat"),
            ActionSignature("resolve_attack", effect_type="DamageRequest"),
            ActionSignature("apply_heal"),
            ActionSignature("end_game"),
        ),
    )


def _region(parent: str, name: str, *names: str) -> RegionDef:
    path = f"{parent}.{name}"
    states = tuple(
        StateDef(
            state.strip("."),
            f"{path}.{state.strip('.')}",
            is_initial=i == 0,
            is_final=state.endswith("."),
            on_entry="note" if i == 1 else None,
        )
        for i, state in enumerate(names)
    )
    return RegionDef(name, path, states)


def fulfilment() -> MachineDef:
    """A machine with three regions, timeout, outcomes, an invoked child, ``*`` and an internal transition."""
    pay, ship = "processing.payment", "processing.shipping"
    parallel = StateDef(
        "processing",
        "processing",
        description="Payment and shipping at the same time",
        parallel=ParallelDef(
            (
                _region("processing", "payment", "charging", "retry", "paid."),
                _region("processing", "shipping", "picking", "packing", "shipped", "delivered."),
                _region("processing", "mail", "queue", "sent."),
            )
        ),
        on_done=OutcomeRef("state", "complete"),
        on_error=OutcomeRef("state", "failed"),
        timeout=TimeoutDef(1_800_000, "failed"),
    )
    return MachineDef(
        "Fulfilment",
        fields=(field("attempts", "int", 0),),
        states=(
            StateDef("cart", "cart", is_initial=True, ignore=("PING",)),
            parallel,
            StateDef("complete", "complete", is_final=True),
            StateDef(
                "failed",
                "failed",
                invoke=InvokeDef("Refund", (("order", ctx("attempts")), ("full", ValueRef("boolean", True)))),
                on_done=OutcomeRef("state", "cart"),
                on_error=OutcomeRef("event", "CANCEL"),
                on_entry="alert",
                on_exit="calm",
            ),
        ),
        transitions=(
            Transition("cart", "CHECKOUT", "processing", None, "reserve"),
            Transition(f"{pay}.charging", "PAID", f"{pay}.paid"),
            Transition(f"{pay}.charging", "DECLINED", f"{pay}.retry"),
            Transition(f"{pay}.retry", "AGAIN", f"{pay}.charging"),
            Transition(f"{pay}.retry", "GIVE_UP", "failed", compare("attempts", "gt", 3)),
            Transition(f"{ship}.picking", "PICKED", f"{ship}.packing"),
            Transition(f"{ship}.packing", "PACKED", f"{ship}.shipped"),
            Transition(f"{ship}.shipped", "DELIVERED", f"{ship}.delivered"),
            Transition(f"{ship}.shipped", "SCAN", None, None, "track"),
            Transition("processing.mail.queue", "SENT", "processing.mail.sent"),
            Transition("*", "CANCEL", "failed"),
            Transition("failed", "RESTART", f"{ship}.packing"),
        ),
    )


def thirty() -> MachineDef:
    """Thirty states in groups, with jumps forwards and backwards."""
    states: list[StateDef] = []
    paths: list[str] = []
    for i in range(0, 30, 5):
        group = f"group_{i}"
        inner = tuple(StateDef(f"part_{i}_{k}", f"{group}.part_{i}_{k}", is_initial=k == 0) for k in range(3))
        states += [
            StateDef(f"step_{i}", f"step_{i}", is_initial=i == 0),
            StateDef(group, group, states=inner),
        ]
        paths += [f"step_{i}", *(part.path for part in inner)]
    states[-2:] = [states[-2], states[-1], StateDef("end", "end", is_final=True)]
    paths.append("end")
    rows = [Transition(one, f"NEXT_{i}", paths[i + 1]) for i, one in enumerate(paths[:-1])]
    rows += [
        Transition(paths[i], f"JUMP_{i}", paths[(i * 7 + 3) % len(paths)], compare("count", "gt", i))
        for i in range(0, len(paths) - 1, 3)
    ]
    return MachineDef(
        "Thirty", fields=(field("count", "int", 0),), states=tuple(states), transitions=tuple(rows)
    )


SAMPLES = {"order": order, "game": game, "fulfilment": fulfilment, "thirty": thirty}
