"""Findings of the verifier as the diagnostics that terminal, JSON and SARIF show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.diagnostics import Diagnostic

if TYPE_CHECKING:
    from orca.statemachine.verify.findings import Finding

__all__ = ["diagnose"]


def diagnose(finding: Finding, file: str) -> Diagnostic:
    """A finding as a diagnostic of a file; witness and trace are notes for a person and data for a program."""
    notes: list[str] = []
    if finding.witness:
        notes.append(
            "for example " + ", ".join(f"{name} = {value!r}" for name, value in finding.witness.items())
        )
    data: dict[str, object] = {"machine": finding.machine}
    if finding.witness:
        data["witness"] = dict(finding.witness)
    if finding.trace is not None:
        notes.append(f"shown by: {finding.trace.describe()}")
        data["trace"] = finding.trace.to_json()
    return Diagnostic(
        finding.code,
        finding.severity,
        finding.message,
        file,
        finding.span,
        finding.suggestion,
        notes=tuple(notes),
        data=data,
    )
