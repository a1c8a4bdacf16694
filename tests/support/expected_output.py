"""Compare what a program printed with what it should print."""

from __future__ import annotations

import re

__all__ = ["matches"]


def matches(expected: str, printed: str) -> bool:
    """Whether a text fits an expectation in which ``...`` stands for anything; trailing space does not count."""

    def tidy(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    parts = [re.escape(part) for part in tidy(expected).split("...")]
    return not tidy(expected) or re.fullmatch(".*".join(parts), tidy(printed), re.DOTALL) is not None
