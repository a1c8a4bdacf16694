"""The wire schema of the webhook, as a list of everything that is wrong with a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from orchestra.sdk.enums import TaskRunStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["problems_of"]

_COMMON = {"event_type", "metadata"}
_TEXT_MAX = 16 * 1024 * 1024


def problems_of(body: object) -> list[dict[str, Any]]:
    """Every fault of a webhook body, in the form in which the platform reports faults.

    Example:
        >>> problems_of({"event_type": "LOG", "metadata": {}, "log_name": "a", "data": "b"})
        [{'loc': ['body', 'task_run_id'], 'msg': 'missing', 'type': 'missing'}]
    """
    if not isinstance(body, dict):
        return [_problem("", "the body is no JSON object", "type")]
    event = cast("dict[str, Any]", body)
    check = _CHECKS.get(str(event.get("event_type")))
    if check is None:
        return [_problem("event_type", f"{event.get('event_type')!r} is no event type", "enum")]
    allowed, required = check
    found = [_problem(name, "missing", "missing") for name in sorted((required | _COMMON) - event.keys())]
    found += [_problem(name, "unknown key", "extra") for name in sorted(event.keys() - allowed - _COMMON)]
    if not isinstance(event.get("metadata", {}), dict):
        found.append(_problem("metadata", "not an object", "type"))
    found += [
        _problem(name, "wrong value", "value")
        for name in allowed & event.keys()
        if not _VALID[name](event[name])
    ]
    if event["event_type"] == "UPDATE_STATUS" and not {"status", "message"} & event.keys():
        found.append(_problem("status", "a status or a message is needed", "missing"))
    return found


def _problem(name: str, message: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", name] if name else ["body"], "msg": message, "type": kind}


def _uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_MAX


_CHECKS: dict[str, tuple[set[str], set[str]]] = {
    "UPDATE_STATUS": ({"task_run_id", "status", "message"}, {"task_run_id"}),
    "SET_OUTPUT": (
        {"task_run_id", "output_name", "output_value"},
        {"task_run_id", "output_name", "output_value"},
    ),
    "LOG": ({"task_run_id", "log_name", "data"}, {"task_run_id", "log_name", "data"}),
    "SENSOR_EVENT": ({"sensor_event_type", "sensor_event"}, {"sensor_event_type", "sensor_event"}),
}
_VALID: dict[str, Callable[[Any], bool]] = {
    "task_run_id": _uuid,
    "status": lambda value: value in TaskRunStatus.__members__,
    "message": _text,
    "output_name": _text,
    "output_value": lambda _: True,
    "log_name": _text,
    "data": lambda value: isinstance(value, str),
    "sensor_event_type": _text,
    "sensor_event": lambda value: isinstance(value, dict),
}
