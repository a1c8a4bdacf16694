"""Ports for programs that must be told one before they run."""

from __future__ import annotations

import atexit
import socket
import sys

__all__ = ["free_port"]


def free_port() -> int:
    """A port of loopback that nobody listens on, and that nobody else is given while these tests run.

    It is kept by a socket that is bound and never listens: connections are refused as by any free port, and a server
    can still be bound to it, since servers allow the reuse of their address. Only Linux lets two sockets be bound to
    one port before either listens.
    """
    holder = socket.socket()
    if sys.platform == "linux":
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        atexit.register(holder.close)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform != "linux":
        holder.close()
    return port
