from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestra.sdk import Caps
from orchestra.sdk._outbox import Head, Held, Pause, choose, pause_after, plan_eviction, replay_gap_s
from orchestra.sdk._protocol import Kind, judge_failure

rows = st.lists(
    st.builds(Held, st.just(0), st.sampled_from(Kind), st.integers(1, 1_000), st.floats(0, 1_000)),
    max_size=60,
).map(lambda held: [Held(i, h.kind, h.size_bytes, h.created_s) for i, h in enumerate(held)])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows, st.integers(1, 20_000), st.integers(1, 80))
def test_eviction_keeps_terminal_and_drops_the_least_first(held, bytes_max, rows_max):
    caps = Caps(bytes_max=bytes_max, rows_max=rows_max, age_s_max=500.0)
    gone = set(plan_eviction(held, caps, now_s=1_000.0))
    kept = [row for row in held if row.id not in gone]
    assert all(row.kind is not Kind.TERMINAL for row in held if row.id in gone)
    assert all(row.kind is Kind.TERMINAL or 1_000.0 - row.created_s <= 500.0 for row in kept)
    fits = sum(row.size_bytes for row in kept) <= bytes_max and len(kept) <= rows_max
    assert fits or all(row.kind is Kind.TERMINAL for row in kept)
    young_gone = [row for row in held if row.id in gone and 1_000.0 - row.created_s <= 500.0]
    if young_gone:
        worst_kept = min((r.kind for r in kept if r.kind is not Kind.TERMINAL), default=Kind.TERMINAL)
        assert max(row.kind for row in young_gone) <= worst_kept


def test_own_runs_first_then_the_oldest_and_paused_ones_wait():
    lines = [("old", "u", 1), ("mine", "u", 9), ("sick", "u", 2), ("far", "v", 3)]
    heads = [Head(run, route, "key", first) for run, route, first in lines]
    paused = {"sick key u": Pause(1, 50.0), "v": Pause(2, 40.0)}
    ready, due_s = choose(heads, frozenset({"mine"}), paused, now_s=10.0)
    assert [head.run for head in ready] == ["mine", "old"]
    assert due_s == 40.0
    ready, due_s = choose(heads, frozenset(), paused, now_s=50.0)
    assert [head.run for head in ready] == ["old", "sick", "far", "mine"]
    assert due_s is None


def test_pauses_grow():
    first = pause_after(judge_failure("x"), None, now_s=5.0, jitter=0.0)
    assert first == Pause(1, 5.2)
    assert pause_after(judge_failure("x"), first, now_s=6.0, jitter=0.0) == Pause(2, 6.4)


def test_what_others_left_is_replayed_with_spacing():
    assert replay_gap_s("a", frozenset({"a"})) == 0.0
    assert replay_gap_s("b", frozenset({"a"})) > 0.0
