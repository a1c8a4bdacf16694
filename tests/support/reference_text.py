"""What the reference pages share: first lines of docstrings, cells of tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["cell", "code", "first_line", "table"]


def first_line(doc: str | None) -> str:
    """The first paragraph of a docstring in one line, in Markdown."""
    paragraph = inspect.cleandoc(doc or "").split("\n\n", 1)[0]
    # Roles are left to other tools: the name is enough here.
    return re.sub(r":\w+:(?=`)", "", " ".join(paragraph.split()).replace("``", "`"))


def doc_of(thing: Any) -> str:
    """The first paragraph of what a class or a function says of itself."""
    text = inspect.getdoc(thing) or ""
    # A dataclass without a docstring gets its signature for one.
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else first_line(text)


def cell(text: str) -> str:
    """Text that may stand in a cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", text.replace("\n", " ")).strip()


def code(text: object) -> str:
    """Text in the letters of programs."""
    return f"`{text}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table; nothing when it has no rows."""
    found = [[cell(one) for one in row] for row in rows]
    if not found:
        return []
    names = list(heads)
    lines = [f"| {' | '.join(names)} |".replace("  ", " "), "|" + "---|" * len(names)]
    return [*lines, *(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in found)]
