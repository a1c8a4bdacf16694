"""One call of the core as a plan: which algorithms, in which order, with which inputs. No I/O.

Algorithms of one call that depend on each other on the same window form chains: the later one waits and
gets the earlier one's result in this process, unless the core has sent that result along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from orca.processor import messages as wire
from orca.processor.convert import result_value, window_from_wire
from orca.processor.model import Window, full_name
from orca.processor.params import (
    Dependencies,
    DependencyAlgorithm,
    DependencyResult,
    DependencyResultRow,
    ExecutionParams,
    SharedCache,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orca.processor.definition import Definition

__all__ = ["Call", "Job", "arguments", "plan"]


class Definitions(Protocol):
    """What a plan needs of a registry."""

    def get(self, full_name: str) -> Definition | None:
        """A definition, or None."""
        ...


Row = wire.AlgorithmDependencyResultRow | wire.AlgorithmResult


class Job:
    """One algorithm of a call.

    Attributes:
        full_name: Name and version.
        algorithm: The message that the answer repeats.
        definition: What runs; None when this processor does not have it.
        waits: How many jobs of the same call it still waits for.
        dependents: The jobs that wait for it.
        handed: Results of this call that it got, by full name; None before the first.
        entered: It counts against its algorithm's limit.
        ended: Its answer is on its way.
        stop: Ends it while it runs, where that is possible.
        thread: The thread that runs it, 0 when none does.
        timer: Cancels its timeout.
        started_s: When it began to run.
    """

    __slots__ = (
        "_execution",
        "_results",
        "algorithm",
        "definition",
        "dependents",
        "ended",
        "entered",
        "full_name",
        "handed",
        "started_s",
        "stop",
        "thread",
        "timer",
        "waits",
    )

    def __init__(
        self,
        algorithm: wire.Algorithm,
        definitions: Definitions,
        *,
        execution: wire.ExecuteAlgorithm | None = None,
        results: Iterable[wire.AlgorithmResult] = (),
    ) -> None:
        self.algorithm = algorithm
        self.full_name = name = f"{algorithm.name}_{algorithm.version}"
        self.definition = definitions.get(name)
        self.dependents: tuple[Job, ...] = ()
        self.handed: dict[str, wire.Result] | None = None
        self.waits = 0
        self.entered = self.ended = False
        self.stop: Callable[[], object] | None = None
        self.thread = 0
        self.timer: Any = None
        self.started_s = 0.0
        self._execution = execution
        self._results = results

    @property
    def given(self) -> Iterable[tuple[wire.Algorithm, Iterable[Row]]]:
        """Dependency results that the core sent."""
        if self._execution is not None:
            return [(one.algorithm, one.result) for one in self._execution.dependencies]
        return [(one.algorithm, (one,)) for one in self._results]

    @property
    def own(self) -> Iterable[wire.AlgorithmDependencyResultRow]:
        """The algorithm's own earlier results."""
        return self._execution.selfResults if self._execution is not None else ()

    @property
    def alone(self) -> bool:
        """Nothing was given to it, so that all such jobs of a call share their parameters."""
        if self.handed is not None:
            return False
        if self._execution is None:
            return not self._results
        return not (self._execution.dependencies or self._execution.selfResults)


class Call:
    """What all jobs of one call share; the window is read when it is asked for.

    Args:
        request: The core's message.
        metadata: The call's invocation metadata.
        shared: The cache behind ``params.shared``.
        ended: Tells whether nobody waits any more.
    """

    __slots__ = ("_alone", "_message", "_window", "attempt", "ended", "exec_id", "shared", "window_id")

    def __init__(
        self,
        request: wire.ExecutionRequest,
        metadata: Mapping[str, str],
        *,
        shared: SharedCache | None = None,
        ended: Callable[[], bool] | None = None,
    ) -> None:
        self._message = request.window
        self._window: Window | None = None
        self._alone: ExecutionParams | None = None
        self.exec_id = request.exec_id
        attempt = metadata.get(wire.ATTEMPT_KEY, "1")
        self.attempt = int(attempt) if attempt.isdecimal() else 1
        self.window_id = metadata.get(wire.WINDOW_ID_KEY, "")
        self.shared = shared
        self.ended = ended

    def close(self) -> None:
        """The call is over: nothing of it refers back to what runs it, or only the garbage collector would free it."""
        self.ended = _over
        self._alone = None

    @property
    def window(self) -> Window:
        """The window that triggered the call."""
        if self._window is None:
            self._window = window_from_wire(self._message)
        return self._window

    @property
    def alone(self) -> ExecutionParams:
        """The parameters of algorithms that were given nothing."""
        if self._alone is None:
            self._alone = ExecutionParams(
                self.window,
                Dependencies(),
                (),
                self.exec_id,
                self.attempt,
                self.window_id,
                self.shared,
                self.ended,
            )
        return self._alone


