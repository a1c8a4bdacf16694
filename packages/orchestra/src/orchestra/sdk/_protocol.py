"""The webhook protocol without any I/O: build the bodies, read the answers, decide what to do next.

Everything here is a function of its arguments. Time and chance come in as numbers, and whether to send, to
wait or to give up goes out as a value. The shells (threads over HTTP, tests, replay) share this one set of
rules.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from orchestra.sdk.enums import TaskRunStatus, WebhookEventType
from orchestra.sdk.errors import UsageError

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "DEFAULT_WEBHOOK_URL",
    "Event",
    "Kind",
    "Outcome",
    "Verdict",
    "backoff_s",
    "describe_error",
    "judge_failure",
    "judge_status",
    "log_event",
    "output_event",
    "parse_retry_after_s",
    "parse_status",
    "parse_task_run_id",
    "progress_message",
    "sensor_event",
    "status_event",
    "webhook_url",
]

DEFAULT_WEBHOOK_URL = "https://webhook.getorchestra.io"

ERROR_TEXT_CHARS_MAX = 250
"""How much of an exception's text goes into a FAILED message; the published SDK's number."""

MESSAGE_CHARS_MAX = 4_000
"""A message is a line on a page, not a log; longer ones are cut with a mark. No documented limit exists."""

EVENT_BYTES_MAX = 8 * 1024 * 1024
"""No event may be larger: it is held in memory while it is sent, and one event must fit the outbox many
times."""

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 30.0
RETRY_AFTER_S_MAX = 300.0
"""A server that asks for more than five minutes is asked again after five."""

_RETRIED_4XX = frozenset({408, 425, 429})
_REFUSED_5XX = frozenset({501, 505})


class Kind(IntEnum):
    """What an event is worth when the outbox is full: the lowest is dropped first, TERMINAL never."""

    PROGRESS = 0
    STATUS = 1
    LOG = 2
    SENSOR = 3
    OUTPUT = 4
    TERMINAL = 9


class Event(NamedTuple):
    """One webhook event, ready to be sent.

    Attributes:
        run: The task run that orders it; sensor events use a line of their own.
        kind: What it is worth when space runs out.
        body: The JSON body as bytes.
    """

    run: str
    kind: Kind
    body: bytes


class Verdict(IntEnum):
    """What an answer means for the event that was sent."""

    ACCEPTED = 1
    RETRY = 2
    REFUSED = 3


class Outcome(NamedTuple):
    """The decision on one attempt.

    Attributes:
        verdict: Accepted, try again, or refused for good.
        reason: One line for people; empty when accepted.
        after_s: The wait that the server asked for, if any.
        whole_route: True when every event to this address would meet the same fate, so that all wait.
    """

    verdict: Verdict
    reason: str = ""
    after_s: float | None = None
    whole_route: bool = False


def parse_status(value: TaskRunStatus | str) -> TaskRunStatus:
    """Return the status that ``value`` means, in every environment alike.

    Raises:
        UsageError: It is no status and no known synonym.

    Example:
        >>> parse_status("success").value
        'SUCCEEDED'
    """
    try:
        return TaskRunStatus(value)
    except ValueError:
        names = ", ".join(TaskRunStatus.__members__)
        raise UsageError(f"{value!r} is no status of a task run", hint=f"use one of {names}") from None


def parse_task_run_id(value: object) -> UUID | None:
    """Return the task run's id, or None for what is not one (an empty variable, a broken header)."""
    from uuid import UUID  # noqa: PLC0415  two milliseconds that an unconfigured program does not pay

    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        return None
    try:
        return UUID(value.strip())
    except ValueError:
        return None


