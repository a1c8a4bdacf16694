"""The graph of machines without guards, as tuples of integers: hundreds of thousands of configurations a second.

A configuration is the sorted tuple of its active leaves. Below the domain of a transition the active leaves are a
slice of that tuple, and what the transition enters does not depend on anything else, so a step is three slices
joined. What a transition enters comes from the engine itself, once for each transition.

Machines with guards, history, eventless transitions, outcomes of states or error handlers are not `eligible`;
`orca.statemachine.verify.explore` explores those.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

from orca.statemachine.engine import EVENTLESS, Kind, compiled
from orca.statemachine.verify.explore import BUDGET, Choice, Edge, bits
from orca.statemachine.verify.product import Product, product_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orca.statemachine.engine import Arc, Plan
    from orca.statemachine.verify.domains import Variable

__all__ = ["FastGraph", "eligible"]


def eligible(plan: Plan) -> bool:
    """Whether every macrostep of the machine is one microstep that depends on nothing but configuration and event."""
    for node in plan.nodes:
        waits = node.has_done and node.invoke is None
        if node.histories or node.handler >= 0 or waits or EVENTLESS in node.arcs:
            return False
    return all(arc.guard is None and arc.sync is None and arc.raises is None for arc in plan.arcs)


class _Order(Protocol):
    """Configurations in the order of their discovery."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> tuple[int, ...]: ...
    def __iter__(self) -> Iterator[tuple[int, ...]]: ...


class _Decoded:
    """Configurations kept as codes."""

    def __init__(self, product: Product, codes: list[int]) -> None:
        self.product = product
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, at: int) -> tuple[int, ...]:
        return self.product.leaves(self.codes[at])

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return map(self.product.leaves, self.codes)


