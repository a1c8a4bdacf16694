"""Whether a port is free, and who has it."""

from __future__ import annotations

import socket

__all__ = ["holder_of", "port_taken"]


def port_taken(host: str, port: int) -> bool:
    """Whether another program listens on a port.

    gRPC itself shares ports with whoever lets it, and complains in a line of its own where it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def holder_of(port: int) -> str:
    """Who listens on a port, as far as this user may know: ``python3 (pid 17)``, or ""."""
    import psutil  # noqa: PLC0415 - only when something is wrong

    try:
        for entry in psutil.net_connections("tcp"):
            if entry.status == psutil.CONN_LISTEN and entry.laddr and entry.laddr.port == port and entry.pid:
                return f"{psutil.Process(entry.pid).name()} (pid {entry.pid})"
    except psutil.Error:
        # Other users' programs are not shown to everybody.
        return ""
    return ""
