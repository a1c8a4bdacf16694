"""The way to processors: one long-lived channel per instance, health, queues by priority, calls and timeouts."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from orca.common.clock import SystemClock
from orca.orchestrator import tracing
from orca.orchestrator.calls import Call, result_of
from orca.orchestrator.errors import AccessError
from orca.orchestrator.execution import Sent, Status
from orca.orchestrator.failpoints import hit
from orca.orchestrator.registry import features_of
from orca.orchestrator.requests import build_request
from orca.orchestrator.security import channel_credentials, dial_target
from orca.processor import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orca.orchestrator.active import ActiveRun
    from orca.orchestrator.engine import Engine
    from orca.orchestrator.model import ProcessorKey
    from orca.orchestrator.settings import CoreSettings
    from orca.orchestrator.store.records import InstanceRow, ProcessorRow

__all__ = ["Instance", "Link", "Links"]

logger = logging.getLogger(__name__)

# Five seconds between checks, three of silence and one more: a partition is noticed within ten seconds.
HEALTH_TIMEOUT_S = 3.0
HEALTH_AGAIN_S = 1.0
# A worker that registers before it listens, as the published SDK does, is tried again quickly at first.
CONNECT_PAUSE_S = 0.1
CONNECT_PAUSE_MAX_S = 2.0
# Calls queued towards one processor come from active runs, whose number is bounded: nodes of them at most.
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]

# Codes that say the way to the processor is gone, not that its body failed.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
# Codes that another try cannot change.
_FINAL = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


class Instance:
    """One address of a processor.

    Attributes:
        address: ``host:port`` as registered.
        state: ``connecting``, ``serving``, ``lost`` or ``outdated`` (it registered an older set).
        features: What the worker announced.
        detail: Why it is not serving.
        seen_ns: When it last answered.
        calls: What runs on it.
    """

    def __init__(self, row: InstanceRow, link: Link) -> None:
        self.prepare(row.address, features_of(row.features), link)
        self.seen_ns = row.seen_ns
        self._missed = 0
        self._poke = asyncio.Event()
        self._channel: grpc.aio.Channel | None = None
        self.execute: Any = None
        self._watch = asyncio.get_running_loop().create_task(self._keep())

    def prepare(self, address: str, features: frozenset[str], link: Link) -> None:
        """What every kind of instance has."""
        self.address = address
        self.features = features
        self.seen_ns = link.engine.now_ns()
        self.state = "connecting"
        self.detail = ""
        self.calls: set[Call] = set()
        self.lost_since = 0.0
        self._link = link

    def take(self, call: Call) -> bool:  # noqa: ARG002 - for those that can
        """Run a call without a message, if this instance can; it then tells the link when it is over."""
        return False

    @property
    def room(self) -> int:
        """How many calls more it may get."""
        settings = self._link.settings
        ours = wire.FEATURE_CHAINS in self.features
        limit = settings.calls_per_instance_max if ours else settings.calls_per_published_max
        return limit - len(self.calls)

    def poke(self) -> None:
        """Look now: it registered again, or a call found it gone."""
        self._poke.set()

    async def _keep(self) -> None:
        """Connect, check, and check again; for as long as the instance is known."""
        pause = CONNECT_PAUSE_S
        while True:
            if await self._check():
                pause = self._link.settings.health_interval_s
            elif self.state == "lost":
                pause = (
                    min(pause * 2, CONNECT_PAUSE_MAX_S) if pause < CONNECT_PAUSE_MAX_S else CONNECT_PAUSE_S
                )
            try:
                await asyncio.wait_for(self._poke.wait(), pause)
                pause = CONNECT_PAUSE_S
            except asyncio.TimeoutError:
                pass
            self._poke.clear()

    async def _check(self) -> bool:
        try:
            if self._channel is None:
                await self._connect()
            assert self._channel is not None
            health = wire.call(self._channel, wire.OrcaProcessor.HealthCheck)
            request = wire.HealthCheckRequest(timestamp=int(time.time()))
            timeout_s = HEALTH_AGAIN_S if self._missed else HEALTH_TIMEOUT_S
            answer = await health(request, timeout=timeout_s, wait_for_ready=True)
        except (grpc.aio.AioRpcError, OSError, AccessError) as error:
            await self._unhealthy(error)
            return False
        self._missed = 0
        serving = answer.status in (
            wire.HealthCheckResponse.STATUS_SERVING,
            wire.HealthCheckResponse.STATUS_UNKNOWN,
        )
        self.seen_ns = self._link.engine.now_ns()
        self._set("serving" if serving else "lost", "" if serving else answer.message or "not serving")
        return serving

    async def _connect(self) -> None:
        settings = self._link.settings
        target = await dial_target(self.address, settings)
        options = [*wire.channel_options(), *_RECONNECT]
        if settings.processor_ca:
            self._channel = grpc.aio.secure_channel(self.address, channel_credentials(settings), options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options)
        self.execute = wire.call(self._channel, wire.OrcaProcessor.ExecuteDagPart)

    async def _unhealthy(self, error: Exception) -> None:
        silent = isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        detail = str(error.details()) if isinstance(error, grpc.aio.AioRpcError) else str(error)
        if not (silent and self.state == "serving"):
            self._set("lost", detail)
            return
        if self.calls and wire.FEATURE_CHAINS not in self.features:
            # A published worker answers health checks from the threads that run algorithms: busy is not lost.
            # A cut connection is noticed by the keepalive of the running calls.
            return
        self._missed += 1
        if self._missed == 1:
            # Ours answer from a loop of their own, within milliseconds: ask once more, at once.
            self.poke()
            return
        self._missed = 0
        self._set("lost", f"silent for {HEALTH_TIMEOUT_S + HEALTH_AGAIN_S:g} s")
        await self._give_up()

    async def _give_up(self) -> None:
        """The way to the processor is cut without a word: its calls are lost, whatever still comes of them."""
        for call in list(self.calls):
            nodes = tuple(call.open)
            call.open.clear()
            call.cancel()
            if nodes:
                self._link.engine.lost(call.active, nodes, f"{self.address} fell silent", call)
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    def lost(self, detail: str) -> None:
        """A call found the processor gone."""
        self._set("lost", detail)
        self.poke()

    def _set(self, state: str, detail: str) -> None:
        if self.state == "outdated":
            return
        changed = self.state != state
        self.state, self.detail = state, detail
        if state == "lost" and changed:
            self.lost_since = time.monotonic()
        if changed:
            logger.info("processor %s at %s is %s %s", self._link.key, self.address, state, detail)
            self._link.told(self)
        if state == "serving":
            self._link.pump()

    async def carry(
        self, call: Call, request: wire.ExecutionRequest, metadata: tuple[tuple[str, str], ...]
    ) -> None:
        """Send one call and take its results as they come."""
        call.stream = self.execute(request, metadata=metadata)
        hit("dispatch.after_send")
        async for message in call.stream:
            hit("result.received")
            result_of(self._link.engine, call, message)

    async def close(self) -> None:
        """Stop watching; calls that run are cancelled with the channel."""
        self._watch.cancel()
        if self._channel is not None:
            await self._channel.close()


# By priority, then in order.
_Waiting = tuple[int, int, "ActiveRun", tuple[int, ...]]


class Link:
    """All instances of one processor and what waits for them.

    Attributes:
        key: The processor.
        instances: By address.
        over: Is called when a call is over.
    """

    def __init__(self, key: ProcessorKey, engine: Engine, settings: CoreSettings) -> None:
        self.key = key
        self.engine = engine
        self.settings = settings
        self.instances: dict[str, Instance] = {}
        self.set_version = 0
        self._queue: list[_Waiting] = []
        self._order = itertools.count()
        # Of algorithms with a limit of their own: how many run, and by algorithm and limit what waits for one of
        # them to end. A later registration may bring another limit; runs keep the one of their plan.
        self._running: dict[int, int] = {}
        self._parked: dict[tuple[int, int], list[_Waiting]] = {}
        # About how many entries belong to runs that were dropped.
        self._dropped = 0
        self._boot = secrets.token_hex(4)
        self.over: Callable[[], None] = lambda: None

    @property
    def waiting(self) -> int:
        """How many calls wait for an instance."""
        return len(self._queue) + sum(len(entries) for entries in self._parked.values())

    @property
    def fuses(self) -> bool:
        """Whether every present instance takes chains."""
        if not self.settings.fuse_chains:
            return False
        present = [entry for entry in self.instances.values() if entry.state != "outdated"]
        return bool(present) and all(wire.FEATURE_CHAINS in entry.features for entry in present)

    def revise(self, row: ProcessorRow) -> None:
        """Take up a registration: new addresses, new features, outdated instances."""
        self.set_version = row.set_version
        for entry in row.instances:
            known = self.instances.get(entry.address)
            if known is None:
                known = self.instances[entry.address] = Instance(entry, self)
            known.features = features_of(entry.features)
            if entry.set_version != row.set_version:
                known.state = "outdated"
            elif known.state == "outdated":
                known.state = "connecting"
            if entry.seen_ns == max(one.seen_ns for one in row.instances):
                known.poke()
        self._fail_unoffered()
        self.pump()

    def _fail_unoffered(self) -> None:
        waiting = sorted(itertools.chain(self._queue, *self._parked.values()))
        self._queue.clear()
        self._parked.clear()
        for entry in waiting:
            if self._startable(entry):
                self.send(entry[2], entry[3])

    def send(self, active: ActiveRun, nodes: tuple[int, ...]) -> None:
        """Queue a call; nodes that the processor no longer offers fail at once."""
        offered = self.engine.registry.offered
        for node in nodes:
            ref = active.info.refs[node]
            if (self.key, ref) not in offered:
                call = Call(active, nodes, "", 0)
                text = f"processor '{self.key}' no longer offers {ref}"
                self.engine.failed(active, node, text, error="", attempt=call, retry=False)
                return
        heapq.heappush(self._queue, (-active.run.priority, next(self._order), active, nodes))
        self.pump()

    def pump(self) -> None:
        """Start what can be started."""
        while (first := self._first()) is not None:
            instance = self._pick()
            if instance is None:
                break
            entry = heapq.heappop(first)
            active, nodes = entry[2], entry[3]
            full = self._at_limit(active, nodes)
            if full is not None:
                heapq.heappush(self._parked.setdefault(full, []), entry)
                continue
            self._start(instance, active, nodes)

    def _first(self) -> list[_Waiting] | None:
        """The heap whose first entry is next; a parked one counts as long as its algorithm may run once more.

        Looked up anew each time: a slot that was given to an entry which then does not start would be lost.
        """
        found: list[_Waiting] | None = None
        for waiting in (self._queue, *self._unparked()):
            while waiting and not self._startable(waiting[0]):
                heapq.heappop(waiting)
            if waiting and (found is None or waiting[0] < found[0]):
                found = waiting
        return found

    def _unparked(self) -> list[list[_Waiting]]:
        running = self._running
        return [waiting for (of, most), waiting in self._parked.items() if running.get(of, 0) < most]

    def _pick(self) -> Instance | None:
        best: Instance | None = None
        for instance in self.instances.values():
            if (
                instance.state == "serving"
                and instance.room > 0
                and (best is None or instance.room > best.room)
            ):
                best = instance
        return best

    def _startable(self, entry: _Waiting) -> bool:
        active, nodes = entry[2], entry[3]
        return active.run.run_id in self.engine.index and active.state.statuses[nodes[0]] is Status.READY

    def _at_limit(self, active: ActiveRun, nodes: Iterable[int]) -> tuple[int, int] | None:
        """The first algorithm of a call that may not run once more now, with its limit."""
        limits, ids = active.info.limits, active.info.algorithm_ids
        for node in nodes:
            if node in limits and self._running.get(ids[node], 0) >= limits[node]:
                return ids[node], limits[node]
        return None

    def _start(self, instance: Instance, active: ActiveRun, nodes: tuple[int, ...]) -> None:
        self.engine.step(active, Sent(nodes))
        exec_id = f"{active.run.run_id:x}-{self._boot}-{next(self._order):x}"
        call = Call(active, nodes, instance.address, self.engine.now_ns(), exec_id=exec_id)
        for node in active.info.limits.keys() & nodes:
            algorithm_id = active.info.algorithm_ids[node]
            self._running[algorithm_id] = self._running.get(algorithm_id, 0) + 1
        instance.calls.add(call)
        if instance.take(call):
            return
        published = wire.FEATURE_CHAINS not in instance.features
        # Read again for another attempt: kept until its end, the look-backs of all open runs would fill the memory.
        history = {node: self.engine.history.pop((active.run.run_id, node), {}) for node in nodes}
        request = build_request(
            active, nodes, exec_id=exec_id, published=published, history=history, store=self.engine.store
        )
        call.task = asyncio.get_running_loop().create_task(self._run(instance, call, request))
        # Not inside the task: one that is cancelled before its first step never comes so far.
        call.task.add_done_callback(lambda _: self.ended(instance, call))

    async def _run(self, instance: Instance, call: Call, request: wire.ExecutionRequest) -> None:
        active = call.active
        span = tracing.begin_call(active.trace, self.key, call.exec_id, len(call.nodes))
        metadata = (
            (wire.WINDOW_ID_KEY, str(active.run.span.id)),
            (wire.ATTEMPT_KEY, str(active.state.attempts[call.nodes[0]])),
            *tracing.context_of(span, active.run.trace),
        )
        call.watch(self.timed_out)
        try:
            hit("dispatch.before_send")
            await instance.carry(call, request, metadata)
        except grpc.aio.AioRpcError as error:
            self._broken(instance, call, error)
        except asyncio.CancelledError:
            # Either somebody dropped the run, or the core stops: nothing is told to the kernel.
            if call.stream is not None:
                call.stream.cancel()
        except Exception:
            logger.exception("a call to %s ended in an unexpected way", instance.address)
            self.engine.lost(active, tuple(call.open), "the core could not read the answer", call)
        else:
            if call.open:
                text = f"{instance.address} ended the call without a result"
                self.engine.lost(active, tuple(call.open), text, call)
        finally:
            tracing.end_call(span, len(call.open))

    def _broken(self, instance: Instance, call: Call, error: grpc.aio.AioRpcError) -> None:
        code, detail = error.code(), error.details() or ""
        if code in _GONE:
            if code is grpc.StatusCode.UNAVAILABLE:
                instance.lost(detail)
            if call.open:
                text = f"the connection to {instance.address} was lost: {detail}"
                self.engine.lost(call.active, tuple(call.open), text, call)
            return
        for node in tuple(call.open):
            if call.active.state.waiting[node] == 0:
                text = f"{instance.address} answered {code.name}: {detail}"
                self.engine.failed(call.active, node, text, error="", attempt=call, retry=code not in _FINAL)

    def timed_out(self, call: Call, node: int) -> None:
        """A node ran longer than it may."""
        timeout_s = call.active.info.plan.nodes[node].definition.options.timeout_s
        call.close_below(node)
        text = f"timed out after {timeout_s:g} s"
        self.engine.failed(call.active, node, text, error='{"kind":"timeout"}', attempt=call)
        if not call.open:
            if call.stream is not None:
                call.stream.cancel()
            elif call.inside:
                call.cancel()

    def ended(self, instance: Instance, call: Call) -> None:
        """A call is over, whatever came of it."""
        call.unwatch()
        instance.calls.discard(call)
        info = call.active.info
        for node in info.limits.keys() & call.nodes:
            self._running[info.algorithm_ids[node]] -= 1
        self.pump()
        self.over()

    def drop(self, active: ActiveRun) -> None:
        """Cancel what runs of a run; what is queued is passed over when its turn comes, or goes with many others."""
        for instance in self.instances.values():
            for call in list(instance.calls):
                if call.active is active:
                    call.open.clear()
                    call.cancel()
        # Not each by itself, which would look through all that waits for each of them. And not only when their turn
        # comes: it never does while no instance serves, and each entry keeps its whole run in memory.
        self._dropped += active.state.statuses.count(Status.READY)
        if self._dropped * 2 > self.waiting:
            self._compact(active)

    def _compact(self, leaving: ActiveRun) -> None:
        """Let go of the entries of ``leaving`` and of all runs that have ended."""
        self._dropped = 0
        for waiting in (self._queue, *self._parked.values()):
            waiting[:] = [entry for entry in waiting if entry[2] is not leaving and self._startable(entry)]
            heapq.heapify(waiting)
        self._parked = {key: waiting for key, waiting in self._parked.items() if waiting}

    def told(self, instance: Instance) -> None:
        """An instance changed its state."""
        bus = self.engine.bus
        if bus.wanted:
            detail = {"processor": str(self.key), "address": instance.address, "state": instance.state}
            bus.publish("processor", detail)

    async def close(self) -> None:
        """Give up all calls and channels."""
        for instance in self.instances.values():
            for call in list(instance.calls):
                call.cancel()
            await instance.close()


class Links:
    """Every processor's link: the engine's dispatcher."""

    def __init__(self, engine: Engine, settings: CoreSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._links: dict[ProcessorKey, Link] = {}
        self._clock = SystemClock()
        engine.dispatcher = self

    def __iter__(self) -> Any:
        return iter(self._links.values())

    def get(self, key: ProcessorKey) -> Link | None:
        """A processor's link."""
        return self._links.get(key)

    def revise(self, key: ProcessorKey, row: ProcessorRow) -> None:
        """Take up a registration."""
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link(key, self._engine, self._settings)
        link.revise(row)

    def attach(self, key: ProcessorKey, row: ProcessorRow, make: Callable[[Link], Instance]) -> None:
        """Run a processor's calls by an instance of the caller's making, without dialling."""
        self.revise(key, replace(row, instances=()))
        link = self._links[key]
        made = make(link)
        link.instances[made.address] = made
        link.pump()

    def fuses(self, processor: ProcessorKey) -> bool:
        """Whether a processor takes chains in one call."""
        link = self._links.get(processor)
        return link is not None and link.fuses

    def send(self, active: ActiveRun, processor: ProcessorKey, nodes: tuple[int, ...]) -> None:
        """Queue nodes for a processor."""
        link = self._links.get(processor)
        if link is None:
            link = self._links[processor] = Link(processor, self._engine, self._settings)
        link.send(active, nodes)

    def drop(self, active: ActiveRun) -> None:
        """Forget everything of a run."""
        for link in self._links.values():
            link.drop(active)

    @property
    def calls(self) -> int:
        """How many calls run."""
        return sum(len(entry.calls) for link in self._links.values() for entry in link.instances.values())

    async def drain(self, grace_s: float) -> None:
        """Let running calls end for a while."""
        idle = asyncio.Event()
        for link in self._links.values():
            link.over = lambda: None if self.calls else idle.set()
        if self.calls:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(idle.wait(), grace_s)

    async def close(self) -> None:
        """Give up all calls and channels."""
        for link in self._links.values():
            await link.close()
