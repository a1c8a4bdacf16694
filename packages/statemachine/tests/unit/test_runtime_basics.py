"""The snippets of the published page and what existing users' tests pin, on asyncio and trio."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint
from charts import chart

from orca.common.errors import UsageError
from orca.statemachine import (
    ActionError,
    ActionResult,
    Effect,
    EffectResult,
    Event,
    EventBus,
    EventType,
    LivelockError,
    MachineDef,
    MachineNotActiveError,
    MissingHandlerError,
    OrcaMachine,
    ReentrantSendError,
    Signal,
    StateDef,
    StateValue,
    Transition,
    get_event_bus,
    parse_orca,
    reset_event_bus,
)

pytestmark = pytest.mark.anyio

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

GAME = """
machine GameEngine

context {
    health: int = 100
    inventory: string[]
}

events { start_game, attack, heal }

state idle [initial] { description: "Waiting for player input" }
state combat {
    description: "In combat"
    state fighting [initial] { description: "Actively fighting" }
    state defending { description: "Blocking attacks" }
}
state game_over [final] { description: "Game ended" }

guards { can_heal: ctx.health < 100 }

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


@pytest.fixture(autouse=True)
def fresh_bus():
    reset_event_bus()
    yield
    reset_event_bus()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def machine(text: str, **options) -> OrcaMachine:
    return OrcaMachine(parse_orca(text), EventBus(), **options)


async def test_quick_start(capsys) -> None:
    machine_def = parse_orca(ORDER)
    one = OrcaMachine(machine_def)
    bus = get_event_bus()
    bus.register_effect_handler("Effect", lambda e: EffectResult(status="success", data=e.payload))
    await one.start()
    print(f"Initial state: {one.state}")  # noqa: T201
    await one.send("ORDER_FULFILLED")
    print(f"After event: {one.state}")  # noqa: T201
    await one.stop()
    assert capsys.readouterr().out == "Initial state: pending\nAfter event: fulfilled\n"


async def test_the_constructor_of_the_page(capsys) -> None:
    one = OrcaMachine(
        definition=parse_orca(ORDER),
        event_bus=get_event_bus(),
        context={"order_id": "123"},
        on_transition=lambda old, new: print(f"{old} -> {new}"),  # noqa: T201
    )
    await one.start()
    assert one.context == {"order_id": "123", "status": "pending"}
    await one.send("ORDER_PLACED")
    await one.send("ORDER_FULFILLED")
    assert capsys.readouterr().out == "pending -> pending\npending -> fulfilled\n"


async def test_bus_of_the_page() -> None:
    bus = get_event_bus()
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    bus.subscribe(EventType.STATE_CHANGED, handler)
    event = Event(
        type=EventType.STATE_CHANGED, source="OrderProcessor", payload={"from": "pending", "to": "fulfilled"}
    )
    await bus.publish(event)
    assert seen == [event]

    async def answer(request: Event) -> None:
        assert request.payload == {"type": "availability"}
        await bus.publish(
            Event(
                EventType.SCHEDULING_QUERY_RESPONSE,
                "cal",
                None,
                request.correlation_id,
                payload={"free": [1]},
            )
        )

    bus.subscribe(EventType.SCHEDULING_QUERY, answer)
    response = await bus.request_response(
        request_type=EventType.SCHEDULING_QUERY,
        request_payload={"type": "availability"},
        response_type=EventType.SCHEDULING_QUERY_RESPONSE,
    )
    assert response == {"free": [1]}
    bus.unsubscribe(EventType.SCHEDULING_QUERY, answer)
    with pytest.raises(TimeoutError):
        await bus.request_response("ask", {}, "answer", timeout=0.01)


async def test_effect_handler_of_the_page() -> None:
    async def generate_narrative(payload: dict) -> str:
        return f"{payload['action']} by {payload['event']['who']}"

    async def handle_narrative(effect: Effect) -> EffectResult:
        narrative = await generate_narrative(effect.payload)
        return EffectResult(status="success", data={"narrative": narrative})

    one = machine("""
machine Story
context { narrative: "" }
state a [initial]
state b { on_entry: tell }
transitions { a + GO -> b }
actions { tell: (ctx: Context) -> Context + Effect<NarrativeRequest> }
""")
    one.event_bus.register_effect_handler("NarrativeRequest", handle_narrative)
    await one.start()
    await one.send("GO", {"who": "me"})
    assert one.context["narrative"] == "tell by me"


