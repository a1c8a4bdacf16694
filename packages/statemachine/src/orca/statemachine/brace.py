"""The brace notation: one parse when the text is right, section by section and row by row when it is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from orca.statemachine._assemble import (
    Contents,
    ParallelPart,
    Section,
    add_to_machine,
    add_to_state,
    add_to_table,
)
from orca.statemachine._blocks import Block, split
from orca.statemachine._faults import MAX_TEXT_LENGTH, fault, try_parse
from orca.statemachine.syntax import Fragment, Name, RawMachine, RawRegion, RawState, RawTable

if TYPE_CHECKING:
    from orca.statemachine._report import Report
    from orca.statemachine.span import SourceText

__all__ = ["parse_brace"]

_HEAD: Final = re.compile(r"\s*(machine|decision_table)\b\s*([A-Za-z_][A-Za-z0-9_]*)?")
_OF_TABLES: Final = frozenset({"policy", "conditions", "outputs", "rules"})
_ROWS: Final = {
    "context": ("fields", "field"),
    "events": ("events", "event"),
    "transitions": ("transitions", "transition"),
    "guards": ("guards", "guard_def"),
    "actions": ("actions", "action_def"),
    "effects": ("effects", "effect_def"),
    "returns": ("returns", "return_def"),
    "properties": ("properties", "property"),
    "conditions": ("conditions", "table_condition"),
    "outputs": ("outputs", "table_output"),
    "rules": ("rules", "table_rule"),
}
"""For each section with rows: the attribute they are kept in and the rule that one row follows."""


def parse_brace(source: SourceText, report: Report) -> list[RawMachine | RawTable]:
    """Parse a text in the brace notation; findings go to the report."""
    if len(source.text) > MAX_TEXT_LENGTH:
        report.add("LIMIT_EXCEEDED", f"a text has at most {MAX_TEXT_LENGTH} characters", None)
        return []
    whole = Fragment(source, source.text)
    units, error = try_parse(whole, "file")
    if error is None:
        report.take(whole.notes)
        return list(units)
    return _Recovery(source, report).run()


class _Recovery:
    """Finds the blocks of a text by its braces, and parses each as far as it goes."""

    def __init__(self, source: SourceText, report: Report) -> None:
        self.report = report
        self.source = source

    def run(self) -> list[RawMachine | RawTable]:
        units: list[RawMachine | RawTable] = []
        before = len(self.report.found)
        for block in split(Fragment(self.source, self.source.text), self.report):
            if self.report.full:
                break
            self._unit_block(block, units)
        if len(self.report.found) == before:
            # The pieces are right by themselves and wrong together: what the whole parse said stands.
            whole = Fragment(self.source, self.source.text)
            fault(whole, "file", self.report)
        return units

    def _unit_block(self, block: Block, units: list[RawMachine | RawTable]) -> None:
        if block.keyword in {"machine", "decision_table"}:
            match = _HEAD.match(block.fragment.text)
            if match is None or match[2] is None:
                span = block.fragment.strip().whole()
                self.report.add("SYNTAX", f"`{block.keyword}` is followed by a name", span)
                name = Name("", span)
            else:
                name = Name(match[2], block.fragment.span(match.start(2), match.end(2)))
                rest = block.fragment.part(match.end(2), len(block.fragment.text)).strip()
                if rest.text:
                    self.report.add("SYNTAX", f"`{_short(rest.text)}` is not a section", rest.whole())
            units.append(RawMachine(name) if block.keyword == "machine" else RawTable(name))
            return
        if not units:
            span = block.fragment.strip().whole()
            self.report.add("SYNTAX", "a text begins with `machine NAME`", span)
            units.append(RawMachine(Name("", span)))
        unit = units[-1]
        start = "section" if isinstance(unit, RawMachine) else "table_section"
        part = self._part(block, start)
        if part is None:
            return
        of_table = isinstance(part, Section) and part.kind in _OF_TABLES
        if isinstance(unit, RawTable) is not of_table:
            what = "decision table" if isinstance(unit, RawTable) else "machine"
            message = f"`{block.keyword}` is not a section of a {what}"
            self.report.add("SYNTAX", message, block.fragment.part(0, len(block.keyword)).whole())
        elif isinstance(unit, RawTable):
            add_to_table(unit, part)
        else:
            add_to_machine(unit, part)

    def _part(self, block: Block, start: str) -> Any:
        """A section, a state or an item of a state; None when nothing of it can be used."""
        found, error = try_parse(block.fragment, start)
        if error is None:
            self.report.take(block.fragment.notes)
            return found
        if self.report.full:
            return None
        if block.keyword == "state":
            return self._state(block)
        if block.body is None:
            fault(block.fragment, start, self.report)
            return None
        # In a state, words such as `returns` begin a bullet and no section.
        if block.keyword in _ROWS and (start != "body_item" or block.keyword == "transitions"):
            return self._section(block)
        if block.keyword == "contains":
            return Contents(self._items(block.body))
        if block.keyword == "parallel":
            return self._parallel(block)
        fault(block.fragment, start, self.report)
        return None

    def _section(self, block: Block) -> Section:
        attribute, rule = _ROWS[block.keyword]
        section = Section(attribute, [])
        assert block.body is not None
        rows = split(block.body, self.report, rows=True)
        for row in rows:
            if self.report.full:
                break
            found, error = try_parse(row.fragment, rule)
            if error is None:
                self.report.take(row.fragment.notes)
                section.rows.append(found)
            else:
                fault(row.fragment, rule, self.report)
        return section

    def _state(self, block: Block) -> RawState | None:
        head = block.head
        found, error = try_parse(head, "state")
        state: RawState = found
        if error is not None:
            fault(head, "state", self.report)
            match = re.match(r"\s*state\s+([A-Za-z_][A-Za-z0-9_]*)", head.text)
            if match is None:
                return None
            span = head.span(match.start(1), match.end(1))
            state = RawState(Name(match[1], span), span)
        else:
            self.report.take(head.notes)
        for item in self._items(block.body) if block.body is not None else ():
            add_to_state(state, item)
        return state

    def _items(self, body: Fragment) -> list[Any]:
        items: list[Any] = []
        for block in split(body, self.report, items=True):
            if self.report.full:
                break
            part = self._part(block, "body_item")
            if part is not None:
                items.append(part)
        return items

    def _parallel(self, block: Block) -> ParallelPart:
        assert block.body is not None
        regions: list[RawRegion] = []
        for inner in split(block.body, self.report, items=True):
            if self.report.full:
                break
            match = re.match(r"\s*region\s+([A-Za-z_][A-Za-z0-9_]*)\s*$", inner.head.text)
            if inner.keyword != "region" or match is None or inner.body is None:
                fault(inner.fragment, "region", self.report)
                continue
            name = Name(match[1], inner.head.span(match.start(1), match.end(1)))
            states = [item for item in self._items(inner.body) if isinstance(item, RawState)]
            regions.append(RawRegion(name, states))
        sync = re.search(r"(all|any)[-_]final|custom", block.head.text)
        word = Name("parallel", block.head.strip().whole())
        return ParallelPart(word, sync[0].replace("_", "-") if sync else None, regions)


def _short(text: str) -> str:
    first = text.split("\n", 1)[0]
    return first if len(first) <= 40 else first[:40] + "..."
