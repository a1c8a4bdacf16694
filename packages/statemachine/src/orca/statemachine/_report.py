"""Collecting diagnostics, with a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orca.statemachine.codes import severity_of
from orca.statemachine.diagnostics import Diagnostic, Edit, Related

if TYPE_CHECKING:
    from orca.statemachine.diagnostics import Severity
    from orca.statemachine.span import SourceText, Span
    from orca.statemachine.syntax import Note

__all__ = ["MAX_DIAGNOSTICS", "Report"]

MAX_DIAGNOSTICS: Final = 200
"""Findings kept for one text: nobody reads more, and a hostile text must not cost more than its length."""


class Report:
    """The findings of one source."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.found: list[Diagnostic] = []
        self._seen: set[tuple[str, int, str]] = set()

    @property
    def full(self) -> bool:
        """Whether no more findings are taken."""
        return len(self.found) > MAX_DIAGNOSTICS

    def add(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        suggestion: str = "",
        edits: tuple[Edit, ...] = (),
        related: tuple[Related, ...] = (),
        severity: Severity | None = None,
    ) -> None:
        """Add a finding, unless the same one is there or there are too many."""
        key = (code, span.start if span else -1, message)
        if self.full or key in self._seen:
            return
        self._seen.add(key)
        if len(self.found) == MAX_DIAGNOSTICS:
            code, message = "LIMIT_EXCEEDED", f"more than {MAX_DIAGNOSTICS} findings; the rest is not shown"
            suggestion, edits, related, severity = "", (), (), None
        self.found.append(
            Diagnostic(
                code,
                severity or severity_of(code),
                message,
                self.source.name,
                span,
                suggestion,
                edits,
                related,
            )
        )

    def replace(self, code: str, message: str, span: Span, known: str | None) -> None:
        """Add a finding about a name; with a near one, the suggestion and the edit that puts it there."""
        if known is None:
            self.add(code, message, span)
            return
        edit = Edit(span.start, span.end, known)
        self.add(code, message, span, suggestion=f"did you mean `{known}`?", edits=(edit,))

    def take(self, notes: list[Note]) -> None:
        """Add what a parser noted."""
        for note in notes:
            edits: tuple[Edit, ...] = ()
            if note.replacement is not None:
                edits = (Edit(note.span.start, note.span.end, note.replacement),)
            self.add(note.code, note.message, note.span, suggestion=note.suggestion, edits=edits)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """The findings in the order of the source."""
        return tuple(sorted(self.found, key=Diagnostic.sort_key))
