"""What stands for algorithms and dependencies in user code, and what a decorated function turns out to be."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from orca.processor.annotations import UNSET, reader_for, result_kind
from orca.processor.errors import (
    BaseOrcaException,
    BrokenRemoteAlgorithmStubs,
    Fault,
    InvalidAlgorithmArgument,
    InvalidDependency,
)
from orca.processor.model import (
    Lookback,
    ResultKind,
    Window,
    WindowType,
    full_name,
    valid_name,
    valid_version,
)
from orca.processor.params import DependencyResult, ExecutionParams, name_of
from orca.processor.specs import DESCRIPTION_CHARS_MAX, AlgorithmOptions, AlgorithmSpec, DependencySpec
from orca.processor.times import timedelta_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor

__all__ = ["Definition", "Dep", "Input", "RemoteAlgorithm", "Source", "analyse", "look_back", "lookback"]

REMOTE_MARK: Final = "__orca_is_remote__"
UINT32_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class RemoteAlgorithm:
    """An algorithm of another processor, as the stubs of ``orca sync`` describe it."""

    ProcessorName: str
    ProcessorRuntime: str
    Name: str
    Version: str

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.Name, self.Version)


def look_back(
    *,
    n: int | None = None,
    td: dt.timedelta | None = None,
    gap_n: int | None = None,
    gap_td: dt.timedelta | None = None,
) -> Lookback:
    """Which earlier results to hand over.

    Args:
        n: The latest ``n`` before the window.
        td: Those of the last ``td`` before the window.
        gap_n: Leave out the latest ``gap_n`` first.
        gap_td: Leave out the last ``gap_td`` before the window first.

    Raises:
        InvalidDependency: Not exactly one of ``n`` and ``td``, both gaps, or a number that is not positive.

    Example:
        >>> look_back(n=3)
        Lookback(count=3, span_ns=0, gap_count=0, gap_ns=0)
    """
    if (n is None) == (td is None):
        raise InvalidDependency("a look-back needs one of `n` and `td`", hint="lookback(fn, n=3)")
    if gap_n is not None and gap_td is not None:
        raise InvalidDependency("a look-back's gap is one of `gap_n` and `gap_td`, not both")
    for name, number in (("n", n), ("gap_n", gap_n)):
        if number is not None and (not isinstance(number, int) or not 0 < number <= UINT32_MAX):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDependency(f"a look-back's `{name}` must be a whole number from 1, not {number!r}")
    for name, delta in (("td", td), ("gap_td", gap_td)):
        if delta is not None and delta <= dt.timedelta(0):
            raise InvalidDependency(f"a look-back's `{name}` must be positive, not {delta!r}")
    return Lookback(
        count=n or 0,
        span_ns=timedelta_ns(td) if td is not None else 0,
        gap_count=gap_n or 0,
        gap_ns=timedelta_ns(gap_td) if gap_td is not None else 0,
    )


@dataclass(frozen=True, slots=True, init=False)
class Dep:
    """A dependency: on the result of the same window, or on earlier results.

    Args:
        algorithm: A decorated function, a stub of ``orca sync``, or a full name such as ``"Mean_1.0.0"``.
        n: See :func:`look_back`; without any of the four, the result of the same window.
        td: See :func:`look_back`.
        gap_n: See :func:`look_back`.
        gap_td: See :func:`look_back`.

    Raises:
        InvalidDependency: The look-back cannot be.
    """

    algorithm: Any
    lookback: Lookback | None

    def __init__(
        self,
        algorithm: Any,
        *,
        n: int | None = None,
        td: dt.timedelta | None = None,
        gap_n: int | None = None,
        gap_td: dt.timedelta | None = None,
    ) -> None:
        plain = (n, td, gap_n, gap_td) == (None, None, None, None)
        object.__setattr__(self, "algorithm", algorithm)
        object.__setattr__(
            self, "lookback", None if plain else look_back(n=n, td=td, gap_n=gap_n, gap_td=gap_td)
        )


def lookback(
    algorithm: Any,
    td: dt.timedelta | None = None,
    n: int | None = None,
    *,
    gap_n: int | None = None,
    gap_td: dt.timedelta | None = None,
) -> Dep:
    """A dependency on earlier results, in the words of the published SDK; ``algorithm`` is left as it is.

    Raises:
        InvalidDependency: Not exactly one of ``td`` and ``n``.
    """
    return Dep(algorithm, n=n, td=td, gap_n=gap_n, gap_td=gap_td)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a function is written."""

    file: str = ""
    line: int = 0

    def fault(self, error: BaseOrcaException) -> Fault:
        """The error with its place."""
        return Fault(error, self.file, self.line)


