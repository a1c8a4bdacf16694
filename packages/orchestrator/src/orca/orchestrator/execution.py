"""One run of a plan over one window: results, failures and timeouts in; dispatches, retries and skips out.

Pure and synchronous: `begin` and `advance` take a frozen state and return the next one with the effects that
the shell must carry out. A node is ready as soon as its own dependencies have succeeded; a failure skips
what depends on it, with the cause, and leaves independent branches running. Results of nodes that are
already final are ignored, which is what makes a late or repeated result harmless.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orca.orchestrator.model import ProcessorKey
    from orca.orchestrator.planner import Plan

__all__ = [
    "Cancelled",
    "Complete",
    "Effect",
    "Event",
    "Failed",
    "Finish",
    "Lost",
    "Part",
    "Ready",
    "RetryDue",
    "RetryLater",
    "RetryRule",
    "RunState",
    "Sent",
    "Status",
    "StepMemo",
    "Succeeded",
    "SucceededAll",
    "advance",
    "begin",
    "group",
]


class Status(IntEnum):
    """Where a node stands; from ``SUCCEEDED`` on it is final."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    BACKOFF = 3
    SUCCEEDED = 4
    FAILED = 5
    SKIPPED = 6
    CANCELLED = 7

    @property
    def final(self) -> bool:
        """Whether nothing can change any more."""
        return self >= Status.SUCCEEDED


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How failing and lost attempts are repeated.

    Attributes:
        initial_s: Delay before the second attempt.
        factor: Growth per attempt.
        max_s: Largest delay.
        losses_max: How often a processor may vanish while it runs a node. A body that kills its process
            would otherwise be sent for ever.
    """

    initial_s: float = 0.5
    factor: float = 2.0
    max_s: float = 60.0
    losses_max: int = 10

    def delay_s(self, attempt: int, seed: str) -> float:
        """Delay after ``attempt`` attempts, spread by up to half; the same seed gives the same delay.

        Example:
            >>> rule = RetryRule()
            >>> 0.25 <= rule.delay_s(1, "run-1") <= 0.5
            True
        """
        full = min(self.initial_s * self.factor ** min(attempt - 1, 60), self.max_s)
        digest = hashlib.blake2b(f"{seed}:{attempt}".encode(), digest_size=4).digest()
        return full * (1.0 - 0.5 * int.from_bytes(digest, "big") / 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of one run; tuples are by node index.

    Attributes:
        statuses: Where each node stands.
        attempts: How often each node was sent.
        losses: How often each node's processor vanished meanwhile.
        waiting: How many upstream nodes each node still waits for.
        open: How many nodes are not final.
    """

    statuses: tuple[Status, ...]
    attempts: tuple[int, ...]
    losses: tuple[int, ...]
    waiting: tuple[int, ...]
    open: int


@dataclass(frozen=True, slots=True)
class Sent:
    """Nodes were handed to a processor in one call."""

    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A node's result arrived."""

    node: int


@dataclass(frozen=True, slots=True)
class SucceededAll:
    """Results of several nodes arrived at once, in an order in which they can have run.

    The same as one `Succeeded` for each, in one step: chains that run in this process end so.
    """

    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A node's body failed, or ran out of time."""

    node: int
    cause: str
    retry: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """A call ended without results for these nodes: the processor or the way to it is gone.

    ``counts`` is False when the call never reached the processor, so that nothing was run.
    """

    nodes: tuple[int, ...]
    cause: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A node's back-off has passed."""

    node: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody ended the run."""

    cause: str = "cancelled"


Event = Sent | Succeeded | SucceededAll | Failed | Lost | RetryDue | Cancelled


@dataclass(frozen=True, slots=True)
class Ready:
    """These nodes may be sent now."""

    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Send `RetryDue` for the node after ``delay_s`` seconds."""

    node: int
    delay_s: float
    cause: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Record a node's end. ``cause`` is empty for a success; for a skip it names the node that failed."""

    node: int
    status: Status
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Complete:
    """Every node is final."""

    succeeded: int
    failed: int
    skipped: int
    cancelled: int


Effect = Ready | RetryLater | Finish | Complete


