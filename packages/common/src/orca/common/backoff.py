"""How long to wait before trying again, decided without a clock, a socket or a random source.

`Backoff` is the pure half of `orca.common.retry.RetryPolicy`: time that has passed and a random number come
in as values, a delay goes out. Kernels that plan retries themselves (an outbox, a scheduler) use it directly.

Source: exponential backoff with partial jitter, as for gRPC's connections; Retry-After is RFC 9110, 10.2.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orca.common.errors import UsageError

__all__ = ["ATTEMPTS_MAX", "Backoff", "Decision", "parse_retry_after"]

#: No call is tried more often than this: with the longest pauses it is more than a month of trying.
ATTEMPTS_MAX = 100_000

# Longer than any sane pause (about 31 years); more digits than that in a header are noise, not a number.
_RETRY_AFTER_DIGITS_MAX = 9


@dataclass(frozen=True, slots=True)
class Decision:
    """What a decider says about one failure.

    Attributes:
        retry: Whether the same call may succeed later.
        after_s: The earliest moment that the other side asked for, in seconds from now; None when it did not.

    Raises:
        UsageError: ``after_s`` is negative, infinite or not a number.

    Example:
        >>> Decision(retry=True, after_s=1.5)
        Decision(retry=True, after_s=1.5)
    """

    retry: bool
    after_s: float | None = None

    def __post_init__(self) -> None:
        if self.after_s is not None and not (math.isfinite(self.after_s) and self.after_s >= 0):
            raise UsageError(f"Decision.after_s is {self.after_s!r}: give seconds from 0 up, or None")


@dataclass(frozen=True, slots=True)
class Backoff:
    """The numbers of a retry policy and the arithmetic on them.

    Attributes:
        attempts: How often a call is tried in all, 1 to `ATTEMPTS_MAX`; 1 means no retry.
        initial_s: The longest pause before the first retry, in seconds.
        factor: What each further pause grows by, from 1 up.
        max_s: No pause of our own choosing is longer, in seconds.
        jitter: The share of each pause that is random, 0 to 1, so that many callers do not come back at once.
        deadline_s: No attempt starts later than this after the first one began, in seconds; None for no
            deadline.
        retry_after_max_s: When the other side asks for a longer pause than this, the call is given up
            instead, in seconds: coming back earlier would be ignoring what it said.

    Raises:
        UsageError: A value is outside its range; the message names all of them.

    Example:
        >>> backoff = Backoff(attempts=4, initial_s=0.5, factor=2.0, max_s=1.5, jitter=0.0)
        >>> [backoff.delay_s(retry) for retry in (1, 2, 3)]
        [0.5, 1.0, 1.5]
    """

    attempts: int = 5
    initial_s: float = 0.2
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5
    deadline_s: float | None = None
    retry_after_max_s: float = 300.0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float, float]] = {
            "attempts": (self.attempts, 1, ATTEMPTS_MAX),
            "initial_s": (self.initial_s, 0, math.inf),
            "factor": (self.factor, 1, math.inf),
            "max_s": (self.max_s, 0, math.inf),
            "jitter": (self.jitter, 0, 1),
            "deadline_s": (0 if self.deadline_s is None else self.deadline_s, 0, math.inf),
            "retry_after_max_s": (self.retry_after_max_s, 0, math.inf),
        }
        faults = [
            f"{name} is {value!r}: give a finite number from {low} "
            + (f"to {high}" if high < math.inf else "up")
            for name, (value, low, high) in ranges.items()
            if not (math.isfinite(value) and low <= value <= high)
        ]
        if faults:
            raise UsageError(f"{type(self).__name__}: " + "; ".join(faults))

    def delay_s(self, retry: int, *, unit_random: float = 0.0) -> float:
        """Return the pause before retry number ``retry``.

        Args:
            retry: 1 for the first retry, 2 for the second, and so on.
            unit_random: A random number from 0 (the whole pause) to 1 (the pause without its random share).

        Returns:
            Seconds, from ``(1 - jitter) * cap`` to ``cap``; the cap grows by ``factor`` up to ``max_s``.
        """
        try:
            cap_s = min(self.max_s, self.initial_s * self.factor ** (retry - 1))
        except OverflowError:
            # The power outgrew a float; only a pause of nothing stays nothing.
            cap_s = self.max_s if self.initial_s else 0.0
        return cap_s * (1.0 - self.jitter * unit_random)

    def next_delay_s(
        self, decision: Decision, *, attempt: int, elapsed_s: float, unit_random: float = 0.0
    ) -> float | None:
        """Decide what follows a failed attempt.

        Args:
            decision: What the decider said about the failure.
            attempt: The number of the attempt that failed, from 1.
            elapsed_s: Seconds since the first attempt began.
            unit_random: A random number from 0 to 1.

        Returns:
            Seconds to wait before the next attempt, or None to give up: the failure is final, the attempts
            are used up, the next attempt would start after the deadline, or the other side asked for more
            time than ``retry_after_max_s``.
        """
        if not decision.retry or attempt >= self.attempts:
            return None
        delay_s = self.delay_s(attempt, unit_random=unit_random)
        if decision.after_s is not None:
            if decision.after_s > self.retry_after_max_s:
                return None
            delay_s = max(delay_s, decision.after_s)
        if self.deadline_s is not None and elapsed_s + delay_s > self.deadline_s:
            return None
        return delay_s


def parse_retry_after(value: str, *, now_s: float) -> float | None:
    """Read the value of a Retry-After header.

    Args:
        value: Whole seconds (``"120"``) or a date (``"Wed, 21 Oct 2015 07:28:00 GMT"``).
        now_s: The present, in seconds since 1970-01-01 UTC; a date in the past gives 0.

    Returns:
        Seconds from now, or None when the value has neither form.

    Example:
        >>> parse_retry_after("120", now_s=0)
        120.0
        >>> parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now_s=45.0)
        15.0
        >>> parse_retry_after("soon", now_s=0) is None
        True

    Source: RFC 9110, section 10.2.3.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _RETRY_AFTER_DIGITS_MAX else None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  only servers that send dates pay for it

    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - now_s) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
