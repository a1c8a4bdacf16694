"""``core.json``: how programs on this machine find the core of a folder."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_core_file", "write_core_file"]


def write_core_file(folder: Path, content: dict[str, Any]) -> Path:
    """Write ``core.json`` in one step, readable by the user alone."""
    path = folder / "core.json"
    draft = folder / f"core.json.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    draft.replace(path)
    return path


def read_core_file(folder: Path) -> dict[str, Any] | None:
    """What ``core.json`` says; None when there is none."""
    try:
        content: dict[str, Any] = json.loads((folder / "core.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content
