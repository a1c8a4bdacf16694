"""Inside which execution code runs, for whoever runs algorithms without this package's engine."""

from __future__ import annotations

from orca.processor._context import current_parent, running

__all__ = ["current_parent", "running"]
