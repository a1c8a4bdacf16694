"""One call of the core as a plan: which algorithms, in which order, with which inputs. No I/O.

Algorithms of one call that depend on each other on the same window form chains: the later one waits and
gets the earlier one's result in this process, unless the core has sent that result along.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(slots=True, eq=False)
class Job:
    """One algorithm of a call.

    Attributes:
        full_name: Name and version.
        algorithm: The message that the answer repeats.
        definition: What runs; None when this processor does not have it.
        given: Dependency results that the core sent.
        own: The algorithm's own earlier results.
        waits: How many jobs of the same call it still waits for.
        dependents: The jobs that wait for it.
        handed: Results of this call that it got, by full name.
        entered: It counts against its algorithm's limit.
        ended: Its answer is on its way.
        stop: Ends it while it runs, where that is possible.
        thread: The thread that runs it, 0 when none does.
        timer: Cancels its timeout.
        started_s: When it began to run.
    """

    full_name: str
    algorithm: wire.Algorithm
    definition: Definition | None
    given: Iterable[
        tuple[wire.Algorithm, Iterable[wire.AlgorithmDependencyResultRow | wire.AlgorithmResult]]
    ] = ()
    own: Iterable[wire.AlgorithmDependencyResultRow] = ()
    waits: int = 0
    dependents: list[Job] = field(default_factory=list["Job"])
    handed: dict[str, wire.Result] = field(default_factory=dict[str, wire.Result])
    entered: bool = False
    ended: bool = False
    stop: Callable[[], object] | None = None
    thread: int = 0
    timer: Any = None
    started_s: float = 0.0


class Call:
    """What all jobs of one call share; the window is read when it is asked for.

    Args:
        request: The core's message.
        metadata: The call's invocation metadata.
        shared: The cache behind ``params.shared``.
        ended: Tells whether nobody waits any more.
    """

    __slots__ = ("_message", "_window", "attempt", "ended", "exec_id", "shared", "window_id")

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
        self.exec_id = request.exec_id
        attempt = metadata.get(wire.ATTEMPT_KEY, "1")
        self.attempt = int(attempt) if attempt.isdecimal() else 1
        self.window_id = metadata.get(wire.WINDOW_ID_KEY, "")
        self.shared = shared
        self.ended = ended

    @property
    def window(self) -> Window:
        """The window that triggered the call."""
        if self._window is None:
            self._window = window_from_wire(self._message)
        return self._window


def plan(request: wire.ExecutionRequest, definitions: Definitions) -> list[Job]:
    """The jobs of a call, in the core's order, linked where one needs another.

    Calls of cores up to 0.10 have their algorithms in field 4 and all results in field 3.
    """
    jobs = _jobs(request, definitions)
    if len(jobs) > 1:
        _link(jobs)
    return jobs


def _jobs(request: wire.ExecutionRequest, definitions: Definitions) -> list[Job]:
    jobs: list[Job] = []
    for execution in request.algorithm_executions:
        algorithm = execution.algorithm
        name = full_name(algorithm.name, algorithm.version)
        given = [(one.algorithm, one.result) for one in execution.dependencies]
        jobs.append(Job(name, algorithm, definitions.get(name), given, execution.selfResults))
    if jobs or not request.algorithms:
        return jobs
    results = [(one.algorithm, [one]) for one in request.algorithm_results]
    for algorithm in request.algorithms:
        name = full_name(algorithm.name, algorithm.version)
        jobs.append(Job(name, algorithm, definitions.get(name), results))
    return jobs


def _link(jobs: list[Job]) -> None:
    here = {job.full_name: job for job in jobs}
    for job in jobs:
        if job.definition is None:
            continue
        sent = {
            full_name(algorithm.name, algorithm.version)
            for algorithm, rows in job.given
            if any(True for _ in rows)
        }
        for dependency in job.definition.dependencies:
            earlier = here.get(dependency.full_name)
            if dependency.lookback is None and earlier is not None and dependency.full_name not in sent:
                earlier.dependents.append(job)
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
    for wanted in definition.inputs:
        if wanted.role == "window":
            found[wanted.name] = call.window
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
    for name, result in job.handed.items():
        row = DependencyResultRow(call.window, result_value(result))
        if name in found:
            found[name].results.append(row)
        else:
            short, _, version = name.rpartition("_")
            found[name] = DependencyResult(DependencyAlgorithm(short, version), [row])
    return found


def _row(row: wire.AlgorithmDependencyResultRow | wire.AlgorithmResult, call: Call) -> DependencyResultRow:
    # Results of cores that leave the window out belong to the call's own window.
    window = window_from_wire(row.window) if row.HasField("window") else call.window
    return DependencyResultRow(window, result_value(row.result))
