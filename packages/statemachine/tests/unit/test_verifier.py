"""The verifier piece by piece: what other verifiers say wrongly, guards by cells, tables, budgets, fast graphs."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace

import pytest
from random_machines import Shape, random_machine
from sample_machines import compare, ctx, field, flat, fulfilment, game, number, payload

from orca.statemachine.engine import compile_plan
from orca.statemachine.expr import (
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardIn,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
)
from orca.statemachine.loading import load
from orca.statemachine.model import (
    ContextField,
    GuardDef,
    Invariant,
    InvokeDef,
    Live,
    MachineDef,
    OutcomeRef,
    ParallelDef,
    Reachable,
    RegionDef,
    StateDef,
    TimeoutDef,
    Transition,
    TypeRef,
)
from orca.statemachine.tables import (
    AnyCell,
    ConditionDef,
    DecisionTableDef,
    OutputDef,
    RangeCell,
    RuleDef,
    SetCell,
)
from orca.statemachine.verify import ActionOutcome, Options, Trace, TraceStep, play, read_trace, verify
from orca.statemachine.verify import solver as solver_module
from orca.statemachine.verify.decide import Decider
from orca.statemachine.verify.decision import check_table, matches
from orca.statemachine.verify.explore import Explorer
from orca.statemachine.verify.fast import FastGraph, eligible
from orca.statemachine.verify.solver import solve_with_z3, z3_is_there


def codes(report) -> list[str]:
    return [finding.code for finding in report.findings if finding.severity != "info"]


def to(path: str) -> OutcomeRef:
    return OutcomeRef("state", path)


def text(value: str) -> ValueRef:
    return ValueRef("string", value)


def errors(*machines: MachineDef, **more) -> list[str]:
    return [f.code for f in verify(machines, **more).findings if f.severity == "error"]


# ---- what published verifiers say wrongly


def test_timeouts_and_invocations_are_edges() -> None:
    states = (
        StateDef("a", "a", is_initial=True, timeout=TimeoutDef(10, "b")),
        StateDef("b", "b", invoke=InvokeDef("Child"), on_done=to("c"), on_error=to("d")),
        StateDef("c", "c", is_final=True),
        StateDef("d", "d", is_final=True),
    )  # fmt: skip
    child = flat("Child", "x y.", Transition("x", "go", "y"))
    assert errors(MachineDef("M", states=states), child) == []


def test_two_initial_states_and_a_nested_level_without_one_do_not_load() -> None:
    twice = load("machine M\nstate a [initial, final]\nstate b [initial]\n")
    assert [item.code for item in twice.diagnostics] == ["MULTIPLE_INITIAL"]
    nested = load("machine M\nstate a [initial] { state b\n state c }\n")
    assert [item.code for item in nested.diagnostics] == ["NO_INITIAL_STATE"]


def test_a_nested_dead_end_is_seen() -> None:
    inner = (StateDef("x", "a.x", is_initial=True), StateDef("y", "a.y"))
    machine = MachineDef(
        "M",
        states=(StateDef("a", "a", is_initial=True, states=inner), StateDef("end", "end", is_final=True)),
        transitions=(Transition("a.x", "down", "a.y"), Transition("a.x", "out", "end")),
    )
    (dead,) = verify([machine]).of("DEADLOCK")
    assert "`a.y`" in dead.message
    assert dead.trace.events == ("down",)
    handled = replace(machine, transitions=(*machine.transitions, Transition("a", "up", "end")))
    assert errors(handled) == []


def test_a_dead_end_in_regions_is_the_whole_configuration() -> None:
    regions = []
    for n in "qr":
        start, end = StateDef("x", f"p.{n}.x", is_initial=True), StateDef("y", f"p.{n}.y", is_final=n == "r")
        regions.append(RegionDef(n, f"p.{n}", (start, end)))
    parallel = StateDef(
        "p", "p", is_initial=True, parallel=ParallelDef(tuple(regions)), on_done=OutcomeRef("state", "end")
    )
    rows = tuple(Transition(f"p.{n}.x", n.upper(), f"p.{n}.y") for n in "qr")
    machine = MachineDef("M", states=(parallel, StateDef("end", "end", is_final=True)), transitions=rows)
    report = verify([machine])
    assert [finding.message.split("`")[1] for finding in report.of("DEADLOCK")] == ["p.q.y, p.r.y"]
    assert sorted(report.of("DEADLOCK")[0].trace.events) == ["Q", "R"]


COLOR = ConditionDef("color", "enum", ("a", "b"))
OUT = OutputDef("out", "string")


def table(conditions, *rules, policy="first-match") -> DecisionTableDef:
    made = tuple(RuleDef(i + 1, cells, outputs) for i, (cells, outputs) in enumerate(rules))
    outputs = tuple(OutputDef(f"out{i}", "string") for i in range(len(rules[0][1])))
    return DecisionTableDef("T", conditions, outputs, made, policy)


def table_codes(*arguments, **more) -> list[str]:
    return [finding.code for finding in check_table(table(*arguments, **more))]


def test_not_a_and_not_b_do_not_overlap_when_there_is_nothing_else() -> None:
    not_a, not_b = SetCell(("a",), negated=True), SetCell(("b",), negated=True)
    assert table_codes((COLOR,), ((not_a,), ("1",)), ((not_b,), ("2",)), policy="all-match") == []
    kind = TypeRef("enum", (TypeRef("a"), TypeRef("b")))
    rows = [
        Transition("s", "e", "t", GuardCompare("ne", ctx("k"), ValueRef("string", name)))
        for name in ("a", "b")
    ]
    machine = flat("M", "s t.", *rows, fields=(ContextField("k", kind, "a", True),))
    assert codes(verify([machine])) == []


def test_a_mixed_table_with_a_hole_is_not_accepted() -> None:
    flag, size = ConditionDef("flag", "bool"), ConditionDef("size", "int_range", low=0, high=100)
    rules = [
        ((SetCell((True,)), RangeCell(low=10)), ("x",)),
        ((SetCell((False,)), AnyCell()), ("y",)),
        ((SetCell((True,)), RangeCell(high=8)), ("z",)),
    ]
    (hole,) = check_table(table((flag, size), *rules))
    assert hole.code == "DT_INCOMPLETE"
    assert dict(hole.witness) == {"flag": True, "size": 9}


def test_a_trailing_catch_all_is_no_contradiction_and_partial_overlap_is_not_redundant() -> None:
    score = ConditionDef("score", "int_range", low=0, high=100)
    rules = [
        ((RangeCell(low=50),), ("high",)),
        ((RangeCell(low=20, high=60),), ("middle",)),
        ((AnyCell(),), ("low",)),
    ]
    assert table_codes((score,), *rules) == []


# ---- guards


def guarded(*guards, fields=(), event="e") -> MachineDef:
    rows = [Transition("s", event, "t", guard) for guard in guards]
    return flat("M", "s t.", *rows, fields=fields)


INT = (field("n", "int", 0),)


def test_the_seed_pair_is_reported() -> None:
    (shadowed,) = verify([game()]).of("SHADOWED_TRANSITION")
    assert "`combat` on `attack` [health <= 0]" in shadowed.message


def test_numbers_are_cut_where_guards_cut_them() -> None:
    report = verify([guarded(compare("n", "lt", 5), compare("n", "gt", 5), fields=INT)])
    (hole,) = report.of("GUARD_EXHAUSTIVENESS")
    assert dict(hole.witness) == {"ctx.n": 5}
    assert codes(verify([guarded(compare("n", "lt", 5), compare("n", "ge", 5), fields=INT)])) == []
    # Between 4 and 5 there is no whole number, but there is a decimal one.
    pair = (compare("n", "le", 4), compare("n", "ge", 5))
    assert codes(verify([guarded(*pair, fields=INT)])) == []
    report = verify([guarded(*pair, fields=(field("n", "decimal", 0),))])
    assert dict(report.of("GUARD_EXHAUSTIVENESS")[0].witness) == {"ctx.n": 4.5}


def test_null_is_a_value_where_the_context_can_hold_it() -> None:
    pair = (compare("n", "lt", 5), compare("n", "ge", 5))
    report = verify([guarded(*pair, fields=(ContextField("n", TypeRef("int", optional=True), 0, True),))])
    assert dict(report.of("GUARD_EXHAUSTIVENESS")[0].witness) == {"ctx.n": None}
    whole = (*pair, GuardNullcheck(ctx("n"), is_null=True))
    assert codes(verify([guarded(*whole, fields=(ContextField("n", TypeRef("int"), None, False),))])) == []


def test_fields_are_compared_with_each_other_in_every_order() -> None:
    fields = (field("a", "int", 0), field("b", "int", 0))
    less, more = GuardCompare("lt", ctx("a"), ctx("b")), GuardCompare("gt", ctx("a"), ctx("b"))
    report = verify([guarded(less, more, fields=fields)])
    (hole,) = report.of("GUARD_EXHAUSTIVENESS")
    assert hole.witness["ctx.a"] == hole.witness["ctx.b"]
    same = GuardCompare("eq", ctx("a"), ctx("b"))
    assert codes(verify([guarded(less, more, same, fields=fields)])) == []


def test_linear_arithmetic_over_one_field_is_exact() -> None:
    double = Arithmetic("add", Arithmetic("mul", number(2), ctx("n")), number(1))
    guards = (GuardCompare("lt", double, number(8)), GuardCompare("ge", double, Negate(number(-8))))
    assert codes(verify([guarded(*guards, fields=INT)])) == []
    third = Arithmetic("div", ctx("n"), number(3))
    guards = (
        GuardCompare("lt", third, number(1)),
        GuardCompare("gt", Arithmetic("sub", third, number(1)), number(0)),
    )
    report = verify([guarded(*guards, fields=INT)])
    assert dict(report.of("GUARD_EXHAUSTIVENESS")[0].witness) == {"ctx.n": 3}


def test_overlap_has_a_witness_and_order_hides_what_is_covered() -> None:
    report = verify([guarded(compare("n", "lt", 5), compare("n", "gt", 3), fields=INT)])
    (overlap,) = report.of("OVERLAPPING_GUARDS")
    assert dict(overlap.witness) == {"ctx.n": 4}
    report = verify([guarded(compare("n", "lt", 5), compare("n", "lt", 3), fields=INT)])
    assert "SHADOWED_TRANSITION" in codes(report)
    assert not report.of("OVERLAPPING_GUARDS")


def test_names_texts_lists_and_payloads_are_decided() -> None:
    guards = (
        GuardRef("gold"),
        GuardAnd((GuardNot(GuardRef("gold")), GuardIn(payload("kind"), (text("x"), ValueRef("null", None))))),
        GuardOr((ctx("items"), VariableRef(("event", "deep", "flag")))),
    )  # fmt: skip
    fields = (
        field("tier", "string", "none"),
        ContextField("items", TypeRef("list", (TypeRef("int"),)), (), True),
    )
    named = (GuardDef("gold", GuardCompare("eq", ctx("tier"), ValueRef("string", "gold"))),)
    machine = replace(guarded(*guards, fields=fields), guard_defs=named)
    report = verify([machine])
    assert report.complete
    assert {"OVERLAPPING_GUARDS", "GUARD_EXHAUSTIVENESS"} == set(codes(report))
    hole = report.of("GUARD_EXHAUSTIVENESS")[0].witness
    assert hole["ctx.tier"] != "gold"
    assert hole["ctx.items"] == []


def test_rows_without_guard_are_told_apart() -> None:
    open_row, other = Transition("s", "e", "t"), Transition("s", "e", "s", GuardTrue())
    assert "NON_DETERMINISTIC" in codes(verify([flat("M", "s t.", open_row, other)]))
    fine = flat("M", "s t.", replace(other, target="t", guard=compare("n", "gt", 1)), open_row, fields=INT)
    assert codes(verify([fine])) == []
    one = flat("M", "s t.", Transition("s", "e", "t", compare("n", "gt", 1)), fields=INT)
    assert codes(verify([one])) == []


def test_an_event_that_an_outer_state_takes_is_not_lost() -> None:
    inner = (StateDef("x", "a.x", is_initial=True),)
    states = (StateDef("a", "a", is_initial=True, states=inner), StateDef("t", "t", is_final=True))
    rows = tuple(Transition("a.x", "e", "t", compare("n", op, 5)) for op in ("lt", "gt"))
    machine = MachineDef("M", fields=INT, states=states, transitions=rows)
    assert codes(verify([machine])) == ["GUARD_EXHAUSTIVENESS"]
    assert codes(verify([replace(machine, transitions=(*rows, Transition("a", "e", "t")))])) == []
    ignoring = replace(machine, states=(replace(states[0], ignore=("e",)), states[1]))
    assert "GUARD_EXHAUSTIVENESS" not in codes(verify([ignoring]))


# ---- what values cannot decide


PRODUCT = Arithmetic("mul", ctx("n"), ctx("m"))
BOTH = (field("n", "int", 0), field("m", "int", 0))


def test_undecided_guards_are_said_and_z3_decides_them() -> None:
    never = GuardCompare("eq", Arithmetic("mul", ctx("n"), ctx("n")), number(7919 * 2))
    machine = flat("M", "s t. u.", Transition("s", "e", "t"), Transition("s", "f", "u", never), fields=BOTH)
    report = verify([machine])
    (open_question,) = report.of("INCONCLUSIVE")
    assert "whether `u` can be reached" in open_question.message
    assert not report.complete
    assert not report.of("UNREACHABLE_STATE")
    pair = (GuardCompare("gt", PRODUCT, number(77)), GuardCompare("lt", PRODUCT, number(-77)))
    overlapping = verify([guarded(*pair, fields=BOTH)], options=Options(solver=solve_with_z3))
    assert not [f for f in overlapping.of("INCONCLUSIVE") if "together" in f.message]
    assert "whether `s` on `e`" in verify([guarded(*pair, fields=BOTH)]).of("INCONCLUSIVE")[0].message


def test_z3_answers_only_what_it_was_translated() -> None:
    assert z3_is_there()
    machine = replace(
        guarded(fields=BOTH), guard_defs=(GuardDef("g", GuardCompare("gt", PRODUCT, number(6))),)
    )
    found = solve_with_z3(machine, [(GuardRef("g"), True), (GuardCompare("lt", ctx("n"), number(0)), True)])
    assert found[("ctx", "n")] * found[("ctx", "m")] > 6
    square = Arithmetic("mul", ctx("n"), ctx("n"))
    assert solve_with_z3(machine, [(GuardCompare("lt", square, number(0)), True)]) is False
    odd = GuardCompare("eq", Arithmetic("mod", Arithmetic("add", ctx("n"), ctx("m")), number(2)), number(1))
    both = [
        (odd, True),
        (GuardIn(ctx("n"), (number(4), number(6))), True),
        (GuardOr((GuardTrue(), odd)), True),
    ]
    values = solve_with_z3(machine, both)
    assert (values[("ctx", "n")] + values[("ctx", "m")]) % 2 == 1
    assert solve_with_z3(machine, [(ctx("n"), True), (GuardNot(ctx("m")), True)])[("ctx", "m")] == 0
    for beyond in (
        GuardCompare("eq", payload("k"), number(1)),
        GuardCompare("eq", Arithmetic("div", ctx("n"), ctx("m")), number(1)),
        GuardCompare("eq", Arithmetic("mod", ctx("n"), ctx("m")), number(1)),
        GuardCompare("eq", ctx("n"), ValueRef("string", "x")),
    ):
        assert solve_with_z3(machine, [(beyond, True)]) is None
    half = replace(machine, fields=(field("n", "decimal", 0), field("m", "decimal", 0)))
    values = solve_with_z3(
        half, [(GuardCompare("eq", Arithmetic("add", ctx("n"), ctx("n")), number(0.5)), True)]
    )
    assert values[("ctx", "n")] == 0.25


def test_without_z3_nothing_is_loaded(monkeypatch) -> None:
    monkeypatch.setattr(solver_module.importlib, "import_module", lambda name: pytest.fail("z3 was loaded"))
    assert verify([guarded(compare("n", "gt", 1), fields=INT)]).complete


def test_a_solver_that_is_wrong_is_not_believed() -> None:
    square = Arithmetic("mul", ctx("n"), ctx("n"))
    machine = guarded(GuardCompare("eq", square, number(7919**2)), fields=BOTH)
    decider = Decider(machine, (), lambda _machine, _wanted: {("ctx", "n"): 1})
    answer = decider.find([(machine.transitions[0].guard, True)])
    assert (answer.values, answer.decided) == (None, False)


def test_a_guard_over_very_many_fields_ends_and_is_said() -> None:
    fields = tuple(field(f"x{i}", "int", 0) for i in range(14))
    wide = GuardAnd(tuple(compare(item.name, "gt", 3) for item in fields))
    rows = (
        Transition("s", "e", "u", wide),
        Transition("s", "f", "t", GuardNot(wide)),
        Transition("s", "g", "t"),
    )
    start = time.process_time()
    report = verify([flat("M", "s t. u.", *rows, fields=fields)])
    assert time.process_time() - start < 5
    assert [item.code for item in report.findings] == ["INCONCLUSIVE"]
    assert not report.complete


def test_every_generated_machine_is_verified_without_a_crash() -> None:
    shape = Shape(depth=2)
    for seed in range(30):
        machine = random_machine(seed, shape)
        report = verify([machine], options=Options(budget=30))
        for finding in report.findings:
            assert finding.to_json()["code"] == finding.code
            if finding.trace is not None:
                assert finding.trace.describe().startswith("start")


def test_traces_are_told_in_one_line_and_read_back() -> None:
    step = TraceStep(
        "GO",
        {"k": 1},
        {"r": 2},
        (ActionOutcome("a", {"n": 3}), ActionOutcome("b", fails=True)),
        {"p": True},
        ("x",),
    )
    trace = Trace("M", {"n": 0}, TraceStep(""), (step,))
    assert trace.describe() == "start (n=0) -> GO(k=1) [b fails; a sets (n=3)]"
    assert read_trace(trace.to_json()) == trace


def test_a_budget_that_is_used_up_is_said() -> None:
    machine = replace(fulfilment(), properties=(Live(), Reachable("complete", "cart")))
    report = verify([machine], options=Options(budget=2))
    assert not report.complete
    assert "the budget of 2 configurations is used up" in report.of("INCONCLUSIVE")[0].message
    assert report.ok
    assert verify([machine]).ok


def test_severities_can_be_set() -> None:
    machine = flat("M", "s t", Transition("s", "e", "t"))
    assert verify([machine], options=Options(severities={"DEADLOCK": "off"})).of("DEADLOCK") == ()
    (found,) = verify([machine], options=Options(severities={"DEADLOCK": "info"})).of("DEADLOCK")
    assert found.severity == "info"


# ---- invariants


def test_an_invariant_holds_behind_its_guard_and_not_behind_an_action() -> None:
    positive = compare("n", "gt", 0)
    row = Transition("s", "e", "t", positive)
    held = flat("M", "s t.", row, fields=INT, properties=(Invariant(positive, "t"),))
    assert not verify([held]).of("PROPERTY_INVARIANT_FAIL")
    acted = flat("M", "s t.", replace(row, action="act"), fields=INT, properties=(Invariant(positive, "t"),))
    (broken,) = verify([acted]).of("PROPERTY_INVARIANT_FAIL")
    assert broken.severity == "warning"
    played = play(acted, broken.trace)
    assert played.agrees
    assert played.context["n"] <= 0
    default = flat("M", "s t.", row, fields=INT, properties=(Invariant(positive, None),))
    (wrong,) = verify([default]).of("PROPERTY_INVARIANT_FAIL")
    assert wrong.severity == "error"
    assert dict(wrong.witness) == {"ctx.n": 0}


# ---- tables


def test_cells_hold_what_they_say() -> None:
    assert matches(AnyCell(), 3)
    assert matches(SetCell((1,)), 1.0)
    assert not matches(SetCell((1,)), True)
    assert not matches(SetCell(("1",)), 1)
    assert matches(SetCell((True,), negated=True), False)
    assert not matches(RangeCell(low=1), "x")
    assert not matches(RangeCell(low=1, low_open=True), 1)
    assert matches(RangeCell(high=1), 1)
    assert not matches(RangeCell(high=1, high_open=True), 1)


def test_rules_that_all_count_contradict_or_repeat_each_other() -> None:
    score = ConditionDef("score", "decimal_range")
    wide, narrow = RangeCell(low=0), RangeCell(low=5, high=9)
    found = check_table(
        table((score,), ((wide,), ("a",)), ((narrow,), ("b",)), ((AnyCell(),), (None,)), policy="all-match")
    )
    assert [item.code for item in found] == ["DT_INCONSISTENT"]
    assert 5 <= found[0].witness["score"] <= 9
    again = check_table(table((score,), ((AnyCell(),), ("a",)), ((narrow,), ("a",)), policy="all-match"))
    assert [item.code for item in again] == ["DT_REDUNDANT"]
    double = check_table(table((score,), ((AnyCell(),), ("a",)), ((AnyCell(),), ("a",)), policy="all-match"))
    assert [item.code for item in double] == ["DT_DUPLICATE_RULE"]


def test_tables_agree_with_trying_everything() -> None:
    rng = random.Random(5)
    size = ConditionDef("size", "int_range", low=0, high=6)
    for _ in range(200):
        rules = []
        for _rule in range(rng.randint(1, 5)):
            low = rng.randint(0, 6)
            cell = rng.choice(
                [
                    AnyCell(),
                    RangeCell(low=low),
                    RangeCell(low=low, high=low + 2),
                    SetCell((low,)),
                    SetCell((low,), negated=True),
                ]
            )
            color = rng.choice([AnyCell(), SetCell(("a",)), SetCell(("b",), negated=True)])
            rules.append(((cell, color), (rng.choice("xy"),)))
        made = table((size, COLOR), *rules)
        found = check_table(made)
        points = list(itertools.product(range(7), "ab"))
        first = {
            point: next((r.number for r in made.rules if all(map(matches, r.cells, point))), None)
            for point in points
        }
        assert (None in first.values()) is any(item.code == "DT_INCOMPLETE" for item in found)
        never = {rule.number for rule in made.rules} - set(first.values())
        said = {
            int(word)
            for item in found
            if item.code != "DT_INCOMPLETE"
            for word in item.message.split()
            if word.isdigit()
        }
        assert never <= said
        hidden = [item for item in found if item.code == "DT_REDUNDANT"]
        assert {int(item.message.split()[1]) for item in hidden} <= never


def test_a_table_of_many_columns_is_decided_quickly() -> None:
    conditions = tuple(ConditionDef(f"c{i}", "bool") for i in range(24))
    rules = [(tuple(SetCell((True,)) if j == i else AnyCell() for j in range(24)), ("x",)) for i in range(10)]
    start = time.process_time()
    assert table_codes(conditions, *rules, ((AnyCell(),) * 24, ("y",))) == []
    assert time.process_time() - start < 2


# ---- fast graphs


def rings(count: int, size: int, *extra: Transition) -> MachineDef:
    regions, rows = [], []
    for number_ in range(count):
        path = f"p.r{number_}"
        inner = tuple(StateDef(f"s{i}", f"{path}.s{i}", is_initial=i == 0) for i in range(size))
        regions.append(RegionDef(f"r{number_}", path, inner))
        rows += [Transition(f"{path}.s{i}", f"E{number_}", f"{path}.s{(i + 1) % size}") for i in range(size)]
    states = (
        StateDef("p", "p", is_initial=True, parallel=ParallelDef(tuple(regions))),
        StateDef("end", "end", is_final=True),
    )
    return MachineDef("Rings", states=states, transitions=(*rows, *extra))


def configurations(machine: MachineDef) -> tuple[set, set]:
    """What the fast explorer finds and what the general one finds."""
    plan = compile_plan(machine)
    assert eligible(plan)
    fast = FastGraph(plan).explore(20_000)
    general = Explorer(plan, Decider(machine)).explore(20_000)
    assert fast.complete
    assert general.complete
    assert fast.touched() == general.touched()
    assert {fast.states(at) for at in fast.dead_ends()} == {general.states(at) for at in general.dead_ends()}
    for at in range(0, fast.size, 7):
        way = fast.way_to(at)
        assert len(way) == 1 + _distance(general, fast.states(at))
        assert {e.target for e in fast.edges(at)} == set(fast.targets(at))
        assert fast.known(at) == {}
    return {fast.states(at) for at in range(fast.size)}, {node.states for node in general.nodes}


def _distance(graph, states) -> int:
    return min(len(graph.way_to(at)) - 1 for at in range(graph.size) if graph.states(at) == states)


def test_the_fast_graph_is_the_general_one() -> None:
    both = Transition("p.r0.s0", "E1", "p.r0.s2")
    machines = [rings(3, 3), rings(3, 3, both), rings(2, 4, Transition("p.r1.s3", "OUT", "end"))]
    machines += [rings(2, 3, Transition("*", "TICK", None)), rings(2, 3, Transition("p", "OUT", "end"))]
    machines += [rings(2, 3, Transition("p.r0.s1", "E1", "p.r1.s2")), rings(1, 4)]
    for machine in machines:
        fast, general = configurations(machine)
        assert fast == general
    shape = Shape(guard=0, eventless=0, history=0, outcome=0, failing=0, custom_sync=False, invoke=0)
    compared = 0
    for seed in range(150):
        machine = random_machine(seed, shape)
        if eligible(compile_plan(machine)) and sum(1 for _ in machine.walk()) < 40:
            fast, general = configurations(machine)
            assert fast == general, seed
            compared += 1
    assert compared > 60


def test_a_fast_graph_beyond_its_budget_says_so() -> None:
    for machine in (rings(4, 5), rings(4, 5, Transition("p", "OUT", "end"))):
        graph = FastGraph(compile_plan(machine)).explore(100)
        assert not graph.complete
        assert graph.expanded < graph.size
        assert graph.touched()


def test_a_million_configurations_take_seconds() -> None:
    plan = compile_plan(rings(4, 32))
    start = time.process_time()
    graph = FastGraph(plan).explore(2_000_000)
    seconds = time.process_time() - start
    assert graph.size == 32**4
    assert graph.size / seconds > 200_000