@dataclass(frozen=True, slots=True)
class Input:
    """One parameter of the function and what it gets.

    Attributes:
        name: The parameter.
        role: ``params``, ``window``, ``dependencies`` or ``dep``.
        full_name: For ``dep``: whose result.
        read: For ``dep``: makes the value.
    """

    name: str
    role: str
    full_name: str = ""
    read: Callable[[DependencyResult | None], Any] | None = None


@dataclass(slots=True)
class Definition:
    """A decorated function with all that was said of it; complete after :func:`analyse`.

    Attributes:
        processor: The name of the processor that it belongs to.
        runtime: That processor's runtime.
        function: The function as the user wrote it.
        name: The algorithm's name.
        version: The algorithm's version.
        window_type: What triggers it.
        description: As given; None takes the docstring's first paragraph.
        depends_on: As given.
        self_lookback: On itself.
        options: For the core.
        executor: Where it runs; None takes the processor's.
        exact: Numbers travel as float64 inside a struct.
        source: Where it is written.
        scope: Names of the function around it, which annotations may use.
        given: Mistakes that were seen while decorating.
    """

    processor: str
    runtime: str
    function: Callable[..., Any]
    name: str
    version: str
    window_type: WindowType | None
    description: str | None = None
    depends_on: tuple[Any, ...] = ()
    self_lookback: Lookback | None = None
    options: AlgorithmOptions = field(default_factory=AlgorithmOptions)
    executor: Executor | None = None
    exact: bool = False
    source: Source = field(default_factory=Source)
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])
    given: list[BaseOrcaException] = field(default_factory=list[BaseOrcaException])
    # Known after analyse():
    inputs: tuple[Input, ...] = ()
    dependencies: tuple[DependencySpec, ...] = ()
    kind: ResultKind = ResultKind.NOT_SPECIFIED
    is_async: bool = False

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.name, self.version)

    @property
    def spec(self) -> AlgorithmSpec:
        """What is announced of it."""
        assert self.window_type is not None
        return AlgorithmSpec(
            name=self.name,
            version=self.version,
            window_type=self.window_type,
            dependencies=self.dependencies,
            result_kind=ResultKind.STRUCT if self.exact else self.kind,
            description=self.text,
            self_lookback=self.self_lookback,
            options=self.options,
        )

    @property
    def text(self) -> str:
        """The description that is announced: never empty, at most 1000 characters."""
        text = self.description
        if text is None:
            text = inspect.getdoc(_unwrapped(self.function)) or ""
        return (text.strip().split("\n\n")[0].strip() or self.name)[:DESCRIPTION_CHARS_MAX]


def _unwrapped(function: Any) -> Any:
    """The function inside wrappers and partials, for its place and its annotations."""
    while isinstance(function, functools.partial):
        function = function.func
    inner = inspect.unwrap(function)
    if not inspect.isroutine(inner) and not inspect.isclass(inner):
        inner = type(inner).__call__
    return inner


def source_of(function: Any, frame: Any) -> Source:
    """The function's own place, or that of the decorator for what has none."""
    code = getattr(_unwrapped(function), "__code__", None)
    if code is not None:
        return Source(code.co_filename, code.co_firstlineno)
    return Source(frame.f_code.co_filename, frame.f_lineno)


def analyse(definition: Definition, known: Mapping[str, Definition]) -> list[BaseOrcaException]:
    """Complete a definition from its function's signature.

    Args:
        definition: Gets its inputs, dependencies and result form.
        known: All definitions by full name: what dependencies may name.

    Returns:
        All mistakes; none means the definition can be announced.
    """
    faults = list(definition.given)
    if not valid_name(definition.name):
        faults.append(InvalidAlgorithmArgument(f"Algorithm name '{definition.name}' must be in PascalCase"))
    if not valid_version(definition.version):
        text = f"Version '{definition.version}' must follow basic semantic versioning (e.g., '1.0.0')"
        faults.append(InvalidAlgorithmArgument(f"{text} without release portions"))
    found = _Analysis(definition, known, faults)
    found.run()
    return faults


