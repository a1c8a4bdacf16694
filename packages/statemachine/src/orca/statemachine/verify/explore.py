"""The graph of everything a machine can do: configurations as nodes, macrosteps as edges.

The engine's own tables (`Compiled.row`, `Compiled.micro`) say what a set of transitions does; what is added here is
choice. A guard whose variables are not known yet splits the run, one branch for each value that stands for others
(`domains`); an action may leave any value in the context, so after one nothing is known; it may fail where a state
declares ``on_error``; timers fire, children end or fail, predicates of ``custom`` parallel states say yes or no.

Not modelled: events that an action raises itself, and more than `MICROSTEPS_MAX` microsteps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from orca.statemachine.engine import EVENTLESS, Kind, Raise, Run, Signal, compiled, error_name
from orca.statemachine.engine.types import done_name, timeout_name
from orca.statemachine.verify.domains import COMBINATIONS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orca.statemachine.engine import Arc, Compiled, Config, Micro, Plan, Row
    from orca.statemachine.verify.decide import Decider
    from orca.statemachine.verify.domains import Variable

__all__ = ["BUDGET", "Choice", "Edge", "Explorer", "Graph", "Node", "Space", "bits"]

BUDGET: Final = 20_000
"""Configurations explored by default: seconds; what is left open then is said as INCONCLUSIVE."""
_FAILURES_MAX: Final = 4
"""Actions of one microstep that are tried both ways (failing and not): 16 combinations at most."""

MICROSTEPS_EACH: Final = 20
"""Microsteps for each configuration of the budget: bounds the time where one macrostep can go many ways."""
WAYS_MAX: Final = 2_000
"""Places between microsteps of one macrostep: many times what a real one has; past it the graph is incomplete."""

History: TypeAlias = "tuple[tuple[int, tuple[int, ...]], ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that the verifier chose on an edge.

    Attributes:
        kind: ``value`` of a variable, ``run`` of an action, ``undone`` for one that worked in a microstep that a later
            one undid, ``answer`` of a predicate, ``free`` outcome of a guard that cannot be decided.
        name: The variable, the action, the path.
        value: The value; for a run whether it succeeded.
    """

    kind: str
    name: object
    value: object


