"""Algorithms inside the core's process: what a call needs, without a channel and mostly without messages.

A chain is run from its first algorithm to its last in one go: asynchronous ones in a lane on the loop, synchronous
ones in a lane that is a thread. A lane takes call after call, so that quick algorithms cost no task and no thread
switch each; when one waits, further lanes open. Everything else (branches in one call, look-backs, executors,
timeouts below a minute, tracing) goes through the processor's own engine.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from orca.orchestrator.calls import result_of
from orca.orchestrator.links import Instance
from orca.orchestrator.model import ResultKind
from orca.orchestrator.store.records import StoredValue
from orca.orchestrator.wireform import stored_value
from orca.processor import convert, failures, wire
from orca.processor.annotations import LastOf
from orca.processor.arrays import FLOAT32_MAX
from orca.processor.context import running
from orca.processor.encode import TooLarge, failure_bytes, result_bytes
from orca.processor.lanes import LanePool
from orca.processor.model import Window
from orca.processor.params import (
    Dependencies,
    DependencyAlgorithm,
    DependencyResult,
    DependencyResultRow,
    ExecutionParams,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.orchestrator.calls import Call
    from orca.orchestrator.links import Link
    from orca.orchestrator.registry import PlanInfo
    from orca.processor.definition import Definition
    from orca.processor.engine import Engine as Runner

__all__ = ["LocalInstance"]

# A lane of the loop gives others their turn after this long.
TURN_S = 0.004
# What is done after this long is told although the chain goes on: it is worth keeping, and somebody may watch.
TELL_AFTER_S = 0.002
# A lane of threads whose calls still wait after this long runs slow algorithms, and gets another beside it.
GROW_AFTER_S = 0.002
# Lanes of the loop at most: they cost memory, not threads.
LANES_MAX = 1000
# Shorter timeouts are watched call by call, by the processor's engine; longer ones at this pace.
TIMEOUT_MIN_S = 60.0
WATCH_S = 1.0

_FLOAT32 = struct.Struct("<f")
_HERE = __file__


class _Step(NamedTuple):
    """One algorithm of a chain, ready to be called."""

    node: int
    definition: Definition
    function: Any
    # Floats of it are stored as they are.
    plain: bool
    # By full name: the node whose value it is.
    sources: Mapping[str, int]


class _Chain(NamedTuple):
    """A chain of one plan, ready to be run again and again."""

    steps: tuple[_Step, ...]
    is_async: bool


class _Values:
    """What the algorithms of one chain are given, made when it is asked for."""

    __slots__ = ("_call", "_chain", "_ended", "_shared", "_window", "found")

    def __init__(self, call: Call, chain: _Chain, shared: Any) -> None:
        self._call = call
        self._chain = chain
        self._shared = shared
        self._window: Any = None
        self.found: dict[int, Any] = {}

    @property
    def window(self) -> Any:
        if self._window is None:
            active = self._call.active
            span, kind = active.run.span, active.kind
            if active.run.metadata == "{}":
                times = (span.time_from_ns, span.time_to_ns)
                self._window = Window.unchecked(*times, kind.name, kind.version, active.run.origin, {})
            else:
                # By way of the wire, so that its values are what a worker elsewhere gets.
                self._window = convert.window_from_wire(active.window)
        return self._window

    def value(self, node: int) -> Any:
        if node not in self.found:
            # Of an earlier life of this run, or of another processor.
            self.found[node] = self._call.active.value(node)
        return self.found[node]

    def keywords(self, step: _Step) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for wanted in step.definition.inputs:
            if wanted.role == "dep":
                assert wanted.read is not None
                if isinstance(wanted.read, LastOf):
                    found[wanted.name] = wanted.read.convert(self.value(step.sources[wanted.full_name]))
                else:
                    found[wanted.name] = wanted.read(self._result(step, wanted.full_name))
            elif wanted.role == "window":
                found[wanted.name] = self.window
            elif wanted.role == "params":
                found[wanted.name] = self._params(step)
            else:
                found[wanted.name] = {name: self.value(node) for name, node in step.sources.items()}
        return found

    def _result(self, step: _Step, name: str) -> DependencyResult:
        node = step.sources[name]
        about = self._call.active.info.plan.nodes[node].ref
        row = DependencyResultRow(self.window, self.value(node))
        return DependencyResult(DependencyAlgorithm(about.name, about.version), [row])

    def _params(self, step: _Step) -> ExecutionParams:
        call = self._call
        results = {name: self._result(step, name) for name in step.sources}
        return ExecutionParams(
            self.window,
            Dependencies(results),
            (),
            call.exec_id,
            call.active.state.attempts[call.nodes[0]],
            str(call.active.run.span.id),
            self._shared,
            lambda: not call.open,
        )


class _Told(NamedTuple):
    """What a thread tells the loop: results, a failure's message, and whether the call is over."""

    call: Call
    values: Sequence[tuple[int, StoredValue]]
    failure: wire.ExecutionResult | None = None
    over: bool = False


