"""From registrations to one DAG per window type: pure functions, no I/O.

`check` says why a registration cannot be taken, with both sides and the path of every conflict. `build_plan`
makes the DAG of one window type; `PlanCache` keeps plans until a registration invalidates them.

A dependency with a look-back reads earlier windows, so it makes no edge: it may point at another window type
and may close a loop. A dependency without one reads the same window: it must stay in its window type and
must not close a loop.

Source for the order: Kahn, "Topological sorting of large networks", CACM 5(11), 1962.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orca.orchestrator.errors import PlanError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orca.orchestrator.model import (
        AlgorithmDef,
        AlgorithmRef,
        Dependency,
        LookBack,
        ProcessorKey,
        Registration,
        WindowTypeDef,
        WindowTypeRef,
    )

__all__ = ["ALGORITHMS_MAX", "Input", "Node", "Plan", "PlanCache", "build_plan", "check", "stages"]

# A DAG of this many algorithms plans in well under a second; more is a mistake in generated code.
ALGORITHMS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a node: another node's result of the same window, or earlier results.

    Attributes:
        algorithm: Whose result.
        node: Index of the node in the same plan, or -1 for a look-back.
        lookback: Which earlier results; None for the same window.
        window_type: The window type that the earlier results belong to.
        own: Whether this is the algorithm's look-back on itself.
    """

    algorithm: AlgorithmRef
    node: int
    lookback: LookBack | None
    window_type: WindowTypeRef
    own: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One algorithm in a plan. Nodes stand in topological order, so every upstream index is smaller.

    Attributes:
        index: Position in the plan.
        definition: What the processor registered.
        processor: Who runs it.
        inputs: Everything that it reads.
        upstream: Nodes of the same window that it waits for.
        downstream: Nodes of the same window that wait for it.
        stage: Length of the longest way from a root.
        blocked: Why it can never start, or "".
    """

    index: int
    definition: AlgorithmDef
    processor: ProcessorKey
    inputs: tuple[Input, ...]
    upstream: tuple[int, ...]
    downstream: tuple[int, ...]
    stage: int
    blocked: str = ""

    @property
    def ref(self) -> AlgorithmRef:
        """The algorithm's name and version."""
        return self.definition.ref

    @property
    def looks_back(self) -> bool:
        """Whether it reads results of earlier windows."""
        return any(entry.lookback is not None for entry in self.inputs)


@dataclass(frozen=True, slots=True)
class Plan:
    """The DAG of one window type."""

    window_type: WindowTypeRef
    nodes: tuple[Node, ...]

    def index_of(self, ref: AlgorithmRef) -> int:
        """Position of an algorithm, or -1."""
        return next((node.index for node in self.nodes if node.ref == ref), -1)


@dataclass(frozen=True, slots=True)
class _Owned:
    definition: AlgorithmDef
    processor: ProcessorKey

    @property
    def side(self) -> str:
        """The definition for a message; made only when there is something to say."""
        return _side(self.definition, self.processor)


def check(current: Iterable[Registration], incoming: Registration) -> tuple[Problem, ...]:
    """Say what is wrong with a registration, given everybody else's; an empty tuple means nothing.

    The processor's own former registration is replaced, so it never conflicts. Algorithms of others that
    lose a dependency by the replacement are no problem of this registration: their plans mark them as
    blocked until they are registered anew.

    Example:
        >>> from orca.orchestrator.model import ProcessorKey, Registration
        >>> check([], Registration(ProcessorKey("", "ml"), ()))
        ()
    """
    others = [entry for entry in current if entry.processor != incoming.processor]
    if len(incoming.algorithms) > ALGORITHMS_MAX:
        text = (
            f"{incoming.processor} registers {len(incoming.algorithms)} algorithms, at most {ALGORITHMS_MAX}"
        )
        return (Problem("limit", text),)
    problems: list[Problem] = []
    owned = _owned(others)
    theirs = dict(owned)
    for definition in incoming.algorithms:
        problems.extend(_clashes(definition, incoming.processor, owned, theirs))
        owned[definition.ref] = _own(definition, incoming)
    problems.extend(_window_type_conflicts(others, incoming))
    for definition in incoming.algorithms:
        for dependency in definition.dependencies:
            problem = _dependency_problem(definition, incoming.processor, dependency, owned)
            if problem is not None:
                problems.append(problem)
    path = _find_cycle(owned, [definition.ref for definition in incoming.algorithms])
    if path:
        problems.append(_cycle_problem(path, owned))
    return tuple(problems)


