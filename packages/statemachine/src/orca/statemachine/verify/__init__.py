"""The verifier: explores everything that machines can do and says what is wrong, with a trace that shows it.

verify(machines, tables)  -> Report(findings, configurations, complete)
play(machine, trace)      -> what a trace does, by the real engine
"""

from __future__ import annotations

from orca.statemachine.verify.check import Options, verify, verify_document
from orca.statemachine.verify.findings import (
    VERIFY_CODES,
    ActionOutcome,
    Finding,
    Report,
    Severity,
    Trace,
    TraceStep,
)
from orca.statemachine.verify.traces import Played, play, read_trace

__all__ = [
    "VERIFY_CODES",
    "ActionOutcome",
    "Finding",
    "Options",
    "Played",
    "Report",
    "Severity",
    "Trace",
    "TraceStep",
    "play",
    "read_trace",
    "verify",
    "verify_document",
]