def webhook_url(value: str | None) -> str:
    """Return the address to post to: the default for nothing, and never with user information in it.

    A user and password in the address would replace the Bearer token in many HTTP clients.

    Raises:
        UsageError: The address is not http or https, or names no host.
    """
    if not value or not value.strip():
        return DEFAULT_WEBHOOK_URL
    from urllib.parse import urlsplit, urlunsplit  # noqa: PLC0415

    parts = urlsplit(value.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("the webhook address must start with http:// or https:// and name a host")
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


def status_event(
    run: UUID, status: TaskRunStatus | None, message: str | None, *, kind: Kind | None = None
) -> Event:
    """An UPDATE_STATUS event; the status or the message may be left out, not both.

    Raises:
        UsageError: Neither a status nor a message is given.
    """
    if status is None and not message:
        raise UsageError("an update needs a status or a message")
    fields: dict[str, object] = {}
    if status is not None:
        fields["status"] = status.value
    if message:
        fields["message"] = clip(message, MESSAGE_CHARS_MAX)
    if kind is None:
        kind = Kind.TERMINAL if status is not None and status.terminal else Kind.STATUS
    return _event(WebhookEventType.UPDATE_STATUS, run, kind, fields)


def output_event(run: UUID, name: str, value: object) -> Event:
    """A SET_OUTPUT event; ``value`` is already plain JSON."""
    return _event(WebhookEventType.SET_OUTPUT, run, Kind.OUTPUT, {"output_name": name, "output_value": value})


def log_event(run: UUID, name: str, data: str) -> Event:
    """A LOG event."""
    return _event(WebhookEventType.LOG, run, Kind.LOG, {"log_name": name, "data": data})


def sensor_event(kind: str, event: object) -> Event:
    """A SENSOR_EVENT: it belongs to no task run."""
    fields = {"sensor_event_type": kind, "sensor_event": event}
    body: dict[str, object] = {"event_type": WebhookEventType.SENSOR_EVENT.value, "metadata": {}, **fields}
    return Event(f"sensor:{kind}", Kind.SENSOR, _encode(body))


def _event(type_: WebhookEventType, run: UUID, kind: Kind, fields: dict[str, object]) -> Event:
    body: dict[str, object] = {"event_type": type_.value, "metadata": {}, "task_run_id": str(run), **fields}
    return Event(str(run), kind, _encode(body))


def _encode(body: dict[str, object]) -> bytes:
    import json  # noqa: PLC0415  two milliseconds that only a reporting program pays

    text = json.dumps(body, allow_nan=False, separators=(",", ":"))
    data = text.encode("ascii")
    if len(data) > EVENT_BYTES_MAX:
        raise UsageError(f"an event of {len(data):,} bytes is larger than the limit of {EVENT_BYTES_MAX:,}")
    return data


def clip(text: str, chars_max: int) -> str:
    """Cut ``text`` to ``chars_max`` characters and say so at its end."""
    if len(text) <= chars_max:
        return text
    mark = f" ... [{len(text) - chars_max:,} more characters]"
    return text[:chars_max] + mark


def describe_error(error: BaseException) -> str:
    """The type of an exception and the beginning of its text.

    Example:
        >>> describe_error(KeyError("rows"))
        "KeyError: 'rows'"
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  a broken __str__ of the user must not hide the failure
        text = "(its text cannot be shown)"
    name = type(error).__qualname__
    return f"{name}: {text[:ERROR_TEXT_CHARS_MAX]}" if text else name


def progress_message(fraction: float | None, message: str) -> str:
    """The text of a progress update.

    Raises:
        UsageError: The fraction is not within 0 and 1, or there is nothing to say.

    Example:
        >>> progress_message(0.4, "rows loaded")
        '40 %: rows loaded'
    """
    if fraction is None:
        if not message:
            raise UsageError("progress needs a fraction or a message")
        return message
    if not 0.0 <= fraction <= 1.0:
        raise UsageError(f"progress is a fraction from 0 to 1, not {fraction!r}")
    percent = f"{fraction * 100:.0f} %"
    return f"{percent}: {message}" if message else percent


def judge_status(status: int, *, retry_after: str | None, now_s: float, detail: str = "") -> Outcome:
    """Decide what an HTTP answer means.

    Below 300 is success. 408, 425, 429 and 5xx may pass, and Retry-After is honoured. A redirect is refused:
    a POST that follows a 302 turns into an empty GET. Any other 4xx stays wrong however often it is sent.
    """
    if status < 300:
        return Outcome(Verdict.ACCEPTED)
    reason = f"HTTP {status}{': ' if detail else ''}{detail}"
    if status < 400:
        return Outcome(Verdict.REFUSED, f"{reason} (redirects are not followed; correct the webhook address)")
    if status in _RETRIED_4XX or (status >= 500 and status not in _REFUSED_5XX):
        after_s = parse_retry_after_s(retry_after, now_s=now_s)
        whole_route = status in {429, 502, 503, 504} or after_s is not None
        return Outcome(Verdict.RETRY, reason, after_s=after_s, whole_route=whole_route)
    return Outcome(Verdict.REFUSED, reason)


def judge_failure(reason: str) -> Outcome:
    """Decide what no answer means: refused connection, timeout, broken transfer. It always may pass."""
    return Outcome(Verdict.RETRY, reason, whole_route=True)


def parse_retry_after_s(value: str | None, *, now_s: float) -> float | None:
    """Seconds asked for by a Retry-After header: a number or an HTTP date, at most five minutes.

    Args:
        value: The header, or None.
        now_s: The wall clock, seconds since 1970, for the form with a date.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_S_MAX)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  30 modules, for a rare header

    try:
        at_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(at_s - now_s, 0.0), RETRY_AFTER_S_MAX)


def backoff_s(attempt: int, *, jitter: float, after_s: float | None = None) -> float:
    """The wait before the next attempt.

    Args:
        attempt: How many attempts have failed in a row, from 1.
        jitter: A random number from 0 to 1; it takes away up to half.
        after_s: What the server asked for; never less than this.

    Example:
        >>> [backoff_s(n, jitter=0.0) for n in (1, 2, 3, 20)]
        [0.2, 0.4, 0.8, 30.0]
    """
    base_s = min(BACKOFF_FIRST_S * 2.0 ** min(attempt - 1, 16), BACKOFF_MAX_S)
    wait_s = base_s * (1.0 - 0.5 * jitter)
    return max(wait_s, after_s) if after_s is not None else wait_s
