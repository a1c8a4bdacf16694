"""The first layer of a machine: its few fields, its handlers, and the short way of an event.

Most events need nothing but a lookup and an assignment: no timers, no children, nobody watching, no store.
`MachineBase._process` handles those; ``_gate`` says in one number whether that is so. Everything else goes to
the queue of the next layer.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, cast

from anyio.lowlevel import checkpoint

from orca.statemachine.engine import Signal, compile_plan, compiled
from orca.statemachine.engine.types import EMPTY_PAYLOAD
from orca.statemachine.operations import truth
from orca.statemachine.runtime.bus import BusError, EventBus, get_event_bus
from orca.statemachine.runtime.handlers import HandlerSet, bind
from orca.statemachine.runtime.snapshot import tree_of
from orca.statemachine.runtime.types import StateValue, TransitionResult

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping

    from orca.statemachine.engine import Compiled, Config, Micro, Row, Run
    from orca.statemachine.model import MachineDef
    from orca.statemachine.runtime._extras import Extras
    from orca.statemachine.runtime._queue import Ticket
    from orca.statemachine.runtime.bus import Event, EventType
    from orca.statemachine.runtime.handlers import Callback

__all__ = [
    "BUSY",
    "DONE",
    "INACTIVE",
    "OBSERVED",
    "SLOW",
    "MachineBase",
    "adopt_engine",
    "engine_for",
    "value_of",
]

OBSERVED: Final = 1
"""Somebody wants to be told of transitions."""
BUSY: Final = 2
"""A macrostep is running; events wait in the queue."""
SLOW: Final = 4
"""Something is configured that the short way does not know: a store, sinks, guards in Python, strictness."""
INACTIVE: Final = 8
"""Not started, or stopped."""
DONE: Final = 16
"""A top-level final state was entered."""
_ENGINES_MAX: Final = 4_096
"""How many definitions keep their compiled plan; the oldest goes first."""
_PAUSE_MASK: Final = 1_023
"""Every 1,024 events the event loop gets a turn, so that a loop of sends starves nobody."""

_engines: dict[int, tuple[MachineDef, Compiled, dict[str, Any]]] = {}


def engine_for(definition: MachineDef) -> tuple[Compiled, dict[str, Any]]:
    """The compiled engine of a definition, made once, and its default context."""
    found = _engines.get(id(definition))
    if found is None:
        if len(_engines) >= _ENGINES_MAX:
            del _engines[next(iter(_engines))]
        # The entry keeps the definition alive, so that no other one can get its id.
        found = _engines[id(definition)] = (
            definition,
            compiled(compile_plan(definition)),
            dict(definition.context),
        )
    return found[1], found[2]


def adopt_engine(definition: MachineDef, engine: Compiled) -> None:
    """Have machines of a definition run on an engine that was made for it."""
    _engines[id(definition)] = (definition, engine, dict(definition.context))


def value_of(engine: Compiled, config: Config) -> StateValue:
    """The state value of a configuration, made once."""
    found = config.cached
    if not isinstance(found, StateValue):
        found = config.cached = StateValue(tree_of(engine.plan, config.states))
    return found


def result_of(engine: Compiled, config: Config, micro: Micro) -> TransitionResult:
    """The result of a plain microstep, made once."""
    found = micro.cached
    if not isinstance(found, TransitionResult):
        target = value_of(engine, micro.target)
        found = micro.cached = TransitionResult(
            taken=True,
            from_state=str(value_of(engine, config)),
            to_state=str(target),
            to_state_leaf=target.leaf(),
        )
    return found


class MachineBase:
    """Fields, handlers and the short way."""

    __slots__ = (
        "__weakref__",
        "_config",
        "_engine",
        "_extras",
        "_gate",
        "_handlers",
        "_history",
        "_observer",
        "_queue",
        "_seq",
        "context",
        "definition",
        "event_bus",
    )

    def __init__(
        self,
        definition: MachineDef,
        event_bus: EventBus | None = None,
        context: Mapping[str, Any] | None = None,
        on_transition: Callback | None = None,
    ) -> None:
        self.definition = definition
        self.event_bus = get_event_bus() if event_bus is None else event_bus
        self._engine, defaults = engine_for(definition)
        self.context: dict[str, Any] = _fresh(defaults)
        if context:
            self.context.update(copy.deepcopy(dict(context)))
        self._config: Config = self._engine.initial().target
        self._gate: int = INACTIVE
        self._history: tuple[tuple[int, tuple[int, ...]], ...] = ()
        self._seq: int = 0
        self._handlers: HandlerSet | None = None
        self._queue: deque[Ticket] | None = None
        self._extras: Extras | None = None
        self._observer: Callback | None = None
        if on_transition is not None:
            self.on_transition = on_transition

    # ---- what anybody may look at

    @property
    def state(self) -> StateValue:
        """Where the machine is; before the start, where it will begin."""
        return value_of(self._engine, self._config)

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        """What a notebook shows: the drawing of the machine, where it is now highlighted."""
        from orca.statemachine.outputs.notebook import mime_bundle  # noqa: PLC0415 - drawings load when shown

        active = self.state.paths() if self.is_active or self.is_done else ()
        return mime_bundle(self.definition, active=active)

    @property
    def is_active(self) -> bool:
        """Whether it was started and not stopped."""
        return not self._gate & INACTIVE

    @property
    def is_done(self) -> bool:
        """Whether it reached a top-level final state."""
        return bool(self._gate & DONE)

    @property
    def on_transition(self) -> Callback | None:
        """Called as ``(old, new)`` once after each event that took a transition; may be sync or async."""
        return self._observer

    @on_transition.setter
    def on_transition(self, observer: Callback | None) -> None:
        self._observer = observer
        self._gate = self._gate & ~OBSERVED if observer is None else self._gate | OBSERVED

    # ---- handlers

    @property
    def handlers(self) -> HandlerSet:
        """Everything that was registered, shared with the children."""
        if self._handlers is None:
            self._handlers = HandlerSet()
        return self._handlers

    def register_action(self, name: str, handler: Callback) -> None:
        """Have ``handler`` run as an action.

        It takes nothing, the context, or the context and the event's payload; what it assigns in the context and
        the mapping that it returns both count, and both are undone if the event fails.
        """
        self.handlers.actions[name] = bind(name, handler)

    def unregister_action(self, name: str) -> None:
        """Forget an action's handler."""
        self.handlers.actions.pop(name, None)

    def register_guard(self, name: str, handler: Callback) -> None:
        """Answer a declared guard in Python instead of by its expression.

        Raises:
            UsageError: The handler takes too many arguments.
        """
        self.handlers.guards[name] = bind(name, handler)
        self._gate |= SLOW

    def register_sync(self, path: str, predicate: Callback) -> None:
        """Say when the parallel state at ``path``, declared ``sync: custom``, is done."""
        self.handlers.syncs[path] = bind(path, predicate)

    def register_effect(self, effect_type: str, handler: Callback) -> None:
        """Carry out effects of a type for this machine and its children, before the bus is asked."""
        self.handlers.effects[effect_type] = handler

    def action(self, name: str) -> Callable[[Callback], Callback]:
        """`register_action` as a decorator: ``@machine.action("save")``."""
        return _decorator(self.register_action, name)

    def guard(self, name: str) -> Callable[[Callback], Callback]:
        """`register_guard` as a decorator."""
        return _decorator(self.register_guard, name)

    def effect(self, effect_type: str) -> Callable[[Callback], Callback]:
        """`register_effect` as a decorator."""
        return _decorator(self.register_effect, effect_type)

    # ---- the short way

    async def _process(
        self, event: str | Event | EventType, payload: Mapping[str, Any] | None
    ) -> TransitionResult:
        gate = self._gate
        if gate < BUSY and not self.event_bus.was_watched:
            config = self._config
            if not gate:
                move = config.moves.get(event)  # type: ignore[arg-type]
                if move is not None:
                    self._config, result = move
                    self._seq = seq = self._seq + 1
                    if not seq & _PAUSE_MASK:
                        await checkpoint()
                    return result  # type: ignore[return-value]
            row = config.quick.get(event)  # type: ignore[arg-type]
            if row is not None:
                micro = row.plain or self._choose(row, payload)
                if micro is not None:
                    result = await self._act(config, micro, event, payload)
                    if not self._seq & _PAUSE_MASK:
                        await checkpoint()
                    return result
        return await self._slow(event, payload)

    def _choose(self, row: Row, payload: Mapping[str, Any] | None) -> Micro | None:
        context = self.context
        for arc, micro in row.chain or ():
            guard = arc.guard
            if guard is None:
                return micro
            verdict = guard(context, EMPTY_PAYLOAD if payload is None else payload)
            if verdict is True or (verdict is not False and truth(verdict) is True):
                return micro
        return None

    async def _act(
        self, config: Config, micro: Micro, event: object, payload: Mapping[str, Any] | None
    ) -> TransitionResult:
        """A plain microstep with actions or an observer: on a copy of the context, all or nothing."""
        self._gate |= BUSY
        try:
            handlers = self._handlers
            if micro.runs and handlers is not None:
                actions = handlers.actions
                context = self.context.copy()
                given: Mapping[str, Any] = {} if payload is None else payload
                for request in micro.runs:
                    bound = actions.get(request.action)
                    if bound is not None:
                        arity, handler = bound
                        try:
                            reply = (
                                handler(context, given)
                                if arity == 2
                                else handler(context)
                                if arity == 1
                                else handler()
                            )
                            if reply is not None:
                                if type(reply) is not dict:
                                    reply = await self._settle(reply)
                                if reply:
                                    context.update(cast("dict[str, Any]", reply))
                        except Exception as error:
                            raise self._action_failed(request, str(event), error) from error
                if self._extras is not None and (self._extras.raised or self._extras.later):
                    return await self._carry_on(micro, context, Signal(str(event), given))
                self.context = context
            self._config = micro.target
            self._seq += 1
            if self._observer is not None:
                await self._tell(self._observer, config, micro.target)
            return micro.cached  # type: ignore[return-value]
        except BaseException:
            self._forget_sent()
            raise
        finally:
            if self._queue:
                await self._release()
            else:
                self._gate &= ~BUSY

    async def _tell(self, observer: Callback, old: Config, new: Config) -> None:
        """Call ``on_transition``; it never disturbs the machine."""
        try:
            told = observer(old.cached, new.cached)
            if told is not None:
                await self._settle(told)
        except Exception as error:  # noqa: BLE001 - reported, as every observer's failure
            self.event_bus.report(BusError(f"on_transition of {self.definition.name}", error))

    def _learn(self, config: Config, event: str) -> None:
        """Let the short way know a row, if plain microsteps without special actions are all it can lead to."""
        row = config.rows.get(event)
        if row is None or event.startswith("@"):
            return
        micros = [row.plain] if row.plain is not None else [micro for _arc, micro in row.chain or ()]
        special = self._engine.plan.effects
        tables = {table.name for table in self.definition.tables}
        for micro in micros:
            if micro.handled or any(r.action in special or r.action in tables for r in micro.runs):
                return
            result_of(self._engine, config, micro)
        if micros:
            config.quick[event] = row
        if row.plain is not None and not row.plain.runs:
            config.moves[event] = (row.plain.target, row.plain.cached)

    # ---- what the next layers do

    async def _slow(
        self, event: str | Event | EventType, payload: Mapping[str, Any] | None
    ) -> TransitionResult:
        raise NotImplementedError

    async def _release(self) -> None:
        raise NotImplementedError

    async def _settle(self, value: Any) -> Any:
        raise NotImplementedError

    async def _carry_on(self, micro: Micro, context: dict[str, Any], signal: Signal) -> TransitionResult:
        raise NotImplementedError

    def _forget_sent(self) -> None:
        raise NotImplementedError

    def _action_failed(self, request: Run, event: str, error: Exception) -> Exception:
        raise NotImplementedError


def _decorator(register: Callable[[str, Callback], None], name: str) -> Callable[[Callback], Callback]:
    def decorate(handler: Callback) -> Callback:
        register(name, handler)
        return handler

    return decorate


def _fresh(defaults: dict[str, Any]) -> dict[str, Any]:
    """A copy of the default context; only lists and maps need more than a shallow one."""
    context = defaults.copy()
    for name, value in defaults.items():
        if isinstance(value, list | dict):
            context[name] = copy.deepcopy(cast("object", value))
    return context
