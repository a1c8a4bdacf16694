"""What can go wrong inside a macrostep or while a plan is made.

    OrcaError
    ├── PlanError          also ValueError     the definition cannot be run
    ├── SnapshotError      also ValueError     a snapshot does not fit the plan
    ├── LivelockError      also RuntimeError   a macrostep that never becomes stable; names the cycle
    └── ActionError        also RuntimeError   an action raised and no state handles it

A caller who catches the builtin catches them too.
"""

from __future__ import annotations

from orca.common.errors import OrcaError

__all__ = ["ActionError", "LivelockError", "PlanError", "SnapshotError"]


class PlanError(OrcaError, ValueError):
    """The definition names a state that is not there, or has none at all; the message says which."""

    code = "PLAN_ERROR"


class SnapshotError(OrcaError, ValueError):
    """A snapshot names a state or a field that the definition does not have."""

    code = "SNAPSHOT_ERROR"


class LivelockError(OrcaError, RuntimeError):
    """A macrostep took more microsteps than its bound; the machine is as it was before the event.

    Attributes:
        machine: The name of the machine.
        cycle: The configurations that repeat, as texts, in order; the first one comes again after the last.
        bound: The number of microsteps that was allowed.
    """

    code = "LIVELOCK"

    def __init__(self, machine: str, cycle: tuple[str, ...], bound: int) -> None:
        way = " -> ".join((*cycle, cycle[0]))
        super().__init__(
            f"machine {machine!r} is not stable after {bound} microsteps: {way}",
            hint="put a guard on one of the eventless transitions, or raise no event that leads back",
        )
        self.machine = machine
        self.cycle = cycle
        self.bound = bound


class ActionError(OrcaError, RuntimeError):
    """An action raised; the machine is as it was before the event. ``__cause__`` is what it raised.

    Attributes:
        machine: The name of the machine.
        state: The path of the state that the action belongs to.
        action: The name of the action.
        event: The event that was handled, or None while the machine started.
    """

    code = "ACTION_ERROR"

    def __init__(
        self, machine: str, state: str, action: str, event: str | None, reason: BaseException
    ) -> None:
        what = f"on {event!r}" if event is not None else "at the start"
        super().__init__(
            f"action {action!r} of state {state!r} in machine {machine!r} failed {what}: "
            f"{type(reason).__name__}: {reason}",
            hint="the event had no effect; mend the action or declare on_error on the state",
        )
        self.machine = machine
        self.state = state
        self.action = action
        self.event = event
