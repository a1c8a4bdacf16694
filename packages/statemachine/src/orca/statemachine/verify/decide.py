"""Questions about guards, answered by evaluating the real guards on the values that stand for all others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from orca.statemachine.guards import compile_guards, compile_value
from orca.statemachine.operations import truth
from orca.statemachine.verify.domains import Domains, Variable, build_domains, is_exact, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.guards import Evaluator
    from orca.statemachine.model import MachineDef

__all__ = ["PRODUCT_MAX", "Answer", "Decider", "Solver", "nested", "put_value"]

PRODUCT_MAX: Final = 100_000
"""Combinations of values that one question may try: tenths of a second; past it the answer is *not decided*."""

Solver: TypeAlias = (
    "Callable[[MachineDef, Sequence[tuple[GuardExpression, bool]]], Mapping[Variable, object] | bool | None]"
)
"""Decides what samples cannot: values under which each expression is as wanted, False for none, None unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Values that were asked for, or None; and whether None means that there are none."""

    values: Mapping[Variable, object] | None
    decided: bool = True


def nested(values: Mapping[Variable, object], root: str) -> dict[str, object]:
    """The values below ``ctx`` or ``event`` as the mapping that guards read."""
    found: dict[str, object] = {}
    for path, value in sorted(values.items()):
        if path[0] != root:
            continue
        put_value(found, path[1:], value)
    return found


def put_value(into: dict[str, object], path: Sequence[str], value: object) -> None:
    """Set a value below nested mappings, making those that are missing."""
    at = into
    for name in path[:-1]:
        inner = at.get(name)
        if not isinstance(inner, dict):
            inner = at[name] = {}
        at = cast("dict[str, object]", inner)
    at[path[-1]] = value


class Decider:
    """The guards of one machine with their variables and values.

    Args:
        machine: The machine.
        extra: Expressions besides the guards that will be asked about: invariants.
        solver: What decides about guards that samples cannot decide; may be None.
    """

    def __init__(
        self, machine: MachineDef, extra: Iterable[GuardExpression] = (), solver: Solver | None = None
    ) -> None:
        self.machine = machine
        self.guards = machine.guards
        self.solver = solver
        self.named = compile_guards(self.guards)
        used = [row.guard for row in machine.transitions if row.guard is not None]
        self.domains: Domains = build_domains(machine, [*used, *self.guards.values(), *extra])
        self._evaluators: dict[int, tuple[GuardExpression, Evaluator]] = {}
        self._variables: dict[int, tuple[GuardExpression, tuple[Variable, ...]]] = {}

    def variables(self, expression: GuardExpression) -> tuple[Variable, ...]:
        """What it reads. Expressions are kept by identity: they live as long as the machine."""
        found = self._variables.get(id(expression))
        if found is None:
            found = self._variables[id(expression)] = (expression, variables_of(expression, self.guards))
        return found[1]

    def exact(self, expression: GuardExpression) -> bool:
        """Whether the values decide everything about it."""
        return is_exact(expression, self.guards, self.domains)

    def holds(self, expression: GuardExpression, values: Mapping[Variable, object]) -> bool:
        """Whether it holds under values of its variables; *unknown* does not hold."""
        found = self._evaluators.get(id(expression))
        if found is None:
            found = (expression, compile_value(expression, self.named))
            self._evaluators[id(expression)] = found
        return truth(found[1](nested(values, "ctx"), nested(values, "event"))) is True

    def find(self, wanted: Sequence[tuple[GuardExpression, bool]]) -> Answer:
        """Values under which each expression holds or does not, as wanted."""
        names = tuple(dict.fromkeys(name for node, _ in wanted for name in self.variables(node)))
        choices = [self.domains.values[name] for name in names]
        exact = all(self.exact(node) for node, _ in wanted)
        if prod(map(len, choices)) <= PRODUCT_MAX:
            for combination in product(*choices):
                values = dict(zip(names, combination, strict=True))
                if all(self.holds(node, values) is want for node, want in wanted):
                    return Answer(values)
            if exact:
                return Answer(None)
        return self._solve(wanted)

    def find_with(
        self, expression: GuardExpression, known: Mapping[Variable, object], *, want: bool
    ) -> Mapping[Variable, object] | None:
        """Values, those that are known among them, under which an expression holds or does not."""
        names = [name for name in self.variables(expression) if name not in known]
        choices = [self.domains.values[name] for name in names]
        for combination in islice(product(*choices), PRODUCT_MAX):
            values = {**known, **dict(zip(names, combination, strict=True))}
            if self.holds(expression, values) is want:
                return values
        return None

    def _solve(self, wanted: Sequence[tuple[GuardExpression, bool]]) -> Answer:
        solved = None if self.solver is None else self.solver(self.machine, wanted)
        if solved is None or solved is True:
            return Answer(None, decided=False)
        if solved is False:
            return Answer(None)
        confirmed = all(self.holds(node, solved) is want for node, want in wanted)
        return Answer(solved) if confirmed else Answer(None, decided=False)
