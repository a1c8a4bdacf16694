"""What all checks of one machine share: its plan, its guards, its graph, and how findings are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orca.statemachine.engine import compile_plan
from orca.statemachine.expr import GuardTrue
from orca.statemachine.model import Invariant, MachineDef, StateDef, Transition
from orca.statemachine.verify.decide import Decider
from orca.statemachine.verify.explore import BUDGET, Explorer
from orca.statemachine.verify.fast import FastGraph, eligible
from orca.statemachine.verify.findings import VERIFY_CODES, Finding, Severity, Trace
from orca.statemachine.verify.traces import build_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.span import Span
    from orca.statemachine.verify.decide import Solver
    from orca.statemachine.verify.domains import Variable
    from orca.statemachine.verify.explore import Edge, Space

GUARD_FREE_SHARE: Final = 50
"""Configurations of a machine without guards for each one of the budget: they cost about a hundredth."""

__all__ = ["Analysis", "Options", "is_open"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify.

    Attributes:
        budget: Configurations that are explored for each machine.
        severities: Severities that differ from the usual ones, by code; ``off`` leaves a code out.
        solver: What decides about guards that samples cannot decide; None for nothing.
    """

    budget: int = BUDGET
    severities: Mapping[str, str] = field(default_factory=dict[str, str])
    solver: Solver | None = None


def is_open(guard: GuardExpression | None) -> bool:
    """Whether a transition has no condition: none at all, or ``else``."""
    return guard is None or isinstance(guard, GuardTrue)


class Analysis:
    """The machine with everything that the checks read; findings collect in ``findings``.

    Args:
        machine: The machine.
        options: How to verify.
    """

    def __init__(self, machine: MachineDef, options: Options) -> None:
        self.machine = machine
        self.options = options
        self.plan = compile_plan(machine)
        invariants = [item.expression for item in machine.properties if isinstance(item, Invariant)]
        self.decider = Decider(machine, invariants, options.solver)
        self.items: dict[str, StateDef] = {
            item.path: item for item in machine.walk() if isinstance(item, StateDef)
        }
        self.findings: list[Finding] = []
        self.undecided: list[str] = []
        self.blurred = [
            row for row in machine.transitions if row.guard is not None and not self.decider.exact(row.guard)
        ]
        self.space: Space = self._explore(free=False)
        self.loose: Space = self._explore(free=True) if self.blurred else self.space

    def _explore(self, *, free: bool) -> Space:
        if eligible(self.plan):
            return FastGraph(self.plan).explore(self.options.budget * GUARD_FREE_SHARE)
        return Explorer(self.plan, self.decider, free=free).explore(self.options.budget)

    @property
    def complete(self) -> bool:
        """Whether the graph that allows everything has everything."""
        return self.loose.complete

    def bit(self, path: str) -> int:
        """A state as a bit."""
        return 1 << self.plan.by_path[path]

    def report(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        suggestion: str = "",
        way: Sequence[Edge] | None = None,
        final: Mapping[Variable, object] | None = None,
        witness: Mapping[Variable, object] | None = None,
        severity: Severity | None = None,
    ) -> None:
        """Add a finding, with the trace along ``way`` when there is one."""
        trace: Trace | None = None
        if way is not None:
            trace = build_trace(self.plan, self.space, way, final)
        shown = {".".join(name): value for name, value in (witness or {}).items()}
        usual = severity or VERIFY_CODES[code]
        self.findings.append(Finding(code, usual, message, span, suggestion, trace, shown, self.machine.name))

    def is_blurred(self, row: Transition) -> bool:
        """Whether its guard is one that the values do not decide."""
        return any(row is other for other in self.blurred)
