"""Findings of the verifier as the diagnostics that terminal, JSON and SARIF show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.diagnostics import Diagnostic, FlowStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orca.statemachine.model import MachineDef
    from orca.statemachine.span import Span
    from orca.statemachine.verify.findings import Finding, Trace, TraceStep

__all__ = ["diagnose"]


def diagnose(finding: Finding, file: str, machine: MachineDef | None = None) -> Diagnostic:
    """A finding as a diagnostic of a file; witness and trace are notes for a person and data for a program.

    Args:
        finding: The finding.
        file: The file that it is about.
        machine: The machine that it is about, so that the steps of its trace have places in the file.
    """
    notes: list[str] = []
    if finding.witness:
        notes.append(
            "for example " + ", ".join(f"{name} = {value!r}" for name, value in finding.witness.items())
        )
    data: dict[str, object] = {"machine": finding.machine}
    flow: tuple[FlowStep, ...] = ()
    if finding.witness:
        data["witness"] = dict(finding.witness)
    if finding.trace is not None:
        notes.append(f"shown by: {finding.trace.describe()}")
        data["trace"] = finding.trace.to_json()
        flow = tuple(_flow(finding.trace, machine))
    return Diagnostic(
        finding.code,
        finding.severity,
        finding.message,
        file,
        finding.span,
        finding.suggestion,
        notes=tuple(notes),
        data=data,
        flow=flow,
    )


def _flow(trace: Trace, machine: MachineDef | None) -> Iterator[FlowStep]:
    yield _flow_step("start", trace.start, trace.context, machine)
    for step in trace.steps:
        yield _flow_step(step.event, step, {**step.sets, **_assigned(step)}, machine)


def _assigned(step: TraceStep) -> dict[str, object]:
    return {name: value for action in step.actions for name, value in action.sets.items()}


def _flow_step(
    what: str, step: TraceStep, context: Mapping[str, object], machine: MachineDef | None
) -> FlowStep:
    where = ", ".join(step.leaves) or "never stable"
    values = {"configuration": where}
    values |= {f"event.{name}": repr(value) for name, value in step.payload.items()}
    values |= {f"ctx.{name}": repr(value) for name, value in context.items()}
    fails = "".join(f"; {action.name} fails" for action in step.actions if action.fails)
    return FlowStep(f"{what}{fails}: {where}", _place(step, machine), values)


def _place(step: TraceStep, machine: MachineDef | None) -> Span | None:
    """Where the first active leaf is declared; the machine itself for a step that never ends."""
    if machine is None:
        return None
    found = machine.find(step.leaves[0]) if step.leaves else None
    return found.span if found is not None else machine.span
