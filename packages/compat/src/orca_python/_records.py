"""Log records of processors and windows under the published name, `orca_python.main`, and shown as published."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["LOGGER", "show"]

LOGGER: Final = logging.getLogger("orca_python.main")
_SOURCE: Final = logging.getLogger("orca.processor")
_FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class _Renamed(logging.Filter):
    """Hands a record to the published logger instead."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.name = LOGGER.name
        if LOGGER.isEnabledFor(record.levelno):
            LOGGER.handle(record)
        return False


def show() -> None:
    """Log under the published name, and on standard error where the program has not configured logging itself."""
    if not any(isinstance(one, _Renamed) for one in _SOURCE.filters):
        _SOURCE.addFilter(_Renamed())
        # Its lines are shown here: the package behind must not show them a second time.
        _SOURCE.addHandler(logging.NullHandler())
    if not LOGGER.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
    if _SOURCE.level == logging.NOTSET and not _SOURCE.isEnabledFor(LOGGER.getEffectiveLevel()):
        _SOURCE.setLevel(LOGGER.getEffectiveLevel())