def _over() -> bool:
    return True


def plan(request: wire.ExecutionRequest, definitions: Definitions) -> list[Job]:
    """The jobs of a call, in the core's order, linked where one needs another.

    Calls of cores up to 0.10 have their algorithms in field 4 and all results in field 3.
    """
    jobs = [Job(one.algorithm, definitions, execution=one) for one in request.algorithm_executions]
    if not jobs and request.algorithms:
        results = request.algorithm_results
        jobs = [Job(algorithm, definitions, results=results) for algorithm in request.algorithms]
    if len(jobs) > 1:
        _link(jobs)
    return jobs


def _link(jobs: list[Job]) -> None:
    here: dict[str, Job] = {}
    for job in jobs:
        definition = job.definition
        if definition is None or not definition.dependencies:
            continue
        here = here or {one.full_name: one for one in jobs}
        sent = {
            full_name(algorithm.name, algorithm.version)
            for algorithm, rows in job.given
            if any(True for _ in rows)
        }
        for dependency in definition.dependencies:
            earlier = here.get(dependency.full_name)
            if dependency.lookback is None and earlier is not None and dependency.full_name not in sent:
                earlier.dependents += (job,)
                job.waits += 1


def arguments(job: Job, call: Call) -> dict[str, Any]:
    """The keyword arguments of one algorithm.

    Raises:
        InputError: A dependency's value has not the form that a parameter asks for.
    """
    definition = job.definition
    assert definition is not None
    found: dict[str, Any] = {}
    dependencies: Dependencies | None = None
    alone = job.alone
    for wanted in definition.inputs:
        if wanted.role == "window":
            found[wanted.name] = call.window
            continue
        if alone and wanted.role == "params":
            found[wanted.name] = call.alone
            continue
        if dependencies is None:
            dependencies = _dependencies(job, call)
        if wanted.role == "dep":
            assert wanted.read is not None
            found[wanted.name] = wanted.read(dependencies.get_result(wanted.full_name))
        elif wanted.role == "params":
            found[wanted.name] = _params(job, call, dependencies)
        else:
            found[wanted.name] = {name: dependencies[name] for name in dependencies}
    return found


def _params(job: Job, call: Call, dependencies: Dependencies) -> ExecutionParams:
    return ExecutionParams(
        call.window,
        dependencies,
        [_row(row, call) for row in job.own],
        call.exec_id,
        call.attempt,
        call.window_id,
        call.shared,
        call.ended,
    )


def _dependencies(job: Job, call: Call) -> Dependencies:
    definition = job.definition
    specs = definition.dependencies if definition is not None else ()
    looking = frozenset(one.full_name for one in specs if one.lookback is not None)
    return Dependencies(lookbacks=looking, read=lambda: _read(job, call))


def _read(job: Job, call: Call) -> dict[str, DependencyResult]:
    found: dict[str, DependencyResult] = {}
    for algorithm, rows in job.given:
        name = full_name(algorithm.name, algorithm.version)
        about = DependencyAlgorithm(algorithm.name, algorithm.version, algorithm.description)
        found[name] = DependencyResult(about, [_row(row, call) for row in rows])
    for name, result in (job.handed or {}).items():
        row = DependencyResultRow(call.window, result_value(result))
        if name in found:
            found[name].results.append(row)
        else:
            short, _, version = name.rpartition("_")
            found[name] = DependencyResult(DependencyAlgorithm(short, version), [row])
    return found


def _row(row: Row, call: Call) -> DependencyResultRow:
    # Results of cores that leave the window out belong to the call's own window.
    window = window_from_wire(row.window) if row.HasField("window") else call.window
    return DependencyResultRow(window, result_value(row.result))
