"""What existing runtimes get wrong, one test for each failure.

initial compound or parallel states never expanded  test_initial_compound_and_parallel_states_are_expanded
more than two levels broken                         test_more_than_two_levels
entry to a nested target loses its parents          test_entry_to_a_nested_target_keeps_its_parents
on_entry and on_exit of parents never run           test_parents_entry_and_exit_actions_run
one region per event                                test_every_region_takes_an_event
on_exit of the wrong region                         test_only_the_region_that_moves_runs_its_exit_action
from_state aliased to the new value                 test_from_state_is_the_state_before
done by simple name across regions                  test_finals_of_one_name_in_two_regions
on_done targets not expanded                        test_on_done_targets_are_expanded
on_transition called twice                          test_on_transition_is_called_once
one timer handle: leaks, restarts                   test_timers_do_not_leak_restart_or_cancel_themselves
a timer cancels its own transition                  test_a_timer_takes_its_own_transition_to_the_end
timers of inner regions and compounds never start   test_timers_do_not_leak_restart_or_cancel_themselves
500ms read as 500 s                                 test_500_ms_are_half_a_second
!guard always true, inline guards allow             test_negated_and_inline_guards
sync callbacks raise                                test_sync_callbacks_everywhere
a raising action leaves half a transition           test_half_a_transition_never_remains
effects only on on_entry                            test_effects_run_wherever_their_action_stands
concurrent and reentrant sends lose updates         test_concurrent_and_reentrant_sends_lose_nothing
grandchildren never start                           test_grandchildren_start_and_finish
on_error of an invoke never fires                   test_on_error_of_an_invoke, test_a_child_that_raises_fails
two invokes leak                                    test_two_invokes_in_two_regions_and_returns,
                                                    test_leaving_the_state_stops_the_child
defaults become strings                             test_defaults_keep_their_types
nothing saved after start                           test_the_start_is_saved
path traversal by run id                            test_run_ids_cannot_leave_the_folder
resume into a state that does not exist             test_no_resume_into_a_state_that_is_not_there
STATE_CHANGED never published                       test_state_changed_is_published
two bracket groups, nested states in regions        test_two_bracket_groups_and_nested_states_in_regions
"""

from __future__ import annotations

import sys
import warnings
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint
from charts import chart

from orca.common.errors import OrcaError, UsageError
from orca.statemachine import (
    ActionError,
    EventBus,
    EventType,
    FilePersistence,
    OrcaMachine,
    SnapshotError,
    parse_orca,
)
from orca.statemachine.model import InvokeDef, ReturnDef, TypeRef
from orca.statemachine.testing import Harness

pytestmark = pytest.mark.anyio
PAR = {"p|*": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}}, "out": {}}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def _note(ran: list[str], name: str, context: dict) -> None:
    ran.append(name)


def traced(harness: Harness) -> list[str]:
    """Have every action of a chart note its name."""
    ran: list[str] = []
    definition = harness.machine.definition
    names = {
        n for s in definition.walk() for n in (getattr(s, "on_entry", None), getattr(s, "on_exit", None)) if n
    }
    names |= {t.action for t in definition.transitions if t.action}
    for name in names:
        harness.machine.register_action(name, partial(_note, ran, name))
    return ran


async def test_initial_compound_and_parallel_states_are_expanded() -> None:
    async with Harness(chart({"p*": {"q*": {"r*": {}}}}, [])) as harness:
        assert harness.machine.state == "p.q.r"
    async with Harness(chart(PAR, [])) as harness:
        assert harness.machine.state.leaves() == ["a", "c"]


async def test_more_than_two_levels() -> None:
    definition = chart({"a*": {}, "p": {"q*": {"r*": {"s*": {"t*": {}}}}}}, ["a GO -> p", "p BACK -> a"])
    async with Harness(definition) as harness:
        assert (await harness.send("GO")).to_state == "p.q.r.s.t"
        assert (await harness.send("BACK")).from_state == "p.q.r.s.t"


async def test_entry_to_a_nested_target_keeps_its_parents() -> None:
    async with Harness(chart({"a*": {}, "p": {"q*": {"r*": {}, "s": {}}}}, ["a GO -> s"])) as harness:
        await harness.send("GO")
        assert harness.machine.state.value == {"p": {"q": {"s": {}}}}


