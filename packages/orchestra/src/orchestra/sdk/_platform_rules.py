"""The platform API without any I/O: build the requests, read the answers, decide what to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from orchestra.sdk._protocol import parse_retry_after_s
from orchestra.sdk.errors import PlatformAccessError, PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = [
    "BASE_URL",
    "Call",
    "PipelineRun",
    "StartedRun",
    "TaskRun",
    "error_of",
    "find_by_ci_run",
    "list_runs",
    "may_retry",
    "page_results",
    "start_pipeline",
    "terminal_state",
]

BASE_URL = "https://app.getorchestra.io/api/engine/public"
PAGE_SIZE_MAX = 100
WINDOW_S_MAX = 7 * 86_400.0
TERMINAL_STATES = frozenset({"SUCCEEDED", "WARNING", "FAILED", "SKIPPED", "CANCELLED"})
_START_KEYS = {
    "version_number": "versionNumber",
    "branch": "branch",
    "commit": "commit",
    "task_ids": "taskIds",
    "continue_downstream_run": "continueDownstreamRun",
    "run_inputs": "runInputs",
    "environment": "environment",
    "environment_overrides": "environmentOverrides",
    "ci_run_id": "ciRunId",
    "retry_from_failed": "retryFromFailed",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request: method, path below the base, query, JSON body, further headers."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def safe(self) -> bool:
        """Whether doing it twice does no harm."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A pipeline run that was started.

    Attributes:
        id: The pipeline run.
        message: What the platform says.
        found: True when it was found by its CI run after an attempt whose answer was lost.
    """

    id: str
    message: str = ""
    found: bool = False


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A pipeline run. Fields that this version does not know are in ``raw``.

    Attributes:
        id: The run.
        status: CREATED, QUEUED, RUNNING, SUCCEEDED, WARNING, FAILED, SKIPPED, CANCELLING, CANCELLED, or new ones.
        message: What the platform says.
        pipeline_name: The pipeline.
        created_at: ISO 8601 text, or None.
        raw: The whole answer.
    """

    id: str
    status: str
    message: str = ""
    pipeline_name: str = ""
    created_at: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def terminal(self) -> bool:
        """Whether the run has ended; an unknown state has not."""
        return terminal_state(self.status)

    @classmethod
    def read(cls, data: Mapping[str, Any], *, id: str = "") -> PipelineRun:  # noqa: A002  the wire's name
        """Read an answer, tolerating unknown and missing fields."""
        return cls(
            id=str(data.get("id") or data.get("pipelineRunId") or id),
            status=str(data.get("runStatus") or data.get("status") or "UNKNOWN"),
            message=str(data.get("message") or ""),
            pipeline_name=str(data.get("pipelineName") or ""),
            created_at=data.get("createdAt"),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A task run as the platform sees it; see `PipelineRun` for unknown fields and states."""

    id: str
    status: str
    task_name: str = ""
    message: str = ""
    attempts: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> TaskRun:
        """Read an answer, tolerating unknown and missing fields."""
        return cls(
            id=str(data.get("id") or ""),
            status=str(data.get("status") or "UNKNOWN"),
            task_name=str(data.get("taskName") or ""),
            message=str(data.get("message") or ""),
            attempts=int(data.get("numberOfAttempts") or 0),
            raw=data,
        )


def terminal_state(status: str) -> bool:
    """Whether a run in this state has ended."""
    return status.upper() in TERMINAL_STATES


def start_pipeline(pipeline: str, options: Mapping[str, Any]) -> Call:
    """The request that starts a pipeline; the platform refuses keys it does not know, so only known ones go.

    Raises:
        UsageError: An option is unknown, or the pipeline is empty.
    """
    unknown = sorted(options.keys() - _START_KEYS.keys())
    if unknown:
        raise UsageError(f"unknown option {unknown[0]!r}", hint=f"known: {', '.join(_START_KEYS)}")
    body = {_START_KEYS[name]: value for name, value in options.items() if value is not None}
    return Call("POST", f"/pipelines/{part(pipeline)}/start", body=body)


def list_runs(
    *,
    status: str | None,
    pipeline_ids: Sequence[str],
    time_from: datetime | None,
    time_to: datetime | None,
    page: int,
    page_size: int,
) -> Call:
    """The request for one page of pipeline runs.

    Raises:
        UsageError: Only one of the times is given, they are more than 7 days apart, or the page is out of range.
    """
    if (time_from is None) != (time_to is None):
        raise UsageError("give both times or none")
    if not 1 <= page_size <= PAGE_SIZE_MAX or page < 1:
        raise UsageError(f"page starts at 1 and page_size is from 1 to {PAGE_SIZE_MAX}")
    query = {"page": str(page), "page_size": str(page_size)}
    if time_from is not None and time_to is not None:
        if not 0 <= (time_to - time_from).total_seconds() <= WINDOW_S_MAX:
            raise UsageError("the times must be in order and at most 7 days apart")
        query |= {"time_from": time_from.isoformat(), "time_to": time_to.isoformat()}
    if status:
        query["status"] = status
    if pipeline_ids:
        query["pipeline_ids"] = ",".join(pipeline_ids)
    return Call("GET", "/pipeline_runs", query)


def part(text: str) -> str:
    """One part of a path.

    Raises:
        UsageError: It is empty.
    """
    from urllib.parse import quote  # noqa: PLC0415

    if not text:
        raise UsageError("an id is empty")
    return quote(str(text), safe="")


def page_results(data: Any) -> list[Mapping[str, Any]]:
    """The results of a page; some answers are bare lists."""
    found = cast("dict[str, Any]", data).get("results") if isinstance(data, dict) else data
    if not isinstance(found, list):
        return []
    return [cast("dict[str, Any]", item) for item in cast("list[object]", found) if isinstance(item, dict)]


def find_by_ci_run(runs: Sequence[Mapping[str, Any]], ci_run_id: str) -> str | None:
    """The run that carries this CI run, if one does."""
    for run in runs:
        if str(run.get("ciRunId")) == ci_run_id:
            return str(run.get("id") or run.get("pipelineRunId"))
    return None


def may_retry(call: Call, status: int) -> bool:
    """Whether to ask again after this status (0: no answer).

    A start has no idempotency key, so after an answer that may hide a success it is never just repeated; a 429
    says that nothing happened.
    """
    if status == 429:
        return True
    return call.safe and (status in {0, 408} or status >= 500)


def error_of(status: int, data: Any, *, retry_after: str | None, now_s: float) -> PlatformError:
    """The error that an answer stands for."""
    detail: Any = cast("dict[str, Any]", data).get("detail", data) if isinstance(data, dict) else data
    text = _detail_text(detail)
    message = f"the platform answered {status}{': ' if text else ''}{text}"
    after_s = parse_retry_after_s(retry_after, now_s=now_s)
    if status in {401, 403}:
        hint = (
            "check the API key"
            if status == 401
            else "the key may lack the right, or the plan has no API access"
        )
        return PlatformAccessError(
            message, status_code=status, detail=detail, retry_after_s=after_s, hint=hint
        )
    return PlatformError(message, status_code=status, detail=detail, retry_after_s=after_s)


def _detail_text(detail: Any) -> str:
    if isinstance(detail, list):
        faults = [cast("dict[str, Any]", f) for f in cast("list[object]", detail) if isinstance(f, dict)]
        return "; ".join(f"{'.'.join(map(str, f.get('loc', [])))}: {f.get('msg', '')}" for f in faults)
    return str(detail or "")[:300]