class _Frozen:
    """A value as a key: lists and maps by their text, numbers apart from booleans."""

    __slots__ = ("hash", "key", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.key = (type(value).__name__, repr(value))
        self.hash = hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self.key == other.key

    def __hash__(self) -> int:
        return self.hash


_NULL: Final = _Frozen(None)

Known: TypeAlias = "tuple[tuple[Variable, _Frozen], ...]"


@dataclass(frozen=True, slots=True)
class Node:
    """A place between two macrosteps: active states, remembered history, what is known of the context."""

    states: tuple[int, ...]
    history: History = ()
    known: Known = ()
    done: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """A macrostep.

    Attributes:
        event: The event; empty for the start.
        target: The number of the node it leads to; -1 when it never becomes stable.
        choices: What was chosen, in order.
        entered: The states entered on the way, as bits.
        sure: Whether every choice can be made real.
    """

    event: str
    target: int
    choices: tuple[Choice, ...] = ()
    entered: int = 0
    sure: bool = True


class Space(Protocol):
    """What the checks need of a graph; nodes are numbers in the order of their distance from the start."""

    complete: bool
    """Whether nothing was left out."""

    @property
    def size(self) -> int:
        """How many nodes there are."""
        ...

    @property
    def starts(self) -> Sequence[Edge]:
        """The edges that lead into the graph."""
        ...

    @property
    def livelocks(self) -> Sequence[tuple[int, Edge]]:
        """Edges that never become stable, with the node they leave (-1: the start)."""
        ...

    @property
    def expanded(self) -> int:
        """How many nodes, from the first on, have all their edges."""
        ...

    def edges(self, at: int) -> Sequence[Edge]:
        """The edges that leave a node."""
        ...

    def targets(self, at: int) -> Iterable[int]:
        """The nodes that the edges lead to."""
        ...

    def way_to(self, at: int) -> list[Edge]:
        """A shortest way from the start; its first edge is a start."""
        ...

    def dead_ends(self) -> Iterable[int]:
        """Nodes that are not done and have no edge, among those that were expanded."""
        ...

    def touched(self) -> int:
        """All states that are active in a node or entered on an edge, as bits."""
        ...

    def active(self, at: int) -> int:
        """The active states as bits."""
        ...

    def is_done(self, at: int) -> bool:
        """Whether the machine is done."""
        ...

    def known(self, at: int) -> Mapping[Variable, object]:
        """What is known of the context."""
        ...

    def states(self, at: int) -> tuple[int, ...]:
        """The active states."""
        ...


def bits(states: Iterable[int]) -> int:
    """States as bits."""
    found = 0
    for state in states:
        found |= 1 << state
    return found


@dataclass(slots=True)
class Graph:
    """The explored graph, every node and edge of it."""

    nodes: list[Node] = field(default_factory=list[Node])
    starts: list[Edge] = field(default_factory=list[Edge])
    out: list[list[Edge]] = field(default_factory=list[list[Edge]])
    found_by: list[tuple[int, Edge]] = field(default_factory=list["tuple[int, Edge]"])
    complete: bool = True
    expanded: int = 0
    livelocks: list[tuple[int, Edge]] = field(default_factory=list["tuple[int, Edge]"])

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self.nodes)

    def edges(self, at: int) -> Sequence[Edge]:
        """The edges that leave a node."""
        return self.out[at]

    def targets(self, at: int) -> Iterable[int]:
        """The nodes that the edges lead to."""
        return (edge.target for edge in self.out[at])

    def way_to(self, at: int) -> list[Edge]:
        """A shortest way from the start; its first edge is a start."""
        way: list[Edge] = []
        while at >= 0:
            at, edge = self.found_by[at]
            way.append(edge)
        return way[::-1]

    def dead_ends(self) -> Iterable[int]:
        """Nodes that are not done and have no edge, among those that were expanded."""
        return (at for at in range(self.expanded) if not self.nodes[at].done and not self.out[at])

    def touched(self) -> int:
        """All states that are active in a node or entered on an edge, as bits."""
        found = 0
        for edge in (*self.starts, *(edge for edges in self.out for edge in edges)):
            found |= edge.entered
        for _, edge in self.livelocks:
            found |= edge.entered
        return found

    def active(self, at: int) -> int:
        """The active states as bits."""
        return bits(self.nodes[at].states)

    def is_done(self, at: int) -> bool:
        """Whether the machine is done."""
        return self.nodes[at].done

    def known(self, at: int) -> Mapping[Variable, object]:
        """What is known of the context."""
        return {name: value.value for name, value in self.nodes[at].known}

    def states(self, at: int) -> tuple[int, ...]:
        """The active states."""
        return self.nodes[at].states


Payload: TypeAlias = "Known | None"
"""What is known of the payload; None for the engine's own events, where everything else is null."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A place between two microsteps. What follows ``running`` is not part of its identity.

    Attributes:
        tried: States whose on_error was taken since the last microstep without a failure; they are not asked again.
        blind: Whether the last step chose something, so that a repetition need not go on for ever.
        livelock: Whether it never becomes stable.
    """

    states: tuple[int, ...]
    history: History
    known: Known
    signal: str
    queue: tuple[tuple[str, Payload], ...] = ()
    failures: tuple[str, ...] = ()
    tried: tuple[int, ...] = ()
    payload: Payload = ()
    running: bool = True
    choices: tuple[Choice, ...] = field(default=(), compare=False)
    entered: int = field(default=0, compare=False)
    sure: bool = field(default=True, compare=False)
    blind: bool = field(default=False, compare=False)
    livelock: bool = field(default=False, compare=False)


