"""Each difference on the migration page of orca-runtime-python, shown on 0.1.30 and on this package."""

# ruff: noqa: E501 - programs read better with their lines as they are

from __future__ import annotations

import re
from pathlib import Path

import pytest
from machines import run_both
from programs import Outcome

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "howto" / "migrate-orca-runtime-python.md"

# name: (program, last line printed there, last line printed here)
CASES: dict[str, tuple[str, str, str]] = {
    "nested initial states": (
        """
text = "# machine m\\n## state a [initial]\\n### state b [initial]\\n### state c\\n" + table("b GO c")
print(asyncio.run(play(text)).state)
""",
        "a",
        "a.b",
    ),
    "nested targets": (
        """
text = "# machine m\\n## state a [initial]\\n## state p\\n### state b [initial]\\n### state c\\n" + table("a GO c")
print(asyncio.run(play(text, "GO")).state)
""",
        "c",
        "p.c",
    ),
    "entry and exit of parents": (
        """
seen = []
text = "# machine m\\n## state a [initial]\\n## state p\\n- on_entry: into\\n- on_exit: out\\n### state b [initial]\\n## state z\\n" + table("a GO p", "p GO z")
asyncio.run(play(text, "GO", "GO", actions={"into": lambda *_: seen.append("in"), "out": lambda *_: seen.append("out")}))
print(seen)
""",
        "['in']",
        "['in', 'out']",
    ),
    "every region reacts": (
        """
text = "# machine m\\n## state p [initial, parallel]\\n### region r\\n#### state a [initial]\\n#### state b\\n### region s\\n#### state c [initial]\\n#### state d\\n## state q\\n" + table("a GO b", "c GO d", "q BACK p")
async def main():
    machine = await play("## state q [initial]".join(text.split("## state q")).replace("[initial, parallel]", "[parallel]"), "BACK", "GO")
    print(sorted(machine.state.leaves()))
asyncio.run(main())
""",
        "['b', 'c']",
        "['b', 'd']",
    ),
    "plain callbacks": (
        """
text = "# machine m\\n## state a [initial]\\n## state b\\n" + table("a GO b")
try:
    asyncio.run(play(text, "GO", on_transition=lambda old, new: print(f"{old} -> {new}")))
except TypeError as error:
    print(failure(error))
""",
        "TypeError",
        "a -> b",
    ),
    "old and new state": (
        """
text = "# machine m\\n## state o [initial]\\n## state p [parallel]\\n### region r\\n#### state a [initial]\\n#### state b\\n" + table("o GO p", "a GO b")
async def tell(old, new):
    print(f"{old} -> {new}")
asyncio.run(play(text, "GO", "GO", on_transition=tell))
""",
        "p.r.b -> p.r.b",
        "p.r.a -> p.r.b",
    ),
    "negated guards": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 1 |\\n## state a [initial]\\n## state b\\n## guards\\n| Name | Expression |\\n|---|---|\\n| one | `ctx.n == 1` |\\n" + table("a GO [!one] b")
print(asyncio.run(play(text, "GO")).state)
""",
        "b",
        "a",
    ),
    "texts are no numbers": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | any | |\\n## state a [initial]\\n## state b\\n## guards\\n| Name | Expression |\\n|---|---|\\n| big | `ctx.n > 100` |\\n" + table("a GO [big] b")
print(asyncio.run(play(text, "GO", context={"n": "150"})).state)
""",
        "b",
        "a",
    ),
    "bare names in guards": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| ok | bool | false |\\n## state a [initial]\\n## state b\\n## guards\\n| Name | Expression |\\n|---|---|\\n| fine | `ctx.ok` |\\n" + table("a GO [fine] b")
print(asyncio.run(play(text, "GO")).state)
""",
        "b",
        "a",
    ),
    "rest of a guard": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 1 |\\n## state a [initial]\\n## state b\\n## guards\\n| Name | Expression |\\n|---|---|\\n| two | `ctx.n == 1 ctx.n == 2` |\\n" + table("a GO [two] b")
try:
    print(asyncio.run(play(text, "GO")).state)
except Exception as error:
    print(failure(error))
""",
        "b",
        "ParseError",
    ),
    "defaults": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | -5 |\\n| l | list | [] |\\n| x | decimal | 1e3 |\\n## state a [initial]\\n"
