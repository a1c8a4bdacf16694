"""What the engine says and keeps, to the letter: errors, cycles, undone work, what is computed once."""

from __future__ import annotations

import pytest
from charts import HANDLERS, chart

from orca.statemachine.engine import (
    EVENTLESS,
    MICROSTEPS_MAX,
    ActionError,
    ActionResult,
    Compiled,
    Handlers,
    LivelockError,
    PlanError,
    Reference,
    Signal,
    Snapshot,
    SnapshotError,
    Work,
    check_snapshot,
    compile_plan,
    initial_snapshot,
    step,
)
from orca.statemachine.engine.plan import NESTING_MAX
from orca.statemachine.model import MachineDef, StateDef

ENGINES = pytest.mark.parametrize("engine", [Reference, Compiled])


def begin(definition, engine, handlers=HANDLERS, **options):
    plan = compile_plan(definition, **options)
    runner = engine(plan)
    return plan, runner, step(plan, initial_snapshot(plan), engine=runner, handlers=handlers).snapshot


@ENGINES
def test_action_errors_say_where(engine) -> None:
    plan, runner, state = begin(chart({"a*": {}, "b": {}}, ["a GO -> b / fail"], traced=False), engine)
    with pytest.raises(ActionError) as caught:
        step(plan, state, "GO", engine=runner, handlers=HANDLERS)
    error = caught.value
    assert (error.machine, error.state, error.action, error.event) == ("Chart", "a", "fail", "GO")
    assert isinstance(error.__cause__, ValueError)
    plan = compile_plan(chart({"a*": {}}, []))

    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(ActionError) as caught:
        step(
            plan,
            initial_snapshot(plan),
            engine=engine(plan),
            handlers=Handlers({"+a": lambda c, p: broken()}),
        )
    assert (caught.value.state, caught.value.action, caught.value.event) == ("a", "+a", None)


@ENGINES
def test_livelocks_name_exactly_the_cycle(engine) -> None:
    definition = chart(
        {"a*": {}, "b": {}, "c": {}, "d": {}}, ["a GO -> b", "b -> c", "c -> d", "d -> c"], traced=False
    )
    for bound in (10, 11):
        plan, runner, state = begin(definition, engine, microsteps_max=bound)
        with pytest.raises(LivelockError) as caught:
            step(plan, state, "GO", engine=runner)
        error = caught.value
        assert (error.machine, error.bound) == ("Chart", bound)
        assert sorted(error.cycle) == ["c", "d"]
    alone = chart({"a*": {}, "b": {}}, ["a GO -> b", "b -> b"], traced=False)
    plan, runner, state = begin(alone, engine, microsteps_max=5)
    with pytest.raises(LivelockError) as caught:
        step(plan, state, "GO", engine=runner)
    assert caught.value.cycle == ("b",)


@ENGINES
def test_a_run_that_never_repeats_shows_its_end(engine) -> None:
    states = {f"s{i}{'*' if i == 0 else ''}": {} for i in range(40)}
    rows = ["s0 GO -> s1", *(f"s{i} -> s{i + 1}" for i in range(1, 39))]
    plan, runner, state = begin(chart(states, rows, traced=False), engine, microsteps_max=30)
    with pytest.raises(LivelockError) as caught:
        step(plan, state, "GO", engine=runner)
    assert caught.value.cycle == tuple(f"s{i}" for i in range(12, 32))
    plan, runner, state = begin(chart(states, rows, traced=False), engine, microsteps_max=39)
    assert plan.describe(step(plan, state, "GO", engine=runner).snapshot.configuration) == "s39"


def test_the_bounds_themselves() -> None:
    assert MICROSTEPS_MAX == 1000
    assert compile_plan(chart({"a*": {}}, [])).microsteps_max == 1000

    def nested(depth: int) -> MachineDef:
        path = ".".join(["s"] * depth)
        inner = StateDef("s", path)
        for level in range(depth - 1, 0, -1):
            inner = StateDef("s", ".".join(["s"] * level), states=(inner,))
        return MachineDef("M", states=(inner,))

    assert compile_plan(nested(NESTING_MAX)).nodes[-1].depth == NESTING_MAX
    with pytest.raises(PlanError, match="nested deeper"):
        compile_plan(nested(NESTING_MAX + 1))


@ENGINES
def test_what_an_undone_transition_did_is_gone(engine) -> None:
    definition = chart(
        {"a*": {}, "b": {}, "c": {}, "d": {}},
        ["a GO -> b / broken", "c X -> d"],
        {"a": {"error": "c", "exit": "leave"}},
        traced=True,
    )

    def leave(context, _payload):
        context["extra"] = 1
        return ActionResult(raised=[Signal("X")])

    def broken(context, _payload):
        context["more"] = 2
        raise ValueError("no")

    handlers = Handlers({"leave": leave, "broken": broken})
    plan, runner, state = begin(definition, engine, handlers)
    done = step(plan, state, "GO", engine=runner, handlers=handlers)
    # The error transition leaves a as well: one X and one extra, from the transition that did happen.
    assert plan.describe(done.snapshot.configuration) == "d"
    assert dict(done.snapshot.context) == {"n": 0, "extra": 1}
    raised = [command.name for command in done.commands if type(command).__name__ == "Raise"]
    assert raised == ["X"]


