"""For every value that guards read, a few values that stand for all others.

Guards over one number and constants cut the number line into cells; inside a cell no guard can tell two values
apart, so one value of each cell stands for it. Where numbers are compared with each other, each gap holds as many
values as there are numbers, so that every order among them occurs. Finite types are enumerated. What is left
(products, remainders, sums of several fields) gets samples, and the guard is marked as *inexact*: a value that is
found is a witness all the same, but none found proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Final, TypeAlias

from orca.statemachine.expr import (
    Arithmetic,
    GuardCompare,
    GuardExpression,
    GuardIn,
    GuardNullcheck,
    GuardRef,
    Negate,
    ValueRef,
    VariableRef,
    walk,
)
from orca.statemachine.model import MachineDef, TypeRef, thaw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["COMBINATIONS_MAX", "Domains", "Variable", "build_domains", "expand", "is_exact", "variables_of"]

Variable: TypeAlias = "tuple[str, ...]"
"""A path: ``("ctx", "health")``, ``("event", "order", "total")``."""

COMBINATIONS_MAX: Final = 2_000
"""Combinations of values that are tried for one guard while exploring; a guard that has more counts as inexact."""
_OTHER: Final = "other"
_EQUALITY: Final = frozenset({"eq", "ne"})
_SAMPLES: Final = (-2, -1, 0, 1, 2, 3, 5, 10)
"""Numbers tried where cells cannot be computed."""


@dataclass(frozen=True, slots=True)
class Domains:
    """The values that stand for all, by variable; ``inexact`` are those that are only samples."""

    values: Mapping[Variable, tuple[object, ...]]
    inexact: frozenset[Variable]


def expand(expression: GuardExpression, guards: Mapping[str, GuardExpression]) -> Iterator[GuardExpression]:
    """All nodes of a guard and of the declared guards that it refers to."""
    pending, seen = [expression], set[str]()
    while pending:
        for node in walk(pending.pop()):
            yield node
            if isinstance(node, GuardRef) and node.name not in seen and node.name in guards:
                seen.add(node.name)
                pending.append(guards[node.name])


def variables_of(expression: GuardExpression, guards: Mapping[str, GuardExpression]) -> tuple[Variable, ...]:
    """The variables that a guard reads, in the order in which it names them."""
    nodes = expand(expression, guards)
    return tuple(dict.fromkeys(node.path for node in nodes if isinstance(node, VariableRef)))


def is_exact(expression: GuardExpression, guards: Mapping[str, GuardExpression], domains: Domains) -> bool:
    """Whether the values of its variables stand for all others as far as this guard is concerned."""
    names = variables_of(expression, guards)
    few = prod(len(domains.values[name]) for name in names) <= COMBINATIONS_MAX
    return few and domains.inexact.isdisjoint(names)


Linear: TypeAlias = "tuple[dict[Variable, Fraction], Fraction]"


def _linear(node: GuardExpression) -> Linear | None:
    """A term as coefficients and a constant, or None when it is no linear term of numbers."""
    if isinstance(node, ValueRef):
        return ({}, Fraction(str(node.value))) if node.type == "number" else None
    if isinstance(node, VariableRef):
        return {node.path: Fraction(1)}, Fraction(0)
    if isinstance(node, Negate):
        inner = _linear(node.expr)
        return None if inner is None else _scaled(inner, Fraction(-1))
    if not isinstance(node, Arithmetic):
        return None
    left, right = _linear(node.left), _linear(node.right)
    if left is None or right is None:
        return None
    if node.op in {"add", "sub"}:
        return _sum(left, right if node.op == "add" else _scaled(right, Fraction(-1)))
    if node.op == "mul" and not (left[0] and right[0]):
        return _scaled(left, right[1]) if left[0] else _scaled(right, left[1])
    if node.op == "div" and not right[0] and right[1]:
        return _scaled(left, 1 / right[1])
    return None


def _scaled(term: Linear, factor: Fraction) -> Linear:
    return {name: value * factor for name, value in term[0].items()}, term[1] * factor


def _sum(left: Linear, right: Linear) -> Linear:
    found = dict(left[0])
    for name, value in right[0].items():
        found[name] = found.get(name, Fraction(0)) + value
    return {name: value for name, value in found.items() if value}, left[1] + right[1]


class _Collector:
    """What the guards of a machine say about each variable."""

    def __init__(self) -> None:
        self.cuts: dict[Variable, set[Fraction]] = {}
        self.constants: dict[Variable, set[str]] = {}
        self.used: dict[Variable, None] = {}
        self.parent: dict[Variable, Variable] = {}
        self.inexact: set[Variable] = set()
        self.ordered: set[Variable] = set()

    def root(self, name: Variable) -> Variable:
        while self.parent.setdefault(name, name) != name:
            name = self.parent[name]
        return name

    def read(self, expression: GuardExpression, guards: Mapping[str, GuardExpression]) -> None:
        for node in expand(expression, guards):
            if isinstance(node, VariableRef):
                self.used.setdefault(node.path)
                self.root(node.path)
            elif isinstance(node, GuardCompare):
                self.compare(node)
            elif isinstance(node, GuardIn):
                for option in node.options:
                    self.compare(GuardCompare("eq", node.expr, option))
            elif isinstance(node, GuardNullcheck) and not isinstance(node.expr, VariableRef):
                self.blur(node.expr)

    def compare(self, node: GuardCompare) -> None:
        left, right = _linear(node.left), _linear(node.right)
        if node.op not in _EQUALITY:
            names = [part.path for part in walk(node) if isinstance(part, VariableRef)]
            self.ordered.update(names)
        if left is None or right is None:
            self.other(node)
            return
        terms, constant = _sum(left, _scaled(right, Fraction(-1)))
        if len(terms) == 1:
            ((name, factor),) = terms.items()
            self.cuts.setdefault(name, set()).add(-constant / factor)
            written = [part.path for part in walk(node) if isinstance(part, VariableRef)]
            if len(written) > 1:
                self.blur(node)  # `x - x + y > 1` still asks whether x is a number
        elif len(terms) == 2 and not constant and sorted(terms.values()) == [-1, 1]:
            self.join(*terms)
        else:
            self.blur(node)

    def other(self, node: GuardCompare) -> None:
        """A comparison with something that is no number."""
        sides = (node.left, node.right)
        names = [side.path for side in sides if isinstance(side, VariableRef)]
        values = [side for side in sides if isinstance(side, ValueRef)]
        if len(names) == 1 and len(values) == 1:
            if values[0].type == "string":
                self.constants.setdefault(names[0], set()).add(str(values[0].value))
            return
        self.blur(node)

    def join(self, one: Variable, other: Variable) -> None:
        self.parent[self.root(one)] = self.root(other)

    def blur(self, node: GuardExpression) -> None:
        """Cells cannot be computed: its variables get samples, around the numbers that it names."""
        names = [part.path for part in walk(node) if isinstance(part, VariableRef)]
        numbers = {
            Fraction(str(part.value))
            for part in walk(node)
            if isinstance(part, ValueRef) and part.type == "number"
        }
        for name in names:
            self.inexact.add(name)
            self.cuts.setdefault(name, set()).update(numbers, map(Fraction, _SAMPLES))


def _numbers(cuts: Iterable[Fraction], *, whole: bool, share: int) -> list[int | float]:
    """The cuts themselves and ``share`` values in every gap between and beyond them."""
    found: list[Fraction] = []
    ordered = sorted(set(cuts)) or [Fraction(0)]
    step = Fraction(1) if whole else Fraction(1, 2)
    low = Fraction(ordered[0].__floor__()) if whole else ordered[0]
    high = Fraction(ordered[-1].__ceil__()) if whole else ordered[-1]
    found += [low - step * number for number in range(share, 0, -1)]
    found += [high + step * number for number in range(1, share + 1)]
    found += [cut for cut in ordered if not whole or cut.denominator == 1]
    if whole:
        found += [low, high]
    for one, other in pairwise(ordered):
        if whole:
            first = one.__floor__() + 1
            inside = range(first, min(first + share, other.__ceil__()))
            found += [Fraction(number) for number in inside]
        else:
            found += [one + (other - one) * number / (share + 1) for number in range(1, share + 1)]
    return [int(value) if value.denominator == 1 else float(value) for value in sorted(set(found))]


def _texts(constants: Iterable[str]) -> list[object]:
    found = sorted({*constants, ""})
    fresh = _OTHER
    while fresh in found:
        fresh += "_"
    return [*found, fresh]


def _typed(kind: TypeRef, numbers: list[int | float], texts: list[object], sample: object) -> list[object]:
    if kind.kind in {"int", "decimal"}:
        return list(numbers)
    if kind.kind == "bool":
        return [False, True]
    if kind.kind == "enum" and kind.choices:
        return list(kind.choices)
    if kind.kind in {"string", "enum"}:
        return texts
    if kind.kind == "list":
        return [[], [sample]]
    if kind.kind in {"map", "record"}:
        return [{}, {"key": sample}]
    return [None, False, True, *numbers, *texts]


def build_domains(
    machine: MachineDef, expressions: Iterable[GuardExpression], extra: Iterable[Variable] = ()
) -> Domains:
    """The values that stand for all, for every variable that the expressions read.

    Args:
        machine: Whose context the variables are in.
        expressions: All guards and invariants that will be evaluated together.
        extra: Variables that are wanted besides.
    """
    collector = _Collector()
    for expression in expressions:
        collector.read(expression, machine.guards)
    for name in extra:
        collector.used.setdefault(name)
        collector.root(name)
    members: dict[Variable, list[Variable]] = {}
    for name in collector.used:
        members.setdefault(collector.root(name), []).append(name)
    fields = {item.name: item for item in machine.fields}
    values: dict[Variable, tuple[object, ...]] = {}
    deeper = {name[:2] for name in collector.used if len(name) > 2}
    for group in members.values():
        cuts = {cut for name in group for cut in collector.cuts.get(name, ())}
        constants = {text for name in group for text in collector.constants.get(name, ())}
        if len(group) > 1 or any(name in collector.ordered for name in group):
            cuts = cuts or {Fraction(0)}
        texts = _texts(constants)
        if any(name in collector.ordered for name in group) and constants:
            texts = [*texts, *(text + "~" for text in sorted(constants))]
        for name in group:
            field = fields.get(name[1]) if len(name) == 2 and name[0] == "ctx" else None
            whole = field is not None and field.type.kind == "int"
            wanted = bool(cuts) or (field is not None and field.type.kind in {"int", "decimal"})
            numbers = (
                _numbers(cuts | {Fraction(0)} if wanted else (), whole=whole, share=len(group))
                if wanted
                else []
            )
            if field is None:
                found: list[object] = [None, *numbers, *texts, False, True]
            else:
                found = _typed(field.type, numbers, texts, "item")
                empty = field.type.optional or (not field.has_default) or thaw(field.default) is None
                if empty and None not in found:
                    found.append(None)
            if name in deeper:
                collector.inexact.add(name)  # read as a whole and in parts: the parts decide
            values[name] = tuple(found)
    return Domains(values, frozenset(collector.inexact))
