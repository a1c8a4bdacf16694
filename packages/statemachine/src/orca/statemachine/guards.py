"""Guards as Python closures: compiled once, three-valued, without a way to Python's attributes.

An evaluator takes the context and the payload of the event and gives a JSON value or an `Unknown`.
Only mappings are traversed; whatever is missing is null. *Unknown* comes from arithmetic and ordered
comparisons with null or with mixed types; ``not`` of it is unknown, ``and`` and ``or`` follow Kleene's
strong logic, and at the top it counts as false. Booleans are not numbers, and no string becomes a number.

Source: S. C. Kleene, Introduction to Metamathematics, 1952, section 64 (strong three-valued connectives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from orca.common.errors import OrcaError
from orca.statemachine.expr import (
    ARITHMETIC_OPERATORS,
    COMPARISON_OPERATORS,
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardExpression,
    GuardFalse,
    GuardIn,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
    children,
)
from orca.statemachine.operations import (
    ARITHMETIC,
    ORDERINGS,
    Unknown,
    equal,
    is_number,
    kind_of,
    truth,
)

__all__ = [
    "MAX_GUARD_DEPTH",
    "CompiledGuard",
    "Evaluator",
    "GuardError",
    "Unknown",
    "compile_guard",
    "compile_guards",
    "compile_value",
]

MAX_GUARD_DEPTH: Final = 64
"""How deep operators may be nested, references to other guards included.

