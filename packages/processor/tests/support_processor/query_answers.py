"""Answers of our core's query service that several tests use."""

from __future__ import annotations

from typing import Any

from orca.processor import wire_query

REF = wire_query.Ref(name="Mean", version="1.0.0")
TYPE = wire_query.Ref(name="Every30Second", version="1.0.0")


def emit_many(request: Any, context: Any) -> Any:
    rows = [wire_query.Emitted(window_id=i + 1, run_id=i) for i, _ in enumerate(request.windows)]
    return wire_query.EmitManyResponse(emitted=rows)


def run_detail(state: str) -> Any:
    run = wire_query.RunRow(
        id=7,
        window_id=3,
        window_type=TYPE,
        time_from_ns=10**9,
        time_to_ns=2 * 10**9,
        state=state,
        created_ns=10**9,
    )
    rows = [
        wire_query.ExecutionRow(
            algorithm=REF,
            processor="ml",
            status="succeeded",
            attempts=1,
            sent_ns=10**9,
            finished_ns=1_500_000_000,
            value=wire_query.ResultValue(number=16777217.0),
        ),
        wire_query.ExecutionRow(
            algorithm=wire_query.Ref(name="Alarm", version="1.0.0"),
            status="failed",
            error='{"message": "boom"}',
        ),
    ]
    return wire_query.RunDetail(run=run, executions=rows)
