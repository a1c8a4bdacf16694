from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import pytest
import trio

from orca.common.errors import OrcaError, UnreachableError, UsageError
from orca.common.retry import Decision, Retry, RetryBudget, RetryPolicy, decide_by_error
from orca.common.testing import FakeClock, LogRecorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

AGAIN = Decision(retry=True)


class Flaky:
    """Fails as told, then returns 'done'; counts its calls."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def later(self) -> str:
        return self()


def run_both(
    policy: RetryPolicy, make: Callable[[], Flaky], **options: object
) -> list[tuple[Flaky, FakeClock, object]]:
    """Run the same story sync, under asyncio and under trio."""
    outcomes: list[tuple[Flaky, FakeClock, object]] = []
    for shell in ("sync", "asyncio", "trio"):
        flaky, clock = make(), FakeClock()
        outcome: object
        try:
            if shell == "sync":
                outcome = policy.call(flaky, clock=clock, **options)  # type: ignore[arg-type]
            else:

                async def main(flaky: Flaky = flaky, clock: FakeClock = clock) -> str:
                    return await policy.call_async(flaky.later, clock=clock, **options)  # type: ignore[arg-type]

                outcome = asyncio.run(main()) if shell == "asyncio" else trio.run(main)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the outcome
            outcome = error
        outcomes.append((flaky, clock, outcome))
    return outcomes


def test_a_success_is_returned_and_nothing_waited() -> None:
    for flaky, clock, outcome in run_both(RetryPolicy(), Flaky):
        assert (outcome, flaky.calls, clock.sleeps) == ("done", 1, [])


def test_retryable_failures_are_retried_with_growing_pauses() -> None:
    def make() -> Flaky:
        return Flaky(UnreachableError("1"), UnreachableError("2"), UnreachableError("3"))

    for flaky, clock, outcome in run_both(RetryPolicy(jitter=0, max_s=0.5), make):
        assert (outcome, flaky.calls, clock.sleeps) == ("done", 4, [0.2, 0.4, 0.5])


def test_the_last_failure_is_raised_as_it_is() -> None:
    errors = [UnreachableError(str(number)) for number in range(9)]
    for flaky, clock, outcome in run_both(RetryPolicy(attempts=3, jitter=0), lambda: Flaky(*errors)):
        assert outcome is errors[2]
        assert (flaky.calls, clock.sleeps) == (3, [0.2, 0.4])


def test_a_final_failure_is_not_retried() -> None:
    error = ValueError("wrong for ever")
    for flaky, _clock, outcome in run_both(RetryPolicy(), lambda: Flaky(error)):
        assert outcome is error
        assert flaky.calls == 1


def test_the_decider_says_what_is_retried_and_when() -> None:
    def decide(error: Exception) -> Decision:
        return Decision(retry=isinstance(error, KeyError), after_s=7.0)

    for flaky, clock, outcome in run_both(
        RetryPolicy(), lambda: Flaky(KeyError(), ValueError()), decide=decide
    ):
        assert isinstance(outcome, ValueError)
        assert (flaky.calls, clock.sleeps) == (2, [7.0])


def test_the_deadline_counts_the_time_of_the_attempts() -> None:
    clock = FakeClock()

    def slow() -> None:
        clock.advance(4.0)
        raise UnreachableError("slow")

    with pytest.raises(UnreachableError):
        RetryPolicy(initial_s=1.0, factor=1.0, jitter=0, deadline_s=11.0).call(slow, clock=clock)
    # 4 s, 1 s pause, 4 s, 1 s pause (10 s so far, so it still starts), 4 s, and then it is too late.
    assert (clock.monotonic(), clock.sleeps) == (14.0, [1.0, 1.0])


def test_jitter_comes_from_the_random_source() -> None:
    expected = random.Random(7)
    clock = FakeClock()
    flaky = Flaky(UnreachableError("1"), UnreachableError("2"))
    RetryPolicy(initial_s=1.0, factor=1.0, jitter=0.5).call(flaky, clock=clock, rng=random.Random(7))
    assert clock.sleeps == [1.0 - 0.5 * expected.random(), 1.0 - 0.5 * expected.random()]


def test_on_retry_sees_each_retry_before_its_pause() -> None:
    seen: list[tuple[Retry, float]] = []
    clock = FakeClock()
    errors = [UnreachableError("1"), UnreachableError("2")]
    RetryPolicy(initial_s=1.0, jitter=0).call(
        Flaky(*errors), clock=clock, on_retry=lambda retry: seen.append((retry, clock.monotonic()))
    )
    assert seen == [(Retry(1, errors[0], 1.0, 0.0), 0.0), (Retry(2, errors[1], 2.0, 1.0), 1.0)]


def test_each_retry_is_logged_for_those_who_look() -> None:
    with LogRecorder("orca.common.retry") as log:
        RetryPolicy(jitter=0).call(Flaky(UnreachableError("no")), clock=FakeClock())
    assert log.messages == ["attempt 1 failed (UnreachableError('no')), next in 0.200 s"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()])
def test_what_is_no_exception_passes_through(stop: BaseException) -> None:
    flaky = Flaky(stop)
    with pytest.raises(type(stop)):
        RetryPolicy().call(flaky, decide=lambda _: AGAIN, clock=FakeClock())
    assert flaky.calls == 1


@pytest.mark.parametrize("shell", ["asyncio", "trio"])
def test_a_cancelled_pause_ends_the_call(shell: str) -> None:
    clock = FakeClock(auto=False)
    flaky = Flaky(*[UnreachableError("down")] * 9)

    async def call() -> None:
        await RetryPolicy().call_async(flaky.later, clock=clock)

    async def under_asyncio() -> None:
        task = asyncio.create_task(call())
        await clock.settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def under_trio() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await clock.settle()
            nursery.cancel_scope.cancel()

    if shell == "asyncio":
        asyncio.run(under_asyncio())
    else:
        trio.run(under_trio)
    assert (flaky.calls, clock.waiting) == (1, 0)


def test_without_clock_and_random_source_the_system_is_used() -> None:
    flaky = Flaky(UnreachableError("1"))
    assert RetryPolicy(initial_s=0.001).call(flaky) == "done"

    async def main() -> str:
        return await RetryPolicy(initial_s=0.001).call_async(Flaky(UnreachableError("1")).later)

    assert asyncio.run(main()) == "done"


def test_any_awaitable_will_do() -> None:
    def start() -> Awaitable[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(3)
        return future

    async def main() -> int:
        return await RetryPolicy().call_async(start)

    assert asyncio.run(main()) == 3


def test_an_outage_spends_the_budget_once_for_all_calls() -> None:
    budget = RetryBudget(ratio=0.1, reserve=10)
    calls = 0
    for _ in range(100):
        flaky = Flaky(*[UnreachableError("down")] * 9)
        with pytest.raises(UnreachableError):
            RetryPolicy(attempts=5).call(flaky, clock=FakeClock(), budget=budget)
        calls += flaky.calls
    # Without the budget these would be 500: a reserve of 10, and 10 earned.
    assert 100 + 10 < calls <= 100 + 10 + 10


def test_a_spent_budget_makes_the_failure_final_and_calls_fill_it_again() -> None:
    budget = RetryBudget(ratio=0.5, reserve=1)
    assert budget.available == 1
    assert budget.spend()
    assert not budget.spend()
    for _ in range(2):
        budget.earn()
    assert budget.available == 1
    for _ in range(10):
        budget.earn()
    assert budget.available == 1, "never more is saved than the reserve"


def test_a_budget_without_reserve_saves_up_one_retry() -> None:
    budget = RetryBudget(ratio=1.0, reserve=0)
    assert not budget.spend()
    budget.earn()
    budget.earn()
    assert budget.available == 1


@pytest.mark.parametrize("options", [{"ratio": -0.1}, {"ratio": 1.1}, {"reserve": -1}])
def test_a_budget_refuses_what_makes_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="RetryBudget"):
        RetryBudget(**options)  # type: ignore[arg-type]


def test_a_budget_counts_right_under_threads() -> None:
    budget = RetryBudget(ratio=0.0, reserve=500)
    spent: list[bool] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait(60)
        spent.extend([budget.spend() for _ in range(100)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert spent.count(True) == 500


def test_the_default_decider_reads_the_error() -> None:
    class BusyError(OrcaError):
        retryable = True

        def __init__(self, retry_after_s: float) -> None:
            super().__init__("busy")
            self.retry_after_s = retry_after_s

    assert decide_by_error(BusyError(2.0)) == Decision(retry=True, after_s=2.0)
    assert decide_by_error(OrcaError("no")) == Decision(retry=False)


def test_a_policy_is_a_value() -> None:
    policy = RetryPolicy(attempts=3)
    assert policy == RetryPolicy(attempts=3)
    assert hash(policy) == hash(RetryPolicy(attempts=3))
    with pytest.raises(FrozenInstanceError):
        policy.attempts = 4  # type: ignore[misc]
