"""Log sinks: every transition of a run as one entry, with what changed in the context.

{"ts": "2026-03-27T10:15:32.123456+00:00", "run_id": "exp-001", "machine": "Lab", "event": "READY",
"from": "prepare", "to": "search", "context_delta": {"size": 65}}
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

__all__ = ["ConsoleSink", "FileSink", "LogSink", "MultiSink", "make_entry"]


@runtime_checkable
class LogSink(Protocol):
    """Where entries go; any object with these two methods will do."""

    def write(self, entry: dict[str, Any]) -> None:
        """Record one entry."""
        ...

    def close(self) -> None:
        """Flush, and let go of what is held."""
        ...


class FileSink:
    """Appends entries to a file, one JSON object a line, so that a resumed run goes on in the same file.

    Args:
        path: The file; its folder is made if needed.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: TextIO | None = None

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry and flush it; values that JSON cannot hold are written as their text."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps(entry, default=str) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; a later entry opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


class ConsoleSink:
    """Prints one readable line for each entry: ``[HH:MM:SS] Machine  from → to  (EVENT)  key=value``.

    Args:
        file: Where to; standard output if not given.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file

    def write(self, entry: dict[str, Any]) -> None:
        """Print an entry."""
        moment = str(entry.get("ts", ""))
        delta: dict[str, Any] = entry.get("context_delta") or {}
        changes = "".join(f"  {key}={value}" for key, value in delta.items())
        event = f"  ({entry['event']})" if entry.get("event") else ""
        clock = moment[11:19] if len(moment) >= 19 else moment
        way = f"{entry.get('from', '?')} → {entry.get('to', '?')}"
        print(
            f"[{clock}] {entry.get('machine', ''):<14} {way}{event}{changes}", file=self._file or sys.stdout
        )

    def close(self) -> None:
        """Nothing is held."""


class MultiSink:
    """Writes each entry to several sinks."""

    def __init__(self, *sinks: LogSink) -> None:
        self._sinks = sinks

    def write(self, entry: dict[str, Any]) -> None:
        """Write an entry to all of them."""
        for sink in self._sinks:
            sink.write(entry)

    def close(self) -> None:
        """Close all of them."""
        for sink in self._sinks:
            sink.close()


def make_entry(
    *,
    now_s: float,
    run_id: str,
    machine: str,
    event: str,
    from_state: str,
    to_state: str,
    context_delta: dict[str, Any],
) -> dict[str, Any]:
    """An entry in the published form; ``now_s`` is seconds since 1970-01-01 UTC."""
    return {
        "ts": datetime.fromtimestamp(now_s, timezone.utc).isoformat(),
        "run_id": run_id,
        "machine": machine,
        "event": event,
        "from": from_state,
        "to": to_state,
        "context_delta": context_delta,
    }
