"""Points in time as whole nanoseconds, from every form in which users and generations of the wire write."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

from orca.processor.errors import InvalidWindowArgument

__all__ = ["Naive", "TimeLike", "datetime_of", "epoch_ns", "ns_of", "timedelta_ns"]

TimeLike = dt.datetime | int | float
Naive = Literal["local", "utc"]

NS_PER_S: Final = 1_000_000_000
NS_PER_US: Final = 1_000
# Timestamp reaches from year 1 to year 9999; windows must lie after 1970.
NS_MAX: Final = 253_402_300_800 * NS_PER_S
# A number of seconds below this is before the year 5138, a number of milliseconds below its thousandfold too.
SECONDS_BELOW: Final = 10**11
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def epoch_ns(number: int) -> int:
    """Nanoseconds from a number of seconds, milliseconds, microseconds or nanoseconds, told by magnitude.

    The first generation of the wire documents nanoseconds and sends seconds.

    Example:
        >>> epoch_ns(1747582274) == epoch_ns(1747582274000) == epoch_ns(1747582274000000000)
        True
    """
    for factor in (NS_PER_S, 1_000_000, NS_PER_US):
        if abs(number) < SECONDS_BELOW * (NS_PER_S // factor):
            return number * factor
    return number


def ns_of(value: TimeLike, *, naive: Naive = "local") -> int:
    """Nanoseconds since 1970 of a datetime, a whole number or a float of seconds.

    Args:
        value: A datetime, exact to the microsecond; an int, see :func:`epoch_ns`; a float of seconds.
        naive: What a datetime without a zone means: this machine's local time, or UTC.

    Raises:
        InvalidWindowArgument: The value is of another type, not finite, or outside 1970 to 9999.

    Example:
        >>> import datetime as dt
        >>> ns_of(dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc))
        1767225600000000000
        >>> ns_of(1.5)
        1500000000
    """
    ns = _ns(value, naive)
    if not 0 <= ns < NS_MAX:
        raise InvalidWindowArgument(f"the time {value!r} is not between 1970 and 9999")
    return ns


def _ns(value: object, naive: Naive) -> int:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=dt.timezone.utc) if naive == "utc" else value.astimezone()
        return timedelta_ns(value - EPOCH)
    if isinstance(value, int) and not isinstance(value, bool):
        return epoch_ns(value)
    if isinstance(value, float):
        try:
            return round(value * NS_PER_S)
        except (ValueError, OverflowError):
            raise InvalidWindowArgument(f"the time {value!r} is not a finite number") from None
    hint = "give a datetime, or unix seconds as a number"
    raise InvalidWindowArgument(f"the time {value!r} is a {type(value).__name__}", hint=hint)


def timedelta_ns(delta: dt.timedelta) -> int:
    """A timedelta in whole nanoseconds, exactly.

    Example:
        >>> import datetime as dt
        >>> timedelta_ns(dt.timedelta(seconds=1.5))
        1500000000
    """
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * NS_PER_US


def datetime_of(ns: int) -> dt.datetime:
    """The UTC datetime of a number of nanoseconds, cut to the microsecond.

    Example:
        >>> datetime_of(1_500_000_000)
        datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + dt.timedelta(microseconds=ns // NS_PER_US)
