"""Definitions in the Markdown notation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from orca.statemachine._print_text import (
    cell_text,
    domain_text,
    expression_text,
    guard_text,
    output_text,
    quote,
    signature_text,
    value_text,
)
from orca.statemachine.model import Document, MachineDef, StateDef
from orca.statemachine.printer import DEFAULT_VERSION, References, annotation_text, bullets, property_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orca.statemachine.model import RegionDef
    from orca.statemachine.tables import DecisionTableDef

__all__ = ["print_markdown", "table_lines"]

_PLAIN_DESCRIPTION: Final = re.compile(r"[A-Za-z][^\\`<>&]*")
_LEVELS: Final = 6
"""Markdown has six levels of headings; a state further down is given by its whole path."""


def print_markdown(document: Document | MachineDef) -> str:
    """A document or a machine in the Markdown notation.

    Example:
        >>> print(print_markdown(MachineDef("Lamp", states=(StateDef("off", "off", is_initial=True),))), end="")
        # machine Lamp
        <BLANKLINE>
        ## state off [initial]
    """
    if isinstance(document, MachineDef):
        document = Document((document,), document.tables)
    units = [*map(_machine, document.machines), *map(_table, document.tables)]
    texts = ("\n\n".join("\n".join(block) for block in unit) for unit in units)
    return "\n\n---\n\n".join(texts) + "\n"


def _machine(machine: MachineDef) -> Iterator[list[str]]:
    refs = References(machine)
    yield [f"# machine {machine.name}"]
    if machine.version != DEFAULT_VERSION:
        yield [f"- version: {quote(machine.version)}"]
    for section in ("context", "events"):
        yield from _titled(section, section_lines(section, machine, refs))
    for state in machine.states:
        yield from _state(state, refs, 2)
    for section in ("transitions", "guards", "actions", "effects", "returns", "properties"):
        yield from _titled(section, section_lines(section, machine, refs))


def _titled(section: str, lines: list[str]) -> Iterator[list[str]]:
    if lines:
        yield [f"## {section}"]
        yield lines


def section_lines(section: str, machine: MachineDef, refs: References) -> list[str]:
    """The table or the bullets of a section; empty when there is nothing in it."""
    if section == "events":
        return [f"- {item.name}" for item in machine.event_defs]
    if section == "properties":
        return [f"- {property_text(item, refs, code='`')}" for item in machine.properties]
    header, rows = _SECTIONS[section](machine, refs)
    return table_lines(header, rows) if rows else []


def _context(machine: MachineDef, _refs: References) -> tuple[Sequence[str], list[list[str]]]:
    rows = [
        [item.name, _code(str(item.type)), _code(value_text(item.default)) if item.has_default else ""]
        for item in machine.fields
    ]
    return ("Field", "Type", "Default"), rows


def _transitions(machine: MachineDef, refs: References) -> tuple[Sequence[str], list[list[str]]]:
    rows = [
        [
            "*" if row.source == "*" else refs.state(row.source),
            row.event or "",
            _code(guard_text(row.guard)) if row.guard is not None else "",
            refs.state(row.target) if row.target is not None else "",
            row.action or "",
        ]
        for row in machine.transitions
    ]
    return ("Source", "Event", "Guard", "Target", "Action"), rows


def _guards(machine: MachineDef, _refs: References) -> tuple[Sequence[str], list[list[str]]]:
    rows = [[item.name, _code(expression_text(item.expression), always=True)] for item in machine.guard_defs]
    return ("Name", "Expression"), rows


def _actions(machine: MachineDef, _refs: References) -> tuple[Sequence[str], list[list[str]]]:
    return ("Name", "Signature"), [
        [item.name, _code(signature_text(item), always=True)] for item in machine.actions
    ]


def _effects(machine: MachineDef, _refs: References) -> tuple[Sequence[str], list[list[str]]]:
    rows = [
        [
            item.name,
            _code(str(item.input)) if item.input is not None else "",
            _code(str(item.output)) if item.output is not None else "",
        ]
        for item in machine.effects
    ]
    return ("Name", "Input", "Output"), rows


def _returns(machine: MachineDef, _refs: References) -> tuple[Sequence[str], list[list[str]]]:
    rows = [[item.name, _code(str(item.type)), ", ".join(item.statistics)] for item in machine.returns]
    return ("Name", "Type", "Statistics"), rows


_SECTIONS: Final = {
    "context": _context,
    "transitions": _transitions,
    "guards": _guards,
    "actions": _actions,
    "effects": _effects,
    "returns": _returns,
}


def _code(text: str, *, always: bool = False) -> str:
    """An expression in a cell: as code where Markdown would read a character of it otherwise."""
    if not always and not set(text) & set("|\\`*<>[]"):
        return text
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text.replace('|', chr(92) + '|')}{padding}{fence}"


def table_lines(header: Sequence[str], rows: list[list[str]]) -> list[str]:
    """A table with its columns aligned."""
    widths = [max(3, len(title), *(len(row[index]) for row in rows)) for index, title in enumerate(header)]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [
        line(header),
        "|" + "|".join("-" * (width + 2) for width in widths) + "|",
        *(line(row) for row in rows),
    ]


def state_heading(state: StateDef, level: int) -> str:
    """The heading of a state; its description only when it cannot stand in a quote."""
    name = state.name if level <= _LEVELS else state.path
    text = f"{'#' * min(level, _LEVELS)} state {name}{annotation_text(state)}"
    if state.description is not None and not is_plain(state.description):
        text += f" {quote(state.description)}"
    return text


def is_plain(text: str) -> bool:
    """Whether a description is the same text when it stands in a block quote."""
    return text.isprintable() and text == text.strip() and _PLAIN_DESCRIPTION.fullmatch(text) is not None


def _state(state: StateDef, refs: References, level: int) -> Iterator[list[str]]:
    yield [state_heading(state, level)]
    if state.description is not None and is_plain(state.description):
        yield [f"> {state.description}"]
    items = [f"- {bullet}" for bullet in bullets(state, refs)]
    if items:
        yield items
    for child in state.states:
        yield from _state(child, refs, level + 1)
    for region in state.parallel.regions if state.parallel is not None else ():
        yield [region_heading(region, level + 1)]
        for child in region.states:
            yield from _state(child, refs, level + 2)


def region_heading(region: RegionDef, level: int) -> str:
    """The heading of a region."""
    return f"{'#' * min(level, _LEVELS)} region {region.name if level <= _LEVELS else region.path}"


def _table(table: DecisionTableDef) -> Iterator[list[str]]:
    yield [f"# decision_table {table.name}"]
    for section in ("metadata", "conditions", "actions", "rules"):
        lines = decision_lines(section, table)
        if lines:
            yield [f"## {section}"]
            yield lines


def decision_lines(section: str, table: DecisionTableDef) -> list[str]:
    """The bullets or the table of a section of a decision table."""
    if section == "metadata":
        return [f"- policy: {table.policy}"] if table.policy != "first-match" else []
    if section == "conditions":
        rows = [[item.name, item.type, _cell(domain_text(item))] for item in table.conditions]
        return table_lines(("Name", "Type", "Values"), rows) if rows else []
    if section == "actions":
        rows = [
            [
                item.name,
                item.type,
                _cell(item.description),
                _cell(", ".join(output_text(item, value) for value in item.values)),
            ]
            for item in table.outputs
        ]
        return table_lines(("Name", "Type", "Description", "Values"), rows) if rows else []
    rows = [
        [
            str(rule.number),
            *(_cell(cell_text(cell)) for cell in rule.cells),
            *(
                _cell(output_text(output, value))
                for output, value in zip(table.outputs, rule.outputs, strict=True)
            ),
        ]
        for rule in table.rules
    ]
    header = ["#", *(item.name for item in table.conditions), *(f"→ {item.name}" for item in table.outputs)]
    return table_lines(header, rows) if rows else []


_BEFORE_SIGN: Final = re.compile(r"\\+(?=[|*_<>\[\]!#+\-.~(){}])")


def _cell(text: str) -> str:
    """Free text in a cell: one line, bars escaped, and no backslash that would escape what follows."""
    even = _BEFORE_SIGN.sub(lambda run: run[0] + "\\" * (len(run[0]) % 2), " ".join(text.split()))
    return even.replace("|", "\\|")
