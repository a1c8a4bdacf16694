"""What depends on what, what failed and why, who is alive, what waits, and what it all costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["ROUTES"]

ROUTES: tuple[tuple[str, Callable[..., Awaitable[Any]]], ...] = ()
