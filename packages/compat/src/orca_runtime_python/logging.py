"""Where transitions are written."""

from __future__ import annotations

from orca.statemachine.runtime.sinks import ConsoleSink, FileSink, LogSink, MultiSink

__all__ = ["ConsoleSink", "FileSink", "LogSink", "MultiSink"]