async def test_parents_entry_and_exit_actions_run() -> None:
    harness = Harness(chart({"a*": {}, "p": {"q*": {}}}, ["a GO -> p", "p BACK -> a"]))
    ran = traced(harness)
    async with harness:
        ran.clear()
        await harness.send("GO")
        await harness.send("BACK")
    assert ran == ["-a", "+p", "+q", "-q", "-p", "+a"]


async def test_every_region_takes_an_event() -> None:
    async with Harness(chart(PAR, ["a X -> b", "c X -> d"])) as harness:
        await harness.send("X")
        assert harness.machine.state == "p.r1.b, p.r2.d"


async def test_only_the_region_that_moves_runs_its_exit_action() -> None:
    harness = Harness(chart(PAR, ["c X -> d"]))
    ran = traced(harness)
    async with harness:
        ran.clear()
        await harness.send("X")
    assert ran == ["-c", "+d"]


async def test_from_state_is_the_state_before() -> None:
    async with Harness(chart(PAR, ["a X -> b"])) as harness:
        old: list = []
        harness.machine.on_transition = lambda before, after: old.append((before, after))
        result = await harness.send("X")
        assert result.from_state == "p.r1.a, p.r2.c"
        assert result.to_state == "p.r1.b, p.r2.c"
        assert old[0][0] == "p.r1.a, p.r2.c"
        assert old[0][1] == "p.r1.b, p.r2.c"


async def test_finals_of_one_name_in_two_regions() -> None:
    definition = parse_orca("""
machine M
state p [initial] {
  on_done: -> out
  parallel {
    region one { state work [initial] state ended [final] }
    region two { state work [initial] state ended [final] }
  }
}
state out
transitions { p.one.work + A -> p.one.ended
 p.two.work + B -> p.two.ended }
""")
    async with Harness(definition) as harness:
        await harness.send("A")
        assert harness.machine.state == "p.one.ended, p.two.work"
        await harness.send("B")
        assert harness.machine.state == "out"


async def test_on_done_targets_are_expanded() -> None:
    definition = chart(
        {"p*": {"a*": {}, "f$": {}}, "w|": {"r1": {"x*": {}}, "r2": {"y*": {}}}},
        ["a GO -> f"],
        {"p": {"done": "w"}},
    )
    async with Harness(definition) as harness:
        await harness.send("GO")
        assert harness.machine.state == "w.r1.x, w.r2.y"


async def test_on_transition_is_called_once() -> None:
    definition = chart({"p*": {"a*": {}, "f$": {}}, "out": {}}, ["a GO -> f"], {"p": {"done": "out"}})
    async with Harness(definition) as harness:
        told: list[str] = []
        harness.machine.on_transition = lambda old, new: told.append(f"{old} -> {new}")
        await harness.send("GO")
        assert told == ["p.a -> out"]


async def test_timers_do_not_leak_restart_or_cancel_themselves() -> None:
    definition = chart(
        {"p|*": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}}, "late": {}, "out": {}},
        ["a X -> b", "p STAY ->"],
        {"p": {"timeout": (10_000, "late")}, "a": {"timeout": (1_000, "b")}, "c": {"timeout": (3_000, "d")}},
    )
    async with Harness(definition) as harness:
        assert harness.machine.statistics()["timers"] == 3
        await harness.advance(0.5)
        await harness.send("STAY")
        await harness.send("X")  # leaves a: only its timer ends
        assert harness.machine.statistics()["timers"] == 2
        await harness.advance(2.4)
        assert harness.machine.state == "p.r1.b, p.r2.c"
        await harness.advance(0.1)
        assert harness.machine.state == "p.r1.b, p.r2.d"
        await harness.advance(6.9)
        assert harness.machine.state == "p.r1.b, p.r2.d"
        await harness.advance(0.1)
        assert harness.machine.state == "late"
        assert harness.machine.statistics()["timers"] == 0


async def test_a_timer_takes_its_own_transition_to_the_end() -> None:
    harness = Harness(
        chart({"a*": {}, "b": {}}, [], {"a": {"timeout": (1_000, "b")}, "b": {"timeout": (1_000, "a")}})
    )
    ran: list[str] = []

    async def slow() -> None:
        await checkpoint()
        ran.append("left")

    harness.machine.register_action("-a", slow)
    async with harness:
        await harness.advance(4)
        assert harness.machine.state == "a"
        assert ran == ["left", "left"]


async def test_500_ms_are_half_a_second() -> None:
    definition = parse_orca("""
machine M
state a [initial] { timeout: 500ms -> b }
state b
""")
    async with Harness(definition) as harness:
        await harness.advance(0.499)
        assert harness.machine.state == "a"
        await harness.advance(0.001)
        assert harness.machine.state == "b"


