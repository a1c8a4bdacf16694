"""The parts of a running machine one by one: transitions that are told, the bus, a question, an effect."""

from __future__ import annotations

import asyncio

import quick_start

from orca.statemachine import Effect, EffectResult, Event, EventType, OrcaMachine, get_event_bus, parse_orca


async def transitions() -> None:
    """Tell every change of state, with a context of its own."""
    machine_def = parse_orca(quick_start.orca_source)
    machine = OrcaMachine(
        definition=machine_def,
        event_bus=get_event_bus(),
        context={"order_id": "123"},
        on_transition=lambda old, new: print(f"{old} -> {new}"),
    )
    async with machine:
        await machine.send("ORDER_PLACED")
        await machine.send("ORDER_FULFILLED")


async def handler(event: Event) -> None:
    """Show an event."""
    print(event.source, event.payload)


async def calendar(event: Event) -> None:
    """Answer a question: the correlation id says which one."""
    free = {"free": event.payload["type"] == "availability"}
    response = EventType.SCHEDULING_QUERY_RESPONSE
    await get_event_bus().publish(Event(response, "calendar", None, event.correlation_id, payload=free))


async def events() -> None:
    """Publish, subscribe, ask."""
    bus = get_event_bus()
    bus.subscribe(EventType.SCHEDULING_QUERY, calendar)

    bus.subscribe(EventType.STATE_CHANGED, handler)
    await bus.publish(Event(
        type=EventType.STATE_CHANGED,
        source="OrderProcessor",
        payload={"from": "pending", "to": "fulfilled"},
    ))
    response = await bus.request_response(
        request_type=EventType.SCHEDULING_QUERY,
        request_payload={"type": "availability"},
        response_type=EventType.SCHEDULING_QUERY_RESPONSE,
    )
    print("free:", response["free"])


async def generate_narrative(payload: dict) -> str:
    """Stand in for a language model."""
    return f"You {payload['action']} around."


async def handle_narrative(effect: Effect) -> EffectResult:
    narrative = await generate_narrative(effect.payload)
    return EffectResult(status="success", data={"narrative": narrative})


async def main() -> None:
    """Everything in order."""
    await transitions()
    await events()
    bus = get_event_bus()
    bus.register_effect_handler("NarrativeRequest", handle_narrative)
    result = await bus.execute_effect(Effect("NarrativeRequest", {"action": "look"}))
    print(result.data["narrative"])


if __name__ == "__main__":
    asyncio.run(main())
