"""Places in a source text.

A span takes no part in the equality of what carries it: two definitions that mean the same are equal,
wherever they were written.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

__all__ = ["SourceText", "Span"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of a source text.

    Attributes:
        start: Offset of the first character, from 0.
        end: Offset after the last character.
        line: Line of the first character, from 1.
        column: Column of the first character, from 1, counted in characters.
        end_line: Line of the position after the last character.
        end_column: Column of the position after the last character.
    """

    start: int
    end: int
    line: int
    column: int
    end_line: int
    end_column: int

    def to(self, other: Span) -> Span:
        """The smallest span from the beginning of this one to the end of ``other``."""
        return Span(self.start, other.end, self.line, self.column, other.end_line, other.end_column)


class SourceText:
    r"""A text with its name and the offsets of its lines, so that spans cost one bisection each.

    Args:
        text: The whole text.
        name: What diagnostics call it: a path, or ``<string>``.

    Example:
        >>> source = SourceText("one\ntwo\n")
        >>> source.span(4, 7)
        Span(start=4, end=7, line=2, column=1, end_line=2, end_column=4)
        >>> source.line(2)
        'two'
    """

    __slots__ = ("_starts", "name", "text")

    def __init__(self, text: str, name: str = "<string>") -> None:
        self.text = text
        self.name = name
        starts = [0]
        position = text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = text.find("\n", position + 1)
        self._starts = starts

    @property
    def line_count(self) -> int:
        """The number of lines; a text that ends in a line feed has an empty last one."""
        return len(self._starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_start(self, line: int) -> int:
        """The offset at which a line (from 1) begins; past the last line, the length of the text."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line(self, number: int) -> str:
        """The text of a line (from 1) without its line end."""
        return self.text[self.line_start(number) : self.line_start(number + 1)].rstrip("\r\n")

    def span(self, start: int, end: int) -> Span:
        """The span between two offsets."""
        line, column = self.position(start)
        if end <= start:
            return Span(start, start, line, column, line, column)
        following = self._starts[line] if line < len(self._starts) else len(self.text) + 1
        if end < following:
            return Span(start, end, line, column, line, column + end - start)
        end_line, end_column = self.position(end)
        return Span(start, end, line, column, end_line, end_column)