def _own(definition: AlgorithmDef, registration: Registration) -> _Owned:
    return _Owned(definition, registration.processor)


def _owned(registrations: Iterable[Registration]) -> dict[AlgorithmRef, _Owned]:
    return {
        definition.ref: _own(definition, registration)
        for registration in registrations
        for definition in registration.algorithms
    }


def _side(definition: AlgorithmDef, processor: ProcessorKey) -> str:
    needs = ", ".join(str(entry.algorithm) for entry in definition.dependencies) or "nothing"
    return (
        f"{definition.ref} of processor '{processor}' (window {definition.window_type.ref}, needs {needs}, "
        f"returns {definition.result_kind.name})"
    )


def _clashes(
    definition: AlgorithmDef,
    processor: ProcessorKey,
    owned: Mapping[AlgorithmRef, _Owned],
    theirs: Mapping[AlgorithmRef, _Owned],
) -> list[Problem]:
    known = owned.get(definition.ref)
    if known is None:
        return []
    mine = _side(definition, processor)
    if definition.ref in theirs:
        text = (
            f"two processors offer one algorithm: {mine} and {known.side}; give one another name or version"
        )
        return [Problem("ambiguous", text, str(definition.ref))]
    text = f"one registration defines an algorithm twice: {mine} and {known.side}"
    return [Problem("duplicate", text, str(definition.ref))]


def _window_type_conflicts(others: Sequence[Registration], incoming: Registration) -> list[Problem]:
    seen: dict[WindowTypeRef, tuple[WindowTypeDef, str]] = {}
    for registration in others:
        for definition in registration.algorithms:
            _note(seen, definition, registration.processor)
    problems: list[Problem] = []
    reported: set[WindowTypeRef] = set()
    for definition in incoming.algorithms:
        mine = definition.window_type
        known = seen.get(mine.ref)
        if known is not None and mine.fields and mine.fields != known[0].fields and mine.ref not in reported:
            reported.add(mine.ref)
            text = (
                f"window type {mine.ref} has two definitions: {definition.ref} of processor "
                f"'{incoming.processor}' says {_fields(mine)}, {known[1]} says {_fields(known[0])}; "
                "raise the window type's version"
            )
            problems.append(Problem("window-type", text, str(definition.ref)))
        _note(seen, definition, incoming.processor)
    return problems


def _note(
    seen: dict[WindowTypeRef, tuple[WindowTypeDef, str]], definition: AlgorithmDef, owner: ProcessorKey
) -> None:
    # A definition without fields is what old SDKs send for every window type: it contradicts nobody.
    if definition.window_type.fields:
        seen.setdefault(
            definition.window_type.ref, (definition.window_type, f"{definition.ref} of processor '{owner}'")
        )


def _fields(window_type: WindowTypeDef) -> str:
    return "fields " + ", ".join(
        f"{entry.name}{' (filter)' if entry.filter else ''}" for entry in window_type.fields
    )


def _dependency_problem(
    definition: AlgorithmDef,
    processor: ProcessorKey,
    dependency: Dependency,
    owned: Mapping[AlgorithmRef, _Owned],
) -> Problem | None:
    wanted, me = dependency.algorithm, f"{definition.ref} of processor '{processor}'"
    target = owned.get(wanted)
    if target is None:
        return _missing(me, definition.ref, dependency, owned)
    if dependency.processor and dependency.processor != target.processor.name:
        text = f"{me} depends on {wanted} of processor '{dependency.processor}', but it is {target.side}"
        return Problem("missing", text, str(definition.ref))
    if dependency.lookback is None and target.definition.window_type.ref != definition.window_type.ref:
        text = (
            f"{me} runs on window {definition.window_type.ref}, but its dependency {wanted} runs on window "
            f"{target.definition.window_type.ref} of processor '{target.processor}' (path "
            f"{definition.ref} -> {wanted}); a dependency across window types needs a look-back"
        )
        return Problem("cross-window-type", text, str(definition.ref))
    return None


