"""``step``: one event through an engine, with actions that are pure functions.

The asynchronous machine, the simulator, the replay and the tests all run the same engines; this is the driver
for callers whose actions answer at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from orca.statemachine.engine.compiled import compiled
from orca.statemachine.engine.errors import SnapshotError
from orca.statemachine.engine.plan import ROOT, Kind
from orca.statemachine.engine.types import Command, Payload, Reply, Run, Signal, Snapshot
from orca.statemachine.engine.work import START, Engine, Verdict, Work

if TYPE_CHECKING:
    from orca.statemachine.engine.plan import Plan
    from orca.statemachine.engine.types import Request
    from orca.statemachine.engine.work import Steps

__all__ = ["Handlers", "Step", "check_snapshot", "initial_snapshot", "step"]

Action: TypeAlias = Callable[[dict[str, object], Payload], Reply]
Predicate: TypeAlias = Callable[[Mapping[str, object], Payload], bool]


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a caller of `step` supplies: pure functions of context and payload, by name.

    Attributes:
        actions: An action that is missing does nothing.
        guards: Declared guards that the caller answers instead of their expressions.
        syncs: Predicates of parallel states with ``sync: custom``, by path; missing means not done.
    """

    actions: Mapping[str, Action] = field(default_factory=dict[str, Action])
    guards: Mapping[str, Predicate] = field(default_factory=dict[str, Predicate])
    syncs: Mapping[str, Predicate] = field(default_factory=dict[str, Predicate])


NO_HANDLERS = Handlers()


@dataclass(frozen=True, slots=True)
class Step:
    """What an event did.

    Attributes:
        snapshot: The machine afterwards.
        commands: What happened and what the shell has to do, in order.
        verdict: ``taken``, ``guard`` (a guard did not hold), ``ignored`` or ``unhandled``.
        guard: The guard that did not hold.
        reason: Why its value was unknown; empty when it was false.
    """

    snapshot: Snapshot
    commands: tuple[Command, ...]
    verdict: Verdict
    guard: str = ""
    reason: str = ""


def initial_snapshot(plan: Plan, context: Payload | None = None) -> Snapshot:
    """A machine that has not started: the defaults of the definition, with ``context`` merged over them."""
    return Snapshot(context={**plan.definition.context, **copy.deepcopy(dict(context or {}))})


def step(
    plan: Plan,
    snapshot: Snapshot,
    event: Signal | str | None = None,
    *,
    handlers: Handlers = NO_HANDLERS,
    engine: Engine | None = None,
) -> Step:
    """Take a machine through one macrostep. Nothing that is passed in is changed.

    Args:
        plan: The plan.
        snapshot: Where the machine stands; one with status ``new`` is started.
        event: What happens; must be None for a new machine, and a name or signal for a running one. For one
            that is done nothing is handled any more.
        handlers: Pure functions for actions, guards and predicates.
        engine: Which engine; the compiled one if not given.

    Raises:
        ActionError: An action raised and no state handles it.
        LivelockError: The macrostep never becomes stable.
        SnapshotError: A running machine needs an event, and a new one takes none.

    Example:
        >>> from orca.statemachine.engine import compile_plan, initial_snapshot, step
        >>> from orca.statemachine.model import MachineDef, StateDef, Transition
        >>> states = (StateDef("off", "off", is_initial=True), StateDef("on", "on"))
        >>> plan = compile_plan(MachineDef("Light", states=states, transitions=(Transition("off", "press", "on"),)))
        >>> started = step(plan, initial_snapshot(plan)).snapshot
        >>> after = step(plan, started, "press")
        >>> after.verdict, plan.describe(after.snapshot.configuration)
        ('taken', 'on')
    """
    engine = engine or compiled(plan)
    if (snapshot.status == "new") != (event is None):
        raise SnapshotError(
            f"machine {plan.name!r}: a new machine is started without an event, others need one"
        )
    signal = START if event is None else Signal(event) if isinstance(event, str) else event
    work = Work(plan, snapshot, signal, frozenset(handlers.guards))
    if snapshot.status == "done":
        return Step(snapshot, (), "unhandled")
    steps = engine.start(work) if event is None else engine.react(work, snapshot.configuration)
    _drive(work, steps, handlers)
    configuration = engine.result(work)
    guard, reason = work.failed_guard if work.verdict == "guard" else ("", "")
    if work.verdict != "taken":
        return Step(snapshot, (), work.verdict, guard, reason)
    return Step(work.snapshot(configuration), tuple(work.commands), "taken")


def _drive(work: Work, steps: Steps, handlers: Handlers) -> None:
    try:
        request = next(steps)
        while True:
            request = _exchange(work, steps, request, handlers)
    except StopIteration:
        return


def _exchange(work: Work, steps: Steps, request: Request, handlers: Handlers) -> Request:
    try:
        answer = _answer(work, request, handlers)
    except Exception as error:  # noqa: BLE001 - whatever an action raises belongs to the engine
        return steps.throw(error)
    return steps.send(answer)


def _answer(work: Work, request: Request, handlers: Handlers) -> Reply | bool:
    payload = work.signal.payload
    if isinstance(request, Run):
        action = handlers.actions.get(request.action)
        return None if action is None else action(work.context, payload)
    predicates = handlers.guards if request.kind == "guard" else handlers.syncs
    predicate = predicates.get(request.name)
    return predicate is not None and bool(predicate(work.context, payload))


def check_snapshot(plan: Plan, snapshot: Snapshot) -> None:
    """Whether a snapshot is a possible place of this plan's machine.

    Raises:
        SnapshotError: The active states do not form a configuration of the plan.
    """
    nodes = plan.nodes
    active = set(snapshot.configuration)
    if snapshot.status == "new":
        return
    wrong = [s for s in active if not ROOT < s < len(nodes) or nodes[s].kind is Kind.HISTORY]
    if wrong or list(snapshot.configuration) != sorted(active):
        raise SnapshotError(f"machine {plan.name!r}: {sorted(active)} are not states in document order")
    for index in (ROOT, *snapshot.configuration):
        node = nodes[index]
        if index != ROOT and node.parent not in {ROOT, *active}:
            raise SnapshotError(f"machine {plan.name!r}: {node.path!r} is active without its parent")
        inside = [child for child in node.children if child in active]
        wanted = len(node.children) if node.kind is Kind.PARALLEL else min(1, len(node.children))
        if len(inside) != wanted:
            shown = node.path or plan.name
            raise SnapshotError(
                f"machine {plan.name!r}: {shown!r} has {len(inside)} active children instead of {wanted}"
            )
