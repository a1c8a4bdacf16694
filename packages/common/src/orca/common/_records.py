"""Masking secrets in a log record, whichever of its fields they hide in."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orca.common.redact import MASK, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEPTH_MAX", "RESERVED", "redact_record", "redact_value"]

#: Deeper values are shown as one masked text: a log line is no place for a tree, and a cycle must end.
DEPTH_MAX = 6

#: The fields that every record has; anything else in it is extra. The last two are made by formatters.
RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact_record(record: logging.LogRecord, redact: Callable[[str], str]) -> None:
    """Mask the secrets of a record in place; a record without any is left as it is.

    A message that cannot be made of its arguments is shown with both, instead of failing later.
    """
    _redact_message(record, redact)
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if redact(text) != text:
            # Formatters use the text when it is there; the exception itself still holds the secret.
            record.exc_text = text
            record.exc_info = None
    if record.exc_text:
        record.exc_text = redact(record.exc_text)
    if record.stack_info:
        record.stack_info = redact(record.stack_info)
    for name, value in list(vars(record).items()):
        if name not in RESERVED:
            record.__dict__[name] = MASK if _hidden(name, value) else redact_value(value, redact)


def _redact_message(record: logging.LogRecord, redact: Callable[[str], str]) -> None:
    event: Any = record.msg
    if isinstance(event, Mapping):  # structlog's, already taken apart
        record.msg = redact_value(event, redact)
        return
    if record.args:
        record.args = redact_value(record.args, redact)
    try:
        message = record.getMessage()
    except Exception as error:  # noqa: BLE001  a wrong log call must not stop the program
        message = f"{record.msg!r} % {record.args!r} ({type(error).__name__}: {error})"
        record.args = None
    clean = redact(message)
    if clean != message or record.args is None:
        record.msg = clean
        record.args = None


def redact_value(value: Any, redact: Callable[[str], str], *, depth: int = 0) -> Any:
    """Return ``value`` without its secrets; what has none comes back as the same object.

    Args:
        value: Anything that may stand in a log record.
        redact: Masks text.
        depth: How deep inside another value this one is.
    """
    if _harmless(value):
        return value
    if isinstance(value, str):
        clean = redact(value)
        return value if clean == value else clean
    if depth < DEPTH_MAX:
        if _is_sequence(value):
            items = [redact_value(item, redact, depth=depth + 1) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if _is_mapping(value):
            pairs = {
                redact_value(key, redact, depth=DEPTH_MAX): (
                    MASK if _hidden(key, item) else redact_value(item, redact, depth=depth + 1)
                )
                for key, item in value.items()
            }
            # A masked key is another key; then the copy is needed even where all values stay.
            same = pairs.keys() == value.keys() and all(pairs[key] is item for key, item in value.items())
            return value if same else pairs
    text = _text(value)
    clean = redact(text)
    return value if clean == text else clean


# Plain bools, because a narrowed Any would be of half-known type from there on.
def _is_sequence(value: object) -> bool:
    return type(value) in {tuple, list}


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _hidden(name: object, value: object) -> bool:
    # Numbers are counts ("tokens": 3), not secrets.
    return not _harmless(value) and isinstance(name, str) and is_secret_name(name)


def _harmless(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  a broken __str__ must not stop the program
        return f"<{type(value).__name__}: {type(error).__name__}>"