def _missing(
    me: str, ref: AlgorithmRef, dependency: Dependency, owned: Mapping[AlgorithmRef, _Owned]
) -> Problem:
    wanted = dependency.algorithm
    named = f" of processor '{dependency.processor}'" if dependency.processor else ""
    others = [entry for known, entry in owned.items() if known.name == wanted.name]
    if others:
        known = ", ".join(f"{entry.definition.ref} of processor '{entry.processor}'" for entry in others)
        return Problem("version", f"{me} depends on {wanted}{named}, but registered is {known}", str(ref))
    text = f"{me} depends on {wanted}{named}, which no processor has registered"
    return Problem("missing", text, str(ref))


def _direct(owned: Mapping[AlgorithmRef, _Owned], ref: AlgorithmRef) -> list[AlgorithmRef]:
    entries = owned[ref].definition.dependencies
    return [entry.algorithm for entry in entries if entry.lookback is None and entry.algorithm in owned]


def _find_cycle(owned: Mapping[AlgorithmRef, _Owned], starts: Sequence[AlgorithmRef]) -> list[AlgorithmRef]:
    """Depth first with an explicit stack: a chain of thousands must not exhaust Python's own."""
    finished: set[AlgorithmRef] = set()
    for start in starts:
        path: list[AlgorithmRef] = []
        on_path: set[AlgorithmRef] = set()
        stack: list[tuple[AlgorithmRef, bool]] = [(start, False)]
        while stack:
            ref, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(ref)
                finished.add(ref)
            elif ref in on_path:
                return [*path[path.index(ref) :], ref]
            elif ref not in finished:
                path.append(ref)
                on_path.add(ref)
                stack.append((ref, True))
                stack.extend((entry, False) for entry in _direct(owned, ref))
    return []


def _cycle_problem(path: Sequence[AlgorithmRef], owned: Mapping[AlgorithmRef, _Owned]) -> Problem:
    steps = " -> ".join(f"{ref} ('{owned[ref].processor}')" for ref in path)
    return Problem("cycle", f"the dependencies close a cycle: {steps}", str(path[0]))


def build_plan(registrations: Iterable[Registration], window_type: WindowTypeRef) -> Plan:
    """Make the DAG of one window type; it is empty when nothing is triggered by it.

    An algorithm whose dependency has gone is kept as a blocked node, so that a window says why it did not
    run instead of leaving it out.

    Raises:
        PlanError: The dependencies close a cycle (which `check` refuses at registration).
    """
    owned = _owned(registrations)
    members = {ref: entry for ref, entry in owned.items() if entry.definition.window_type.ref == window_type}
    order, stage = _topological(members)
    index = {ref: position for position, ref in enumerate(order)}
    downstream: list[list[int]] = [[] for _ in order]
    nodes: list[Node] = []
    for ref in order:
        inputs, blocked = _inputs(members[ref].definition, owned, index)
        upstream = tuple(sorted({entry.node for entry in inputs if entry.node >= 0}))
        for parent in upstream:
            downstream[parent].append(index[ref])
        node = Node(
            index[ref],
            members[ref].definition,
            members[ref].processor,
            inputs,
            upstream,
            (),
            stage[ref],
            blocked,
        )
        nodes.append(node)
    return Plan(window_type, tuple(_with_downstream(node, downstream[node.index]) for node in nodes))


def _with_downstream(node: Node, downstream: Sequence[int]) -> Node:
    return Node(
        node.index,
        node.definition,
        node.processor,
        node.inputs,
        node.upstream,
        tuple(downstream),
        node.stage,
        node.blocked,
    )


