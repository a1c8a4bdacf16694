"""Inside which execution this code runs, so that windows emitted there know their parent."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["current_parent", "running"]

_parent: ContextVar[Mapping[str, str] | None] = ContextVar("orca_parent", default=None)


def current_parent() -> Mapping[str, str] | None:
    """The metadata that names the running execution, or None outside of any."""
    return _parent.get()


@contextmanager
def running(parent: Mapping[str, str]) -> Generator[None, None, None]:
    """Mark the code inside as part of an execution."""
    token = _parent.set(parent)
    try:
        yield
    finally:
        _parent.reset(token)