async def test_the_game_of_the_page() -> None:
    one = machine(GAME)
    one.register_action("start_combat", lambda ctx: {"health": 40})
    one.register_action("apply_heal", lambda ctx, p: {"health": ctx["health"] + p["by"]})
    one.event_bus.register_effect_handler(
        "DamageRequest", lambda e: {"health": e.payload["context"]["health"] - 50}
    )
    await one.start()
    assert one.context == {"health": 100, "inventory": None}
    assert (await one.send("start_game")).to_state == "combat.fighting"
    assert (await one.send("heal", {"by": 60})).taken
    refused = await one.send("heal", {"by": 1})
    assert refused.guard_failed
    assert refused.error == "Guard 'can_heal' failed"
    await one.send("attack")
    await one.send("attack")
    assert one.context["health"] == 0
    # The unguarded row stands first, so the guarded one is never taken (the checker says so).
    assert (await one.send("attack")).to_state == "combat.fighting"


async def test_send_before_start_and_after_stop() -> None:
    one = machine(ORDER)
    with pytest.raises(MachineNotActiveError):
        await one.send("ORDER_PLACED")
    await one.start()
    await one.start()
    await one.stop()
    await one.stop()
    with pytest.raises(MachineNotActiveError):
        await one.send("ORDER_PLACED")


async def test_unhandled_ignored_and_guarded_results() -> None:
    one = machine("""
machine M
context { n: int = 0 }
state a [initial] { ignore: NOISE }
state b
transitions { a + GO [n > 3] -> b }
""")
    await one.start()
    unhandled = await one.send("NOPE")
    assert not unhandled.taken
    assert unhandled.error == "No transition for event NOPE from a"
    ignored = await one.send("NOISE")
    assert (ignored.taken, ignored.ignored, ignored.error) == (False, True, None)
    guarded = await one.send("GO")
    assert guarded.guard_failed
    assert one.statistics()["guard"] == 1
    assert one.statistics()["ignored"] == 1
    assert one.statistics()["unhandled"] == 1


async def test_a_done_machine_takes_nothing() -> None:
    one = machine(ORDER)
    await one.start()
    await one.send("ORDER_FULFILLED")
    assert one.is_done
    late = await one.send("ORDER_PLACED")
    assert not late.taken
    assert late.error is not None
    assert "done" in late.error


async def test_event_objects_and_types() -> None:
    one = machine(ORDER)
    await one.start()
    assert (await one.send(Event("x", event_name="ORDER_PLACED"))).taken
    assert (await one.send(Event("ORDER_PLACED", payload={"a": 1}))).taken
    assert not (await one.send(EventType.STATE_CHANGED)).taken


async def test_empty_context_is_honoured_and_copied() -> None:
    given: dict = {"status": ["x"]}
    one = machine(ORDER, context=given)
    given["status"].append("y")
    assert one.context["status"] == ["x"]
    assert machine(ORDER, context={}).context == {"order_id": "", "status": "pending"}


async def test_mutable_defaults_are_not_shared() -> None:
    text = "machine M\ncontext { xs: int[] = [] }\nstate a [initial]\ntransitions { a + GO -> a : add }"
    definition = parse_orca(text + "\nactions { add: (ctx: Context) -> Context }")
    one, two = OrcaMachine(definition, EventBus()), OrcaMachine(definition, EventBus())
    one.context["xs"].append(1)
    assert two.context["xs"] == []


class Callable:
    def __call__(self, ctx):
        return {"n": ctx["n"] + 1}

    def method(self, ctx, payload):
        return {"n": ctx["n"] + payload.get("by", 0)}


async def _async_handler(ctx, payload=None):
    await checkpoint()
    return {"n": ctx["n"] + 1}


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (lambda: {"n": 7}, 7),
        (lambda ctx: {"n": ctx["n"] + 1}, 1),
        (lambda ctx, payload: {"n": payload["by"]}, 5),
        (lambda *args: {"n": len(args)}, 2),
        (Callable(), 1),
        (Callable().method, 5),
        (_async_handler, 1),
        (lambda ctx: ctx.update(n=3), 3),
        (lambda ctx: "not a mapping", 0),
        (lambda ctx: ActionResult({"n": 9}), 9),
    ],
)
async def test_every_kind_of_handler(handler, expected) -> None:
    one = machine("""
machine M
context { n: int = 0 }
state a [initial]
transitions { a + GO -> a : act }
actions { act: (ctx: Context) -> Context }
""")
    one.register_action("act", handler)
    await one.start()
    for _ in range(2):  # the first event goes the long way, the next one the short way
        one.context["n"] = 0
        await one.send("GO", {"by": 5})
        assert one.context["n"] == expected