class _Draft:
    """The mutable inside of one step: it never leaves this module."""

    __slots__ = ("attempts", "effects", "losses", "open", "plan", "ready", "statuses", "waiting")

    def __init__(self, plan: Plan, state: RunState) -> None:
        self.plan = plan
        self.statuses = list(state.statuses)
        self.attempts = list(state.attempts)
        self.losses = list(state.losses)
        self.waiting = list(state.waiting)
        self.open = state.open
        self.ready: list[int] = []
        self.effects: list[Effect] = []

    def succeed(self, node: int) -> None:
        """Take a result, unless nobody waits for it."""
        # A node that still waits for another cannot have run: the result belongs to an attempt that was given up.
        if self.statuses[node] < Status.SUCCEEDED and self.waiting[node] == 0:
            self.finish(node, Status.SUCCEEDED)

    def finish(self, node: int, status: Status, cause: str = "") -> None:
        """Make a node final and let its dependents go on, or skip them."""
        self.statuses[node] = status
        self.open -= 1
        self.effects.append(Finish(node, status, cause))
        if status is Status.SUCCEEDED:
            for child in self.plan.nodes[node].downstream:
                self.waiting[child] -= 1
                if self.waiting[child] == 0 and self.statuses[child] is Status.WAITING:
                    self.statuses[child] = Status.READY
                    self.ready.append(child)
        elif status is not Status.CANCELLED:
            self.skip_below(node)

    def skip_below(self, failed: int) -> None:
        name = str(self.plan.nodes[failed].ref)
        stack = list(self.plan.nodes[failed].downstream)
        while stack:
            node = stack.pop()
            if not self.statuses[node].final:
                self.statuses[node] = Status.SKIPPED
                self.open -= 1
                self.effects.append(Finish(node, Status.SKIPPED, f"{name} did not succeed"))
                stack.extend(self.plan.nodes[node].downstream)

    def result(self) -> tuple[RunState, tuple[Effect, ...]]:
        """Freeze the state and close the list of effects."""
        if self.ready:
            self.effects.append(Ready(tuple(sorted(self.ready))))
        if self.open == 0:
            count = self.statuses.count
            self.effects.append(
                Complete(
                    count(Status.SUCCEEDED),
                    count(Status.FAILED),
                    count(Status.SKIPPED),
                    count(Status.CANCELLED),
                )
            )
        state = RunState(
            tuple(self.statuses), tuple(self.attempts), tuple(self.losses), tuple(self.waiting), self.open
        )
        return state, tuple(self.effects)


def begin(plan: Plan, done: Mapping[int, Status] | None = None) -> tuple[RunState, tuple[Effect, ...]]:
    """Start a run, or go on with one of which some nodes are final.

    Args:
        plan: The DAG.
        done: Final nodes of an earlier life of this run (after a restart), or of the run that this one
            repeats in part. No effect is given for them, except skips that follow from them.

    Example:
        >>> from orca.orchestrator.model import WindowTypeRef
        >>> from orca.orchestrator.planner import Plan
        >>> begin(Plan(WindowTypeRef("Hourly", "1.0.0"), ()))[1]
        (Complete(succeeded=0, failed=0, skipped=0, cancelled=0),)
    """
    known = done or {}
    size = len(plan.nodes)
    statuses = tuple(known.get(node.index, Status.WAITING) for node in plan.nodes)
    waiting = tuple(
        sum(1 for parent in node.upstream if known.get(parent) is not Status.SUCCEEDED) for node in plan.nodes
    )
    open_count = sum(1 for status in statuses if not status.final)
    draft = _Draft(plan, RunState(statuses, (0,) * size, (0,) * size, waiting, open_count))
    for node in plan.nodes:
        if draft.statuses[node.index].final:
            if draft.statuses[node.index] in (Status.FAILED, Status.SKIPPED):
                draft.skip_below(node.index)
        elif node.blocked:
            draft.finish(node.index, Status.SKIPPED, node.blocked)
        elif draft.waiting[node.index] == 0:
            draft.statuses[node.index] = Status.READY
            draft.ready.append(node.index)
    return draft.result()


def advance(
    plan: Plan, state: RunState, event: Event, *, rule: RetryRule = RetryRule(), seed: str = ""
) -> tuple[RunState, tuple[Effect, ...]]:
    """Take one event.

    Args:
        plan: The DAG that the run was begun with.
        state: The state before.
        event: What happened.
        rule: Delays and bounds of repetition.
        seed: Spreads the delays; the run's id will do.
    """
    draft = _Draft(plan, state)
    if isinstance(event, Succeeded):
        draft.succeed(event.node)
    elif isinstance(event, SucceededAll):
        for node in event.nodes:
            draft.succeed(node)
    elif isinstance(event, Sent):
        for node in event.nodes:
            if not draft.statuses[node].final:
                draft.statuses[node] = Status.RUNNING
                draft.attempts[node] += 1
    elif isinstance(event, Failed):
        _failed(draft, event, rule, seed)
    elif isinstance(event, Lost):
        for node in event.nodes:
            _lost(draft, node, event, rule, seed)
    elif isinstance(event, RetryDue):
        if draft.statuses[event.node] is Status.BACKOFF:
            draft.statuses[event.node] = Status.READY
            draft.ready.append(event.node)
    else:
        for node, status in enumerate(state.statuses):
            if not status.final:
                draft.finish(node, Status.CANCELLED, event.cause)
    if len(draft.effects) == 0 and not draft.ready and draft.open == state.open == 0:
        # A late result after the end: completion was told before and must not be told again.
        return state, ()
    return draft.result()


# What all kept states of one plan may hold together: a few megabytes.
MEMO_NODES_MAX = 100_000


