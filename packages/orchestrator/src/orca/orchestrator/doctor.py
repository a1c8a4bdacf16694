"""What may be wrong with the core of this folder, for ``orca doctor``."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from orca.common.doctor import Finding
from orca.common.errors import OrcaError
from orca.orchestrator import __version__
from orca.orchestrator.corefile import read_core_file
from orca.orchestrator.ports import holder_of, port_taken
from orca.orchestrator.process import FolderLock
from orca.orchestrator.settings import from_environ
from orca.orchestrator.store.migrations import load_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orca.orchestrator.settings import DatabaseUrl

__all__ = ["check_core"]

CHECK = "core"
# A million windows of three results are about 0.6 GB; below this a busy core fills the disk within minutes.
FREE_BYTES_MIN = 200 * 1024 * 1024
CONNECT_S = 2.0


def check_core() -> Iterator[Finding]:
    """The settings in the environment, the core of this folder, its port, and its store."""
    try:
        settings = from_environ().checked()
    except OrcaError as error:
        yield Finding("error", CHECK, error.message, error.hint or "unset the ORCA_CORE_ variable")
        return
    folder = _folder(settings.folder)
    running = FolderLock.held(folder)
    if running:
        yield from _running(folder)
    elif settings.port and port_taken(settings.host, settings.port):
        who = holder_of(settings.port) or "another program"
        text = f"port {settings.port}, where a core would listen, is held by {who}"
        yield Finding("warning", CHECK, text, "end that program, or: orca start --port 0")
    else:
        yield Finding("ok", CHECK, f"no core runs in {folder}; port {settings.port} is free")
    if settings.database:
        yield from _database(settings.database)
    elif (folder / "orca.db").exists():
        yield from _store(folder / "orca.db")


def _database(url: DatabaseUrl) -> Iterator[Finding]:
    from orca.orchestrator.store.postgres import schema_of  # noqa: PLC0415 - an extra

    newest = load_migrations("postgres")[-1].number
    try:
        applied = asyncio.run(schema_of(url.reveal()))
    except OrcaError as error:
        fix = error.hint or "check ORCA_CORE_DATABASE, and the role and its rights"
        yield Finding("error", CHECK, f"{url}: {error.message}", fix)
        return
    if applied > newest:
        text = f"{url} was written by a newer version (schema {applied}, known up to {newest})"
        yield Finding("error", CHECK, text, "pip install -U orca-orchestrator")
    else:
        state = (
            f"has schema {applied} of {newest}"
            if applied
            else "has no tables yet: the first start makes them"
        )
        yield Finding("ok", CHECK, f"{url} answers and {state}")


def _folder(folder: Path) -> Path:
    """The core's folder as clients find it: here or above."""
    if folder.is_absolute():
        return folder
    for place in (Path.cwd(), *Path.cwd().parents):
        if (place / folder / "core.lock").exists():
            return place / folder
    return folder.absolute()


def _running(folder: Path) -> Iterator[Finding]:
    known = read_core_file(folder)
    if known is None:
        text = f"a core holds {folder}, and no core.json says where it listens"
        yield Finding("error", CHECK, text, f"if it does not just start: fuser -k {folder / 'core.lock'}")
        return
    host, _, port = str(known["address"]).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        text = f"the core at {known['address']} (pid {known['pid']}) does not answer: {error}"
        yield Finding("error", CHECK, text, f"see {folder / 'core.log'}, then: orca stop && orca start")
    else:
        yield Finding("ok", CHECK, f"a core listens at {known['address']} (pid {known['pid']})")
    mode = stat.S_IMODE((folder / "core.json").stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        text = f"{folder / 'core.json'} holds a token and can be read by others (mode {mode:o})"
        yield Finding("error", CHECK, text, f"chmod 600 {folder / 'core.json'}")
    if known.get("version") != __version__:
        text = f"the core that runs is {known.get('version')}, installed is {__version__}"
        yield Finding("warning", CHECK, text, "orca stop && orca start")


def _store(path: Path) -> Iterator[Finding]:
    newest = load_migrations("sqlite")[-1].number
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
            applied: int = connection.execute("PRAGMA user_version").fetchone()[0]
            (healthy,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        yield Finding("error", CHECK, f"{path} cannot be read: {error}", "orca db restore BACKUP")
        return
    if healthy != "ok":
        yield Finding("error", CHECK, f"{path} is damaged: {healthy}", "orca stop && orca db restore BACKUP")
    elif applied > newest:
        text = f"{path} was written by a newer version (schema {applied}, known up to {newest})"
        yield Finding("error", CHECK, text, "pip install -U orca-orchestrator")
    else:
        yield Finding("ok", CHECK, f"{path} is sound (schema {applied} of {newest})")
    free = shutil.disk_usage(path.parent).free
    if free < FREE_BYTES_MIN:
        text = f"{free // 2**20} MB are left where {path} lies"
        yield Finding("warning", CHECK, text, "free space there, or: orca db retain --older-than 30d")
