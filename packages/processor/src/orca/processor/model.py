"""Windows, their types, and results: the values that algorithms and clients handle.

All are frozen. The names and positional orders of the published SDKs work: the first generation writes
``Window(time_from=<unix seconds>, ...)``, the later one datetimes and metadata.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

from orca.processor.errors import InvalidMetadataFieldArgument, InvalidWindowArgument
from orca.processor.times import Naive, TimeLike, datetime_of, ns_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

__all__ = [
    "NAME_PATTERN",
    "VERSION_PATTERN",
    "ArrayResult",
    "Lookback",
    "MetadataField",
    "NoneResult",
    "ResultKind",
    "StructResult",
    "ValueResult",
    "Window",
    "WindowType",
    "full_name",
    "valid_name",
    "valid_version",
]

NAME_PATTERN = re.compile(r"[A-Z][a-zA-Z0-9]*")
VERSION_PATTERN = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


def valid_name(name: object) -> bool:
    """Whether ``name`` is PascalCase, as algorithms and window types must be named."""
    return isinstance(name, str) and NAME_PATTERN.fullmatch(name) is not None


def valid_version(version: object) -> bool:
    """Whether ``version`` is three plain numbers with dots."""
    return isinstance(version, str) and VERSION_PATTERN.fullmatch(version) is not None


def full_name(name: str, version: str) -> str:
    """The one text that names an algorithm or window type.

    Example:
        >>> full_name("Mean", "1.0.0")
        'Mean_1.0.0'
    """
    return f"{name}_{version}"


class ResultKind(IntEnum):
    """What an algorithm announces to return; the numbers are the wire's."""

    NOT_SPECIFIED = 0
    STRUCT = 1
    VALUE = 2
    ARRAY = 3
    NONE = 4


@dataclass(frozen=True, slots=True)
class MetadataField:
    """One field of a window type's metadata.

    Args:
        name: Not empty.
        description: Not empty.
        no_store: The core need not keep the field's values.
        filter: Look-backs see only windows with the same value of this field, such as the same asset.

    Raises:
        InvalidMetadataFieldArgument: The name or the description is empty.
    """

    name: str
    description: str
    no_store: bool = False
    filter: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidMetadataFieldArgument("Metadata field name cannot be empty")
        if not self.description:
            raise InvalidMetadataFieldArgument(f"Metadata field '{self.name}': description cannot be empty")