print(parse_orca_md(text).context)
""",
        "{'n': '-5', 'l': '[]', 'x': '1e3'}",
        "{'n': -5, 'l': [], 'x': 1000.0}",
    ),
    "context of a machine": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 1 |\\n| k | int | 2 |\\n## state a [initial]\\n"
given = {"n": 7}
machine = asyncio.run(play(text, context=given))
print(machine.context, machine.context is given)
""",
        "{'n': 7} True",
        "{'n': 7, 'k': 2} False",
    ),
    "an action that raises": (
        """
text = "# machine m\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 1 |\\n## state a [initial]\\n- on_exit: count\\n## state b\\n" + table("a GO b fail")
def fail(context, event):
    raise ValueError("no")
async def main():
    machine = await play(text, actions={"count": lambda c, e: {"n": 2}, "fail": fail})
    try:
        await machine.send("GO")
    except Exception as error:
        print(failure(error), machine.state, machine.context)
asyncio.run(main())
""",
        "ValueError a {'n': 2}",
        "ActionError a {'n': 1}",
    ),
    "effects of transitions": (
        """
text = "# machine m\\n## state a [initial]\\n## state b\\n## actions\\n| Name | Signature |\\n|---|---|\\n| shout | `(ctx) -> Context + Effect<Noise>` |\\n" + table("a GO b shout")
async def noise(effect):
    return EffectResult(status="success", data={"heard": True})
async def main():
    bus = EventBus()
    bus.register_effect_handler("Noise", noise)
    print((await play(text, "GO", event_bus=bus)).context)
asyncio.run(main())
""",
        "{}",
        "{'heard': True}",
    ),
    "plain effect handlers": (
        """
async def main():
    bus = EventBus()
    bus.register_effect_handler("Noise", lambda effect: EffectResult(status="success", data=1))
    result = await bus.execute_effect(Effect("Noise"))
    print(result.status, result.data)
asyncio.run(main())
""",
        "failure None",
        "success 1",
    ),
    "changes of state on the bus": (
        """
text = "# machine m\\n## state a [initial]\\n## state b\\n" + table("a GO b")
async def main():
    bus, seen = EventBus(), []
    async def note(event):
        seen.append(event.type.value)
    for kind in EventType:
        bus.subscribe(kind, note)
    await play(text, "GO", event_bus=bus)
    print("orca.state.changed" in seen)
asyncio.run(main())
""",
        "False",
        "True",
    ),
    "timeouts in milliseconds": (
        """
text = "# machine m\\n## state a [initial]\\n- timeout: 20ms -> b\\n## state b\\n"
async def main():
    machine = await play(text)
    await becomes(machine, "b", 0.5)
    print(machine.state)
    await machine.stop()
asyncio.run(main())
""",
        "a",
        "b",
    ),
    "timers of other states": (
        """
text = "# machine m\\n## state o [initial]\\n## state p [parallel]\\n- on_done: z\\n### region r\\n#### state a [initial]\\n- timeout: 4s -> b\\n#### state b [final]\\n### region s\\n#### state c [initial]\\n#### state d\\n## state z\\n" + table("o GO p", "c GO d")
async def main():
    machine = await play(text, "GO")
    await asyncio.sleep(0.5)
    await machine.send("GO")
    await becomes(machine, "b", 3.8)  # after the timer is due, before one that was started anew
    print(machine.state.leaves()[0])
    await machine.stop()
asyncio.run(main())
""",
        "a",
        "b",
    ),
    "final states end": (
        """
text = "# machine m\\n## state a [initial]\\n## state z [final]\\n" + table("a GO z")
async def main():
    machine = await play(text, "GO")
    print(getattr(machine, "is_done", None))
asyncio.run(main())
""",
        "None",
        "True",
    ),
    "saved at once": (
        """
text = "# machine m\\n## state a [initial]\\n## state b\\n" + table("a GO b")
async def main():
    store = FilePersistence("runs")
    await play(text, persistence=store, run_id="one")
    print(store.exists("one"))
asyncio.run(main())
""",
        "False",
        "True",
    ),
    "names of runs": (
        """
store = FilePersistence("runs")
try:
    store.save("../outside", {"state": "a"})
    print("written")
except Exception as error:
    print(failure(error))
""",
        "written",
        "RunIdError",
    ),
    "snapshots of other states": (
        """
text = "# machine m\\n## state a [initial]\\n"
async def main():
    machine = OrcaMachine(parse_orca_md(text), EventBus())
    try:
        await machine.resume({"state": "gone", "context": {}})
        print(machine.state)
    except Exception as error:
        print(failure(error))
asyncio.run(main())
""",
        "gone",
        "SnapshotError",
    ),
    "values that are not JSON": (
        """
text = "# machine m\\n## state a [initial]\\n## state b\\n" + table("a GO b put")
async def main():
    store = FilePersistence("runs")
    try:
        machine = await play(text, "GO", actions={"put": lambda c, e: {"when": {1, 2}}}, persistence=store, run_id="one")
        print(type(store.load("one")["context"]["when"]).__name__)
    except Exception as error:
        print(failure(error))
asyncio.run(main())
""",
        "str",
        "ValueNotJsonError",
    ),
    "two groups of annotations": (
        """
text = "# machine m\\n## state a [initial] [final]\\n"
state = parse_orca_md(text).states[0] if sys.argv else None
print(state.is_initial, state.is_final)
""",
        "",
        "True True",
    ),
    "two initial states": (
        """
text = "# machine m\\n## state a [initial]\\n## state b [initial]\\n"
try:
    print(asyncio.run(play(text)).state)
except Exception as error:
    print(failure(error))
""",
        "a",
        "ParseError",
    ),
    "texts of errors": (
        """
try:
    parse_orca_md("# machine m\\n## state a\\n")
except Exception as error:
    print(str(error).splitlines()[0])
""",
        "Machine 'm': no [initial] state.",
        "error[NO_INITIAL_STATE]: machine `m` has no initial state",
    ),
    "foreign children": (
        """
text = "# machine m\\n## events\\n- DONE\\n## state a [initial]\\n- invoke: Other\\n- on_done: DONE\\n## state b [final]\\n" + table("a DONE b")
code = "import json; print(json.dumps({'protocol_version': '1.0', 'final_state': 'z', 'returns': {}}))"
async def main():
    machine = OrcaMachine(parse_orca_md(text), EventBus())
    machine.register_foreign_runner("Other", [sys.executable, "-c", code])
    await machine.start()
    first = str(machine.state)
    if hasattr(machine, "wait_for"):
        await machine.wait_for("b")
    print(first, machine.state)
asyncio.run(main())
""",
        "b b",
        "a b",
    ),
    "children that fail": (
        """
text = "# machine m\\n## events\\n- OK\\n- BAD\\n## state a [initial]\\n- invoke: Child\\n- on_done: OK\\n- on_error: BAD\\n## state b\\n## state c\\n" + table("a OK b", "a BAD c")
child = "# machine Child\\n## state x [initial]\\n- on_entry: fail\\n"
def fail(*_):
    raise ValueError("no")
async def main():
    machine = OrcaMachine(parse_orca_md(text), EventBus())
    machine.register_machines({"Child": parse_orca_md(child)})
    machine.register_action("fail", fail)
    await machine.start()
    await becomes(machine, "c", 1)
    print(machine.state)
asyncio.run(main())
""",
        "a",
        "c",
    ),
    "time of an event": (
        """
print(Event(type=EventType.STATE_CHANGED, source="me").timestamp.tzinfo)
""",
        "None",
        "UTC",
    ),
    "results of events": (
        """
text = "# machine m\\n## state a [initial]\\n- ignore: NOISE\\n"
async def main():
    result = await (await play(text)).send("NOISE")
    print(result.error, getattr(result, "ignored", "unknown"))
asyncio.run(main())
""",
        "None unknown",
        "None True",
    ),
    "definition of a machine": (
        """
text = "# machine m\\n## state a [initial]\\n"
definition = parse_orca_md(text)
machine = OrcaMachine(definition, EventBus())
print(machine.definition is definition, machine.definition.name)
""",
        "True m",
        "False m",
    ),
}


def last_line(text: str) -> str:
    return (text.splitlines() or [""])[-1]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Outcome, Outcome]]:
    programs = {name: program for name, (program, _, _) in CASES.items()}
    return run_both(programs, tmp_path_factory.mktemp("differences"))


@pytest.mark.parametrize("name", CASES)
def test_a_difference(name: str, outcomes: dict[str, tuple[Outcome, Outcome]]) -> None:
    _, before, after = CASES[name]
    there, here = outcomes[name]
    assert last_line(there.stdout) == before, there.stderr
    assert last_line(here.stdout) == after, here.stderr


def section() -> str:
    """The part of the page that this file shows; names and parameters have a test of their own."""
    return PAGE.read_text("utf-8").split("## What differs, on purpose\n", 1)[1].split("\n## ", 1)[0]


def test_the_page_lists_exactly_these() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", section(), re.MULTILINE)
    assert [row for row in rows if row != "what" and not row.startswith("-")] == list(CASES)