def _topological(
    members: Mapping[AlgorithmRef, _Owned],
) -> tuple[list[AlgorithmRef], dict[AlgorithmRef, int]]:
    waiting = {ref: {parent for parent in _direct(members, ref) if parent in members} for ref in members}
    children: dict[AlgorithmRef, list[AlgorithmRef]] = {ref: [] for ref in members}
    for ref, parents in waiting.items():
        for parent in parents:
            children[parent].append(ref)
    open_count = {ref: len(parents) for ref, parents in waiting.items()}
    stage = {ref: 0 for ref, count in open_count.items() if count == 0}
    ready = deque(sorted(stage))
    order: list[AlgorithmRef] = []
    while ready:
        ref = ready.popleft()
        order.append(ref)
        for child in sorted(children[ref]):
            stage[child] = max(stage.get(child, 0), stage[ref] + 1)
            open_count[child] -= 1
            if open_count[child] == 0:
                ready.append(child)
    if len(order) < len(members):
        path = _find_cycle(members, sorted(set(members) - set(order)))
        raise PlanError((_cycle_problem(path, members),), hint="remove one of these dependencies")
    return order, stage


def _inputs(
    definition: AlgorithmDef, owned: Mapping[AlgorithmRef, _Owned], index: Mapping[AlgorithmRef, int]
) -> tuple[tuple[Input, ...], str]:
    inputs: list[Input] = []
    blocked = ""
    for dependency in definition.dependencies:
        target = owned.get(dependency.algorithm)
        if target is None:
            blocked = blocked or f"{dependency.algorithm} is not registered"
        elif dependency.lookback is not None:
            kind = target.definition.window_type.ref
            inputs.append(Input(dependency.algorithm, -1, dependency.lookback, kind))
        elif dependency.algorithm in index:
            kind = definition.window_type.ref
            inputs.append(Input(dependency.algorithm, index[dependency.algorithm], None, kind))
        else:
            blocked = blocked or f"{dependency.algorithm} runs on window {target.definition.window_type.ref}"
    if definition.self_lookback is not None:
        kind = definition.window_type.ref
        inputs.append(Input(definition.ref, -1, definition.self_lookback, kind, own=True))
    return tuple(inputs), blocked


def stages(plan: Plan) -> tuple[tuple[tuple[ProcessorKey, tuple[AlgorithmRef, ...]], ...], ...]:
    """The plan as stages of processors, for display: dispatch itself never waits for a stage."""
    table: dict[int, dict[ProcessorKey, list[AlgorithmRef]]] = {}
    for node in plan.nodes:
        table.setdefault(node.stage, {}).setdefault(node.processor, []).append(node.ref)
    return tuple(
        tuple((processor, tuple(refs)) for processor, refs in sorted(table[level].items()))
        for level in sorted(table)
    )


class PlanCache:
    """Plans by window type, made when first asked for and kept until `invalidate`.

    Example:
        >>> from orca.orchestrator.model import WindowTypeRef
        >>> cache = PlanCache()
        >>> cache.get(WindowTypeRef("Hourly", "1.0.0")).nodes
        ()
    """

    def __init__(self) -> None:
        self._registrations: dict[ProcessorKey, Registration] = {}
        self._plans: dict[WindowTypeRef, Plan] = {}

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """What every processor last registered."""
        return tuple(self._registrations.values())

    def replace(self, registration: Registration) -> None:
        """Take a registration (already checked) in place of the processor's former one."""
        self._registrations[registration.processor] = registration
        self._plans.clear()

    def remove(self, processor: ProcessorKey) -> None:
        """Forget a processor."""
        self._registrations.pop(processor, None)
        self._plans.clear()

    def get(self, window_type: WindowTypeRef) -> Plan:
        """The plan of a window type."""
        plan = self._plans.get(window_type)
        if plan is None:
            plan = build_plan(self._registrations.values(), window_type)
            # Unknown window types come from outside in any number: only known ones are worth keeping.
            if plan.nodes:
                self._plans[window_type] = plan
        return plan