@ENGINES
def test_what_a_failed_entry_did_to_the_context_is_gone(engine) -> None:
    definition = chart({"a*": {}, "b": {}, "c": {}}, ["a GO -> b"], {"b": {"error": "c"}})

    def enter(context, _payload):
        context["extra"] = 1
        context["n"] = 7
        raise ValueError("no")

    handlers = Handlers({"+b": enter})
    plan, runner, state = begin(definition, engine, handlers)
    done = step(plan, state, "GO", engine=runner, handlers=handlers)
    assert plan.describe(done.snapshot.configuration) == "c"
    assert dict(done.snapshot.context) == {"n": 0}


@ENGINES
def test_a_predicate_that_says_no_is_named(engine) -> None:
    definition = chart(
        {"p|*": {"r1": {"a*": {}, "f$": {}}, "r2": {"c*": {}, "g$": {}}}, "out": {}},
        ["a GO -> f"],
        {"p": {"sync": "custom", "done": "out"}},
        traced=False,
    )
    plan = compile_plan(definition)
    runner = engine(plan)
    answers = [False]
    handlers = Handlers(syncs={"p": lambda context, payload: answers[0]})
    state = step(plan, initial_snapshot(plan), engine=runner, handlers=handlers).snapshot
    done = step(plan, state, "GO", engine=runner, handlers=handlers)
    assert plan.describe(done.snapshot.configuration) == "p.r1.f, p.r2.c"
    answers[0] = True
    done = step(plan, state, "GO", engine=runner, handlers=handlers)
    assert plan.describe(done.snapshot.configuration) == "out"


@ENGINES
def test_the_work_names_the_predicate(engine) -> None:
    definition = chart(
        {"p|*": {"r1": {"a*": {}, "f$": {}}}, "out": {}},
        ["a GO -> f"],
        {"p": {"sync": "custom", "done": "out"}},
        traced=False,
    )
    plan = compile_plan(definition)
    runner = engine(plan)
    state = step(plan, initial_snapshot(plan), engine=runner).snapshot
    work = Work(plan, state, Signal("GO"), frozenset())
    steps = runner.react(work, state.configuration)
    request = next(steps)
    assert (request.name, request.kind) == ("p", "sync")
    with pytest.raises(StopIteration):
        steps.send(False)
    assert work.failed_guard == ("p", "")


def test_an_engine_need_not_be_given() -> None:
    plan = compile_plan(chart({"a*": {}, "b": {}}, ["a GO -> b"]))
    state = step(plan, initial_snapshot(plan)).snapshot
    assert plan.describe(step(plan, state, "GO").snapshot.configuration) == "b"


def test_a_snapshot_of_the_machine_itself_or_past_the_last_state() -> None:
    plan = compile_plan(chart({"a*": {}, "b": {}}, ["a GO -> b"], name="Odd"))
    for wrong in ((0, 1), (1, 3), (3,)):
        with pytest.raises(SnapshotError, match="are not states in document order"):
            check_snapshot(plan, Snapshot(wrong, status="running"))
    with pytest.raises(SnapshotError, match="'Odd' has 2 active children instead of 1"):
        check_snapshot(plan, Snapshot((1, 2), status="running"))
    with pytest.raises(SnapshotError, match="'p' has 0 active children instead of 1"):
        check_snapshot(compile_plan(chart({"p*": {"q*": {}}}, [])), Snapshot((1,), status="running"))


def test_what_is_computed_once() -> None:
    definition = chart(
        {"a*": {}, "b": {}, "c": {}}, ["a GO [n > 1] -> b", "a GO -> c", "a SURE -> b"], traced=False
    )
    plan = compile_plan(definition)
    engine = Compiled(plan)
    config = engine.config((1,))
    row = engine.row(config, "GO")
    assert engine.row(config, "GO") is row
    assert [(arc.target, micro.target.states) for arc, micro in row.chain] == [(2, (2,)), (3, (3,))]
    assert engine.row(config, "SURE").chain is None
    assert engine.row(config, "SURE").plain.target.states == (2,)
    assert engine.row(config, "SURE").plain.final == -1
    assert engine.row(config, EVENTLESS).lists == ()
    arcs = row.lists[0][:1]
    assert engine.micro(config, arcs) is engine.micro(config, arcs)
    assert engine.initial() is engine.initial()


def test_resumed_work_counts_as_taken() -> None:
    plan = compile_plan(chart({"a*": {}, "b": {}}, ["a NEXT -> b"]))
    engine = Compiled(plan)
    state = step(plan, initial_snapshot(plan), engine=engine).snapshot
    work = Work(plan, state, Signal("GO"), frozenset())
    assert list(engine.resume(work, state.configuration)) == []
    assert work.verdict == "taken"


def drive(engine, plan, state, event) -> Work:
    """Handle an event with actions that do nothing."""
    work = Work(plan, state, Signal(event), frozenset())
    for _request in engine.react(work, state.configuration):
        pass
    return work


@ENGINES
def test_transitions_are_counted(engine) -> None:
    plan, runner, state = begin(
        chart({"a*": {}, "b": {}, "c": {}}, ["a GO -> b", "b -> c"]), engine, handlers=Handlers()
    )
    taken = drive(runner, plan, state, "GO")
    assert (taken.verdict, taken.arcs) == ("taken", [0, 1])
    assert plan.describe(runner.result(taken)) == "c"
    assert (drive(runner, plan, state, "NO").verdict, drive(runner, plan, state, "NO").arcs) == (
        "unhandled",
        [],
    )