Closures call each other once for each level: this stays far below Python's own limit of 1,000 frames, and no
guard that people read comes near it (chains of ``and`` and ``or`` count as one level).
"""

_PLAIN_NUMBERS: Final = frozenset({int, float})

Evaluator: TypeAlias = "Callable[[Mapping[str, object], object], object]"
"""``evaluator(context, payload)`` gives a value or an `Unknown`."""


class GuardError(OrcaError, ValueError):
    """An expression cannot be compiled: an undeclared guard, guards in a circle, or too deep a nesting."""

    code = "GUARD_ERROR"


class CompiledGuard:
    """A guard that is ready to be called.

    Example:
        >>> from orca.statemachine.expr import GuardCompare, ValueRef, VariableRef
        >>> guard = compile_guard(GuardCompare("le", VariableRef(("ctx", "health")), ValueRef("number", 0)))
        >>> guard({"health": -5}), guard({"health": 7}), guard({})
        (True, False, False)
        >>> guard.explain({})
        (None, 'null <= 0 has no answer')
    """

    __slots__ = ("evaluate",)

    def __init__(self, evaluate: Evaluator) -> None:
        self.evaluate = evaluate

    def __call__(self, context: Mapping[str, object], payload: object = None) -> bool:
        """Whether the guard holds; unknown counts as false."""
        return truth(self.evaluate(context, payload)) is True

    def explain(self, context: Mapping[str, object], payload: object = None) -> tuple[bool | None, str]:
        """The verdict (None for unknown) and, for unknown, the reason."""
        verdict = truth(self.evaluate(context, payload))
        if isinstance(verdict, Unknown):
            return None, str(verdict)
        return verdict, ""


def compile_guard(
    expression: GuardExpression, guards: Mapping[str, Evaluator] | None = None
) -> CompiledGuard:
    """Compile an expression to a guard.

    Args:
        expression: A resolved expression (paths begin with ``ctx`` or ``event``).
        guards: What the names of guards mean, from `compile_guards` or written in Python.

    Raises:
        GuardError: A guard is not in ``guards``, or the nesting is deeper than `MAX_GUARD_DEPTH`.
    """
    return CompiledGuard(compile_value(expression, guards))


def compile_guards(
    expressions: Mapping[str, GuardExpression], given: Mapping[str, Evaluator] | None = None
) -> dict[str, Evaluator]:
    """Compile all named guards of a machine, in the order of their references.

    Args:
        expressions: The declared guards by name, as in ``MachineDef.guards``.
        given: Evaluators that replace declared guards or add to them, written in Python.

    Raises:
        GuardError: Guards refer to each other in a circle, to a name that is not there, or too deeply.
    """
    done: dict[str, Evaluator] = dict(given or {})
    depths = dict.fromkeys(done, 1)
    for first in expressions:
        pending = [first]
        while pending:
            name = pending[-1]
            if name in done:
                pending.pop()
                continue
            if name not in expressions:
                raise GuardError(f"guard `{name}` is not declared")
            needed = [ref for ref in _references(expressions[name]) if ref not in done]
            if any(ref in pending for ref in needed):
                raise GuardError(
                    f"guards refer to each other in a circle: {' -> '.join([*pending, *needed])}"
                )
            if needed:
                pending.extend(needed[:1])
                continue
            depths[name] = depth(expressions[name], depths)
            done[name] = compile_value(expressions[name], done, depths=depths)
            pending.pop()
    return done


def compile_value(
    expression: GuardExpression,
    guards: Mapping[str, Evaluator] | None = None,
    *,
    depths: Mapping[str, int] | None = None,
) -> Evaluator:
    """Compile an expression to an evaluator that gives its value, not only its truth.

    Raises:
        GuardError: As for `compile_guard`.
    """
    if depth(expression, depths or {}) > MAX_GUARD_DEPTH:
        raise GuardError(f"the expression is nested deeper than {MAX_GUARD_DEPTH} levels")
    return _compile(expression, guards or {})


def depth(expression: GuardExpression, named: Mapping[str, int]) -> int:
    """How many levels of operators an expression has; ``named`` gives the levels of named guards."""
    deepest = 0
    pending = [(expression, 1)]
    while pending:
        node, level = pending.pop()
        if isinstance(node, GuardRef):
            level += named.get(node.name, 0)
        deepest = max(deepest, level)
        pending.extend((child, level + 1) for child in children(node))
    return deepest


def _references(expression: GuardExpression) -> list[str]:
    names: list[str] = []
    pending = [expression]
    while pending:
        node = pending.pop()
        if isinstance(node, GuardRef):
            names.append(node.name)
        pending.extend(children(node))
    return names


def _compile(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    maker = _MAKERS.get(type(node))
    if maker is None:
        raise GuardError(f"{type(node).__name__} is not an expression")
    return maker(node, guards)


def _constant(value: object) -> Evaluator:
    return lambda _context, _payload: value


def _compile_true(_node: GuardExpression, _guards: Mapping[str, Evaluator]) -> Evaluator:
    return _constant(True)


def _compile_false(_node: GuardExpression, _guards: Mapping[str, Evaluator]) -> Evaluator:
    return _constant(False)


def _compile_value_ref(node: GuardExpression, _guards: Mapping[str, Evaluator]) -> Evaluator:
    return _constant(cast("ValueRef", node).value)


def _compile_ref(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    name = cast("GuardRef", node).name
    if name not in guards:
        raise GuardError(f"guard `{name}` is not declared")
    inner = guards[name]

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        return truth(inner(context, payload))

    return evaluate


def _compile_variable(node: GuardExpression, _guards: Mapping[str, Evaluator]) -> Evaluator:
    root, *names = cast("VariableRef", node).path
    if root not in {"ctx", "event"}:
        raise GuardError(f"`{node}` is not resolved: a path begins with `ctx` or `event`")
    if root == "ctx" and len(names) == 1:
        return _compile_field(names[0])
    from_context = root == "ctx"

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        value: object = context if from_context else payload
        for name in names:
            if not isinstance(value, Mapping):
                return None
            value = cast("Mapping[str, object]", value).get(name)
        return value

    return evaluate


def _compile_field(name: str) -> Evaluator:
    def evaluate(context: Mapping[str, object], _payload: object) -> object:
        return context.get(name)

    return evaluate


def _compile_not(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    inner = _compile(cast("GuardNot", node).expr, guards)

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        value = truth(inner(context, payload))
        return value if isinstance(value, Unknown) else not value

    return evaluate


def _compile_and(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    parts = tuple(_compile(item, guards) for item in cast("GuardAnd", node).operands)

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        result: object = True
        for part in parts:
            value = truth(part(context, payload))
            if value is False:
                return False
            if value is not True:
                result = value
        return result

    return evaluate


def _compile_or(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    parts = tuple(_compile(item, guards) for item in cast("GuardOr", node).operands)

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        result: object = False
        for part in parts:
            value = truth(part(context, payload))
            if value is True:
                return True
            if value is not False:
                result = value
        return result

    return evaluate


def _compile_compare(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    compare = cast("GuardCompare", node)
    left, right = _compile(compare.left, guards), _compile(compare.right, guards)
    if compare.op in {"eq", "ne"}:
        return _compile_equality(left, right, wanted=compare.op == "eq")
    order = ORDERINGS[compare.op]
    sign = COMPARISON_OPERATORS[compare.op]
    if isinstance(compare.left, VariableRef) and isinstance(compare.right, ValueRef):
        limit = compare.right.value
        if compare.right.type == "number" and isinstance(limit, int | float):
            return _compile_limit(left, order, sign, limit)

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        a, b = left(context, payload), right(context, payload)
        if type(a) in _PLAIN_NUMBERS and type(b) in _PLAIN_NUMBERS:
            return order(a, b)
        kind = kind_of(a)
        if kind == kind_of(b) and kind in {"number", "string"}:
            return order(a, b)
        return _unknown(sign, a, b)

    return evaluate


def _compile_limit(left: Evaluator, order: Callable[[Any, Any], bool], sign: str, limit: float) -> Evaluator:
    """A path against a number, which most guards are: the common kinds are told by one comparison."""

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        a = left(context, payload)
        kind = type(a)
        if kind is int or kind is float or is_number(a):
            return order(a, limit)
        return _unknown(sign, a, limit)

    return evaluate


def _compile_equality(left: Evaluator, right: Evaluator, *, wanted: bool) -> Evaluator:
    def evaluate(context: Mapping[str, object], payload: object) -> object:
        a, b = left(context, payload), right(context, payload)
        if isinstance(a, Unknown):
            return a
        if isinstance(b, Unknown):
            return b
        return equal(a, b) is wanted

    return evaluate


def _compile_in(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    member = cast("GuardIn", node)
    inner = _compile(member.expr, guards)
    options = tuple(option.value for option in member.options)

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        value = inner(context, payload)
        return value if isinstance(value, Unknown) else any(equal(value, option) for option in options)

    return evaluate


def _compile_null(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    check = cast("GuardNullcheck", node)
    inner, wanted = _compile(check.expr, guards), check.is_null

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        value = inner(context, payload)
        return value if isinstance(value, Unknown) else (value is None) is wanted

    return evaluate


def _compile_arithmetic(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    term = cast("Arithmetic", node)
    left, right = _compile(term.left, guards), _compile(term.right, guards)
    operate, sign = ARITHMETIC[term.op], ARITHMETIC_OPERATORS[term.op]

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        a, b = left(context, payload), right(context, payload)
        if not (is_number(a) and is_number(b)):
            return _unknown(sign, a, b)
        try:
            return operate(a, b)
        except (ArithmeticError, TypeError):
            # Division by zero, a number too large for float, or Decimal mixed with float.
            return Unknown(sign, a, b)

    return evaluate


def _compile_negate(node: GuardExpression, guards: Mapping[str, Evaluator]) -> Evaluator:
    inner = _compile(cast("Negate", node).expr, guards)

    def evaluate(context: Mapping[str, object], payload: object) -> object:
        value = inner(context, payload)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return -value
        return _unknown("-", 0, value)

    return evaluate


def _unknown(sign: str, left: object, right: object) -> Unknown:
    """The operand that was unknown first, else the operation that has no answer."""
    if isinstance(left, Unknown):
        return left
    return right if isinstance(right, Unknown) else Unknown(sign, left, right)


_MAKERS: Final[
    dict[type[GuardExpression], Callable[[GuardExpression, Mapping[str, Evaluator]], Evaluator]]
] = {
    GuardTrue: _compile_true,
    GuardFalse: _compile_false,
    ValueRef: _compile_value_ref,
    VariableRef: _compile_variable,
    GuardRef: _compile_ref,
    GuardNot: _compile_not,
    GuardAnd: _compile_and,
    GuardOr: _compile_or,
    GuardCompare: _compile_compare,
    GuardIn: _compile_in,
    GuardNullcheck: _compile_null,
    Arithmetic: _compile_arithmetic,
    Negate: _compile_negate,
}
