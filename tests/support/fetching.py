"""Commands that bring something over the network: what fails there once mostly succeeds a little later."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from typing import Any

__all__ = ["fetch"]

TRIES = 3
PAUSE_S = 5.0
"""Doubled after each try."""


def fetch(command: Sequence[str], *, timeout_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command, again where it fails, and return how it ended.

    Args:
        command: What to run; it can be run again after it has failed.
        timeout_s: For each try.
        options: For `subprocess.run`.

    Raises:
        RuntimeError: It failed each time; the text ends with what it printed last.
    """
    said = ""
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE_S * 2 ** (number - 1))
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False, **options
            )
        except subprocess.TimeoutExpired as error:
            said = str(error)
            continue
        if done.returncode == 0:
            return done
        said = done.stdout + done.stderr
    raise RuntimeError(f"{' '.join(command)} failed:\n{said}")
