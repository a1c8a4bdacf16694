# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
"""What a client reads back, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from orca.processor.model import Window, full_name
from orca.processor.times import datetime_of

if TYPE_CHECKING:
    import datetime as dt

__all__ = [
    "Annotation",
    "CoreState",
    "Emitted",
    "Execution",
    "Frame",
    "ResultRow",
    "Results",
    "Run",
    "Schedule",
    "WindowRow",
]


@dataclass(frozen=True, slots=True)
class Emitted:
    """What the core said to a window.

    Attributes:
        status: ``PROCESSING_TRIGGERED``, ``NO_TRIGGERED_ALGORITHMS`` or ``TRIGGERING_FAILED``.
        window_id: The window's id in our core; 0 when the core is another one.
        duplicate: The window was known already, and ``window_id`` is the first one's.
        run_id: The run that it started, where the core says so.
    """

    status: str
    window_id: int = 0
    duplicate: bool = False
    run_id: int = 0

    @property
    def triggered(self) -> bool:
        """Whether algorithms run for it."""
        return self.status == "PROCESSING_TRIGGERED"


@dataclass(frozen=True, slots=True)
class Execution:
    """One algorithm of one run.

    Attributes:
        name: The algorithm's name.
        version: The algorithm's version.
        processor: Who runs it.
        status: waiting, ready, running, backoff, succeeded, failed, skipped or cancelled.
        value: The result: a float, a list of floats, a dict, or None.
        error: What is known of a failure; see :mod:`orca.processor.wire`.
        cause: Why it was skipped.
        attempts: How often it was tried.
        duration_s: From sending to the end of the last attempt; None before that.
    """

    name: str
    version: str
    processor: str = ""
    status: str = ""
    value: Any = None
    error: Mapping[str, Any] = field(default_factory=dict[str, Any])
    cause: str = ""
    attempts: int = 0
    duration_s: float | None = None

    @property
    def full_name(self) -> str:
        """Name and version in one."""
        return full_name(self.name, self.version)

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == "succeeded"


@dataclass(frozen=True, slots=True)
class Run:
    """All executions for one window.

    Attributes:
        id: The run's id.
        window_id: The window's id.
        window: The window.
        state: open, succeeded, failed or cancelled; ``none`` when nothing was triggered.
        executions: In the order of the plan.
        created: When the core took it.
        finished: When it ended; None while it is open.
    """

    id: int
    window_id: int
    window: Window
    state: str
    executions: tuple[Execution, ...] = ()
    created: dt.datetime | None = None
    finished: dt.datetime | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.state != "open"

    @property
    def ok(self) -> bool:
        """Whether everything succeeded."""
        return self.state in {"succeeded", "none"}

    def __getitem__(self, name: str) -> Execution:
        """The execution of an algorithm, by its name or its name and version.

        Raises:
            KeyError: The run has no such algorithm.
        """
        for one in self.executions:
            if name in {one.name, one.full_name}:
                return one
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One stored result.

    Attributes:
        name: The algorithm's name.
        version: The algorithm's version.
        window: The window it belongs to.
        value: A float, a list of floats, a dict, or None.
        window_id: The window's id.
        run_id: The run that stored it.
        created: When it was stored.
    """

    name: str
    version: str
    window: Window
    value: Any
    window_id: int = 0
    run_id: int = 0
    created: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One stored window.

    Attributes:
        id: The window's id.
        window: The window.
        state: Its latest run: none, open, succeeded, failed or cancelled.
        run_id: That run's id; 0 without one.
        parent_id: The window inside whose processing it was emitted; 0 without one.
        created: When the core took it.
    """

    id: int
    window: Window
    state: str
    run_id: int = 0
    parent_id: int = 0
    created: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class CoreState:
    """What the core says of itself."""

    version: str
    windows: int
    results: int
    open_runs: int
    failed_runs: int
    processors: int
    processors_serving: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that the core keeps.

    Attributes:
        name: Its name, which is its identity.
        window_type: The window type's name.
        window_version: The window type's version.
        cron: Five or six cron fields; or empty, and ``every_s`` says it.
        every_s: The interval in seconds.
        length_s: Length of the windows in seconds; 0 means from one firing to the next.
        timezone: The zone that cron fields are read in.
        catch_up: ``all``, ``latest`` or ``none`` of the firings that were missed.
        origin: The origin of its windows.
        metadata: The metadata of its windows.
        paused: Whether it rests.
        next: Its next firing.
    """

    name: str
    window_type: str
    window_version: str
    cron: str = ""
    every_s: float = 0.0
    length_s: float = 0.0
    timezone: str = "UTC"
    catch_up: str = "all"
    origin: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    paused: bool = False
    next: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note on a span of time.

    Attributes:
        id: Its id.
        window: What it covers, as (start, end) in UTC.
        description: The note.
        metadata: Values that go with it.
        algorithms: Full names of the algorithms it is about.
        window_types: Full names of the window types it is about.
    """

    id: int
    span: tuple[dt.datetime, dt.datetime]
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    algorithms: tuple[str, ...] = ()
    window_types: tuple[str, ...] = ()


class Frame:
    """Columns of equal length, which become a frame of whichever library is there."""

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by name."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """A pandas DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        return import_module("pandas").DataFrame(self.to_dict())

    def to_polars(self) -> Any:
        """A polars DataFrame.

        Raises:
            ImportError: polars is not installed.
        """
        return import_module("polars").DataFrame(self.to_dict(), strict=False)

    def to_arrow(self) -> Any:
        """A pyarrow Table.

        Raises:
            ImportError: pyarrow is not installed.
        """
        return import_module("pyarrow").table(self.to_dict())


class Results(Frame, Sequence[ResultRow]):
    """Results in the order of the core's answer.

    The columns of a frame are ``time_from``, ``time_to`` (UTC), ``algorithm``, ``version``, ``origin``, one column
    ``meta_KEY`` for each metadata key, and either ``value`` (numbers and lists) or one column for each key of the
    structs.
    """

    def __init__(self, rows: Sequence[ResultRow]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ResultRow: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> ResultRow | Results:
        """One row, or some of them."""
        return Results(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __iter__(self) -> Iterator[ResultRow]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"Results({len(self._rows)} rows)"

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by name; a value that a row does not have is None."""
        rows = self._rows
        columns: dict[str, list[Any]] = {
            "time_from": [datetime_of(row.window.from_ns) for row in rows],
            "time_to": [datetime_of(row.window.to_ns) for row in rows],
            "algorithm": [row.name for row in rows],
            "version": [row.version for row in rows],
            "origin": [row.window.origin for row in rows],
        }
        for key in _keys(row.window.metadata for row in rows):
            columns[f"meta_{key}"] = [row.window.metadata.get(key) for row in rows]
        structs = [row.value if isinstance(row.value, dict) else None for row in rows]
        for key in _keys(struct for struct in structs if struct is not None):
            name = f"value_{key}" if key in columns else key
            columns[name] = [None if struct is None else struct.get(key) for struct in structs]
        if not rows or any(not isinstance(row.value, dict) for row in rows):
            columns["value"] = [None if isinstance(row.value, dict) else row.value for row in rows]
        return columns


def _keys(mappings: Any) -> list[str]:
    """All keys, in the order in which they appear first."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
