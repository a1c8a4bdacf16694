"""The corners of the engine: bounds, errors, snapshots, what an explorer uses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from charts import HANDLERS, chart, trace

from orca.statemachine.engine import (
    EVENTLESS,
    ActionError,
    ActionResult,
    CancelSend,
    Compiled,
    Delayed,
    EffectFailed,
    Handlers,
    PlanError,
    Reference,
    SendLater,
    Signal,
    Snapshot,
    SnapshotError,
    Work,
    check_snapshot,
    compile_plan,
    compiled,
    done_name,
    initial_snapshot,
    step,
    timeout_name,
)
from orca.statemachine.engine import compiled as compiled_function
from orca.statemachine.expr import GuardAnd, GuardNot, GuardRef, ValueRef, VariableRef
from orca.statemachine.guards import GuardError
from orca.statemachine.model import (
    ActionSignature,
    GuardDef,
    MachineDef,
    ParallelDef,
    RegionDef,
    StateDef,
    Transition,
)

ENGINES = pytest.mark.parametrize("engine", [Reference, Compiled])
AB = chart({"a*": {}, "b": {}}, ["a GO -> b"])
PAR = {"p|*": {"r1": {"a*": {}, "b$": {}}, "r2": {"c*": {}, "d$": {}}}, "out": {}}


def begin(definition, engine=Compiled, **options):
    plan = compile_plan(definition, **options)
    runner = engine(plan)
    return plan, runner, step(plan, initial_snapshot(plan), engine=runner, handlers=HANDLERS).snapshot


def test_definitions_that_cannot_run() -> None:
    a = StateDef("a", "a")
    cases = {
        "no state": MachineDef("M"),
        "two states": MachineDef("M", states=(a, a)),
        "is not a state": MachineDef("M", states=(a,), transitions=(Transition("a", "GO", "b"),)),
        "used by 'a'": replace(AB, states=(replace(AB.states[0], timeout=None, on_done=None), a)),
        "holds no state": MachineDef("M", states=(StateDef("p", "p", parallel=ParallelDef()),)),
    }
    cases["used by 'a'"] = chart({"a*": {}, "b": {}}, [], {"a": {"timeout": (1, "b")}})
    timed = cases["used by 'a'"]
    cases["used by 'a'"] = replace(timed, states=timed.states[:1])
    for message, definition in cases.items():
        with pytest.raises(PlanError, match=message):
            compile_plan(definition)
    history = StateDef("h", "p.h", history="deep")
    with pytest.raises(PlanError, match="holds no state"):
        compile_plan(MachineDef("M", states=(StateDef("p", "p", states=(history,)),)))
    with pytest.raises(GuardError):
        compile_plan(replace(AB, transitions=(Transition("a", "GO", "b", GuardRef("nowhere")),)))


def test_nesting_has_a_bound() -> None:
    state = StateDef("x", ".".join(["x"] * 202))
    for depth in range(201, 0, -1):
        state = StateDef("x", ".".join(["x"] * depth), states=(state,))
    with pytest.raises(PlanError, match="deeper than 200"):
        compile_plan(MachineDef("M", states=(state,)))


def test_guards_that_refer_to_guards() -> None:
    positive = GuardRef("positive")
    definition = replace(
        AB,
        guard_defs=(
            GuardDef("positive", VariableRef(("ctx", "n"))),
            GuardDef("both", GuardAnd((positive, GuardNot(GuardNot(positive))))),
        ),
        transitions=(
            Transition("a", "GO", "b", GuardRef("both")),
            Transition("a", "GO", "b", GuardNot(GuardRef("both")), "no"),
            Transition("a", "X", "b", ValueRef("boolean", False)),
        ),
    )
    plan, engine, state = begin(definition)
    assert plan.arcs[0].guard_names == {"positive", "both"}
    assert [arc.guard_text for arc in plan.arcs] == ["both", "not both", "false"]
    assert trace(step(plan, state, "GO", engine=engine).commands) == "-a no +b"
    asked = Handlers(guards={"positive": lambda ctx, payload: True})
    assert trace(step(plan, state, "GO", engine=engine, handlers=asked).commands) == "-a +b"
    refused = step(plan, state, "X", engine=engine)
    assert (refused.verdict, refused.guard, refused.reason) == ("guard", "false", "")


@ENGINES
def test_an_unknown_guard_says_why(engine) -> None:
    definition = chart({"a*": {}, "b": {}}, ["a GO [event.k < 7] -> b"])
    plan, runner, state = begin(definition, engine)
    found = step(plan, state, "GO", engine=runner)
    assert found.verdict == "guard"
    assert found.reason == "null < 7 has no answer"
    assert found.snapshot is state


@ENGINES
def test_custom_sync(engine) -> None:
    plan, runner, state = begin(chart(PAR, ["a X -> b"], {"p": {"done": "out", "sync": "custom"}}), engine)
    unasked = step(plan, state, "X", engine=runner)
    assert plan.describe(unasked.snapshot.configuration) == "p.r1.b, p.r2.c"
    yes = Handlers(syncs={"p": lambda ctx, payload: payload["final_state"] == "p.r1.b"})
    assert plan.describe(step(plan, state, "X", engine=runner, handlers=yes).snapshot.configuration) == "out"


@ENGINES
def test_done_data(engine) -> None:
    definition = chart({"p*": {"a*": {}, "f$": {}}, "out": {}}, ["a X -> f"], {"p": {"done": "out"}})
    plan, runner, state = begin(definition, engine, done_data={"p.f": lambda ctx: {"answer": ctx["n"] + 42}})
    seen: list[dict] = []
    actions = {"+out": lambda ctx, payload: seen.append(dict(payload))}
    step(plan, state, "X", engine=runner, handlers=Handlers(actions=actions))
    assert seen == [{"state": "p", "final_state": "p.f", "answer": 42}]


@ENGINES
def test_delayed_and_cancelled_events_are_commands(engine) -> None:
    plan, runner, state = begin(chart({"a*": {}}, ["a GO -> / act"]), engine)
    later = Delayed("X", {"k": 1}, 500, "x")
    actions = {"act": lambda ctx, payload: ActionResult({"n": 2}, delayed=[later], cancelled=["y"])}
    found = step(plan, state, "GO", engine=runner, handlers=Handlers(actions=actions))
    assert found.commands[-2:] == (SendLater(later), CancelSend("y"))
    assert found.snapshot.context == {"n": 2}


@ENGINES
def test_errors_of_entry_actions_undo_what_the_action_did(engine) -> None:
    definition = chart(
        {"a*": {}, "b": {}, "bad": {}}, ["a GO -> b"], {"b": {"error": "bad", "entry": "messy"}}
    )
    plan, runner, state = begin(definition, engine)

    def messy(ctx, payload):
        ctx["n"] = 9
        raise ValueError("no")

    seen: list[dict] = []
    actions = {"messy": messy, "+bad": lambda ctx, payload: seen.append(dict(payload))}
    found = step(plan, state, "GO", engine=runner, handlers=Handlers(actions=actions))
    assert found.snapshot.context == {"n": 0}
    assert seen[0]["error"] == {"code": "ValueError", "message": "no"}
    assert (seen[0]["state"], seen[0]["action"], seen[0]["event"]) == ("b", "messy", "GO")


@ENGINES
def test_an_error_while_an_error_is_handled_goes_to_the_next_ancestor(engine) -> None:
    states = {"p*": {"q*": {"a*": {}, "b": {}}, "z": {}}, "bad": {}}
    options = {"p": {"error": "bad"}, "q": {"error": "z", "exit": "fail"}}
    plan, runner, state = begin(
        chart(states, ["a GO -> b / fail"], {**options, "p": {"error": "bad"}}), engine
    )
    with pytest.raises(ActionError) as caught:
        # q fails on the way to z, and again on the way to bad: nobody is left.
        step(plan, state, "GO", engine=runner, handlers=HANDLERS)
    assert caught.value.action == "fail"
    options = {"p": {"error": "bad"}, "q": {"error": "z"}, "z": {"entry": "fail"}}
    plan, runner, state = begin(chart(states, ["a GO -> b / fail"], options), engine)
    found = step(plan, state, "GO", engine=runner, handlers=HANDLERS)
    assert plan.describe(found.snapshot.configuration) == "bad"


@ENGINES
def test_a_failed_effect_goes_on(engine) -> None:
    definition = chart(
        {"a*": {}, "b": {}, "bad": {}}, ["a GO -> b / act", "b GO -> a / act"], {"b": {"error": "bad"}}
    )
    plan, runner, state = begin(definition, engine)
    failing = Handlers(actions={"act": lambda ctx, payload: EffectFailed("cold", "Heat")})
    after = step(plan, state, "GO", engine=runner, handlers=failing).snapshot
    assert plan.describe(after.configuration) == "b"  # a declares nothing
    after = step(plan, after, "GO", engine=runner, handlers=failing).snapshot
    assert plan.describe(after.configuration) == "a"  # b was left when its error would have been handled


@ENGINES
def test_an_error_at_the_start(engine) -> None:
    plan = compile_plan(chart({"a*": {}}, [], {"a": {"entry": "fail"}}))
    with pytest.raises(ActionError, match="at the start"):
        step(plan, initial_snapshot(plan), handlers=HANDLERS, engine=engine(plan))


@ENGINES
def test_an_error_on_the_way_out_of_the_machine(engine) -> None:
    definition = chart({"a*": {}, "f$": {}}, ["a GO -> f"], {"f": {"exit": "fail"}})
    plan, runner, state = begin(definition, engine)
    with pytest.raises(ActionError, match="'f'"):
        step(plan, state, "GO", handlers=HANDLERS, engine=runner)


@ENGINES
def test_a_machine_without_exit_actions_ends_too(engine) -> None:
    plan, runner, state = begin(chart({"a*": {}, "f$": {}}, ["a GO -> f"], traced=False), engine)
    assert step(plan, state, "GO", engine=runner).snapshot.status == "done"


@ENGINES
def test_history_states_as_initial_and_without_target(engine) -> None:
    states = {"p*": {"h~*": {}, "a": {}, "b": {}}, "out": {}}
    rows = ["h ->", "a X -> b", "p OUT -> out", "out IN -> p"]
    plan, runner, state = begin(chart(states, rows), engine)
    assert plan.describe(state.configuration) == "p.a"
    for event, expected in (("X", "p.b"), ("OUT", "out"), ("IN", "p.b")):
        state = step(plan, state, event, engine=runner, handlers=HANDLERS).snapshot
        assert plan.describe(state.configuration) == expected


@ENGINES
def test_a_history_that_defaults_to_a_history(engine) -> None:
    states = {"out*": {}, "p": {"q*": {"a*": {}, "b": {}, "k~": {}}, "h~~": {}}}
    plan, runner, state = begin(chart(states, ["out IN -> h", "h -> k / one", "k -> b / two"]), engine)
    found = step(plan, state, "IN", engine=runner, handlers=HANDLERS)
    assert trace(found.commands) == "-out +p one +q two +b"


def test_snapshots_are_checked() -> None:
    plan, _engine, state = begin(chart(PAR, []))
    check_snapshot(plan, state)
    check_snapshot(plan, Snapshot())
    p, r1, a, _b, r2, c, _d, out = range(1, 9)
    for wrong in (
        (),
        (99,),
        (0,),
        (r1, p, a, r2, c),
        (p, r1, a),
        (p, r1, r2, c),
        (a,),
        (p, r1, a, r2, c, out),
    ):
        with pytest.raises(SnapshotError):
            check_snapshot(plan, Snapshot(wrong, status="running"))
    nested, _engine, _state = begin(chart({"a*": {}, "p": {"q*": {}}}, []))
    with pytest.raises(SnapshotError, match="without its parent"):
        check_snapshot(nested, Snapshot((1, 3), status="running"))
    with pytest.raises(SnapshotError):
        step(plan, Snapshot(), "GO")
    with pytest.raises(SnapshotError):
        step(plan, state)


def test_signals_say_whose_they_are() -> None:
    assert Signal(done_name("p")).is_internal
    assert Signal(timeout_name("p")).is_internal
    assert not Signal("GO").is_internal


def test_the_tables_of_the_engine_are_bounded(monkeypatch) -> None:
    import importlib

    module = importlib.import_module("orca.statemachine.engine.compiled")
    monkeypatch.setattr(module, "CONFIGS_MAX", 2)
    definition = chart({"a*": {}, "b": {}, "c": {}}, ["a GO -> b", "b GO -> c", "c GO -> a"])
    plan, engine, state = begin(definition)
    for _ in range(9):
        state = step(plan, state, "GO", engine=engine).snapshot
        assert len(engine.configs) <= 2
    assert plan.describe(state.configuration) == "a"
    monkeypatch.setattr(module, "_PLANS_MAX", 1)
    monkeypatch.setattr(module, "_compiled", {})
    one, two = compile_plan(AB), compile_plan(AB)
    first = compiled_function(one)
    assert compiled(one) is first
    compiled(two)
    assert compiled(one) is not first


def test_names_that_no_state_knows_are_not_kept() -> None:
    plan, engine, state = begin(AB)
    for number in range(50):
        step(plan, state, f"unknown{number}", engine=engine)
    assert set(engine.config(state.configuration).rows) <= {"GO", EVENTLESS}


def test_what_an_explorer_uses() -> None:
    definition = chart(
        {"a*": {}, "b": {}, "c": {}}, ["a GO [n > 1] -> b", "a GO -> c", "a -> b"], traced=False
    )
    plan, engine, _state = begin(definition)
    config = engine.config((1,))
    row = engine.row(config, "GO")
    assert [[plan.nodes[arc.target].name for arc in arcs] for arcs in row.lists] == [["b", "c"]]
    assert row.sure is None
    assert engine.micro(config, row.lists[0][:1]).target.states == (2,)
    assert not config.stable
    assert engine.row(config, EVENTLESS).sure is not None
    assert engine.initial().target is config


def test_only_plain_microsteps_take_the_short_way() -> None:
    states = {
        "a*": {}, "timed": {}, "invoking": {}, "eager": {}, "end$": {},
        "w": {"x*": {}, "f$": {}}, "k": {"y*": {}, "h~": {}},
    }  # fmt: skip
    rows = [f"a {name.upper()} -> {name}" for name in ("timed", "invoking", "eager", "end", "f", "k", "h")]
    rows += ["a SELF -> a", "eager [n > 5] -> a", "y BACK -> a", "a RAISE -> / !X"]
    options = {
        "timed": {"timeout": (5, "a")},
        "invoking": {"invoke": "Child"},
        "w": {"done": "a"},
        "a": {"error": "timed"},
    }
    _plan, engine, state = begin(chart(states, rows, options))
    config = engine.config(state.configuration)
    plain = {event: engine.row(config, event).plain is not None for event in config.rows or ()}
    for event in ("TIMED", "INVOKING", "EAGER", "END", "F", "K", "H", "SELF", "RAISE"):
        plain[event] = engine.row(config, event).plain is not None
    assert [event for event, short in plain.items() if short] == ["K", "SELF", "RAISE"]
    assert engine.row(config, "SELF").plain.handled
    inside = engine.row(config, "K").plain.target
    assert engine.row(inside, "BACK").plain is None  # history is recorded
    assert not engine.row(inside, "BACK").lists[0][0].guard
    assert engine.request("+a", "entry", engine.nodes[1]) is engine.request("+a", "entry", engine.nodes[1])
    assert engine.request("+a", "entry", engine.nodes[1], handled=False).handler == -1
    assert engine.request("+a", "entry", engine.nodes[1]).handler == 1


def test_only_declared_effects_are_effects() -> None:
    definition = replace(AB, actions=(ActionSignature("+b", effect_type="Mail"), ActionSignature("-a")))
    assert compile_plan(definition).effects == {"+b": "Mail"}


def test_a_macrostep_can_be_resumed() -> None:
    plan, engine, state = begin(chart({"a*": {}, "b": {}}, ["a NEXT -> b"]))
    work = Work(plan, state, Signal("GO"), frozenset())
    work.enqueue(Signal("NEXT"))
    for _request in engine.resume(work, state.configuration):
        pass
    assert plan.describe(engine.result(work)) == "b"


def test_regions_are_states_of_their_own() -> None:
    plan = compile_plan(chart(PAR, []))
    assert [n.path for n in plan.nodes if n.is_region] == ["p.r1", "p.r2"]
    assert plan.ancestors(plan.by_path["p.r1.a"]) == [plan.by_path["p.r1"], plan.by_path["p"]]
    assert plan.name == "Chart"
    empty = StateDef("p", "p", parallel=ParallelDef((RegionDef("r", "p.r"),)))
    with pytest.raises(PlanError, match=r"'p\.r' holds no state"):
        compile_plan(MachineDef("M", states=(empty,)))
