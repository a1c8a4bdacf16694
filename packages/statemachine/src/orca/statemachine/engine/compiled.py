"""The fast engine: configurations are interned, and what a set of transitions does in one is computed once.

    Plan ── Compiled ── Config (one per configuration that was seen)
                          ├── rows:   event -> Row (candidate transitions of each leaf)
                          └── micros: enabled transitions -> Micro (the flat plan of exits, actions, entries)

A `Row` whose first candidates have no guard names its `Micro` at once, so an event costs one dictionary lookup
however many states there are. Everything here follows `orca.statemachine.engine.reference`, and a test holds
the two together over generated machines.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from orca.statemachine.engine.plan import EVENTLESS, ROOT, Kind
from orca.statemachine.engine.types import (
    CancelTimer,
    Enter,
    Exit,
    Finish,
    Raise,
    Run,
    Signal,
    StartChild,
    StartTimer,
    StopChild,
    done_name,
)
from orca.statemachine.engine.work import UndoMicrostep, holds, run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from orca.statemachine.engine.plan import Arc, Node, Plan
    from orca.statemachine.engine.types import Command, Phase, Reply, Request
    from orca.statemachine.engine.work import Steps, Work

__all__ = ["CONFIGS_MAX", "Compiled", "Config", "Micro", "Row", "compiled"]

CONFIGS_MAX: Final = 131_072
"""How many configurations are interned before the table starts again: machines with many regions have more
configurations than memory; dropping the table costs time, never correctness."""
_PLANS_MAX: Final = 4_096
"""How many compiled plans are remembered for `compiled`; the oldest goes first."""

History = tuple[tuple[int, tuple[int, ...]], ...]


class Micro:
    """What one microstep does: a flat list of operations and where they lead.

    Attributes:
        arcs: The transitions, conflicts removed.
        ops: Commands in SCXML order; `Run` and `Raise` among them are carried out one by one.
        target: The configuration afterwards.
        exits: The states left.
        entries: The states entered, in order.
        history: What history states record.
        final: The top-level final state that was entered, or -1.
        runs: The actions among the operations.
        plain: Only actions and moves: no timers, children, history, done events, end of the machine, and the
            target has no eventless transitions. Then the microstep is the whole macrostep.
        handled: Whether a failing action would be handled by ``on_error``.
        cached: A place for the shell to keep what it derives.
    """

    __slots__ = (
        "arcs",
        "cached",
        "entries",
        "exits",
        "final",
        "handled",
        "history",
        "ops",
        "plain",
        "runs",
        "target",
    )

    def __init__(
        self, arcs: tuple[Arc, ...], ops: tuple[Command | Signal, ...], target: Config, exits: tuple[int, ...]
    ) -> None:
        self.arcs = arcs
        self.ops = ops
        self.target = target
        self.exits = exits
        self.entries: tuple[int, ...] = ()
        self.history: Mapping[int, tuple[int, ...]] = {}
        self.final = -1
        self.runs = tuple(op for op in ops if isinstance(op, Run))
        self.handled = any(request.handler >= 0 for request in self.runs)
        self.plain = False
        self.cached: object = None


class Row:
    """The candidates for one event in one configuration.

    Attributes:
        lists: For each leaf that has any, in document order: its candidates, innermost state first.
        sure: The enabled transitions when no guard has a say, else None.
        plain: The microstep of ``sure`` when it is `Micro.plain`, else None.
        chain: With a single list whose transitions all lead to plain microsteps: pairs of guard and microstep.
        ignored: Whether an active state drops the event.
    """

    __slots__ = ("chain", "ignored", "lists", "plain", "sure")

    def __init__(self, lists: tuple[tuple[Arc, ...], ...], *, ignored: bool) -> None:
        self.lists = lists
        self.ignored = ignored
        self.sure: tuple[Arc, ...] | None = None
        self.plain: Micro | None = None
        self.chain: tuple[tuple[Arc, Micro], ...] | None = None


class Config:
    """A configuration: sorted active states, with everything that follows from them.

    Attributes:
        states: The active states in document order.
        leaves: Those without active children.
        rows: Candidates by event, filled on demand for events that some state reacts to or drops.
        micros: Microsteps by enabled transitions (and history, where it matters).
        stable: Whether no state has an eventless transition.
        quick: For the shell: rows that need nothing special, by event.
        moves: For the shell: what needs neither guard nor action, by event: target and result. Pairs in one
            dictionary touch little memory, which is what an event costs in a machine of thousands of states.
        cached: A place for the shell to keep what it derives.
        described: For the shell: the fixed part of a snapshot.
        texts: For the shell: the same and the fixed parts of journal entries as JSON, by what they are for.
    """

    __slots__ = (
        "cached",
        "described",
        "leaves",
        "micros",
        "moves",
        "quick",
        "rows",
        "stable",
        "states",
        "texts",
    )

    def __init__(self, states: tuple[int, ...], leaves: tuple[int, ...], *, stable: bool) -> None:
        self.states = states
        self.leaves = leaves
        self.stable = stable
        self.rows: dict[str, Row] = {}
        self.micros: dict[tuple[tuple[int, ...], History], Micro] = {}
        self.quick: dict[str, Row] = {}
        self.moves: dict[str, tuple[Config, object]] = {}
        self.cached: object = None
        self.described: dict[str, object] | None = None
        self.texts: dict[tuple[str, Config | None], str] = {}


class Compiled:
    """The compiled engine of one plan, shared by all its machines.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes = plan.nodes
        self.configs: dict[tuple[int, ...], Config] = {}
        known = {event for node in plan.nodes for event in node.arcs if node.kind is not Kind.HISTORY}
        self.known = known | {event for node in plan.nodes for event in node.ignore}
        self._eventless = frozenset(
            n.index for n in plan.nodes if EVENTLESS in n.arcs and n.kind is not Kind.HISTORY
        )
        self._has_history = any(node.histories for node in plan.nodes)
        self._history_targets: dict[tuple[int, int], bool] = {}
        self._requests: dict[tuple[str, Phase, int], Run] = {}
        self._initial: Micro | None = None
        self.cached: dict[str, str] = {}
        """A place for the shell to keep what it derives from the definition."""

    # ---- configurations and rows

    def config(self, states: tuple[int, ...]) -> Config:
        """The interned configuration."""
        found = self.configs.get(states)
        if found is None:
            nodes = self.nodes
            leaves = tuple(s for s in states if nodes[s].kind in {Kind.ATOMIC, Kind.FINAL})
            if len(self.configs) >= CONFIGS_MAX:
                self.configs.clear()
            stable = ROOT not in self._eventless and self._eventless.isdisjoint(states)
            found = self.configs[states] = Config(states, leaves, stable=stable)
        return found

    def row(self, config: Config, event: str) -> Row:
        """The candidates for an event; `EVENTLESS` for eventless transitions."""
        found = config.rows.get(event)
        if found is None:
            found = self._make_row(config, event)
            if event in self.known:
                # Names that no state knows are not kept: anybody could fill memory with them.
                config.rows[event] = found
        return found

    def _make_row(self, config: Config, event: str) -> Row:
        lists: list[tuple[Arc, ...]] = []
        if event in self.known:
            for leaf in config.leaves:
                arcs: list[Arc] = []
                state = leaf
                while state >= ROOT:
                    arcs.extend(self.nodes[state].arcs.get(event, ()))
                    state = self.nodes[state].parent
                if arcs:
                    lists.append(tuple(arcs))
        row = Row(tuple(lists), ignored=self._drops(config, event))
        if lists and all(arcs[0].guard is None and arcs[0].sync is None for arcs in lists):
            row.sure = tuple(dict.fromkeys(arcs[0] for arcs in lists))
            if not self._needs_history(row.sure):
                micro = self.micro(config, row.sure)
                row.plain = micro if micro.plain else None
        elif len(lists) == 1:
            row.chain = self._chain(config, lists[0])
        return row

    def _drops(self, config: Config, event: str) -> bool:
        nodes = self.nodes
        return any(event in nodes[s].ignore or "*" in nodes[s].ignore for s in config.states)

    def _chain(self, config: Config, arcs: tuple[Arc, ...]) -> tuple[tuple[Arc, Micro], ...] | None:
        chain: list[tuple[Arc, Micro]] = []
        for arc in arcs:
            if arc.sync is not None or self._needs_history((arc,)):
                return None
            micro = self.micro(config, (arc,))
            if not micro.plain:
                return None
            chain.append((arc, micro))
        return tuple(chain)

    # ---- microsteps

    def _needs_history(self, arcs: Iterable[Arc]) -> bool:
        """Whether what the transitions enter may depend on what history states remember."""
        return self._has_history and any(
            arc.target is not None and self._reaches_history(arc.target, arc.domain) for arc in arcs
        )

    def _reaches_history(self, target: int, domain: int) -> bool:
        """Whether a history state may be met between the domain and the target, beside it or below it."""
        found = self._history_targets.get((target, domain))
        if found is None:
            inside = range(domain + 1, self.nodes[domain].last + 1)
            initials = {self.nodes[self.nodes[s].parent].initial for s in inside}
            met = {s for s in inside if self.nodes[s].kind is Kind.HISTORY}
            found = self._history_targets[target, domain] = target in met or bool(met & initials)
        return found

    def micro(self, config: Config, enabled: tuple[Arc, ...], history: History = ()) -> Micro:
        """What a set of enabled transitions (in selection order) does in a configuration.

        Args:
            config: Where.
            enabled: The first enabled transition of each leaf, without doubles; conflicts are removed here.
            history: What history states remember; matters only where one of the targets depends on it.
        """
        key = (tuple(arc.index for arc in enabled), history if self._needs_history(enabled) else ())
        found = config.micros.get(key)
        if found is None:
            found = config.micros[key] = self._make_micro(config, enabled, dict(key[1]))
        return found

    def initial(self) -> Micro:
        """The microstep that enters the machine."""
        if self._initial is None:
            empty = self.config(())
            content: dict[int, str] = {}
            entries = self._entry(self.nodes[ROOT].initial, ROOT, {}, content)
            self._initial = self._assemble(empty, (), (), entries, content)
        return self._initial

    def _make_micro(
        self, config: Config, enabled: tuple[Arc, ...], history: Mapping[int, tuple[int, ...]]
    ) -> Micro:
        slices = [self._slice(config.states, arc.domain) for arc in enabled]
        chosen: list[int] = []
        for i, arc in enumerate(enabled):
            # Exit sets are slices of one sorted tuple: they intersect when the slices overlap.
            rivals = [
                j for j in chosen if slices[i][0] < slices[j][1] and slices[j][0] < slices[i][1]
            ]  # fmt: skip
            outer = [j for j in rivals if self.plan.is_below(arc.source, enabled[j].source)]
            if len(outer) == len(rivals):
                chosen = [j for j in chosen if j not in outer] + [i]
        arcs = tuple(enabled[i] for i in chosen)
        exits = sorted({s for i in chosen for s in config.states[slices[i][0] : slices[i][1]]}, reverse=True)
        content: dict[int, str] = {}
        entries: list[int] = []
        # What is recorded on the way out counts on the way in.
        recorded = {**history, **self._record(config, exits)}
        for i in chosen:
            target = enabled[i].target
            if target is not None:
                entries.extend(self._entry(target, enabled[i].domain, recorded, content))
        return self._assemble(config, arcs, tuple(exits), tuple(sorted(entries)), content)

    def _slice(self, states: tuple[int, ...], domain: int) -> tuple[int, int]:
        """The part of a configuration below a domain; empty and never overlapping without one."""
        if domain < 0:
            return (0, 0)
        return bisect_right(states, domain), bisect_right(states, self.nodes[domain].last)

    def _default(self, history: int) -> tuple[int, str | None]:
        node = self.nodes[history]
        for arc in node.arcs.get(EVENTLESS, ()):
            if arc.target is not None:
                return arc.target, arc.action
        parent = self.nodes[node.parent]
        plain = self.nodes[parent.initial].kind is not Kind.HISTORY
        return (parent.initial if plain else parent.children[0]), None

    def _entry(
        self, target: int, domain: int, history: Mapping[int, tuple[int, ...]], content: dict[int, str]
    ) -> tuple[int, ...]:
        """The states entered for one target: the way down to it, its defaults, and the regions beside the way.

        Everything is found in document order: what a state adds always comes after it.
        """
        nodes = self.nodes
        entered: set[int] = set()
        heap: list[int] = []

        def add(state: int, upto: int) -> None:
            for base in self._bases(state, history, content):
                while base != upto and base not in entered:
                    entered.add(base)
                    heappush(heap, base)
                    base = nodes[base].parent  # noqa: PLW2901 - climbing is the point

        add(target, domain)
        while heap:
            node = nodes[heappop(heap)]
            if node.kind is Kind.PARALLEL:
                for child in node.children:
                    add(child, node.index)
            elif node.kind is Kind.COMPOUND and entered.isdisjoint(node.children):
                add(node.initial, node.index)
        return tuple(sorted(entered))

    def _bases(
        self, state: int, history: Mapping[int, tuple[int, ...]], content: dict[int, str]
    ) -> tuple[int, ...]:
        """What a target stands for: itself, or what its history state remembers or defaults to."""
        node = self.nodes[state]
        while node.kind is Kind.HISTORY:
            remembered = history.get(node.index)
            if remembered:
                return remembered
            default, action = self._default(node.index)
            if action is not None:
                content[node.parent] = action
            node = self.nodes[default]
        return (node.index,)

    def _assemble(
        self,
        config: Config,
        arcs: tuple[Arc, ...],
        exits: tuple[int, ...],
        entries: tuple[int, ...],
        content: Mapping[int, str],
    ) -> Micro:
        ops: list[Command | Signal] = []
        for state in exits:
            self._leave(self.nodes[state], ops)
        for arc in arcs:
            if arc.action is not None:
                ops.append(self.request(arc.action, "transition", self.nodes[arc.source]))
            if arc.raises is not None:
                ops.append(Raise(arc.raises))
        active = set(config.states).difference(exits)
        final = -1
        for state in entries:
            node = self.nodes[state]
            active.add(state)
            ops.append(Enter(state, node.path))
            if node.on_entry is not None:
                ops.append(self.request(node.on_entry, "entry", node))
            if state in content:
                ops.append(self.request(content[state], "entry", node))
            if node.kind is Kind.FINAL:
                if node.parent == ROOT:
                    final = state
                else:
                    ops.extend(self._done(node, active))
        micro = Micro(arcs, tuple(ops), self.config(tuple(sorted(active))), exits)
        micro.entries = entries
        micro.final = final
        micro.history = self._record(config, exits)
        timed = any(
            self.nodes[s].timeout_ms is not None or self.nodes[s].invoke is not None
            for s in (*exits, *entries)
        )
        raising = any(isinstance(op, Raise | Signal) for op in ops)
        micro.plain = micro.target.stable and final < 0 and not (timed or raising or micro.history)
        return micro

    def _leave(self, node: Node, ops: list[Command | Signal]) -> None:
        if node.on_exit is not None:
            ops.append(self.request(node.on_exit, "exit", node))
        if node.invoke is not None:
            ops.append(StopChild(node.index, node.path))
        if node.timeout_ms is not None:
            ops.append(CancelTimer(node.index, node.path))
        ops.append(Exit(node.index, node.path))

    def request(self, action: str, phase: Phase, node: Node, *, handled: bool = True) -> Run:
        """The request to run an action; one object for each place that it stands at."""
        key = (action, phase, node.index)
        found = self._requests.get(key)
        if found is None or not handled:
            effect = self.plan.effects.get(action)
            found = Run(action, phase, node.index, node.path, effect, node.handler if handled else -1)
            if handled:
                self._requests[key] = found
        return found

    def _done(self, final: Node, active: set[int]) -> list[Signal]:
        """The done events that entering a final state raises; the payload waits for the context."""
        parent = self.nodes[final.parent]
        raised: list[Signal] = []
        if parent.has_done:
            raised.append(Signal(done_name(parent.path), {"state": parent.path, "final_state": final.path}))
        grandparent = self.nodes[parent.parent]
        if parent.is_region and grandparent.has_done:
            finished = sum(self._is_done(child, active) for child in grandparent.children)
            wanted = len(grandparent.children) if grandparent.sync == "all-final" else 1
            if finished == wanted or grandparent.sync == "custom":
                raised.append(
                    Signal(
                        done_name(grandparent.path), {"state": grandparent.path, "final_state": final.path}
                    )
                )
        return raised

    def _is_done(self, state: int, active: set[int]) -> bool:
        """A region is done when one of its final children is active."""
        return any(
            child in active and self.nodes[child].kind is Kind.FINAL for child in self.nodes[state].children
        )

    def _record(self, config: Config, exits: Iterable[int]) -> Mapping[int, tuple[int, ...]]:
        recorded: dict[int, tuple[int, ...]] = {}
        for state in exits:
            last = self.nodes[state].last
            for history in self.nodes[state].histories:
                inside = config.states[bisect_right(config.states, state) : bisect_right(config.states, last)]
                if self.nodes[history].deep:
                    recorded[history] = tuple(s for s in inside if not self.nodes[s].children)
                else:
                    recorded[history] = tuple(s for s in inside if self.nodes[s].parent == state)
        return recorded

    # ---- macrosteps

    def start(self, work: Work) -> Steps:
        """Enter the initial configuration and run to stability."""
        work.verdict = "taken"
        config = yield from self._carry_out(work, self.config(()), self.initial())
        yield from self._macrostep(work, config)

    def react(self, work: Work, configuration: tuple[int, ...]) -> Steps:
        """Handle ``work.signal`` in a configuration and run to stability."""
        config = self.config(configuration)
        row = self.row(config, work.signal.name)
        enabled = yield from self._select(work, row)
        if not enabled:
            work.trail.append(configuration)
            if row.ignored:
                work.verdict = "ignored"
            elif work.failed_guard[0]:
                work.verdict = "guard"
            return
        work.verdict = "taken"
        config = yield from self._carry_out(work, config, self._micro_of(work, config, enabled))
        yield from self._macrostep(work, config)

    def resume(self, work: Work, configuration: tuple[int, ...]) -> Steps:
        """Run to stability from a configuration that was just entered, with what waits in ``work``."""
        work.verdict = "taken"
        work.trail.append(configuration)
        yield from self._macrostep(work, self.config(configuration))

    def result(self, work: Work) -> tuple[int, ...]:
        """The configuration that the macrostep ended in."""
        return work.trail[-1]

    def _micro_of(self, work: Work, config: Config, enabled: tuple[Arc, ...]) -> Micro:
        return self.micro(config, enabled, tuple(sorted(work.history.items())) if work.history else ())

    def _select(self, work: Work, row: Row) -> Generator[Request, Reply | bool, tuple[Arc, ...]]:
        if row.sure is not None:
            return row.sure
        enabled: dict[Arc, None] = {}
        for arcs in row.lists:
            for arc in arcs:
                if (yield from holds(work, arc)):
                    enabled[arc] = None
                    break
        return tuple(enabled)

    def _macrostep(self, work: Work, config: Config) -> Steps:
        while work.running:
            handling: frozenset[int] = frozenset()
            if work.failures:
                work.signal = work.failures.popleft()
                enabled = yield from self._select(work, self.row(config, work.signal.name))
                handling = work.tried.union(arc.source for arc in enabled)
            else:
                enabled = ()
                if not config.stable:
                    enabled = yield from self._select(work, self.row(config, EVENTLESS))
                if not enabled:
                    if not work.queue:
                        break
                    work.signal = work.queue.popleft()
                    enabled = yield from self._select(work, self.row(config, work.signal.name))
            if enabled:
                work.handling = handling
                config = yield from self._carry_out(work, config, self._micro_of(work, config, enabled))
        yield from self._settle(work, config)

    def _settle(self, work: Work, config: Config) -> Steps:
        """After the last microstep: the end of the machine, or timers and children of what was entered."""
        if not work.running:
            for state in reversed(config.states):
                node = self.nodes[state]
                if node.on_exit is not None:
                    yield from run(work, self.request(node.on_exit, "exit", node, handled=False))
            top = self.nodes[config.states[0]]
            work.commands.append(Finish(top.index, top.path))
            return
        for state in sorted(work.entered):
            node = self.nodes[state]
            if node.timeout_ms is not None:
                work.commands.append(StartTimer(state, node.path, node.timeout_ms))
            if node.invoke is not None:
                work.commands.append(StartChild(state, node.path))

    def _carry_out(
        self, work: Work, config: Config, micro: Micro
    ) -> Generator[Request, Reply | bool, Config]:
        """One microstep; when it is undone the machine stays where it was."""
        saved = work.save() if micro.handled else None
        work.history.update(micro.history)
        work.entered.difference_update(micro.exits)
        try:
            for op in micro.ops:
                if isinstance(op, Run):
                    yield from run(work, op)
                elif isinstance(op, Raise):
                    work.enqueue(Signal(op.name, work.signal.payload))
                elif isinstance(op, Signal):
                    work.enqueue(self._with_data(work, op))
                else:
                    work.commands.append(op)
        except UndoMicrostep as undo:
            assert saved is not None  # only a microstep with a handler is undone
            work.restore(saved)
            work.failures.append(undo.signal)
            work.count(config.states)
            return config
        work.entered.update(micro.entries)
        work.arcs.extend(arc.index for arc in micro.arcs)
        if micro.final >= 0:
            work.running = False
        work.count(micro.target.states)
        return micro.target

    def _with_data(self, work: Work, signal: Signal) -> Signal:
        make = self.plan.done_data.get(self.plan.by_path[str(signal.payload["final_state"])])
        if make is None:
            return signal
        return Signal(signal.name, {**signal.payload, **make(work.context)})


_compiled: dict[int, Compiled] = {}


def compiled(plan: Plan) -> Compiled:
    """The compiled engine of a plan, made once."""
    found = _compiled.get(id(plan))
    if found is None:
        if len(_compiled) >= _PLANS_MAX:
            del _compiled[next(iter(_compiled))]
        # The engine keeps its plan alive, so no other plan can get the same id meanwhile.
        found = _compiled[id(plan)] = Compiled(plan)
    return found
