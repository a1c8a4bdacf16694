"""Log records of the delivery, as the published package words them and under its logger names.

Programs and their tests look for these records. Each record of `orchestra.sdk` that has a published counterpart is
logged as that one instead, so that nothing is said twice.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

__all__ = ["translate"]

_REFUSED = re.compile(r".* of task run \S+ was refused: HTTP (?P<status>\d+)(?:: (?P<body>.*))?", re.DOTALL)
_FAILED = re.compile(
    r".* of task run \S+ was (?:refused: |not delivered \()(?P<reason>.*?)(?:\); trying again)?", re.DOTALL
)
_UNCONFIGURED = re.compile(r"Orchestra is not configured \(.*")
_SOURCES = ("orchestra.sdk._sender", "orchestra.sdk._reporter")


def translate() -> None:
    """Begin to translate; a second call changes nothing."""
    for name in _SOURCES:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Translation) for one in logger.filters):
            logger.addFilter(_Translation())


class _Translation(logging.Filter):
    """Replaces a record by its published counterpart."""

    def filter(self, record: logging.LogRecord) -> bool:
        published = _published(record.getMessage())
        if published is None:
            return True
        name, level, message = published
        logging.getLogger(name).log(level, "%s", message)
        return False


def _published(message: str) -> tuple[str, int, str] | None:
    if _UNCONFIGURED.fullmatch(message):
        text = "Environment not configured correctly to send update for Task."
        return "orchestra_sdk.orchestra", logging.WARNING, text
    refused = _REFUSED.fullmatch(message)
    if refused is not None:
        text = f"Failed request ({refused['status']}): {_json(refused['body'])}"
        return "orchestra_sdk.http", logging.ERROR, text
    failed = _FAILED.fullmatch(message)
    if failed is not None:
        return "orchestra_sdk.http", logging.ERROR, f"Could not send POST request - {failed['reason']}"
    return None


def _json(body: str | None) -> Any:
    """The answer as the published record shows it: decoded JSON, or None for anything else."""
    try:
        return json.loads(body or "")
    except ValueError:
        return None
