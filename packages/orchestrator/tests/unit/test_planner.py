"""Registrations to DAGs: order, stages, and every refusal with both sides and the path."""

import time

import pytest
from making import WINDOW_REF, algorithm, need, plan_of, processor, ref, window_type

from orca.orchestrator.errors import PlanError
from orca.orchestrator.model import LookBack, MetadataFieldDef, ProcessorKey, WindowTypeRef
from orca.orchestrator.planner import ALGORITHMS_MAX, PlanCache, build_plan, check, stages


def protocol_example():
    return [
        processor("P1", algorithm("A1"), algorithm("A3")),
        processor("P2", algorithm("A2", "A1"), algorithm("A4", "A3")),
        processor("P3", algorithm("A5", "A2", "A4")),
        processor("P4", algorithm("A6")),
        processor("P5", algorithm("A7", "A6"), algorithm("A8", "A7")),
        processor("P6", algorithm("A9", "A8")),
    ]


def test_the_published_planning_example_gives_its_stages():
    table = [
        {str(key): [entry.name for entry in refs] for key, refs in stage}
        for stage in stages(plan_of(*protocol_example()))
    ]
    assert table == [
        {"P1": ["A1", "A3"], "P4": ["A6"]},
        {"P2": ["A2", "A4"], "P5": ["A7"]},
        {"P3": ["A5"], "P5": ["A8"]},
        {"P6": ["A9"]},
    ]


def test_a_middle_algorithm_keeps_its_dependents():
    plan = plan_of(processor("P", algorithm("C", "B"), algorithm("B", "A"), algorithm("A")))
    assert [node.ref.name for node in plan.nodes] == ["A", "B", "C"]
    assert [node.upstream for node in plan.nodes] == [(), (0,), (1,)]
    assert [node.downstream for node in plan.nodes] == [(1,), (2,), ()]


def test_only_the_window_types_own_algorithms_are_planned():
    other = window_type("Daily")
    plan = plan_of(processor("P", algorithm("A"), algorithm("B", window=other)))
    assert [str(node.ref) for node in plan.nodes] == ["A_1.0.0"]
    assert plan.index_of(ref("B")) == -1
    assert plan.index_of(ref("A")) == 0


def test_a_cycle_within_one_registration_is_shown_with_its_path():
    loop = processor("P", algorithm("A", "C"), algorithm("B", "A"), algorithm("C", "B"))
    (problem,) = check([], loop)
    assert problem.kind == "cycle"
    assert "A_1.0.0 ('P') -> C_1.0.0 ('P') -> B_1.0.0 ('P') -> A_1.0.0 ('P')" in problem.message


def test_a_cycle_through_another_processor_names_both():
    first = processor("P", algorithm("A"))
    second = processor("Q", algorithm("B", "A"))
    assert check([first], second) == ()
    (problem,) = check([first, second], processor("P", algorithm("A", "B")))
    assert problem.kind == "cycle"
    assert "A_1.0.0 ('P') -> B_1.0.0 ('Q') -> A_1.0.0 ('P')" in problem.message


def test_build_plan_refuses_a_cycle_too():
    with pytest.raises(PlanError) as caught:
        plan_of(processor("P", algorithm("A", "B"), algorithm("B", "A")))
    assert caught.value.problems[0].kind == "cycle"
    assert "hint" in str(caught.value)


def test_a_look_back_may_close_a_loop():
    back = need("B", lookback=LookBack(count=1))
    loop = processor("P", algorithm("A", back), algorithm("B", "A"))
    assert check([], loop) == ()
    plan = plan_of(loop)
    assert [str(node.ref) for node in plan.nodes] == ["A_1.0.0", "B_1.0.0"]
    assert plan.nodes[0].looks_back
    assert not plan.nodes[1].looks_back


def test_a_missing_dependency_names_who_wants_what():
    (problem,) = check([], processor("P", algorithm("B", need("A", processor="Q"))))
    assert problem.kind == "missing"
    assert problem.algorithm == "B_1.0.0"
    assert problem.message == (
        "B_1.0.0 of processor 'P' depends on A_1.0.0 of processor 'Q', which no processor has registered"
    )


def test_a_dependency_on_the_wrong_processor_shows_the_right_one():
    known = processor("Q", algorithm("A"))
    (problem,) = check([known], processor("P", algorithm("B", need("A", processor="R"))))
    assert problem.kind == "missing"
    assert "of processor 'R', but it is A_1.0.0 of processor 'Q'" in problem.message


def test_another_version_is_named():
    known = processor("Q", algorithm("A", version="2.0.0"))
    (problem,) = check([known], processor("P", algorithm("B", need("A", processor="Q"))))
    assert problem.kind == "version"
    assert "B_1.0.0 of processor 'P' depends on A_1.0.0 of processor 'Q'" in problem.message
    assert "registered is A_2.0.0 of processor 'Q'" in problem.message


def test_one_algorithm_on_two_processors_shows_both_definitions():
    known = processor("Q", algorithm("A"))
    (problem,) = check([known], processor("P", algorithm("A", window=window_type("Daily"))))
    assert problem.kind == "ambiguous"
    assert "processor 'P' (window Daily_1.0.0" in problem.message
    assert "processor 'Q' (window Every30Second_1.0.0" in problem.message


def test_the_same_name_in_two_projects_is_two_processors():
    known = processor("P", algorithm("A"), project="one")
    (problem,) = check([known], processor("P", algorithm("A"), project="two"))
    assert "processor 'one/P'" in problem.message
    assert "processor 'two/P'" in problem.message