async def test_negated_and_inline_guards() -> None:
    definition = parse_orca("""
machine M
context { n: int = 1 }
state a [initial]
state b
state c
guards { big: ctx.n > 10 }
transitions { a + X [big] -> b
 a + Y [!big] -> b
 b + X [n > 10] -> c
 b + Y [!big && ctx.n == 1] -> c }
""")
    async with Harness(definition) as harness:
        assert (await harness.send("X")).guard_failed
        assert (await harness.send("Y")).to_state == "b"
        assert (await harness.send("X")).guard_failed
        assert (await harness.send("Y")).to_state == "c"


async def test_sync_callbacks_everywhere() -> None:
    harness = Harness(chart({"a*": {}, "b": {}}, ["a GO -> b"]))
    seen: list[str] = []
    harness.machine.on_transition = lambda old, new: seen.append("observer")
    harness.bus.subscribe(EventType.STATE_CHANGED, lambda event: seen.append("subscriber"))
    harness.machine.register_action("+b", lambda ctx: seen.append("action"))
    async with harness:
        await harness.send("GO")
    assert seen == ["action", "observer", "subscriber"]
    assert not harness.bus.errors


async def test_half_a_transition_never_remains() -> None:
    harness = Harness(chart({"a*": {}, "p": {"q*": {}}}, ["a GO -> p / n"]))
    harness.machine.register_action("n", lambda ctx: {"n": 5})

    def broken() -> None:
        raise KeyError("q")

    harness.machine.register_action("+q", broken)
    async with harness:
        before = harness.machine.snapshot()
        with pytest.raises(ActionError) as caught:
            await harness.machine.send("GO")
        assert (caught.value.state, caught.value.action, caught.value.event) == ("p.q", "+q", "GO")
        after = harness.machine.snapshot()
    assert after == before


async def test_effects_run_wherever_their_action_stands() -> None:
    definition = parse_orca("""
machine M
context { log: "" }
state a [initial] { on_exit: leave }
state b { on_entry: enter }
transitions { a + GO -> b : move }
actions { leave: (ctx: Context) -> Context + Effect<Note>
 move: (ctx: Context) -> Context + Effect<Note>
 enter: (ctx: Context) -> Context + Effect<Note> }
""")
    harness = Harness(definition)
    harness.bus.register_effect_handler(
        "Note", lambda e: {"log": e.payload["context"]["log"] + e.payload["action"] + " "}
    )
    async with harness:
        await harness.send("GO")
        assert harness.machine.context["log"] == "leave move enter "
    names = [e.type.name for e in harness.published]
    assert names.count("EFFECT_EXECUTING") == names.count("EFFECT_COMPLETED") == 3


async def test_a_failed_effect_takes_on_error() -> None:
    definition = chart({"a*": {}, "b": {}, "bad": {}}, ["a GO -> b"], {"b": {"error": "bad"}})
    from dataclasses import replace

    from orca.statemachine import ActionSignature

    definition = replace(definition, actions=(ActionSignature("+b", effect_type="T"),))
    harness = Harness(definition)
    async with harness:
        result = await harness.send("GO")
        assert result.to_state == "bad"
    failed = [e for e in harness.published if e.type is EventType.EFFECT_FAILED]
    assert "No handler registered" in failed[0].payload["error"]


async def test_concurrent_and_reentrant_sends_lose_nothing() -> None:
    definition = chart({"a*": {}}, ["a GO -> / add", "a EXTRA -> / extra"])
    harness = Harness(definition)

    async def add(ctx):
        n = ctx["n"]
        harness.machine.send("EXTRA")
        await checkpoint()
        return {"n": n + 1}

    harness.machine.register_action("add", add)
    harness.machine.register_action("extra", lambda ctx: {"n": ctx["n"] + 1000})
    async with harness, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(harness.machine.send, "GO")
    assert harness.machine.context["n"] == 50 * 1001


CHILD = chart({"w*": {}, "ok$": {}, "bad$": {}}, ["w GOOD -> ok / n=7", "w EVIL -> bad"], name="Child")
GRAND = chart({"x*": {}, "y$": {}}, [], {"x": {"timeout": (1_000, "y")}}, name="Grand")
MIDDLE = chart({"m*": {}, "f$": {}}, [], {"m": {"invoke": "Grand", "done": "f"}}, name="Middle")


