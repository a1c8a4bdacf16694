"""The published error classes; they are `orchestra.sdk`'s own."""

from __future__ import annotations

from orchestra.sdk import (
    LinkedConnectionNotFoundError,
    MissingEnvironmentKeysError,
    NoEnvironmentVariablesFoundError,
)

__all__ = ["LinkedConnectionNotFoundError", "MissingEnvironmentKeysError", "NoEnvironmentVariablesFoundError"]