class StepMemo:
    """`advance` for the steps that run after run takes: the same state and event give the same objects.

    Only steps without delays are kept, which is what most runs consist of.

    Args:
        plan: The DAG.
        start: The state that `begin` gives for it.
    """

    def __init__(self, plan: Plan, start: RunState) -> None:
        self._plan = plan
        self._room = MEMO_NODES_MAX // (len(plan.nodes) + 1)
        # By identity: states are kept here, so that no other can take the place of one in memory.
        self._known: dict[int, tuple[RunState, dict[Event, tuple[RunState, tuple[Effect, ...]]]]] = {}
        self._keep(start)

    def _keep(self, state: RunState) -> None:
        if self._room > 0:
            self._room -= 1
            self._known[id(state)] = (state, {})

    def advance(
        self, state: RunState, event: Event, *, rule: RetryRule, seed: str
    ) -> tuple[RunState, tuple[Effect, ...]]:
        """The same as the function of this name."""
        known = self._known.get(id(state))
        if known is None or not isinstance(event, (Sent, Succeeded, SucceededAll)):
            return advance(self._plan, state, event, rule=rule, seed=seed)
        found = known[1].get(event)
        if found is None:
            found = advance(self._plan, state, event, rule=rule, seed=seed)
            if self._room > 0:
                known[1][event] = found
                self._keep(found[0])
        return found


def _failed(draft: _Draft, event: Failed, rule: RetryRule, seed: str) -> None:
    node = event.node
    if draft.statuses[node].final or draft.waiting[node] > 0:
        return
    attempts = draft.attempts[node] - draft.losses[node]
    if event.retry and attempts < draft.plan.nodes[node].definition.options.attempts_max:
        _back_off(draft, node, event.cause, rule, seed)
        _unsend_below(draft, node)
    else:
        draft.finish(node, Status.FAILED, event.cause)


def _lost(draft: _Draft, node: int, event: Lost, rule: RetryRule, seed: str) -> None:
    if draft.statuses[node].final:
        return
    if draft.waiting[node] > 0:
        # It went along in a call with what it depends on, and never started.
        draft.statuses[node] = Status.WAITING
        draft.attempts[node] = max(0, draft.attempts[node] - 1)
        return
    if not event.counts:
        draft.statuses[node] = Status.READY
        draft.attempts[node] = max(0, draft.attempts[node] - 1)
        draft.ready.append(node)
        return
    draft.losses[node] += 1
    if draft.losses[node] > rule.losses_max:
        draft.finish(node, Status.FAILED, f"{event.cause} ({draft.losses[node]} times)")
    else:
        _back_off(draft, node, event.cause, rule, seed)


def _back_off(draft: _Draft, node: int, cause: str, rule: RetryRule, seed: str) -> None:
    draft.statuses[node] = Status.BACKOFF
    attempt = max(1, draft.attempts[node])
    draft.effects.append(RetryLater(node, rule.delay_s(attempt, f"{seed}:{node}"), cause))


def _unsend_below(draft: _Draft, node: int) -> None:
    """Dependents that went along in the same call must wait again: the repeat is a call of its own."""
    stack = list(draft.plan.nodes[node].downstream)
    while stack:
        child = stack.pop()
        if draft.statuses[child] is Status.RUNNING:
            draft.statuses[child] = Status.WAITING
            draft.attempts[child] = max(0, draft.attempts[child] - 1)
            stack.extend(draft.plan.nodes[child].downstream)


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes of one processor that go out in one call, in topological order."""

    processor: ProcessorKey
    nodes: tuple[int, ...]


def group(
    plan: Plan,
    state: RunState,
    ready: Sequence[int],
    *,
    fuses: Callable[[ProcessorKey], bool],
    alone: Iterable[int] = (),
) -> tuple[Part, ...]:
    """Put ready nodes into calls: one per processor, with the chains that follow when the worker takes them.

    Args:
        plan: The DAG.
        state: The present state.
        ready: Nodes that may be sent.
        fuses: Whether a processor hands results over within one call. Published workers do not.
        alone: Nodes that must not be fused, because their look-back has to be read first.

    Returns:
        Parts in the order of their first node.
    """
    if len(ready) == 1 and not plan.nodes[ready[0]].downstream:
        return (Part(plan.nodes[ready[0]].processor, (ready[0],)),)
    parts: dict[ProcessorKey, list[int]] = {}
    for node in ready:
        parts.setdefault(plan.nodes[node].processor, []).append(node)
    kept_alone = frozenset(alone)
    for processor, members in parts.items():
        if fuses(processor):
            _extend(plan, state, members, kept_alone)
    return tuple(Part(processor, tuple(sorted(members))) for processor, members in parts.items())


def _extend(plan: Plan, state: RunState, members: list[int], alone: frozenset[int]) -> None:
    inside = set(members)
    position = 0
    while position < len(members):
        for child in plan.nodes[members[position]].downstream:
            node = plan.nodes[child]
            if (
                child not in inside
                and child not in alone
                and node.processor == plan.nodes[members[0]].processor
                and state.statuses[child] is Status.WAITING
                and all(state.statuses[up] is Status.SUCCEEDED or up in inside for up in node.upstream)
            ):
                inside.add(child)
                members.append(child)
        position += 1
