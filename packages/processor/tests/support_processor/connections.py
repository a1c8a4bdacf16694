"""Connections of tests."""

from __future__ import annotations

from orca.processor import wire

IMPATIENT = {"grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"}


def patient_options(*, server: bool = False) -> list[tuple[str, int | str]]:
    """The channel arguments of ours, but a process that stalls for three seconds is no partition.

    Both ends of a test's connection stall together, and the timer of a ping is heard before its answer.
    """
    return [(name, value) for name, value in wire.channel_options(server=server) if name not in IMPATIENT]
