"""What the verifier says: findings, the traces that show them, and the report about one machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.statemachine.span import Span

__all__ = ["VERIFY_CODES", "ActionOutcome", "Finding", "Report", "Severity", "Trace", "TraceStep"]

Severity: TypeAlias = Literal["error", "warning", "info"]
Values: TypeAlias = "Mapping[str, object]"

_NOTHING: Final[Values] = MappingProxyType({})


def _nothing() -> Values:
    # A read-only mapping has no hash before Python 3.12, so dataclasses refuse it as a plain default.
    return _NOTHING


VERIFY_CODES: Final[dict[str, Severity]] = {
    "UNREACHABLE_STATE": "warning",
    "DEADLOCK": "error",
    "LIVELOCK": "error",
    "ORPHAN_EVENT": "warning",
    "ORPHAN_ACTION": "warning",
    "ORPHAN_EFFECT": "warning",
    "UNDECLARED_EFFECT": "info",
    "UNUSED_GUARD": "warning",
    "IGNORE_AND_HANDLE": "warning",
    "INCOMPLETE_EVENT_HANDLING": "warning",
    "NON_DETERMINISTIC": "error",
    "SHADOWED_TRANSITION": "warning",
    "OVERLAPPING_GUARDS": "warning",
    "GUARD_EXHAUSTIVENESS": "warning",
    "PROPERTY_REACHABILITY_FAIL": "error",
    "PROPERTY_EXCLUSION_FAIL": "error",
    "PROPERTY_PATH_FAIL": "error",
    "PROPERTY_LIVENESS_FAIL": "error",
    "PROPERTY_RESPONSE_FAIL": "error",
    "PROPERTY_INVARIANT_FAIL": "error",
    "CIRCULAR_INVOCATION": "error",
    "CHILD_NO_FINAL_STATE": "error",
    "MISSING_ON_ERROR": "warning",
    "INVALID_INPUT_MAPPING": "error",
    "DT_DUPLICATE_RULE": "error",
    "DT_INCOMPLETE": "warning",
    "DT_INCONSISTENT": "error",
    "DT_REDUNDANT": "warning",
    "DT_CONTEXT_MISMATCH": "error",
    "DT_COVERAGE_GAP": "warning",
    "DT_GUARD_DEAD": "warning",
    "DT_UNREACHABLE_STATE": "warning",
    "INCONCLUSIVE": "info",
}
"""The codes of the verifier with their severity, unless the caller sets another."""


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What an action does in a trace: it sets fields of the context, or it fails."""

    name: str
    sets: Values = field(default_factory=_nothing)
    fails: bool = False


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One event of a trace.

    Attributes:
        event: Its name; ``@timeout.PATH``, ``@done.PATH``, ``@error.PATH`` for what no sender sends.
        payload: What its guards see as ``event``.
        sets: Fields that are set before it, by a child machine that returned.
        actions: What the actions that run do, in order.
        answers: What the predicates of ``custom`` parallel states say, by path.
        leaves: The active leaves afterwards; empty when the machine never becomes stable.
    """

    event: str
    payload: Values = field(default_factory=_nothing)
    sets: Values = field(default_factory=_nothing)
    actions: tuple[ActionOutcome, ...] = ()
    answers: Mapping[str, bool] = field(default_factory=dict[str, bool])
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """A run that shows a finding: the context at the start, then events.

    Attributes:
        machine: The name of the machine.
        context: Fields that differ from their defaults at the start.
        start: What happens before the first event; its event is empty.
        steps: The events.
    """

    machine: str
    context: Values = field(default_factory=_nothing)
    start: TraceStep = TraceStep("")
    steps: tuple[TraceStep, ...] = ()

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the events."""
        return tuple(step.event for step in self.steps)

    def to_json(self) -> dict[str, object]:
        """What ``orca machine simulate`` reads."""
        return {
            "machine": self.machine,
            "context": dict(self.context),
            "start": _step_json(self.start),
            "steps": [_step_json(step) for step in self.steps],
        }

    def describe(self) -> str:
        """One line: the context and the events, with what matters of payloads and actions."""
        parts = [f"start {_shown(self.context)}".strip()]
        parts += [_step_text(step) for step in self.steps]
        return " -> ".join(parts)


def _step_json(step: TraceStep) -> dict[str, object]:
    found: dict[str, object] = {"event": step.event}
    if step.payload:
        found["payload"] = dict(step.payload)
    if step.sets:
        found["sets"] = dict(step.sets)
    if step.actions:
        found["actions"] = [
            {"name": item.name, **({"fails": True} if item.fails else {"sets": dict(item.sets)})}
            for item in step.actions
        ]
    if step.answers:
        found["answers"] = dict(step.answers)
    found["leaves"] = list(step.leaves)
    return found


def _shown(values: Values) -> str:
    return "(" + ", ".join(f"{name}={value!r}" for name, value in values.items()) + ")" if values else ""


def _step_text(step: TraceStep) -> str:
    text = step.event + _shown(step.payload)
    notes = [f"{item.name} fails" for item in step.actions if item.fails]
    notes += [f"{item.name} sets {_shown(item.sets)}" for item in step.actions if item.sets]
    return text + (f" [{'; '.join(notes)}]" if notes else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the verifier found.

    Attributes:
        code: One of `VERIFY_CODES`.
        severity: How bad it is.
        message: What it is, in one line.
        span: Where in the source, when the definition came from one.
        suggestion: What to do about it.
        trace: A shortest run that shows it, or None for what no run shows.
        witness: Values that show a finding about guards or tables.
        machine: The machine or table.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    suggestion: str = ""
    trace: Trace | None = None
    witness: Values = field(default_factory=_nothing)
    machine: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        found: dict[str, object] = {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "machine": self.machine,
        }
        if self.suggestion:
            found["suggestion"] = self.suggestion
        if self.witness:
            found["witness"] = dict(self.witness)
        if self.trace is not None:
            found["trace"] = self.trace.to_json()
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """What came of verifying machines and tables.

    Attributes:
        findings: In the order of the source.
        configurations: How many configurations were explored.
        complete: Whether every question was decided; otherwise there is an ``INCONCLUSIVE`` finding.
    """

    findings: tuple[Finding, ...]
    configurations: int = 0
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.findings)

    def of(self, code: str) -> tuple[Finding, ...]:
        """The findings with this code."""
        return tuple(finding for finding in self.findings if finding.code == code)
