"""The rows of Markdown sections: tables by their headers, bullets by the grammar."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from orca.statemachine._assemble import Section
from orca.statemachine._faults import fault, try_parse
from orca.statemachine._mdtext import plain
from orca.statemachine._scope import nearest
from orca.statemachine.model import ActionSignature, EffectDef, ReturnDef, TypeRef
from orca.statemachine.syntax import Fragment, Name, RawColumn, RawDefault, RawField, RawRule, RawTransition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orca.statemachine._mdtext import Table
    from orca.statemachine._report import Report

__all__ = ["KNOWN_SECTIONS", "TABLE_SECTIONS", "read_bullets", "read_table"]

KNOWN_SECTIONS: Final = (
    *("context", "events", "transitions", "guards", "actions", "effects", "returns", "properties"),
)
TABLE_SECTIONS: Final = ("conditions", "actions", "outputs", "rules", "metadata")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE: Final = re.compile(r"\*|[A-Za-z_][A-Za-z0-9_]*(?:[ \t]*\.[ \t]*[A-Za-z_][A-Za-z0-9_]*)*")
_NONE: Final = frozenset({"", "_", "-"})
_COLUMNS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "context": {"field": ("field", "name"), "type": ("type",), "default": ("default", "value")},
    "events": {"event": ("event", "name")},
    "transitions": {
        "source": ("source", "from"),
        "event": ("event",),
        "guard": ("guard", "condition"),
        "target": ("target", "to"),
        "action": ("action",),
    },
    "guards": {"name": ("name", "guard"), "expression": ("expression",)},
    "actions": {"name": ("name", "action"), "signature": ("signature",)},
    "effects": {"name": ("name", "effect"), "input": ("input",), "output": ("output",)},
    "returns": {"name": ("name", "field"), "type": ("type",), "statistics": ("statistics",)},
    "conditions": {"name": ("name", "condition"), "type": ("type",), "values": ("values", "range")},
    "outputs": {
        "name": ("name", "action", "output"),
        "type": ("type",),
        "description": ("description",),
        "values": ("values",),
    },
    "metadata": {"name": ("name", "key", "property", "field"), "value": ("value",)},
}
"""For each section its columns and the headers that they may have."""
_REQUIRED: Final = {
    "context": ("field",),
    "events": ("event",),
    "transitions": ("source", "target"),
    "guards": ("name", "expression"),
    "actions": ("name",),
    "effects": ("name",),
    "returns": ("name", "type"),
    "conditions": ("name", "type"),
    "outputs": ("name",),
    "metadata": ("name", "value"),
}


class _Row:
    """A row of a table, its cells found by column."""

    def __init__(self, cells: dict[str, Fragment], whole: list[Fragment], report: Report) -> None:
        self._cells = cells
        self.whole = whole
        self.report = report

    @property
    def span(self) -> Any:
        """From the first cell to the last one."""
        return self.whole[0].whole().to(self.whole[-1].whole())

    def cell(self, column: str) -> Fragment | None:
        """A cell, code marks removed, or None when it is empty, ``_`` or ``-``."""
        fragment = self._cells.get(column)
        if fragment is None:
            return None
        fragment = plain(fragment)
        return None if fragment.text in _NONE else fragment

    def text(self, column: str) -> str:
        """A cell of prose, as it is."""
        fragment = self._cells.get(column)
        return fragment.text if fragment is not None and fragment.text not in _NONE else ""

    def name(self, column: str, pattern: re.Pattern[str] = _NAME) -> Name | None:
        """A cell that is a name, or None after reporting why it is not."""
        fragment = self.cell(column)
        if fragment is None:
            place = self._cells.get(column) or self.whole[0]
            self.report.add("SYNTAX", f"the {column} is missing", place.whole())
            return None
        if not pattern.fullmatch(fragment.text):
            self.report.add("SYNTAX", f"`{fragment.text}` is not a name", fragment.whole())
            return None
        return Name(re.sub(r"\s", "", fragment.text), fragment.whole())

    def optional_name(self, column: str, pattern: re.Pattern[str] = _NAME) -> Name | None:
        """A cell that is a name or empty."""
        return self.name(column, pattern) if self.cell(column) is not None else None

    def parsed(self, column: str, start: str) -> Any:
        """What a cell parses to by a rule of the grammar, or None."""
        fragment = self.cell(column)
        if fragment is None:
            return None
        found, error = try_parse(fragment, start)
        if error is not None:
            fault(fragment, start, self.report)
            return None
        self.report.take(fragment.notes)
        return found


def read_table(section: str, table: Table, report: Report, *, decision: bool) -> Iterator[Section]:
    """The rows of a table, as parts of sections; ``decision`` says that they belong to a decision table."""
    if section == "rules":
        yield from _rules(table, report)
        return
    kind = section
    titles = [_title(cell) for cell in table.header]
    if section == "actions" and decision:
        kind = "outputs"
    columns = _columns(kind, table, titles, report)
    if columns is None:
        return
    read = _READERS.get(kind)
    for cells in table.rows:
        if not any(cell.text for cell in cells) or not cells:
            continue
        if len(cells) > len(table.header):
            message = f"the row has {len(cells)} cells and the table {len(table.header)} columns"
            extra = cells[len(table.header)].whole().to(cells[-1].whole())
            report.add("SYNTAX", message, extra, suggestion="write `\\|` for a bar inside of a cell")
            continue
        row = _Row(
            {name: cells[index] for name, index in columns.items() if index < len(cells)}, cells, report
        )
        found = read(row) if read is not None else None
        if found is not None:
            yield Section(_ATTRIBUTES.get(kind, kind), [found])


def _title(cell: Fragment) -> str:
    return plain(cell).text.strip(" *_").lower()


def _columns(kind: str, table: Table, titles: list[str], report: Report) -> dict[str, int] | None:
    """The index of each column, or None when one is missing without which no row can be read."""
    known = _COLUMNS.get(kind)
    if known is None:
        return None
    found: dict[str, int] = {}
    for index, title in enumerate(titles):
        column = next((name for name, aliases in known.items() if title in aliases), None)
        if column is not None:
            found.setdefault(column, index)
        elif title:
            message = f"`{table.header[index].text}` is not a column of `{kind}`"
            aliases = [alias for names in known.values() for alias in names]
            report.replace("UNKNOWN_COLUMN", message, table.header[index].whole(), nearest(title, aliases))
    for column in _REQUIRED[kind]:
        if column not in found:
            span = table.header[0].whole().to(table.header[-1].whole())
            report.add("MISSING_COLUMN", f"the table of `{kind}` has no column `{column}`", span)
            return None
    return found


# ---- one reader for each section ----


def _context(row: _Row) -> RawField | None:
    name = row.name("field")
    kind: TypeRef | None = row.parsed("type", "type")
    cell = row.cell("default")
    if name is None:
        return None
    return RawField(name, kind, _default(cell, kind, row) if cell is not None else None)


def _default(cell: Fragment, kind: TypeRef | None, row: _Row) -> RawDefault | None:
    """A default; text without quotes is text where the type is a string or an enumeration."""
    quoted = cell.text[:1] in {'"', "'"}
    textual = kind is not None and kind.kind in {"string", "enum"}
    if textual and not quoted and cell.text != "null":
        return RawDefault(cell.text, cell.whole(), word=True)
    found, error = try_parse(cell, "default")
    if error is None:
        row.report.take(cell.notes)
        if isinstance(found, RawDefault):
            return RawDefault(found.value, cell.whole(), found.word)
        return RawDefault(found.value, cell.whole())
    if (kind is None or kind.kind == "custom") and not quoted:
        return RawDefault(cell.text, cell.whole(), word=True)
    row.report.add("BAD_DEFAULT", f"`{cell.text}` is not a value", cell.whole())
    return None


def _events(row: _Row) -> Name | None:
    return row.name("event")


def _transitions(row: _Row) -> RawTransition | None:
    source = row.name("source", _REFERENCE)
    event = row.optional_name("event")
    target = row.optional_name("target", _REFERENCE)
    action = row.optional_name("action")
    guard = None
    cell = row.cell("guard")
    if cell is not None:
        if cell.text.startswith("[") and cell.text.endswith("]"):
            cell = cell.part(1, len(cell.text) - 1).strip()
        found, error = try_parse(cell, "expr")
        if error is not None:
            fault(cell, "expr", row.report)
        else:
            row.report.take(cell.notes)
            guard = found
    return RawTransition(source, event, guard, target, action, row.span) if source is not None else None


def _guards(row: _Row) -> tuple[Name, Any] | None:
    name, expression = row.name("name"), row.parsed("expression", "expr")
    if row.cell("expression") is None and name is not None:
        row.report.add("SYNTAX", f"guard `{name.text}` has no expression", name.span)
    return (name, expression) if name is not None and expression is not None else None


def _actions(row: _Row) -> tuple[Name, ActionSignature] | None:
    name, signature = row.name("name"), row.parsed("signature", "signature")
    return (name, signature or ActionSignature("")) if name is not None else None


def _effects(row: _Row) -> EffectDef | None:
    name = row.name("name")
    given, produced = row.parsed("input", "rich_type"), row.parsed("output", "rich_type")
    return EffectDef(name.text, given, produced, span=name.span) if name is not None else None


def _returns(row: _Row) -> tuple[ReturnDef, tuple[Name, ...]] | None:
    name = row.name("name", re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[\d{1,9}\])?"))
    kind = row.parsed("type", "type")
    cell = row.cell("statistics")
    names = tuple(_comma_names(cell)) if cell is not None else ()
    if name is None or kind is None:
        return None
    return ReturnDef(name.text, kind, tuple(item.text for item in names), span=name.span), names


def _column(row: _Row) -> RawColumn | None:
    name = row.name("name")
    cell = row.cell("type")
    kind = Name(cell.text, cell.whole()) if cell is not None else Name("string", row.whole[0].whole())
    if name is None:
        return None
    return RawColumn(name, kind, row.cell("values"), row.text("description"))


def _metadata(row: _Row) -> Name | None:
    name, value = row.cell("name"), row.cell("value")
    if name is None or value is None or name.text.lower() != "policy":
        return None
    return _policy(value, row.report)


_READERS: Final[dict[str, Callable[[_Row], Any]]] = {
    "context": _context,
    "events": _events,
    "transitions": _transitions,
    "guards": _guards,
    "actions": _actions,
    "effects": _effects,
    "returns": _returns,
    "conditions": _column,
    "outputs": _column,
    "metadata": _metadata,
}
_ATTRIBUTES: Final = {"context": "fields", "metadata": "policy"}


def _policy(value: Fragment, report: Report) -> Name:
    known = ("first-match", "all-match")
    text = value.text.strip("\"' ").replace("_", "-").lower()
    if text not in known:
        message = f"`{value.text}` is not a policy; write first-match or all-match"
        report.replace("SYNTAX", message, value.whole(), nearest(text, known))
        text = known[0]
    return Name(text, value.whole())


def _comma_names(fragment: Fragment) -> Iterator[Name]:
    for match in re.finditer(r"[^,\s]+", fragment.text):
        yield Name(match[0], fragment.span(match.start(), match.end()))


# ---- decision rules ----


def _rules(table: Table, report: Report) -> Iterator[Section]:
    """The rules of a decision table: an arrow before a column's name marks an output."""
    conditions: list[tuple[int, Name]] = []
    outputs: list[tuple[int, Name]] = []
    number = -1
    for index, cell in enumerate(table.header):
        text = plain(cell)
        arrow = re.match(r"(?:→|->)\s*", text.text)
        if arrow is not None:
            inner = text.part(arrow.end(), len(text.text)).strip()
            outputs.append((index, Name(inner.text, inner.whole())))
        elif text.text in {"#", "No", "no"}:
            number = index
        elif text.text:
            conditions.append((index, Name(text.text, text.whole())))
    span = table.header[0].whole().to(table.header[-1].whole())
    yield Section("header", [[name for _, name in conditions], [name for _, name in outputs], span])
    for cells in table.rows:
        if not any(cell.text for cell in cells):
            continue
        if len(cells) > len(table.header):
            message = f"the row has {len(cells)} cells and the table {len(table.header)} columns"
            report.add("SYNTAX", message, cells[len(table.header)].whole())
            continue
        row = RawRule(
            Name(cells[number].text, cells[number].whole()) if 0 <= number < len(cells) else None,
            [(name, plain(cells[index])) for index, name in conditions if index < len(cells)],
            [(name, plain(cells[index])) for index, name in outputs if index < len(cells)],
            cells[0].whole().to(cells[-1].whole()),
        )
        yield Section("rules", [row])


# ---- bullets ----


def read_bullets(section: str, item: Fragment, report: Report) -> Iterator[Section]:
    """A bullet of a section: events, properties, or the metadata of a decision table."""
    text = plain(item)
    if section == "events":
        names: list[Name] = []
        for name in _comma_names(text):
            if _NAME.fullmatch(name.text):
                names.append(name)
            else:
                report.add("SYNTAX", f"`{name.text}` is not a name", name.span)
        yield Section("events", names)
    elif section == "properties":
        found, error = try_parse(text, "property")
        if error is not None:
            fault(text, "property", report)
        else:
            report.take(text.notes)
            yield Section("properties", [found])
    elif section == "metadata":
        match = re.match(r"policy[ \t]*:[ \t]*", text.text, re.IGNORECASE)
        if match is not None:
            yield Section("policy", [_policy(text.part(match.end(), len(text.text)), report)])
