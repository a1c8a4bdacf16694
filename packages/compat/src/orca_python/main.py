"""Processors and windows with the published signatures, on `orca.processor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from orca import processor as _processor
from orca.processor import (
    ArrayResult,
    Dependencies,
    DependencyAlgorithm,
    DependencyResult,
    DependencyResultRow,
    ExecutionParams,
    MetadataField,
    NoneResult,
    RemoteAlgorithm,
    StructResult,
    ValueResult,
    Window,
    WindowType,
    lookback,
)
from orca.processor.definition import analyse
from orca.processor.registry import Registry
from orca_python import _records, envs
from orca_python._first_form import adapt
from orca_python._records import LOGGER
from orca_python.exceptions import (
    BaseOrcaException,
    BrokenRemoteAlgorithmStubs,
    InvalidAlgorithmArgument,
    InvalidAlgorithmReturnType,
    InvalidDependency,
    InvalidMetadataFieldArgument,
    InvalidWindowArgument,
)

__all__ = [
    "ALGORITHM_NAME",
    "LOGGER",
    "SEMVER_PATTERN",
    "WINDOW_NAME",
    "AlgorithmFn",
    "ArrayResult",
    "BrokenRemoteAlgorithmStubs",
    "Dependencies",
    "DependencyAlgorithm",
    "DependencyResult",
    "DependencyResultRow",
    "EmitWindow",
    "ExecutionParams",
    "InvalidAlgorithmArgument",
    "InvalidAlgorithmReturnType",
    "InvalidDependency",
    "InvalidMetadataFieldArgument",
    "InvalidWindowArgument",
    "MetadataField",
    "NoneResult",
    "Processor",
    "RemoteAlgorithm",
    "StructResult",
    "ValueResult",
    "Window",
    "WindowType",
    "envs",
    "get_id",
    "lookback",
    "returnResult",
]

ALGORITHM_NAME: Final = r"^[A-Z][a-zA-Z0-9]*$"
WINDOW_NAME: Final = ALGORITHM_NAME
SEMVER_PATTERN: Final = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"

returnResult = StructResult | ArrayResult | ValueResult | NoneResult  # noqa: N816 - the published name

T = TypeVar("T", bound=Callable[..., Any])


class AlgorithmFn(Protocol):
    """An algorithm of the later releases."""

    def __call__(self, params: ExecutionParams, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        ...


class Processor(_processor.Processor):
    """Algorithms under one name, and the server that runs them.

    Both published forms of `algorithm` work: a window's name and version as texts, or a `WindowType`. A mistake in a
    definition is raised where it stands; everything else is `orca.processor.Processor`'s.

    Args:
        name: The processor's name.
        max_workers: Threads for algorithms.

    Example:
        >>> proc = Processor("ml")
        >>> @proc.algorithm("MyAlgo", "1.0.0", "MyWindow", "1.0.0")
        ... def my_algorithm() -> dict:
        ...     return {"result": 42}
        >>> my_algorithm()
        {'result': 42}
    """

    def __init__(self, name: str, max_workers: int = 10) -> None:
        _records.show()
        super().__init__(name, max_workers)

    def algorithm(self, name: str, version: str, *positional: Any, **options: Any) -> Callable[[T], T]:
        """Make a function an algorithm; see `orca.processor.Processor.algorithm`.

        Raises:
            InvalidAlgorithmArgument: A name or version has another form, or the algorithm is there already.
            InvalidAlgorithmReturnType: Nothing can be sent of what the function is annotated to return.
            InvalidDependency: A dependency is no algorithm.
        """
        define: Callable[[T], T] = super().algorithm(name, version, *positional, **options)
        given = positional[0] if positional else options.get("window_type", options.get("window_name"))
        first_form = not isinstance(given, WindowType)

        def decorate(function: T) -> T:
            before = list(self.registry)
            decorated = define(function)
            if first_form:
                adapt(list(self.registry)[-1])
            fault = self._first_fault()
            if first_form and isinstance(fault, InvalidWindowArgument):
                # The first releases have no window types: there it is an argument of the decorator.
                fault = InvalidAlgorithmArgument(fault.message, hint=fault.hint)
            if fault is not None:
                self.registry = Registry(self.name)
                for definition in before:
                    self.registry.add(definition)
                raise fault
            return decorated

        return decorate

    def _first_fault(self) -> BaseOrcaException | None:
        definition = list(self.registry)[-1]
        known = {one.full_name: one for one in self.registry}
        twice = [one for one in self.registry if one.full_name == definition.full_name]
        if len(twice) > 1:
            return InvalidAlgorithmArgument(f"Algorithm {definition.full_name} already exists")
        # An annotation may name what the module defines further down: that is looked at when all is there.
        faults = [one for one in analyse(definition, known) if "annotation cannot be read" not in one.message]
        return faults[0] if faults else None


def EmitWindow(window: Window) -> None:  # noqa: N802 - the published name
    """Hand a window to the core.

    Raises:
        BaseOrcaException: The core did not answer or refused the window; it is a ``grpc.RpcError`` too.
    """
    _records.show()
    try:
        _processor.EmitWindow(window)
    except (_processor.CoreError, _processor.CoreUnreachable, _processor.CoreTimeout) as error:
        _as_rpc_error(error)
        raise


def _as_rpc_error(error: Any) -> None:
    """Let the error be a ``grpc.RpcError`` beside its own class: programs catch that."""
    from grpc import RpcError  # noqa: PLC0415 - heavy, and only needed here

    kind: Any = error.__class__
    error.__class__ = type(kind.__name__, (kind, RpcError), {"__module__": kind.__module__})


def get_id(algorithm: Any) -> str:
    """The full name of a decorated function: ``Name_1.0.0``.

    Raises:
        InvalidDependency: The function is no algorithm.
    """
    name, version = getattr(algorithm, "_name", None), getattr(algorithm, "_version", None)
    if name is None or version is None:
        raise InvalidDependency(
            f"{algorithm!r} is no algorithm", hint="decorate it with @proc.algorithm(...)"
        )
    return f"{name}_{version}"
