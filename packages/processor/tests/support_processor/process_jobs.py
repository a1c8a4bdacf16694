"""Algorithms for worker processes, which import them by name."""

from __future__ import annotations

import os
import signal
import time
from typing import Any
from uuid import uuid4

from orca.processor.params import ExecutionParams


def double(params: ExecutionParams) -> dict[str, Any]:
    return {"pid": os.getpid(), "asset": params.window.metadata["asset_id"]}


def named_as_option(key: ExecutionParams) -> float:
    """A parameter that has the name of an option of Dask's."""
    return float(key.window.metadata["asset_id"])


def unlike() -> dict[str, str]:
    """Another answer each time, from equal arguments."""
    return {"id": uuid4().hex}


def die() -> float:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 1.0


def hang() -> float:
    time.sleep(600)
    return 1.0


def unpicklable() -> dict[str, Any]:
    return {"f": lambda: 1}


def fail() -> float:
    raise KeyError("threshold")
