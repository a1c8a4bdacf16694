from __future__ import annotations

import math

import pytest

from orca.common.backoff import ATTEMPTS_MAX, Backoff, Decision, parse_retry_after
from orca.common.errors import UsageError

AGAIN = Decision(retry=True)


def test_the_defaults_are_those_that_the_reference_names() -> None:
    assert Backoff() == Backoff(
        attempts=5,
        initial_s=0.2,
        factor=2.0,
        max_s=30.0,
        jitter=0.5,
        deadline_s=None,
        retry_after_max_s=300.0,
    )


def test_all_values_out_of_range_are_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Backoff(
            attempts=0,
            initial_s=-1,
            factor=0.5,
            max_s=math.nan,
            jitter=1.5,
            deadline_s=-1,
            retry_after_max_s=math.inf,
        )
    text = str(caught.value)
    for name in ("attempts", "initial_s", "factor", "max_s", "jitter", "deadline_s", "retry_after_max_s"):
        assert f"{name} is " in text
    assert f"from 1 to {ATTEMPTS_MAX}" in text
    assert "from 0 up" in text


def test_attempts_have_a_limit() -> None:
    assert Backoff(attempts=ATTEMPTS_MAX).attempts == ATTEMPTS_MAX
    with pytest.raises(UsageError, match="attempts is 100001"):
        Backoff(attempts=ATTEMPTS_MAX + 1)


@pytest.mark.parametrize("after_s", [-0.1, math.nan, math.inf])
def test_a_decision_refuses_what_is_no_pause(after_s: float) -> None:
    with pytest.raises(UsageError, match=r"Decision\.after_s"):
        Decision(retry=True, after_s=after_s)


def test_a_power_that_outgrows_a_float_is_the_cap() -> None:
    assert Backoff(factor=1e300, max_s=7.0, jitter=0).delay_s(50) == 7.0
    assert Backoff(factor=1e300, initial_s=0.0).delay_s(50) == 0.0


@pytest.mark.parametrize(
    ("decision", "attempt", "elapsed_s", "delay_s"),
    [
        (AGAIN, 1, 0.0, 1.0),
        (AGAIN, 2, 0.0, 2.0),
        (AGAIN, 3, 0.0, None),  # attempts used up
        (Decision(retry=False), 1, 0.0, None),
        (Decision(retry=False, after_s=1.0), 1, 0.0, None),
        (Decision(retry=True, after_s=0.5), 1, 0.0, 1.0),  # our own pause is longer
        (Decision(retry=True, after_s=4.0), 1, 0.0, 4.0),
        (Decision(retry=True, after_s=60.0), 1, 0.0, None),  # longer than the deadline leaves
        (Decision(retry=True, after_s=61.0), 1, 0.0, None),  # longer than we are ready to wait
        (AGAIN, 1, 9.0, 1.0),  # exactly at the deadline
        (AGAIN, 1, 9.1, None),
    ],
)
def test_what_follows_a_failure(
    decision: Decision, attempt: int, elapsed_s: float, delay_s: float | None
) -> None:
    backoff = Backoff(attempts=3, initial_s=1.0, jitter=0.5, deadline_s=10.0, retry_after_max_s=60.0)
    assert backoff.next_delay_s(decision, attempt=attempt, elapsed_s=elapsed_s) == delay_s


def test_a_longer_retry_after_than_the_limit_gives_up_without_a_deadline_too() -> None:
    backoff = Backoff(retry_after_max_s=60.0)
    assert backoff.next_delay_s(Decision(retry=True, after_s=60.0), attempt=1, elapsed_s=0.0) == 60.0
    assert backoff.next_delay_s(Decision(retry=True, after_s=60.1), attempt=1, elapsed_s=0.0) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", 999999999.0),
        ("9999999999", None),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:30 -0000", None),  # a date without a zone is no moment
        ("Thu, 99 Jan 1970 00:00:30 GMT", None),
        ("tomorrow", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, now_s=10.0) == seconds
