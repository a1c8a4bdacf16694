"""Expressions, values, types and cells as text, the same in both notations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

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
)
from orca.statemachine.tables import AnyCell, Cell, CellValue, ConditionDef, OutputDef, RangeCell

if TYPE_CHECKING:
    from orca.statemachine.model import ActionSignature, FrozenValue, InvokeDef

__all__ = [
    "cell_text",
    "domain_text",
    "expression_text",
    "guard_text",
    "invoke_text",
    "output_text",
    "quote",
    "signature_text",
    "value_text",
]

_LEVELS: Final[dict[type[GuardExpression], int]] = {
    GuardOr: 1,
    GuardAnd: 2,
    GuardNot: 3,
    GuardCompare: 4,
    GuardIn: 4,
    GuardNullcheck: 4,
    Negate: 7,
}
_ATOM: Final = 8
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def quote(text: str) -> str:
    r"""A string literal.

    Example:
        >>> print(quote('say "hi"\n'))
        "say \"hi\"\n"
    """
    parts: list[str] = []
    for character in text:
        if character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif (
            character < " " or character in "\x7f\x85\u2028\u2029\ufeff" or "\ud800" <= character <= "\udfff"
        ):
            parts.append(f"\\u{ord(character):04x}")
        else:
            parts.append(character)
    return f'"{"".join(parts)}"'


def value_text(value: FrozenValue) -> str:
    """A JSON value as a literal.

    Example:
        >>> value_text((1, -2.5, "a", None, True))
        '[1, -2.5, "a", null, true]'
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{quote(key)}: {value_text(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return f"[{', '.join(value_text(item) for item in value)}]"


def guard_text(node: GuardExpression) -> str:
    """A guard as it stands in a transition: ``else`` for what always holds."""
    return "else" if isinstance(node, GuardTrue) else expression_text(node)


def expression_text(node: GuardExpression) -> str:
    """An expression with as few parentheses as it can be read back from.

    Example:
        >>> x = VariableRef(("ctx", "x"))
        >>> expression_text(GuardNot(GuardAnd((GuardCompare("lt", x, ValueRef("number", 3)), x))))
        'not (ctx.x < 3 and ctx.x)'
    """
    return _text(node, 0)


def _level(node: GuardExpression) -> int:
    if isinstance(node, Arithmetic):
        return 5 if node.op in {"add", "sub"} else 6
    return _LEVELS.get(type(node), _ATOM)


def _text(node: GuardExpression, level: int) -> str:
    own = _level(node)
    text = _bare(node, own)
    return f"({text})" if own < level else text


def _bare(node: GuardExpression, own: int) -> str:
    if isinstance(node, GuardAnd | GuardOr):
        word = " and " if isinstance(node, GuardAnd) else " or "
        return word.join(_text(item, own + 1) for item in node.operands)
    if isinstance(node, GuardNot):
        return f"not {_text(node.expr, own)}"
    if isinstance(node, GuardCompare):
        return f"{_text(node.left, 5)} {COMPARISON_OPERATORS[node.op]} {_text(node.right, 5)}"
    if isinstance(node, GuardIn):
        return f"{_text(node.expr, 5)} in [{', '.join(value_text(item.value) for item in node.options)}]"
    if isinstance(node, GuardNullcheck):
        return f"{_text(node.expr, 5)} is {'' if node.is_null else 'not '}null"
    if isinstance(node, Arithmetic):
        return f"{_text(node.left, own)} {ARITHMETIC_OPERATORS[node.op]} {_text(node.right, own + 1)}"
    if isinstance(node, Negate):
        return f"-{_text(node.expr, own)}"
    if isinstance(node, ValueRef):
        return value_text(node.value)
    if isinstance(node, GuardRef):
        return node.name
    if isinstance(node, GuardTrue | GuardFalse):
        return "true" if isinstance(node, GuardTrue) else "false"
    assert isinstance(node, VariableRef)
    return str(node)


def signature_text(action: ActionSignature) -> str:
    """The signature of an action, without its name."""
    parameters = ", ".join(str(item) for item in action.parameters)
    effect = f" + Effect<{action.effect_type}>" if action.effect_type is not None else ""
    return f"({parameters}) -> {action.return_type}{effect}"


def invoke_text(invoke: InvokeDef) -> str:
    """What stands behind ``invoke:``."""
    parts = [invoke.machine]
    if invoke.input:
        pairs = ", ".join(f"{name}: {expression_text(value)}" for name, value in invoke.input)
        parts.append(f"input: {{ {pairs} }}")
    if invoke.shots is not None:
        parts.append(f"shots: {invoke.shots}")
    if invoke.returns:
        pairs = ", ".join(f"{parent}: {child}" for parent, child in invoke.returns)
        parts.append(f"returns: {{ {pairs} }}")
    if invoke.failures:
        parts.append(f"failures: [{', '.join(invoke.failures)}]")
    return " ".join(parts)


# ---- decision tables ----


def domain_text(condition: ConditionDef) -> str:
    """What stands under Values."""
    if condition.low is not None and condition.high is not None:
        return f"{_number(condition.low)}..{_number(condition.high)}"
    if condition.low is not None:
        return f">={_number(condition.low)}"
    if condition.high is not None:
        return f"<={_number(condition.high)}"
    return ", ".join(_word(value) for value in condition.values)


def cell_text(cell: Cell) -> str:
    """A condition cell."""
    if isinstance(cell, AnyCell):
        return "-"
    if isinstance(cell, RangeCell):
        return _range(cell)
    return ("!" if cell.negated else "") + ",".join(_scalar(value) for value in cell.values)


def _range(cell: RangeCell) -> str:
    if cell.low is not None and cell.high is not None:
        return f"{_number(cell.low)}..{_number(cell.high)}"
    if cell.low is not None:
        return f"{'>' if cell.low_open else '>='}{_number(cell.low)}"
    assert cell.high is not None
    return f"{'<' if cell.high_open else '<='}{_number(cell.high)}"


def output_text(output: OutputDef, value: CellValue | None) -> str:
    """An output cell."""
    if value is None:
        return "-"
    return _scalar(value) if output.type not in {"enum", "string"} else _word(str(value))


def _scalar(value: CellValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _word(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    if isinstance(value, int) or "e" not in repr(value):
        return repr(value)
    return f"{value:.30f}".rstrip("0").rstrip(".")


def _word(value: str) -> str:
    """A value that stands in a comma list; in quotes when it could be read otherwise."""
    plain = (
        value
        and value == value.strip()
        and not set(value) & set("\"'`,!|\\\n\r\t")
        and value not in {"-", "_", "*"}
    )
    if plain or {'"', "'"} <= set(value):
        # There is no mark for both kinds of quotes: such a value was read without any.
        return value
    mark = "'" if '"' in value else '"'
    return f"{mark}{value}{mark}"
