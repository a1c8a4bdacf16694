"""What a processor announces: plain frozen values, the same on both sides of the wire."""

from __future__ import annotations

from dataclasses import dataclass, field

from orca.processor.model import Lookback, ResultKind, WindowType, full_name

__all__ = ["DESCRIPTION_CHARS_MAX", "AlgorithmOptions", "AlgorithmSpec", "DependencySpec", "ProcessorSpec"]

DESCRIPTION_CHARS_MAX = 1000
"""The most that the contract allows for an algorithm's description; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class DependencySpec:
    """What an algorithm needs from another.

    Attributes:
        name: The other algorithm's name.
        version: The other algorithm's version.
        processor: The name of the processor that runs the other algorithm.
        runtime: That processor's runtime text.
        lookback: Which earlier results; None for the result of the same window.
    """

    name: str
    version: str
    processor: str = ""
    runtime: str = ""
    lookback: Lookback | None = None

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.name, self.version)


@dataclass(frozen=True, slots=True)
class AlgorithmOptions:
    """How a core should run an algorithm; it is announced beside the registration.

    Attributes:
        timeout_s: The longest that one attempt may run; 0 means the core's default.
        attempts_max: How often a failing body is tried in all; 0 means the core's default.
        concurrency_max: How many windows may run it at once; 0 means no limit of its own.
        cache: The result of one (algorithm, version, window) may be used again.
    """

    timeout_s: float = 0.0
    attempts_max: int = 0
    concurrency_max: int = 0
    cache: bool = False


@dataclass(frozen=True, slots=True)
class AlgorithmSpec:
    """An algorithm as it is announced.

    Attributes:
        name: PascalCase.
        version: Three numbers.
        window_type: What triggers it.
        dependencies: What it needs.
        result_kind: What it returns.
        description: For people, at most 1000 characters.
        self_lookback: Which of its own earlier results it sees.
        options: How a core should run it.
    """

    name: str
    version: str
    window_type: WindowType
    dependencies: tuple[DependencySpec, ...] = ()
    result_kind: ResultKind = ResultKind.NOT_SPECIFIED
    description: str = ""
    self_lookback: Lookback | None = None
    options: AlgorithmOptions = field(default_factory=AlgorithmOptions)

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.name, self.version)


@dataclass(frozen=True, slots=True)
class ProcessorSpec:
    """A processor as it is announced.

    Attributes:
        name: The processor's name; with the project it is its identity.
        runtime: What it runs on, for people.
        address: ``host:port`` under which the core reaches it.
        algorithms: What it can run.
        project: The project it belongs to; may be empty.
    """

    name: str
    runtime: str
    address: str
    algorithms: tuple[AlgorithmSpec, ...] = ()
    project: str = ""