async def test_grandchildren_start_and_finish() -> None:
    parent = chart({"a*": {}, "b": {}}, [], {"a": {"invoke": "Middle", "done": "b"}}, name="Parent")
    harness = Harness(parent, machines={"Middle": MIDDLE, "Grand": GRAND})
    async with harness:
        child = harness.machine.children["a"]
        assert child.children["m"].state == "x"
        await harness.advance(1)
        assert harness.machine.state == "b"
        assert not child.is_active


async def test_on_error_of_an_invoke() -> None:
    invoke = InvokeDef("Child", failures=("bad",))
    parent = chart({"a*": {}, "b": {}, "c": {}}, [], {"a": {"invoke": invoke, "done": "b", "error": "c"}})
    async with Harness(parent, machines={"Child": CHILD}) as harness:
        await harness.machine.children["a"].send("EVIL")
        assert harness.machine.state == "c"
    async with Harness(parent) as harness:  # nobody registered the child
        assert harness.machine.state == "c"
        assert "machine Child" in harness.machine.missing_handlers()


async def test_a_child_that_raises_fails() -> None:
    parent = chart({"a*": {}, "c": {}}, [], {"a": {"invoke": "Child", "error": "c"}})
    harness = Harness(parent, machines={"Child": CHILD})

    def broken(ctx):
        raise ValueError("no")

    harness.machine.register_action("+w", broken)
    async with harness:
        assert harness.machine.state == "c"


async def test_two_invokes_in_two_regions_and_returns() -> None:
    from dataclasses import replace

    child = replace(CHILD, returns=(ReturnDef("n", TypeRef("int")),))
    invoke = InvokeDef("Child", returns=(("n", "n"),))
    states = {"p|*": {"r1": {"a*": {}, "b$": {}}, "r2": {"c*": {}, "d$": {}}}, "out": {}}
    options = {
        "a": {"invoke": invoke, "done": "b"},
        "c": {"invoke": "Child", "done": "d"},
        "p": {"done": "out"},
    }
    harness = Harness(chart(states, [], options), machines={"Child": child})
    harness.machine.register_action("n=7", lambda ctx: {"n": 7})
    async with harness:
        one, two = harness.machine.children["p.r1.a"], harness.machine.children["p.r2.c"]
        await one.send("GOOD")
        assert harness.machine.state == "p.r1.b, p.r2.c"
        assert harness.machine.context["n"] == 7
        assert set(harness.machine.children) == {"p.r2.c"}
        await two.send("GOOD")
        assert harness.machine.state == "out"
        assert harness.machine.statistics()["children"] == 0


async def test_leaving_the_state_stops_the_child() -> None:
    parent = chart({"a*": {}, "b": {}}, ["a GO -> b"], {"a": {"invoke": "Middle"}})
    async with Harness(parent, machines={"Middle": MIDDLE, "Grand": GRAND}) as harness:
        child = harness.machine.children["a"]
        grand = child.children["m"]
        await harness.send("GO")
        assert not child.is_active
        assert not grand.is_active
        await harness.advance(5)
        assert harness.machine.state == "b"


def test_defaults_keep_their_types() -> None:
    definition = parse_orca("""
machine M
context { a: int = -5, b: string[] = [], c: string? = null, d: float = 1e3, e = true }
state s [initial]
""")
    assert definition.context == {"a": -5, "b": [], "c": None, "d": 1000.0, "e": True}
    assert isinstance(definition.context["a"], int)


async def test_the_start_is_saved(tmp_path) -> None:
    store = FilePersistence(tmp_path)
    harness = Harness(chart({"a*": {}, "b": {}}, ["a GO -> b"]), persistence=store, run_id="one")
    async with harness:
        assert store.load("one")["configuration"] == ["a"]
        await harness.send("GO")
        assert store.load("one")["configuration"] == ["b"]


@pytest.mark.parametrize(
    "run_id", ["../evil", "a/b", "", ".hidden", "a\\b", "x" * 300, "a\0b", "/etc/passwd"]
)
def test_run_ids_cannot_leave_the_folder(tmp_path, run_id: str) -> None:
    with pytest.raises(UsageError):
        OrcaMachine(chart({"a*": {}}, []), EventBus(), persistence=FilePersistence(tmp_path), run_id=run_id)
    for method in ("load", "exists"):
        with pytest.raises(UsageError):
            getattr(FilePersistence(tmp_path), method)(run_id)
    with pytest.raises(UsageError):
        FilePersistence(tmp_path).save(run_id, {})
    assert list(tmp_path.iterdir()) == []