COUNTER = """
machine M
context { n: int = 0 }
state a [initial] { on_exit: leave }
state b { on_entry: enter }
transitions { a + GO -> b : act
 b + BACK -> a }
actions { act: (ctx: Context) -> Context
 leave: (ctx: Context) -> Context
 enter: (ctx: Context) -> Context }
"""


@pytest.mark.parametrize("failing", ["act", "leave", "enter"])
@pytest.mark.parametrize("warm", [False, True])
async def test_a_raising_action_leaves_nothing_behind(failing: str, warm: bool) -> None:
    one = machine(COUNTER)
    told: list[str] = []
    one.on_transition = lambda old, new: told.append(str(new))
    broken = not warm

    def handler(name: str):
        def run(ctx):
            ctx["n"] += 1
            if broken and name == failing:
                raise ValueError("no")

        return run

    for name in ("act", "leave", "enter"):
        one.register_action(name, handler(name))
    await one.start()
    if warm:
        await one.send("GO")
        await one.send("BACK")
        broken = True
    before = (dict(one.context), str(one.state), list(told))
    with pytest.raises(ActionError) as caught:
        await one.send("GO")
    assert caught.value.action == failing
    assert caught.value.event == "GO"
    assert isinstance(caught.value.__cause__, ValueError)
    assert (one.context, str(one.state), told) == before
    broken = False
    assert (await one.send("GO")).taken


async def test_on_error_takes_the_transition_with_the_error_as_payload() -> None:
    one = machine("""
machine M
context { why: "" }
state a [initial] { on_error: failed }
state b
state failed { on_entry: note }
transitions { a + GO -> b : act }
actions { act: (ctx: Context) -> Context
 note: (ctx: Context) -> Context }
""")

    def act(ctx):
        ctx["why"] = "half done"
        raise ValueError("no")

    one.register_action("act", act)
    one.register_action("note", lambda ctx, payload: {"why": payload["error"]["message"]})
    await one.start()
    result = await one.send("GO")
    assert result.to_state == "failed"
    assert one.context == {"why": "no"}


async def test_livelock_is_an_error_that_names_the_cycle() -> None:
    states = (StateDef("a", "a", is_initial=True), StateDef("b", "b"), StateDef("c", "c"))
    rows = (Transition("a", "GO", "b"), Transition("b", None, "c"), Transition("c", None, "b"))
    one = OrcaMachine(MachineDef("M", states=states, transitions=rows), EventBus())
    await one.start()
    with pytest.raises(LivelockError, match=r"b -> c -> b|c -> b -> c"):
        await one.send("GO")
    assert one.state == "a"


async def test_reentrant_sends_are_queued_and_awaiting_them_is_an_error() -> None:
    one = machine(COUNTER)
    caught: list[Exception] = []

    async def act(ctx):
        try:
            await one.send("BACK")
        except ReentrantSendError as error:
            caught.append(error)

    one.register_action("act", act)
    await one.start()
    for _ in range(2):
        assert (await one.send("GO")).to_state == "b"
        assert one.state == "a"
    assert len(caught) == 2


async def test_a_lambda_that_returns_a_send() -> None:
    one = machine(COUNTER)
    one.register_action("act", lambda ctx: one.send("BACK"))
    await one.start()
    assert (await one.send("GO")).to_state == "b"
    assert one.state == "a"


async def test_what_a_failed_event_sent_was_never_sent() -> None:
    one = machine(COUNTER)

    def act(ctx):
        one.send("BACK")
        one.raise_event("BACK")
        raise ValueError("no")

    one.register_action("act", act)
    await one.start()
    with pytest.raises(ActionError):
        await one.send("GO")
    assert one.state == "a"
    one.unregister_action("act")
    await one.send("GO")
    assert one.state == "b"


async def test_raised_events_belong_to_the_macrostep() -> None:
    one = machine(COUNTER)
    told: list[str] = []
    one.on_transition = lambda old, new: told.append(f"{old}->{new}")
    one.register_action("act", lambda ctx: one.raise_event("BACK"))
    await one.start()
    for _ in range(2):
        assert (await one.send("GO")).to_state == "a"
    assert told == ["a->a", "a->a"]
    one.register_action("act", lambda ctx: ActionResult({"n": 4}, [Signal("BACK")]))
    assert (await one.send("GO")).to_state == "a"
    assert one.context["n"] == 4
    with pytest.raises(ReentrantSendError):
        one.raise_event("BACK")


