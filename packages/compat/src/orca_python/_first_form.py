"""Algorithms of the first generation: called without arguments, or with ``dependencies`` when there are some."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orca.processor.definition import Definition

__all__ = ["adapt"]


def adapt(definition: Definition) -> None:
    """Have the function called as the first generation calls it, where that differs from today.

    Dependencies come as a plain dictionary, and only when there are some: a parameter with a default keeps it, and a
    function that takes any keywords gets ``dependencies`` and nothing else.
    """
    function = definition.function
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return
    if not any(_wants(one) for one in parameters):
        return
    returns = getattr(function, "__annotations__", {}).get("return", inspect.Parameter.empty)
    definition.scope = {**getattr(function, "__globals__", {}), **definition.scope}
    definition.function = _called(function, returns)


def _wants(parameter: inspect.Parameter) -> bool:
    if parameter.kind is parameter.VAR_KEYWORD:
        return True
    return parameter.name == "dependencies" and parameter.default is not parameter.empty


def _called(function: Callable[..., Any], returns: Any) -> Callable[..., Any]:
    def arguments(dependencies: Mapping[str, Any]) -> dict[str, Any]:
        return {"dependencies": dict(dependencies)} if dependencies else {}

    async def run_async(dependencies: Any) -> Any:
        return await function(**arguments(dependencies))

    def run(dependencies: Any) -> Any:
        return function(**arguments(dependencies))

    made = run_async if inspect.iscoroutinefunction(function) else run
    made.__name__ = getattr(function, "__name__", "algorithm")
    made.__doc__ = function.__doc__
    made.__annotations__ = {} if returns is inspect.Parameter.empty else {"return": returns}
    return made
