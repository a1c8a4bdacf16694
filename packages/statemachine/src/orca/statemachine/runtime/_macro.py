"""The third layer: a whole macrostep, from the event to the last observer.

    engine (a generator) ── requests ──> handlers, effects, tables
            │ commands
            v
    save ──> commit ──> timers, children ──> observers

Until ``commit`` nothing of the machine has changed, so whatever fails before it leaves no trace.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, cast

from orca.statemachine.engine import (
    ActionResult,
    CancelSend,
    CancelTimer,
    EffectFailed,
    Run,
    SendLater,
    Signal,
    Snapshot,
    StartChild,
    StartTimer,
    StopChild,
    Work,
    timeout_name,
)
from orca.statemachine.runtime._base import DONE, INACTIVE, value_of
from orca.statemachine.runtime._queue import Queueing
from orca.statemachine.runtime.bus import BusError, Event, EventType, run_effect
from orca.statemachine.runtime.decide import decide
from orca.statemachine.runtime.handlers import call
from orca.statemachine.runtime.sinks import make_entry
from orca.statemachine.runtime.timers import task_id, timers_for
from orca.statemachine.runtime.types import Effect, EffectStatus, TransitionResult, mapping_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from orca.statemachine.engine import Config, Micro
    from orca.statemachine.engine.types import Command, Reply, Request
    from orca.statemachine.engine.work import Steps
    from orca.statemachine.runtime._extras import Extras
    from orca.statemachine.runtime.handlers import Bound
    from orca.statemachine.runtime.timers import Timer

__all__ = ["SAVE", "Macrosteps", "Plans", "is_trusted", "trusted"]

SAVE: Final = "@save"
"""The signal that a child has changed, so that the run has to be saved."""


class Plans:
    """What a macrostep will do to timers and children, gathered before anything is done."""

    __slots__ = ("kept_children", "kept_timers", "later", "start_children", "start_timers", "stop_children")

    def __init__(self, extras: Extras | None, commands: list[Command]) -> None:
        self.kept_timers: dict[str, Timer] = {} if extras is None else dict(extras.timers)
        self.start_timers: dict[str, int] = {}
        self.start_children: list[str] = []
        self.stop_children: list[str] = []
        self.later: list[SendLater | CancelSend] = []
        for command in commands:
            if isinstance(command, StartTimer):
                self.start_timers[command.path] = command.delay_ms
            elif isinstance(command, CancelTimer):
                self.kept_timers.pop(command.path, None)
            elif isinstance(command, StartChild):
                self.start_children.append(command.path)
            elif isinstance(command, StopChild):
                self.stop_children.append(command.path)
            elif isinstance(command, SendLater | CancelSend):
                self.later.append(command)


class Macrosteps(Queueing):
    """Macrosteps with everything around them."""

    __slots__ = ()

    async def _macro(self, signal: Signal, bind: Mapping[str, Any] | None) -> TransitionResult:
        """Handle one event; the caller has the turn."""
        if self._gate & INACTIVE:
            raise self._not_active()
        extras = self._more
        extras.owner = task_id()
        if self._gate & DONE or (bind is None and signal.is_internal and not isinstance(signal, _Trusted)):
            return self._not_taken(signal, "unhandled", ("", ""))
        if signal.name == SAVE:
            await self._save_now()
            return self._not_taken(signal, "ignored", ("", ""))
        config = self._config
        if bind is None and self._is_plain(extras):
            row = config.quick.get(signal.name)
            micro = None if row is None else row.plain or self._choose(row, signal.payload)
            if micro is not None:
                return await self._act_stored(config, micro, signal)
        work = self._work(signal, bind)
        pending = list(extras.pending)
        extras.effects = 0
        try:
            await self._drive(work, self._engine.react(work, config.states))
            if work.verdict == "taken":
                return await self._commit(work, config, self._engine.config(self._engine.result(work)))
        except BaseException:
            self._forget_sent()
            extras.pending = pending
            raise
        if bind:
            await self._merge(work)
        elif isinstance(signal, _Trusted):
            await self._keep()  # what it says has happened, though nothing follows from it
        extras.counts[work.verdict] = extras.counts.get(work.verdict, 0) + 1
        return self._not_taken(signal, work.verdict, work.failed_guard)

    def _is_plain(self, extras: Extras) -> bool:
        """Whether nothing but the store needs the long way."""
        handlers = self._handlers
        return not (
            extras.persistence is None
            or extras.strict
            or extras.sinks
            or extras.outbox
            or extras.waiters
            or extras.watch is not None
            or self.event_bus.was_watched
            or (handlers is not None and handlers.guards)
        )

    async def _act_stored(self, config: Config, micro: Micro, signal: Signal) -> TransitionResult:
        """A plain microstep of a stored machine: actions on a copy of the context, save, commit."""
        context = self.context
        try:
            if micro.runs and self._handlers is not None:
                context = context.copy()
                for request in micro.runs:
                    bound = self._handlers.actions.get(request.action)
                    if bound is not None:
                        await self._run_plain(bound, request, context, signal)
                extras = self._more
                if extras.raised or extras.later:
                    return await self._carry_on(micro, context, signal)
            await self._save_plain(config, micro.target, context, signal)
        except BaseException:
            self._forget_sent()
            raise
        self._config, self.context = micro.target, context
        self._seq += 1
        if self._observer is not None:
            await self._tell(self._observer, config, micro.target)
        return cast("TransitionResult", micro.cached)

    async def _run_plain(self, bound: Bound, request: Run, context: dict[str, Any], signal: Signal) -> None:
        try:
            reply = call(bound, context, signal.payload)
            if reply is not None:
                if type(reply) is not dict:
                    reply = await self._settle(reply)
                if reply:
                    context.update(cast("dict[str, Any]", reply))
        except Exception as error:
            raise self._action_failed(request, signal.name, error) from error

    async def _carry_on(self, micro: Micro, context: dict[str, Any], signal: Signal) -> TransitionResult:
        """The rest of a macrostep that began the short way, when its actions raised events."""
        extras = self._more
        extras.owner = task_id()
        work = self._work(signal, None)
        work.context = context
        work.arcs.extend(arc.index for arc in micro.arcs)
        work.commands.extend(cast("tuple[Command, ...]", micro.ops))
        work.entered.update(micro.entries)
        for raised in extras.raised:
            work.enqueue(raised)
        work.commands.extend(extras.later)
        extras.raised.clear()
        extras.later.clear()
        before = self._config
        await self._drive(work, self._engine.resume(work, micro.target.states))
        return await self._commit(work, before, self._engine.config(self._engine.result(work)))

    async def _merge(self, work: Work) -> None:
        """Keep what a child or an effect returned although no transition is taken for it."""
        if self._more.persistence is not None:
            await self._save(work, self._config, Plans(self._extras, []))
        self.context = work.context

    def _work(self, signal: Signal, bind: Mapping[str, Any] | None) -> Work:
        handlers = self._handlers
        asked = frozenset(handlers.guards) if handlers is not None else frozenset[str]()
        snapshot = Snapshot(self._config.states, self.context, self._history, "running")
        work = Work(self._engine.plan, snapshot, signal, asked)
        if bind:
            work.context.update(bind)
        return work

    def _not_taken(self, signal: Signal, verdict: str, guard: tuple[str, str]) -> TransitionResult:
        value = self.state
        if verdict == "ignored":
            return TransitionResult(taken=False, from_state=str(value), ignored=True)
        self._learn(self._config, signal.name)
        if verdict == "guard":
            name, reason = guard
            why = f"Guard '{name}' failed" + (f": {reason}" if reason else "")
            return TransitionResult(taken=False, from_state=str(value), guard_failed=True, error=why)
        why = f"No transition for event {signal.name} from {value.leaf()}"
        if self._gate & DONE:
            why += " (the machine is done)"
        return TransitionResult(taken=False, from_state=str(value), error=why)

    # ---- requests of the engine

    async def _drive(self, work: Work, steps: Steps) -> None:
        request = _advance(steps, None)
        while request is not None:
            try:
                reply = await self._answer(work, request)
            except Exception as error:  # noqa: BLE001, PERF203 - whatever a handler raises belongs to the engine
                request = _refuse(steps, error)
            else:
                request = _advance(steps, reply)

    async def _answer(self, work: Work, request: Request) -> Reply | bool:
        extras = self._more
        context = copy.deepcopy(work.context) if extras.strict else work.context
        if isinstance(request, Run):
            return await self._act_for(work, request, context)
        handlers = self.handlers
        bound = (handlers.guards if request.kind == "guard" else handlers.syncs).get(request.name)
        if bound is None:
            return False
        value = call(bound, context, work.signal.payload)
        if value is True or value is False:
            return value
        return bool(await self._awaited(value))

    async def _awaited(self, value: Any) -> Any:
        return await value if hasattr(value, "__await__") else value

    async def _act_for(self, work: Work, request: Run, context: dict[str, Any]) -> Reply:
        extras = self._more
        handlers = self._handlers
        bound = handlers.actions.get(request.action) if handlers is not None else None
        update: Mapping[str, Any] | None = None
        extras.raised.clear()
        extras.later.clear()
        if bound is not None:
            reply = call(bound, context, work.signal.payload)
            if reply is not None:
                update = mapping_of(
                    cast("object", reply) if type(reply) is dict else await self._settle(reply)
                )
        elif request.effect is None:
            update = self._by_table(request.action, context)
        if extras.strict:
            # The handler had a deep copy: what it assigned there counts as an update.
            update = copy.deepcopy({**_changes(work.context, context), **(update or {})})
        issued = ActionResult(update or {}, tuple(extras.raised))
        work.commands.extend(extras.later)
        extras.raised.clear()
        extras.later.clear()
        if request.effect is None:
            return issued
        return await self._effect_for(work, request, issued)

    def _by_table(self, action: str, context: Mapping[str, Any]) -> Mapping[str, Any] | None:
        for table in self.definition.tables:
            if table.name == action:
                return decide(table, context)
        return None

    async def _effect_for(self, work: Work, request: Run, issued: ActionResult) -> Reply:
        extras = self._more
        context = {**work.context, **issued.update}
        effect_type = request.effect or ""
        extras.effects += 1
        effect = Effect(
            effect_type,
            {
                "action": request.action,
                "context": copy.deepcopy(context),
                "event": copy.deepcopy(dict(work.signal.payload)),
            },
            id=f"{extras.run_id}:{extras.saved + 1}:{extras.effects}" if extras.run_id else "",
        )
        if extras.outbox:
            extras.pending.append(
                {"id": effect.id, "type": effect_type, "payload": effect.payload, "path": request.path}
            )
            return issued
        await self._publish(EventType.EFFECT_EXECUTING, {"effect": effect_type, "action": request.action})
        handler = self.handlers.effects.get(effect_type)
        result = await (
            self.event_bus.execute_effect(effect) if handler is None else run_effect(handler, effect)
        )
        if result.status == EffectStatus.SUCCESS:
            await self._publish(EventType.EFFECT_COMPLETED, {"effect": effect_type, "result": result.data})
            data = mapping_of(result.data)
            return issued if data is None else ActionResult({**issued.update, **data}, issued.raised)
        await self._publish(EventType.EFFECT_FAILED, {"effect": effect_type, "error": result.error})
        work.context.update(issued.update)
        return EffectFailed(result.error or "failed", effect_type)

    # ---- the end of a macrostep

    async def _commit(self, work: Work, before: Config, after: Config) -> TransitionResult:
        extras = self._more
        plans = Plans(self._extras, work.commands)
        previous = self.context
        if extras.persistence is not None:
            await self._save(work, after, plans)
        value_of(self._engine, before)
        new = value_of(self._engine, after)
        self._config, self.context = after, work.context
        self._history = tuple(sorted(work.history.items()))
        self._seq += 1
        if not work.running:
            self._gate |= DONE
        self._learn(before, work.trigger.name)
        self._arm(extras, plans)
        if plans.stop_children or plans.start_children:
            await self._change_children(plans)
        result = TransitionResult(
            taken=True, from_state=str(before.cached), to_state=str(new), to_state_leaf=new.leaf()
        )
        await self._announce(work, before, after, previous)
        if extras.pending:
            await self._deliver_outbox()
        if work.running:
            await self._tell_root()
        else:
            await self._ended()
        return result

    def _arm(self, extras: Extras, plans: Plans) -> None:
        if not (extras.timers or plans.start_timers or plans.later):
            return
        timers = timers_for(extras.clock)
        for path, timer in extras.timers.items():
            if path not in plans.kept_timers:
                timers.cancel(timer)
        extras.timers = plans.kept_timers
        for path, delay_ms in plans.start_timers.items():
            extras.timers[path] = timers.start(delay_ms, self, ("timer", path))
        for command in plans.later:
            self._apply_later(command)

    def _apply_later(self, command: SendLater | CancelSend) -> None:
        extras = self._more
        timers = timers_for(extras.clock)
        send_id = command.send_id if isinstance(command, CancelSend) else command.event.send_id
        if send_id in extras.delayed:
            timers.cancel(extras.delayed.pop(send_id)[0])
        if isinstance(command, SendLater):
            event = command.event
            extras.counts["delayed"] = number = extras.counts.get("delayed", 0) + 1
            key = send_id or f"#{number}"
            timer = timers.start(event.delay_ms, self, ("delayed", key))
            extras.delayed[key] = (timer, Signal(event.name, event.payload))

    def timer_fired(self, timer: Timer) -> Awaitable[None] | None:
        """Called by the timers, in order; queues what the timer stands for."""
        extras = self._more
        kind, key = cast("tuple[str, str]", timer.key)
        if kind == "delayed":
            _timer, signal = extras.delayed.pop(key)
            return self.post(signal)
        if extras.timers.get(key) is timer:
            del extras.timers[key]
        return self.post(_Trusted(timeout_name(key)))

    async def _announce(self, work: Work, before: Config, after: Config, previous: Mapping[str, Any]) -> None:
        """Tell everybody who wants to know; none of them can disturb the machine."""
        extras = self._more
        if extras.watch is not None:
            extras.watch(work)
        if self._observer is not None:
            await self._tell(self._observer, before, after)
        old, new = str(before.cached), str(after.cached)
        for sink in extras.sinks:
            try:
                sink.write(
                    make_entry(
                        now_s=extras.clock.now(),
                        run_id=extras.run_id or "",
                        machine=self.definition.name,
                        event=work.trigger.name,
                        from_state=old,
                        to_state=new,
                        context_delta=_changes(previous, work.context),
                    )
                )
            except Exception as error:  # noqa: BLE001, PERF203 - reported, as every observer's failure
                self.event_bus.report(BusError(f"sink of {self.definition.name}", error))
        if self.event_bus.was_watched:
            trigger = work.trigger.name
            payload = {"from": old, "to": new, "trigger": trigger, "machine": self.definition.name}
            await self._publish(EventType.TRANSITION_STARTED, payload)
            await self._publish(EventType.TRANSITION_COMPLETED, payload)
            await self._publish(EventType.STATE_CHANGED, payload)
        for test, event in extras.waiters:
            if test(after):
                event.set()

    async def _publish(self, event_type: EventType, payload: dict[str, Any]) -> None:
        if self.event_bus.watches(event_type):
            await self.event_bus.publish(Event(event_type, self.definition.name, payload=dict(payload)))

    # ---- what the next layers do

    async def _save(self, work: Work, after: Config, plans: Plans) -> None:
        raise NotImplementedError

    async def _save_plain(
        self, before: Config, after: Config, context: dict[str, Any], signal: Signal
    ) -> None:
        raise NotImplementedError

    async def _change_children(self, plans: Plans) -> None:
        raise NotImplementedError

    async def _deliver_outbox(self) -> None:
        raise NotImplementedError

    async def _save_now(self) -> None:
        raise NotImplementedError

    async def _keep(self) -> None:
        raise NotImplementedError

    async def _tell_root(self) -> None:
        raise NotImplementedError

    async def _ended(self) -> None:
        raise NotImplementedError


class _Trusted(Signal):
    """A signal of the machine's own, such as a timer's; nobody outside can make one."""

    __slots__ = ()


def is_trusted(signal: Signal) -> bool:
    """Whether a signal is one of the machine's own."""
    return isinstance(signal, _Trusted)


def _advance(steps: Steps, reply: Reply | bool) -> Request | None:
    """The engine's next request; None when the macrostep is over."""
    try:
        return steps.send(reply)
    except StopIteration:
        return None


def _refuse(steps: Steps, error: Exception) -> Request | None:
    try:
        return steps.throw(error)
    except StopIteration:
        return None


def trusted(name: str, payload: Mapping[str, Any] | None = None) -> Signal:
    """A signal with one of the engine's own names."""
    return _Trusted(name, payload or {})


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that differ; a field that was removed is null."""
    changed = {k: v for k, v in after.items() if k not in before or (before[k] is not v and before[k] != v)}
    return {**changed, **{k: None for k in before if k not in after}}