async def test_concurrent_senders_are_served_in_order() -> None:
    one = machine("""
machine M
context { n: int = 0 }
state a [initial]
transitions { a + GO -> a : act }
actions { act: (ctx: Context) -> Context }
""")
    order: list[int] = []

    async def act(ctx, payload):
        value = ctx["n"]
        await checkpoint()
        order.append(payload["i"])
        return {"n": value + 1}

    one.register_action("act", act)
    await one.start()

    async def sender(i: int) -> None:
        await one.send("GO", {"i": i})

    async with anyio.create_task_group() as group:
        for i in range(100):
            group.start_soon(sender, i)
    assert one.context["n"] == 100
    assert sorted(order) == list(range(100))
    assert one.statistics()["queued"] == 0


async def test_a_cancelled_sender_loses_only_its_own_event() -> None:
    one = machine("""
machine M
context { n: int = 0 }
state a [initial]
transitions { a + GO -> a : act }
actions { act: (ctx: Context) -> Context }
""")
    gate = anyio.Event()

    async def act(ctx, payload):
        if payload.get("wait"):
            await gate.wait()
        return {"n": ctx["n"] + 1}

    one.register_action("act", act)
    await one.start()
    async with anyio.create_task_group() as group:

        async def cancelled() -> None:
            with anyio.move_on_after(0.05):
                await one.send("GO", {"wait": True})

        group.start_soon(cancelled)
        await checkpoint()
        await checkpoint()
        await one.send("GO")
        await one.send("GO")
    assert one.context["n"] == 2


async def test_a_ticket_can_be_a_task() -> None:
    one = machine(COUNTER)
    gate = anyio.Event()

    async def act(ctx):
        await gate.wait()

    one.register_action("act", act)
    await one.start()
    results = []

    async def collect(awaitable) -> None:
        results.append(await awaitable)

    async with anyio.create_task_group() as group:
        group.start_soon(collect, one.send("GO"))
        while not one.statistics()["queued"] and not gate.is_set():
            await checkpoint()
            ticket = one.send("BACK")
            if type(ticket).__name__ == "Ticket":
                group.start_soon(collect, ticket)
                gate.set()
            else:
                ticket.close()
    assert [r.taken for r in results] == [True, True]


async def test_strict_mode() -> None:
    definition = parse_orca(GAME)
    one = OrcaMachine(definition, EventBus(), strict=True)
    with pytest.raises(MissingHandlerError) as caught:
        await one.start()
    assert set(caught.value.missing) == {"start_combat", "Effect<DamageRequest>", "apply_heal", "end_game"}
    kept: list[dict] = []

    @one.action("start_combat")
    def start_combat(ctx):
        ctx["inventory"] = ["sword"]
        kept.append(ctx)
        return {"health": 30}

    one.register_action("apply_heal", lambda: None)
    one.register_action("end_game", lambda: None)

    @one.effect("DamageRequest")
    def damage(effect):
        return {"health": 1}

    assert one.missing_handlers() == ()
    await one.start()
    await one.send("start_game")
    assert one.context == {"health": 30, "inventory": ["sword"]}
    kept[0]["inventory"].append("changed later")
    assert one.context["inventory"] == ["sword"]


async def test_guards_in_python() -> None:
    one = machine(GAME)
    asked: list[int] = []

    @one.guard("can_heal")
    async def can_heal(ctx):
        await checkpoint()
        asked.append(ctx["health"])
        return ctx["health"] == 100

    await one.start()
    await one.send("start_game")
    assert (await one.send("heal")).taken
    assert asked == [100]
    one.register_guard("can_heal", lambda: False)
    assert (await one.send("heal")).guard_failed


async def test_wait_for() -> None:
    one = machine(GAME)
    with pytest.raises(MachineNotActiveError):
        await one.wait_for("combat")
    await one.start()
    with pytest.raises(UsageError):
        await one.wait_for("nowhere")
    with pytest.raises(TimeoutError):
        await one.wait_for("combat", timeout_s=0.01)
    async with anyio.create_task_group() as group:
        group.start_soon(one.send, "start_game")
        assert await one.wait_for("combat.fighting", timeout_s=60) == "combat.fighting"
    assert await one.wait_for("fighting") == "combat.fighting"
    assert one.matches("combat")
    assert not one.matches("idle")


