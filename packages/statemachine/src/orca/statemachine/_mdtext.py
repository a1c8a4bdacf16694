"""The blocks of a Markdown text that matter here, each with its place in the source.

markdown-it-py finds headings, tables, lists, quotes, code and comments; the characters come from the source
itself, so that every finding can point at them. Cells are split here, because bars inside of code spans belong to
the cell, whether or not they are escaped.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from orca.statemachine.syntax import Fragment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    from orca.statemachine.span import SourceText

__all__ = ["Bullets", "Heading", "Prose", "Quote", "Table", "blocks", "plain", "split_row", "unescape"]

_LINE_END: Final = re.compile(r"\r\n?|\n")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]*(.*?)(?:[ \t]+#+)?[ \t]*$")
_MARKER: Final = re.compile(r"[ \t>]*[-*+][ \t]*")
_ESCAPABLE: Final = frozenset("|*_<>[]!#+-.~(){}")
_BACKTICKS: Final = re.compile(r"`+")


@dataclass(slots=True)
class Heading:
    """A heading; ``lines`` are counted from 0, the end is exclusive."""

    level: int
    text: Fragment
    lines: tuple[int, int]


@dataclass(slots=True)
class Table:
    """A table: the cells of its header and of its rows."""

    header: list[Fragment]
    rows: list[list[Fragment]]
    lines: tuple[int, int]


@dataclass(slots=True)
class Bullets:
    """A bullet list, nested lists flattened."""

    items: list[Fragment]
    lines: tuple[int, int]


@dataclass(slots=True)
class Quote:
    """A block quote."""

    text: str
    lines: tuple[int, int]


@dataclass(slots=True)
class Prose:
    """Anything else."""

    lines: tuple[int, int] = field(default=(0, 0))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - 20 ms that only a parse has to pay

    # Inline markup is not looked at, and a line of dashes under prose is a rule between machines, no heading.
    return MarkdownIt("commonmark").enable("table").disable(["lheading", "reference", "inline"])


def blocks(source: SourceText) -> Iterator[Heading | Table | Bullets | Quote | Prose]:
    """The blocks of the outermost level, in the order of the text."""
    text = source.text
    starts = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
    lines = _Lines(source, starts)
    tokens = _markdown().parse(text)
    index = 0
    while index < len(tokens):
        token = tokens[index]
        end = index
        if token.nesting == 1:
            end = _closing(tokens, index)
        yield _block(lines, tokens[index : end + 1])
        index = end + 1


def _closing(tokens: list[Token], index: int) -> int:
    level = tokens[index].level
    for position in range(index + 1, len(tokens)):
        if tokens[position].nesting == -1 and tokens[position].level == level:
            return position
    return len(tokens) - 1


def _block(lines: _Lines, tokens: list[Token]) -> Heading | Table | Bullets | Quote | Prose:
    token = tokens[0]
    span = (token.map[0], token.map[1]) if token.map is not None else (0, 0)
    if token.type == "heading_open":
        return lines.heading(span)
    if token.type == "table_open":
        return lines.table(span)
    if token.type == "bullet_list_open":
        return lines.bullets(span, tokens)
    if token.type == "blockquote_open":
        texts = [item.content for item in tokens if item.type == "inline"]
        return Quote("\n\n".join(texts), span)
    return Prose(span)


class _Lines:
    def __init__(self, source: SourceText, starts: list[int]) -> None:
        self.source = source
        self.starts = starts

    def line(self, number: int) -> Fragment:
        """A line, counted from 0, without its end."""
        start = self.starts[number]
        text = self.source.text[start : self.starts[number + 1]].rstrip("\r\n")
        return Fragment(self.source, text, start)

    def heading(self, span: tuple[int, int]) -> Heading | Prose:
        line = self.line(span[0])
        match = _HEADING.match(line.text)
        if match is None:
            return Prose(span)
        return Heading(len(match[1]), unescape(line.part(match.start(2), match.end(2))), span)

    def table(self, span: tuple[int, int]) -> Table:
        rows = [split_row(self.line(number)) for number in range(span[0] + 2, span[1])]
        return Table(split_row(self.line(span[0])), rows, span)

    def bullets(self, span: tuple[int, int], tokens: list[Token]) -> Bullets:
        items: list[Fragment] = []
        for before, token in itertools.pairwise(tokens):
            if before.type == "list_item_open" and token.type == "paragraph_open" and token.map is not None:
                items.append(self._item(token.map[0], token.map[1]))
        return Bullets(items, span)

    def _item(self, first: int, end: int) -> Fragment:
        line = self.line(first)
        # `- - a` opens two lists on one line: every marker goes.
        start = 0
        while (match := _MARKER.match(line.text, start)) is not None and match.end() > start:
            start = match.end()
        piece = line.part(start, len(line.text)).strip()
        if end - first == 1:
            return unescape(piece)
        characters = [piece.text]
        offsets = list(range(piece.start, piece.start + len(piece.text)))
        for number in range(first + 1, end):
            following = self.line(number).strip()
            characters.append("\n" + following.text)
            offsets.extend(range(following.start - 1, following.start + len(following.text)))
        return unescape(Fragment(self.source, "".join(characters), piece.start, offsets=offsets))


def split_row(line: Fragment) -> list[Fragment]:
    r"""The cells of a line of a table, without white space around them.

    Example:
        >>> from orca.statemachine.span import SourceText
        >>> text = r"| a | `x || y` | b \| c |"
        >>> [cell.text for cell in split_row(Fragment(SourceText(text), text))]
        ['a', '`x || y`', 'b | c']
    """
    line = line.strip()
    text = line.text
    bars = list(_bars(text))
    if text.startswith("|"):
        bars = bars[1:]
        start = 1
    else:
        start = 0
    cells: list[Fragment] = []
    for bar in bars:
        cells.append(unescape(line.part(start, bar).strip()))
        start = bar + 1
    if text[start:].strip():
        cells.append(unescape(line.part(start, len(text)).strip()))
    return cells


def _bars(text: str) -> Iterator[int]:
    """The bars that separate cells: not escaped, and not inside of a code span."""
    if "`" not in text and "\\" not in text:
        position = text.find("|")
        while position >= 0:
            yield position
            position = text.find("|", position + 1)
        return
    runs = _closing_runs(text)
    index = 0
    while index < len(text):
        character = text[index]
        if character == "\\":
            index += 2
        elif index in runs:
            index = runs[index]
        else:
            if character == "|":
                yield index
            index += 1


def _closing_runs(text: str) -> dict[int, int]:
    """For each run of backticks that opens a code span, the offset after the run that closes it."""
    found: dict[int, int] = {}
    waiting: dict[int, list[int]] = {}
    runs = [(match.start(), match.end()) for match in _BACKTICKS.finditer(text)]
    for start, end in runs:
        waiting.setdefault(end - start, []).append(start)
    position = -1
    for start, end in runs:
        if start < position:
            continue
        same = waiting[end - start]
        while same and same[0] <= start:
            same.pop(0)
        if same:
            position = same[0] + end - start
            found[start] = position
    return found


def unescape(fragment: Fragment) -> Fragment:
    """The piece without the backslashes that Markdown itself takes away; strings keep theirs."""
    text = fragment.text
    if "\\" not in text:
        return fragment
    runs = _closing_runs(text)
    kept: list[int] = []
    code_until = 0
    index = 0
    while index < len(text):
        if index in runs and index >= code_until:
            code_until = runs[index]
        following = text[index + 1] if index + 1 < len(text) else ""
        if text[index] == "\\" and (following == "|" or (index >= code_until and following in _ESCAPABLE)):
            index += 1
        elif text[index] == "\\" and following == "\\":
            kept.append(index)
            index += 1
        kept.append(index)
        index += 1
    return Fragment(
        fragment.source,
        "".join(text[index] for index in kept),
        fragment.start,
        offsets=[fragment.offset(index) for index in kept],
        notes=fragment.notes,
    )


def plain(fragment: Fragment) -> Fragment:
    """The piece with the backticks of code spans blanked out; those inside of strings stay."""
    if "`" not in fragment.text:
        return fragment
    characters: list[str] = []
    quote = ""
    escaped = False
    for character in fragment.text:
        if quote:
            characters.append(character)
            if not escaped and character == quote:
                quote = ""
            escaped = character == "\\" and not escaped
            continue
        if character in "\"'":
            quote = character
        characters.append(" " if character == "`" else character)
    return fragment.with_text("".join(characters)).strip()
