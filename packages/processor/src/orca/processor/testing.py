# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Run algorithms from plain test code: one, or a whole DAG, without any server or core.

.. code-block:: python

    from orca.processor.testing import Local

    def test_alarm():
        run = Local(proc).run(window)
        assert run["Alarm"].value == {"level": 2.0}

:class:`Local` runs through the same plan, conversions and engine as the server, so what passes here behaves so
there: numbers are float32, structs are plain dicts, failures have the same details. Earlier runs of the same object
are its history, from which look-backs are served. Windows can be recorded to a file and played back.

With ``pytest_plugins = ["orca.processor.testing"]`` tests get the fixtures ``orca_window`` (makes windows),
``orca_local`` (makes a :class:`Local` of a processor), ``orca_core`` (makes a whole core in this process, closed at the
test's end; needs orca-orchestrator) and ``orca_recorded`` (the windows of a recorded file beside the test).
"""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from orca.processor import messages as wire
from orca.processor.convert import ResultRecord, ResultStatus, result_from_wire, window_to_wire
from orca.processor.errors import BadConfigFile, ExecutionError, InvalidWindowArgument
from orca.processor.model import Lookback, Window
from orca.processor.params import (
    Dependencies,
    DependencyAlgorithm,
    DependencyResult,
    DependencyResultRow,
    ExecutionParams,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from orca.processor._testing_core import InProcessCore
    from orca.processor.definition import Definition
    from orca.processor.processor import Processor

__all__ = [
    "HISTORY_MAX",
    "InProcessCore",
    "Local",
    "LocalRun",
    "make_params",
    "make_window",
    "play",
    "record",
]

_FIXTURES: Final = ("orca_window", "orca_local", "orca_core", "orca_recorded")

HISTORY_MAX: Final = 10_000
"""Windows of history that a :class:`Local` keeps: enough for any test, and bounded for long replays."""


def make_window(
    name: str = "TestWindow",
    version: str = "1.0.0",
    *,
    start: float = 1_767_225_600,
    length_s: float = 30,
    origin: str = "test",
    **metadata: Any,
) -> Window:
    """A window for a test; keywords become its metadata.

    Example:
        >>> make_window("Every30Second", asset_id=1).metadata
        {'asset_id': 1}
    """
    return Window(float(start), float(start + length_s), name, version, origin, metadata)


def make_params(
    window: Window | None = None,
    results: Mapping[Any, Any] | None = None,
    *,
    self_results: Sequence[Any] = (),
) -> ExecutionParams:
    """Parameters with which a function can be called as it is.

    Args:
        window: What it runs for; one of :func:`make_window` when None.
        results: Dependencies' values: a list stands for a look-back's results.
        self_results: The algorithm's own earlier results.

    Example:
        >>> make_params(results={"Mean_1.0.0": 2.5}).dependencies["Mean_1.0.0"]
        2.5
    """
    window = window or make_window()
    found: dict[str, DependencyResult] = {}
    lists: set[str] = set()
    for key, value in (results or {}).items():
        name = name_of(key)
        if name is None:
            raise InvalidWindowArgument(f"{key!r} is no algorithm")
        short, _, version = name.rpartition("_")
        rows = value if isinstance(value, list) else [value]
        if isinstance(value, list):
            lists.add(name)
        about = DependencyAlgorithm(short or name, version)
        found[name] = DependencyResult(about, [DependencyResultRow(window, one) for one in rows])
    own = [DependencyResultRow(window, one) for one in self_results]
    return ExecutionParams(window, Dependencies(found, lookbacks=frozenset(lists)), own)


@dataclass(frozen=True, slots=True)
class LocalRun:
    """The results of one window.

    Attributes:
        window: The window.
        results: By full name, in the order in which they ended.
    """

    window: Window
    results: Mapping[str, ResultRecord] = field(default_factory=dict[str, ResultRecord])

    def __getitem__(self, algorithm: Any) -> ResultRecord:
        """The result of an algorithm: a decorated function, a full name, or a name.

        Raises:
            KeyError: It did not run.
        """
        name = name_of(algorithm) or ""
        for full, found in self.results.items():
            if name in {full, full.rpartition("_")[0]}:
                return found
        raise KeyError(f"{name or algorithm!r} did not run; there are: {', '.join(self.results) or 'none'}")

    @property
    def ok(self) -> bool:
        """Whether everything succeeded."""
        return all(one.ok for one in self.results.values())

    def values(self) -> dict[str, Any]:
        """All values by full name.

        Raises:
            ExecutionError: An algorithm failed.
        """
        for name, one in self.results.items():
            if not one.ok:
                text = f"{name}: {one.error.get('message', 'failed')}"
                raise ExecutionError(text, kind=str(one.error.get("kind", "raised")), details=dict(one.error))
        return {name: one.value for name, one in self.results.items()}


class Local:
    """Runs a processor's algorithms in this process.

    Args:
        processor: Whose algorithms.
        results: Values of algorithms that other processors run, by full name.

    Raises:
        InvalidDefinitions: There are mistakes in the definitions.
    """

    def __init__(self, processor: Processor, results: Mapping[str, Any] | None = None) -> None:
        self.processor = processor
        self.history: list[LocalRun] = []
        self._results = dict(results or {})
        processor.check()

    def run(self, window: Window, *, only: Iterable[Any] | None = None) -> LocalRun:
        """Run all algorithms of the window's type, in the order of their dependencies.

        Args:
            window: What to run for.
            only: These algorithms and what they depend on.
        """
        return asyncio.run(self.run_async(window, only=only))

    async def run_async(self, window: Window, *, only: Iterable[Any] | None = None) -> LocalRun:
        """See :meth:`run`."""
        chosen = self._chosen(window, only)
        engine = self.processor.engine()
        found: dict[str, ResultRecord] = {}

        async def write(answers: Sequence[bytes]) -> None:
            for data in answers:
                answer = wire.ExecutionResult.FromString(data).algorithm_result
                found[f"{answer.algorithm.name}_{answer.algorithm.version}"] = result_from_wire(answer.result)

        try:
            await engine.execute(self._request(window, chosen), {}, write)
        finally:
            engine.close()
        run = LocalRun(window, found)
        self.history.append(run)
        del self.history[:-HISTORY_MAX]
        return run

    def _chosen(self, window: Window, only: Iterable[Any] | None) -> list[Definition]:
        triggered = [
            one
            for one in self.processor.registry
            if one.window_type is not None and one.window_type.full_name == window.full_name
        ]
        if only is None:
            return triggered
        names = [name_of(one) or "" for one in only]
        wanted: set[str] = set()
        open_names = [one.full_name for one in triggered if {one.full_name, one.name} & set(names)]
        by_name = {one.full_name: one for one in triggered}
        while open_names:
            name = open_names.pop()
            if name in wanted or name not in by_name:
                continue
            wanted.add(name)
            open_names += [one.full_name for one in by_name[name].dependencies if one.lookback is None]
        return [one for one in triggered if one.full_name in wanted]

    def _request(self, window: Window, chosen: list[Definition]) -> wire.ExecutionRequest:
        from orca.processor.convert import fill_result, kind_of  # noqa: PLC0415

        request = wire.ExecutionRequest(exec_id="local", window=window_to_wire(window))
        for definition in chosen:
            execution = request.algorithm_executions.add()
            execution.algorithm.name, execution.algorithm.version = definition.name, definition.version
            for dependency in definition.dependencies:
                name = dependency.full_name
                rows = (
                    self._past(name, window, dependency.lookback) if dependency.lookback is not None else []
                )
                if dependency.lookback is None and name in self._results:
                    rows = [(window, self._results[name])]
                if not rows:
                    continue
                entry = execution.dependencies.add()
                entry.algorithm.name, entry.algorithm.version = dependency.name, dependency.version
                for past, value in rows:
                    row = entry.result.add(window=window_to_wire(past))
                    fill_result(row.result, value, kind_of(value))
            if definition.self_lookback is not None:
                for past, value in self._past(definition.full_name, window, definition.self_lookback):
                    row = execution.selfResults.add(window=window_to_wire(past))
                    fill_result(row.result, value, kind_of(value))
        return request

    def _past(self, name: str, window: Window, back: Lookback) -> list[tuple[Window, Any]]:
        """The earlier results that a look-back sees, the oldest first; filter fields keep assets apart."""
        definition = self.processor.registry.get(name)
        fields = definition.window_type.metadataFields if definition and definition.window_type else ()
        keys = [one.name for one in fields if one.filter]
        rows = [
            (run.window, run.results[name].value)
            for run in self.history
            if name in run.results
            and run.results[name].status is ResultStatus.SUCCEEDED
            and run.window.to_ns <= window.from_ns
            and all(run.window.metadata.get(key) == window.metadata.get(key) for key in keys)
        ]
        rows.sort(key=lambda row: row[0].to_ns)
        if back.gap_count:
            rows = rows[: -back.gap_count]
        if back.gap_ns:
            rows = [row for row in rows if row[0].to_ns <= window.from_ns - back.gap_ns]
        if back.count:
            return rows[-back.count :]
        return [row for row in rows if row[0].from_ns >= window.from_ns - back.gap_ns - back.span_ns]


def record(path: Path, windows: Iterable[Window]) -> None:
    """Write windows to a file, one JSON object a line, to be played back by :func:`play`.

    Raises:
        ConversionError: A window's metadata cannot be written.
    """
    from orca.processor.structs import struct_dict, to_struct  # noqa: PLC0415

    lines = [
        json.dumps(
            {
                "time_from_ns": one.from_ns,
                "time_to_ns": one.to_ns,
                "name": one.name,
                "version": one.version,
                "origin": one.origin,
                "metadata": struct_dict(to_struct(one.metadata)),
            }
        )
        for one in windows
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def play(path: Path) -> Iterator[Window]:
    """The windows of a file that :func:`record` wrote.

    Raises:
        BadConfigFile: A line is no window; the message names it.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        window = None
        with suppress(ValueError, KeyError, TypeError):
            one = json.loads(line)
            window = Window.unchecked(
                int(one["time_from_ns"]),
                int(one["time_to_ns"]),
                str(one["name"]),
                str(one["version"]),
                str(one["origin"]),
                dict(one["metadata"]),
            )
        if window is None:
            raise BadConfigFile(
                f"{path}:{number} is no recorded window", hint="write it with orca.processor.testing.record"
            )
        yield window


def _fixtures() -> dict[str, Any]:
    """The pytest fixtures; nothing where pytest is not installed."""
    try:
        import pytest  # noqa: PLC0415
    except ImportError:
        return {}

    @pytest.fixture(name="orca_window")
    def orca_window() -> Callable[..., Window]:
        """Makes windows: see make_window."""
        return make_window

    @pytest.fixture(name="orca_local")
    def orca_local() -> Callable[..., Local]:
        """Makes a Local of a processor."""
        return Local

    @pytest.fixture(name="orca_core")
    def orca_core() -> Iterator[Callable[..., Any]]:
        """Makes an in-process core of processors."""
        from orca.processor._testing_core import InProcessCore  # noqa: PLC0415

        with ExitStack() as opened:
            yield lambda *processors, **options: opened.enter_context(InProcessCore(*processors, **options))

    @pytest.fixture(name="orca_recorded")
    def orca_recorded(request: Any) -> Callable[[str], list[Window]]:
        """The windows of a file that was recorded, its path taken from the test's own folder."""
        return lambda name: list(play(request.path.parent / name))

    made = (orca_window, orca_local, orca_core, orca_recorded)
    return dict(zip(_FIXTURES, made, strict=True))


def __getattr__(name: str) -> Any:
    if name == "InProcessCore":
        from orca.processor._testing_core import InProcessCore  # noqa: PLC0415

        return InProcessCore
    # pytest asks a plug-in for its names; ordinary users of this module need not have pytest.
    if name in _FIXTURES:
        found = _fixtures()
        if name in found:
            globals().update(found)
            return found[name]
    raise AttributeError(name)


def __dir__() -> list[str]:
    return [*__all__, *_FIXTURES]
