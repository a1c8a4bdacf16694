"""Verify machines and tables: every check, one report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from orca.statemachine.verify.analysis import Analysis, Options
from orca.statemachine.verify.decision import check_table
from orca.statemachine.verify.determinism import check_determinism
from orca.statemachine.verify.findings import VERIFY_CODES, Finding, Report
from orca.statemachine.verify.multi import check_invocations, check_uses
from orca.statemachine.verify.properties import check_properties
from orca.statemachine.verify.structure import check_names, check_structure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orca.statemachine.model import Document, MachineDef
    from orca.statemachine.tables import DecisionTableDef
    from orca.statemachine.verify.findings import Severity

DEFAULT_OPTIONS: Final = Options()

__all__ = ["Options", "verify", "verify_document"]


def verify(
    machines: Sequence[MachineDef],
    tables: Iterable[DecisionTableDef] = (),
    *,
    options: Options = DEFAULT_OPTIONS,
) -> Report:
    """Verify machines that belong together, and decision tables.

    Args:
        machines: Machines that loaded without errors; those that invoke each other together.
        tables: Tables besides those that the machines hold.
        options: Budget, severities, solver.

    Example:
        >>> from orca.statemachine.model import MachineDef, StateDef, Transition
        >>> states = (StateDef("a", "a", is_initial=True), StateDef("b", "b"))
        >>> report = verify([MachineDef("M", states=states, transitions=(Transition("a", "go", "b"),))])
        >>> [(finding.code, finding.trace.events) for finding in report.findings if finding.trace]
        [('DEADLOCK', ('go',))]
    """
    findings: list[Finding] = []
    configurations, complete = 0, True
    every = {table.name: table for machine in machines for table in machine.tables}
    every |= {table.name: table for table in tables}
    for machine in machines:
        analysis = Analysis(machine, options)
        check_structure(analysis)
        check_names(analysis)
        check_determinism(analysis)
        check_properties(analysis)
        findings += analysis.findings
        findings += check_uses(machine, every.values())
        configurations += analysis.space.size
        findings += _inconclusive(analysis)
        complete = complete and analysis.complete and not analysis.undecided
    findings += check_invocations(machines)
    for table in every.values():
        findings += check_table(table)
    kept = [found for finding in findings if (found := _with_severity(finding, options)) is not None]
    order = {machine.name: place for place, machine in enumerate(machines)}
    kept.sort(
        key=lambda found: (order.get(found.machine, len(order)), found.span.start if found.span else -1)
    )
    return Report(tuple(kept), configurations, complete)


def verify_document(document: Document, *, options: Options = DEFAULT_OPTIONS) -> Report:
    """Verify everything in a document."""
    return verify(document.machines, document.tables, options=options)


def _inconclusive(analysis: Analysis) -> list[Finding]:
    """What was not decided, said once for each machine."""
    name = analysis.machine.name
    reasons: list[str] = []
    if not analysis.complete:
        reasons.append(f"the budget of {analysis.options.budget} configurations is used up")
    if analysis.undecided:
        reasons.append("not decided: " + "; ".join(dict.fromkeys(analysis.undecided)))
    if not reasons:
        return []
    hint = "raise the budget (orca machine check --budget N)" if not analysis.complete else (
        "arithmetic in guards is decided when z3 is installed: pip install 'orca-statemachine[z3]'"
    )  # fmt: skip
    message = f"machine `{name}` was not verified wholly: {'; '.join(reasons)}"
    severity = VERIFY_CODES["INCONCLUSIVE"]
    return [Finding("INCONCLUSIVE", severity, message, analysis.machine.span, hint, None, {}, name)]


def _with_severity(finding: Finding, options: Options) -> Finding | None:
    wanted = options.severities.get(finding.code)
    if wanted is None:
        return finding
    return None if wanted == "off" else replace(finding, severity=cast("Severity", wanted))
