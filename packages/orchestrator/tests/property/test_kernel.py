"""The kernel under random DAGs and random histories."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from making import WINDOW_REF, algorithm, processor

from orca.orchestrator.execution import (
    Complete,
    Failed,
    Finish,
    Lost,
    Ready,
    RetryDue,
    RetryLater,
    RetryRule,
    Sent,
    Status,
    StepMemo,
    Succeeded,
    SucceededAll,
    advance,
    begin,
    group,
)
from orca.orchestrator.lookback import bounds, select
from orca.orchestrator.model import LookBack, WindowSpan
from orca.orchestrator.planner import build_plan, check


@st.composite
def dags(draw):
    size = draw(st.integers(1, 12))
    owners = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    table = {}
    for number in range(size):
        parents = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        attempts = draw(st.integers(1, 3))
        entry = algorithm(f"A{number}", *(f"A{parent}" for parent in sorted(parents)), attempts=attempts)
        table.setdefault(owners[number], []).append(entry)
    return [processor(f"P{owner}", *entries) for owner, entries in table.items()]


@settings(deadline=None)
@given(dags())
def test_plans_are_topological_and_complete(registrations):
    plan = build_plan(registrations, WINDOW_REF)
    assert {node.ref for node in plan.nodes} == {e.ref for r in registrations for e in r.algorithms}
    for node in plan.nodes:
        assert all(parent < node.index for parent in node.upstream)
        assert node.stage == max((plan.nodes[parent].stage + 1 for parent in node.upstream), default=0)
        assert all(node.index in plan.nodes[parent].downstream for parent in node.upstream)


@settings(deadline=None)
@given(dags(), st.data())
def test_closing_any_edge_backwards_is_reported_as_a_cycle_that_exists(registrations, data):
    plan = build_plan(registrations, WINDOW_REF)
    edges = [(up, node.index) for node in plan.nodes for up in node.upstream]
    if not edges:
        return
    up, down = data.draw(st.sampled_from(edges))
    owner = plan.nodes[up].processor
    changed = []
    for registration in registrations:
        entries = [
            algorithm(e.name, *e.dependencies, plan.nodes[down].definition.name)
            if e.ref == plan.nodes[up].ref
            else e
            for e in registration.algorithms
        ]
        changed.append(processor(registration.processor.name, *entries))
    incoming = next(entry for entry in changed if entry.processor == owner)
    problems = check([entry for entry in registrations if entry.processor != owner], incoming)
    (cycle,) = [problem for problem in problems if problem.kind == "cycle"]
    steps = [step.split(" ")[0] for step in cycle.message.split(": ", 1)[1].split(" -> ")]
    assert steps[0] == steps[-1]
    needs = {str(e.ref): {str(d.algorithm) for d in e.dependencies} for r in changed for e in r.algorithms}
    assert all(after in needs[before] for before, after in itertools.pairwise(steps))


class World:
    """Carries out effects in an arbitrary order and checks the promises at every step."""

    def __init__(self, plan, data, *, fuse):
        self.plan, self.data, self.fuse = plan, data, fuse
        self.finished = {}
        self.completed = []
        self.calls = []
        self.retries = []
        self.rule = RetryRule(losses_max=3)
        self.state, effects = begin(plan)
        self.take(effects)

    def step(self, event):
        self.state, effects = advance(self.plan, self.state, event, rule=self.rule, seed="s")
        self.take(effects)

    def take(self, effects):
        ready = ()
        for effect in effects:
            if isinstance(effect, Finish):
                assert effect.node not in self.finished, "finished twice"
                self.finished[effect.node] = effect.status
            elif isinstance(effect, Ready):
                ready = effect.nodes
            elif isinstance(effect, RetryLater):
                self.retries.append(effect.node)
            elif isinstance(effect, Complete):
                self.completed.append(effect)
        for part in group(self.plan, self.state, ready, fuses=lambda key: self.fuse) if ready else ():
            inside = set()
            for node in part.nodes:
                ups = self.plan.nodes[node].upstream
                assert all(up in inside or self.finished.get(up) is Status.SUCCEEDED for up in ups), "A4"
                inside.add(node)
            self.calls.append(list(part.nodes))
            self.step(Sent(part.nodes))

    def move(self):
        choice = self.data.draw(st.integers(0, 9))
        if self.retries and (choice == 0 or not self.calls):
            self.step(RetryDue(self.retries.pop(0)))
            return
        call = self.calls[self.data.draw(st.integers(0, len(self.calls) - 1))]
        if choice == 1:
            self.calls.remove(call)
            self.step(Lost(tuple(call), "cut"))
            return
        node = call.pop(0)
        if not call:
            self.calls.remove(call)
        self.step(Failed(node, "boom") if choice == 2 else Succeeded(node))


@settings(deadline=None)
@given(dags(), st.booleans(), st.data())
def test_every_history_ends_with_each_node_finished_exactly_once(registrations, fuse, data):
    plan = build_plan(registrations, WINDOW_REF)
    world = World(plan, data, fuse=fuse)
    for _ in range(2000):
        if world.completed:
            break
        world.move()
    (complete,) = world.completed
    assert set(world.finished) == set(range(len(plan.nodes)))
    values = list(world.finished.values())
    assert complete.succeeded == values.count(Status.SUCCEEDED)
    assert complete.failed == values.count(Status.FAILED)
    assert complete.skipped == values.count(Status.SKIPPED)
    for node in plan.nodes:
        bad = any(world.finished[up] is not Status.SUCCEEDED for up in node.upstream)
        assert (world.finished[node.index] is Status.SKIPPED) == bad
        # A cut from any point of the history leads to the same end.
    again, effects = begin(plan, world.finished)
    assert effects == (complete,)
    assert again.open == 0


@settings(deadline=None)
@given(dags(), st.data())
def test_several_results_in_one_step_are_the_same_as_one_after_the_other(registrations, data):
    plan = build_plan(registrations, WINDOW_REF)
    state, _ = begin(plan)
    nodes = tuple(range(data.draw(st.integers(1, len(plan.nodes)))))
    state, _ = advance(plan, state, Sent(nodes))
    singly, told = state, []
    for node in nodes:
        singly, effects = advance(plan, singly, Succeeded(node))
        told.extend(effects)
    together, effects = advance(plan, state, SucceededAll(nodes))
    assert together == singly
    ready = {node for effect in told if isinstance(effect, Ready) for node in effect.nodes}
    assert {node for effect in effects if isinstance(effect, Ready) for node in effect.nodes} == ready
    assert [one for one in effects if not isinstance(one, Ready)] == [
        one for one in told if not isinstance(one, Ready)
    ]


@settings(deadline=None)
@given(dags(), st.data())
def test_kept_steps_are_the_steps(registrations, data):
    """Two runs of one plan, step for step: what is kept from the first answers the second, and both are right."""
    plan = build_plan(registrations, WINDOW_REF)
    first, _ = begin(plan)
    memo = StepMemo(plan, first)
    rule = RetryRule()
    for _ in range(2):
        state = plain = first
        for node in range(len(plan.nodes)):
            events = [Sent((node,)), data.draw(st.sampled_from([Succeeded(node), Failed(node, "boom")]))]
            for event in events:
                state, effects = memo.advance(state, event, rule=rule, seed="s")
                plain, expected = advance(plan, plain, event, rule=rule, seed="s")
                assert (state, effects) == (plain, expected)


spans = st.lists(
    st.builds(
        lambda start, length, key: (start, length, key),
        st.integers(0, 60),
        st.integers(0, 5),
        st.sampled_from("ab"),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(spans, st.integers(0, 8), st.integers(0, 40), st.integers(0, 4), st.integers(0, 20))
def test_look_backs_are_the_newest_before_the_window_ascending(rows, count, delta, gap_count, gap_delta):
    candidates = [WindowSpan(n, start, start + length, key) for n, (start, length, key) in enumerate(rows)]
    window = WindowSpan(99, 50, 55, "a")
    lookback = LookBack(count, 0 if count else delta, gap_count, gap_delta)
    chosen = select(lookback, window, candidates)
    assert list(chosen) == sorted(chosen, key=lambda span: (span.time_to_ns, span.id))
    limits = bounds(lookback, window)
    fitting = [
        span
        for span in candidates
        if span.filter_key == "a"
        and span.time_to_ns <= 50 - gap_delta
        and span.time_from_ns < 50
        and (count or not delta or span.time_from_ns >= 50 - delta)
    ]
    assert set(chosen) <= set(fitting)
    assert len(chosen) == max(0, min(limits.take, len(fitting) - gap_count))
