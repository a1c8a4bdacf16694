"""A machine in a person's hand: what may happen now, what an event does, and the way back.

    Simulator(machine).send("PAY", {"amount": 5})   one event through the real engine
    Simulator.choices()                             what may happen next, and what it would do
    Simulator.trace()                               the way so far, for ``orca machine simulate --trace``

Actions and effects do nothing here; whoever plays sets the context as they would. The predicate of a parallel state
with ``sync: custom`` is not asked: its regions are not done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from orca.common.errors import UsageError
from orca.statemachine._values import format_duration
from orca.statemachine.engine import (
    EVENTLESS,
    CancelSend,
    CancelTimer,
    Enter,
    Exit,
    Finish,
    LivelockError,
    Raise,
    Run,
    SendLater,
    Signal,
    Snapshot,
    StartChild,
    StartTimer,
    StopChild,
    compile_plan,
    done_name,
    error_name,
    initial_snapshot,
    step,
    timeout_name,
)
from orca.statemachine.verify.findings import Trace, TraceStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orca.statemachine.engine import Command, Node, Plan
    from orca.statemachine.model import MachineDef

__all__ = ["FRAMES_MAX", "LEVELS_MAX", "Choice", "Frame", "Simulator"]

FRAMES_MAX: Final = 1000
"""Steps that are kept: far more than a person makes, and the memory of a page that is left open stays bounded."""

LEVELS_MAX: Final = 32
"""How deep values may be nested: no path of an expression reaches further."""

Kind: TypeAlias = Literal["event", "timeout", "done", "error"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that may happen now.

    Attributes:
        event: What `Simulator.send` takes.
        kind: ``event`` from outside; ``timeout`` of a state's timer; ``done`` and ``error`` of a child machine, an
            action or an effect.
        label: What people call it.
        verdict: What it would do without a payload: ``taken``, ``guard`` (a guard does not hold), ``ignored``,
            ``unhandled`` or ``failed`` (the machine would never become stable).
        leaves: Where it would lead.
        why: The guard that does not hold, or what fails.
    """

    event: str
    kind: Kind
    label: str
    verdict: str
    leaves: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one step did.

    Attributes:
        event: What happened; empty for the start.
        payload: Its payload.
        sets: Fields of the context that were set before it.
        verdict: As in `Choice`.
        why: Likewise.
        leaves: The active leaves afterwards.
        commands: What the engine did, in order, as text.
        snapshot: Where the machine stands afterwards.
        differs: Before the definition changed, this step ended elsewhere.
    """

    event: str
    payload: Mapping[str, object]
    sets: Mapping[str, object]
    verdict: str
    why: str
    leaves: tuple[str, ...]
    commands: tuple[str, ...]
    snapshot: Snapshot = field(repr=False)
    differs: bool = False


class Simulator:
    r"""One run of a machine by hand. It starts at once.

    Args:
        machine: The machine.
        context: Fields of the context that differ from their defaults.

    Raises:
        UsageError: A field is not in the machine's context, or its value has no JSON form.
        PlanError: The definition cannot be run.

    Example:
        >>> from orca.statemachine import parse_orca
        >>> light = "machine Light\nstate off [initial]\nstate on\ntransitions {\n off + PRESS -> on\n}\n"
        >>> run = Simulator(parse_orca(light))
        >>> [(choice.event, choice.verdict, choice.leaves) for choice in run.choices()]
        [('PRESS', 'taken', ('on',))]
        >>> run.send("PRESS").commands
        ('exit off', 'enter on')
    """

    def __init__(self, machine: MachineDef, context: Mapping[str, object] | None = None) -> None:
        self.machine = machine
        self.plan: Plan = compile_plan(machine)
        self.context = self._known(context or {})
        self.pending: dict[str, object] = {}
        start = self._step(initial_snapshot(self.plan, self.context), "", {})
        self.frames: list[Frame] = [start]

    @property
    def now(self) -> Frame:
        """The last step."""
        return self.frames[-1]

    @property
    def values(self) -> dict[str, object]:
        """The context, with what was set since the last step."""
        return {**self.now.snapshot.context, **self.pending}

    def set(self, values: Mapping[str, object]) -> None:
        """Set fields of the context, as an action would.

        Raises:
            UsageError: A field is not in the machine's context, or its value has no JSON form.
        """
        self.pending |= self._known(values)

    def send(self, event: str, payload: Mapping[str, object] | None = None) -> Frame:
        """Let something happen.

        Args:
            event: An event, or the ``event`` of a choice.
            payload: What guards see as ``event``.

        Raises:
            UsageError: The machine is over or knows no such event, there are too many steps, or the payload has no
                JSON form.
        """
        status = self.now.snapshot.status
        if status != "running":
            how = "is done" if status == "done" else "did not start"
            raise UsageError(f"`{self.machine.name}` {how}", hint="go back, or start again")
        if len(self.frames) >= FRAMES_MAX:
            raise UsageError(f"{FRAMES_MAX} steps are kept", hint="start again")
        if event not in {name for _, name, _ in self._possible()}:
            raise UsageError(f"nothing called `{event}` can happen to `{self.machine.name}` now")
        frame = self._step(self._here(), event, _json_copy(payload or {}, "the payload"))
        self.frames.append(frame)
        self.pending = {}
        return frame

    def back(self) -> None:
        """Undo what was set since the last step, or else the last step; the start stays."""
        if self.pending:
            self.pending = {}
        elif len(self.frames) > 1:
            self.frames.pop()

    def choices(self) -> tuple[Choice, ...]:
        """What may happen now: first what the machine itself waits for, then all its events."""
        if self.now.snapshot.status != "running":
            return ()
        here = self._here()
        found: list[Choice] = []
        for kind, event, label in self._possible():
            frame = self._step(here, event, {})
            leaves = frame.leaves if frame.verdict == "taken" else ()
            found.append(Choice(event, kind, label, frame.verdict, leaves, frame.why))
        return tuple(found)

    def trace(self) -> Trace:
        """The way so far; ``orca machine simulate --trace`` goes it again and compares where it ends."""
        start, *others = (
            TraceStep(frame.event, frame.payload, frame.sets, leaves=frame.leaves) for frame in self.frames
        )
        return Trace(self.machine.name, self.context, start, tuple(others))

    def replay(self, machine: MachineDef) -> Simulator:
        """The same way through a definition that has changed.

        Fields and events that it no longer has are left out, and the way ends where one of its steps cannot happen
        any more. Steps that end elsewhere than before say so.
        """
        known = {item.name for item in machine.fields}
        fresh = Simulator(machine, _only(self.context, known))
        fresh.frames[0] = _compared(fresh.frames[0], self.frames[0])
        for frame in self.frames[1:]:
            fresh.set(_only(frame.sets, known))
            try:
                fresh.send(frame.event, frame.payload)
            except UsageError:
                fresh.pending = {}
                return fresh
            fresh.frames[-1] = _compared(fresh.frames[-1], frame)
        fresh.set(_only(self.pending, known))
        return fresh

    def _known(self, values: Mapping[str, object]) -> dict[str, object]:
        known = {item.name for item in self.machine.fields}
        unknown = [name for name in values if name not in known]
        if unknown:
            names = ", ".join(sorted(known)) or "nothing"
            raise UsageError(
                f"`{unknown[0]}` is not in the context of `{self.machine.name}`", hint=f"it has {names}"
            )
        return _json_copy(values, "the context")

    def _here(self) -> Snapshot:
        return replace(self.now.snapshot, context=self.values)

    def _possible(self) -> Iterator[tuple[Kind, str, str]]:
        """Kind, name and label of all that a sender, a timer, a child or a failure may bring now."""
        nodes = self.plan.nodes
        for index in self.now.snapshot.configuration:
            yield from _from_state(nodes[index])
        used = (
            arc.event for arc in self.plan.arcs if arc.event != EVENTLESS and not arc.event.startswith("@")
        )
        seen = dict.fromkeys((*self.machine.events, *used))
        for event in seen:
            yield "event", event, event

    def _step(self, snapshot: Snapshot, event: str, payload: Mapping[str, object]) -> Frame:
        sets = dict(self.pending) if event else {}
        signal = Signal(event, payload) if event else None
        try:
            found = step(self.plan, snapshot, signal)
        except LivelockError as error:
            return Frame(event, payload, sets, "failed", error.message, self._leaves(snapshot), (), snapshot)
        commands = tuple(_text(self.plan, command) for command in found.commands)
        why = found.guard and f"{found.guard}{': ' + found.reason if found.reason else ''}"
        leaves = self._leaves(found.snapshot)
        return Frame(event, payload, sets, found.verdict, why, leaves, commands, found.snapshot)

    def _leaves(self, snapshot: Snapshot) -> tuple[str, ...]:
        shown = self.plan.describe(snapshot.configuration)
        return tuple(shown.split(", ")) if shown else ()


def _from_state(node: Node) -> Iterator[tuple[Kind, str, str]]:
    """What a state brings about itself, besides events from outside."""
    if node.timeout_ms is not None:
        yield "timeout", timeout_name(node.path), f"{format_duration(node.timeout_ms)} pass in {node.path}"
    if node.invoke is not None:
        yield "done", done_name(node.path), f"{node.invoke.machine} in {node.path} is done"
    if node.handler == node.index:
        yield "error", error_name(node.path), f"something fails in {node.path}"


def _json_copy(values: Mapping[str, object], what: str) -> dict[str, object]:
    """A copy that a page and a trace can hold.

    Raises:
        UsageError: It is no JSON, or nested too deeply.
    """
    try:
        copied = cast("dict[str, object]", json.loads(json.dumps(dict(values), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} has no JSON form: {error}") from error
    level: list[object] = [copied]
    for _ in range(LEVELS_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return copied
    raise UsageError(f"{what} is nested deeper than {LEVELS_MAX} levels")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _only(values: Mapping[str, object], known: set[str]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name in known}


def _compared(frame: Frame, before: Frame) -> Frame:
    return replace(frame, differs=frame.leaves != before.leaves or before.differs)


def _text(plan: Plan, command: Command) -> str:
    """What the engine did, as a person would say it."""
    if isinstance(command, Run):
        return f"run {command.action}{f' (effect {command.effect})' if command.effect else ''}"
    if isinstance(command, StartTimer):
        return f"timer of {command.path}: {format_duration(command.delay_ms)}"
    if isinstance(command, StartChild):
        invoke = plan.nodes[command.state].invoke
        return f"start {invoke.machine if invoke else 'the child'} in {command.path}"
    if isinstance(command, Raise):
        return f"raise {command.name}"
    if isinstance(command, SendLater):
        return f"send {command.event.name} in {format_duration(command.event.delay_ms)}"
    if isinstance(command, CancelSend):
        return f"no longer send {command.send_id}"
    return f"{_WORDS[type(command)]} {command.path}"


_WORDS: Final[Mapping[type, str]] = {
    Enter: "enter",
    Exit: "exit",
    CancelTimer: "no timer of",
    StopChild: "stop the child of",
    Finish: "done in",
}
