"""The Markdown notation: headings, tables and bullets to raw syntax; findings never stop the parse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from orca.statemachine._assemble import Bullet, Section, add_bullet, annotate
from orca.statemachine._faults import MAX_TEXT_LENGTH, fault, try_parse
from orca.statemachine._mdrows import KNOWN_SECTIONS, TABLE_SECTIONS, read_bullets, read_table
from orca.statemachine._mdtext import Bullets, Heading, Quote, Table, blocks, plain
from orca.statemachine._scope import nearest
from orca.statemachine.diagnostics import Edit
from orca.statemachine.syntax import Fragment, Name, RawMachine, RawRegion, RawState, RawTable

if TYPE_CHECKING:
    from orca.statemachine._report import Report
    from orca.statemachine.span import SourceText

__all__ = ["parse_markdown"]

_UNIT: Final = re.compile(r"(machine|decision_table)\b[ \t]*(.*)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIMPLE_STATE: Final = re.compile(r"state[ \t]+([A-Za-z_][A-Za-z0-9_]*)[ \t]*(?:\[(initial|final)\])?[ \t]*")
_WORD: Final = re.compile(r"[A-Za-z_]+")
_BULLET: Final = re.compile(r"([A-Za-z_]+)[ \t]*:")
_STATE_BULLETS: Final = (
    *("description", "on_entry", "on_exit", "on_done", "on_error"),
    *("timeout", "ignore", "invoke", "returns"),
)


def parse_markdown(source: SourceText, report: Report) -> list[RawMachine | RawTable]:
    """Parse a text in the Markdown notation; findings go to the report."""
    if len(source.text) > MAX_TEXT_LENGTH:
        report.add("LIMIT_EXCEEDED", f"a text has at most {MAX_TEXT_LENGTH} characters", None)
        return []
    reader = _Reader(report)
    for block in blocks(source):
        if report.full:
            break
        if isinstance(block, Heading):
            reader.heading(block)
        elif isinstance(block, Table):
            reader.table(block)
        elif isinstance(block, Bullets):
            for item in block.items:
                reader.bullet(item)
        elif isinstance(block, Quote):
            reader.quote(block)
    return reader.units


class _Reader:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.units: list[RawMachine | RawTable] = []
        self.section = ""
        self.stack: list[tuple[int, RawState | RawRegion]] = []

    # ---- headings ----

    def heading(self, heading: Heading) -> None:
        text = plain(heading.text)
        unit = _UNIT.fullmatch(text.text) if heading.level == 1 else None
        if unit is not None:
            self._unit(unit, text)
            return
        if heading.level == 1 or not self.units:
            self.section, self.stack = "prose", []
            return
        word = _WORD.match(text.text)
        keyword = word[0].lower() if word is not None else ""
        alone = word is not None and word.end() == len(text.text)
        if keyword in {"state", "region"} and not alone and isinstance(self.units[-1], RawMachine):
            self._place(keyword, heading.level, text)
            return
        known = KNOWN_SECTIONS if isinstance(self.units[-1], RawMachine) else TABLE_SECTIONS
        self.stack = []
        self.section = keyword if alone and keyword in known else "prose"
        if self.section == "prose":
            self._unknown_section(text, keyword, known, alone=alone)

    def _unit(self, match: re.Match[str], text: Fragment) -> None:
        name = Name(match[2].strip(), text.span(match.start(2), max(match.start(2) + 1, match.end(2))))
        if not _NAME.fullmatch(name.text):
            message = f"`{match[1]}` is followed by a name of letters, digits and `_`"
            self.report.add("SYNTAX", message, name.span)
        self.units.append(RawMachine(name) if match[1] == "machine" else RawTable(name))
        self.section, self.stack = "unit", []

    def _unknown_section(self, text: Fragment, keyword: str, known: tuple[str, ...], *, alone: bool) -> None:
        meant = nearest(keyword, known) if alone else None
        if not alone and keyword not in {"state", "region"}:
            meant = nearest(keyword, ("state", "region"))
        if meant is None or meant == keyword:
            return
        span = text.span(0, len(keyword))
        self.report.replace("UNKNOWN_SECTION", f"`{text.text.strip()}` is not a section", span, meant)

    def _place(self, keyword: str, level: int, text: Fragment) -> None:
        """A state or a region: its level, or a dotted name, says where it belongs."""
        self.section = "state"
        simple = _SIMPLE_STATE.fullmatch(text.text)
        error = None
        found: Any = None
        if simple is not None:
            # What most headings say needs no parser.
            found = (Name(simple[1], text.span(simple.start(1), simple.end(1))), [], None)
            if simple[2]:
                mark = Name(simple[2], text.span(simple.start(2), simple.end(2)))
                found = (found[0], [(simple[2], mark, "")], None)
        else:
            found, error = try_parse(text, f"{keyword}_heading")
            self.report.take(text.notes)
        if error is not None:
            fault(text, f"{keyword}_heading", self.report)
            match = re.match(r"(?:state|region)[ \t]+([A-Za-z_][A-Za-z0-9_.]*)", text.text)
            if match is None:
                self.stack = []
                self.section = "prose"
                return
            nothing: list[tuple[str, Name, str]] = []
            found = (Name(match[1], text.span(match.start(1), match.end(1))), nothing, None)
        heading: tuple[Name, list[tuple[str, Name, str]], Name | None] = found
        name, annotations, description = heading
        while self.stack and self.stack[-1][0] >= level:
            self.stack.pop()
        parent = self._parent(name, level)
        own = Name(name.text.rpartition(".")[2], name.span)
        if keyword == "region":
            self._region(own, level, parent)
            return
        state = RawState(own, own.span)
        for kind, word, value in annotations:
            annotate(state, kind, word, value)
        state.bullets.description = description
        machine = self.units[-1]
        assert isinstance(machine, RawMachine)
        (parent.states if parent is not None else machine.states).append(state)
        self.stack.append((level, state))

    def _parent(self, name: Name, level: int) -> RawState | RawRegion | None:
        if "." in name.text:
            return self._find(name)
        expected = self.stack[-1][0] + 1 if self.stack else 2
        if level > expected:
            message = f"the heading skips a level: `{'#' * expected}` is expected, not `{'#' * level}`"
            start = self.report.source.line_start(name.span.line)
            start += self.report.source.line(name.span.line).index("#")
            edit = Edit(start, start + level, "#" * expected)
            span = self.report.source.span(start, start + level)
            self.report.add("HEADING_SKIPPED", message, span, suggestion="remove `#`", edits=(edit,))
        return self.stack[-1][1] if self.stack else None

    def _find(self, name: Name) -> RawState | RawRegion | None:
        """The parent of a dotted name, from the outermost state on."""
        machine = self.units[-1]
        assert isinstance(machine, RawMachine)
        level: list[RawState] | list[RawRegion] = machine.states
        found: RawState | RawRegion | None = None
        for part in name.text.split(".")[:-1]:
            found = next((item for item in level if item.name.text == part), None)
            if found is None:
                known = nearest(part, [item.name.text for item in level])
                suggestion = f"did you mean `{known}`?" if known else ""
                message = f"`{part}` in `{name.text}` is not a state or region above"
                self.report.add("UNKNOWN_STATE", message, name.span, suggestion=suggestion)
                return None
            level = found.regions if isinstance(found, RawState) and found.regions else found.states
        return found

    def _region(self, name: Name, level: int, parent: RawState | RawRegion | None) -> None:
        region = RawRegion(name)
        if isinstance(parent, RawState):
            parent.regions.append(region)
        else:
            message = f"region `{name.text}` is not inside of a parallel state"
            self.report.add("BAD_ANNOTATION", message, name.span)
        self.stack.append((level, region))

    # ---- bodies ----

    def quote(self, quote: Quote) -> None:
        if self.section == "state" and self.stack:
            state = self.stack[-1][1]
            if isinstance(state, RawState) and state.bullets.description is None:
                state.bullets.description = Name(quote.text, state.name.span)

    def table(self, table: Table) -> None:
        if self.section in {"prose", "", "unit", "state"}:
            return
        decision = isinstance(self.units[-1], RawTable)
        for section in read_table(self.section, table, self.report, decision=decision):
            self._add(section)

    def _add(self, section: Section) -> None:
        unit = self.units[-1]
        if section.kind == "policy" and isinstance(unit, RawTable):
            unit.policy = section.rows[0]
        elif section.kind == "header" and isinstance(unit, RawTable):
            unit.condition_header, unit.output_header, unit.rules_span = section.rows
        else:
            getattr(unit, section.kind).extend(section.rows)

    def bullet(self, item: Fragment) -> None:
        if self.section == "state":
            self._state_bullet(item)
        elif self.section == "unit":
            self._unit_bullet(item)
        elif self.section not in {"prose", ""}:
            for section in read_bullets(self.section, item, self.report):
                self._add(section)

    def _unit_bullet(self, item: Fragment) -> None:
        text = plain(item)
        match = _BULLET.match(text.text)
        if match is None:
            return
        unit = self.units[-1]
        word = match[1].lower()
        value = text.part(match.end(), len(text.text)).strip()
        name = Name(value.text.strip("\"'"), value.whole())
        if isinstance(unit, RawTable) and word == "policy":
            self._add(Section("policy", [name]))
        elif isinstance(unit, RawMachine) and word == "version" and value.text:
            unit.version = name
        elif isinstance(unit, RawMachine) and nearest(word, ("version",)):
            self.report.replace(
                "UNKNOWN_BULLET",
                f"`{word}` is not a bullet of a machine",
                text.span(0, match.end(1)),
                "version",
            )

    def _state_bullet(self, item: Fragment) -> None:
        text = plain(item)
        match = _BULLET.match(text.text)
        if match is None or not self.stack:
            return
        word = match[1].lower()
        place = self.stack[-1][1]
        span = text.span(0, match.end(1))
        if isinstance(place, RawRegion) or word not in _STATE_BULLETS:
            known = nearest(word, _STATE_BULLETS) if isinstance(place, RawState) else None
            what = "state" if isinstance(place, RawState) else "region"
            if known is None:
                message = f"`{word}` is not a bullet of a {what}"
                self.report.add("UNKNOWN_BULLET", message, span, severity="warning")
            else:
                self.report.replace("UNKNOWN_BULLET", f"`{word}` is not a bullet of a {what}", span, known)
            return
        found, error = try_parse(text, "bullet")
        if error is None:
            self.report.take(text.notes)
            add_bullet(place.bullets, found)
        elif word == "description":
            value = text.part(match.end(), len(text.text)).strip()
            add_bullet(place.bullets, Bullet("description", Name(value.text, value.whole())))
        else:
            fault(text, "bullet", self.report)
