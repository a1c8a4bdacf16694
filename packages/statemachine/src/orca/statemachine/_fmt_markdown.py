"""Formatting the Markdown notation in place: what carries meaning becomes canonical, everything else stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from orca.statemachine._mdrows import KNOWN_SECTIONS, TABLE_SECTIONS
from orca.statemachine._mdtext import Bullets, Heading, Table, blocks, plain
from orca.statemachine.model import MachineDef, StateDef
from orca.statemachine.print_markdown import decision_lines, section_lines, table_lines
from orca.statemachine.printer import References, annotation_text, bullets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine.loading import LoadResult
    from orca.statemachine.model import Document
    from orca.statemachine.syntax import Fragment
    from orca.statemachine.tables import DecisionTableDef

__all__ = ["format_markdown"]

_UNIT: Final = re.compile(r"(machine|decision_table)[ \t]+([A-Za-z_][A-Za-z0-9_]*)")
_PLACE: Final = re.compile(r"(state|region)[ \t]+([A-Za-z_][A-Za-z0-9_.]*)(.*)", re.DOTALL)
_BULLET: Final = re.compile(
    r"(?:on_entry|on_exit|on_done|on_error|timeout|ignore|invoke|returns)[ \t]*:", re.IGNORECASE
)
_DESCRIPTION: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")


def format_markdown(result: LoadResult) -> str:
    """The text with canonical headings, tables and bullets; prose stays as it is, where it is."""
    return _Formatter(result).run()


class _Formatter:
    def __init__(self, result: LoadResult) -> None:
        self.result = result
        self.lines = re.split(r"\r\n?|\n", result.source.text)
        self.unit: MachineDef | DecisionTableDef | None = None
        self.section = ""
        self.written: set[str] = set()
        self.state: StateDef | None = None

    def run(self) -> str:
        parts: list[str] = []
        for block in blocks(self.result.source):
            start, end = block.lines
            while end > start and not self.lines[end - 1].strip():
                end -= 1
            replaced = self._block(block)
            lines = self.lines[start:end] if replaced is None else replaced
            if lines:
                parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"

    def _block(self, block: object) -> list[str] | None:
        """The lines that stand for a block, or None to keep it."""
        if isinstance(block, Heading):
            return self._heading(block)
        if isinstance(block, Table):
            return self._table(block)
        if isinstance(block, Bullets):
            return self._bullets(block)
        return None

    def _heading(self, heading: Heading) -> list[str] | None:
        text = plain(heading.text).text
        unit = _UNIT.fullmatch(text.strip()) if heading.level == 1 else None
        if unit is not None:
            self.unit = _find(self.result.document, unit[1], unit[2])
            self.section, self.written = "unit", set()
            return [f"# {unit[1]} {unit[2]}"]
        if heading.level == 1 or self.unit is None:
            self.section = "prose"
            return None
        place = _PLACE.fullmatch(text)
        if place is not None and isinstance(self.unit, MachineDef):
            self.section = "state"
            return [self._place(heading, place)]
        known = KNOWN_SECTIONS if isinstance(self.unit, MachineDef) else TABLE_SECTIONS
        self.section = text.strip().lower() if text.strip().lower() in known else "prose"
        return None if self.section == "prose" else [f"{'#' * heading.level} {self.section}"]

    def _place(self, heading: Heading, match: re.Match[str]) -> str:
        marks = "#" * heading.level
        self.state = None
        if match[1] == "region":
            return f"{marks} region {match[2]}"
        description = _DESCRIPTION.search(match[3])
        self.state = self._state_at(heading.text)
        annotations = annotation_text(self.state) if self.state is not None else ""
        tail = f" {description[0]}" if description is not None else ""
        return f"{marks} state {match[2]}{annotations}{tail}"

    def _state_at(self, text: Fragment) -> StateDef | None:
        assert isinstance(self.unit, MachineDef)
        span = text.whole()
        for node in self.unit.walk():
            if (
                isinstance(node, StateDef)
                and node.span is not None
                and span.start <= node.span.start < span.end
            ):
                return node
        return None

    def _table(self, table: Table) -> list[str] | None:
        if self.section in {"prose", "", "unit", "state"}:
            return None
        if self.section in self.written:
            # The rows of a repeated section stand in its first table.
            return []
        if isinstance(self.unit, MachineDef):
            lines = section_lines(self.section, self.unit, References(self.unit))
        elif self.unit is not None:
            lines = decision_lines("actions" if self.section == "outputs" else self.section, self.unit)
        else:
            return None
        self.written.add(self.section)
        if not lines and self.section not in {"events", "metadata"}:
            return table_lines([cell.text for cell in table.header], [])
        return lines

    def _bullets(self, block: Bullets) -> list[str] | None:
        if not isinstance(self.unit, MachineDef) or not self._only_bullets(block):
            return None
        if self.section in {"events", "properties"}:
            key, lines = self.section, section_lines(self.section, self.unit, References(self.unit))
        elif self.section == "state" and self.state is not None and all(map(_is_bullet, block.items)):
            key = f"state {self.state.path}"
            lines = [f"- {text}" for text in bullets(self.state, References(self.unit))]
        else:
            return None
        if key in self.written:
            return []
        self.written.add(key)
        return lines

    def _only_bullets(self, block: Bullets) -> bool:
        """Whether the list holds its bullets and nothing else, so that nothing gets lost."""
        start, end = block.lines
        filled = sum(1 for line in self.lines[start:end] if line.strip())
        return filled == sum(item.text.count("\n") + 1 for item in block.items)


def _is_bullet(item: Fragment) -> bool:
    return _BULLET.match(plain(item).text) is not None


def _find(document: Document, kind: str, name: str) -> MachineDef | DecisionTableDef | None:
    units: Sequence[MachineDef | DecisionTableDef] = (
        document.machines if kind == "machine" else document.tables
    )
    return next((unit for unit in units if unit.name == name), None)
