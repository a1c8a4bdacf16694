"""The watching process: it reports a run whose process is killed, crashes or leaves by ``os._exit``.

It holds a pidfd of the job besides the pipe, because a pipe stays open in children that the job forked, while the
pidfd becomes readable when the job itself is gone.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from orca.common.clock import SystemClock
from orchestra.sdk._process import process_start
from orchestra.sdk._protocol import status_event
from orchestra.sdk._sender import Sender
from orchestra.sdk._spool import Spool, key_fingerprint
from orchestra.sdk._tickets import Ticket
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import SpoolError

__all__ = ["main"]

FACTS_BYTES_MAX = 1024 * 1024
POLL_S = 0.5
"""Where the system has no pidfd: how often to look whether the job still lives."""


def main() -> int:
    """Watch the process that standard input names, and end its run if it does not."""
    pipe = sys.stdin.fileno()
    line, rest = _first_line(pipe)
    if not line:
        return 0
    facts = json.loads(line)
    if b"done" in rest or not _ended_without_a_word(pipe, int(facts["parent"]), facts["parent_start"]):
        return 0
    _report(facts)
    return 0


def _first_line(pipe: int) -> tuple[bytes, bytes]:
    """The facts, and what came after them. Unbuffered, so that `select` sees all that is still there."""
    data = b""
    while b"\n" not in data and len(data) < FACTS_BYTES_MAX:
        piece = os.read(pipe, 65_536)
        if not piece:
            break
        data += piece
    line, _, rest = data.partition(b"\n")
    return line, rest


def _ended_without_a_word(pipe: int, parent: int, start: str) -> bool:
    """Wait until the job says it is done (False) or is gone (True)."""
    pidfd = _pidfd(parent)
    open_pipe: int | None = pipe
    while True:
        # Also right at the beginning: the job may be gone, and its pid may belong to another process.
        if process_start(parent) != start:
            return not _says_done(open_pipe)
        watched = [fd for fd in (open_pipe, pidfd) if fd is not None]
        ready, _, _ = select.select(watched, [], [], POLL_S if pidfd is None else None)
        if open_pipe is not None and open_pipe in ready:
            said = os.read(open_pipe, 64)
            if said.startswith(b"done"):
                return False
            if not said:
                open_pipe = None  # every holder closed it; the pidfd knows whether the job is gone


def _says_done(pipe: int | None) -> bool:
    """Whether "done" is still in the pipe of a process that has just ended."""
    if pipe is None:
        return False
    ready, _, _ = select.select([pipe], [], [], 0)
    return bool(ready) and os.read(pipe, 64).startswith(b"done")


def _pidfd(pid: int) -> int | None:
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None


def _report(facts: dict[str, Any]) -> None:
    url, key, run = facts["url"], facts["api_key"], facts["run"]
    fingerprint = key_fingerprint(key)
    because = f"after {facts['because']}" if facts.get("because") else "killed or crashed"
    message = f"{facts['name']} failed. Error: its process ended without a final status ({because})"
    event = status_event(UUID(run), TaskRunStatus.FAILED, message)
    spool = _spool(facts["folder"])
    sender = Sender(SystemClock(), rng=random.Random())  # noqa: S311  jitter
    sender.add(spool)
    sender.learn(fingerprint, key)
    ticket = Ticket(terminal=True)
    if spool.durable:
        mine = [open_run for open_run in spool.open_runs() if open_run.run == run]
        # Another process may have found the dead run first, or its end may wait in the outbox already.
        for open_run in mine:
            if spool.adopt(open_run, event, now_s=time.time()):
                break
        sender.watch_all(spool, run)
    else:
        spool.append(
            [(event, url, fingerprint)],
            now_s=time.time(),
            before_commit=lambda ids: sender.watch(spool, ids[0], run, ticket),
        )
    sender.run_until_idle(float(facts["deliver_s"]))
    sender.abandon()
    spool.close()


def _spool(folder: str | None) -> Spool:
    try:
        return Spool(Path(folder) if folder else None)
    except SpoolError:
        return Spool(None)


if __name__ == "__main__":
    raise SystemExit(main())
