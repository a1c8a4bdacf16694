"""What the two parsers hand to the resolver: names with places, references not yet resolved."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine.expr import GuardExpression, ValueRef, VariableRef
    from orca.statemachine.model import (
        ActionSignature,
        EffectDef,
        FrozenValue,
        ReturnDef,
        TypeRef,
    )
    from orca.statemachine.span import SourceText, Span

__all__ = [
    "FRAGMENT",
    "Fragment",
    "Name",
    "Note",
    "RawBullets",
    "RawColumn",
    "RawDefault",
    "RawField",
    "RawInvoke",
    "RawMachine",
    "RawProperty",
    "RawRegion",
    "RawRule",
    "RawState",
    "RawTable",
    "RawTimeout",
    "RawTransition",
]


@dataclass(slots=True)
class Note:
    """A finding of the parser itself, to become a diagnostic."""

    code: str
    message: str
    span: Span
    suggestion: str = ""
    replacement: str | None = None


class Fragment:
    """A piece of a source that is parsed by itself, and the way from its offsets back to the source.

    Args:
        source: The whole source.
        text: The text of the piece, which may lack escapes that the source has.
        start: Where the piece begins in the source.
        offsets: For each character of ``text`` its offset in the source, when they are not consecutive.
        notes: Where findings go.
    """

    __slots__ = ("notes", "offsets", "source", "start", "text")

    def __init__(
        self,
        source: SourceText,
        text: str,
        start: int = 0,
        *,
        offsets: Sequence[int] | None = None,
        notes: list[Note] | None = None,
    ) -> None:
        self.source = source
        self.text = text
        self.start = start
        self.offsets = offsets
        self.notes: list[Note] = [] if notes is None else notes

    def span(self, start: int, end: int) -> Span:
        """The place in the source of a range of this piece."""
        if self.offsets is None:
            return self.source.span(self.start + start, self.start + end)
        return self.source.span(self.offset(start), self.offset(max(start, end - 1)) + (end > start))

    def whole(self) -> Span:
        """The place of the whole piece."""
        return self.span(0, len(self.text))

    def offset(self, index: int) -> int:
        """Where in the source a character of this piece stands."""
        if self.offsets is None:
            return self.start + index
        if index < len(self.offsets):
            return self.offsets[index]
        return self.offsets[-1] + 1 if self.offsets else self.start

    def with_text(self, text: str) -> Fragment:
        """The same piece with other characters, as many as there were."""
        return Fragment(self.source, text, self.start, offsets=self.offsets, notes=self.notes)

    def part(self, start: int, end: int) -> Fragment:
        """A narrower piece."""
        if self.offsets is None:
            return Fragment(self.source, self.text[start:end], self.start + start, notes=self.notes)
        return Fragment(
            self.source,
            self.text[start:end],
            self.offset(start),
            offsets=self.offsets[start:end],
            notes=self.notes,
        )

    def without_comma(self) -> Fragment:
        """The piece without white space around it and a comma at its end."""
        piece = self.strip()
        return piece.part(0, len(piece.text) - 1).strip() if piece.text.endswith(",") else piece

    def strip(self) -> Fragment:
        """The piece without white space around it."""
        left = len(self.text) - len(self.text.lstrip())
        return self.part(left, max(left, len(self.text.rstrip())))


FRAGMENT: Final[ContextVar[Fragment]] = ContextVar("FRAGMENT")
"""The piece that is being parsed. The grammar's callbacks are shared by all parses, so it cannot be theirs."""


@dataclass(frozen=True, slots=True)
class Name:
    """A word with its place."""

    text: str
    span: Span

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class RawDefault:
    """A default as written; ``word`` says that it was a bare word."""

    value: FrozenValue
    span: Span
    word: bool = False


@dataclass(slots=True)
class RawField:
    """A field of the context."""

    name: Name
    type: TypeRef | None
    default: RawDefault | None


