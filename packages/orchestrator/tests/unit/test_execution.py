"""The life of one run: readiness, retries, skips, losses, late results and grouping into calls."""

import pytest
from making import algorithm, plan_of, processor

from orca.orchestrator.execution import (
    Cancelled,
    Complete,
    Failed,
    Finish,
    Lost,
    Part,
    Ready,
    RetryDue,
    RetryLater,
    RetryRule,
    Sent,
    Status,
    Succeeded,
    advance,
    begin,
    group,
)
from orca.orchestrator.model import ProcessorKey

P, Q = ProcessorKey("", "P"), ProcessorKey("", "Q")
RULE = RetryRule()


def chain():
    return plan_of(processor("P", algorithm("A"), algorithm("B", "A"), algorithm("C", "B")))


def diamond():
    return plan_of(
        processor("P", algorithm("A"), algorithm("B", "A")),
        processor("Q", algorithm("C", "A"), algorithm("D", "B", "C")),
    )


def run(plan, *events, done=None, rule=RULE):
    state, effects = begin(plan, done)
    seen = list(effects)
    for event in events:
        state, effects = advance(plan, state, event, rule=rule, seed="7")
        seen = list(effects)
    return state, seen


def test_a_node_is_ready_when_its_own_dependencies_are():
    state, effects = begin(diamond())
    assert effects == (Ready((0,)),)
    state, effects = advance(diamond(), state, Sent((0,)))
    assert effects == ()
    assert state.statuses[0] is Status.RUNNING
    state, effects = advance(diamond(), state, Succeeded(0))
    assert effects == (Finish(0, Status.SUCCEEDED), Ready((1, 2)))
    state, effects = advance(diamond(), state, Succeeded(2))
    assert effects == (Finish(2, Status.SUCCEEDED),)
    state, effects = advance(diamond(), state, Succeeded(1))
    assert effects == (Finish(1, Status.SUCCEEDED), Ready((3,)))
    state, effects = advance(diamond(), state, Succeeded(3))
    assert effects == (Finish(3, Status.SUCCEEDED), Complete(4, 0, 0, 0))


def test_a_failure_skips_what_depends_on_it_and_leaves_the_rest():
    plan = plan_of(processor("P", algorithm("A"), algorithm("B", "A"), algorithm("C", "B"), algorithm("X")))
    state, effects = run(plan, Sent((0, 1)), Failed(0, "KeyError: 'k'"))
    assert plan.nodes[1].ref.name == "X"
    assert effects[0] == Finish(0, Status.FAILED, "KeyError: 'k'")
    assert effects[1:] == [
        Finish(2, Status.SKIPPED, "A_1.0.0 did not succeed"),
        Finish(3, Status.SKIPPED, "A_1.0.0 did not succeed"),
    ]
    state, effects = advance(plan, state, Succeeded(1))
    assert effects == (Finish(1, Status.SUCCEEDED), Complete(1, 1, 2, 0))


def test_a_late_or_repeated_result_changes_nothing():
    plan = chain()
    state, effects = run(plan, Sent((0,)), Succeeded(0), Succeeded(0), Failed(0, "late"), Lost((0,), "late"))
    assert effects == []
    assert state.statuses[0] is Status.SUCCEEDED
    end, effects = run(plan, Succeeded(0), Succeeded(1), Succeeded(2), Succeeded(2))
    assert effects == []
    assert end.open == 0


def test_a_body_is_retried_up_to_its_number_of_attempts():
    plan = plan_of(processor("P", algorithm("A", attempts=3), algorithm("B", "A")))
    state, effects = run(plan, Sent((0, 1)), Failed(0, "first"))
    assert isinstance(effects[0], RetryLater)
    assert effects[0].cause == "first"
    assert state.statuses == (Status.BACKOFF, Status.WAITING)
    assert state.attempts == (1, 0)
    state, effects = advance(plan, state, RetryDue(0))
    assert effects == (Ready((0,)),)
    state, effects = advance(plan, state, RetryDue(0))
    assert effects == ()
    for _ in range(2):
        state, _ = advance(plan, state, Sent((0,)))
        state, effects = advance(plan, state, Failed(0, "again"))
        state, _ = advance(plan, state, RetryDue(0))
    assert effects[0] == Finish(0, Status.FAILED, "again")
    assert effects[-1] == Complete(0, 1, 1, 0)


