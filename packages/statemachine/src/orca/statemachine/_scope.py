"""Finding states by reference, and the nearest name to one that is not there."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["StateIndex", "nearest"]

_MAX_COMPARED: Final = 2000
"""How many names a misspelt one is compared with: the comparison is quadratic in their lengths."""


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """The known name that is most like the one that was written, or None."""
    known = list(dict.fromkeys(names))[:_MAX_COMPARED]
    lowered = {name.lower(): name for name in reversed(known)}
    if wanted.lower() in lowered:
        return lowered[wanted.lower()]
    found = get_close_matches(wanted[:80], known, n=1, cutoff=0.6)
    return found[0] if found else None


class StateIndex:
    """All states by every way to refer to them: full path, its ends, and both without the names of regions.

    Example:
        >>> index = StateIndex()
        >>> index.add("order", "order")
        >>> index.add("order.payment.waiting", "order.waiting")
        >>> index.find("order.waiting"), index.find("waiting"), index.find("done")
        (['order.payment.waiting'], ['order.payment.waiting'], [])
    """

    __slots__ = ("_by_reference", "paths")

    def __init__(self) -> None:
        self.paths: dict[str, None] = {}
        self._by_reference: dict[str, list[str]] = {}

    def add(self, path: str, short: str) -> None:
        """Add a state by its path and by its path without the names of regions."""
        self.paths[path] = None
        references: dict[str, None] = {}
        for text in (path, short):
            references[text] = None
            position = text.find(".")
            while position >= 0:
                references[text[position + 1 :]] = None
                position = text.find(".", position + 1)
        for reference in references:
            self._by_reference.setdefault(reference, []).append(path)

    def find(self, reference: str) -> list[str]:
        """The paths that a reference may mean; a full path means only itself."""
        if reference in self.paths:
            return [reference]
        return self._by_reference.get(reference, [])

    def shortest(self, path: str) -> str:
        """The shortest reference that means exactly this state."""
        start = len(path)
        while start > 0:
            start = path.rfind(".", 0, start)
            reference = path[start + 1 :]
            if self.find(reference) == [path]:
                return reference
        return path

    def names(self) -> Iterable[str]:
        """Every simple and full name, for suggestions."""
        for path in self.paths:
            yield path.rpartition(".")[2]
        yield from self.paths
