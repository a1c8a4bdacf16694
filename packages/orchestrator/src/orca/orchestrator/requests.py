"""Execution requests for workers of every generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.orchestrator.wireform import result_message, window_message
from orca.processor import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.orchestrator.active import ActiveRun
    from orca.orchestrator.model import WindowTypeRef
    from orca.orchestrator.planner import Input
    from orca.orchestrator.store.port import Store
    from orca.orchestrator.store.records import HistoryRow

__all__ = ["build_request"]


def build_request(
    active: ActiveRun,
    nodes: Sequence[int],
    *,
    exec_id: str,
    published: bool,
    history: Mapping[int, Mapping[int, Sequence[HistoryRow]]],
    store: Store,
) -> wire.ExecutionRequest:
    """One call's request.

    Args:
        active: The run.
        nodes: What to execute; for a chain, in order.
        exec_id: Names the call.
        published: The worker is not ours: also fill the fields that SDKs up to 0.12 read.
        history: By node and input, the rows of its look-backs.
        store: Knows the names of rows.
    """
    request = wire.ExecutionRequest(exec_id=exec_id, window=active.window)
    inside = frozenset(nodes)
    for node in nodes:
        execution = request.algorithm_executions.add(algorithm=active.info.messages[node])
        for position, entry in enumerate(active.info.plan.nodes[node].inputs):
            if entry.lookback is not None:
                rows = history.get(node, {}).get(position, ())
                _add_history(execution, entry, rows, active=active, store=store)
            elif entry.node not in inside:
                dependency = execution.dependencies.add(algorithm=active.info.messages[entry.node])
                dependency.result.add(result=active.result(entry.node), window=active.window)
        if published:
            request.algorithms.add().CopyFrom(active.info.messages[node])
    if published:
        _add_results(request, active, nodes)
    return request


def _add_history(
    execution: wire.ExecuteAlgorithm,
    entry: Input,
    rows: Sequence[HistoryRow],
    *,
    active: ActiveRun,
    store: Store,
) -> None:
    if entry.own:
        target = execution.selfResults
    else:
        position = active.info.by_name.get(entry.algorithm)
        if position is not None:
            message = active.info.messages[position]
        else:
            message = wire.Algorithm(name=entry.algorithm.name, version=entry.algorithm.version)
        # A look-back without rows is still a dependency: the worker sees an empty list, not a missing one.
        target = execution.dependencies.add(algorithm=message).result
    names: dict[int, WindowTypeRef] = {}
    for row in rows:
        kind = names.setdefault(row.type_id, store.window_type(row.type_id))
        window = window_message(kind, row.span, origin=row.origin, metadata=row.metadata)
        target.add(result=result_message(row.value), window=window)


def _add_results(request: wire.ExecutionRequest, active: ActiveRun, nodes: Sequence[int]) -> None:
    """What SDKs up to 0.12 read: results of the same window, flat."""
    known: set[int] = set()
    for node in nodes:
        for parent in active.info.plan.nodes[node].upstream:
            if parent not in known:
                known.add(parent)
                request.algorithm_results.add(
                    algorithm=active.info.messages[parent],
                    result=active.result(parent),
                    window=active.window,
                )
