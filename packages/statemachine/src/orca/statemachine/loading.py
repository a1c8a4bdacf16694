"""From text to definitions: the entry points of the language."""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from orca.statemachine._report import Report
from orca.statemachine.diagnostics import ParseError, worst
from orca.statemachine.model import Document, MachineDef
from orca.statemachine.resolve import resolve_machine
from orca.statemachine.resolve_tables import resolve_table
from orca.statemachine.span import SourceText
from orca.statemachine.syntax import RawMachine, RawTable

if TYPE_CHECKING:
    from collections.abc import Generator

    from orca.statemachine.diagnostics import Diagnostic

__all__ = [
    "LoadResult",
    "Notation",
    "load",
    "notation_of",
    "parse_document",
    "parse_orca",
    "parse_orca_auto",
    "parse_orca_md",
    "parse_orca_md_multi",
]

Notation: TypeAlias = Literal["brace", "markdown"]

_MARKDOWN_HEADING: Final = re.compile(r"^ {0,3}#[ \t]+(machine|decision_table)\b", re.MULTILINE)
_LONE_RETURN: Final = re.compile(r"\r(?!\n)")
_BRACE_UNIT: Final = re.compile(r"^[ \t]*(machine|decision_table)[ \t]+[A-Za-z_]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What loading a text gave.

    Attributes:
        document: Everything that could be resolved; use it only when ``ok``.
        diagnostics: Every finding, in the order of the text.
        source: The text.
        notation: The notation it was read in.
    """

    document: Document
    diagnostics: tuple[Diagnostic, ...]
    source: SourceText
    notation: Notation

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return worst(self.diagnostics) != "error"


def notation_of(text: str) -> Notation:
    """The notation of a text, told from its content.

    Example:
        >>> notation_of("machine A"), notation_of("# machine A")
        ('brace', 'markdown')
    """
    heading, unit = _MARKDOWN_HEADING.search(text), _BRACE_UNIT.search(text)
    if heading is None:
        return "brace"
    return "markdown" if unit is None or heading.start() <= unit.start() else "brace"


def load(text: str, name: str = "<string>", *, notation: Notation | None = None) -> LoadResult:
    """Read a text and report everything that is wrong with it; never raises for a bad text.

    Args:
        text: The text.
        name: What diagnostics call it.
        notation: The notation, when it is known.
    """
    # A carriage return alone ends a line too; replacing it moves no character.
    source = SourceText(_LONE_RETURN.sub("\n", text.removeprefix("\ufeff")), name)
    notation = notation or notation_of(source.text)
    report = Report(source)
    with _collector_paused():
        units = _parse(source, report, notation)
        document = _resolve(units, report)
    return LoadResult(document, report.sorted(), source, notation)


@contextmanager
def _collector_paused() -> Generator[None]:
    """Keep the cyclic collector out of a parse, which makes many objects that stay and no cycles.

    Looking through them again and again is a third of the time that a large text takes. A parse is bounded by
    the length of its text, and another thread that turns the collector on again does no harm.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _parse(source: SourceText, report: Report, notation: Notation) -> list[RawMachine | RawTable]:
    # The parsers import heavy libraries, which only a parse has to pay for.
    if notation == "markdown":
        from orca.statemachine.markdown import parse_markdown  # noqa: PLC0415

        return parse_markdown(source, report)
    from orca.statemachine.brace import parse_brace  # noqa: PLC0415

    return parse_brace(source, report)


def _resolve(units: list[RawMachine | RawTable], report: Report) -> Document:
    if not units and not report.found:
        report.add("SYNTAX", "there is no machine in this text", None, suggestion="begin with `machine NAME`")
    seen: set[str] = set()
    for unit in units:
        if unit.name.text in seen:
            message = f"`{unit.name.text}` is declared twice"
            report.add("DUPLICATE_MACHINE", message, unit.name.span)
        seen.add(unit.name.text)
    tables = tuple(resolve_table(unit, report) for unit in units if isinstance(unit, RawTable))
    names = frozenset(unit.name.text for unit in units if isinstance(unit, RawMachine))
    machines = tuple(
        resolve_machine(unit, report, machines=names, tables=tables)
        for unit in units
        if isinstance(unit, RawMachine)
    )
    return Document(machines, tables)


def parse_document(text: str, name: str = "<string>", *, notation: Notation | None = None) -> Document:
    """Everything that a text defines.

    Raises:
        ParseError: The text has errors; it carries all of them.
    """
    result = load(text, name, notation=notation)
    if not result.ok:
        raise ParseError(result.diagnostics, result.source)
    return result.document


def parse_orca(text: str, name: str = "<string>") -> MachineDef:
    """The first machine of a text in either notation.

    Raises:
        ParseError: The text has errors, or no machine.

    Example:
        >>> machine = parse_orca('''
        ... machine Lamp
        ... state off [initial]
        ... state on
        ... transitions {
        ...     off + TOGGLE -> on
        ...     on + TOGGLE -> off
        ... }
        ... ''')
        >>> machine.name, [state.name for state in machine.states]
        ('Lamp', ['off', 'on'])
    """
    return _first(text, name, None)


def parse_orca_auto(text: str, filename: str | None = None) -> MachineDef:
    """The first machine of a text; a name that ends in ``.orca.md`` or ``.orca`` decides the notation.

    Raises:
        ParseError: The text has errors, or no machine.
    """
    notation: Notation | None = None
    if filename is not None and filename.endswith(".md"):
        notation = "markdown"
    elif filename is not None and filename.endswith(".orca"):
        notation = "brace"
    return _first(text, filename or "<string>", notation)


def parse_orca_md(text: str) -> MachineDef:
    """The first machine of a text in Markdown notation.

    Raises:
        ParseError: The text has errors, or no machine.
    """
    return _first(text, "<string>", "markdown")


def parse_orca_md_multi(text: str) -> list[MachineDef]:
    """All machines of a text in Markdown notation.

    Raises:
        ParseError: The text has errors, or no machine.
    """
    return list(parse_document(text, notation="markdown").machines)


def _first(text: str, name: str, notation: Notation | None) -> MachineDef:
    result = load(text, name, notation=notation)
    if not result.ok:
        raise ParseError(result.diagnostics, result.source)
    if not result.document.machines:
        report = Report(result.source)
        report.add("SYNTAX", "there is no machine in this text", None)
        raise ParseError(report.sorted(), result.source)
    return result.document.machines[0]
