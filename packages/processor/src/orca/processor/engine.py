"""Running the algorithms of calls: lanes of threads, tasks on the loop, executors; results leave as they come.

A call's synchronous algorithms wait in one deque that a few lanes pull from; a lane is one thread's work, not one
algorithm's, so a hundred quick algorithms cost two thread switches. When they turn out to be slow, more lanes open,
up to the pool's size. Finished answers are collected and wake the loop once for all that is there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from orca.processor import _log, failures, telemetry
from orca.processor import messages as wire
from orca.processor._context import running
from orca.processor.encode import TooLarge, answer, answer_head, failure_bytes, result_bytes
from orca.processor.executors import submit
from orca.processor.lanes import LanePool
from orca.processor.part import Call, Job, arguments, plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from orca.processor.definition import Definition
    from orca.processor.model import Window
    from orca.processor.registry import Registry

__all__ = ["ASYNC_MAX", "Engine", "WindowCache"]

ASYNC_MAX: Final = 1000
"""Asynchronous algorithms at work at once: they cost memory, not threads."""

LANES_FIRST: Final = 2
"""Lanes that a call begins with: one computes while the other hands over."""

GROW_AFTER_S: Final = 0.002
"""A call whose lanes have not emptied its deque by then has slow algorithms and gets more lanes."""

LOG_EACH_MAX: Final = 3
"""Calls of at most so many algorithms log each of them; larger ones log one line, or logging would be the work."""

WINDOWS_CACHED_MAX: Final = 64
"""Windows whose shared values are kept: the windows at work at once, with room for stragglers."""

_HERE: Final = __file__


class WindowCache:
    """What ``params.shared`` keeps: values by window and key, the least recently used windows dropped."""

    def __init__(self, windows_max: int = WINDOWS_CACHED_MAX) -> None:
        self._max = windows_max
        self._lock = threading.Lock()
        self._windows: OrderedDict[Window, dict[str, Future[Any]]] = OrderedDict()

    def get(self, window: Window, key: str, make: Callable[[], Any]) -> Any:
        """The value under ``key``; one caller makes it, the others wait."""
        with self._lock:
            values = self._windows.setdefault(window, {})
            self._windows.move_to_end(window)
            while len(self._windows) > self._max:
                self._windows.popitem(last=False)
            found = values.get(key)
            mine = found is None
            if found is None:
                found = values[key] = Future()
        if mine:
            try:
                found.set_result(make())
            except BaseException as error:
                with self._lock:
                    values.pop(key, None)
                found.set_exception(error)
                raise
        return found.result()


class _Limit:
    """How many executions of one algorithm run at once; the rest waits in order."""

    __slots__ = ("active", "most", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most
        self.active = 0
        self.waiting: deque[tuple[_Part, Job]] = deque()


class Engine:
    """Runs calls for one processor.

    Args:
        registry: The processor's algorithms, checked.
        max_workers: Threads for synchronous algorithms.
        timeout_s: The longest that an algorithm without its own timeout may run; 0 for no limit.
        observe: Told of every end: full name, outcome (``ok`` or an error kind), seconds.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        max_workers: int = 10,
        timeout_s: float = 0.0,
        observe: Callable[[str, str, float], None] | None = None,
    ) -> None:
        self.registry = registry
        self.max_workers = max_workers
        self.timeout_s = timeout_s
        self.observe = observe
        self.pool = LanePool(max_workers)
        self.cache = WindowCache()
        self.parts: set[_Part] = set()
        self._lock = threading.Lock()
        self._limits: dict[str, _Limit] = {}

    @property
    def active(self) -> int:
        """How many algorithms have not answered yet."""
        return sum(part.open for part in self.parts)

    async def execute(
        self,
        request: wire.ExecutionRequest,
        metadata: Mapping[str, str],
        write: Callable[[Sequence[bytes]], Awaitable[Any]],
    ) -> None:
        """Run one call; ``write`` gets answers, each an ExecutionResult's bytes, as soon as they are there.

        When this is cancelled, or ``write`` raises because nobody listens, what has not begun never begins.
        """
        part = _Part(self, request, metadata)
        self.parts.add(part)
        try:
            with telemetry.part_span(self.registry.processor, request.exec_id, metadata, part.open):
                await part.run(write)
        finally:
            part.cancel()
            self.parts.discard(part)

    def close(self) -> None:
        """End the threads, and everything that still runs where that is possible."""
        for part in list(self.parts):
            part.cancel()
        self.pool.close()

    def enter(self, part: _Part, job: Job) -> bool:
        """Whether a job may begin now; otherwise it is started when it may."""
        definition = job.definition
        most = definition.options.concurrency_max if definition is not None else 0
        if definition is not None and definition.is_async and not most:
            most = ASYNC_MAX
        if not most or job.entered:
            return True
        with self._lock:
            limit = self._limits.setdefault(job.full_name, _Limit(most))
            if limit.active < limit.most:
                limit.active += 1
                job.entered = True
                return True
            limit.waiting.append((part, job))
            return False

    def leave(self, job: Job) -> None:
        """A job has ended, or never begins: the next one that waits begins."""
        if not job.entered:
            return
        with self._lock:
            job.entered = False
            limit = self._limits[job.full_name]
            follower = None
            while limit.waiting and follower is None:
                part, waiting = limit.waiting.popleft()
                follower = (part, waiting) if not (part.over or waiting.ended) else None
            if follower is None:
                limit.active -= 1
                return
            follower[1].entered = True
        follower[0].start(follower[1])


