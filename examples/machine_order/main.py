"""An order from a text to a running machine: states, a guard, an action, an effect."""

from __future__ import annotations

import asyncio

from orca.statemachine import Effect, EffectResult, EventBus, OrcaMachine, parse_orca

SOURCE = """
machine OrderProcessor

context {
    order_id: ""
    paid: 0
}

state pending [initial] "Order received"
state fulfilled [final] "Order complete"

guards {
    enough: ctx.paid + event.amount >= 100
}

transitions {
    pending + PAY [enough] -> fulfilled : ship
    pending + PAY -> pending : add
}

actions {
    add: (ctx, event) -> Context
    ship: (ctx, event) -> Context + Effect<Shipment>
}
"""


async def ship(effect: Effect) -> EffectResult:
    """Send the parcel."""
    order_id = effect.payload["context"]["order_id"]
    return EffectResult(status="success", data={"parcel": f"parcel of {order_id}"})


async def main() -> None:
    """Pay in two parts."""
    bus = EventBus()
    bus.register_effect_handler("Shipment", ship)
    machine = OrcaMachine(
        parse_orca(SOURCE),
        event_bus=bus,
        context={"order_id": "A-17"},
        on_transition=lambda old, new: print(f"{old} -> {new}"),
    )
    machine.register_action("add", lambda context, event: {"paid": context["paid"] + event["amount"]})
    async with machine:
        print(f"Initial state: {machine.state}")
        await machine.send("PAY", {"amount": 60})
        await machine.send("PAY", {"amount": 40})
        print(f"After payment: {machine.state}, {machine.context['parcel']}")


if __name__ == "__main__":
    asyncio.run(main())
