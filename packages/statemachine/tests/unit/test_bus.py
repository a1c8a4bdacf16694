"""The bus: transports, bounded queues, order, subscribers that fail."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from charts import chart

from orca.common.errors import UsageError
from orca.statemachine import Event, EventBus, EventType, OrcaMachine
from orca.statemachine.runtime.bus import LocalTransport, Transport
from orca.statemachine.runtime.queued import QueuedTransport, SubscriberFullError

pytestmark = pytest.mark.anyio
SWING = chart({"a*": {}, "b": {}}, ["a GO -> b", "b GO -> a"], traced=False)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Broker:
    """A transport that carries events as text, as one to another process would."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict]] = []
        self.handlers: dict[str, list] = {}

    async def publish(self, event: Event) -> None:
        self.sent.append((str(getattr(event.type, "value", event.type)), dict(event.payload)))
        for handler in self.handlers.get(self.sent[-1][0], ()):
            handler(Event(event.type, event.source, payload=dict(event.payload)))

    def subscribe(self, event_type: str, handler) -> None:
        self.handlers.setdefault(event_type, []).append(handler)

    def unsubscribe(self, event_type: str, handler) -> None:
        self.handlers[event_type].remove(handler)

    def watches(self, event_type: str) -> bool:
        return True


async def test_machines_do_not_notice_the_transport() -> None:
    broker: Transport = Broker()
    machine = OrcaMachine(SWING, EventBus(broker))
    async with machine:
        await machine.send("GO")
    kinds = [kind for kind, _payload in broker.sent]
    assert kinds == [
        EventType.MACHINE_STARTED.value,
        EventType.TRANSITION_STARTED.value,
        EventType.TRANSITION_COMPLETED.value,
        EventType.STATE_CHANGED.value,
        EventType.MACHINE_STOPPED.value,
    ]
    assert broker.sent[3][1]["from"] == "a"


async def test_publishers_wait_only_for_a_full_queue() -> None:
    bus = EventBus(queue_max=3)
    gate, seen, published = anyio.Event(), [], []

    async def slow(event: Event) -> None:
        await gate.wait()
        seen.append(event.payload["n"])

    async def publish() -> None:
        for n in range(10):
            await bus.publish(Event("x", payload={"n": n}))
            published.append(n)

    bus.subscribe("x", slow)
    async with anyio.create_task_group() as group:
        group.start_soon(publish)
        while len(published) < 4:
            await checkpoint()
        for _ in range(20):
            await checkpoint()
        assert published == [0, 1, 2, 3]  # one is being handled, three wait, the fifth has no room
        assert seen == []
        gate.set()
    await bus.drain()
    assert seen == list(range(10))


async def test_a_slow_subscriber_does_not_hold_up_a_machine_or_another_subscriber() -> None:
    bus = EventBus(queue_max=100)
    gate, quick, slow = anyio.Event(), [], []

    async def wait(event: Event) -> None:
        await gate.wait()
        slow.append(event.payload["to"])

    bus.subscribe(EventType.STATE_CHANGED, wait)
    bus.subscribe(EventType.STATE_CHANGED, lambda event: quick.append(event.payload["to"]))
    async with OrcaMachine(SWING, bus) as machine:
        for _ in range(50):
            await machine.send("GO")
        while len(quick) < 50:
            await checkpoint()
        assert slow == []
        gate.set()
        await bus.drain()
    assert slow == quick == ["b", "a"] * 25


async def test_the_order_of_each_source_is_kept() -> None:
    bus = EventBus(queue_max=2)
    seen: dict[str, list[int]] = {"one": [], "two": []}

    async def note(event: Event) -> None:
        await checkpoint()
        seen[event.source].append(event.payload["n"])

    async def publish(source: str) -> None:
        for n in range(30):
            await bus.publish(Event("x", source, payload={"n": n}))

    bus.subscribe("x", note)
    async with anyio.create_task_group() as group:
        group.start_soon(publish, "one")
        group.start_soon(publish, "two")
    await bus.drain()
    assert seen == {"one": list(range(30)), "two": list(range(30))}


@pytest.mark.parametrize("queue_max", [None, 5])
async def test_failing_subscribers_are_reported_and_disturb_nobody(queue_max) -> None:
    bus = EventBus(queue_max=queue_max)
    seen: list[int] = []

    def broken(event: Event) -> None:
        raise ValueError("sync")

    async def also_broken(event: Event) -> None:
        await checkpoint()
        raise ValueError("async")

    for handler in (broken, also_broken, lambda event: seen.append(event.payload["n"])):
        bus.subscribe("x", handler)
    for n in range(3):
        await bus.publish(Event("x", payload={"n": n}))
    await bus.drain()
    assert seen == [0, 1, 2]
    assert sorted(str(failure.error) for failure in bus.errors) == ["async"] * 3 + ["sync"] * 3
    assert all("broken" in failure.where and failure.event is not None for failure in bus.errors)


async def test_publishing_to_oneself_without_room_is_an_error() -> None:
    bus = EventBus(queue_max=1)
    done: list[int] = []

    async def echo(event: Event) -> None:
        done.append(event.payload["n"])
        if event.payload["n"] == 0:
            await bus.publish(Event("x", payload={"n": 1}))
            await bus.publish(Event("x", payload={"n": 2}))

    bus.subscribe("x", echo)
    await bus.publish(Event("x", payload={"n": 0}))
    await bus.drain()
    assert done == [0, 1]
    assert isinstance(bus.errors[0].error, SubscriberFullError)


async def test_who_leaves_gets_nothing_more_and_frees_who_waits() -> None:
    bus = EventBus(queue_max=1)
    gate, seen = anyio.Event(), []

    async def slow(event: Event) -> None:
        await gate.wait()
        seen.append(event.payload["n"])

    bus.subscribe("x", slow)
    bus.subscribe("x", slow)  # once is enough
    async with anyio.create_task_group() as group:
        for n in range(4):
            group.start_soon(bus.publish, Event("x", payload={"n": n}))
        for _ in range(10):
            await checkpoint()
        bus.unsubscribe("x", slow)
        bus.unsubscribe("x", slow)
        assert not bus.watches("x")
        gate.set()
    assert len(seen) <= 2
    await bus.publish(Event("x", payload={"n": 9}))
    assert 9 not in seen


def test_options_of_a_bus() -> None:
    with pytest.raises(UsageError, match="room for one"):
        EventBus(queue_max=0)
    with pytest.raises(UsageError, match="transport or queue_max"):
        EventBus(Broker(), queue_max=5)
    bus = EventBus()
    assert isinstance(bus._transport, LocalTransport)
    assert isinstance(EventBus(queue_max=2)._transport, QueuedTransport)
