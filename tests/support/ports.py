"""Ports for programs that are told theirs before they start."""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["free_port"]

# Where ports begin that the system gives to whoever asks for any: connections, and every other server of the tests.
_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_240


def free_port() -> int:
    """A port of loopback that nobody has, and that the system will not give to anybody until it is used.

    One that the system chose and got back may be given to the next who asks, while the program is still starting.
    """
    last = int(_GIVEN.read_text("ascii").split()[0]) - 1 if _GIVEN.exists() else 32_767
    while True:
        # Two processes of tests draw from thousands: the same number in the same second does not happen.
        port = random.SystemRandom().randint(_FIRST, last)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
