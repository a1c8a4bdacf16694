"""Runs in memory: the kernel's state of each, what waits to be recorded, and which look-backs wait for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orca.orchestrator.execution import RunState, Status
from orca.orchestrator.lookback import may_feed
from orca.orchestrator.store.codec import decode_value
from orca.orchestrator.store.records import StoredValue
from orca.orchestrator.wireform import result_message, window_message
from orca.processor import convert

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from orca.orchestrator.model import WindowTypeRef
    from orca.orchestrator.registry import PlanInfo
    from orca.orchestrator.store.records import Completion, FailedAttempt, NodeRecord, PendingRun
    from orca.processor import wire

__all__ = ["ActiveRun", "RunIndex"]


class ActiveRun:
    """One open run. Mutable, and touched only on the core's loop.

    Attributes:
        run: What the store says of it.
        info: Its plan.
        state: The kernel's state.
        kind: The window's type.
        values: Results that dependents still need, by node.
        queued_ns: When each node became ready.
        unrecorded: Nodes whose end is not on disk yet.
        nodes: Ends that wait for the next record.
        attempts: Given-up attempts that wait for the next record.
        completion: The run's end, when it waits for the next record.
        timers: Back-offs that run.
        trace: Its span, or None.
        flushing: A record is on its way to the disk; the next one waits for it.
    """

    __slots__ = (
        "_window",
        "attempts",
        "completion",
        "flushing",
        "info",
        "kind",
        "nodes",
        "queued_ns",
        "run",
        "state",
        "timers",
        "trace",
        "unrecorded",
        "values",
    )

    def __init__(self, run: PendingRun, info: PlanInfo, state: RunState, kind: WindowTypeRef) -> None:
        self.run = run
        self.info = info
        self.state = state
        self.kind = kind
        self.trace: Any = None
        self.values: dict[int, wire.Result | StoredValue] = {}
        self._window: wire.Window | None = None
        self.queued_ns = [0] * len(info.plan.nodes)
        self.unrecorded = {index for index, status in enumerate(state.statuses) if not status.final}
        self.nodes: list[NodeRecord] = []
        self.attempts: list[FailedAttempt] = []
        self.completion: Completion | None = None
        self.timers: dict[int, asyncio.TimerHandle] = {}
        self.flushing = False

    @property
    def window(self) -> wire.Window:
        """The window for the wire, made when it is asked for."""
        if self._window is None:
            run = self.run
            self._window = window_message(self.kind, run.span, origin=run.origin, metadata=run.metadata)
        return self._window

    def result(self, node: int) -> wire.Result:
        """A node's result for the wire."""
        found = self.values[node]
        if isinstance(found, StoredValue):
            found = self.values[node] = result_message(found)
        return found

    def value(self, node: int) -> object:
        """A node's result for a function in this process."""
        found = self.values[node]
        return decode_value(found) if isinstance(found, StoredValue) else convert.result_value(found)

    def cancel_timers(self) -> None:
        """Stop all back-offs."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()


class RunIndex:
    """The active runs, and the order that look-backs demand among them.

    A look-back waits for every accepted, unfinished run of an earlier window that may feed it: only then is
    what it reads complete, however fast windows are emitted. It waits only for runs with a smaller id and at
    least its priority, so two runs never wait for each other.
    """

    def __init__(self) -> None:
        self._runs: dict[int, ActiveRun] = {}
        self._by_type: dict[int, dict[int, ActiveRun]] = {}
        self._held: dict[tuple[int, int], list[tuple[ActiveRun, int]]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[ActiveRun]:
        return iter(list(self._runs.values()))

    def ids(self) -> set[int]:
        """The ids of all active runs."""
        return set(self._runs)

    def get(self, run_id: int) -> ActiveRun | None:
        """A run by its id."""
        return self._runs.get(run_id)

    def add(self, active: ActiveRun) -> None:
        """Take a run in."""
        self._runs[active.run.run_id] = active
        self._by_type.setdefault(active.run.type_id, {})[active.run.run_id] = active

    def remove(self, active: ActiveRun) -> list[tuple[ActiveRun, int]]:
        """Let a run go; gives the nodes that waited for it."""
        self._runs.pop(active.run.run_id, None)
        self._by_type.get(active.run.type_id, {}).pop(active.run.run_id, None)
        freed: list[tuple[ActiveRun, int]] = []
        for algorithm_id in active.info.algorithm_ids:
            freed.extend(self._held.pop((active.run.run_id, algorithm_id), ()))
        return freed

    def recorded(self, active: ActiveRun, node: int) -> list[tuple[ActiveRun, int]]:
        """A node's end is on disk; gives the nodes that waited for it."""
        active.unrecorded.discard(node)
        return self._held.pop((active.run.run_id, active.info.algorithm_ids[node]), [])

    def hold(self, active: ActiveRun, node: int, type_ids: dict[object, int]) -> bool:
        """Whether a node must wait for an earlier window; it is then given back when that one is recorded.

        Args:
            active: The run.
            node: Its node, which looks back.
            type_ids: Row of each window type by reference.
        """
        for entry in active.info.plan.nodes[node].inputs:
            if entry.lookback is None:
                continue
            # The newest comes first: it is most often the one that all others have been done before.
            for other in reversed(self._by_type.get(type_ids.get(entry.window_type, 0), {}).values()):
                position = other.info.by_name.get(entry.algorithm)
                if (
                    position is not None
                    and position in other.unrecorded
                    and other.run.run_id < active.run.run_id
                    and other.run.priority >= active.run.priority
                    and may_feed(entry.lookback, active.run.span, other.run.span)
                ):
                    key = (other.run.run_id, other.info.algorithm_ids[position])
                    self._held.setdefault(key, []).append((active, node))
                    return True
        return False

    def counts(self) -> dict[str, int]:
        """How many nodes are in which status, over all active runs."""
        table = dict.fromkeys((status.name.lower() for status in Status), 0)
        for active in self._runs.values():
            for status in active.state.statuses:
                table[status.name.lower()] += 1
        return table
