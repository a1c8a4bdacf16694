"""What the operators of guards do to values: kinds, equality, order, truth and *unknown*."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

__all__ = ["ARITHMETIC", "ORDERINGS", "Unknown", "equal", "is_number", "kind_of", "truth"]

_SHOWN_LENGTH: Final = 40
"""How much of an operand a reason repeats: enough to recognise it, never a whole document."""


class Unknown:
    """The third truth value, with the operation that had no answer."""

    __slots__ = ("left", "right", "sign")

    def __init__(self, sign: str, left: object, right: object) -> None:
        self.sign = sign
        self.left = left
        self.right = right

    def __str__(self) -> str:
        return f"{_shown(self.left)} {self.sign} {_shown(self.right)} has no answer"

    def __repr__(self) -> str:
        return f"Unknown({self})"


def _shown(value: object) -> str:
    kind = kind_of(value)
    if kind in {"null", "boolean"}:
        return {None: "null", True: "true", False: "false"}[cast("bool | None", value)]
    if kind not in {"number", "string"}:
        return f"a {kind}"
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."


def is_number(value: object) -> bool:
    """Whether a value is a number; booleans are not."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def kind_of(value: object) -> str:
    """``null boolean number string list map`` or ``unknown`` or ``other``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, Mapping):
        return "map"
    return "unknown" if isinstance(value, Unknown) else "other"


def truth(value: object) -> bool | Unknown:
    """The truth of a value: null, zero and whatever is empty are false; unknown stays unknown."""
    if value is True or value is False or isinstance(value, Unknown):
        return value
    if value is None:
        return False
    if isinstance(value, int | float | Decimal):
        return value != 0
    if isinstance(value, str | list | tuple | Mapping):
        return len(cast("Sequence[object]", value)) > 0
    # Whatever else a program put into its context is there: its own methods are never asked.
    return True


def equal(left: object, right: object) -> bool:
    """Whether two values are the same; values of different kinds never are, at any depth.

    Objects that are not JSON are the same only when they are one object.
    """
    pending: list[tuple[object, object]] = [(left, right)]
    while pending:
        a, b = pending.pop()
        kind = kind_of(a)
        if kind != kind_of(b):
            return False
        if a is b and kind in {"list", "map"}:
            continue
        if kind == "list":
            one, two = cast("Sequence[object]", a), cast("Sequence[object]", b)
            if len(one) != len(two):
                return False
            pending.extend(zip(one, two, strict=True))
        elif kind == "map":
            first, second = cast("Mapping[object, object]", a), cast("Mapping[object, object]", b)
            if first.keys() != second.keys():
                return False
            pending.extend((item, second[key]) for key, item in first.items())
        elif a is not b and (kind == "other" or a != b):
            return False
    return True


# The operands were checked to be of one ordered kind before any of these is called.
ORDERINGS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": lambda left, right: left / right,
    "mod": operator.mod,
}
