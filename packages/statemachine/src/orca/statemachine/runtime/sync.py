"""A machine for scripts and notebooks that have no event loop of their own.

    with SyncMachine(definition) as machine:
        machine.send("GO")
        print(machine.state)

The machine lives in an event loop in a thread of its own, so timers fire and children run between the calls.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal

from orca.common.errors import UsageError
from orca.statemachine.runtime.bus import EventBus
from orca.statemachine.runtime.machine import OrcaMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orca.statemachine.model import MachineDef
    from orca.statemachine.runtime.types import StateValue, TransitionResult

__all__ = ["SyncMachine"]


class SyncMachine:
    """`OrcaMachine` with blocking calls.

    Args:
        definition: The definition.
        options: What `OrcaMachine` takes. The bus is its own unless one is given: handlers run in its thread.

    Attributes:
        machine: The machine itself, for registering handlers and for looking at it.

    Example:
        >>> from orca.statemachine.model import MachineDef, StateDef, Transition
        >>> light = MachineDef(
        ...     "Light",
        ...     states=(StateDef("off", "off", is_initial=True), StateDef("on", "on")),
        ...     transitions=(Transition("off", "press", "on"),),
        ... )
        >>> with SyncMachine(light) as machine:
        ...     machine.send("press").taken, str(machine.state)
        (True, 'on')
    """

    def __init__(self, definition: MachineDef, **options: Any) -> None:
        options.setdefault("event_bus", EventBus())
        self.machine = OrcaMachine(definition, **options)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def _call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self._portal is None:
            raise UsageError(
                "the machine is not started", hint="with SyncMachine(definition) as machine: ..."
            )
        return self._portal.call(partial(function, *args, **options))

    def start(self) -> None:
        """Start the machine, or resume it where it has a store with a snapshot."""
        if self._portal is None:
            portal: AbstractContextManager[BlockingPortal] = start_blocking_portal()
            self._portal = self._stack.enter_context(portal)
            try:
                self._call(self.machine.load_or_start)
            except BaseException:
                self._close()
                raise

    def send(self, event: str, payload: Mapping[str, Any] | None = None) -> TransitionResult:
        """Handle an event; raises what `OrcaMachine.send` raises."""
        return cast("TransitionResult", self._call(self._send, event, payload))

    async def _send(self, event: str, payload: Mapping[str, Any] | None) -> TransitionResult:
        return await self.machine.send(event, payload)

    def wait_for(self, state: str, *, timeout_s: float | None = None) -> StateValue:
        """Wait until a state is active; raises what `OrcaMachine.wait_for` raises."""
        return cast("StateValue", self._call(self.machine.wait_for, state, timeout_s=timeout_s))

    def snapshot(self) -> dict[str, Any]:
        """As `OrcaMachine.snapshot`."""
        return cast("dict[str, Any]", self._call(self._snapshot))

    async def _snapshot(self) -> dict[str, Any]:
        return self.machine.snapshot()

    @property
    def state(self) -> StateValue:
        """Where the machine is."""
        return self.machine.state

    @property
    def context(self) -> dict[str, Any]:
        """Its context."""
        return self.machine.context

    def stop(self) -> None:
        """Stop the machine and end its thread."""
        if self._portal is not None:
            try:
                self._call(self.machine.stop)
            finally:
                self._close()

    def _close(self) -> None:
        self._portal = None
        self._stack.close()

    def __enter__(self) -> SyncMachine:  # noqa: PYI034 - Self needs Python 3.11
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