def test_twice_in_one_registration():
    (problem,) = check([], processor("P", algorithm("A"), algorithm("A")))
    assert problem.kind == "duplicate"


def test_a_direct_dependency_across_window_types_is_refused_with_both_types():
    known = processor("Q", algorithm("A", window=window_type("Daily")))
    (problem,) = check([known], processor("P", algorithm("B", "A")))
    assert problem.kind == "cross-window-type"
    assert "Every30Second_1.0.0" in problem.message
    assert "Daily_1.0.0 of processor 'Q'" in problem.message
    assert "B_1.0.0 -> A_1.0.0" in problem.message


def test_a_look_back_across_window_types_is_served():
    known = processor("Q", algorithm("A", window=window_type("Daily")))
    mine = processor("P", algorithm("B", need("A", lookback=LookBack(count=2))))
    assert check([known], mine) == ()
    (node,) = plan_of(known, mine).nodes
    assert node.inputs[0].window_type == WindowTypeRef("Daily", "1.0.0")
    assert node.upstream == ()


def test_two_definitions_of_a_window_type_are_refused_once():
    one = window_type("Daily", MetadataFieldDef("station", filter=True))
    two = window_type("Daily", MetadataFieldDef("asset"))
    known = processor("Q", algorithm("A", window=one))
    mine = processor("P", algorithm("B", window=two), algorithm("C", window=two))
    (problem,) = check([known], mine)
    assert problem.kind == "window-type"
    assert "fields asset" in problem.message
    assert "A_1.0.0 of processor 'Q' says fields station (filter)" in problem.message


def test_a_window_type_without_fields_contradicts_nobody():
    one = window_type("Daily", MetadataFieldDef("station"))
    known = processor("Q", algorithm("A", window=one))
    assert check([known], processor("P", algorithm("B", window=window_type("Daily")))) == ()


def test_the_own_former_registration_never_conflicts():
    known = processor("P", algorithm("A"), algorithm("Old"))
    assert check([known], processor("P", algorithm("A", window=window_type("Daily")))) == ()


def test_all_problems_come_together():
    mine = processor("P", algorithm("A", "Gone"), algorithm("B", "B"), algorithm("C"), algorithm("C"))
    assert sorted(problem.kind for problem in check([], mine)) == ["cycle", "duplicate", "missing"]


def test_the_bound_on_algorithms():
    many = [algorithm(f"A{number}") for number in range(ALGORITHMS_MAX + 1)]
    (problem,) = check([], processor("P", *many))
    assert problem.kind == "limit"
    assert check([], processor("P", *many[:-1])) == ()


def test_a_node_whose_dependency_has_gone_is_blocked():
    plan = plan_of(processor("P", algorithm("B", "A"), algorithm("C", "B")))
    assert [(str(node.ref), node.blocked) for node in plan.nodes] == [
        ("B_1.0.0", "A_1.0.0 is not registered"),
        ("C_1.0.0", ""),
    ]


def test_a_node_whose_dependency_moved_to_another_window_type_is_blocked():
    moved = processor("Q", algorithm("A", window=window_type("Daily")))
    plan = plan_of(moved, processor("P", algorithm("B", "A")))
    assert plan.nodes[0].blocked == "A_1.0.0 runs on window Daily_1.0.0"


def test_a_look_back_on_itself_is_an_input():
    (node,) = plan_of(processor("P", algorithm("A", itself=LookBack(count=3)))).nodes
    assert node.inputs[0].own
    assert node.inputs[0].algorithm == ref("A")
    assert node.looks_back


def test_the_cache_is_invalidated_by_a_registration():
    cache = PlanCache()
    cache.replace(processor("P", algorithm("A")))
    first = cache.get(WINDOW_REF)
    assert cache.get(WINDOW_REF) is first
    cache.replace(processor("P", algorithm("A"), algorithm("B", "A")))
    assert len(cache.get(WINDOW_REF).nodes) == 2
    assert [str(entry.processor) for entry in cache.registrations] == ["P"]
    cache.remove(ProcessorKey("", "P"))
    assert cache.get(WINDOW_REF).nodes == ()


def registrations_of(count):
    """So many algorithms, each on up to three earlier ones, over ten processors."""
    names = [
        algorithm(f"A{number:03}", *(f"A{number - step:03}" for step in (1, 7, 40) if number >= step))
        for number in range(count)
    ]
    return [processor(f"P{part}", *names[part::10]) for part in range(10)]


def test_planning_costs_grow_with_the_algorithms_and_no_faster():
    # How long 500 take is measured in benchmarks/orchestrator/sizes.py; here only that it stays in proportion.
    best = {500: 1e9, 2000: 1e9}
    made = {count: registrations_of(count) for count in best}
    for _ in range(7):
        for count, registrations in made.items():
            # Time of this process: other work on the machine is not the planner's.
            start = time.process_time()
            plan = build_plan(registrations, WINDOW_REF)
            best[count] = min(best[count], time.process_time() - start)
            assert len(plan.nodes) == count
    assert best[2000] < 10 * best[500]  # sixteen times, if it were quadratic
    assert best[500] < 0.5


def test_a_chain_deeper_than_the_interpreters_stack():
    chain = [algorithm("A0"), *(algorithm(f"A{n}", f"A{n - 1}") for n in range(1, 3000))]
    registration = processor("P", *chain)
    assert check([], registration) == ()
    assert plan_of(registration).nodes[-1].stage == 2999
