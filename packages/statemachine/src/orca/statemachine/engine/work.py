"""What both engines share: the working state of one macrostep, conditions, replies, failures.

An engine is a generator: it yields requests (`Run`, `Ask`) and is sent the replies. So the same code serves a
caller that answers at once and one that awaits, and an action that raises is thrown into it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from orca.statemachine.engine.errors import ActionError, LivelockError
from orca.statemachine.engine.types import (
    ActionResult,
    Ask,
    CancelSend,
    Command,
    EffectFailed,
    Raise,
    Reply,
    Request,
    Run,
    SendLater,
    Signal,
    Snapshot,
    error_name,
)
from orca.statemachine.guards import compile_guards, compile_value
from orca.statemachine.model import ANY_EVENT
from orca.statemachine.operations import Unknown, truth

if TYPE_CHECKING:
    from orca.statemachine.engine.plan import Arc, Plan
    from orca.statemachine.engine.types import Status
    from orca.statemachine.guards import Evaluator

__all__ = ["START", "Engine", "Steps", "UndoMicrostep", "Verdict", "Work", "failure", "holds", "run"]

Steps: TypeAlias = Generator[Request, "Reply | bool", None]
Verdict: TypeAlias = Literal["taken", "guard", "ignored", "unhandled"]

Histories: TypeAlias = dict[int, tuple[int, ...]]
Saved: TypeAlias = tuple[
    dict[str, object], Histories, tuple[Signal, ...], tuple[Command, ...], frozenset[int]
]
START: Final = Signal("@start")
"""What actions see as their event while a machine starts: nothing but an empty payload."""
_CYCLE_SHOWN: Final = 20
"""How many configurations of a run that never repeats a livelock error shows."""


class UndoMicrostep(Exception):  # noqa: N818 - control flow inside the engines, never seen outside
    """A transition's or exit action failed and ``handler`` declares on_error: the microstep did not happen."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal.name)
        self.signal = signal
        self.trigger = signal


class Work:
    """The working state of one macrostep. Its context is a copy, so that dropping the work undoes everything.

    Attributes:
        plan: The plan.
        context: The working copy that actions see.
        history: What history states remember.
        queue: Internal events, first in first out.
        failures: Signals of failed actions; they come before everything else.
        commands: What was done, in order.
        signal: The event that guards and actions see.
        trigger: The event that the macrostep began with.
        verdict: What became of the event from outside.
        failed_guard: The last guard that did not hold, and why if its value was unknown.
        running: False as soon as a top-level final state was entered.
        entered: States entered in this macrostep that are still active, for timers and children.
        asked_guards: Names of guards that the program answers.
        handling: States whose on_error is being taken in this microstep.
        tried: States whose on_error was taken since the last microstep without a failure.
        trail: The configurations after each microstep.
        arcs: Numbers of the transitions that were taken, in order.
    """

    __slots__ = (
        "arcs",
        "asked_guards",
        "commands",
        "context",
        "entered",
        "failed_guard",
        "failures",
        "handling",
        "history",
        "plan",
        "queue",
        "running",
        "signal",
        "trail",
        "tried",
        "trigger",
        "verdict",
    )

    def __init__(self, plan: Plan, snapshot: Snapshot, signal: Signal, asked_guards: frozenset[str]) -> None:
        self.plan = plan
        self.context: dict[str, object] = dict(snapshot.context)
        self.history: Histories = dict(snapshot.history)
        self.queue: deque[Signal] = deque(snapshot.queue)
        self.failures: deque[Signal] = deque()
        self.commands: list[Command] = []
        self.signal = signal
        self.trigger = signal
        self.verdict: Verdict = "unhandled"
        self.failed_guard: tuple[str, str] = ("", "")
        self.running = True
        self.entered: set[int] = set()
        self.asked_guards = asked_guards
        self.handling: frozenset[int] = frozenset()
        self.tried: frozenset[int] = frozenset()
        self.trail: list[tuple[int, ...]] = []
        self.arcs: list[int] = []

    def save(self) -> Saved:
        """What a microstep may change, for `restore`."""
        return (
            dict(self.context),
            dict(self.history),
            tuple(self.queue),
            tuple(self.commands),
            frozenset(self.entered),
        )

    def restore(self, saved: Saved) -> None:
        """Go back to where `save` was called; the context stays the same object, handlers may hold it."""
        context, self.history, queue, commands, entered = saved
        self.context.clear()
        self.context.update(context)
        self.queue = deque(queue)
        self.commands = list(commands)
        self.entered = set(entered)

    def count(self, configuration: tuple[int, ...]) -> None:
        """Note the end of a microstep and the configuration it led to.

        Raises:
            LivelockError: The macrostep has taken more microsteps than the plan allows.
        """
        # A state whose on_error fails is not asked again, or two of them would pass a failure to and fro.
        self.tried = self.handling if self.failures else frozenset()
        self.trail.append(configuration)
        bound = self.plan.microsteps_max
        if len(self.trail) <= bound:
            return
        earlier = self.trail[:-1]
        since = len(earlier) - 1 - earlier[::-1].index(configuration) if configuration in earlier else -1
        cycle = self.trail[since + 1 :] if since >= 0 else self.trail[-_CYCLE_SHOWN:]
        raise LivelockError(self.plan.name, tuple(self.plan.describe(c) for c in cycle), bound)

    def enqueue(self, signal: Signal) -> None:
        """Queue an internal event."""
        self.queue.append(signal)
        self.commands.append(Raise(signal.name))

    def snapshot(self, configuration: tuple[int, ...]) -> Snapshot:
        """The state after the macrostep."""
        status: Status = "running" if self.running else "done"
        return Snapshot(configuration, self.context, tuple(sorted(self.history.items())), status)

    def is_ignored(self, configuration: tuple[int, ...]) -> bool:
        """Whether an active state drops the current event."""
        nodes, name = self.plan.nodes, self.signal.name
        return any(name in nodes[i].ignore or ANY_EVENT in nodes[i].ignore for i in configuration)