class FastGraph:
    """The explored graph of an eligible machine.

    Args:
        plan: The plan.

    Attributes:
        order: The configurations, as leaves, by distance from the start.
        parents: For each the configuration it was found from.
        found_by: For each the event that led to it.
        stuck: Configurations that nothing leads out of and that are not final.
        seen: All states that were active, as bits.
        complete: Whether nothing was left out.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.engine = compiled(plan)
        nodes = plan.nodes
        self.leaf_kinds = {n.index for n in nodes if n.kind in {Kind.ATOMIC, Kind.FINAL}}
        self.ends = frozenset(n.index for n in nodes if n.kind is Kind.FINAL and n.parent == 0)
        self.leaf_arcs = {leaf: self._arcs(leaf) for leaf in self.leaf_kinds}
        self.above = {leaf: bits((leaf, *plan.ancestors(leaf))) for leaf in self.leaf_kinds}
        self.entries: dict[int, tuple[int, ...]] = {}
        self.shared = self._shared_events()
        self.moves = {leaf: self._moves(leaf, shared=False) for leaf in self.leaf_kinds}
        self.joint = {leaf: self._moves(leaf, shared=True) for leaf in self.leaf_kinds}
        start = self.engine.initial()
        self.start = self._leaves(start.target.states)
        self.order: _Order = [self.start]
        self._numbers: dict[tuple[int, ...], int] | None = None
        self.parents: list[int] = [-1]
        self.found_by: list[str] = [""]
        self.stuck: list[int] = []
        self.seen = 0
        self.complete = True
        self.expanded = 0
        self.livelocks: Sequence[tuple[int, Edge]] = ()

    def _leaves(self, states: Sequence[int]) -> tuple[int, ...]:
        return tuple(state for state in states if state in self.leaf_kinds)

    def _arcs(self, leaf: int) -> Mapping[str, Arc]:
        """For each event the transition that an active leaf takes: its own, else its nearest ancestor's."""
        found: dict[str, Arc] = {}
        at = leaf
        while at >= 0:
            for event, arcs in self.plan.nodes[at].arcs.items():
                if not event.startswith("@error."):
                    found.setdefault(event, arcs[0])
            at = self.plan.nodes[at].parent
        return found

    def _shared_events(self) -> frozenset[str]:
        """Events that two leaves which are active together may take: their transitions are taken together."""
        takers: dict[str, list[int]] = {}
        for leaf in sorted(self.leaf_arcs):
            for event in self.leaf_arcs[leaf]:
                takers.setdefault(event, []).append(leaf)
        return frozenset(
            event
            for event, leaves in takers.items()
            if any(self._together(one, other) for one, other in itertools.pairwise(leaves))
        )

    def _together(self, one: int, other: int) -> bool:
        """Whether two leaves can be active together: their innermost common ancestor is a parallel state.

        Of leaves in document order, two neighbours have the ancestor that the outermost two have.
        """
        around = set(self.plan.ancestors(one))
        common = next((state for state in self.plan.ancestors(other) if state in around), 0)
        return self.plan.nodes[common].kind is Kind.PARALLEL

    def _moves(self, leaf: int, *, shared: bool) -> tuple[tuple[str, Arc, bool], ...]:
        """The transitions of a leaf for events of one kind; and whether they leave no other leaf."""
        found: list[tuple[str, Arc, bool]] = []
        for event, arc in sorted(self.leaf_arcs[leaf].items()):
            if (event in self.shared) is not shared:
                continue
            between = [state for state in self.plan.ancestors(leaf) if state > arc.domain >= 0]
            alone = all(self.plan.nodes[state].kind is not Kind.PARALLEL for state in between)
            found.append((event, arc, alone))
        return tuple(found)

    def _entry(self, arc: Arc, leaves: tuple[int, ...]) -> tuple[int, ...]:
        """The leaves that a transition enters: what the engine enters, seen once."""
        found = self.entries.get(arc.index)
        if found is None:
            config = self.engine.config(self._states(leaves))
            last = self.plan.nodes[arc.domain].last
            after = self._leaves(self.engine.micro(config, (arc,)).target.states)
            found = self.entries[arc.index] = tuple(leaf for leaf in after if arc.domain < leaf <= last)
        return found

    def _states(self, leaves: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted({state for leaf in leaves for state in (leaf, *self.plan.ancestors(leaf))}))

    def successors(self, leaves: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
        """Every event that is taken in a configuration, with the configuration it leads to."""
        if len(leaves) == 1 and leaves[0] in self.ends:
            return []
        found: list[tuple[str, tuple[int, ...]]] = []
        for place, leaf in enumerate(leaves):
            for event, arc, alone in self.moves[leaf]:
                if arc.target is None:
                    found.append((event, leaves))
                elif alone:
                    entry = self.entries.get(arc.index) or self._entry(arc, leaves)
                    found.append((event, leaves[:place] + entry + leaves[place + 1 :]))
                else:
                    found.append((event, self._apply(leaves, arc)))
        if self.shared:
            found += self._together_steps(leaves)
        return found

    def _apply(self, leaves: tuple[int, ...], arc: Arc) -> tuple[int, ...]:
        low = bisect_right(leaves, arc.domain)
        high = bisect_right(leaves, self.plan.nodes[arc.domain].last)
        return leaves[:low] + self._entry(arc, leaves) + leaves[high:]

    def _together_steps(self, leaves: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
        """Events that several leaves take: one after the other when they do not meet, else by the engine."""
        taken: dict[str, dict[Arc, None]] = {}
        for leaf in leaves:
            for event, arc in self.leaf_arcs[leaf].items():
                if event in self.shared:
                    taken.setdefault(event, {})[arc] = None
        found: list[tuple[str, tuple[int, ...]]] = []
        for event, arcs in taken.items():
            moving = sorted((arc for arc in arcs if arc.target is not None), key=lambda arc: arc.domain)
            last = -1
            after = leaves
            for arc in moving:
                if arc.domain <= last:
                    config = self.engine.config(self._states(leaves))
                    after = self._leaves(self.engine.micro(config, tuple(arcs)).target.states)
                    break
                after = self._apply(after, arc)
                last = self.plan.nodes[arc.domain].last
            found.append((event, after))
        return found

    def explore(self, budget: int = BUDGET) -> FastGraph:
        """Everything from the start, breadth first, until the budget is used up."""
        product = None if len(self.start) < 2 else self._product()
        if product is None:
            self._explore(budget)
        else:
            codes, self.parents, self.found_by, self.stuck, self.complete = product.explore(budget)
            self.order = _Decoded(product, codes)
            seen = {leaf for leaves in product.digits for leaf in leaves}
            if not self.complete:
                seen = {leaf for leaves in self.order for leaf in leaves}
            for leaf in seen:
                self.seen |= self.above[leaf]
            self.expanded = len(self.order) if self.complete else max(1, self.parents[-1])
        return self

    def _product(self) -> Product | None:
        return product_of(self.start, self.moves, self.joint, self._entry)

    def _explore(self, budget: int) -> None:
        numbers = {self.start}
        order, parents, found_by = [self.start], self.parents, self.found_by
        above, ends, successors = self.above, self.ends, self.successors
        seen = 0
        for at, leaves in enumerate(order):  # grows while it is walked
            for leaf in leaves:
                seen |= above[leaf]
            following = successors(leaves)
            if not following and leaves[0] not in ends:
                self.stuck.append(at)
            for event, target in following:
                if target not in numbers:
                    numbers.add(target)
                    order.append(target)
                    parents.append(at)
                    found_by.append(event)
            if len(order) > budget:
                self.complete = False
                break
            self.expanded = at + 1
        self.seen = seen
        self.order = order

    # ---- what the checks need

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return len(self.order)

    @property
    def starts(self) -> Sequence[Edge]:
        """The edge that leads into the graph."""
        micro = self.engine.initial()
        choices = tuple(Choice("run", op.action, True) for op in micro.runs)
        return (Edge("", 0, choices, bits(micro.entries)),)

    def edges(self, at: int) -> Sequence[Edge]:
        """The edges that leave a configuration, with the actions that run."""
        if self._numbers is None:
            self._numbers = {leaves: number for number, leaves in enumerate(self.order)}
        found: list[Edge] = []
        config = self.engine.config(self.states(at))
        for event, target in self.successors(self.order[at]):
            number = self._numbers.get(target)
            sure = self.engine.row(config, event).sure
            if number is None or sure is None:
                continue  # beyond the budget
            micro = self.engine.micro(config, sure)
            choices = tuple(Choice("run", op.action, True) for op in micro.runs)
            found.append(Edge(event, number, choices, bits(micro.entries)))
        return found

    def targets(self, at: int) -> Iterable[int]:
        """The configurations that the edges lead to."""
        if self._numbers is None:
            self._numbers = {leaves: number for number, leaves in enumerate(self.order)}
        numbers = self._numbers
        return [numbers[target] for _, target in self.successors(self.order[at]) if target in numbers]

    def way_to(self, at: int) -> list[Edge]:
        """A shortest way from the start; its first edge is the start."""
        way: list[Edge] = []
        while self.parents[at] >= 0:
            parent, event = self.parents[at], self.found_by[at]
            way.append(next(e for e in self.edges(parent) if e.event == event and e.target == at))
            at = parent
        return [*self.starts, *reversed(way)]

    def dead_ends(self) -> Iterable[int]:
        """Configurations that nothing leads out of and that are not final."""
        return self.stuck

    def touched(self) -> int:
        """All states that were active: without eventless transitions none is only passed."""
        return self.seen

    def active(self, at: int) -> int:
        """The active states as bits."""
        found = 0
        for leaf in self.order[at]:
            found |= self.above[leaf]
        return found

    def is_done(self, at: int) -> bool:
        """Whether the machine is done."""
        return self.order[at][0] in self.ends

    def known(self, at: int) -> Mapping[Variable, object]:
        """Nothing is known of the context where no guard reads it."""
        del at
        return {}

    def states(self, at: int) -> tuple[int, ...]:
        """The active states."""
        return self._states(self.order[at])
