"""From edges to traces that a person can read and the simulator can play, and back: playing a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from orca.common.errors import UsageError
from orca.statemachine.engine import (
    Handlers,
    LivelockError,
    Signal,
    Snapshot,
    compile_plan,
    initial_snapshot,
    step,
)
from orca.statemachine.verify.decide import put_value
from orca.statemachine.verify.findings import ActionOutcome, Trace, TraceStep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orca.statemachine.engine import Plan
    from orca.statemachine.model import MachineDef
    from orca.statemachine.verify.domains import Variable
    from orca.statemachine.verify.explore import Edge, Space

Action: TypeAlias = "Callable[[dict[str, object], Mapping[str, object]], Mapping[str, object] | None]"
Predicate: TypeAlias = "Callable[[Mapping[str, object], Mapping[str, object]], bool]"

__all__ = ["Played", "build_trace", "play", "read_trace"]


@dataclass(slots=True)
class _StepDraft:
    event: str
    payload: dict[str, object] = field(default_factory=dict[str, object])
    sets: dict[str, object] = field(default_factory=dict[str, object])
    runs: list[tuple[str, bool, dict[str, object]]] = field(
        default_factory=list["tuple[str, bool, dict[str, object]]"]
    )
    answers: dict[str, bool] = field(default_factory=dict[str, bool])
    leaves: tuple[str, ...] = ()

    def finished(self) -> TraceStep:
        actions = tuple(ActionOutcome(name, values, not works) for name, works, values in self.runs)
        return TraceStep(self.event, self.payload, self.sets, actions, self.answers, self.leaves)


class _Builder:
    """Walks along edges. A value that was chosen was left by whatever last could change the context."""

    def __init__(self, plan: Plan, space: Space) -> None:
        self.plan = plan
        self.space = space
        self.context: dict[str, object] = {}
        self.point = self.context
        self.steps: list[_StepDraft] = []

    def add(self, edge: Edge) -> None:
        draft = _StepDraft(edge.event)
        self.steps.append(draft)
        if edge.event.startswith("@done."):
            self.point = draft.sets
        for choice in edge.choices:
            if choice.kind == "value":
                path = cast("Variable", choice.name)
                put_value(self.point if path[0] == "ctx" else draft.payload, path[1:], choice.value)
            elif choice.kind in {"run", "undone"}:
                values: dict[str, object] = {}
                draft.runs.append((str(choice.name), bool(choice.value), values))
                if choice.kind == "run" and choice.value:  # what is undone leaves nothing behind
                    self.point = values
            elif choice.kind == "answer":
                draft.answers[str(choice.name)] = bool(choice.value)
        if edge.target >= 0:
            shown = self.plan.describe(self.space.states(edge.target))
            draft.leaves = tuple(shown.split(", "))

    def assume(self, values: Mapping[Variable, object]) -> None:
        """Values that the context has at the end."""
        for path, value in values.items():
            put_value(self.point, path[1:], value)


def build_trace(
    plan: Plan, space: Space, edges: Sequence[Edge], final: Mapping[Variable, object] | None = None
) -> Trace:
    """The trace along edges, the first of which is the start.

    Args:
        plan: The machine.
        space: Its graph.
        edges: A way through it.
        final: Values of the context at its end.
    """
    builder = _Builder(plan, space)
    for edge in edges:
        builder.add(edge)
    builder.assume(final or {})
    start, *steps = [draft.finished() for draft in builder.steps]
    return Trace(plan.name, builder.context, start, tuple(steps))


@dataclass(frozen=True, slots=True)
class Played:
    """What playing a trace gave.

    Attributes:
        leaves: The active leaves after the start and after each event; for an event that never becomes stable
            the trace ends there.
        context: The context at the end.
        verdicts: For each event ``taken``, ``guard``, ``ignored`` or ``unhandled``.
        livelock: The configurations that the last event runs through for ever; empty when it became stable.
        snapshot: Where the machine stands at the end.
        agrees: Whether every step ended where the trace says.
    """

    leaves: tuple[tuple[str, ...], ...]
    context: Mapping[str, object]
    verdicts: tuple[str, ...]
    livelock: tuple[str, ...]
    snapshot: Snapshot
    agrees: bool


class _Script:
    """Handlers that do what a trace says, in its order; beyond its end they do nothing."""

    def __init__(self, machine: MachineDef, scripted: TraceStep) -> None:
        self.pending = list(scripted.actions)
        self.scripted = scripted
        names = {row.action for row in machine.transitions}
        for item in machine.walk():
            names |= {getattr(item, "on_entry", None), getattr(item, "on_exit", None)}
        found = {name for name in names if name is not None}
        self.handlers = Handlers(
            actions={name: self._action(name) for name in found},
            syncs={path: self._answer(value) for path, value in scripted.answers.items()},
        )

    def _action(self, name: str) -> Action:
        def run(_context: dict[str, object], _payload: Mapping[str, object]) -> Mapping[str, object] | None:
            if not self.pending or self.pending[0].name != name:
                return None
            outcome = self.pending.pop(0)
            if outcome.fails:
                raise RuntimeError(f"{name} fails in this trace")
            return outcome.sets

        return run

    @staticmethod
    def _answer(value: bool) -> Predicate:
        def answer(_context: Mapping[str, object], _payload: Mapping[str, object]) -> bool:
            return value

        return answer


def play(machine: MachineDef, trace: Trace, plan: Plan | None = None) -> Played:
    """Run a trace through the engine.

    Args:
        machine: The machine.
        trace: What happens.
        plan: The plan of the machine, when it is at hand.
    """
    plan = plan or compile_plan(machine)
    snapshot = initial_snapshot(plan, trace.context)
    leaves: list[tuple[str, ...]] = []
    verdicts: list[str] = []
    agrees = True
    for position, scripted in enumerate((trace.start, *trace.steps)):
        signal = None if position == 0 else Signal(scripted.event, scripted.payload)
        snapshot = _with_context(snapshot, scripted.sets)
        script = _Script(machine, scripted)
        try:
            found = step(plan, snapshot, signal, handlers=script.handlers)
        except LivelockError as error:
            return Played(tuple(leaves), snapshot.context, tuple(verdicts), error.cycle, snapshot, agrees)
        snapshot = found.snapshot
        leaves.append(tuple(plan.describe(snapshot.configuration).split(", ")))
        if position:
            verdicts.append(found.verdict)
        agrees = agrees and (not scripted.leaves or scripted.leaves == leaves[-1])
    return Played(tuple(leaves), snapshot.context, tuple(verdicts), (), snapshot, agrees)


def _with_context(snapshot: Snapshot, sets: Mapping[str, object]) -> Snapshot:
    if not sets:
        return snapshot
    context = {**snapshot.context, **sets}
    return Snapshot(snapshot.configuration, context, snapshot.history, snapshot.status, snapshot.queue)


def read_trace(data: object) -> Trace:
    """A trace from JSON values, as `Trace.to_json` writes it.

    Raises:
        UsageError: The values have another form; the message names the place.
    """
    top = _mapping(data, "the trace")
    steps = top.get("steps", [])
    if not isinstance(steps, list):
        raise UsageError("`steps` of the trace must be a list")
    start = _read_step({"event": "", **_mapping(top.get("start", {}), "`start`")}, "start")
    read = tuple(
        _read_step(item, f"steps[{place}]") for place, item in enumerate(cast("list[object]", steps))
    )
    context = _mapping(top.get("context", {}), "`context`")
    return Trace(str(top.get("machine", "")), context, start, read)


def _mapping(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UsageError(f"{what} must be an object")
    return cast("dict[str, object]", value)


def _read_step(value: object, place: str) -> TraceStep:
    if isinstance(value, str):
        return TraceStep(value)
    item = _mapping(value, f"`{place}`")
    if not isinstance(item.get("event"), str):
        raise UsageError(f"`{place}` needs the name of an event")
    actions: list[ActionOutcome] = []
    for action in cast("list[object]", item.get("actions", [])):
        one = _mapping(action, f"an action of `{place}`")
        sets = _mapping(one.get("sets", {}), f"`sets` of an action of `{place}`")
        actions.append(ActionOutcome(str(one.get("name", "")), sets, bool(one.get("fails", False))))
    answers = _mapping(item.get("answers", {}), f"`answers` of `{place}`")
    return TraceStep(
        str(item["event"]),
        _mapping(item.get("payload", {}), f"`payload` of `{place}`"),
        _mapping(item.get("sets", {}), f"`sets` of `{place}`"),
        tuple(actions),
        {name: bool(answer) for name, answer in answers.items()},
        tuple(map(str, cast("list[object]", item.get("leaves", [])))),
    )
