"""Who owns a lease or an open run, and whether that process still lives."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["owner_is_dead", "owner_token", "process_start"]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _host() -> str:
    """The boot and the process namespace: a pid means nothing outside of them."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{_read('/proc/sys/kernel/random/boot_id')}:{namespace}"


def process_start(pid: int) -> str:
    """When the process started, in the kernel's own count; empty when it is gone or not known.

    A pid is used again sooner or later; pid and start together are not.
    """
    stat = _read(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in {"Z", "X"}:
        return ""  # a zombie runs no code any more
    return fields[19]


def owner_token() -> str:
    """A name for this process and this holder that no other will ever have."""
    pid = os.getpid()
    return f"{_host()}|{pid}|{process_start(pid)}|{secrets.token_hex(4)}"


def owner_is_dead(token: str) -> bool:
    """Whether the owner is certainly gone; False when that cannot be known from here."""
    parts = token.split("|")
    if len(parts) != 4 or not parts[1].isdigit():
        return True  # written by nobody that exists
    host, pid, start, _ = parts
    if host != _host():
        here, there = _host().partition(":"), host.partition(":")
        # Another boot of the same initial namespace: nothing survives a boot. Another container: unknown.
        return bool(here[0]) and bool(there[0]) and here[0] != there[0] and here[2] == there[2]
    if not start:
        return not _alive(int(pid))
    return process_start(int(pid)) != start


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