def test_a_failure_that_forbids_repetition():
    plan = plan_of(processor("P", algorithm("A", attempts=3)))
    _, effects = run(plan, Sent((0,)), Failed(0, "wrong type", retry=False))
    assert effects[0] == Finish(0, Status.FAILED, "wrong type")


def test_a_lost_processor_is_not_the_bodys_fault():
    plan = chain()
    rule = RetryRule(losses_max=2)
    state, effects = run(plan, Sent((0, 1, 2)), Lost((0, 1, 2), "connection reset"), rule=rule)
    assert [type(effect) for effect in effects] == [RetryLater]
    assert state.statuses == (Status.BACKOFF, Status.WAITING, Status.WAITING)
    assert state.losses == (1, 0, 0)
    for _ in range(2):
        state, _ = advance(plan, state, RetryDue(0), rule=rule)
        state, _ = advance(plan, state, Sent((0,)), rule=rule)
        state, effects = advance(plan, state, Lost((0,), "connection reset"), rule=rule)
    assert effects[0] == Finish(0, Status.FAILED, "connection reset (3 times)")


def test_a_call_that_never_left_costs_nothing():
    state, effects = run(chain(), Sent((0,)), Lost((0,), "refused", counts=False))
    assert effects == [Ready((0,))]
    assert state.attempts == (0, 0, 0)


def test_cancelling_ends_everything_open():
    _state, effects = run(chain(), Succeeded(0), Cancelled("by hand"))
    assert effects == [
        Finish(1, Status.CANCELLED, "by hand"),
        Finish(2, Status.CANCELLED, "by hand"),
        Complete(1, 0, 0, 2),
    ]


def test_going_on_after_a_restart_runs_only_what_is_missing():
    _, effects = begin(diamond(), {0: Status.SUCCEEDED, 2: Status.SUCCEEDED})
    assert effects == (Ready((1,)),)
    _, effects = begin(diamond(), {0: Status.SUCCEEDED, 1: Status.FAILED, 2: Status.SUCCEEDED})
    assert effects == (Finish(3, Status.SKIPPED, "B_1.0.0 did not succeed"), Complete(2, 1, 1, 0))


def test_a_blocked_node_is_skipped_with_the_reason():
    plan = plan_of(processor("P", algorithm("B", "A"), algorithm("C", "B")))
    _, effects = begin(plan)
    assert effects[0] == Finish(0, Status.SKIPPED, "A_1.0.0 is not registered")
    assert effects[1] == Finish(1, Status.SKIPPED, "B_1.0.0 did not succeed")


def test_delays_grow_spread_and_repeat():
    rule = RetryRule(initial_s=1.0, factor=2.0, max_s=10.0)
    delays = [rule.delay_s(attempt, "run") for attempt in range(1, 8)]
    assert delays == [rule.delay_s(attempt, "run") for attempt in range(1, 8)]
    assert all(
        min(2.0 ** (n - 1), 10.0) / 2 <= delay <= min(2.0 ** (n - 1), 10.0)
        for n, delay in enumerate(delays, 1)
    )
    assert rule.delay_s(10_000, "run") <= 10.0
    assert rule.delay_s(3, "run") != rule.delay_s(3, "other")


@pytest.mark.parametrize(("fuses", "expected"), [(True, [Part(P, (0, 1, 2))]), (False, [Part(P, (0,))])])
def test_a_chain_goes_in_one_call_when_the_worker_takes_it(fuses, expected):
    state, _ = begin(chain())
    assert list(group(chain(), state, (0,), fuses=lambda key: fuses)) == expected


def test_fusing_stops_at_other_processors_and_at_nodes_kept_alone():
    plan = diamond()
    state, _ = begin(plan)
    assert group(plan, state, (0,), fuses=lambda key: True) == (Part(P, (0, 1)),)
    assert group(plan, state, (0,), fuses=lambda key: True, alone=(1,)) == (Part(P, (0,)),)
    state, _ = advance(plan, state, Succeeded(0))
    assert group(plan, state, (1, 2), fuses=lambda key: True) == (Part(P, (1,)), Part(Q, (2,)))
    state, _ = advance(plan, state, Succeeded(1))
    assert group(plan, state, (2,), fuses=lambda key: True) == (Part(Q, (2, 3)),)


def test_independent_nodes_of_one_processor_share_a_call():
    plan = plan_of(processor("P", algorithm("A"), algorithm("B")))
    state, effects = begin(plan)
    assert group(plan, state, effects[0].nodes, fuses=lambda key: False) == (Part(P, (0, 1)),)
