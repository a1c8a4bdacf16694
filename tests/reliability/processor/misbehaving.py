"""User code that goes wrong, one function for each way; worker processes import them by name."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

THREADS = ("Raises", "Exits", "Mistyped", "Nan", "Deep", "Oversized", "Recurses", "Evil")
"""What a thread survives."""

PROCESSES = ("Raises", "Exits", "Segfaults", "Dies", "Loops", "Mistyped", "Recurses", "Good")
"""What only a process of its own survives, too."""

EXPECTED = {
    "Raises": "raised",
    "Exits": "raised",
    "Mistyped": "result",
    "Nan": "result",
    "Deep": "result",
    "Oversized": "too_large",
    "Recurses": "raised",
    "Evil": "raised",
    "ProcessExits": "lost",  # its process ends as it asked for
    "Segfaults": "lost",
    "Dies": "lost",
    "Loops": "timeout",
    "Good": "",
}
"""The kind of each failure; empty where there is none."""


def good() -> float:
    return 1.0


def raises() -> float:
    raise KeyError("threshold")


def exits() -> float:
    sys.exit(3)


def mistyped() -> float:
    return "a text"  # type: ignore[return-value]


def nan() -> dict[str, float]:
    return {"value": float("nan")}


def deep() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(200):
        found = {"inner": found}
    return found


def oversized() -> list[float]:
    return [0.0] * 14_000_000


def recurses() -> float:
    return recurses()


class EvilError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


def evil() -> float:
    raise EvilError


def segfaults() -> float:
    ctypes.string_at(0)
    return 1.0


def dies() -> float:
    os._exit(7)


def loops() -> float:
    while True:
        pass
