"""The two things we need of an event loop: asyncio's, or trio's by name since we do not depend on it.

Both are imported only where somebody awaits, who has loaded one of them already: asyncio alone costs 40 ms.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["sleep", "under_asyncio", "wake_up_call"]


def under_asyncio() -> bool:
    """Say whether an asyncio loop runs in this thread; whoever awaits elsewhere runs under trio."""
    import asyncio  # noqa: PLC0415  see above

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def sleep(delay_s: float) -> None:
    """Suspend the running task; 0 gives the other tasks one turn."""
    await import_module("asyncio" if under_asyncio() else "trio").sleep(delay_s)


def wake_up_call() -> tuple[Callable[[], Awaitable[None]], Callable[[], object]]:
    """Return what a task awaits, and the function that ends that wait from any thread."""
    if under_asyncio():
        import asyncio  # noqa: PLC0415  see above

        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        return _wait(event), lambda: loop.call_soon_threadsafe(event.set)
    trio: Any = import_module("trio")
    token: Any = trio.lowlevel.current_trio_token()
    trio_event: Any = trio.Event()
    return _wait(trio_event), lambda: token.run_sync_soon(trio_event.set)


def _wait(event: Any) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await event.wait()

    return wait