async def test_observers_cannot_disturb() -> None:
    bus = EventBus()
    one = OrcaMachine(parse_orca(ORDER), bus)
    seen: list[str] = []

    async def slow(event):
        await checkpoint()
        seen.append(event.payload["to"])

    def broken(event):
        raise ValueError("subscriber")

    async def broken_too(event):
        raise ValueError("async subscriber")

    for handler in (slow, broken, broken_too):
        bus.subscribe(EventType.STATE_CHANGED, handler)

    def observer(old, new):
        raise ValueError("observer")

    one.on_transition = observer
    await one.start()
    assert (await one.send("ORDER_PLACED")).taken
    assert seen == ["pending"]
    assert sorted(str(e.error) for e in bus.errors) == ["async subscriber", "observer", "subscriber"]


async def test_everything_is_published() -> None:
    bus = EventBus()
    seen: list[tuple[str, dict]] = []
    for kind in EventType:
        bus.subscribe(kind, lambda e: seen.append((e.type.name, e.payload)))
    one = OrcaMachine(parse_orca(GAME), bus)
    bus.register_effect_handler("DamageRequest", lambda e: EffectResult("failure", error="missed"))
    async with one:
        await one.send("start_game")
        await one.send("attack")
    assert [name for name, _payload in seen] == [
        "MACHINE_STARTED",
        "TRANSITION_STARTED",
        "TRANSITION_COMPLETED",
        "STATE_CHANGED",
        "EFFECT_EXECUTING",
        "EFFECT_FAILED",
        "TRANSITION_STARTED",
        "TRANSITION_COMPLETED",
        "STATE_CHANGED",
        "MACHINE_STOPPED",
    ]
    assert seen[3][1]["from"] == "idle"
    assert seen[3][1]["to"] == "combat.fighting"
    assert seen[5][1]["error"] == "missed"


def test_state_values() -> None:
    value = StateValue({"order": {"pay": {"charging": {}}, "ship": {"packing": {}}}})
    assert str(value) == "order.pay.charging, order.ship.packing"
    assert value.leaf() == "charging"
    assert value.leaves() == ["charging", "packing"]
    assert value.parent_names() == ["order"]
    assert value == "order.pay.charging, order.ship.packing"
    assert value == {"order": {"pay": {"charging": {}}, "ship": {"packing": {}}}}
    assert value != "order"
    assert value != 3
    assert hash(value) == hash(StateValue(value.value))
    value.value["order"].clear()  # a copy
    assert value.is_compound()
    assert StateValue("a") == "a"
    assert StateValue("a").parent_names() == []
    assert repr(StateValue("a")) == "StateValue('a')"


def test_a_machine_is_small_and_needs_no_task() -> None:
    definition = parse_orca(ORDER)

    async def main() -> int:
        machines = [OrcaMachine(definition, EventBus()) for _ in range(200)]
        for one in machines:
            await one.start()
            await one.send("ORDER_PLACED")
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_a_task_that_is_cancelled_while_it_serves_others_passes_the_turn_on() -> None:
    async def main() -> None:
        machine = OrcaMachine(chart({"a*": {}}, ["a GO -> / go", "a OWN -> / own"], traced=False), EventBus())
        ran: list[str] = []
        begun = asyncio.Event()

        async def go() -> None:
            if not ran:
                machine.send("OWN")
            ran.append("go")

        async def own() -> None:
            ran.append("own begins")
            begun.set()
            await asyncio.sleep(0)
            ran.append("own ends")

        machine.register_action("go", go)
        machine.register_action("own", own)
        await machine.start()
        first = asyncio.create_task(_sent(machine, "GO"))
        await begun.wait()
        first.cancel()  # asyncio's own cancellation, which anyio's shields do not hold off
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await asyncio.wait_for(_sent(machine, "GO"), 60)).taken
        assert ran == ["go", "own begins", "own begins", "own ends", "go"]
        assert machine.statistics()["queued"] == 0

    asyncio.run(main())


async def _sent(machine: OrcaMachine, event: str):
    return await machine.send(event)


async def test_what_an_event_sent_outlives_the_failure_of_a_later_one() -> None:
    machine = OrcaMachine(
        chart({"a*": {}}, ["a GO -> / go", "a BAD -> / bad", "a GOOD -> / n+1"], traced=False), EventBus()
    )

    def go() -> None:
        machine.send("BAD")
        machine.send("GOOD")

    def bad() -> None:
        raise ValueError("no")

    machine.register_action("go", go)
    machine.register_action("bad", bad)
    machine.register_action("n+1", lambda ctx: {"n": ctx["n"] + 1})
    async with machine:
        await machine.send("GO")
        assert machine.context["n"] == 1
    assert len(machine.event_bus.errors) == 1