class LocalInstance(Instance):
    """A processor inside this process: no channel, no health checks, the same kernel and the same records.

    Args:
        runner: The processor's engine.
        link: Where its calls come from.
    """

    def __init__(self, runner: Runner, link: Link) -> None:
        self.prepare("local", frozenset(wire.FEATURES), link)
        self.state = "serving"
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._chains: dict[tuple[int, tuple[int, ...]], _Chain | None] = {}
        self._logger = logging.getLogger("orca.processor")
        # On the loop.
        self._ready: deque[tuple[Call, _Chain]] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self._waking = False
        self._watcher: asyncio.TimerHandle | None = None
        # In threads; the lock guards what both sides touch.
        self._pool = LanePool(runner.max_workers, name="orca-local")
        self._lock = threading.Lock()
        self._thread_ready: deque[tuple[Call, _Chain]] = deque()
        self._thread_lanes = 0
        self._told: deque[_Told] = deque()
        self._signalled = False
        self._grower: asyncio.TimerHandle | None = None

    def poke(self) -> None:
        """It is always there."""

    # what is a chain

    def _chain(self, info: PlanInfo, nodes: tuple[int, ...]) -> _Chain | None:
        key = (info.plan_id, nodes)
        try:
            return self._chains[key]
        except KeyError:
            chain = self._chains[key] = self._made(info, nodes)
            return chain

    def _made(self, info: PlanInfo, nodes: tuple[int, ...]) -> _Chain | None:
        plan = info.plan
        steps: list[_Step] = []
        for before, node in zip((None, *nodes), nodes, strict=False):
            entry = plan.nodes[node]
            definition = self._runner.registry.get(str(entry.ref))
            if (
                definition is None
                or definition.executor is not None
                or entry.looks_back
                or (before is not None and before not in entry.upstream)
                or definition.options.timeout_s
                or entry.definition.options.timeout_s < TIMEOUT_MIN_S
            ):
                return None
            sources = {str(plan.nodes[up].ref): up for up in entry.upstream}
            numbers = int(definition.kind) in (ResultKind.VALUE, ResultKind.NOT_SPECIFIED)
            plain = numbers and not definition.exact
            steps.append(_Step(node, definition, definition.function, plain, sources))
        kinds = {step.definition.is_async for step in steps}
        if len(kinds) != 1 or self._runner.timeout_s:
            return None
        return _Chain(tuple(steps), kinds.pop())

    # calls come in

    def take(self, call: Call) -> bool:
        """Whether a call is run here; otherwise it goes through the processor's engine."""
        if "opentelemetry.trace" in sys.modules:
            return False
        chain = self._chain(call.active.info, call.nodes)
        if chain is None:
            return False
        if chain.is_async:
            self._ready.append((call, chain))
        else:
            call.stop = partial(self._replace_thread, call)
            with self._lock:
                self._thread_ready.append((call, chain))
        call.inside = True
        self._wake_soon()
        if self._watcher is None:
            self._watcher = self._loop.call_later(WATCH_S, self._watch_calls)
        return True

    def _wake_soon(self) -> None:
        """All that this turn of the loop brings is taken together."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        if self._ready and len(self._lanes) < LANES_MAX:
            lane = self._loop.create_task(self._lane())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
            # Looks again after the lane's first turn: it may wait inside an algorithm.
            self._wake_soon()
        if self._thread_ready:
            self._open_thread(1)
            if self._grower is None:
                self._grower = self._loop.call_later(GROW_AFTER_S, self._grow)

    def _watch_calls(self) -> None:
        """Begin to watch the timeouts of calls that are not done by now."""
        self._watcher = None
        if self.calls:
            self._watcher = self._loop.call_later(WATCH_S, self._watch_calls)
        for call in list(self.calls):
            # A call that waits for a lane has not begun, however long it waits.
            if call.inside and (call.thread or call.task is not None):
                call.unwatch()
                call.watch(self._link.timed_out)

    # lanes on the loop

    async def _lane(self) -> None:
        turn_ends = self._loop.time() + TURN_S
        mine = cast("asyncio.Task[None]", asyncio.current_task())
        while self._ready:
            if self._loop.time() > turn_ends:
                self._wake_soon()
                return
            call, chain = self._ready.popleft()
            call.task = mine
            try:
                if call.open:
                    self._deliver(await self._run_async(call, chain))
            except asyncio.CancelledError:
                # The run was dropped, an algorithm timed out, or the core stops: the call is over, others go on.
                self._wake_soon()
                return
            finally:
                call.task = None
                self._link.ended(self, call)

    async def _run_async(self, call: Call, chain: _Chain) -> _Told:
        values = _Values(call, chain, self._runner.cache)
        done: list[tuple[int, StoredValue]] = []
        tell_at = self._loop.time() + TELL_AFTER_S
        with running(_parent(call)):
            for step in chain.steps:
                try:
                    result = await step.function(**values.keywords(step))
                except asyncio.CancelledError as error:
                    if call.cancelled:
                        raise
                    return _Told(call, done, self._failure(call, step, error))
                except BaseException as error:  # noqa: BLE001 - SystemExit of a user's function ends it alone
                    return _Told(call, done, self._failure(call, step, error))
                failure = self._take_value(call, step, result, values, done)
                if failure is not None:
                    return _Told(call, done, failure)
                if self._loop.time() > tell_at:
                    self._deliver(_Told(call, done))
                    done = []
                    if not call.open:
                        break
        return _Told(call, done)

    # lanes in threads

    def _open_thread(self, most: int) -> None:
        """One more lane for synchronous algorithms, unless there are ``most``."""
        with self._lock:
            more = bool(self._thread_ready) and self._thread_lanes < min(most, self._runner.max_workers)
            self._thread_lanes += more
        if more:
            self._pool.submit(self._thread_lane)

    def _grow(self) -> None:
        """Slow algorithms get more lanes, twice as many at each look."""
        self._grower = None
        if self._thread_ready:
            for _ in range(max(1, self._thread_lanes)):
                self._open_thread(self._runner.max_workers)
            self._grower = self._loop.call_later(GROW_AFTER_S, self._grow)

    def _thread_lane(self) -> None:
        mine = threading.get_ident()
        while True:
            with self._lock:
                if not self._thread_ready:
                    self._thread_lanes -= 1
                    return
                call, chain = self._thread_ready.popleft()
                call.thread = mine
            told = self._run_sync(call, chain) if call.open else _Told(call, ())
            with self._lock:
                given_up = call.thread != mine
                call.thread = 0
            self._tell(told._replace(over=True))
            if given_up:
                # It hung past its timeout, and another thread has taken this one's place.
                return

    def _run_sync(self, call: Call, chain: _Chain) -> _Told:
        values = _Values(call, chain, self._runner.cache)
        done: list[tuple[int, StoredValue]] = []
        tell_at = time.monotonic() + TELL_AFTER_S
        with running(_parent(call)):
            for step in chain.steps:
                try:
                    result = step.function(**values.keywords(step))
                except BaseException as error:  # noqa: BLE001 - see _run_async
                    return _Told(call, done, self._failure(call, step, error))
                failure = self._take_value(call, step, result, values, done)
                if failure is not None:
                    return _Told(call, done, failure)
                if time.monotonic() > tell_at:
                    self._tell(_Told(call, done))
                    done = []
                    if not call.open:
                        break
        return _Told(call, done)

    def _tell(self, told: _Told) -> None:
        """From a thread: let the loop know, once for all that is there."""
        with self._lock:
            self._told.append(told)
            signal = not self._signalled
            self._signalled = True
        if signal:
            # A thread that comes back after the core is gone finds a closed loop.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._lock:
            self._signalled = False
            told = list(self._told)
            self._told.clear()
        for entry in told:
            self._deliver(entry)
            if entry.over:
                self._link.ended(self, entry.call)

    def _replace_thread(self, call: Call) -> None:
        """A call is cancelled: a thread that runs it is replaced, because nothing can end it."""
        with self._lock:
            thread, call.thread = call.thread, 0
            self._thread_lanes -= bool(thread)
        if thread:
            self._pool.abandon(thread)
            self._open_thread(1)

    # ends

    def _take_value(
        self, call: Call, step: _Step, result: Any, values: _Values, done: list[tuple[int, StoredValue]]
    ) -> wire.ExecutionResult | None:
        """Keep a result for the store and for what depends on it; a failure when it cannot be kept."""
        if step.plain and type(result) is float and -FLOAT32_MAX < result < FLOAT32_MAX:
            # As everywhere: a plain number is a float32, so that a replay here gives what a worker gave.
            values.found[step.node] = number = _FLOAT32.unpack(_FLOAT32.pack(result))[0]
            done.append((step.node, StoredValue(ResultKind.VALUE, number)))
            return None
        try:
            message = wire.Result.FromString(result_bytes(step.definition, result, int(time.time())))
            done.append((step.node, stored_value(message)))
        except TooLarge as error:
            return self._failed(call, step, error.details, None)
        except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
            details = failures.describe(error, skip_file=_HERE)
            return self._failed(call, step, {**details, "kind": "result"}, error)
        values.found[step.node] = convert.result_value(message)
        return None

    def _failure(self, call: Call, step: _Step, error: BaseException) -> wire.ExecutionResult:
        return self._failed(call, step, failures.describe(error, skip_file=_HERE), error)

    def _failed(
        self, call: Call, step: _Step, details: Mapping[str, Any], error: BaseException | None
    ) -> wire.ExecutionResult:
        text = "Algorithm %s failed: %s"
        extra = {"orca": details}
        self._logger.error(text, step.definition.name, details.get("message"), exc_info=error, extra=extra)
        answer = wire.ExecutionResult(exec_id=call.exec_id)
        answer.algorithm_result.algorithm.CopyFrom(call.active.info.messages[step.node])
        answer.algorithm_result.result.ParseFromString(failure_bytes(details, int(time.time())))
        return answer

    def _deliver(self, told: _Told) -> None:
        """On the loop: what a chain has done becomes records, and the kernel's next steps."""
        call = told.call
        values = [entry for entry in told.values if entry[0] in call.open]
        for node, _ in values:
            call.open.discard(node)
        if call.open:
            for node, _ in values:
                call.started(node)
        if values:
            self._link.engine.succeeded_all(call.active, values, call)
        if told.failure is not None and call.open:
            result_of(self._link.engine, call, told.failure)

    # anything that is no chain

    async def carry(
        self, call: Call, request: wire.ExecutionRequest, metadata: tuple[tuple[str, str], ...]
    ) -> None:
        """Run one call through the processor's engine and take its results as they come."""

        async def write(answers: Sequence[bytes]) -> None:
            for answer in answers:
                result_of(self._link.engine, call, wire.ExecutionResult.FromString(answer))

        await self._runner.execute(request, dict(metadata), write)

    async def close(self) -> None:
        """End the lanes and the threads."""
        for timer in (self._watcher, self._grower):
            if timer is not None:
                timer.cancel()
        self._ready.clear()
        with self._lock:
            self._thread_ready.clear()
        self._pool.close()
        self._runner.close()


def _parent(call: Call) -> dict[str, str]:
    return {wire.PARENT_EXEC_KEY: call.exec_id, wire.PARENT_WINDOW_KEY: str(call.active.run.span.id)}
