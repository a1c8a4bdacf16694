"""Run an async test on a plain loop of its own.

Cores of these tests serve on a loop in another thread. gRPC before 1.7x wakes both loops for one event and lets the
slower one log a harmless BlockingIOError, which pytest plug-ins for async tests take for a failure. So they do with
the late events of loops that earlier tests have closed.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any


def own_loop(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await function(*args, **kwargs)

        asyncio.run(main())

    return run
