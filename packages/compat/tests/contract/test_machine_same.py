"""Programs that print the same with orca-runtime-python 0.1.30 and with this package."""

# ruff: noqa: E501 - programs read better with their lines as they are

from __future__ import annotations

import json
from pathlib import Path

import pytest
from machines import HEAD, published, run_both
from programs import Outcome, run_program

ORDER = """
ORDER = '''# machine Order
- version: 1.2.0
## context
| Field | Type | Default |
|---|---|---|
| total | int | 0 |
| note | string | "none" |
| paid | bool | false |
## events
- ADD, PAY
- CANCEL
## state open [initial]
> waiting for items
- on_entry: greet
- ignore: CANCEL
## state paid [final]
> done
## guards
| Name | Expression |
|---|---|
| enough | `ctx.total >= 10 and event.amount == ctx.total` |
| few | `ctx.total < 10 or not (ctx.note != "none")` |
| named | `ctx.note is not null` |
## actions
| Name | Signature |
|---|---|
| greet | `(ctx) -> Context` |
| add | `(ctx, event) -> Context` |
| log | `(ctx) -> Context + Effect<Log>` |
## effects
| Name | Input | Output |
|---|---|---|
| Log | `{ text: string }` | `{ ok: bool }` |
## returns
| Name | Type | Statistics |
|---|---|---|
| total | int | expectation, variance |
## transitions
| Source | Event | Guard | Target | Action |
|---|---|---|---|---|
| open | ADD | | open | add |
| open | PAY | enough | paid | |
'''
"""
PROGRAMS = {
    "a definition": ORDER
    + """
from dataclasses import asdict
m = parse_orca_md(ORDER)
print(m.name, m.version, m.context, m.events)
print([(s.name, s.is_initial, s.is_final, s.on_entry, s.on_exit, s.on_done, s.description, s.contains, s.parallel, s.parent, s.timeout, s.ignored_events, s.invoke) for s in m.states])
print([(t.source, t.event, t.guard, t.target, t.action) for t in m.transitions])
for name, guard in m.guards.items():
    print(name, type(guard).__name__, asdict(guard))
print(m.actions)
print(m.effects)
print(m.returns)
""",
    "nested definitions": """
text = '''# machine m
## state a [initial]
- timeout: 5s -> p
## state p [parallel, sync: any-final]
- on_done: z
### region r
#### state b [initial]
- on_exit: out
#### state c [final]
### region s
#### state d [initial]
## state q
### state e [initial]
### state f
## state z [final]
''' + table("a GO p", "b NEXT c", "p X q", "e Y f")
m = parse_orca_md(text)
def show(states, depth=0):
    for s in states:
        print("  " * depth, s.name, s.parent, s.is_initial, s.is_final, s.on_exit, s.on_done, s.timeout)
        show(s.contains, depth + 1)
        if s.parallel:
            print(s.parallel.sync)
            for r in s.parallel.regions:
                print("  " * depth, "region", r.name)
                show(r.states, depth + 1)
show(m.states)
""",
    "a run": ORDER
    + """
async def main():
    seen = []
    async def tell(old, new):
        seen.append(f"{old} -> {new}")
    machine = OrcaMachine(parse_orca_md(ORDER), EventBus(), on_transition=tell)
    machine.register_action("greet", lambda c, e: {"note": "hello"})
    async def add(context, event):
        return {"total": context["total"] + event["amount"]}
    machine.register_action("add", add)
    print(machine.is_active, machine.state, repr(machine.state))
    try:
        await machine.send("ADD")
    except MachineNotActiveError as error:
        print(isinstance(error, RuntimeError))
    await machine.start()
    print(machine.context)
    for name, payload in [("ADD", {"amount": 4}), ("PAY", {"amount": 4}), ("CANCEL", None), ("WHAT", None), ("ADD", {"amount": 6}), ("PAY", {"amount": 10})]:
        r = await machine.send(name, payload)
        print(name, r.taken, r.from_state, r.to_state, r.to_state_leaf, r.guard_failed, bool(r.error), machine.context["total"])
    print(seen, machine.is_active)
    await machine.stop()
    print(machine.is_active)
asyncio.run(main())
""",
    "state values": """
for value in ("a", {"p": {"a": {}}}, {"p": {"r": {"a": {}}, "s": {"b": {}}}}):
    s = StateValue(value)
    print(s, repr(s), s.value, s.leaf(), s.leaves(), s.is_compound(), s.parent_names(), s == value, s == StateValue(value), s == 3)
""",
    "the bus": """
async def main():
    bus, seen = EventBus(), []
    async def handler(event):
        seen.append((event.type.value, event.source, event.payload))
    async def broken(event):
        raise ValueError("no")
    bus.subscribe(EventType.WORKFLOW_STATE_CHANGED, handler)
    bus.subscribe(EventType.WORKFLOW_STATE_CHANGED, handler)
    bus.subscribe(EventType.WORKFLOW_STATE_CHANGED, broken)
    event = Event(type=EventType.WORKFLOW_STATE_CHANGED, source="me", payload={"a": 1})
    await bus.publish(event)
    bus.unsubscribe(EventType.WORKFLOW_STATE_CHANGED, handler)
    await bus.publish(event)
    print(seen, event)
    async def answer(event):
        await bus.publish(Event(type=EventType.SCHEDULING_QUERY_RESPONSE, source="b", correlation_id=event.correlation_id, payload={"x": event.payload["x"] + 1}))
    bus.subscribe(EventType.SCHEDULING_QUERY, answer)
    print(await bus.request_response(EventType.SCHEDULING_QUERY, {"x": 1}, EventType.SCHEDULING_QUERY_RESPONSE))
    bus.unsubscribe(EventType.SCHEDULING_QUERY, answer)
    try:
        await bus.request_response(EventType.SCHEDULING_QUERY, {}, EventType.SCHEDULING_QUERY_RESPONSE, correlation_id="c1", timeout=0.05)
    except TimeoutError as error:
        print(error)
    async def work(effect):
        return EffectResult(status=EffectStatus.SUCCESS, data=effect.payload)
    async def fail(effect):
        raise ValueError("broken")
    bus.register_effect_handler("Work", work)
    bus.register_effect_handler("Fail", fail)
    for kind in ("Work", "Fail", "None"):
        r = await bus.execute_effect(Effect(type=kind, payload={"k": 1}))
        print(r.status, r.data, r.error)
    print(bus.effect_handler_types, get_event_bus() is get_event_bus())
asyncio.run(main())
""",
    "effects": """
from orca_runtime_python import effects
async def main():
    registry = effects.get_effect_registry()
    print(registry.effect_types, registry is effects.get_effect_registry(), registry.has_handler("Effect"))
    r = await registry.execute(Effect("NarrativeRequest", {"action": "look", "context": {"current_location": "hall"}}))
    print(r.status, r.data)
    print(await registry.execute(Effect("Effect")) is None, (await registry.execute(Effect("Nothing"))).error)
    @effects.effect_handler("Mine")
    async def mine(effect):
        return EffectResult(EffectStatus.SUCCESS, effect.payload["n"] + 1)
    print(mine._effect_type)
    effects.register_effect_handlers(registry, {"Mine": mine})
    print((await effects.EffectType("Mine", registry.get_handler("Mine")).execute({"n": 1})).data)
    effects.reset_effect_registry()
    print(effects.get_effect_registry().has_handler("Mine"))
    print(effects.MoveResponse("hall", "a hall"), effects.SaveResponse(True, 1), effects.LoadRequest("s"), effects.NarrativeRequest("look", {}))
asyncio.run(main())
""",
    "an effect on entry": """
text = '''# machine m
## state a [initial]
## state b
- on_entry: shout
## actions
| Name | Signature |
|---|---|
| shout | `(ctx) -> Context + Effect<Noise>` |
''' + table("a GO b")
async def main():
    bus, seen = EventBus(), []
    async def note(event):
        seen.append((event.type.value, event.payload.get("effect")))
    for kind in (EventType.EFFECT_EXECUTING, EventType.EFFECT_COMPLETED, EventType.EFFECT_FAILED):
        bus.subscribe(kind, note)
    async def noise(effect):
        return EffectResult(EffectStatus.SUCCESS, {"heard": effect.payload["action"]})
    bus.register_effect_handler("Noise", noise)
    machine = await play(text, "GO", event_bus=bus)
    print(machine.context, seen)
asyncio.run(main())
""",
    "snapshots": ORDER
    + """
async def main():
    machine = await play(ORDER, actions={"add": lambda c, e: {"total": 5}})
    await machine.send("ADD", {"amount": 5})
    snap = machine.snapshot()
    print({k: snap[k] for k in ("machine", "definition_version", "state", "context", "children", "active_invoke")})
    snap["context"]["total"] = 99
    print(machine.context["total"])
    other = OrcaMachine(parse_orca_md(ORDER), EventBus())
    seen = []
    other.register_action("greet", lambda c, e: seen.append("greeted"))
    await other.resume(json.loads(json.dumps(machine.snapshot())))
    print(other.state, other.context, other.is_active, seen)
    await machine.send("ADD", {})
    await machine.restore(other.snapshot())
    print(machine.context)
    store = FilePersistence("runs")
    one = OrcaMachine(parse_orca_md(ORDER), EventBus(), persistence=store, run_id="r1")
    await one.load_or_start()
    await one.send("ADD", {})
    two = OrcaMachine(parse_orca_md(ORDER), EventBus(), persistence=store, run_id="r1")
    await two.load_or_start()
    print(two.state, two.is_active, store.exists("r1"), store.exists("r2"), store.load("r2"))
asyncio.run(main())
""",
    "children": """
parent = "# machine P\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 3 |\\n## events\\n- OK\\n## state a [initial]\\n- invoke: C input: { k: ctx.n }\\n- on_done: OK\\n## state b [final]\\n" + table("a OK b")
child = "# machine C\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| k | int | 0 |\\n## events\\n- END\\n## state x [initial]\\n- timeout: 1s -> y\\n## state y [final]\\n"
async def main():
    machine = OrcaMachine(parse_orca_md(parent), EventBus())
    machine.register_machines({"C": parse_orca_md(child)})
    await machine.start()
    print(machine.state, machine.snapshot()["children"]["a"]["context"])
    await becomes(machine, "b", 60)
    print(machine.state)
    await machine.stop()
asyncio.run(main())
""",
    "sinks": """
entry = {"ts": "2026-03-27T10:15:32.123456Z", "run_id": "r", "machine": "Lab", "event": "READY", "from": "a", "to": "b", "context_delta": {"n": 1}}
sink = MultiSink(FileSink("logs/audit.jsonl"), ConsoleSink())
sink.write(entry)
sink.close()
print(open("logs/audit.jsonl").read())
print(isinstance(sink, LogSink), isinstance(FilePersistence("x"), PersistenceAdapter))
""",
    "the bridge": """
from orca_runtime_python import bridge
m = parse_orca_md("# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 1 |\\n| t | string | \\"x\\" |\\n## returns\\n| Name | Type | Statistics |\\n|---|---|---|\\n| n | int | |\\n## state a [initial]\\n")
print(BRIDGE_PROTOCOL_VERSION, descriptor_for(m))
print(build_invocation("c", {"a": 1}, None, {}), make_result("z", {"n": 1}), make_result("z", {}, {"code": "X", "message": "m"}))
print(parse_result(json.dumps(make_result("z", {}))), parse_invocation(build_invocation("c", {}, 5, {"a": "b"})))
for bad in ("nothing", "[]", '{"protocol_version": "2.0"}'):
    try:
        parse_result(bad)
    except BridgeError as error:
        print(str(error).split(":")[0], error.code)
code = "import sys, json; e = json.load(sys.stdin); print(json.dumps({'protocol_version': '1.0', 'final_state': e['child'], 'returns': e['args']}))"
print(dispatch_foreign([sys.executable, "-c", code], build_invocation("c", {"a": 1}, None, {})))
for runner in (["/nothing/here"], [sys.executable, "-c", "import sys; sys.stderr.write('boom'); sys.exit(3)"]):
    try:
        dispatch_foreign(runner, build_invocation("c", {}, None, {}))
    except BridgeError as error:
        print(error)
""",
    "a definition by hand": """
from orca_runtime_python.types import *
m = MachineDef(
    name="Lamp", context={"n": 1}, events=["PRESS"],
    states=[StateDef("off"), StateDef("on", on_entry="count", contains=[])],
    transitions=[Transition("off", "PRESS", "on", guard="fresh"), Transition("on", "PRESS", "off")],
    guards={"fresh": GuardAnd(GuardCompare("lt", VariableRef(["ctx", "n"]), ValueRef("number", 2)), GuardNot(GuardFalse()))},
)
print(m.version, m.actions, m.effects, m.returns)
async def main():
    machine = OrcaMachine(m, EventBus())
    machine.register_action("count", lambda c, e: {"n": c["n"] + 1})
    await machine.start()
    print([(await machine.send("PRESS")).to_state for _ in range(3)], machine.context)
    machine.unregister_action("count")
    m.transitions[0].guard = None
    again = OrcaMachine(m, EventBus(), context={"n": 5})
    await again.start()
    print((await again.send("PRESS")).to_state)
asyncio.run(main())
""",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Outcome, Outcome]]:
    return run_both(PROGRAMS, tmp_path_factory.mktemp("same"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same(name: str, outcomes: dict[str, tuple[Outcome, Outcome]]) -> None:
    there, here = outcomes[name]
    assert there.returncode == 0, there.stderr
    assert there.stdout
    assert here.returncode == 0, here.stderr
    assert here.stdout == there.stdout


def test_a_run_that_the_published_package_saved_goes_on_here(tmp_path: Path) -> None:
    text = "# machine m\\n## state a [initial]\\n## state p\\n### state b [initial]\\n## state z\\n"
    machine = f"""
text = "{text}" + table("a GO p", "b GO z")
async def main():
    machine = OrcaMachine(parse_orca_md(text), EventBus(), persistence=FilePersistence({json.dumps(str(tmp_path))}), run_id="r1")
    await machine.load_or_start()
    await machine.send("GO")
    print(machine.state)
asyncio.run(main())
"""
    there = published(machine, tmp_path)
    assert there.stdout == "p.b\n", there.stderr
    done = run_program(HEAD + machine, tmp_path / "here")
    assert done.stdout == "z\n", done.stderr
