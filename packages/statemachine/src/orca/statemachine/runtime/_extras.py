"""What only some machines need: kept apart, so that an ordinary one stays at a few hundred bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from orca.statemachine.runtime.timers import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import anyio

    from orca.common.clock import Clock
    from orca.statemachine.engine import CancelSend, Config, SendLater, Signal, Work
    from orca.statemachine.model import MachineDef
    from orca.statemachine.runtime._queue import Ticket
    from orca.statemachine.runtime.machine import OrcaMachine
    from orca.statemachine.runtime.sinks import LogSink
    from orca.statemachine.runtime.timers import Timer

__all__ = ["Extras", "Migration", "Mismatch", "TimerPolicy"]

TimerPolicy: TypeAlias = Literal["deadline", "remaining", "restart"]
"""What a timer does after a restart: keep its moment, keep what was left of it, or begin again."""
Mismatch: TypeAlias = "Literal['warn', 'refuse']"
"""What to do with a snapshot of another definition that still fits and that no migration is registered for."""
Migration: TypeAlias = "Callable[[dict[str, Any]], Mapping[str, Any]]"
"""Takes a snapshot of one definition and gives one of the next."""


class Extras:
    """Everything that an idle machine without timers, children and a store does without.

    Attributes:
        clock: Whose time timers use.
        timers: Running timers by path of their state.
        delayed: Delayed events by send id, with what they carry.
        raised: Internal events that the running action raised.
        later: Delayed events that the running action asked for or no longer wants.
        owner: The task that runs the macrostep while one of its handlers waits, or None.
        children: Running child machines by path of the state that invoked them.
        finished: States whose child has ended while they stay active: it is not started again by a resume.
        foreign: Cancel scopes of children in other programs.
        siblings: Definitions that may be invoked, by name.
        runners: Command lines of children in other programs, by name.
        parent: The parent and the path of its invoking state.
        persistence: The store, or None.
        described: The store that has the definition already, or None.
        run_id: The name of the run in the store.
        sent: What the actions of the running macrostep have sent; never sent if it fails.
        saved: The sequence number of the last snapshot that was saved.
        timer_policy: What timers do after a restart.
        mismatch: What to do with a snapshot of another version.
        migrations: By hash or version of the definition that a snapshot comes from.
        sinks: Where each transition is written.
        strict: Whether handlers get deep copies and nothing may be missing.
        watch: Called with the work of each macrostep that took a transition (for tests), or None.
        waiters: Who waits for a state: a test and what to set.
        counts: Numbers for `OrcaMachine.statistics`.
        outbox: Whether effects are carried out after the commit.
        effects: How many effects the running macrostep has had, for their ids.
        pending: Effects in the outbox that were not delivered yet.
    """

    __slots__ = (
        "children",
        "clock",
        "counts",
        "delayed",
        "described",
        "effects",
        "finished",
        "foreign",
        "later",
        "migrations",
        "mismatch",
        "outbox",
        "owner",
        "parent",
        "pending",
        "persistence",
        "raised",
        "run_id",
        "runners",
        "saved",
        "sent",
        "siblings",
        "sinks",
        "strict",
        "timer_policy",
        "timers",
        "waiters",
        "watch",
    )

    def __init__(self) -> None:
        self.clock: Clock = SYSTEM_CLOCK
        self.timers: dict[str, Timer] = {}
        self.delayed: dict[str, tuple[Timer, Signal]] = {}
        self.raised: list[Signal] = []
        self.later: list[SendLater | CancelSend] = []
        self.owner: int | None = None
        self.children: dict[str, OrcaMachine] = {}
        self.finished: set[str] = set()
        self.foreign: dict[str, anyio.CancelScope] = {}
        self.siblings: Mapping[str, MachineDef] = {}
        self.runners: dict[str, list[str]] = {}
        self.parent: tuple[OrcaMachine, str] | None = None
        self.persistence: Any = None
        self.described: Any = None
        self.run_id: str | None = None
        self.saved = 0
        self.sent: list[Ticket] = []
        self.timer_policy: TimerPolicy = "deadline"
        self.mismatch: Mismatch | None = None
        self.migrations: dict[str, Migration] = {}
        self.sinks: list[LogSink] = []
        self.strict = False
        self.waiters: list[tuple[Callable[[Config], bool], anyio.Event]] = []
        self.watch: Callable[[Work], None] | None = None
        self.counts: dict[str, int] = {}
        self.outbox = False
        self.effects = 0
        self.pending: list[dict[str, Any]] = []

    def is_occupied(self) -> bool:
        """Whether there is anything that a snapshot of a resting machine does not have."""
        return bool(
            self.timers or self.delayed or self.children or self.foreign or self.finished or self.pending
        )
