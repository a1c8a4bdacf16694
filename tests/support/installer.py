"""Run installers, whose networks have bad moments."""

from __future__ import annotations

import subprocess
import time

__all__ = ["run_installer"]

ATTEMPTS = 4
PAUSE_S = 5.0
TIMEOUT_S = 600


def run_installer(*command: str) -> None:
    """Run a command that fetches packages, again when it fails: the registry may have refused it for a moment.

    Raises:
        RuntimeError: It failed each time; the text ends with what it printed last.
    """
    for left in reversed(range(ATTEMPTS)):
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode == 0:
            return
        if left:
            time.sleep(PAUSE_S)
    raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
