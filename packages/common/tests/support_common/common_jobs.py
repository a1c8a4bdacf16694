"""Functions that another process can import by name."""

from __future__ import annotations

import os

from orca.common.logging import current_context


def pid_and_context() -> tuple[int, dict[str, object]]:
    return os.getpid(), dict(current_context())
