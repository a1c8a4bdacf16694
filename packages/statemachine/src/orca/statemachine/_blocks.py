"""Finding the blocks of a brace text that does not parse, by one pass over its tokens.

A block is a keyword with what follows up to the end of its braces, or up to the next block. A section keyword at
the beginning of an unindented line always begins a block, even inside of braces: that is how a missing brace is
found instead of swallowing the rest of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orca.statemachine._report import Report
    from orca.statemachine.syntax import Fragment

__all__ = ["Block", "split"]

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\f]+)
      | (?P<line>\n)
      | (?P<comment>\#[^\n]*|//[^\n]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_UNITS: Final = frozenset({"machine", "decision_table"})
_SECTIONS: Final = frozenset(
    {
        *(
            "context",
            "events",
            "state",
            "transitions",
            "guards",
            "actions",
            "effects",
            "returns",
            "properties",
        ),
        *("version", "policy", "conditions", "outputs", "rules"),
        *_UNITS,
    }
)
_ITEMS: Final = frozenset(
    {
        *(
            "description",
            "on_entry",
            "on_exit",
            "on_done",
            "on_error",
            "timeout",
            "ignore",
            "invoke",
            "returns",
        ),
        *("state", "parallel", "region", "on", "contains", "transitions"),
    }
)


@dataclass(slots=True)
class Block:
    """A piece with its keyword, and its braces' inside when it has braces."""

    keyword: str
    fragment: Fragment
    head: Fragment
    body: Fragment | None


class _Splitter:
    def __init__(self, fragment: Fragment, report: Report, keywords: frozenset[str], *, rows: bool) -> None:
        self.fragment = fragment
        self.report = report
        self.keywords = keywords
        self.rows = rows
        self.blocks: list[Block] = []
        self.start: int | None = None
        self.keyword = ""
        self.open_at: int | None = None
        self.stack: list[tuple[str, int]] = []

    def run(self) -> list[Block]:
        text = self.fragment.text
        previous = ""
        for match in _TOKEN.finditer(text):
            kind, value = match.lastgroup, match[0]
            if kind in {"space", "comment"}:
                continue
            if kind == "line":
                if self.rows and not self.stack:
                    self._close(match.start())
                continue
            self._token(str(kind), value, match.start(), previous)
            previous = value
        for sign, position in self.stack:
            if sign == "{":
                span = self.fragment.span(position, position + 1)
                self.report.add("SYNTAX", "this `{` is not closed", span, suggestion="add `}`")
        self._close(len(text))
        return self.blocks

    def _token(self, kind: str, value: str, position: int, previous: str) -> None:
        if kind == "word" and self._begins(value, position, previous):
            self._unwind()
            self._close(position)
            self.start, self.keyword = position, value
            return
        if self.rows and value == "," and not self.stack:
            self._close(position)
            return
        if value in {"{", "[", "("}:
            if value == "{" and not self.stack and self.open_at is None:
                self.open_at = position
            self.stack.append((value, position))
        elif value in {"}", "]", ")"}:
            self._closing(value, position)
            return
        if self.start is None:
            self.start, self.keyword = position, value if kind == "word" else ""

    def _closing(self, value: str, position: int) -> None:
        wanted = {"}": "{", "]": "[", ")": "("}[value]
        if value == "}":
            # A brace closes what is open inside of it: brackets never reach over braces.
            while self.stack and self.stack[-1][0] != "{":
                self.stack.pop()
        if self.stack and self.stack[-1][0] == wanted:
            self.stack.pop()
            if value == "}" and not self.stack and not self.rows:
                self._finish(position + 1)
        elif value == "}":
            span = self.fragment.span(position, position + 1)
            self.report.add("SYNTAX", "this `}` closes nothing", span)
            self._close(position)
            self.start = None

    def _begins(self, word: str, position: int, previous: str) -> bool:
        if self.rows:
            return False
        text = self.fragment.text
        line = text.rfind("\n", 0, position) + 1
        if word in _SECTIONS and position == line and self.keywords is _SECTIONS:
            return True
        if (
            self.stack
            or word not in self.keywords
            or previous in {"state", "region", "on", "machine", "+", "->", ":"}
        ):
            return False
        return not text[line:position].strip() or previous in {"", "}", ","} or word == "state"

    def _unwind(self) -> None:
        """A section begins inside of braces: what is still open was not closed."""
        for sign, position in self.stack:
            if sign == "{":
                span = self.fragment.span(position, position + 1)
                self.report.add("SYNTAX", "this `{` is not closed", span, suggestion="add `}`")
        self.stack.clear()

    def _finish(self, end: int) -> None:
        """The braces of a block end."""
        if self.start is None:
            return
        whole = self.fragment.part(self.start, end)
        opening = self.open_at if self.open_at is not None else end
        head = self.fragment.part(self.start, opening)
        body = self.fragment.part(opening + 1, end - 1)
        self.blocks.append(Block(self.keyword, whole, head, body))
        self.start = self.open_at = None
        self.keyword = ""

    def _close(self, end: int) -> None:
        """A block ends without closing braces."""
        if self.start is not None:
            whole = self.fragment.part(self.start, end)
            if whole.text.strip(" \t\r\n,"):
                body = self.fragment.part(self.open_at + 1, end) if self.open_at is not None else None
                head = self.fragment.part(self.start, self.open_at) if self.open_at is not None else whole
                self.blocks.append(Block(self.keyword, whole, head, body))
        self.start = self.open_at = None
        self.keyword = ""


def split(fragment: Fragment, report: Report, *, rows: bool = False, items: bool = False) -> list[Block]:
    """The blocks of a piece.

    Args:
        fragment: The piece.
        report: Where unbalanced braces are reported.
        rows: Blocks are rows: they end at a line end or comma outside of brackets.
        items: Blocks are the items of a state instead of the sections of a machine.
    """
    return _Splitter(fragment, report, _ITEMS if items else _SECTIONS, rows=rows).run()