@dataclass(frozen=True, slots=True)
class WindowType:
    """What a window is called and what its metadata holds.

    Args:
        name: PascalCase.
        version: Three numbers, such as ``1.0.0``.
        description: For people.
        metadataFields: The fields of the metadata, each name once.

    Raises:
        InvalidWindowArgument: A name or version has another form, or two fields have one name.

    Example:
        >>> WindowType("Every30Second", "1.0.0", "each half minute").full_name
        'Every30Second_1.0.0'
    """

    name: str
    version: str
    description: str = ""
    metadataFields: tuple[MetadataField, ...] = ()  # noqa: N815 - the published name

    def __post_init__(self) -> None:
        if not valid_name(self.name):
            raise InvalidWindowArgument(f"Window name '{self.name}' must be in PascalCase")
        if not valid_version(self.version):
            text = f"Window version '{self.version}' must follow basic semantic versioning (e.g., '1.0.0')"
            raise InvalidWindowArgument(f"{text} without release portions")
        fields: Iterable[MetadataField] = self.metadataFields
        object.__setattr__(self, "metadataFields", tuple(fields))
        names = [one.name for one in self.metadataFields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidWindowArgument(
                f"Window '{self.name}': metadata fields named twice: {', '.join(twice)}"
            )

    @property
    def metadata_fields(self) -> tuple[MetadataField, ...]:
        """The same as ``metadataFields``."""
        return self.metadataFields

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.name, self.version)


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Window:
    """A span of time of one type, which triggers the algorithms of that type.

    Args:
        time_from: The start: a datetime, unix seconds as a number, or larger numbers told by magnitude.
        time_to: The end, at or after the start. Equal: a point window.
        name: The window type's name.
        version: The window type's version.
        origin: Where the window comes from, for people.
        metadata: Any JSON-like values under text keys.
        naive: What datetimes without a zone mean: ``local`` time (the default) or ``utc``.

    Attributes:
        from_ns: The start in nanoseconds since 1970, exact.
        to_ns: The end in nanoseconds since 1970, exact.

    Raises:
        InvalidWindowArgument: A time is no time or lies outside 1970 to 9999, the end is before the start, or
            the name or version has another form.

    Example:
        >>> Window(time_from=1747582274, time_to=1747582304, name="Half", version="1.0.0", origin="Me")
        Window(time_from=1747582274, time_to=1747582304, name='Half', version='1.0.0', origin='Me')
    """

    time_from: TimeLike
    time_to: TimeLike
    name: str
    version: str
    origin: str
    metadata: dict[str, Any]
    from_ns: int
    to_ns: int

    NAIVE: ClassVar[Naive] = "local"

    def __init__(  # noqa: PLR0917 - the published order
        self,
        time_from: TimeLike,
        time_to: TimeLike,
        name: str,
        version: str,
        origin: str = "",
        metadata: Mapping[str, Any] | None = None,
        *,
        naive: Naive | None = None,
    ) -> None:
        if not valid_name(name):
            raise InvalidWindowArgument(f"Window name '{name}' must be in PascalCase")
        if not valid_version(version):
            raise InvalidWindowArgument(f"Window version '{version}' must be three numbers, such as '1.0.0'")
        from_ns = ns_of(time_from, naive=naive or Window.NAIVE)
        to_ns = ns_of(time_to, naive=naive or Window.NAIVE)
        if to_ns < from_ns:
            raise InvalidWindowArgument(
                f"Window '{name}': time_to {time_to!r} is before time_from {time_from!r}"
            )
        _fill(self, time_from, time_to, name, version, origin, dict(metadata or {}), from_ns, to_ns)

    @classmethod
    def unchecked(  # noqa: PLR0917 - one call site per direction
        cls, from_ns: int, to_ns: int, name: str, version: str, origin: str, metadata: dict[str, Any]
    ) -> Window:
        """A window as it came over the wire, which is never refused; its times are UTC datetimes.

        A time that no datetime can hold stays a number of nanoseconds.
        """
        window = cls.__new__(cls)
        _fill(window, _time(from_ns), _time(to_ns), name, version, origin, metadata, from_ns, to_ns)
        return window

    @property
    def start(self) -> dt.datetime:
        """The start as a UTC datetime."""
        return datetime_of(self.from_ns)

    @property
    def end(self) -> dt.datetime:
        """The end as a UTC datetime."""
        return datetime_of(self.to_ns)

    @property
    def duration_s(self) -> float:
        """The length in seconds."""
        return (self.to_ns - self.from_ns) / 1e9

    @property
    def full_name(self) -> str:
        """The window type's name and version in one."""
        return full_name(self.name, self.version)

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Window) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity()[:-1])

    def _identity(self) -> tuple[Any, ...]:
        return (self.name, self.version, self.from_ns, self.to_ns, self.origin, self.metadata)

    def __repr__(self) -> str:
        text = f"Window(time_from={self.time_from!r}, time_to={self.time_to!r}, name={self.name!r}, "
        text += f"version={self.version!r}, origin={self.origin!r}"
        return f"{text}, metadata={self.metadata!r})" if self.metadata else f"{text})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Process executors move windows between processes; slots and frozen leave no default way.
        return (_rebuild, tuple(getattr(self, slot) for slot in _WINDOW_SLOTS))


_WINDOW_SLOTS = ("time_from", "time_to", "name", "version", "origin", "metadata", "from_ns", "to_ns")


def _fill(window: Window, *values: Any) -> None:
    for slot, value in zip(_WINDOW_SLOTS, values, strict=True):
        object.__setattr__(window, slot, value)


def _rebuild(*values: Any) -> Window:
    window = Window.__new__(Window)
    _fill(window, *values)
    return window


def _time(ns: int) -> TimeLike:
    try:
        return datetime_of(ns)
    except OverflowError:
        return ns


@dataclass(frozen=True, slots=True)
class Lookback:
    """Which earlier results a dependency hands over: the latest ``count``, or those of the last ``span_ns``.

    Attributes:
        count: How many of the latest results before the window.
        span_ns: How far back before the window's start, in nanoseconds.
        gap_count: How many of the latest results are left out first.
        gap_ns: How much time before the window is left out first, in nanoseconds.
    """

    count: int = 0
    span_ns: int = 0
    gap_count: int = 0
    gap_ns: int = 0


@dataclass(frozen=True, slots=True)
class StructResult:
    """A result of named values, such as ``StructResult({"min": -1.1})``."""

    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ValueResult:
    """A result of one number."""

    value: float | int | bool


@dataclass(frozen=True, slots=True, eq=False)
class ArrayResult:
    """A result of many numbers: any iterable of numbers, or an array of one dimension."""

    value: Iterable[float | int | bool]


@dataclass(frozen=True, slots=True)
class NoneResult:
    """The result of an algorithm that returns nothing."""

    value: None = None
