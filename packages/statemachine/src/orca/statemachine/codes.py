"""The severity of every code; what the codes mean is in the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orca.statemachine.diagnostics import Severity

__all__ = ["LOAD_CODES", "severity_of"]

LOAD_CODES: Final[dict[str, Severity]] = {
    "SYNTAX": "error",
    "LIMIT_EXCEEDED": "error",
    "UNKNOWN_STATE": "error",
    "AMBIGUOUS_STATE": "error",
    "UNKNOWN_EVENT": "error",
    "UNKNOWN_GUARD": "error",
    "GUARD_CYCLE": "error",
    "UNKNOWN_ACTION": "error",
    "UNKNOWN_FIELD": "error",
    "UNKNOWN_MACHINE": "warning",
    "UNKNOWN_EFFECT": "error",
    "DUPLICATE_MACHINE": "error",
    "DUPLICATE_STATE": "error",
    "DUPLICATE_REGION": "error",
    "DUPLICATE_EVENT": "warning",
    "DUPLICATE_GUARD": "error",
    "DUPLICATE_ACTION": "error",
    "DUPLICATE_EFFECT": "error",
    "DUPLICATE_FIELD": "error",
    "DUPLICATE_BULLET": "error",
    "MULTIPLE_INITIAL": "error",
    "NO_INITIAL_STATE": "error",
    "FINAL_WITH_CHILDREN": "error",
    "FINAL_STATE_OUTGOING": "error",
    "EMPTY_PARALLEL": "error",
    "BAD_ANNOTATION": "error",
    "BAD_DEFAULT": "error",
    "BAD_DURATION": "error",
    "BARE_DURATION": "warning",
    "SINGLE_EQUALS": "warning",
    "AMBIGUOUS_ON_DONE": "error",
    "UNKNOWN_ON_DONE_EVENT": "error",
    "UNKNOWN_ON_ERROR_EVENT": "error",
    "HEADING_SKIPPED": "error",
    "UNKNOWN_SECTION": "warning",
    "UNKNOWN_BULLET": "error",
    "UNKNOWN_COLUMN": "warning",
    "MISSING_COLUMN": "error",
    "MULTIPLE_INVOKE": "error",
    "PROPERTY_INVALID_STATE": "error",
    "PROPERTY_AMBIGUOUS_STATE": "error",
    "PROPERTY_INVARIANT_INVALID": "error",
    "DT_NO_CONDITIONS": "error",
    "DT_NO_ACTIONS": "error",
    "DT_EMPTY_RULES": "error",
    "DT_UNKNOWN_CONDITION_COLUMN": "error",
    "DT_UNKNOWN_ACTION_COLUMN": "error",
    "DT_UNKNOWN_CONDITION_VALUE": "error",
    "DT_UNKNOWN_ACTION_VALUE": "error",
    "DT_MISSING_CONDITION_COLUMN": "warning",
    "DT_MISSING_ACTION_COLUMN": "warning",
}
"""The findings of loading a text; the verifier has its own."""


def severity_of(code: str) -> Severity:
    """The severity of a code of `LOAD_CODES`."""
    return LOAD_CODES[code]
