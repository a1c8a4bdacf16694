"""Run a program in a process of its own, as a user would, and keep what it printed and logged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "clean_environment", "run_program"]

PROGRAM_TIMEOUT_S = 300
# Variables of the machine that would change what a program does.
DROPPED = ("ORCA_", "ORCHESTRA_", "PROCESSOR_", "ORCASERVER", "PYTHONPATH")


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    returncode: int
    stdout: str
    stderr: str


def clean_environment(python: Path | str = sys.executable) -> dict[str, str]:
    """The environment without what would change what a program does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    paths = os.environ.get("PYTHONPATH", "")
    return {
        **kept,
        **({"PYTHONPATH": paths} if paths and str(python) == sys.executable else {}),
        "PYTHONIOENCODING": "utf-8",
    }


def run_program(
    source: str, folder: Path, *, env: Mapping[str, str] | None = None, python: Path | str = sys.executable
) -> Outcome:
    """Write ``source`` to a file in ``folder`` and run it there.

    Args:
        source: The whole program.
        folder: The working directory.
        env: Variables to add to a clean environment.
        python: The interpreter; the one that runs the tests has orca-compat.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "program.py"
    path.write_text(source, "utf-8")
    done = subprocess.run(
        [str(python), str(path)],
        cwd=folder,
        env={**clean_environment(python), "ORCHESTRA_SPOOL_DIR": str(folder / "outbox"), **(env or {})},
        capture_output=True,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
