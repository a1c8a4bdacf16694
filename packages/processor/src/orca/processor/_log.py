"""The one logger whose lines users of the published SDKs know, under a name that can be changed."""

from __future__ import annotations

import logging
import sys
from typing import Final

__all__ = ["FORMAT", "get_logger", "make_visible", "set_logger_name"]

FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
"""How the published SDKs print a line."""

_names: Final = ["orca.processor"]


def get_logger() -> logging.Logger:
    """The logger in use now."""
    return logging.getLogger(_names[-1])


def set_logger_name(name: str) -> None:
    """Log the life of processors and windows under ``name``, such as ``orca_python.main``."""
    _names[:] = [name]


def make_visible() -> bool:
    """Show INFO lines on standard error, if this program has not configured logging at all.

    Only the functions that are a whole program's main part call this (``Start``, ``run``, ``EmitWindow`` ...);
    importing never does.

    Returns:
        Whether lines are shown from now on that were not shown before.
    """
    logger = get_logger()
    if logger.hasHandlers():
        return False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return True
