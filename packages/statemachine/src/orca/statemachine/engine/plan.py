"""A definition compiled to a plan: states as numbers in document order, transitions by state and event.

The number of a state is its place in a walk of the tree, parents first. So the states below ``s`` are the
numbers from ``s + 1`` to ``Node.last``, document order is numeric order, exit order is its reverse, and the exit
set of a transition is one slice of the sorted configuration. 0 is the machine itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from orca.statemachine._print_text import guard_text
from orca.statemachine.engine.errors import PlanError
from orca.statemachine.engine.types import done_name, error_name, timeout_name
from orca.statemachine.expr import GuardRef, walk
from orca.statemachine.guards import compile_guards, compile_value
from orca.statemachine.model import ANY_STATE, RegionDef, StateDef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.guards import Evaluator
    from orca.statemachine.model import InvokeDef, MachineDef, OutcomeRef, Transition

__all__ = ["EVENTLESS", "MICROSTEPS_MAX", "ROOT", "Arc", "Kind", "Node", "Plan", "compile_plan"]

ROOT: Final = 0
EVENTLESS: Final = ""
"""The key of eventless transitions; no event can have an empty name."""
MICROSTEPS_MAX: Final = 1000
"""How many microsteps a macrostep may take: more than any real chain of eventless transitions has, and still
only milliseconds before a livelock is reported."""

NESTING_MAX: Final = 200
"""How deep states may be nested: the reference engine and state values walk the tree by recursion."""


class Kind(Enum):
    """What a state is."""

    ATOMIC = "atomic"
    COMPOUND = "compound"
    PARALLEL = "parallel"
    FINAL = "final"
    HISTORY = "history"


@dataclass(frozen=True, slots=True, eq=False)
class Arc:
    """A transition, as written or as it follows from ``timeout``, ``on_done`` and ``on_error``.

    Attributes:
        index: Its number, in document order; those that follow from states come after the rows.
        source: The state it belongs to.
        event: What it reacts to; `EVENTLESS` when to nothing.
        target: The state it leads to, or None: its actions run and nothing is left.
        guard: The condition, or None.
        guard_text: How messages call the condition.
        guard_names: The declared guards that the condition refers to, through other guards too.
        expression: The condition as a tree.
        action: The action, or None.
        raises: An internal event that it raises, for outcomes that are events.
        sync: The path of a parallel state whose predicate decides, or None.
        internal: Leads into its own source without leaving it (only from imported SCXML).
        domain: The state below which everything is left and entered; -1 when there is no target.
    """

    index: int
    source: int
    event: str
    target: int | None = None
    guard: Evaluator | None = None
    guard_text: str = ""
    guard_names: frozenset[str] = frozenset()
    expression: GuardExpression | None = None
    action: str | None = None
    raises: str | None = None
    sync: str | None = None
    internal: bool = False
    domain: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A state, a region or the machine itself.

    Attributes:
        index: Its number.
        path: Dotted names; empty for the machine.
        name: The last of them.
        kind: What it is; regions are compound.
        is_region: Whether it is a region.
        parent: The number of its parent; -1 for the machine.
        depth: 0 for the machine.
        children: Its children without history states.
        last: The largest number below it; its own when there is none.
        initial: The child (possibly a history state) that is entered by default; -1 if it has no children.
        deep: For a history state: whether it remembers the leaves.
        histories: The history states among its children.
        sync: For a parallel state: when it is done.
        on_entry: Action on entry.
        on_exit: Action on exit.
        timeout_ms: Delay of its timer, or None.
        invoke: Its child machine, or None.
        ignore: Events it drops.
        handler: The nearest state from here upwards that declares ``on_error``; -1 when there is none.
        has_done: Whether it declares ``on_done``.
        arcs: Its transitions by event, in document order; those of ``*`` are the machine's.
    """

    index: int
    path: str
    name: str
    kind: Kind
    is_region: bool = False
    parent: int = -1
    depth: int = 0
    children: tuple[int, ...] = ()
    last: int = 0
    initial: int = -1
    deep: bool = False
    histories: tuple[int, ...] = ()
    sync: str = "all-final"
    on_entry: str | None = None
    on_exit: str | None = None
    timeout_ms: int | None = None
    invoke: InvokeDef | None = None
    ignore: frozenset[str] = frozenset()
    handler: int = -1
    has_done: bool = False
    arcs: Mapping[str, tuple[Arc, ...]] = field(default_factory=dict[str, tuple[Arc, ...]])


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What the engines run. Immutable and shared by all instances of a definition.

    Attributes:
        definition: Where it came from.
        nodes: All states in document order; 0 is the machine.
        by_path: Numbers by path.
        arcs: All transitions.
        effects: The effect type of each action that declares one.
        done_data: Payload makers of final states, by number (from imported SCXML).
        microsteps_max: The bound of a macrostep.
    """

    definition: MachineDef
    nodes: tuple[Node, ...]
    by_path: Mapping[str, int]
    arcs: tuple[Arc, ...]
    effects: Mapping[str, str]
    done_data: Mapping[int, Callable[[Mapping[str, object]], Mapping[str, object]]]
    microsteps_max: int

    @property
    def name(self) -> str:
        """The name of the machine."""
        return self.definition.name

    def ancestors(self, index: int) -> list[int]:
        """The proper ancestors of a state from the inside out, without the machine."""
        found: list[int] = []
        parent = self.nodes[index].parent
        while parent > ROOT:
            found.append(parent)
            parent = self.nodes[parent].parent
        return found

    def is_below(self, index: int, other: int) -> bool:
        """Whether ``index`` is a proper descendant of ``other``."""
        return other < index <= self.nodes[other].last

    def describe(self, states: Iterable[int]) -> str:
        """A configuration as text: its leaves, dotted, joined by ``", "``."""
        nodes = self.nodes
        return ", ".join(nodes[i].path for i in states if nodes[i].kind in {Kind.ATOMIC, Kind.FINAL})


class _Builder:
    def __init__(self, definition: MachineDef) -> None:
        self.definition = definition
        self.nodes: list[Node] = []
        self.defs: list[StateDef | RegionDef | None] = []
        self.by_path: dict[str, int] = {}
        self.arcs: list[Arc] = []

    def tree(self) -> None:
        """Number all states without recursion: nesting may be as deep as the parser allows."""
        self.nodes.append(Node(0, "", self.definition.name, Kind.COMPOUND))
        self.defs.append(None)
        children: dict[int, list[int]] = {0: []}
        pending: list[tuple[StateDef | RegionDef, int]] = [(s, 0) for s in reversed(self.definition.states)]
        while pending:
            item, parent = pending.pop()
            index = len(self.nodes)
            if item.path in self.by_path:
                raise PlanError(f"machine {self.definition.name!r} has two states {item.path!r}")
            self.nodes.append(_node(item, index, parent, self.nodes[parent].depth + 1))
            self.defs.append(item)
            self.by_path[item.path] = index
            children[parent].append(index)
            children[index] = []
            below: tuple[StateDef | RegionDef, ...] = item.states
            if isinstance(item, StateDef) and item.parallel is not None:
                below = item.parallel.regions
            pending.extend((child, index) for child in reversed(below))
        self._link(children)

    def _link(self, children: Mapping[int, list[int]]) -> None:
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            real = tuple(c for c in children[index] if self.nodes[c].kind is not Kind.HISTORY)
            hollow = node.kind in {Kind.COMPOUND, Kind.PARALLEL} and not real
            if hollow or node.depth > NESTING_MAX:
                why = "holds no state" if hollow else f"is nested deeper than {NESTING_MAX} levels"
                raise PlanError(f"machine {self.definition.name!r}: {node.path or 'it'!r} {why}")
            last = self.nodes[children[index][-1]].last if children[index] else index
            self.nodes[index] = replace(
                node,
                children=real,
                histories=tuple(c for c in children[index] if self.nodes[c].kind is Kind.HISTORY),
                last=last,
                initial=self._initial(children[index], real),
            )

    def _initial(self, every: list[int], real: tuple[int, ...]) -> int:
        for child in every:
            item = self.defs[child]
            if isinstance(item, StateDef) and item.is_initial:
                return child
        return real[0] if real else -1

    def rows(self, guards: Mapping[str, Evaluator]) -> None:
        names = _guard_closure(self.definition.guards)
        for row in self.definition.transitions:
            source = ROOT if row.source == ANY_STATE else self._find(row.source, row)
            target = None if row.target is None else self._find(row.target, row)
            used: set[str] = set()
            for name in _refs(row.guard):
                used |= names.get(name, {name})
            self.arcs.append(
                Arc(
                    index=len(self.arcs),
                    source=source,
                    event=row.event or EVENTLESS,
                    target=target,
                    guard=None if row.guard is None else compile_value(row.guard, guards),
                    guard_text="" if row.guard is None else guard_text(row.guard),
                    guard_names=frozenset(used),
                    expression=row.guard,
                    action=row.action,
                    internal=row.internal,
                )
            )

    def outcomes(self) -> None:
        """The transitions that follow from timeout, on_done and on_error."""
        for index, item in enumerate(self.defs):
            if not isinstance(item, StateDef):
                continue
            if item.timeout is not None:
                target = self._find(item.timeout.target, item)
                self._follow(Arc(0, index, timeout_name(item.path), target))
            if item.on_done is not None:
                custom = item.parallel is not None and item.parallel.sync == "custom"
                arc = self._outcome(index, done_name(item.path), item.on_done, item)
                self._follow(replace(arc, sync=item.path if custom else None))
            if item.on_error is not None:
                self._follow(self._outcome(index, error_name(item.path), item.on_error, item))

    def _outcome(self, index: int, event: str, outcome: OutcomeRef, item: StateDef) -> Arc:
        if outcome.kind == "event":
            return Arc(0, index, event, raises=outcome.name)
        return Arc(0, index, event, self._find(outcome.name, item))

    def _follow(self, arc: Arc) -> None:
        self.arcs.append(replace(arc, index=len(self.arcs)))

    def _find(self, path: str, where: Transition | StateDef) -> int:
        try:
            return self.by_path[path]
        except KeyError:
            shown = where.path if isinstance(where, StateDef) else where.source
            raise PlanError(
                f"machine {self.definition.name!r}: {path!r} (used by {shown!r}) is not a state",
                hint="orca machine check names the place",
            ) from None

    def finish(self) -> None:
        """Domains, and the transitions and error handlers of each state."""
        nodes = self.nodes
        self.arcs = [replace(arc, domain=_domain(nodes, arc)) for arc in self.arcs]
        table: dict[int, dict[str, list[Arc]]] = {}
        for arc in self.arcs:
            table.setdefault(arc.source, {}).setdefault(arc.event, []).append(arc)
        for index, node in enumerate(nodes):
            item = self.defs[index]
            declares = isinstance(item, StateDef) and item.on_error is not None
            handler = index if declares else (nodes[node.parent].handler if index else -1)
            arcs = {event: tuple(found) for event, found in table.get(index, {}).items()}
            nodes[index] = replace(node, handler=handler, arcs=arcs)


def _node(item: StateDef | RegionDef, index: int, parent: int, depth: int) -> Node:
    if isinstance(item, RegionDef):
        return Node(
            index,
            item.path,
            item.name,
            Kind.COMPOUND,
            is_region=True,
            parent=parent,
            depth=depth,
            on_entry=item.on_entry,
            on_exit=item.on_exit,
        )
    if item.history is not None:
        kind = Kind.HISTORY
    elif item.parallel is not None:
        kind = Kind.PARALLEL
    elif item.states:
        kind = Kind.COMPOUND
    else:
        kind = Kind.FINAL if item.is_final else Kind.ATOMIC
    return Node(
        index=index,
        path=item.path,
        name=item.name,
        kind=kind,
        parent=parent,
        depth=depth,
        deep=item.history == "deep",
        sync=item.parallel.sync if item.parallel is not None else "all-final",
        on_entry=item.on_entry,
        on_exit=item.on_exit,
        timeout_ms=item.timeout.delay_ms if item.timeout is not None else None,
        invoke=item.invoke,
        ignore=frozenset(item.ignore),
        has_done=item.on_done is not None,
    )


def _domain(nodes: list[Node], arc: Arc) -> int:
    """SCXML getTransitionDomain: the least common compound ancestor of source and target.

    Source: https://www.w3.org/TR/scxml/#AlgorithmforSCXMLInterpretation, getTransitionDomain, findLCCA.
    """
    if arc.target is None:
        return -1
    source = arc.source
    if arc.internal and nodes[source].kind is Kind.COMPOUND and source < arc.target <= nodes[source].last:
        return source
    ancestor = nodes[source].parent
    while ancestor > ROOT:
        node = nodes[ancestor]
        if node.kind is Kind.COMPOUND and ancestor < arc.target <= node.last:
            return ancestor
        ancestor = node.parent
    return ROOT


def _refs(expression: GuardExpression | None) -> list[str]:
    return [] if expression is None else [n.name for n in walk(expression) if isinstance(n, GuardRef)]


def _guard_closure(guards: Mapping[str, GuardExpression]) -> dict[str, set[str]]:
    """For each declared guard the names it depends on, itself included; circles were refused before."""
    closed: dict[str, set[str]] = {}
    for first in guards:
        pending, seen = [first], {first}
        while pending:
            for name in _refs(guards[pending.pop()]):
                if name not in seen:
                    seen.add(name)
                    pending.append(name)
        closed[first] = seen
    return closed


def compile_plan(
    definition: MachineDef,
    *,
    microsteps_max: int = MICROSTEPS_MAX,
    done_data: Mapping[str, Callable[[Mapping[str, object]], Mapping[str, object]]] | None = None,
) -> Plan:
    """Compile a definition.

    Args:
        definition: A definition that was loaded without errors.
        microsteps_max: How many microsteps a macrostep may take, at least 1.
        done_data: For final states, by path: what makes the payload of their done event from the context.

    Raises:
        PlanError: The definition has no state, two of one path, or a reference to a state that is not there.
        GuardError: A guard cannot be compiled.
    """
    builder = _Builder(definition)
    builder.tree()
    guards = compile_guards(definition.guards)
    builder.rows(guards)
    builder.outcomes()
    builder.finish()
    return Plan(
        definition=definition,
        nodes=tuple(builder.nodes),
        by_path=builder.by_path,
        arcs=tuple(builder.arcs),
        effects={a.name: a.effect_type for a in definition.actions if a.effect_type is not None},
        done_data={builder.by_path[path]: make for path, make in (done_data or {}).items()},
        microsteps_max=microsteps_max,
    )
