# pyright: reportUnknownArgumentType=false
"""What an algorithm is handed: the window, its dependencies' results, and the call it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from orca.processor.model import Window, full_name

__all__ = [
    "Dependencies",
    "DependencyAlgorithm",
    "DependencyResult",
    "DependencyResultRow",
    "ExecutionParams",
    "SharedCache",
    "name_of",
]

T = TypeVar("T")


class SharedCache(Protocol):
    """Values that the algorithms of one window share in one process."""

    def get(self, window: Window, key: str, make: Callable[[], Any]) -> Any:
        """The value under ``key``, made once."""
        ...


@dataclass(frozen=True, slots=True)
class DependencyAlgorithm:
    """The algorithm that a dependency's results come from."""

    name: str
    version: str
    description: str = ""

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.name, self.version)

    @property
    def id(self) -> str:
        """The same."""
        return self.full_name


@dataclass(frozen=True, slots=True)
class DependencyResultRow:
    """One result of a dependency.

    Attributes:
        window: The window that the result belongs to, with its metadata.
        result: A float, a list of floats, a dict, or None.
    """

    window: Window
    result: Any


@dataclass(frozen=True, slots=True)
class DependencyResult:
    """The results of one dependency, the oldest first."""

    algorithm: DependencyAlgorithm
    results: list[DependencyResultRow]

    @property
    def values(self) -> list[Any]:
        """The results without their windows."""
        return [row.result for row in self.results]


def name_of(algorithm: Any) -> str | None:
    """The full name of whatever stands for an algorithm: a decorated function, a stub, a dependency, a text.

    Returns:
        ``Name_1.0.0``; for a text what it says; None when nothing tells.
    """
    if isinstance(algorithm, str):
        return algorithm
    inner = getattr(algorithm, "algorithm", None)
    if inner is not None and hasattr(algorithm, "lookback"):
        return name_of(inner)
    metadata = getattr(algorithm, "__orca_metadata__", None)
    if isinstance(metadata, dict) and "Name" in metadata and "Version" in metadata:
        return full_name(str(metadata["Name"]), str(metadata["Version"]))
    name, version = getattr(algorithm, "_name", None), getattr(algorithm, "_version", None)
    return full_name(name, version) if isinstance(name, str) and isinstance(version, str) else None


class Dependencies(Mapping[Any, Any]):
    """The results of all dependencies, read when asked for.

    Keys are decorated functions, stubs of ``orca sync``, or texts (``"Mean_1.0.0"``, or ``"Mean"`` when there is
    one version). The value of a dependency on the same window is its result; the value of a look-back is the list
    of its results, the oldest first.

    Args:
        results: The results by full name.
        lookbacks: The full names whose value is a list.
    """

    __slots__ = ("_lookbacks", "_read", "_results")

    def __init__(
        self,
        results: Mapping[str, DependencyResult] | None = None,
        *,
        lookbacks: frozenset[str] = frozenset(),
        read: Callable[[], Mapping[str, DependencyResult]] | None = None,
    ) -> None:
        self._results = dict(results) if results is not None else None
        self._lookbacks = lookbacks
        self._read = read

    def _all(self) -> Mapping[str, DependencyResult]:
        if self._results is None:
            self._results = dict(self._read()) if self._read is not None else {}
        return self._results

    def get_result(self, algorithm: Any) -> DependencyResult | None:
        """The results of one dependency with their windows, or None when there are none.

        Args:
            algorithm: A decorated function, a stub of ``orca sync``, or a full name.
        """
        found = self._all()
        name = name_of(algorithm)
        if name is None:
            return None
        if name in found:
            return found[name]
        named = [one for one in found.values() if one.algorithm.name == name]
        return named[0] if len(named) == 1 else None

    def __getitem__(self, algorithm: Any) -> Any:
        """The value of a dependency; see the class.

        Raises:
            KeyError: Nothing of it was handed over.
        """
        result = self.get_result(algorithm)
        if result is None:
            known = ", ".join(self._all()) or "none"
            raise KeyError(f"no result of {name_of(algorithm) or algorithm!r}; there are: {known}")
        if result.algorithm.full_name in self._lookbacks:
            return result.values
        return result.results[-1].result if result.results else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"Dependencies({', '.join(self)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Process executors: what is read lazily here is read before it leaves.
        return (_dependencies, (dict(self._all()), self._lookbacks))


def _dependencies(results: dict[str, DependencyResult], lookbacks: frozenset[str]) -> Dependencies:
    return Dependencies(results, lookbacks=lookbacks)


class ExecutionParams:
    """All that an execution is about; a function gets it under the parameter name ``params``.

    Attributes:
        window: The window that triggered the algorithm.
        dependencies: The results of what the algorithm depends on.
        self_results: The algorithm's own earlier results, when it looks back on itself, the oldest first.
        exec_id: The id that the core gave this part of the run.
        attempt: 1, then counting up when the core runs it again.
        window_id: The window's id in our core; empty behind another one.
    """

    __slots__ = (
        "_ended",
        "_shared",
        "attempt",
        "dependencies",
        "exec_id",
        "self_results",
        "window",
        "window_id",
    )

    def __init__(  # noqa: PLR0917 - the first two are the published order, the rest is ours
        self,
        window: Window,
        dependencies: Dependencies | None = None,
        self_results: Sequence[DependencyResultRow] = (),
        exec_id: str = "",
        attempt: int = 1,
        window_id: str = "",
        shared: SharedCache | None = None,
        ended: Callable[[], bool] | None = None,
    ) -> None:
        self.window = window
        self.dependencies = dependencies if dependencies is not None else Dependencies()
        self.self_results = self_results
        self.exec_id = exec_id
        self.attempt = attempt
        self.window_id = window_id
        self._shared = shared
        self._ended = ended

    def __repr__(self) -> str:
        return f"ExecutionParams({self.window!r}, {self.dependencies!r}, attempt={self.attempt})"

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more: long loops look here and return early."""
        return self._ended is not None and self._ended()

    def shared(self, key: str, make: Callable[[], T]) -> T:
        """A value that all algorithms of this window share in this process, such as one read of its telemetry.

        Args:
            key: What the value is called.
            make: Makes it; called once, also when algorithms ask at the same time.

        Raises:
            Exception: What ``make`` raised; the next one that asks tries again.
        """
        value: T = make() if self._shared is None else self._shared.get(self.window, key, make)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process cannot share this one's cache, nor see when this one's stream ends.
        values = (self.window, self.dependencies, tuple(self.self_results), self.exec_id, self.attempt)
        return (ExecutionParams, (*values, self.window_id))
