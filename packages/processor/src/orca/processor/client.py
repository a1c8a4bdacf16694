"""Speak to a core: emit windows, wait, and read everything back; sync and async.

Emitting works with every core of the wire. Waiting and reading need our core (orca-orchestrator); another one
answers :class:`~orca.processor.errors.NotOffered`.

A client opens one channel at its first call and keeps it. Every call has a deadline. Calls are repeated with
back-off when the core is away, but an emit only where a second one is a no-op: towards our core, which
knows the same window again, or when the first certainly never left this machine.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from orca.processor import _log
from orca.processor._client_async import AsyncOrcaClient
from orca.processor._generated.client_sync import OrcaClient
from orca.processor.discovery import CoreAddress, find_core

if TYPE_CHECKING:
    from orca.processor.model import Window
    from orca.processor.records import Emitted

__all__ = ["AsyncOrcaClient", "EmitWindow", "OrcaClient"]

_shared: dict[CoreAddress, OrcaClient] = {}
SHARED_MAX: Final = 8
"""Cores that :func:`EmitWindow` keeps a channel to: one in any real program, a few in tests."""


def EmitWindow(window: Window, *, core: str | CoreAddress | None = None) -> Emitted:  # noqa: N802 - published name
    """Hand a window to the core, in the words of the published SDKs.

    The channel is opened at the first window and kept. The two lines of the published SDKs are logged.

    Args:
        window: What to process.
        core: Where the core is; None looks where :mod:`orca.processor.discovery` says.

    Raises:
        MissingEnvVar: No core is known.
        CoreUnreachable: The core did not answer.
        CoreError: The core refused the window.
    """
    _log.make_visible()
    _log.get_logger().info("Emitting window: %s", window)
    address = find_core(core)
    client = _shared.get(address)
    if client is None:
        while len(_shared) >= SHARED_MAX:
            _shared.pop(next(iter(_shared))).close()
        client = _shared[address] = OrcaClient(address)
    answer = client.emit(window)
    _log.get_logger().info("Window emitted: status: %s", answer.status)
    return answer


def close_shared() -> None:
    """Close the channels that :func:`EmitWindow` keeps; the next window opens a new one."""
    while _shared:
        with suppress(KeyError):
            _shared.popitem()[1].close()
