"""Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orca.statemachine._report import Report
    from orca.statemachine.span import SourceText
    from orca.statemachine.syntax import RawMachine, RawTable


def parse_markdown(source: SourceText, report: Report) -> list[RawMachine | RawTable]:
    """Parse."""
    raise NotImplementedError