@dataclass(slots=True)
class RawTransition:
    """A transition; names are as written, ``_`` included."""

    source: Name
    event: Name | None
    guard: GuardExpression | None
    target: Name | None
    action: Name | None
    span: Span


@dataclass(slots=True)
class RawTimeout:
    """A timer."""

    duration: Name
    target: Name
    span: Span


@dataclass(slots=True)
class RawInvoke:
    """An invoked machine."""

    machine: Name
    span: Span
    input: list[tuple[Name, VariableRef | ValueRef]] = field(default_factory=list[Any])
    shots: Name | None = None
    returns: list[tuple[Name, Name]] = field(default_factory=list[Any])
    failures: list[Name] = field(default_factory=list[Any])


@dataclass(slots=True)
class RawBullets:
    """What a state says about itself, in either notation."""

    description: Name | None = None
    on_entry: list[Name] = field(default_factory=list[Any])
    on_exit: list[Name] = field(default_factory=list[Any])
    on_done: list[Name] = field(default_factory=list[Any])
    on_error: list[Name] = field(default_factory=list[Any])
    timeout: list[RawTimeout] = field(default_factory=list[Any])
    ignore: list[Name] = field(default_factory=list[Any])
    invoke: list[RawInvoke] = field(default_factory=list[Any])
    returns: list[tuple[Name, Name]] = field(default_factory=list[Any])


@dataclass(slots=True)
class RawRegion:
    """A region of a parallel state."""

    name: Name
    states: list[RawState] = field(default_factory=list[Any])


@dataclass(slots=True)
class RawState:
    """A state and what is in it; ``regions`` is None unless it was said to be parallel."""

    name: Name
    span: Span
    initial: Name | None = None
    final: Name | None = None
    history: str | None = None
    parallel: Name | None = None
    sync: str | None = None
    bullets: RawBullets = field(default_factory=RawBullets)
    states: list[RawState] = field(default_factory=list[Any])
    regions: list[RawRegion] = field(default_factory=list[Any])
    transitions: list[RawTransition] = field(default_factory=list[Any])


@dataclass(slots=True)
class RawProperty:
    """A property; ``refs`` are its states in the order in which they are written."""

    kind: str
    span: Span
    refs: tuple[Name, ...] = ()
    within: int = 0
    expression: GuardExpression | None = None


@dataclass(slots=True)
class RawMachine:
    """A machine before its references are resolved."""

    name: Name
    version: Name | None = None
    fields: list[RawField] = field(default_factory=list[Any])
    events: list[Name] = field(default_factory=list[Any])
    states: list[RawState] = field(default_factory=list[Any])
    transitions: list[RawTransition] = field(default_factory=list[Any])
    guards: list[tuple[Name, GuardExpression]] = field(default_factory=list[Any])
    actions: list[tuple[Name, ActionSignature]] = field(default_factory=list[Any])
    effects: list[EffectDef] = field(default_factory=list[Any])
    returns: list[tuple[ReturnDef, tuple[Name, ...]]] = field(default_factory=list[Any])
    properties: list[RawProperty] = field(default_factory=list[Any])


@dataclass(slots=True)
class RawColumn:
    """A condition or an output of a decision table."""

    name: Name
    type: Name
    values: Fragment | None = None
    description: str = ""


@dataclass(slots=True)
class RawRule:
    """A rule: a cell for each column that the table's header names."""

    number: Name | None
    cells: list[tuple[Name, Fragment]]
    outputs: list[tuple[Name, Fragment]]
    span: Span


@dataclass(slots=True)
class RawTable:
    """A decision table before its cells are read.

    ``positional`` rules come from the brace notation: their cells follow the order of the columns.
    """

    name: Name
    policy: Name | None = None
    conditions: list[RawColumn] = field(default_factory=list[Any])
    outputs: list[RawColumn] = field(default_factory=list[Any])
    rules: list[RawRule] = field(default_factory=list[Any])
    condition_header: list[Name] = field(default_factory=list[Any])
    output_header: list[Name] = field(default_factory=list[Any])
    rules_span: Span | None = None
