"""For every policy and every sequence of failures: bounds, deadline, cap and budget hold."""

from __future__ import annotations

import random
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from orca.common.errors import UnreachableError
from orca.common.retry import Decision, RetryBudget, RetryPolicy
from orca.common.testing import FakeClock

seconds = st.floats(0, 1e6, allow_nan=False)
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 12),
    initial_s=seconds,
    factor=st.floats(1, 1e6),
    max_s=seconds,
    jitter=st.floats(0, 1),
    deadline_s=st.none() | seconds,
    retry_after_max_s=seconds,
)
units = st.floats(0, 1)


@given(policies, st.integers(1, 2000), units)
def test_every_pause_is_bounded(policy: RetryPolicy, retry: int, unit: float) -> None:
    delay_s = policy.delay_s(retry, unit_random=unit)
    cap_s = policy.delay_s(retry)
    assert 0 <= delay_s <= cap_s <= policy.max_s
    assert delay_s >= cap_s * (1 - policy.jitter) - 1e-9 * cap_s


@given(policies, st.integers(1, 2000))
def test_the_cap_never_shrinks(policy: RetryPolicy, retry: int) -> None:
    assert policy.delay_s(retry) <= policy.delay_s(retry + 1)


@given(policies, st.lists(st.tuples(seconds, st.none() | seconds), max_size=12), st.integers())
def test_no_attempt_starts_after_the_deadline_or_earlier_than_asked(
    policy: RetryPolicy, failures: list[tuple[float, float | None]], seed: int
) -> None:
    clock = FakeClock()
    starts: list[float] = []
    asked: list[float | None] = []

    class AskedError(Exception):
        pass

    def attempt() -> None:
        starts.append(clock.monotonic())
        if len(starts) > len(failures):
            return
        took_s, after_s = failures[len(starts) - 1]
        clock.advance(took_s)
        asked.append(after_s)
        raise AskedError

    with suppress(AskedError):
        policy.call(
            attempt,
            decide=lambda _: Decision(retry=True, after_s=asked[-1]),
            clock=clock,
            rng=random.Random(seed),
        )

    assert 1 <= len(starts) <= policy.attempts
    assert len(clock.sleeps) == len(starts) - 1
    for delay_s, after_s in zip(clock.sleeps, asked, strict=False):
        assert delay_s <= max(policy.max_s, policy.retry_after_max_s)
        assert delay_s >= (after_s or 0.0)
    if policy.deadline_s is not None:
        # The clock adds up in floats, the policy compares one sum: equal up to rounding.
        assert all(start_s <= policy.deadline_s * (1 + 1e-9) for start_s in starts)


@given(
    st.integers(0, 1000).map(lambda thousandths: thousandths / 1000),
    st.integers(0, 5),
    st.lists(st.integers(0, 6), max_size=30),
)
def test_retries_never_exceed_the_budget(ratio: float, reserve: int, failures: list[int]) -> None:
    budget = RetryBudget(ratio=ratio, reserve=reserve)
    retries = 0
    for calls, times in enumerate(failures, start=1):
        left = [times]

        def attempt(left: list[int] = left) -> None:
            if left[0]:
                left[0] -= 1
                raise UnreachableError("down")

        clock = FakeClock()
        with suppress(UnreachableError):
            RetryPolicy(attempts=5).call(attempt, clock=clock, budget=budget)
        retries += len(clock.sleeps)
        assert retries * 1000 <= reserve * 1000 + round(ratio * 1000) * calls
