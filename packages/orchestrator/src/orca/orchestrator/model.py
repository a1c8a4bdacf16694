"""The values that the kernel thinks in: algorithms, window types, registrations, windows and look-backs.

All times are whole nanoseconds since 1970-01-01 UTC (``_ns``), all values are frozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "AlgorithmDef",
    "AlgorithmOptions",
    "AlgorithmRef",
    "Dependency",
    "LookBack",
    "MetadataFieldDef",
    "ProcessorKey",
    "Registration",
    "ResultKind",
    "WindowSpan",
    "WindowTypeDef",
    "WindowTypeRef",
]


class AlgorithmRef(NamedTuple):
    """An algorithm's identity in one core: name and version.

    Example:
        >>> str(AlgorithmRef("Mean", "1.0.0"))
        'Mean_1.0.0'
    """

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}_{self.version}"


class WindowTypeRef(NamedTuple):
    """A window type's identity: name and version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}_{self.version}"


class ProcessorKey(NamedTuple):
    """A processor's identity: project and name. The runtime is an attribute, never part of it."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}" if self.project else self.name


class ResultKind(IntEnum):
    """What an algorithm announces to return; the numbers are the wire's."""

    NOT_SPECIFIED = 0
    STRUCT = 1
    VALUE = 2
    ARRAY = 3
    NONE = 4


@dataclass(frozen=True, slots=True)
class LookBack:
    """Which earlier results a dependent sees: the latest ``count`` or those of the last ``delta_ns``.

    A gap leaves out the newest results: ``gap_count`` rows, or all that end later than ``gap_delta_ns``
    before the window. Exactly one of ``count`` and ``delta_ns`` is positive.
    """

    count: int = 0
    delta_ns: int = 0
    gap_count: int = 0
    gap_delta_ns: int = 0


@dataclass(frozen=True, slots=True)
class Dependency:
    """What an algorithm needs: another's result of the same window, or its earlier results."""

    algorithm: AlgorithmRef
    processor: str = ""
    lookback: LookBack | None = None


@dataclass(frozen=True, slots=True)
class MetadataFieldDef:
    """One metadata field of a window type; a ``filter`` field separates look-backs by its value."""

    name: str
    description: str = ""
    no_store: bool = False
    filter: bool = False


@dataclass(frozen=True, slots=True)
class WindowTypeDef:
    """A window type as a processor describes it."""

    name: str
    version: str
    description: str = ""
    fields: tuple[MetadataFieldDef, ...] = ()

    @property
    def ref(self) -> WindowTypeRef:
        """Name and version."""
        return WindowTypeRef(self.name, self.version)


@dataclass(frozen=True, slots=True)
class AlgorithmOptions:
    """How the core runs an algorithm; what a worker does not announce comes from the core's settings.

    Attributes:
        timeout_s: The longest that one attempt may run, in seconds.
        attempts_max: How often a failing body is tried in all, at least 1.
        concurrency_max: How many windows may run it at once; 0 means no limit of its own.
        cache: The result of one (algorithm, version, window) is used again when the window is reprocessed.
    """

    timeout_s: float = 3600.0
    attempts_max: int = 1
    concurrency_max: int = 0
    cache: bool = False


@dataclass(frozen=True, slots=True)
class AlgorithmDef:
    """An algorithm as a processor registers it."""

    name: str
    version: str
    window_type: WindowTypeDef
    dependencies: tuple[Dependency, ...] = ()
    result_kind: ResultKind = ResultKind.NOT_SPECIFIED
    description: str = ""
    self_lookback: LookBack | None = None
    options: AlgorithmOptions = AlgorithmOptions()

    @property
    def ref(self) -> AlgorithmRef:
        """Name and version."""
        return AlgorithmRef(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Registration:
    """Everything that one processor offers, as it last said."""

    processor: ProcessorKey
    algorithms: tuple[AlgorithmDef, ...] = ()
    runtime: str = ""
    address: str = field(default="", compare=False)


class WindowSpan(NamedTuple):
    """The part of a window that look-back selection needs."""

    id: int
    time_from_ns: int
    time_to_ns: int
    filter_key: str = ""
