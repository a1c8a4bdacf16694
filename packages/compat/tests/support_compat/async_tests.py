"""A pytest plugin that runs ``async def`` tests, each on an event loop of its own.

The published tests sleep 1.2 seconds for what is due after one. A machine that stalls wakes both at once: a test that
slept lets what was due before it have its turns first.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

TURNS = 1000
"""Of the event loop: far more than a transition takes."""

_sleep = asyncio.sleep


async def _sleep_and_give_way(delay_s: float, result: Any) -> Any:
    await _sleep(delay_s)
    for _ in range(TURNS):
        await _sleep(0)
    return result


def _patient(delay: float, result: Any = None) -> Awaitable[Any]:
    """What ``asyncio.sleep`` is; only test modules give way, the package under test sleeps as ever."""
    caller = Path(sys._getframe(1).f_code.co_filename)
    return _sleep_and_give_way(delay, result) if caller.stem.startswith("test_") else _sleep(delay, result)


def pytest_configure() -> None:
    """Before any test module is imported."""
    asyncio.sleep = _patient  # type: ignore[assignment]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Run the coroutine of an asynchronous test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
