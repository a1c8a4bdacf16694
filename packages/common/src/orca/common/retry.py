"""Trying again: one immutable policy for every package, sync and async, that no test has to wait for.

What is retried is said by a *decider*, a function from the exception to a `Decision`; deciders for gRPC and
httpx live in the packages that speak them. Time and randomness are arguments. The loop itself is tenacity's,
imported at the first call that is made through a policy.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from orca.common.backoff import ATTEMPTS_MAX, Backoff, Decision, parse_retry_after
from orca.common.clock import Clock, SystemClock
from orca.common.errors import OrcaError, UsageError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = [
    "ATTEMPTS_MAX",
    "Backoff",
    "Decider",
    "Decision",
    "RandomSource",
    "Retry",
    "RetryBudget",
    "RetryPolicy",
    "decide_by_error",
    "parse_retry_after",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

Decider = Callable[[Exception], Decision]

# Tokens are whole thousandths, because tenths do not add up in floats and the budget must be exact.
_TOKEN = 1000


class RandomSource(Protocol):
    """Where jitter comes from; `random.Random` is one."""

    def random(self) -> float:
        """Return the next number from 0 up to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry that is about to happen, as ``on_retry`` sees it.

    Attributes:
        attempt: The number of the attempt that failed, from 1.
        error: What it failed with.
        delay_s: The pause that comes now, in seconds.
        elapsed_s: Seconds since the first attempt began.
    """

    attempt: int
    error: Exception
    delay_s: float
    elapsed_s: float


class RetryBudget:
    """A limit on retries over many calls, so that an outage does not multiply the load.

    Every call earns ``ratio`` of a retry and every retry spends a whole one. Over any number of calls there
    are never more than ``reserve + ratio * calls`` retries. One budget is shared by all calls to one server,
    also from several threads.

    Args:
        ratio: Retries earned by each call, 0 to 1, exact to a thousandth.
        reserve: Retries available at the start and saved at most, from 0 up.

    Raises:
        UsageError: A value is outside its range.

    Example:
        >>> budget = RetryBudget(ratio=0.5, reserve=1)
        >>> budget.earn()
        >>> [budget.spend(), budget.spend()]
        [True, False]
    """

    def __init__(self, *, ratio: float = 0.1, reserve: int = 10) -> None:
        if not 0 <= ratio <= 1 or reserve < 0:
            raise UsageError(
                f"RetryBudget: ratio is {ratio!r}, reserve is {reserve!r}: "
                "give a ratio from 0 to 1 and a reserve from 0 up"
            )
        self._earned = round(ratio * _TOKEN)
        self._full = reserve * _TOKEN
        self._tokens = self._full
        self._lock = threading.Lock()

    @property
    def available(self) -> int:
        """How many retries could be spent at this moment."""
        return self._tokens // _TOKEN

    def earn(self) -> None:
        """Record that a call was made."""
        with self._lock:
            # A reserve of less than one retry would never be able to save up a whole one.
            self._tokens = min(max(self._full, _TOKEN), self._tokens + self._earned)

    def spend(self) -> bool:
        """Take one retry out; False when there is none left."""
        with self._lock:
            if self._tokens < _TOKEN:
                return False
            self._tokens -= _TOKEN
            return True


def decide_by_error(error: Exception) -> Decision:
    """Retry what says of itself that it may succeed later: an `OrcaError` that is ``retryable``.

    An attribute ``retry_after_s`` of the error, when it has one, is the earliest moment.

    Example:
        >>> from orca.common.errors import UnreachableError
        >>> decide_by_error(UnreachableError("no answer"))
        Decision(retry=True, after_s=None)
        >>> decide_by_error(ValueError("wrong for ever"))
        Decision(retry=False, after_s=None)
    """
    return Decision(
        retry=isinstance(error, OrcaError) and error.retryable, after_s=getattr(error, "retry_after_s", None)
    )


@dataclass(frozen=True, slots=True)
class RetryPolicy(Backoff):
    """How often and how patiently a call is tried: `Backoff` with a loop around it.

    A policy holds no state, so one object serves all calls and threads. When it gives up, the last failure is
    raised as it is. Only subclasses of `Exception` are ever retried: cancellation and Ctrl-C pass through.
    A running attempt is not cut off by ``deadline_s``: give the call itself a timeout.

    Example:
        >>> import random
        >>> from orca.common.errors import UnreachableError
        >>> from orca.common.testing import FakeClock
        >>> answers = [UnreachableError("not yet"), UnreachableError("not yet"), "hello"]
        >>> def fetch() -> str:
        ...     answer = answers.pop(0)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> clock = FakeClock()
        >>> RetryPolicy(jitter=0).call(fetch, clock=clock)
        'hello'
        >>> clock.sleeps
        [0.2, 0.4]
    """

    def call(
        self,
        fn: Callable[[], T],
        *,
        decide: Decider = decide_by_error,
        clock: Clock | None = None,
        rng: RandomSource | None = None,
        budget: RetryBudget | None = None,
        on_retry: Callable[[Retry], object] | None = None,
    ) -> T:
        """Call ``fn`` until it returns, its failure is final, or the policy is exhausted.

        Args:
            fn: The call, without arguments; an attempt's own timeout belongs inside it.
            decide: Says whether a failure may be retried, and when.
            clock: Where time comes from; the system's when None.
            rng: Where jitter comes from; the `random` module when None.
            budget: Shared by the calls to one server; when it is spent, the failure is final.
            on_retry: Told of each retry before the pause.

        Returns:
            What ``fn`` returned.

        Raises:
            Exception: What the last attempt raised.
        """
        from tenacity import Retrying  # noqa: PLC0415  37 ms to import

        run = _Run(self, decide=decide, clock=clock, rng=rng, budget=budget, on_retry=on_retry)
        loop = Retrying(sleep=run.clock.sleep, retry=run.goes_on, wait=run.pause_s, reraise=True)
        return loop(fn)

    async def call_async(
        self,
        fn: Callable[[], Awaitable[T]],
        *,
        decide: Decider = decide_by_error,
        clock: Clock | None = None,
        rng: RandomSource | None = None,
        budget: RetryBudget | None = None,
        on_retry: Callable[[Retry], object] | None = None,
    ) -> T:
        """Await ``fn()`` until it returns, its failure is final, or the policy is exhausted.

        The arguments are those of `call`; ``fn`` returns a new awaitable at each attempt. It runs under
        asyncio and under trio.

        Raises:
            Exception: What the last attempt raised.
        """
        from tenacity import AsyncRetrying  # noqa: PLC0415  37 ms to import

        run = _Run(self, decide=decide, clock=clock, rng=rng, budget=budget, on_retry=on_retry)
        loop = AsyncRetrying(sleep=run.clock.sleep_async, retry=run.goes_on, wait=run.pause_s, reraise=True)

        async def attempt() -> T:
            # Tenacity awaits only what it recognises as a coroutine function; a lambda is not one.
            return await fn()

        return await loop(attempt)


class _Run:
    """One call under a policy: what tenacity's loop asks, answered from clock, random source and budget."""

    def __init__(
        self,
        policy: Backoff,
        *,
        decide: Decider,
        clock: Clock | None,
        rng: RandomSource | None,
        budget: RetryBudget | None,
        on_retry: Callable[[Retry], object] | None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self._policy = policy
        self._decide = decide
        self._rng = rng or _system_random()
        self._budget = budget
        self._on_retry = on_retry
        self._delay_s = 0.0
        self._start_s = self.clock.monotonic()
        if budget is not None:
            budget.earn()

    def goes_on(self, state: RetryCallState) -> bool:
        """Tenacity's question after each attempt: once more? No means its outcome, whatever it is, stands."""
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, Exception):
            return False
        elapsed_s = self.clock.monotonic() - self._start_s
        delay_s = self._policy.next_delay_s(
            self._decide(error),
            attempt=state.attempt_number,
            elapsed_s=elapsed_s,
            unit_random=self._rng.random(),
        )
        if delay_s is None or (self._budget is not None and not self._budget.spend()):
            return False
        logger.debug("attempt %d failed (%r), next in %.3f s", state.attempt_number, error, delay_s)
        if self._on_retry is not None:
            self._on_retry(Retry(state.attempt_number, error, delay_s, elapsed_s))
        self._delay_s = delay_s
        return True

    def pause_s(self, _state: RetryCallState) -> float:
        """Tenacity's question after a yes: how long a pause?"""
        return self._delay_s


def _system_random() -> RandomSource:
    import random  # noqa: PLC0415  only calls without a random source of their own need it

    return random  # the module itself has a random() that all threads may call
