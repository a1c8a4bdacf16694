"""`OrcaMachine`: a running machine."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from orca.common.errors import UsageError
from orca.statemachine.engine import Kind, Snapshot, Work
from orca.statemachine.engine.work import START
from orca.statemachine.runtime._base import BUSY, DONE, INACTIVE, SLOW, value_of
from orca.statemachine.runtime._durable import Durable
from orca.statemachine.runtime._macro import Plans
from orca.statemachine.runtime.bus import EventType
from orca.statemachine.runtime.decide import decide
from orca.statemachine.runtime.persistence import check_run_id
from orca.statemachine.runtime.timers import task_id
from orca.statemachine.runtime.types import MissingHandlerError, StateValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from orca.common.clock import Clock
    from orca.statemachine.engine import Config
    from orca.statemachine.model import MachineDef
    from orca.statemachine.runtime._extras import Mismatch, TimerPolicy
    from orca.statemachine.runtime.bus import EventBus
    from orca.statemachine.runtime.handlers import Callback
    from orca.statemachine.runtime.sinks import LogSink

__all__ = ["OrcaMachine"]

_Machine = TypeVar("_Machine", bound="OrcaMachine")


class OrcaMachine(Durable):
    """A machine that runs: events in, transitions, actions, effects, timers, children, snapshots.

    It belongs to the event loop (asyncio or trio) in which it is started and costs no task while it is idle.

    Args:
        definition: What it does.
        event_bus: Where it publishes and looks for effect handlers; the bus of the process if not given.
        context: Merged over the defaults of the definition, as a copy.
        on_transition: Called as ``(old, new)`` after each event that took a transition; sync or async.
        persistence: A store; with ``run_id``, a snapshot is saved before ``start`` and each ``send`` return.
        run_id: The name of the run in the store.
        clock: Whose time its timers use.
        strict: Refuse to start while handlers are missing, and hand deep copies of the context to handlers.
        sinks: Where each transition is written.
        timer_policy: What timers do after a restart: keep their moment (``deadline``), keep what was left when
            the snapshot was taken (``remaining``), or begin again (``restart``).
        on_mismatch: What `resume` does with a snapshot of another definition that no migration is registered for:
            ``refuse``, or ``warn`` and go on if it still fits. If not given, it is refused; only older snapshots,
            which know no more than the version of their definition, are taken with a warning.
        outbox: Carry out effects after the event is stored, at least once, with stable ids, instead of within
            the transition.

    Raises:
        UsageError: A store without a run id or the other way round, or a run id that cannot name a file.

    Example:
        >>> import asyncio
        >>> from orca.statemachine.model import MachineDef, StateDef, Transition
        >>> light = MachineDef(
        ...     "Light",
        ...     states=(StateDef("off", "off", is_initial=True), StateDef("on", "on")),
        ...     transitions=(Transition("off", "press", "on"), Transition("on", "press", "off")),
        ... )
        >>> async def main():
        ...     async with OrcaMachine(light) as machine:
        ...         result = await machine.send("press")
        ...         print(machine.state, result.taken, (await machine.send("kick")).error)
        >>> asyncio.run(main())
        on True No transition for event kick from on
    """

    __slots__ = ()

    def __init__(  # noqa: PLR0917 - the published order of the arguments
        self,
        definition: MachineDef,
        event_bus: EventBus | None = None,
        context: Mapping[str, Any] | None = None,
        on_transition: Callback | None = None,
        persistence: Any = None,
        run_id: str | None = None,
        *,
        clock: Clock | None = None,
        strict: bool = False,
        sinks: Sequence[LogSink] = (),
        timer_policy: TimerPolicy = "deadline",
        on_mismatch: Mismatch | None = None,
        outbox: bool = False,
    ) -> None:
        super().__init__(definition, event_bus, context, on_transition)
        if clock is not None:
            self._more.clock = clock
        if persistence is not None and run_id is not None:
            self._more.persistence = persistence
            self._more.run_id = check_run_id(run_id)
            self._gate |= SLOW
        elif persistence is not None:
            raise UsageError(
                "OrcaMachine: a store needs a run_id", hint="OrcaMachine(..., run_id='order-17')"
            )
        elif run_id is not None:
            self._more.run_id = check_run_id(run_id)
        if strict or sinks or outbox:
            self._more.strict = strict
            self._more.sinks = list(sinks)
            self._more.outbox = outbox
            self._gate |= SLOW
        if timer_policy != "deadline" or on_mismatch is not None:
            self._more.timer_policy = timer_policy
            self._more.mismatch = on_mismatch

    # ---- life

    async def start(self) -> None:
        """Enter the initial states; does nothing if the machine runs.

        Raises:
            MissingHandlerError: It is strict and something is missing.
            ActionError: An entry action raised and no state handles it; the machine is not started.
        """
        if not self._gate & INACTIVE:
            return
        if self._extras is None and not self.event_bus.was_watched and self._start_plain():
            return
        extras = self._more
        if extras.strict and (missing := self.missing_handlers()):
            raise MissingHandlerError(self.definition.name, missing)
        plan = self._engine.plan
        initial = value_of(self._engine, self._engine.initial().target)
        await self._publish(
            EventType.MACHINE_STARTED, {"machine": self.definition.name, "initial_state": initial.value}
        )
        handlers = self._handlers
        asked = frozenset(handlers.guards) if handlers is not None else frozenset[str]()
        work = Work(plan, Snapshot((), self.context, (), "new"), START, asked)
        self._gate = (self._gate | BUSY) & ~INACTIVE
        extras.owner = task_id()
        extras.effects = 0
        try:
            await self._drive(work, self._engine.start(work))
            await self._commit_start(work)
        except BaseException:
            self._gate = (self._gate | INACTIVE) & ~BUSY
            self._forget_sent()
            extras.pending.clear()
            raise
        await self._release()

    def _start_plain(self) -> bool:
        """Start a machine whose entry does nothing but move."""
        micro = self._engine.initial()
        if not micro.plain or (micro.runs and self._handlers is not None):
            return False
        if any(request.effect is not None for request in micro.runs) or self.definition.tables:
            return False
        value_of(self._engine, micro.target)
        self._config = micro.target
        self._gate &= ~INACTIVE
        return True

    async def _commit_start(self, work: Work) -> None:
        extras = self._more
        after = self._engine.config(self._engine.result(work))
        plans = Plans(extras, work.commands)
        if extras.persistence is not None:
            before, self._config = self._config, after
            try:
                await self._save(work, after, plans)
            finally:
                self._config = before
        value_of(self._engine, after)
        self._config, self.context = after, work.context
        self._history = tuple(sorted(work.history.items()))
        if not work.running:
            self._gate |= DONE
        self._arm(extras, plans)
        if plans.start_children:
            await self._change_children(plans)
        if extras.watch is not None:
            extras.watch(work)
        if extras.pending:
            await self._deliver_outbox()
        if work.running:
            await self._tell_root()
        else:
            await self._ended()

    async def stop(self) -> None:
        """Stop timers and children and take no more events. Exit actions do not run: a stored run can go on."""
        if self._gate & INACTIVE:
            return
        self._gate |= INACTIVE
        if self._extras is not None:
            await self._still()
            for _test, event in self._extras.waiters:
                event.set()
        for ticket in tuple(self._queue or ()):
            ticket.finish(None, self._not_active())
        if self._queue:
            self._queue.clear()
        await self._publish(EventType.MACHINE_STOPPED, {"machine": self.definition.name})

    async def __aenter__(self: _Machine) -> _Machine:  # noqa: PYI019 - Self needs Python 3.11
        await self.load_or_start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()

    # ---- questions

    async def wait_for(self, state: str, *, timeout_s: float | None = None) -> StateValue:
        """Wait until a state, by path or by name, is active.

        Args:
            state: A path such as ``combat.fighting``, or a name that any active state has.
            timeout_s: Seconds to wait; for ever if None.

        Raises:
            TimeoutError: It did not become active in time.
            UsageError: The definition has no such state.
            MachineNotActiveError: The machine does not run.
        """
        nodes = self._engine.plan.nodes
        wanted = {n.index for n in nodes[1:] if state in {n.path, n.name}}
        if not wanted:
            raise UsageError(f"machine {self.definition.name!r} has no state {state!r}")
        if self._gate & INACTIVE:
            raise self._not_active()

        def test(config: Config) -> bool:
            return not wanted.isdisjoint(config.states)

        if not test(self._config):
            await self._wait(test, timeout_s)
        return self.state

    async def wait_for_change(self) -> StateValue:
        """Wait until the next event takes a transition; give where it led.

        Raises:
            MachineNotActiveError: The machine does not run.
        """
        if self._gate & INACTIVE:
            raise self._not_active()
        await self._wait(lambda _config: True, None)
        return self.state

    async def _wait(self, test: Callable[[Config], bool], timeout_s: float | None) -> None:
        extras = self._more
        entry = (test, anyio.Event())
        slow = self._gate & SLOW
        extras.waiters.append(entry)
        self._gate |= SLOW
        try:
            with anyio.fail_after(timeout_s):
                await entry[1].wait()
            if self._gate & INACTIVE:
                raise self._not_active()
        finally:
            extras.waiters.remove(entry)
            if not slow and not extras.waiters:
                self._gate &= ~SLOW

    def possible_events(self) -> tuple[str, ...]:
        """The events that some active state has a transition for, in document order; guards are not asked."""
        plan = self._engine.plan
        states = {0, *self._config.states}
        arcs = [a for a in plan.arcs if a.source in states and a.event and not a.event.startswith("@")]
        return tuple(dict.fromkeys(arc.event for arc in arcs))

    def matches(self, state: str) -> bool:
        """Whether a state, by path or by name, is active."""
        nodes = self._engine.plan.nodes
        return any(state in {nodes[s].path, nodes[s].name} for s in self._config.states)

    def missing_handlers(self) -> tuple[str, ...]:
        """What the definition uses and nobody has registered: actions, effect types, children, predicates."""
        handlers, plan = self.handlers, self._engine.plan
        tables = {table.name for table in self.definition.tables}
        used: dict[str, None] = {}
        for node in plan.nodes:
            used.update({name: None for name in (node.on_entry, node.on_exit) if name is not None})
        used.update({arc.action: None for arc in plan.arcs if arc.action is not None})
        missing: list[str] = []
        for name in used:
            effect = plan.effects.get(name)
            if effect is not None:
                if effect not in handlers.effects and effect not in self.event_bus.effect_handler_types:
                    missing.append(f"Effect<{effect}>")
            elif name not in handlers.actions and name not in tables:
                missing.append(name)
        extras = self._more
        for node in plan.nodes:
            invoked = node.invoke.machine if node.invoke is not None else None
            if invoked is not None and invoked not in extras.siblings and invoked not in extras.runners:
                missing.append(f"machine {invoked}")
            if node.kind is Kind.PARALLEL and node.sync == "custom" and node.path not in handlers.syncs:
                missing.append(f"sync {node.path}")
        return tuple(dict.fromkeys(missing))

    def decide(self, table: str, context: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The outputs of a decision table of the definition's document.

        Args:
            table: Its name.
            context: Values of its conditions; the machine's context if not given.

        Raises:
            UsageError: There is no such table.
        """
        for item in self.definition.tables:
            if item.name == table:
                return decide(item, self.context if context is None else context)
        names = ", ".join(item.name for item in self.definition.tables) or "none"
        raise UsageError(f"machine {self.definition.name!r} has no decision table {table!r}; it has: {names}")

    def watch(self, watcher: Callable[[Work], None] | None) -> None:
        """Have ``watcher(work)`` called after each macrostep, with what the engine did; None ends it.

        For tests and tools: transitions taken are ``work.arcs``, what was done is ``work.commands``.
        """
        self._more.watch = watcher
        self._gate |= SLOW

    def returns(self) -> dict[str, Any]:
        """What the machine hands to its caller: the context fields of its ``returns`` section, as a copy."""
        return {
            item.name: copy.deepcopy(self.context[item.name])
            for item in self.definition.returns
            if item.name in self.context
        }

    def statistics(self) -> dict[str, int]:
        """Numbers since the machine was made.

        Returns:
            ``transitions`` taken, events that were ``ignored``, ``unhandled`` or stopped by a ``guard``, events
            ``queued``, running ``timers`` and ``children``, and snapshots ``saved``.
        """
        extras = self._extras
        counts = extras.counts if extras is not None else {}
        return {
            "transitions": self._seq,
            "ignored": counts.get("ignored", 0),
            "unhandled": counts.get("unhandled", 0),
            "guard": counts.get("guard", 0),
            "queued": len(self._queue or ()),
            "timers": len(extras.timers) + len(extras.delayed) if extras is not None else 0,
            "children": len(extras.children) + len(extras.foreign) if extras is not None else 0,
            "saved": extras.saved if extras is not None else 0,
        }

    def __repr__(self) -> str:
        status = "inactive" if self._gate & INACTIVE else "done" if self._gate & DONE else "running"
        return f"<OrcaMachine {self.definition.name} {status} in {self.state}>"
