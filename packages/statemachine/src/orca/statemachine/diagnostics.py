"""One diagnostic object for terminal, JSON and SARIF."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from orca.common.errors import OrcaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orca.statemachine.span import SourceText, Span

__all__ = [
    "Diagnostic",
    "Edit",
    "FlowStep",
    "ParseError",
    "Related",
    "Severity",
    "apply_edits",
    "render",
    "worst",
]

Severity: TypeAlias = Literal["error", "warning", "info"]

_ORDER: Final = {"error": 0, "warning": 1, "info": 2}
_SHOWN_LINE_LENGTH: Final = 200
"""Longer source lines are cut around the caret: a terminal line, not a file, is what is shown."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to the source: the characters from ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that belongs to a diagnostic."""

    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class FlowStep:
    """A step of the run that shows a diagnostic.

    Attributes:
        message: What happens.
        span: Where the machine is afterwards.
        values: What is so afterwards, as text: ``configuration``, and values that were chosen.
    """

    message: str
    span: Span | None = None
    values: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding.

    Attributes:
        code: A stable name; ``orca machine explain CODE`` tells more.
        severity: ``error`` (the definition cannot be used), ``warning`` or ``info``.
        message: What is wrong, in one line.
        file: The name of the source.
        span: Where; None for a finding about the whole file.
        suggestion: What to do, in one line; may be empty.
        edits: A mechanical mend; empty when there is none.
        related: Other places.
        notes: More lines for a person: values and runs that show the finding.
        data: The same for programs: ``witness``, ``trace``, ``machine``.
        flow: The run that shows the finding, step by step, for those who walk through the source along it.
    """

    code: str
    severity: Severity
    message: str
    file: str = "<string>"
    span: Span | None = None
    suggestion: str = ""
    edits: tuple[Edit, ...] = ()
    related: tuple[Related, ...] = ()
    notes: tuple[str, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict[str, object], hash=False)
    flow: tuple[FlowStep, ...] = ()

    def sort_key(self) -> tuple[int, int, str, str]:
        """Order of the source, then severity."""
        return (self.span.start if self.span else -1, _ORDER[self.severity], self.code, self.message)

    def to_json(self) -> dict[str, object]:
        """A JSON object; positions count from 1, offsets from 0."""
        found: dict[str, object] = {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": self.file,
            "suggestion": self.suggestion,
        }
        if self.span is not None:
            found |= _place(self.span)
        found["edits"] = [{"start": edit.start, "end": edit.end, "text": edit.text} for edit in self.edits]
        found["related"] = [{"message": item.message, **_place(item.span)} for item in self.related]
        found |= self.data
        return found


def _place(span: Span) -> dict[str, object]:
    return {
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "start": span.start,
        "end": span.end,
    }


def worst(diagnostics: Iterable[Diagnostic]) -> Severity | None:
    """The highest severity, or None when there is no finding."""
    return min((item.severity for item in diagnostics), key=_ORDER.__getitem__, default=None)


def render(diagnostic: Diagnostic, source: SourceText | None = None) -> str:
    """A finding as a compiler prints it, with the line and a caret when the source is given.

    Example:
        >>> from orca.statemachine.span import SourceText
        >>> source = SourceText("idle + GO -> doen", "order.orca")
        >>> found = Diagnostic("UNKNOWN_STATE", "error", "`doen` is not a state", "order.orca",
        ...                    source.span(13, 17), "did you mean `done`?")
        >>> print(render(found, source))
        error[UNKNOWN_STATE]: `doen` is not a state
          --> order.orca:1:14
          |
        1 | idle + GO -> doen
          |              ^^^^ did you mean `done`?
    """
    head = f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    span = diagnostic.span
    if span is None:
        tail = [diagnostic.suggestion] if diagnostic.suggestion else []
        notes = "".join(f"\n  = {note}" for note in (*tail, *diagnostic.notes))
        return f"{head}\n  --> {diagnostic.file}{notes}"
    width = len(str(span.line))
    lines = [head, f"{' ' * (width + 1)}--> {diagnostic.file}:{span.line}:{span.column}"]
    if source is not None:
        lines.extend(_excerpt(diagnostic, span, source, " " * width))
    elif diagnostic.suggestion:
        lines.append(f"{' ' * (width + 1)}= {diagnostic.suggestion}")
    lines.extend(
        f"{' ' * (width + 1)}= {item.message} ({item.span.line}:{item.span.column})"
        for item in diagnostic.related
    )
    lines.extend(f"{' ' * (width + 1)}= {note}" for note in diagnostic.notes)
    return "\n".join(lines)


def _excerpt(diagnostic: Diagnostic, span: Span, source: SourceText, margin: str) -> list[str]:
    text = source.line(span.line)
    column = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(text)
    first = max(0, column - _SHOWN_LINE_LENGTH // 2)
    shown = text[first : first + _SHOWN_LINE_LENGTH]
    # Tabs stay tabs under the line, so that the caret stands under its character at any tab width.
    blank = "".join("\t" if character == "\t" else " " for character in text[first:column])
    carets = "^" * max(1, min(end, first + _SHOWN_LINE_LENGTH) - column)
    mend = "   (orca machine check --fix)" if diagnostic.edits else ""
    note = f" {diagnostic.suggestion}{mend}" if diagnostic.suggestion else mend
    return [f"{margin} |", f"{span.line} | {shown}", f"{margin} | {blank}{carets}{note}"]


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with the edits applied; of edits that overlap, the first in the text counts."""
    parts: list[str] = []
    position = 0
    for edit in sorted(set(edits), key=lambda item: (item.start, item.end)):
        if edit.start < position:
            continue
        parts.extend((text[position : edit.start], edit.text))
        position = edit.end
    parts.append(text[position:])
    return "".join(parts)


class ParseError(OrcaError, ValueError):
    """A text is not a usable definition.

    Attributes:
        diagnostics: Every finding of the text, warnings included, in its order.
        source: The text, to show lines from.
    """

    code: ClassVar[str] = "PARSE_ERROR"

    SHOWN: ClassVar[int] = 20
    """How many errors the message repeats; all of them are in ``diagnostics``."""

    def __init__(self, diagnostics: Sequence[Diagnostic], source: SourceText) -> None:
        self.diagnostics = tuple(diagnostics)
        self.source = source
        errors = [item for item in self.diagnostics if item.severity == "error"]
        shown = [render(item, source) for item in errors[: self.SHOWN]]
        if len(errors) > self.SHOWN:
            shown.append(f"... and {len(errors) - self.SHOWN} more")
        super().__init__("\n".join(shown), hint=f"orca machine explain {errors[0].code}" if errors else "")
