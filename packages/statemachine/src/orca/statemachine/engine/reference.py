"""The SCXML interpretation algorithm, procedure by procedure, as the yardstick for the compiled engine.

Each method carries the name and follows the text of a procedure of the standard, so that the two can be read
side by side; speed does not matter here. What Orca adds is marked: transitions of the machine itself (``*``),
``on_error``, ``any-final`` and ``custom`` parallel states, and undoing a microstep whose action failed.

Source: State Chart XML (SCXML), W3C Recommendation 1 September 2015, Appendix D "Algorithm for SCXML
Interpretation", https://www.w3.org/TR/scxml/#AlgorithmforSCXMLInterpretation
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.engine.plan import EVENTLESS, ROOT, Kind
from orca.statemachine.engine.types import (
    CancelTimer,
    Enter,
    Exit,
    Finish,
    Run,
    Signal,
    StartChild,
    StartTimer,
    StopChild,
    done_name,
)
from orca.statemachine.engine.work import UndoMicrostep, holds, run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from orca.statemachine.engine.plan import Arc, Node, Plan
    from orca.statemachine.engine.types import Phase, Reply, Request
    from orca.statemachine.engine.work import Steps, Work

__all__ = ["Reference"]


class Reference:
    """The interpreter. One object may run any number of machines of its plan, one macrostep at a time.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes = plan.nodes
        self.configuration: set[int] = set()

    def result(self, work: Work) -> tuple[int, ...]:
        """The configuration that the macrostep ended in."""
        del work
        return tuple(sorted(self.configuration))

    # procedure interpret(doc), as far as it enters the initial configuration
    def start(self, work: Work) -> Steps:
        """Enter the initial configuration and run to stability."""
        self.configuration = set()
        work.verdict = "taken"
        yield from self._guarded(work, [], initial=True)
        yield from self._macrostep(work)

    # procedure mainEventLoop(), the part from the dequeuing of an external event on
    def react(self, work: Work, configuration: tuple[int, ...]) -> Steps:
        """Handle ``work.signal`` in a configuration and run to stability."""
        self.configuration = set(configuration)
        enabled = yield from self.select_transitions(work, work.signal.name)
        if not enabled:
            if work.is_ignored(configuration):
                work.verdict = "ignored"
            elif work.failed_guard[0]:
                work.verdict = "guard"
            return
        work.verdict = "taken"
        yield from self._guarded(work, enabled)
        yield from self._macrostep(work)

    # procedure mainEventLoop(), the inner loop and what follows it
    def _macrostep(self, work: Work) -> Steps:
        macrostep_done = False
        while work.running and not macrostep_done:
            work.handling = frozenset()
            if work.failures:  # Orca: a failure comes before eventless transitions
                work.signal = work.failures.popleft()
                enabled = yield from self.select_transitions(work, work.signal.name)
                work.handling = work.tried.union(arc.source for arc in enabled)
            else:
                enabled = yield from self.select_transitions(work, EVENTLESS)
                if not enabled:
                    if not work.queue:
                        macrostep_done = True
                    else:
                        work.signal = work.queue.popleft()
                        enabled = yield from self.select_transitions(work, work.signal.name)
            if enabled:
                yield from self._guarded(work, enabled)
        if not work.running:
            yield from self.exit_interpreter(work)
            return
        for state in sorted(work.entered):  # statesToInvoke.sort(entryOrder), and Orca's timers
            node = self.nodes[state]
            if node.timeout_ms is not None:
                work.commands.append(StartTimer(state, node.path, node.timeout_ms))
            if node.invoke is not None:
                work.commands.append(StartChild(state, node.path))

    # procedure exitInterpreter(); the configuration is kept, so that the machine shows where it ended
    def exit_interpreter(self, work: Work) -> Steps:
        """Run the exit actions of the states in which the machine ended."""
        for state in sorted(self.configuration, reverse=True):
            node = self.nodes[state]
            if node.on_exit is not None:
                yield from run(work, self._request(node.on_exit, "exit", node, handled=False))
        top = min(self.configuration)
        work.commands.append(Finish(top, self.nodes[top].path))

    # function selectTransitions(event), function selectEventlessTransitions()
    def select_transitions(self, work: Work, event: str) -> Generator[Request, Reply | bool, list[Arc]]:
        """The enabled transitions for an event, conflicts removed."""
        enabled: list[Arc] = []
        atomic = [s for s in sorted(self.configuration) if self.nodes[s].kind in {Kind.ATOMIC, Kind.FINAL}]
        for state in atomic:
            arc = yield from self._first_enabled(work, [state, *self._ancestors(state, ROOT), ROOT], event)
            if arc is not None and arc not in enabled:
                enabled.append(arc)
        return self.remove_conflicting_transitions(enabled)

    def _first_enabled(
        self, work: Work, states: list[int], event: str
    ) -> Generator[Request, Reply | bool, Arc | None]:
        for state in states:
            for arc in self.nodes[state].arcs.get(event, ()):
                if (yield from holds(work, arc)):
                    return arc
        return None

    # function removeConflictingTransitions(enabledTransitions)
    def remove_conflicting_transitions(self, enabled: list[Arc]) -> list[Arc]:
        """Of transitions with intersecting exit sets, the one with the innermost source, else the first."""
        filtered: list[Arc] = []
        for one in enabled:
            preempted = False
            to_remove: list[Arc] = []
            for two in filtered:
                if self.compute_exit_set([one]) & self.compute_exit_set([two]):
                    if self.plan.is_below(one.source, two.source):
                        to_remove.append(two)
                    else:
                        preempted = True
                        break
            if not preempted:
                filtered = [arc for arc in filtered if arc not in to_remove]
                filtered.append(one)
        return filtered

    # procedure microstep(enabledTransitions), undone when an action fails and a state handles that
    def _guarded(self, work: Work, enabled: list[Arc], *, initial: bool = False) -> Steps:
        configuration, saved = set(self.configuration), work.save()
        try:
            yield from self.microstep(work, enabled, initial=initial)
        except UndoMicrostep as undo:
            self.configuration = configuration
            work.restore(saved)
            work.running = True
            work.failures.append(undo.signal)
        else:
            work.arcs.extend(arc.index for arc in enabled)
        work.count(tuple(sorted(self.configuration)))

    def microstep(self, work: Work, enabled: list[Arc], *, initial: bool = False) -> Steps:
        """Exit states, run the transitions' content, enter states."""
        yield from self.exit_states(work, enabled)
        for arc in enabled:
            yield from self._execute_transition_content(work, arc)
        yield from self.enter_states(work, enabled, initial=initial)

    def _execute_transition_content(self, work: Work, arc: Arc) -> Steps:
        if arc.action is not None:
            yield from run(work, self._request(arc.action, "transition", self.nodes[arc.source]))
        if arc.raises is not None:
            work.enqueue(Signal(arc.raises, work.signal.payload))

    # procedure exitStates(enabledTransitions)
    def exit_states(self, work: Work, enabled: list[Arc]) -> Steps:
        """Leave the exit set, innermost first, after history was recorded."""
        states_to_exit = self.compute_exit_set(enabled)
        work.entered -= states_to_exit
        in_exit_order = sorted(states_to_exit, reverse=True)
        for state in in_exit_order:
            for history in self.nodes[state].histories:
                deep = self.nodes[history].deep
                work.history[history] = tuple(
                    s
                    for s in sorted(self.configuration)
                    if (self._is_leaf(s) and self.plan.is_below(s, state) if deep else self._child(s, state))
                )
        for state in in_exit_order:
            node = self.nodes[state]
            if node.on_exit is not None:
                yield from run(work, self._request(node.on_exit, "exit", node))
            if node.invoke is not None:
                work.commands.append(StopChild(state, node.path))
            if node.timeout_ms is not None:
                work.commands.append(CancelTimer(state, node.path))
            self.configuration.remove(state)
            work.commands.append(Exit(state, node.path))

    # function computeExitSet(transitions)
    def compute_exit_set(self, enabled: Iterable[Arc]) -> set[int]:
        """The active states below the domains of the transitions."""
        states_to_exit: set[int] = set()
        for arc in enabled:
            if arc.target is not None:
                domain = self.get_transition_domain(arc)
                states_to_exit |= {s for s in self.configuration if self.plan.is_below(s, domain)}
        return states_to_exit

    # procedure enterStates(enabledTransitions)
    def enter_states(self, work: Work, enabled: list[Arc], *, initial: bool = False) -> Steps:
        """Enter the entry set, outermost first, and raise the done events that follow."""
        states_to_enter: set[int] = set()
        default_history: dict[int, str | None] = {}
        if initial:
            self._add_descendants(work, self.nodes[ROOT].initial, states_to_enter, default_history)
            self._add_ancestors(work, self.nodes[ROOT].initial, ROOT, states_to_enter, default_history)
        self.compute_entry_set(work, enabled, states_to_enter, default_history)
        for state in sorted(states_to_enter):
            node = self.nodes[state]
            self.configuration.add(state)
            work.entered.add(state)
            work.commands.append(Enter(state, node.path))
            if node.on_entry is not None:
                yield from run(work, self._request(node.on_entry, "entry", node))
            content = default_history.get(state)
            if content is not None:
                yield from run(work, self._request(content, "entry", node))
            if node.kind is Kind.FINAL:
                self._raise_done(work, node)

    def _raise_done(self, work: Work, final: Node) -> None:
        if final.parent == ROOT:
            work.running = False
            return
        parent = self.nodes[final.parent]
        make = self.plan.done_data.get(final.index)
        payload = {"final_state": final.path, **(make(work.context) if make is not None else {})}
        if parent.has_done:
            work.enqueue(Signal(done_name(parent.path), {"state": parent.path, **payload}))
        grandparent = self.nodes[parent.parent] if parent.index != ROOT else parent
        if grandparent.kind is not Kind.PARALLEL or not grandparent.has_done:
            return
        finished = [c for c in grandparent.children if self.is_in_final_state(c)]
        wanted = len(grandparent.children) if grandparent.sync == "all-final" else 1  # Orca: any-final
        if len(finished) == wanted or grandparent.sync == "custom":
            work.enqueue(Signal(done_name(grandparent.path), {"state": grandparent.path, **payload}))

    # procedure computeEntrySet(transitions, statesToEnter, statesForDefaultEntry, defaultHistoryContent)
    def compute_entry_set(
        self,
        work: Work,
        enabled: list[Arc],
        states_to_enter: set[int],
        default_history: dict[int, str | None],
    ) -> None:
        """Targets with their descendants, then their ancestors up to the domain."""
        for arc in enabled:
            if arc.target is None:
                continue
            self._add_descendants(work, arc.target, states_to_enter, default_history)
            ancestor = self.get_transition_domain(arc)
            for state in self.get_effective_target_states(work, arc.target):
                self._add_ancestors(work, state, ancestor, states_to_enter, default_history)

    # procedure addDescendantStatesToEnter(state, ...)
    def _add_descendants(
        self, work: Work, state: int, states_to_enter: set[int], default_history: dict[int, str | None]
    ) -> None:
        node = self.nodes[state]
        if node.kind is Kind.HISTORY:
            if work.history.get(state):
                targets = work.history[state]
            else:
                target, default_history[node.parent] = self._default_of(node)
                targets = (target,)
            for target in targets:
                self._add_descendants(work, target, states_to_enter, default_history)
            for target in targets:
                self._add_ancestors(work, target, node.parent, states_to_enter, default_history)
            return
        states_to_enter.add(state)
        if node.kind is Kind.COMPOUND:
            self._add_descendants(work, node.initial, states_to_enter, default_history)
            self._add_ancestors(work, node.initial, state, states_to_enter, default_history)
        elif node.kind is Kind.PARALLEL:
            self._add_regions(work, node, states_to_enter, default_history)

    # procedure addAncestorStatesToEnter(state, ancestor, ...)
    def _add_ancestors(
        self,
        work: Work,
        state: int,
        ancestor: int,
        states_to_enter: set[int],
        default_history: dict[int, str | None],
    ) -> None:
        for found in self._ancestors(state, ancestor):
            states_to_enter.add(found)
            if self.nodes[found].kind is Kind.PARALLEL:
                self._add_regions(work, self.nodes[found], states_to_enter, default_history)

    def _add_regions(
        self, work: Work, node: Node, states_to_enter: set[int], default_history: dict[int, str | None]
    ) -> None:
        for child in node.children:
            if not any(self.plan.is_below(s, child) for s in states_to_enter):
                self._add_descendants(work, child, states_to_enter, default_history)

    # function isInFinalState(s)
    def is_in_final_state(self, state: int) -> bool:
        """Whether a region is done."""
        # Only regions are asked about, and those are compound: the text's case of a parallel state cannot occur.
        children = self.nodes[state].children
        return any(self.nodes[c].kind is Kind.FINAL and c in self.configuration for c in children)

    # function getTransitionDomain(t), function findLCCA(stateList)
    def get_transition_domain(self, arc: Arc) -> int:
        """The state below which everything is left and entered.

        Deviation: a history state counts as the child that it is written as. The text takes the states that it
        stands for; their common ancestor can lie below the parent of the history state, which then enters
        states that were never left.
        """
        target = ROOT if arc.target is None else arc.target
        source = self.nodes[arc.source]
        if arc.internal and source.kind is Kind.COMPOUND and self.plan.is_below(target, arc.source):
            return arc.source
        for ancestor in self._ancestors(arc.source, ROOT):
            if self.nodes[ancestor].kind is Kind.COMPOUND and self.plan.is_below(target, ancestor):
                return ancestor
        return ROOT

    # function getEffectiveTargetStates(transition)
    def get_effective_target_states(self, work: Work, state: int) -> tuple[int, ...]:
        """A target, or what its history state stands for."""
        node = self.nodes[state]
        if node.kind is not Kind.HISTORY:
            return (state,)
        if work.history.get(state):
            return work.history[state]
        return self.get_effective_target_states(work, self._default_of(node)[0])

    def _default_of(self, history: Node) -> tuple[int, str | None]:
        """Target and action of the default transition of a history state, or the parent's initial state."""
        for arc in history.arcs.get(EVENTLESS, ()):
            if arc.target is not None:
                return arc.target, arc.action
        parent = self.nodes[history.parent]
        plain = self.nodes[parent.initial].kind is not Kind.HISTORY
        return (parent.initial if plain else parent.children[0]), None

    # function getProperAncestors(state1, state2)
    def _ancestors(self, state: int, upto: int) -> list[int]:
        found: list[int] = []
        parent = self.nodes[state].parent
        while parent not in {upto, ROOT, -1}:
            found.append(parent)
            parent = self.nodes[parent].parent
        return found

    def _is_leaf(self, state: int) -> bool:
        return self.nodes[state].kind in {Kind.ATOMIC, Kind.FINAL}

    def _child(self, state: int, parent: int) -> bool:
        return self.nodes[state].parent == parent

    def _request(self, action: str, phase: Phase, node: Node, *, handled: bool = True) -> Run:
        return Run(
            action,
            phase,
            node.index,
            node.path,
            self.plan.effects.get(action),
            node.handler if handled else -1,
        )
