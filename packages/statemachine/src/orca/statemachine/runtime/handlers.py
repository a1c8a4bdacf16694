"""The program's side of a machine: actions, effects, guards and predicates, by name.

A handler takes nothing, the context, or the context and the payload of the event; how many is looked up once,
when it is registered. It may be a function, a method, a lambda, any callable, sync or async.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from orca.common.errors import UsageError

__all__ = ["Bound", "Callback", "HandlerSet", "bind", "call"]

Callback: TypeAlias = Callable[..., Any]
Bound: TypeAlias = tuple[int, Callback]
"""How many arguments a handler takes (0, 1 or 2), and the handler."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def bind(name: str, handler: Callback) -> Bound:
    """A handler with the number of arguments that it takes.

    Raises:
        UsageError: It cannot be called, or needs more than two arguments.
    """
    if not callable(handler):
        raise UsageError(f"the handler of {name!r} is a {type(handler).__name__}, which cannot be called")
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):  # some callables written in C tell nothing: they get both
        return 2, handler
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    needed = [p for p in positional if p.default is p.empty]
    needed += [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > 2 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        raise UsageError(
            f"the handler of {name!r} needs more than a context and a payload: {inspect.signature(handler)}"
        )
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2, handler
    return min(len(positional), 2), handler


def call(bound: Bound, context: Mapping[str, object], payload: Mapping[str, object]) -> Any:
    """Call a handler with as many arguments as it takes."""
    arity, handler = bound
    if arity == 2:
        return handler(context, payload)
    return handler(context) if arity == 1 else handler()


class HandlerSet:
    """What a machine and, unless told otherwise, its children call.

    Attributes:
        actions: By name of the action.
        effects: By effect type; the event bus is asked for those that are not here.
        guards: By name of a declared guard, in place of its expression.
        syncs: By path of a parallel state with ``sync: custom``.
    """

    __slots__ = ("actions", "effects", "guards", "syncs")

    def __init__(self) -> None:
        self.actions: dict[str, Bound] = {}
        self.effects: dict[str, Callback] = {}
        self.guards: dict[str, Bound] = {}
        self.syncs: dict[str, Bound] = {}