class Explorer:
    """Explores one machine.

    Args:
        plan: Its plan.
        decider: Its guards.
        free: Whether guards that the values do not decide may go either way; then more is found than can be.
    """

    def __init__(self, plan: Plan, decider: Decider, *, free: bool = False) -> None:
        self.plan = plan
        self.engine: Compiled = compiled(plan)
        self.decider = decider
        self.free = free
        known = {event for node in plan.nodes if node.kind is not Kind.HISTORY for event in node.arcs}
        self.external = sorted(name for name in known if name != EVENTLESS and not name.startswith("@"))
        self.truths: dict[tuple[int, tuple[object, ...]], bool] = {}
        self.microsteps = 0

    # ---- the graph

    def explore(self, budget: int = BUDGET) -> Graph:
        """Everything from the start, breadth first, until the budget of nodes is used up."""
        graph = Graph()
        numbers: dict[Node, int] = {}
        begun = self._carry_out(_Work((), (), (), "", payload=None), self.engine.initial(), ())
        self._add(graph, numbers, -1, "", begun)
        at = 0
        while at < len(graph.nodes):
            if len(graph.nodes) > budget or self.microsteps > budget * MICROSTEPS_EACH:
                graph.complete = False
                break
            node = graph.nodes[at]
            for event in () if node.done else self.events(node):
                self._add(graph, numbers, at, event, self._react(node, event))
            at += 1
            graph.expanded = at
        return graph

    def _add(
        self, graph: Graph, numbers: dict[Node, int], at: int, event: str, begun: Iterable[_Work]
    ) -> None:
        for work in self._settle(begun):
            if work is None:
                graph.complete = False
                continue
            if work.livelock:
                graph.livelocks.append((at, Edge(event, -1, work.choices, work.entered, work.sure)))
                continue
            node = Node(work.states, work.history, work.known, not work.running)
            target = numbers.setdefault(node, len(graph.nodes))
            edge = Edge(event, target, work.choices, work.entered, work.sure)
            if target == len(graph.nodes):
                graph.nodes.append(node)
                graph.out.append([])
                graph.found_by.append((at, edge))
            (graph.starts if at < 0 else graph.out[at]).append(edge)

    def events(self, node: Node) -> Iterator[str]:
        """What can happen in a node: events, timers, the ends and failures of children."""
        yield from self.external
        for state in node.states:
            item = self.plan.nodes[state]
            if item.timeout_ms is not None:
                yield timeout_name(item.path)
            if item.invoke is not None:
                if item.has_done:
                    yield done_name(item.path)
                if item.handler == state:
                    yield error_name(item.path)

    # ---- macrosteps

    def _react(self, node: Node, event: str) -> Iterator[_Work]:
        config = self.engine.config(node.states)
        row = self.engine.row(config, event)
        if not row.lists:
            return
        payload: Payload = None if event.startswith("@timeout.") else ()
        work = _Work(node.states, node.history, self._returned(node, event), event, payload=payload)
        for chosen, enabled in self._select(work, row):
            if enabled:
                yield from self._micro(chosen, config, enabled, ())

    def _returned(self, node: Node, event: str) -> Known:
        """What is known when a child returns: nothing of the fields that its results are bound to."""
        if not event.startswith("@done."):
            return node.known
        invoke = self.plan.nodes[self.plan.by_path[event.removeprefix("@done.")]].invoke
        bound = {name for name, _ in invoke.returns} if invoke is not None else set[str]()
        return tuple(pair for pair in node.known if pair[0][1] not in bound)

    def _settle(self, begun: Iterable[_Work]) -> Iterator[_Work | None]:
        """Run on until stable, in every way; a place that comes again on the same way never ends.

        Yields None when a way was left out because there are too many microsteps.
        """
        seen: set[_Work] = set()
        way: dict[_Work, bool] = {}
        stack: list[tuple[_Work | None, Iterator[tuple[_Work, bool]]]] = [
            (None, ((work, False) for work in begun))
        ]
        while stack:
            here, following = stack[-1]
            after, stable = next(following, (None, False))
            self.microsteps += 1
            if after is None:
                stack.pop()
                if here is not None:
                    del way[here]
            elif stable:
                yield after
            elif after in way:
                since = list(way)[list(way).index(after) + 1 :]
                if not after.blind and not any(way[work] for work in since):
                    yield replace(after, livelock=True)
            elif after not in seen:
                if len(way) >= self.plan.microsteps_max or len(seen) >= WAYS_MAX:
                    yield None
                    return
                seen.add(after)
                way[after] = after.blind
                stack.append((after, self._next(replace(after, blind=False))))

    def _next(self, work: _Work) -> Iterator[tuple[_Work, bool]]:
        """What the next microstep may lead to; and whether it is where the macrostep ends."""
        config = self.engine.config(work.states)
        if not work.running:
            yield work, True
        elif work.failures:
            signal, rest = work.failures[0], work.failures[1:]
            yield from self._take(
                replace(work, signal=signal, failures=rest, payload=None), config, fails=True
            )
        else:
            resting: list[_Work] = [work]
            if not config.stable:
                resting = []
                for chosen, enabled in self._select(work, self.engine.row(config, EVENTLESS)):
                    if enabled:
                        yield from ((after, False) for after in self._micro(chosen, config, enabled, ()))
                    else:
                        resting.append(chosen)
            for chosen in resting:
                if not chosen.queue:
                    yield chosen, True
                    continue
                (signal, payload), rest_queue = chosen.queue[0], chosen.queue[1:]
                taken = replace(chosen, signal=signal, queue=rest_queue, payload=payload)
                yield from self._take(taken, config, fails=False)

    def _take(self, work: _Work, config: Config, *, fails: bool) -> Iterator[tuple[_Work, bool]]:
        """What an internal event does; nothing when no transition takes it."""
        for chosen, enabled in self._select(work, self.engine.row(config, work.signal)):
            if not enabled:
                yield (chosen if chosen.failures else replace(chosen, tried=())), False
                continue
            handling = tuple(sorted({*chosen.tried, *(arc.source for arc in enabled)})) if fails else ()
            yield from ((after, False) for after in self._micro(chosen, config, enabled, handling))

    # ---- guards

    def _select(self, work: _Work, row: Row) -> Iterator[tuple[_Work, tuple[Arc, ...]]]:
        """Every way in which the guards can choose among the candidates."""
        if row.sure is not None:
            yield work, row.sure
            return
        pending: list[tuple[_Work, int, int, tuple[Arc, ...]]] = [(work, 0, 0, ())]
        while pending:
            at, leaf, place, enabled = pending.pop()
            if leaf == len(row.lists):
                yield at, tuple(dict.fromkeys(enabled))
            elif place == len(row.lists[leaf]):
                pending.append((at, leaf + 1, 0, enabled))
            else:
                arc = row.lists[leaf][place]
                for chosen, holds in self._condition(at, arc):
                    if holds:
                        pending.append((chosen, leaf + 1, 0, (*enabled, arc)))
                    else:
                        pending.append((chosen, leaf, place + 1, enabled))

    def _condition(self, work: _Work, arc: Arc) -> Iterator[tuple[_Work, bool]]:
        ways = [work]
        if arc.sync is not None:
            yield self._answered(work, arc.sync, value=False), False
            ways = [self._answered(work, arc.sync, value=True)]
        if arc.expression is None:
            yield from ((way, True) for way in ways)
            return
        for way in ways:
            yield from self._guard(way, arc)

    @staticmethod
    def _answered(work: _Work, path: str, *, value: bool) -> _Work:
        return replace(work, choices=(*work.choices, Choice("answer", path, value)), blind=True)

    def _guard(self, work: _Work, arc: Arc) -> Iterator[tuple[_Work, bool]]:
        assert arc.expression is not None
        if self.free and not self.decider.exact(arc.expression):
            for value in (True, False):
                choice = Choice("free", arc.guard_text, value)
                yield replace(work, choices=(*work.choices, choice), sure=False, blind=True), value
            return
        names = self.decider.variables(arc.expression)
        values: dict[Variable, _Frozen] = {**dict(work.known), **dict(work.payload or ())}
        if work.payload is None:
            values |= {name: _NULL for name in names if name[0] != "ctx"}
        missing = [name for name in names if name not in values]
        options = [tuple(map(_Frozen, self.decider.domains.values[name])) for name in missing]
        for combination in islice(product(*options), COMBINATIONS_MAX):
            found = {**values, **dict(zip(missing, combination, strict=True))}
            key = (arc.index, tuple(found[name] for name in names))
            holds = self.truths.get(key)
            if holds is None:
                plain = {name: found[name].value for name in names}
                holds = self.truths[key] = self.decider.holds(arc.expression, plain)
            yield (self._learn(work, missing, combination) if missing else work), holds

    @staticmethod
    def _learn(work: _Work, names: Sequence[Variable], values: Sequence[_Frozen]) -> _Work:
        pairs = list(zip(names, values, strict=True))
        known = sorted((*work.known, *(p for p in pairs if p[0][0] == "ctx")), key=lambda p: p[0])
        payload = sorted((*(work.payload or ()), *(p for p in pairs if p[0][0] != "ctx")), key=lambda p: p[0])
        return replace(
            work,
            known=tuple(known),
            payload=None if work.payload is None else tuple(payload),
            choices=(*work.choices, *(Choice("value", name, value.value) for name, value in pairs)),
            blind=True,
        )

    # ---- microsteps

    def _micro(
        self, work: _Work, config: Config, enabled: tuple[Arc, ...], handling: tuple[int, ...]
    ) -> Iterator[_Work]:
        yield from self._carry_out(work, self.engine.micro(config, enabled, work.history), handling)

    def _handler(self, run: Run, handling: tuple[int, ...]) -> int:
        handler = run.handler
        while handler >= 0 and handler in handling:
            handler = self.plan.nodes[self.plan.nodes[handler].parent].handler
        return handler

    def _carry_out(self, work: _Work, micro: Micro, handling: tuple[int, ...]) -> Iterator[_Work]:
        """One microstep, with each action that a state answers for failing or not."""
        answered = [number for number, op in enumerate(micro.runs) if self._handler(op, handling) >= 0]
        if answered:
            work = replace(work, blind=True)
        if len(answered) <= _FAILURES_MAX:
            for failing in product((False, True), repeat=len(answered)):
                failed = frozenset(number for number, fails in zip(answered, failing, strict=True) if fails)
                yield from self._apply(work, micro, failed, handling)
        else:
            for alone in (frozenset[int](), *(frozenset({number}) for number in answered)):
                yield from self._apply(work, micro, alone, handling)

    def _apply(
        self, work: _Work, micro: Micro, failed: frozenset[int], handling: tuple[int, ...]
    ) -> Iterator[_Work]:
        """Carry out the operations; a failure before the entries undoes all, one in an entry only that."""
        choices, queue, failures = list(work.choices), list(work.queue), list(work.failures)
        known, number = work.known, -1
        undone = any(op.phase != "entry" for number, op in enumerate(micro.runs) if number in failed)
        for op in micro.ops:
            if isinstance(op, Run):
                number += 1
                works = number not in failed
                choices.append(Choice("undone" if works and undone else "run", op.action, works))
                if number not in failed:
                    known = ()
                    continue
                signal = error_name(self.plan.nodes[self._handler(op, handling)].path)
                if op.phase != "entry":
                    if number == max(failed):  # with later failures it is the same branch once more
                        failures.append(signal)
                        yield replace(work, choices=tuple(choices), failures=tuple(failures), tried=handling)
                    return
                failures.append(signal)
            elif isinstance(op, Raise):
                queue.append((op.name, work.payload))
            elif isinstance(op, Signal):
                queue.append((op.name, None))
        yield replace(
            work,
            states=micro.target.states,
            history=tuple(sorted({**dict(work.history), **micro.history}.items())),
            known=known,
            queue=tuple(queue),
            failures=tuple(failures),
            tried=handling if failures else (),
            running=micro.final < 0,
            choices=tuple(choices),
            entered=work.entered | bits(micro.entries),
        )
