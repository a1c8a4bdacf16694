"""``fmt``: canonical text that keeps what the definition does not hold, comments and prose.

Formatting twice is formatting once, and the formatted text means what the text meant.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orca.statemachine._fmt_markdown import format_markdown
from orca.statemachine.diagnostics import ParseError
from orca.statemachine.loading import load
from orca.statemachine.print_markdown import print_markdown
from orca.statemachine.printer import Line, brace_lines, print_brace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine.loading import LoadResult, Notation

__all__ = ["convert_text", "format_text"]

_PIECE: Final = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<comment>\#[^\n]*|//[^\n]*)
      | (?P<section>\b(?:context|events|guards|transitions|actions|effects|returns|properties|conditions
                       |outputs|rules)\s*\{)
      | (?P<open>\{)
      | (?P<close>\})""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Comment:
    text: str
    start: int
    trailing: bool


def format_text(text: str, name: str = "<string>", *, notation: Notation | None = None) -> str:
    r"""A text in canonical form, in its own notation.

    Raises:
        ParseError: The text has errors: what it means is not known.

    Example:
        >>> print(format_text("machine A # the first\nstate   s[initial]  {}"), end="")
        machine A  # the first
        <BLANKLINE>
        state s [initial]
    """
    result = _loaded(text, name, notation)
    if result.notation == "markdown":
        return format_markdown(result)
    return _format_brace(result)


def convert_text(text: str, name: str = "<string>", *, to: Notation, notation: Notation | None = None) -> str:
    """A text in the other notation; comments and prose stay behind.

    Raises:
        ParseError: The text has errors.
    """
    document = _loaded(text, name, notation).document
    return print_markdown(document) if to == "markdown" else print_brace(document)


def _loaded(text: str, name: str, notation: Notation | None) -> LoadResult:
    result = load(text, name, notation=notation)
    if not result.ok:
        raise ParseError(result.diagnostics, result.source)
    return result


def _format_brace(result: LoadResult) -> str:
    text = result.source.text
    comments, sections, blocks = _scan(text)
    lines = _anchored(list(brace_lines(result.document)), sections)
    before: dict[int, list[str]] = {}
    after: dict[int, list[str]] = {}
    beside: dict[int, list[str]] = {}
    anchors = sorted((line.anchor, index) for index, line in enumerate(lines) if line.anchor is not None)
    closings = _printed_closings(blocks, [anchor for anchor, _ in anchors])
    for comment in comments:
        _attach(comment, anchors, closings, text, (before, after, beside))
    return _weave(lines, before, after, beside)


def _scan(text: str) -> tuple[list[_Comment], list[tuple[int, str]], list[tuple[int, int]]]:
    """The comments, the openings of sections and the pairs of braces of a text."""
    comments: list[_Comment] = []
    sections: list[tuple[int, str]] = []
    blocks: list[tuple[int, int]] = []
    opened: list[int] = []
    for match in _PIECE.finditer(text):
        if match.lastgroup == "comment":
            line = text.rfind("\n", 0, match.start()) + 1
            trailing = bool(text[line : match.start()].strip())
            comments.append(_Comment(match[0].rstrip(), match.start(), trailing))
        elif match.lastgroup == "section":
            sections.append((match.start(), match[0].rstrip("{").strip()))
            opened.append(match.end())
        elif match.lastgroup == "open":
            opened.append(match.end())
        elif match.lastgroup == "close" and opened:
            blocks.append((opened.pop(), match.start()))
    return comments, sections, blocks


def _printed_closings(blocks: Sequence[tuple[int, int]], anchors: Sequence[int]) -> list[int]:
    """The closing braces of blocks with a row in them: an empty block is printed without, and ends no comment."""
    return [end for start, end in blocks if bisect_right(anchors, end) > bisect_right(anchors, start - 1)]


def _anchored(lines: list[Line], sections: Sequence[tuple[int, str]]) -> list[Line]:
    """Give the opening line of each section the place where the text opens it: before its first row."""
    found = list(lines)
    for index, line in enumerate(lines):
        if line.anchor is not None or not line.text.endswith(" {") or line.level:
            continue
        row = next((item.anchor for item in lines[index + 1 :] if item.anchor is not None), None)
        keyword = line.text[:-2]
        places = [start for start, word in sections if word == keyword and row is not None and start < row]
        if places:
            found[index] = Line(line.text, line.level, places[-1])
    return found


def _attach(
    comment: _Comment,
    anchors: Sequence[tuple[int, int]],
    closings: Sequence[int],
    text: str,
    places: tuple[dict[int, list[str]], dict[int, list[str]], dict[int, list[str]]],
) -> None:
    """Put a comment beside the row of its line, before the next row, or after the last one of its block."""
    before, after, beside = places
    earlier = [item for item in anchors if item[0] < comment.start]
    later = next((item for item in anchors if item[0] > comment.start), None)
    line = text.rfind("\n", 0, comment.start) + 1
    if comment.trailing and earlier and earlier[-1][0] >= line:
        beside.setdefault(earlier[-1][1], []).append(comment.text)
        return
    end = later[0] if later is not None else len(text)
    closed = any(comment.start < position < end for position in closings)
    if later is not None and not (closed and earlier):
        before.setdefault(later[1], []).append(comment.text)
    elif earlier:
        after.setdefault(earlier[-1][1], []).append(comment.text)
    else:
        before.setdefault(0, []).append(comment.text)


def _weave(
    lines: Sequence[Line],
    before: dict[int, list[str]],
    after: dict[int, list[str]],
    beside: dict[int, list[str]],
) -> str:
    parts: list[str] = []
    for index, line in enumerate(lines):
        margin = "    " * line.level
        parts.extend(margin + comment for comment in before.get(index, ()))
        inside = "    " * (line.level + (1 if line.text.endswith("{") else 0))
        # A row has one line, and a comment takes the rest of it: more than one go below.
        comments = beside.get(index, [])
        parts.append(f"{line}  {comments[0]}" if comments else str(line))
        parts.extend(inside + comment for comment in (*comments[1:], *after.get(index, ())))
    return "\n".join(parts) + "\n"