class Engine(Protocol):
    """What the drivers need of an engine."""

    plan: Plan

    def start(self, work: Work) -> Steps:
        """Enter the initial configuration and run to stability."""
        ...

    def react(self, work: Work, configuration: tuple[int, ...]) -> Steps:
        """Handle ``work.signal`` in a configuration and run to stability."""
        ...

    def result(self, work: Work) -> tuple[int, ...]:
        """The configuration that the macrostep ended in."""
        ...


def holds(work: Work, arc: Arc) -> Generator[Request, Reply | bool, bool]:
    """Whether the condition of a transition holds; asks the program where the program answers."""
    if arc.sync is not None and not (yield Ask(arc.sync, "sync")):
        work.failed_guard = (arc.sync, "")
        return False
    if arc.guard is None:
        return True
    evaluate = arc.guard
    asked = arc.guard_names & work.asked_guards
    if asked and arc.expression is not None:
        answers: dict[str, Evaluator] = {}
        for name in sorted(asked):
            verdict = yield Ask(name, "guard")
            answers[name] = _constant(bool(verdict))
        guards = compile_guards(work.plan.definition.guards, answers)
        evaluate = compile_value(arc.expression, guards)
    value = truth(evaluate(work.context, work.signal.payload))
    if value is True:
        return True
    work.failed_guard = (arc.guard_text, str(value) if isinstance(value, Unknown) else "")
    return False


def _constant(value: bool) -> Evaluator:
    return lambda _context, _payload: value


def run(work: Work, request: Run) -> Steps:
    """Have an action run and take in its reply, or queue its failure.

    Raises:
        UndoMicrostep: It failed before the new states were entered, and a state handles that.
        ActionError: It failed and no state handles it.
    """
    handler = _handler(work, request)
    before = dict(work.context) if handler >= 0 else None
    work.commands.append(request)
    try:
        reply = yield request
    except Exception as error:
        if handler < 0 or before is None:
            raise ActionError(
                work.plan.name,
                request.path or work.plan.name,
                request.action,
                None if work.signal is START else work.signal.name,
                error,
            ) from error
        signal = failure(work, handler, request, code=type(error).__name__, message=str(error))
        if request.phase != "entry":
            raise UndoMicrostep(signal) from error
        work.context.clear()
        work.context.update(before)
        work.failures.append(signal)
        return
    if isinstance(reply, EffectFailed):
        if handler >= 0:
            work.failures.append(failure(work, handler, request, code=reply.effect, message=reply.error))
    else:
        _take(work, reply)


def _handler(work: Work, request: Run) -> int:
    """Who handles a failure: nobody handles one that happens while its own on_error is taken."""
    nodes = work.plan.nodes
    handler = request.handler
    while handler >= 0 and handler in work.handling:
        handler = nodes[nodes[handler].parent].handler
    return handler


def _take(work: Work, reply: Reply | bool) -> None:
    if isinstance(reply, ActionResult):
        work.context.update(reply.update)
        for signal in reply.raised:
            work.enqueue(signal)
        work.commands.extend(SendLater(event) for event in reply.delayed)
        work.commands.extend(CancelSend(send_id) for send_id in reply.cancelled)
    elif isinstance(reply, Mapping):
        work.context.update(reply)


def failure(work: Work, handler: int, request: Run, *, code: str, message: str) -> Signal:
    """The signal that an action or effect of ``request`` failed."""
    return Signal(
        error_name(work.plan.nodes[handler].path),
        {
            "error": {"code": code, "message": message},
            "state": request.path,
            "action": request.action,
            "event": work.signal.name,
        },
    )
