"""How long callers wait and how much the outbox holds: the settings of `OrchestraSDK`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Budgets", "Caps"]


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long the caller may be kept waiting, by kind of event, in seconds.

    Attributes:
        accept_s: For an event to be written to the outbox. A healthy disk takes a millisecond; a network disk
            that hangs must not hold the job: with everything else, less than a second before it starts.
        direct_s: For an acknowledgement of an ordinary event when the outbox cannot hold it.
        terminal_s: For the acknowledgement of a terminal status. After that it stays in the outbox for the
            next start, `orchestra outbox flush` or the supervisor.
        exit_s: For ordinary events that are still on their way when the process ends.
        signal_s: For the terminal status when a signal ends the process: Docker kills after ten seconds.
    """

    accept_s: float = 0.8
    direct_s: float = 5.0
    terminal_s: float = 60.0
    exit_s: float = 2.0
    signal_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Caps:
    """How much the outbox may hold before it drops the least valuable events; a terminal status stays.

    Attributes:
        bytes_max: All bodies together: a small share of the smallest disk that a container gets.
        rows_max: Number of events, which bounds the time of a scan.
        age_s_max: Older events help nobody: the run's end is long known.
        dead_max: Dead letters kept to be read.
    """

    bytes_max: int = 64 * 1024 * 1024
    rows_max: int = 100_000
    age_s_max: float = 7 * 86_400.0
    dead_max: int = 10_000