class _Part:
    """One call while it runs."""

    def __init__(self, engine: Engine, request: wire.ExecutionRequest, metadata: Mapping[str, str]) -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.call = Call(request, metadata, shared=engine.cache, ended=lambda: self.over)
        self.jobs = plan(request, engine.registry)
        self.open = len(self.jobs)
        self.over = False
        self.log = _log.get_logger()
        self.log_each = self.open <= LOG_EACH_MAX
        self.parent = {wire.PARENT_EXEC_KEY: self.call.exec_id}
        if self.call.window_id:
            self.parent[wire.PARENT_WINDOW_KEY] = self.call.window_id
        self.trace: Any = None
        self._loop_thread = threading.get_ident()
        self._head = answer_head(request.exec_id)
        self._lock = threading.Lock()
        self._ready: deque[Job] = deque()
        self._lanes = 0
        self._answers: list[bytes] = []
        self._event = asyncio.Event()
        self._signalled = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._grower: asyncio.TimerHandle | None = None
        # A look at the deque is under way, or on its way to the loop.
        self._looking = False

    async def run(self, write: Callable[[Sequence[bytes]], Awaitable[Any]]) -> None:
        self.trace = telemetry.current_context()
        text = "Received DAG execution request with %d algorithms and ExecId: %s"
        self.log.info(text, self.open, self.call.exec_id)
        for job in self.jobs:
            if not job.waits:
                self.start(job)
        while self.open or self._answers:
            if not self._answers:
                await self._event.wait()
            self._event.clear()
            with self._lock:
                self._signalled = False
                answers, self._answers = self._answers, []
            await write(answers)

    def cancel(self) -> None:
        """Nobody waits any more."""
        self.over = True
        self.call.close()
        if self._grower is not None:
            self._grower.cancel()
        with self._lock:
            dropped = list(self._ready)
            self._ready.clear()
        for job in dropped:
            self.engine.leave(job)
        for task in list(self._tasks):
            task.cancel()
        for job in self.jobs:
            if job.timer is not None:
                job.timer.cancel()
            if not job.ended and job.stop is not None:
                job.stop()

    # Starting

    def start(self, job: Job) -> None:
        """Let a job run wherever it runs; from any thread."""
        definition = job.definition
        if definition is None:
            self.fail(job, failures.unknown(job.full_name, self.engine.registry.processor))
        elif definition.is_async:
            if threading.get_ident() == self._loop_thread:
                self._start_task(job)
            else:
                self._soon(self._start_task, job)
        else:
            with self._lock:
                dropped = self.over
                more = not dropped and self._lanes < min(LANES_FIRST, self.engine.max_workers)
                self._lanes += more
                if not dropped:
                    self._ready.append(job)
                look = self._must_look()
            if more:
                self.engine.pool.submit(self._lane)
            if look:
                self._look_later()
            if dropped:
                self.engine.leave(job)

    def _soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Let the loop do it; a thread that comes back after the server is gone finds a closed loop."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *arguments)

    def _must_look(self) -> bool:
        """Whether somebody must look for slow algorithms and nobody is about to; under the lock.

        A call whose jobs all run, or whose lanes are all there, costs nothing while it waits. Its lanes end only
        when there is nothing left for them, so that none is missed, except by a timeout, which looks for itself.
        """
        if self._looking or self.over or not self._ready or self._lanes >= self.engine.max_workers:
            return False
        self._looking = True
        return True

    def _look_later(self) -> None:
        if threading.get_ident() == self._loop_thread:
            self._arm_grower()
        else:
            self._soon(self._arm_grower)

    def _arm_grower(self) -> None:
        if not self.over:
            self._grower = self.loop.call_later(GROW_AFTER_S, self._grow)

    def _grow(self) -> None:
        """Slow algorithms get more lanes, twice as many at each look."""
        with self._lock:
            more = min(len(self._ready), self.engine.max_workers - self._lanes, max(self._lanes, 1))
            more = max(more, 0)
            self._lanes += more
            self._looking = False
            look = self._must_look()
        for _ in range(more):
            self.engine.pool.submit(self._lane)
        if look:
            self._arm_grower()

    # Threads

    def _lane(self) -> bool:
        """One thread's work: jobs until there are none; False when it was given up meanwhile."""
        with running(self.parent):
            while True:
                with self._lock:
                    if not self._ready or self.over:
                        self._lanes -= 1
                        return True
                    job = self._ready.popleft()
                if self.engine.enter(self, job) and not self._one(job):
                    return False

    def _one(self, job: Job) -> bool:
        """Run one job here, or hand it to its executor; False when this lane was given up meanwhile."""
        definition = job.definition
        assert definition is not None
        self._begin(job, definition)
        try:
            keywords = arguments(job, self.call)
            if definition.executor is not None:
                self._submit(job, definition, keywords)
                return True
            value = (
                definition.function(**keywords)
                if self.trace is None
                else self._traced(job, definition, keywords)
            )
        except BaseException as error:  # noqa: BLE001 - SystemExit of a user's function ends that function only
            kept = self._raised(job, error)
            # A thread is given up only for a function that runs in it.
            return kept or definition.executor is not None
        return self.succeed(job, value)

    def _traced(self, job: Job, definition: Definition, keywords: dict[str, Any]) -> Any:
        with telemetry.algorithm_span(job.full_name, self.trace) as span:
            try:
                return definition.function(**keywords)
            except BaseException as error:
                telemetry.mark_failed(span, type(error).__name__)
                raise

    def _begin(self, job: Job, definition: Definition) -> None:
        if self.log_each:
            self.log.info("Running algorithm %s", job.full_name)
        if self.engine.observe is not None:
            job.started_s = time.monotonic()
        timeout_s = definition.options.timeout_s or self.engine.timeout_s
        if timeout_s:
            if definition.executor is None and not definition.is_async:
                job.thread = threading.get_ident()
            self._soon(self._arm, job, timeout_s)

    def _arm(self, job: Job, timeout_s: float) -> None:
        if not job.ended and not self.over:
            job.timer = self.loop.call_later(timeout_s, self._timed_out, job, timeout_s)

    def _timed_out(self, job: Job, timeout_s: float) -> None:
        with self._lock:
            if job.ended:
                return
            thread, stop = job.thread, job.stop
        if not self.fail(job, failures.timed_out(timeout_s)):
            return  # it has ended in this very moment, and its lane goes on
        if thread:
            self.engine.pool.abandon(thread)
        if stop is not None:
            stop()
        with self._lock:
            self._lanes -= bool(thread)
            more = bool(self._ready) and self._lanes < 1
            self._lanes += more
            look = self._must_look()
        if more:
            self.engine.pool.submit(self._lane)
        if look:
            self._look_later()

    # Executors

    def _submit(self, job: Job, definition: Definition, keywords: dict[str, Any]) -> None:
        assert definition.executor is not None
        future = submit(definition.executor, definition.function, keywords)
        job.stop = future.cancel
        if self.over or job.ended:
            # It timed out while it was handed over.
            future.cancel()
        future.add_done_callback(lambda done: self._future_done(job, done))

    def _future_done(self, job: Job, future: Future[Any]) -> None:
        try:
            value = future.result()
        except CancelledError:
            self.fail(job, failures.cancelled())
        except BaseException as error:  # noqa: BLE001 - see _one
            self._raised(job, error)
        else:
            self.succeed(job, value)

    # Tasks

    def _start_task(self, job: Job) -> None:
        if self.over:
            self.engine.leave(job)
            return
        if not self.engine.enter(self, job):
            return
        task = self.loop.create_task(self._task(job))
        job.stop = task.cancel
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _task(self, job: Job) -> None:
        definition = job.definition
        assert definition is not None
        with running(self.parent), telemetry.algorithm_span(job.full_name, self.trace) as span:
            self._begin(job, definition)
            try:
                value = await definition.function(**arguments(job, self.call))
            except asyncio.CancelledError:
                # By the timeout, which has answered already, or because the call is over.
                self.fail(job, failures.cancelled())
                raise
            except BaseException as error:  # noqa: BLE001 - see _one
                telemetry.mark_failed(span, str(error))
                self._raised(job, error)
            else:
                self.succeed(job, value)

    # Ends

    def succeed(self, job: Job, value: Any) -> bool:
        """Answer with a result; False when the job had ended before."""
        definition = job.definition
        assert definition is not None
        try:
            result = result_bytes(definition, value, int(time.time()))
        except TooLarge as error:
            return self.fail(job, error.details)
        except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
            details = failures.describe(error, skip_file=_HERE)
            return self.fail(job, {**details, "kind": "result"}, error)
        if self.log_each:
            self.log.info("Completed algorithm: %s", definition.name)
        return self._end(job, result, "ok")

    def _raised(self, job: Job, error: BaseException) -> bool:
        return self.fail(job, failures.describe(error, skip_file=_HERE), error)

    def fail(self, job: Job, details: Mapping[str, Any], error: BaseException | None = None) -> bool:
        """Answer with a failure; what depends on it is skipped. False when the job had ended before."""
        result = failure_bytes(details, int(time.time()))
        if not self._end(job, result, str(details["kind"])):
            return False
        if not self.over:
            text = "Algorithm %s failed: %s"
            self.log.error(
                text, job.algorithm.name, details.get("message"), exc_info=error, extra={"orca": details}
            )
        return True

    def _end(self, job: Job, result: bytes, outcome: str) -> bool:
        ok = outcome == "ok"
        data = answer(self._head, job.algorithm.SerializeToString(), result)
        following: Sequence[Job] = ()
        message = wire.Result.FromString(result) if ok and job.dependents else None
        with self._lock:
            if job.ended:
                return False
            job.ended = True
            job.thread = 0
        if self.engine.observe is not None:
            # Before anybody can have the answer: who has it finds the execution counted.
            spent_s = time.monotonic() - job.started_s if job.started_s else 0.0
            self.engine.observe(job.full_name, outcome, spent_s)
        with self._lock:
            if job.dependents:
                following = _hand_over(job, message)
            self._answers.append(data)
            self.open -= 1
            signal = not self._signalled
            self._signalled = True
        if signal:
            self._soon(self._event.set)
        if job.timer is not None:
            self._soon(job.timer.cancel)
        self.engine.leave(job)
        for one in following:
            if ok:
                self.start(one)
            else:
                self.fail(one, failures.skipped(job.full_name))
        return True


def _hand_over(job: Job, result: wire.Result | None) -> Sequence[Job]:
    """Give a result to the jobs that wait for it; returns those that can begin, or all when there is none."""
    waiting = [one for one in job.dependents if not one.ended]
    for one in waiting:
        one.waits -= 1
        if result is not None:
            one.handed = {**(one.handed or {}), job.full_name: result}
    return waiting if result is None else [one for one in waiting if not one.waits]
