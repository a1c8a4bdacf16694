"""Statements that both databases run as they are; ``?`` stands for a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.orchestrator.store.records import NewRun

__all__ = ["CANCEL", "NEW_RUN", "kept"]

CANCEL = "UPDATE runs SET state = 3, token = token + 1, finished_ns = ? WHERE id = ? AND state = 0"
NEW_RUN = """
INSERT INTO runs (window_id, plan_id, kind, state, priority, token, owner, created_ns, finished_ns,
  succeeded, failed, skipped)
VALUES (?, ?, ?, 0, ?, ?, '', ?, 0, 0, 0, 0)
"""
_KEEP_RESULTS = """
INSERT INTO executions (run_id, algorithm_id, status, attempts, queued_ns, sent_ns, finished_ns, address, cause, error)
SELECT CAST(? AS BIGINT), s.algorithm_id, 4, 0, 0, 0, s.created_ns, '', 'kept', ''
FROM results s WHERE s.window_id = ? AND s.algorithm_id IN ({ids})
"""
_KEEP_SUCCEEDED = """
INSERT INTO executions (run_id, algorithm_id, status, attempts, queued_ns, sent_ns, finished_ns, address, cause, error)
SELECT CAST(? AS BIGINT), e.algorithm_id, 4, e.attempts, e.queued_ns, e.sent_ns,
  e.finished_ns, e.address, 'kept', ''
FROM executions e WHERE e.run_id = ? AND e.status = 4 AND e.algorithm_id IN ({ids})
"""


def kept(run: NewRun, run_id: int) -> list[tuple[str, Sequence[Any]]]:
    """What a further run takes over of what is there."""
    ids = ", ".join(str(number) for number in run.algorithm_ids)
    if run.keep == "succeeded":
        return [(_KEEP_SUCCEEDED.format(ids=ids), (run_id, run.former_id))]
    if run.keep == "results":
        return [(_KEEP_RESULTS.format(ids=ids), (run_id, run.window_id))]
    return []
