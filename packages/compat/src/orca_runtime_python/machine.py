"""The running machine: `orca.statemachine`'s, for definitions in the published shapes too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from orca.statemachine.runtime.bus import Event, EventBus, EventType, get_event_bus
from orca.statemachine.runtime.machine import OrcaMachine as _OrcaMachine
from orca.statemachine.runtime.types import MachineNotActiveError, StateValue, TransitionResult
from orca_runtime_python._convert import to_model
from orca_runtime_python.bridge import BridgeError, build_invocation, dispatch_foreign
from orca_runtime_python.persistence import AsyncPersistenceAdapter, PersistenceAdapter
from orca_runtime_python.types import (
    ActionSignature,
    Effect,
    EffectResult,
    EffectStatus,
    GuardAnd,
    GuardCompare,
    GuardExpression,
    GuardFalse,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardTrue,
    InvokeDef,
    MachineDef,
    StateDef,
    Transition,
    ValueRef,
    VariableRef,
)

if TYPE_CHECKING:
    from orca.statemachine.model import MachineDef as _Model

__all__ = [
    "ActionHandler",
    "ActionSignature",
    "AsyncPersistenceAdapter",
    "BridgeError",
    "Effect",
    "EffectResult",
    "EffectStatus",
    "Event",
    "EventBus",
    "EventType",
    "GuardAnd",
    "GuardCompare",
    "GuardExpression",
    "GuardFalse",
    "GuardNot",
    "GuardNullcheck",
    "GuardOr",
    "GuardTrue",
    "InvokeDef",
    "MachineDef",
    "MachineNotActiveError",
    "OrcaMachine",
    "PersistenceAdapter",
    "StateDef",
    "StateValue",
    "Transition",
    "TransitionCallback",
    "TransitionResult",
    "ValueRef",
    "VariableRef",
    "build_invocation",
    "dispatch_foreign",
    "get_event_bus",
]

TransitionCallback: TypeAlias = Callable[[StateValue, StateValue], Awaitable[None] | None]
ActionHandler: TypeAlias = Callable[..., Any]


class OrcaMachine(_OrcaMachine):
    """A running machine; see `orca.statemachine.OrcaMachine` for everything it can do.

    Args:
        definition: In the published shapes, as `parse_orca` gives it, or one of `orca.statemachine`.
        event_bus: Where it publishes; the bus of the process if not given.
        context: Merged over the defaults, as a copy.
        on_transition: Called as ``(old, new)``; sync or async.
        persistence: A store.
        run_id: The name of the run in the store.
        **options: The further options of `orca.statemachine.OrcaMachine`.

    Raises:
        DefinitionError: The definition was made by hand and refers to something that it does not have.

    Example:
        >>> import asyncio
        >>> from orca_runtime_python import parse_orca
        >>> lamp = parse_orca('machine Lamp state off [initial] state on transitions { off + PRESS -> on }')
        >>> async def main():
        ...     machine = OrcaMachine(lamp, on_transition=lambda old, new: print(f"{old} -> {new}"))
        ...     await machine.start()
        ...     await machine.send("PRESS")
        ...     await machine.stop()
        >>> asyncio.run(main())
        off -> on
    """

    __slots__ = ()

    def __init__(  # noqa: PLR0917 - the published order of the arguments
        self,
        definition: MachineDef | _Model,
        event_bus: EventBus | None = None,
        context: Mapping[str, Any] | None = None,
        on_transition: TransitionCallback | None = None,
        persistence: Any = None,
        run_id: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            to_model(definition), event_bus, context, on_transition, persistence, run_id, **options
        )

    def register_machines(self, machines: Mapping[str, MachineDef | _Model]) -> None:
        """Say which machines its states may invoke, by name."""
        super().register_machines({name: to_model(machine) for name, machine in machines.items()})
