"""Times, durations and sizes as people read them; and what people type, read back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from orca.orchestrator.errors import FieldFault, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ago",
    "clock",
    "duration",
    "error_of",
    "local_input",
    "metadata_of",
    "percentile",
    "short_clock",
    "span",
    "time_ns",
    "values_of",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_YEAR = 365.25 * _DAY
_ERROR_PARTS = ("type", "message", "file", "line", "function", "source", "stack_trace")


def _moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def clock(ns: int) -> str:
    """A moment in UTC, to the second unless it has parts of one.

    Example:
        >>> clock(1_767_225_600_000_000_000), clock(1_767_225_600_250_000_000), clock(0)
        ('2026-01-01 00:00:00', '2026-01-01 00:00:00.250', '-')
    """
    if not ns:
        return "-"
    moment = _moment(ns)
    return moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{ns // 1_000_000 % 1000:03}" if ns % 10**9 else "")


def span(from_ns: int, to_ns: int) -> str:
    """From when to when in UTC, with no more digits than it takes.

    Example:
        >>> day = 86_400 * 10**9
        >>> span(1_767_225_600_000_000_000, 1_767_225_600_000_000_000 + 2 * day)
        '2026-01-01 → 2026-01-03'
        >>> span(1_767_225_600_000_000_000, 1_767_225_630_000_000_000)
        '2026-01-01 00:00:00 → 00:00:30'
    """
    start, end = clock(from_ns), clock(to_ns)
    midnight = " 00:00:00"
    if start.endswith(midnight) and end.endswith(midnight):
        start, end = start.removesuffix(midnight), end.removesuffix(midnight)
    elif start[:10] == end[:10]:
        end = end[11:]
    return f"{start} → {end}"


def short_clock(ns: int, span_ns: int) -> str:
    """A mark on an axis of the given length.

    Example:
        >>> short_clock(1_767_225_600_000_000_000, 400 * 86_400 * 10**9)
        'Jan 2026'
    """
    moment = _moment(ns)
    seconds = span_ns / 1e9
    if seconds > 120 * _DAY:
        return moment.strftime("%b %Y")
    if seconds > 2 * _DAY:
        return moment.strftime("%d %b")
    if seconds > 10 * _MINUTE:
        return moment.strftime("%H:%M")
    return moment.strftime("%H:%M:%S") + (f".{ns // 1_000_000 % 1000:03}" if seconds < 10 else "")


def duration(ns: float | None) -> str:
    """A length of time with two or three digits.

    Example:
        >>> [duration(ns) for ns in (0, 1_500, 12_300_000, 2.5e9, 95e9, 7.3e12, 3e14, 3e17, None)]
        ['0', '1.5 µs', '12 ms', '2.5 s', '1 min 35 s', '2 h 1 min', '3 d 11 h', '9.5 years', '-']
        >>> duration(3600 * 10**9), duration(60 * 10**9)
        ('1 h', '1 min')
    """
    if ns is None:
        return "-"
    seconds = ns / 1e9
    if seconds < 0:
        return "-" + duration(-ns)
    if seconds == 0:
        return "0"
    for unit, size in (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if seconds < size * 1000 and (unit != "s" or seconds < _MINUTE):
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    whole = int(seconds)
    if whole >= 2 * _YEAR:
        return f"{whole / _YEAR:.1f} years"
    if whole >= 10 * _DAY:
        return f"{whole // _DAY} d"
    for (unit, size), (part, below) in (
        (("d", _DAY), ("h", _HOUR)),
        (("h", _HOUR), ("min", _MINUTE)),
        (("min", _MINUTE), ("s", 1)),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    raise AssertionError("less than a minute was answered above")


def ago(ns: int, now_ns: int) -> str:
    """How long something is past, in one unit.

    Example:
        >>> ago(0, 10), ago(1, 5 * 10**9), ago(10**9, 10**9), ago(1, 7300 * 10**9)
        ('never', '4 s ago', 'now', '2 h ago')
    """
    if not ns:
        return "never"
    seconds = (now_ns - ns) // 10**9
    if seconds < 1:
        return "now"
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which a share of the sorted values lies; None without values.

    Example:
        >>> percentile([1, 2, 3, 4], 0.5), percentile([], 0.5)
        (3, None)
    """
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def local_input(ns: int) -> str:
    """A moment as people type it, in UTC and to the microsecond; "" for none.

    Example:
        >>> local_input(1_767_225_600_000_000_000), local_input(1_767_225_600_250_000_000), local_input(0)
        ('2026-01-01 00:00:00', '2026-01-01 00:00:00.250000', '')
    """
    return _moment(ns).isoformat(" ").removesuffix("+00:00") if ns else ""


def time_ns(text: str, field: str) -> int:
    """Nanoseconds of what somebody typed; UTC unless it says otherwise, 0 for nothing.

    Raises:
        InvalidFieldError: It is no time.

    Example:
        >>> time_ns("2026-01-01T00:00", "from")
        1767225600000000000
    """
    text = text.strip()
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        fault = FieldFault(field, f"is {text[:40]!r}, not a time such as 2026-01-01T12:00:00")
        raise InvalidFieldError((fault,)) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def metadata_of(text: str) -> list[tuple[str, str]]:
    """Metadata as pairs to show.

    Example:
        >>> metadata_of('{"station": "sf", "depth": 2.0}')
        [('station', 'sf'), ('depth', '2')]
    """
    value: object = json.loads(text or "{}")
    if not isinstance(value, dict):
        return []
    return [(str(key), _plain(item)) for key, item in cast("dict[str, Any]", value).items()]


def error_of(text: str) -> dict[str, Any]:
    """What a failure says of itself, every part there, empty where it says nothing.

    Example:
        >>> found = error_of('{"type": "KeyError", "line": 27.0, "other": 1}')
        >>> found["type"], found["line"], found["file"], error_of("no JSON")["message"]
        ('KeyError', 27, '', 'no JSON')
    """
    try:
        value: object = json.loads(text or "{}")
    except ValueError:
        value = {"message": text}
    said = cast("dict[str, Any]", value) if isinstance(value, dict) else {"message": text}
    found: dict[str, Any] = {part: said.get(part) or "" for part in _ERROR_PARTS}
    if isinstance(found["line"], float):
        found["line"] = int(found["line"])
    return found


def values_of(text: str) -> list[tuple[str, str]]:
    """Computed values as pairs to show, numbers with as many digits as people compare.

    Example:
        >>> values_of('{"mean": 4.694444444444445, "hours": 24.0, "score": null}')
        [('mean', '4.69444'), ('hours', '24'), ('score', 'none')]
        >>> values_of('{"last_day": "2010-12-31T00:00:00+00:00"}')
        [('last_day', '2010-12-31')]
    """
    value: object = json.loads(text or "{}")
    if not isinstance(value, dict):
        return []
    return [(str(key), _rounded(item)) for key, item in cast("dict[str, Any]", value).items()]


def _rounded(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.6g}"
    return _plain(value).removesuffix("T00:00:00+00:00")


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
