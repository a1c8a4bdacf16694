"""One entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """What a code means.

    Attributes:
        code: The code.
        title: In a few words.
        text: Why it matters and what to do.
        failing: A document that yields the code.
        mended: The same document without the fault.
    """

    code: str
    title: str
    text: str
    failing: str
    mended: str

    def __post_init__(self) -> None:
        for name in ("failing", "mended"):
            object.__setattr__(self, name, dedent(getattr(self, name)).strip("\n") + "\n")
        object.__setattr__(self, "text", " ".join(self.text.split()))
