"""The part of logging that is structlog's: how a record becomes a line."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

import structlog
from structlog.stdlib import ProcessorFormatter

from orca.common._records import RESERVED
from orca.common.terminal import use_color

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

__all__ = ["make_formatter"]

# What structlog and we put into a record for our own use.
_NOT_EXTRA = RESERVED | {"_logger", "_name", "exception"}

# Everything that moves the cursor or changes the terminal; line ends and tabs stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


def make_formatter(format: Literal["console", "json"], stream: TextIO) -> logging.Formatter:  # noqa: A002
    """Return the formatter of one format, and point structlog's own loggers to the standard ones."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    line: list[Processor]
    if format == "json":
        line = [_RecordFields("message"), structlog.processors.JSONRenderer(default=str)]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=use_color(stream),
            # The other formatters show local variables, and those hold what nobody should read.
            exception_formatter=structlog.dev.plain_traceback,
        )
        line = [_RecordFields("event"), _without_control_characters, console]
    return _Formatter(processors=line)


class _Formatter(ProcessorFormatter):
    """Structlog's own drops the text of an exception that was made before, which is where it is masked."""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_text:
            record.exception = record.exc_text
        return super().format(record)


class _RecordFields:
    """Puts time, level, logger and message first, and stack and exception last."""

    def __init__(self, message_key: str) -> None:
        self._message_key = message_key

    def __call__(self, _logger: Any, _name: str, event: EventDict) -> EventDict:
        record = cast("logging.LogRecord", event.pop("_record"))
        del event["_from_structlog"]
        moment = datetime.fromtimestamp(record.created, tz=timezone.utc)
        exc_info = event.pop("exc_info", None)
        stack = event.pop("stack_info", None) or record.stack_info
        exception = event.pop("exception", None) or getattr(record, "exception", None)
        if exc_info:
            exception = logging.Formatter().formatException(exc_info)
        fields: dict[str, Any] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            self._message_key: event.pop("event", ""),
        }
        extra = {key: value for key, value in vars(record).items() if key not in _NOT_EXTRA}
        for key, value in {**extra, **event}.items():
            fields.setdefault(key, value)
        if stack:
            fields["stack"] = stack
        if exception:
            fields["exception"] = exception
        return fields


def _without_control_characters(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Make sure that what was logged cannot repaint the reader's terminal."""
    return {
        key: _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value) if isinstance(value, str) else value
        for key, value in event.items()
    }
