"""The values that go into the engine and come out of it: signals, commands, snapshots.

    Signal          what happened: an event from outside, or one that the engine raised itself
    Run, Ask        requests: the engine needs an action run or a predicate of the program answered
    Enter, Exit,    commands: what a macrostep did and what the shell has to do about it, in order
    StartTimer ...
    Snapshot        where a machine stands between two macrosteps

Names that begin with ``@`` are the engine's own signals (``@done.PATH``, ``@error.PATH``, ``@timeout.PATH``);
nobody outside can send them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

__all__ = [
    "EMPTY_PAYLOAD",
    "ActionResult",
    "Ask",
    "CancelSend",
    "CancelTimer",
    "Command",
    "Delayed",
    "EffectFailed",
    "Enter",
    "Exit",
    "Finish",
    "Payload",
    "Phase",
    "Raise",
    "Reply",
    "Request",
    "Run",
    "SendLater",
    "Signal",
    "Snapshot",
    "StartChild",
    "StartTimer",
    "Status",
    "StopChild",
    "done_name",
    "error_name",
    "timeout_name",
]

Payload: TypeAlias = Mapping[str, object]
Phase: TypeAlias = Literal["exit", "transition", "entry"]
Status: TypeAlias = Literal["new", "running", "done"]

EMPTY_PAYLOAD: Final[Payload] = MappingProxyType({})


def _empty() -> Payload:
    # A read-only mapping has no hash before Python 3.12, so dataclasses refuse it as a plain default.
    return EMPTY_PAYLOAD


def done_name(path: str) -> str:
    """The signal that a compound or parallel state, or its invoked child, is done (done.state, done.invoke)."""
    return f"@done.{path}"


def error_name(path: str) -> str:
    """The signal that something failed in a state (SCXML's error.execution, with the state that handles it)."""
    return f"@error.{path}"


def timeout_name(path: str) -> str:
    """The signal that the timer of a state fired."""
    return f"@timeout.{path}"


@dataclass(frozen=True, slots=True)
class Signal:
    """An event with its payload.

    Attributes:
        name: The event, or one of the engine's own names.
        payload: What guards read as ``event.x`` and actions get as their second argument.
    """

    name: str
    payload: Payload = field(default_factory=_empty)

    @property
    def is_internal(self) -> bool:
        """Whether only the engine and its shell may raise it."""
        return self.name.startswith("@")


@dataclass(frozen=True, slots=True)
class Delayed:
    """An event that an action wants delivered later.

    Attributes:
        name: The event.
        payload: Its payload.
        delay_ms: Milliseconds from the end of the macrostep, at least 0.
        send_id: What `ActionResult.cancelled` calls it; empty when it cannot be cancelled.
    """

    name: str
    payload: Payload = field(default_factory=_empty)
    delay_ms: int = 0
    send_id: str = ""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action may return besides a mapping: context updates and events.

    Attributes:
        update: Fields to set in the context.
        raised: Internal events, handled in this macrostep before any other event from outside.
        delayed: Events for later.
        cancelled: ``send_id`` of delayed events that are no longer wanted.
    """

    update: Payload = field(default_factory=_empty)
    raised: Sequence[Signal] = ()
    delayed: Sequence[Delayed] = ()
    cancelled: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EffectFailed:
    """The reply to a `Run` whose effect failed: the macrostep goes on, ``on_error`` is taken if declared."""

    error: str
    effect: str = ""


Reply: TypeAlias = ActionResult | Mapping[str, object] | EffectFailed | None


@dataclass(frozen=True, slots=True)
class Run:
    """Request and command: run an action.

    Attributes:
        action: Its name.
        phase: Where it stands.
        state: Index of the state it belongs to; the source for a transition's action.
        path: Path of that state.
        effect: The effect type that its signature declares, or None.
        handler: Index of the nearest enclosing state that declares ``on_error``, or -1.
    """

    action: str
    phase: Phase
    state: int
    path: str
    effect: str | None = None
    handler: int = -1


@dataclass(frozen=True, slots=True)
class Ask:
    """Request: a predicate of the program, a guard in Python or the ``custom`` sync of a parallel state.

    Attributes:
        name: The name of the guard, or the path of the parallel state.
        kind: Which of the two.
    """

    name: str
    kind: Literal["guard", "sync"]


Request: TypeAlias = Run | Ask


@dataclass(frozen=True, slots=True)
class Exit:
    """A state was left."""

    state: int
    path: str


@dataclass(frozen=True, slots=True)
class Enter:
    """A state was entered."""

    state: int
    path: str


@dataclass(frozen=True, slots=True)
class Raise:
    """An internal event was queued."""

    name: str


@dataclass(frozen=True, slots=True)
class StartTimer:
    """The timer of a state that was entered and is still active starts now."""

    state: int
    path: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """The timer of a state stops."""

    state: int
    path: str


@dataclass(frozen=True, slots=True)
class StartChild:
    """The child machine of a state that was entered and is still active starts now."""

    state: int
    path: str


@dataclass(frozen=True, slots=True)
class StopChild:
    """The child machine of a state stops."""

    state: int
    path: str


@dataclass(frozen=True, slots=True)
class SendLater:
    """An action asked for a delayed event."""

    event: Delayed


@dataclass(frozen=True, slots=True)
class CancelSend:
    """An action no longer wants a delayed event."""

    send_id: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The machine reached a top-level final state."""

    state: int
    path: str


Command: TypeAlias = (
    Run
    | Exit
    | Enter
    | Raise
    | StartTimer
    | CancelTimer
    | StartChild
    | StopChild
    | SendLater
    | CancelSend
    | Finish
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a machine stands between two macrosteps; a value, never changed in place.

    Attributes:
        configuration: Indices of the active states in document order, without the machine itself.
        context: The context.
        history: What each history state remembers: pairs (index of the history state, active states).
        status: ``new`` before the start, ``done`` after a top-level final state.
        queue: Internal events that wait; empty between macrosteps that ended normally.
    """

    configuration: tuple[int, ...] = ()
    context: Payload = field(default_factory=_empty)
    history: tuple[tuple[int, tuple[int, ...]], ...] = ()
    status: Status = "new"
    queue: tuple[Signal, ...] = ()