class _Analysis:
    def __init__(
        self, definition: Definition, known: Mapping[str, Definition], faults: list[BaseOrcaException]
    ) -> None:
        self.definition = definition
        self.known = known
        self.faults = faults
        self.dependencies: dict[str, DependencySpec] = {}

    def run(self) -> None:
        definition = self.definition
        inner = _unwrapped(definition.function)
        definition.is_async = inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(
            definition.function
        )
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            self.faults.append(
                InvalidAlgorithmArgument("the function is a generator", hint="return a list instead")
            )
        hints = self._hints(inner)
        for given in definition.depends_on:
            self._depend(given)
        definition.inputs = tuple(self._inputs(hints))
        definition.dependencies = tuple(self.dependencies.values())
        try:
            definition.kind = result_kind(hints.get("return", UNSET))
        except BaseOrcaException as error:
            self.faults.append(error)
        if definition.exact and definition.kind not in {ResultKind.VALUE, ResultKind.ARRAY}:
            text = "exact=True needs a function that is annotated to return a number or a list"
            self.faults.append(InvalidAlgorithmArgument(text))

    def _hints(self, inner: Any) -> dict[str, Any]:
        try:
            return typing.get_type_hints(inner, localns=dict(self.definition.scope), include_extras=True)
        except NameError as error:
            hint = "import the name at run time, not only under TYPE_CHECKING"
            self.faults.append(InvalidAlgorithmArgument(f"an annotation cannot be read: {error}", hint=hint))
        except TypeError as error:
            self.faults.append(InvalidAlgorithmArgument(f"an annotation cannot be read: {error}"))
        return {}

    def _inputs(self, hints: Mapping[str, Any]) -> Iterable[Input]:
        try:
            parameters = inspect.signature(self.definition.function).parameters.values()
        except (ValueError, TypeError):
            return
        for parameter in parameters:
            if parameter.kind is parameter.VAR_POSITIONAL:
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                # The published SDK passes params to every function that takes any keywords.
                yield Input("params", "params")
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                text = f"parameter '{parameter.name}' is positional-only; algorithms are called with keywords"
                self.faults.append(InvalidAlgorithmArgument(text))
                continue
            yield from self._input(parameter, hints.get(parameter.name, UNSET))

    def _input(self, parameter: inspect.Parameter, annotation: Any) -> Iterable[Input]:
        marks = [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, Dep)]
        if marks:
            spec = self._depend(marks[0])
            if spec is not None:
                reader = reader_for(annotation, many=spec.lookback is not None)
                yield Input(parameter.name, "dep", spec.full_name, reader)
        elif annotation is ExecutionParams or parameter.name == "params":
            yield Input(parameter.name, "params")
        elif annotation is Window or (parameter.name == "window" and annotation is UNSET):
            yield Input(parameter.name, "window")
        elif parameter.name == "dependencies":
            yield Input(parameter.name, "dependencies")
        elif parameter.default is parameter.empty:
            hint = "name it params or window, annotate it with Annotated[..., Dep(...)], or give it a default"
            text = f"nothing is known that parameter '{parameter.name}' could get"
            self.faults.append(InvalidAlgorithmArgument(text, hint=hint))

    def _depend(self, given: Any) -> DependencySpec | None:
        dep = given if isinstance(given, Dep) else Dep(given)
        try:
            spec = self._spec(dep)
        except BaseOrcaException as error:
            self.faults.append(error)
            return None
        before = self.dependencies.get(spec.full_name)
        if before is not None and before.lookback != spec.lookback:
            text = f"the dependency on {spec.full_name} is given twice, with different look-backs"
            self.faults.append(InvalidDependency(text))
        if spec.full_name == self.definition.full_name:
            hint = "give its look-back to the decorator: @proc.algorithm(..., lookback=look_back(n=3))"
            self.faults.append(InvalidDependency("an algorithm cannot depend on itself", hint=hint))
        self.dependencies[spec.full_name] = spec
        return spec

    def _spec(self, dep: Dep) -> DependencySpec:
        target = dep.algorithm
        if getattr(target, REMOTE_MARK, False):
            return self._remote(target, dep.lookback)
        name = name_of(target)
        found = self.known.get(name) if name is not None else None
        if found is None and isinstance(target, str):
            same = [one for one in self.known.values() if one.name == target]
            found = same[0] if len(same) == 1 else None
        if found is None and not isinstance(target, str):
            found = getattr(target, "__orca_definition__", None)
        if found is None:
            shown = target if isinstance(target, str) else getattr(target, "__name__", repr(target))
            text = f"Cannot add function `{shown}` to dependency stack"
            hint = "All dependencies must be decorated with `@algorithm` before they can be used as dependencies."
            raise InvalidDependency(text, hint=hint)
        return DependencySpec(found.name, found.version, found.processor, found.runtime, dep.lookback)

    def _remote(self, stub: Any, back: Lookback | None) -> DependencySpec:
        metadata = getattr(stub, "__orca_metadata__", None)
        try:
            remote = RemoteAlgorithm(**metadata) if isinstance(metadata, dict) else None  # pyright: ignore[reportUnknownArgumentType]
        except TypeError:
            remote = None
        if remote is None:
            text = f"Could not parse metadata of the stub {getattr(stub, '__name__', stub)!r}"
            raise BrokenRemoteAlgorithmStubs(text, hint="orca sync")
        return DependencySpec(
            remote.Name, remote.Version, remote.ProcessorName, remote.ProcessorRuntime, back
        )
