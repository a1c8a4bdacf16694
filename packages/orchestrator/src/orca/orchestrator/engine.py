"""The shell around the kernel: accepted windows become runs, results become records, effects become calls.

Everything here runs on one event loop. A window's run starts only after its commit; a node's dependents are
sent as soon as its result is here, while the record goes to the disk in the order of the results.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from orca.orchestrator import execution, tracing
from orca.orchestrator.active import ActiveRun, RunIndex
from orca.orchestrator.elsewhere import Elsewhere
from orca.orchestrator.errors import FencedError, OutdatedPlanError, StoreFullError
from orca.orchestrator.execution import (
    Cancelled,
    Complete,
    Event,
    Failed,
    Finish,
    Lost,
    Ready,
    RetryDue,
    RetryLater,
    Status,
    Succeeded,
    SucceededAll,
)
from orca.orchestrator.model import WindowSpan
from orca.orchestrator.store.records import (
    OPEN,
    RUN_CANCELLED,
    RUN_FAILED,
    RUN_SUCCEEDED,
    Accepted,
    Completion,
    FailedAttempt,
    NodeRecord,
    PendingRun,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from orca.common.clock import Clock
    from orca.orchestrator.events import EventBus
    from orca.orchestrator.execution import Effect
    from orca.orchestrator.model import ProcessorKey
    from orca.orchestrator.registry import PlanInfo, Registry
    from orca.orchestrator.settings import CoreSettings
    from orca.orchestrator.store.port import Store
    from orca.orchestrator.store.records import HistoryRow, NewWindow, StoredValue

__all__ = ["Attempt", "Dispatcher", "Engine", "Observer"]

logger = logging.getLogger(__name__)

# Results of one run that come within this time go to the disk together.
FLUSH_S = 0.004
# A full disk or a lost database is asked again after this pause; dispatch rests meanwhile.
STORE_PAUSE_S = 0.5
# At a stop a full disk is waited for so long; what could not be written runs again at the next start.
STOP_WRITE_S = 2.0
# Refill when this share of the places for active runs is free.
REFILL_SHARE = 0.5


class Attempt(Protocol):
    """What the engine must know of the call in which a node ended."""

    address: str
    sent_ns: int


class Dispatcher(Protocol):
    """Who carries nodes to processors."""

    def fuses(self, processor: ProcessorKey) -> bool:
        """Whether a processor takes chains in one call."""
        ...

    def send(self, active: ActiveRun, processor: ProcessorKey, nodes: tuple[int, ...]) -> None:
        """Queue nodes for a processor."""
        ...

    def drop(self, active: ActiveRun) -> None:
        """Forget everything queued and running of a run."""
        ...


class Observer(Protocol):
    """Who counts what the engine does."""

    def accepted(self, window: NewWindow, accepted: Accepted | None, error: BaseException | None) -> None:
        """A window was stored, was known, or could not be stored."""
        ...

    def recorded(
        self,
        active: ActiveRun,
        nodes: Sequence[NodeRecord],
        attempts: Sequence[FailedAttempt],
        completion: Completion | None,
    ) -> None:
        """Something of a run is on disk."""
        ...


class Engine:
    """Drives all active runs.

    Args:
        store: Where runs are kept.
        registry: Where plans come from.
        settings: Bounds and delays.
        clock: For times of records.
        bus: Is told what happens.
    """

    def __init__(
        self, store: Store, registry: Registry, settings: CoreSettings, clock: Clock, *, bus: EventBus
    ) -> None:
        self.store = store
        self.registry = registry
        self.settings = settings
        self.clock = clock
        self.bus = bus
        self.index = RunIndex()
        self.dispatcher: Dispatcher | None = None
        self.observer: Observer | None = None
        self.history: dict[tuple[int, int], dict[int, Sequence[HistoryRow]]] = {}
        self._loop = asyncio.get_running_loop()
        self._more_on_disk = True
        self._refilling: asyncio.Task[None] | None = None
        self._dirty: set[ActiveRun] = set()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._type_ids: dict[object, int] = {}
        self._ending: tuple[str, Attempt] | None = None
        self._stopping = False
        self._ends: dict[int, list[asyncio.Future[None]]] = {}
        self._idlers: list[asyncio.Future[None]] = []
        self._told = asyncio.Event()
        self._claims = 0
        self.elsewhere = Elsewhere(self._free)

    def now_ns(self) -> int:
        """The time for records."""
        return int(self.clock.now() * 1e9)

    # windows come in

    def accept(self, window: NewWindow, info: PlanInfo | None, done: Callable[..., None]) -> None:
        """Store a window, then start its run; ``done(accepted, error)`` comes after the sync."""
        claim = self._may_start(window.priority)
        self._claims += claim

        def stored(accepted: Accepted | None, error: BaseException | None) -> None:
            self._claims -= claim
            if self.observer is not None and not isinstance(error, OutdatedPlanError):
                self.observer.accepted(window, accepted, error)
            if accepted is not None and accepted.run_id and not accepted.duplicate and info is not None:
                self._accepted(accepted, window, info)
            done(accepted, error)

        try:
            self.store.accept(window, stored, claim=claim)
        except BaseException:
            self._claims -= claim
            raise

    def _may_start(self, priority: int) -> bool:
        room = self.settings.active_runs_max * (2 if priority > 0 else 1)
        held = len(self.index) + (self._claims if self.store.shared else 0)
        return not self._stopping and held < room and (not self._more_on_disk or priority > 0)

    def _accepted(self, accepted: Accepted, window: NewWindow, info: PlanInfo) -> None:
        # A shared store has given it to this replica, or to nobody; the only core of a store decides now.
        start = bool(accepted.token) if self.store.shared else self._may_start(window.priority)
        if self._stopping or not start:
            # It is on disk: a refill will find it in its turn.
            self._more_on_disk = True
            if self.store.shared:
                self._refill()
            return
        if accepted.run_id not in self.index:
            span = WindowSpan(accepted.window_id, window.time_from_ns, window.time_to_ns, window.filter_key)
            run = PendingRun(
                accepted.run_id,
                window.plan_id,
                window.priority,
                accepted.token,
                span,
                window.type_id,
                window.origin,
                window.passing or window.metadata,
                window.created_ns,
                trace=window.trace,
            )
            self.start(run, info)

    def wake(self) -> None:
        """Look for open runs in the store."""
        self._more_on_disk = True
        self._refill()

    def _refill(self) -> None:
        if self._stopping or not self._more_on_disk or self._refilling is not None:
            return
        if len(self.index) > self.settings.active_runs_max * REFILL_SHARE:
            return
        self._refilling = self._loop.create_task(self._refill_now())

    async def _refill_now(self) -> None:
        try:
            wanted = self.settings.active_runs_max - len(self.index)
            self._more_on_disk = False
            runs = await self.store.backlog.take(wanted, self.index.ids())
            self._more_on_disk = self._more_on_disk or len(runs) >= wanted
            await self._start_taken(runs)
            if self._more_on_disk:
                # Somebody called while the store was read.
                self._loop.call_soon(self._refill)
        except Exception:
            logger.exception("the backlog could not be read; trying again")
            self._more_on_disk = True
            self._loop.call_later(STORE_PAUSE_S, self._refill)
        finally:
            self._refilling = None
            self._tell_idlers()

    async def _start_taken(self, runs: Sequence[PendingRun]) -> None:
        for place, run in enumerate(runs):
            try:
                info = await self.registry.info(run.plan_id, run.type_id)
            except BaseException:
                for left in runs[place:]:
                    await self.store.backlog.give_back(left.run_id)
                raise
            if run.run_id not in self.index and not self._stopping:
                self.start(run, info)

    # runs

    def start(self, run: PendingRun, info: PlanInfo) -> None:
        """Begin a run, or go on with one of which the store knows some ends."""
        done: dict[int, Status] = {}
        position = {algorithm_id: node for node, algorithm_id in enumerate(info.algorithm_ids)}
        for stored in run.done:
            if stored.algorithm_id in position:
                done[position[stored.algorithm_id]] = Status(stored.status)
        state, effects = execution.begin(info.plan, done) if done else info.begun
        kind = self.store.window_type(run.type_id)
        active = ActiveRun(run, info, state, kind)
        active.trace = tracing.begin_window(kind, run)
        self._type_ids[kind] = run.type_id
        for stored in run.done:
            node = position.get(stored.algorithm_id)
            if node is not None and stored.value is not None and info.plan.nodes[node].downstream:
                active.values[node] = stored.value
        self.index.add(active)
        if self.bus.wanted:
            self.bus.publish("run", {"run_id": run.run_id, "window_id": run.span.id, "state": "started"})
        self._carry_out(active, effects)

    def step(self, active: ActiveRun, event: Event) -> None:
        """Give the kernel one event and carry out what follows."""
        if active.run.run_id not in self.index:
            return
        active.state, effects = active.info.steps.advance(
            active.state, event, rule=self.settings.retry, seed=str(active.run.run_id)
        )
        if effects:
            self._carry_out(active, effects)

    def _carry_out(self, active: ActiveRun, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ready):
                self._ready(active, effect.nodes)
            elif isinstance(effect, Finish):
                if effect.status is not Status.SUCCEEDED:
                    self._ended_badly(active, effect)
            elif isinstance(effect, RetryLater):
                self._retry_later(active, effect)
            else:
                active.completion = self._completion(effect)
        if active.completion is not None:
            self._flush(active)
        elif active.nodes or active.attempts:
            self._flush_soon(active)

    def _ended_badly(self, active: ActiveRun, effect: Finish) -> None:
        failed = effect.status is Status.FAILED
        error, attempt = self._ending if failed and self._ending is not None else ("", None)
        self._record(active, effect.node, effect.status, cause=effect.cause, error=error, attempt=attempt)

    def _completion(self, effect: Complete) -> Completion:
        state = RUN_SUCCEEDED
        if effect.cancelled:
            state = RUN_CANCELLED
        elif effect.failed or effect.skipped:
            state = RUN_FAILED
        return Completion(state, effect.succeeded, effect.failed, effect.skipped, self.now_ns())

    def _retry_later(self, active: ActiveRun, effect: RetryLater) -> None:
        node = effect.node

        def due() -> None:
            active.timers.pop(node, None)
            self.step(active, RetryDue(node))

        active.timers[node] = self._loop.call_later(effect.delay_s, due)

    def _ready(self, active: ActiveRun, nodes: Sequence[int]) -> None:
        now = self.now_ns()
        plain: list[int] = []
        for node in nodes:
            active.queued_ns[node] = active.queued_ns[node] or now
            if active.info.plan.nodes[node].looks_back:
                self._look_back(active, node)
            else:
                plain.append(node)
        if plain:
            self._send(active, plain)

    def _send(self, active: ActiveRun, nodes: Sequence[int]) -> None:
        dispatcher = self.dispatcher
        assert dispatcher is not None
        info, fuses = active.info, dispatcher.fuses
        if active.state is info.begun[0]:
            parts = info.first_parts(tuple(nodes), fuses)
        else:
            parts = execution.group(info.plan, active.state, nodes, fuses=fuses, alone=info.alone)
        for part in parts:
            dispatcher.send(active, part.processor, part.nodes)

    def _look_back(self, active: ActiveRun, node: int) -> None:
        if not self.index.hold(active, node, self._type_ids):
            self._spawn(self._read_history(active, node))

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_history(self, active: ActiveRun, node: int) -> None:
        try:
            if self.store.shared:
                inputs = [
                    entry for entry in active.info.plan.nodes[node].inputs if entry.lookback is not None
                ]
                blocker = await self.store.blocker(active.run, inputs)
                if blocker:
                    await self._overtake(blocker)
                    self.elsewhere.wait(active, node, blocker)
                    return
            rows: dict[int, Sequence[HistoryRow]] = {}
            for position, entry in enumerate(active.info.plan.nodes[node].inputs):
                if entry.lookback is not None:
                    algorithm_id = await self.store.algorithm_id(entry.algorithm)
                    rows[position] = await self.store.history(algorithm_id, entry.lookback, active.run.span)
        except Exception:
            logger.exception("a look-back of run %d could not be read; trying again", active.run.run_id)
            self._loop.call_later(STORE_PAUSE_S, self._look_back, active, node)
            return
        if active.run.run_id in self.index and active.state.statuses[node] is Status.READY:
            self.history[(active.run.run_id, node)] = rows
            self._send(active, [node])

    async def _overtake(self, run_id: int) -> None:
        """Take one run more than there is room for, so that what everybody waits for is never left lying."""
        if run_id not in self.index and len(self.index) >= self.settings.active_runs_max:
            await self._start_taken(await self.store.backlog.take(1, self.index.ids()))

    # results come in

    def succeeded(
        self, active: ActiveRun, node: int, value: StoredValue, result: Any, attempt: Attempt
    ) -> None:
        """A result arrived; ``result`` is its message, kept while dependents need it."""
        if active.state.statuses[node].final or active.state.waiting[node] > 0:
            return
        if active.info.plan.nodes[node].downstream:
            active.values[node] = result
        self._record(active, node, Status.SUCCEEDED, value=value, attempt=attempt)
        self.step(active, Succeeded(node))

    def succeeded_all(
        self, active: ActiveRun, values: Sequence[tuple[int, StoredValue]], attempt: Attempt
    ) -> None:
        """Results of several nodes are here, in an order in which they ran."""
        plan, state = active.info.plan, active.state
        taken = [entry for entry in values if state.statuses[entry[0]] is Status.RUNNING]
        nodes = tuple([node for node, _ in taken])
        now = self.now_ns()
        for node, value in taken:
            if plan.nodes[node].downstream:
                active.values[node] = value
            self._record(active, node, Status.SUCCEEDED, value=value, attempt=attempt, now_ns=now)
        self.step(active, SucceededAll(nodes))

    def failed(
        self, active: ActiveRun, node: int, cause: str, *, error: str, attempt: Attempt, retry: bool = True
    ) -> None:
        """A body failed."""
        state = active.state
        if state.statuses[node].final or state.waiting[node] > 0:
            return
        sent = state.attempts[node]
        # Known before the step, because a failure may end the run, and its record goes out with that.
        self._ending = (error, attempt)
        note = self._attempt_row(active, node, sent, cause, error=error, attempt=attempt)
        active.attempts.append(note)
        self.step(active, Failed(node, cause, retry=retry))
        self._ending = None
        self._settle(active)

    def lost(self, active: ActiveRun, nodes: tuple[int, ...], cause: str, attempt: Attempt) -> None:
        """A call ended without results for these nodes."""
        state = active.state
        for node in nodes:
            if state.waiting[node] == 0 and not state.statuses[node].final:
                number = state.attempts[node]
                active.attempts.append(
                    self._attempt_row(active, node, number, cause, error="", attempt=attempt)
                )
        self._ending = ("", attempt)
        self.step(active, Lost(nodes, cause))
        self._ending = None
        self._settle(active)

    def cancel(self, active: ActiveRun, cause: str) -> None:
        """End a run now."""
        active.cancel_timers()
        if self.dispatcher is not None:
            self.dispatcher.drop(active)
        self.step(active, Cancelled(cause))

    def forget(self, run_id: int) -> None:
        """Another replica holds the run, or it was ended there: leave it."""
        active = self.index.get(run_id)
        if active is not None:
            active.nodes, active.attempts, active.completion = [], [], None
            self._dirty.discard(active)
            self._release(active)

    def _settle(self, active: ActiveRun) -> None:
        if active.run.run_id in self.index and (active.nodes or active.attempts):
            self._flush_soon(active)

    def _attempt_row(
        self, active: ActiveRun, node: int, number: int, cause: str, *, error: str, attempt: Attempt
    ) -> FailedAttempt:
        algorithm_id = active.info.algorithm_ids[node]
        return FailedAttempt(
            algorithm_id, number, attempt.sent_ns, self.now_ns(), attempt.address, cause, error
        )

    def _record(
        self,
        active: ActiveRun,
        node: int,
        status: Status,
        *,
        cause: str = "",
        error: str = "",
        value: StoredValue | None = None,
        attempt: Attempt | None = None,
        now_ns: int = 0,
    ) -> None:
        active.nodes.append(
            NodeRecord(
                active.info.algorithm_ids[node],
                int(status),
                active.state.attempts[node],
                active.queued_ns[node],
                attempt.sent_ns if attempt is not None else 0,
                now_ns or self.now_ns(),
                attempt.address if attempt is not None else "",
                cause,
                error,
                value,
            )
        )

    # records go out

    def _flush_soon(self, active: ActiveRun) -> None:
        self._dirty.add(active)
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(FLUSH_S, self._flush_all)

    def _flush_all(self) -> None:
        self._flush_timer = None
        dirty, self._dirty = self._dirty, set()
        for active in dirty:
            self._flush(active)

    def _flush(self, active: ActiveRun) -> None:
        self._dirty.discard(active)
        if active.flushing:
            # One record of a run after the other: a refused one that is tried again would come too late, after
            # the run's end. What gathers meanwhile goes out when that one is told.
            return
        nodes, active.nodes = active.nodes, []
        attempts, active.attempts = active.attempts, []
        completion, active.completion = active.completion, None
        if nodes or attempts or completion is not None:
            active.flushing = True
            self._write(active, nodes, attempts, completion)

    def _write(
        self,
        active: ActiveRun,
        nodes: list[NodeRecord],
        attempts: list[FailedAttempt],
        completion: Completion | None,
    ) -> None:
        def done(_: object, error: BaseException | None) -> None:
            self._told.set()
            if error is None:
                active.flushing = False
                if self.observer is not None:
                    self.observer.recorded(active, nodes, attempts, completion)
                self._recorded(active, nodes, completion)
                self._flush(active)
            elif isinstance(error, FencedError):
                logger.warning("%s", error)
                self._release(active)
            else:
                # Nothing is given up: the results stay here until the store takes them.
                full = isinstance(error, StoreFullError)
                logger.log(
                    logging.WARNING if full else logging.ERROR, "results wait for the store: %s", error
                )
                active.nodes[:0] = nodes
                active.attempts[:0] = attempts
                active.completion = active.completion or completion
                self._loop.call_later(STORE_PAUSE_S, self._write_again, active)

        try:
            self.store.record(active.run, nodes, attempts, completion, done)
        except Exception as error:  # noqa: BLE001 - the bound of the writer was reached: same treatment
            self._loop.call_soon(done, None, error)

    def _write_again(self, active: ActiveRun) -> None:
        active.flushing = False
        if active.run.run_id in self.index:
            self._flush(active)

    def _recorded(
        self, active: ActiveRun, nodes: Sequence[NodeRecord], completion: Completion | None
    ) -> None:
        freed: list[tuple[ActiveRun, int]] = []
        if self.store.shared:
            self.elsewhere.told(active.run.run_id)
        for entry in nodes:
            node = active.info.algorithm_ids.index(entry.algorithm_id)
            freed.extend(self.index.recorded(active, node))
        if completion is not None:
            self._end_span(active, completion.state)
            freed.extend(self._release(active, free=False))
        if self.bus.wanted:
            self._tell(active, nodes, completion)
        for other, node in freed:
            self._free(other, node)

    def _free(self, active: ActiveRun, node: int) -> None:
        if active.run.run_id in self.index and active.state.statuses[node] is Status.READY:
            self._look_back(active, node)

    def _release(self, active: ActiveRun, *, free: bool = True) -> list[tuple[ActiveRun, int]]:
        active.cancel_timers()
        # Of a run that somebody else goes on with; one that has ended has no span any more.
        self._end_span(active, OPEN)
        if self.dispatcher is not None and active.state.open:
            self.dispatcher.drop(active)
        freed = self.index.remove(active)
        for future in self._ends.get(active.run.run_id, ()):
            if not future.done():
                future.set_result(None)
        for node in range(len(active.info.plan.nodes)):
            self.history.pop((active.run.run_id, node), None)
        self._refill()
        self._tell_idlers()
        if free:
            for other, node in freed:
                self._free(other, node)
        return freed

    def _end_span(self, active: ActiveRun, state: int) -> None:
        span, active.trace = active.trace, None
        tracing.end_window(span, state)

    def _tell(self, active: ActiveRun, nodes: Sequence[NodeRecord], completion: Completion | None) -> None:
        for entry in nodes:
            detail = {
                "run_id": active.run.run_id,
                "window_id": active.run.span.id,
                "algorithm": str(self.store.algorithm(entry.algorithm_id)),
                "status": Status(entry.status).name.lower(),
            }
            self.bus.publish("execution", detail)
        if completion is not None:
            state = "succeeded" if completion.state == RUN_SUCCEEDED else "failed"
            if completion.state == RUN_CANCELLED:
                state = "cancelled"
            self.bus.publish(
                "run", {"run_id": active.run.run_id, "window_id": active.run.span.id, "state": state}
            )

    # who waits

    @contextmanager
    def ending(self, run_id: int) -> Generator[asyncio.Future[None]]:
        """A future that is done when a run of this core is over; look at the store after asking for it."""
        future: asyncio.Future[None] = self._loop.create_future()
        waiting = self._ends.setdefault(run_id, [])
        waiting.append(future)
        try:
            yield future
        finally:
            waiting.remove(future)
            if not waiting:
                self._ends.pop(run_id, None)

    async def idle(self) -> None:
        """Wait until no run is active and none waits on the disk."""
        while len(self.index) or self._more_on_disk or self._refilling is not None:
            future: asyncio.Future[None] = self._loop.create_future()
            self._idlers.append(future)
            await future

    def _tell_idlers(self) -> None:
        if self._idlers and not len(self.index):
            idlers, self._idlers = self._idlers, []
            for future in idlers:
                if not future.done():
                    future.set_result(None)

    # the end

    async def stop(self) -> None:
        """Take nothing more, write what is here. What is unfinished goes on at the next start."""
        self._stopping = True
        if self._refilling is not None:
            await asyncio.wait([self._refilling])
        self.elsewhere.close()
        for task in list(self._tasks):
            task.cancel()
        for active in self.index:
            active.cancel_timers()
            # The next core's part of the run is a span beside this one, in the same trace.
            self._end_span(active, OPEN)
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        self._flush_all()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._all_written(), STOP_WRITE_S)

    async def _all_written(self) -> None:
        """What gathered behind a record that is under way goes out when that one is told."""
        while any(active.flushing for active in self.index):
            self._told.clear()
            await self._told.wait()
