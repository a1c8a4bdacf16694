"""z3 for guards with arithmetic that cells cannot decide. It is optional and loads when it is first needed.

Only guards over declared numbers of the context that are never null are translated: there *unknown* does not occur,
except by division, which is not translated.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from orca.statemachine.expr import (
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardExpression,
    GuardFalse,
    GuardIn,
    GuardNot,
    GuardOr,
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.model import MachineDef
    from orca.statemachine.verify.domains import Variable

__all__ = ["SOLVER_MS_MAX", "solve_with_z3", "z3_is_there"]

SOLVER_MS_MAX: Final = 2_000
"""Milliseconds for one question; past it the answer is *not decided*."""


class _NotTranslatedError(Exception):
    """The guard is not of the kind that z3 is asked about."""


def z3_is_there() -> bool:
    """Whether the optional package is installed; does not load it."""
    from importlib.util import find_spec  # noqa: PLC0415 - only asked by the command line

    return find_spec("z3") is not None


class _Translator:
    def __init__(self, machine: MachineDef, z3: Any) -> None:
        self.machine = machine
        self.z3 = z3
        self.variables: dict[Variable, Any] = {}
        self.fields = {item.name: item for item in machine.fields}

    def variable(self, node: VariableRef) -> Any:
        field = self.fields.get(node.path[1]) if node.root == "ctx" and len(node.path) == 2 else None
        known = (
            field is not None and field.has_default and field.default is not None and not field.type.optional
        )
        if field is None or not known or field.type.kind not in {"int", "decimal"}:
            raise _NotTranslatedError
        make = self.z3.Int if field.type.kind == "int" else self.z3.Real
        return self.variables.setdefault(node.path, make(".".join(node.path)))

    def term(self, node: GuardExpression) -> Any:
        if isinstance(node, VariableRef):
            return self.variable(node)
        if isinstance(node, ValueRef) and node.type == "number":
            return (
                self.z3.RealVal(str(node.value))
                if isinstance(node.value, float)
                else self.z3.IntVal(node.value)
            )
        if isinstance(node, Negate):
            return -self.term(node.expr)
        if isinstance(node, Arithmetic) and node.op in {"add", "sub", "mul"}:
            left, right = self.term(node.left), self.term(node.right)
            return {"add": left + right, "sub": left - right, "mul": left * right}[node.op]
        if isinstance(node, Arithmetic) and node.op == "mod":
            return self.remainder(node)
        raise _NotTranslatedError

    def remainder(self, node: Arithmetic) -> Any:
        """For a positive whole divisor both languages mean the same."""
        left, by = self.term(node.left), node.right
        if not (isinstance(by, ValueRef) and isinstance(by.value, int) and by.value > 0 and left.is_int()):
            raise _NotTranslatedError
        return left % by.value

    def truth(self, node: GuardExpression) -> Any:
        z3 = self.z3
        if isinstance(node, GuardTrue | GuardFalse):
            return z3.BoolVal(isinstance(node, GuardTrue))
        if isinstance(node, GuardAnd | GuardOr):
            join = z3.And if isinstance(node, GuardAnd) else z3.Or
            return join(*[self.truth(part) for part in node.operands])
        if isinstance(node, GuardNot):
            return z3.Not(self.truth(node.expr))
        if isinstance(node, GuardRef):
            return self.truth(self.machine.guards[node.name])
        if isinstance(node, GuardIn):
            return z3.Or(*[self.term(node.expr) == self.term(option) for option in node.options])
        if isinstance(node, GuardCompare):
            left, right = self.term(node.left), self.term(node.right)
            return {
                "eq": lambda: left == right,
                "ne": lambda: left != right,
                "lt": lambda: left < right,
                "le": lambda: left <= right,
                "gt": lambda: left > right,
                "ge": lambda: left >= right,
            }[node.op]()
        return self.term(node) != 0

    def values(self, model: Any) -> dict[Variable, object]:
        found: dict[Variable, object] = {}
        for path, variable in self.variables.items():
            value = model.eval(variable, model_completion=True)
            if self.z3.is_int_value(value):
                found[path] = value.as_long()
            elif self.z3.is_rational_value(value):
                found[path] = value.numerator_as_long() / value.denominator_as_long()
            else:
                raise _NotTranslatedError  # an irrational number: nothing that a context can hold
        return found


def solve_with_z3(
    machine: MachineDef, wanted: Sequence[tuple[GuardExpression, bool]]
) -> Mapping[Variable, object] | bool | None:
    """Values under which each expression is as wanted; False for none, None when z3 cannot say.

    Raises:
        ImportError: z3 is not installed.
    """
    z3: Any = importlib.import_module("z3")
    work = _Translator(machine, z3)
    solver = z3.Solver()
    solver.set("timeout", SOLVER_MS_MAX)
    try:
        for node, want in wanted:
            found = work.truth(node)
            solver.add(found if want else z3.Not(found))
        answer = solver.check()
        if answer == z3.sat:
            return work.values(solver.model())
    except _NotTranslatedError:
        return None
    return False if answer == z3.unsat else None