async def test_no_resume_into_a_state_that_is_not_there() -> None:
    async with Harness(chart({"a*": {}}, [])) as harness:
        snapshot = harness.machine.snapshot()
    for policy, message in (("warn", "'a'"), (None, "another definition")):
        other = OrcaMachine(chart({"b*": {}}, []), EventBus(), on_mismatch=policy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(SnapshotError, match=message):
                await other.resume(snapshot)
        assert not other.is_active


async def test_state_changed_is_published() -> None:
    async with Harness(chart({"a*": {}, "b": {}}, ["a GO -> b"])) as harness:
        await harness.send("GO")
        changed = [e for e in harness.published if e.type is EventType.STATE_CHANGED]
        assert [(e.payload["from"], e.payload["to"]) for e in changed] == [("a", "b")]


def test_two_bracket_groups_and_nested_states_in_regions() -> None:
    definition = parse_orca("""
machine M
state p [initial] [sync: any-final] {
  parallel {
    region one { state k [initial] { state x [initial] state y } state z [final] }
    region two { state c [initial] }
  }
}
state late
""")
    first = definition.states[0]
    assert first.is_initial
    assert first.parallel.sync == "any-final"
    assert [s.name for s in first.parallel.regions[0].states] == ["k", "z"]
    assert [s.name for s in definition.states] == ["p", "late"]


RUNNER = """
import json, sys
call = json.load(sys.stdin)
mode = sys.argv[1]
out = {"protocol_version": "1.0", "final_state": "measured", "returns": {"p": call["args"].get("k", 0) * 2}}
if mode == "fail":
    out["error"] = {"code": "E7", "message": "cold"}
if mode == "version":
    out["protocol_version"] = "2.0"
if mode == "hang":
    import time
    time.sleep(60)
if mode == "garbage":
    print("no json")
else:
    print(json.dumps(out))
"""


@pytest.mark.parametrize(("mode", "state"), [("ok", "b"), ("fail", "c"), ("version", "c"), ("garbage", "c")])
async def test_foreign_children(mode: str, state: str) -> None:
    from orca.statemachine.expr import VariableRef

    invoke = InvokeDef("Q", input=(("k", VariableRef(("ctx", "n"))),), shots=100, returns=(("n", "p"),))
    parent = chart({"a*": {}, "b": {}, "c": {}}, [], {"a": {"invoke": invoke, "done": "b", "error": "c"}})
    machine = OrcaMachine(parent, EventBus(), context={"n": 21})
    machine.register_foreign_runner("Q", [sys.executable, "-c", RUNNER, mode])
    async with machine:
        await machine.wait_for(state, timeout_s=60)
        assert machine.context["n"] == (42 if mode == "ok" else 21)


async def test_a_foreign_child_is_ended_with_its_state() -> None:
    parent = chart({"a*": {}, "b": {}}, ["a GO -> b"], {"a": {"invoke": "Q", "done": "b"}})
    machine = OrcaMachine(parent, EventBus())
    machine.register_foreign_runner("Q", [sys.executable, "-c", RUNNER, "hang"])
    async with machine:
        with anyio.fail_after(60):
            while not machine.statistics()["children"]:
                await checkpoint()
        await machine.send("GO")
        assert machine.statistics()["children"] == 0


async def test_shots_need_a_measuring_child() -> None:
    parent = chart({"a*": {}, "c": {}}, [], {"a": {"invoke": InvokeDef("Child", shots=5), "error": "c"}})
    async with Harness(parent, machines={"Child": CHILD}) as harness:
        assert harness.machine.state == "c"


async def test_delayed_events() -> None:
    definition = chart({"a*": {}, "b": {}}, ["a GO -> / later", "a STOP -> / never", "a DUE -> b"])
    harness = Harness(definition)
    machine = harness.machine
    machine.register_action("later", lambda: machine.send_later("DUE", delay_ms=500, send_id="due"))
    machine.register_action("never", lambda: machine.cancel_send("due"))
    async with harness:
        await harness.send("GO")
        await harness.advance(0.4)
        await harness.send("STOP")
        await harness.advance(1)
        assert machine.state == "a"
        machine.send_later("DUE", delay_ms=200)
        await harness.advance(0.2)
        assert machine.state == "b"
    with pytest.raises(OrcaError):
        machine.send_later("DUE", delay_ms=1)
