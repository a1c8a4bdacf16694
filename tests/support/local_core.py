"""The real core for tests: ``orca start`` in a folder of its own, on a free port, stopped at the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["clean_environment", "local_core", "orca"]

COMMAND_TIMEOUT_S = 300


def clean_environment() -> dict[str, str]:
    """The environment without what would point a program at another core or task."""
    dropped = ("ORCA_", "ORCASERVER", "PROCESSOR_", "ORCHESTRA_", "HOST", "PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def orca(*arguments: str, folder: Path) -> str:
    """Run an ``orca`` command of this environment and return what it printed.

    Raises:
        AssertionError: It failed.
    """
    done = subprocess.run(
        [str(Path(sys.executable).parent / "orca"), *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def local_core(folder: Path) -> Iterator[str]:
    """A core whose files are in ``folder``; gives ``grpc://host:port``."""
    folder.mkdir(parents=True, exist_ok=True)
    orca("start", "--port", "0", "--web-port", "-1", folder=folder)
    try:
        found = re.search(r"grpc://\S+", orca("status", folder=folder))
        assert found is not None
        yield found[0]
    finally:
        orca("stop", folder=folder)
