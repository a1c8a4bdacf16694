"""The platform API: start pipelines, follow and cancel runs, read task runs and logs."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import httpx

from orca.common.clock import Clock, SystemClock
from orca.common.errors import DeadlineError, UnreachableError
from orchestra.sdk import _platform_rules as rules
from orchestra.sdk._platform_http import DeadlineTransport
from orchestra.sdk._platform_rules import Call, PipelineRun, StartedRun, TaskRun
from orchestra.sdk._protocol import backoff_s
from orchestra.sdk.errors import MissingEnvironmentKeysError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from typing_extensions import Self

__all__ = [
    "AsyncPlatformClient",
    "LogPiece",
    "PipelineRun",
    "PlatformClient",
    "StartedRun",
    "TaskRun",
]

T = TypeVar("T")

ATTEMPTS_MAX = 4
"""Attempts of one call; with a limit of 50 requests a minute, more would only prolong a refusal."""
POLL_S = 5.0
"""How often `wait_for_run` asks: 12 requests a minute of the 50 that a key has."""
CONNECT_S = 10.0
ANSWER_BYTES_MAX = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of a log file.

    Attributes:
        data: The bytes; empty when nothing is new.
        end: The offset to ask from next.
        file_status: What the platform says about the file, such as whether it still grows.
    """

    data: bytes
    end: int
    file_status: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What both clients read out of an answer."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class _Pieces:
    """Collects a body up to the limit, unpacked: a small answer may unpack to a very large one."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > ANSWER_BYTES_MAX:
            raise PlatformError(f"an answer is larger than {ANSWER_BYTES_MAX:,} bytes")
        self._pieces.append(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces)


class _Base:
    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str = rules.BASE_URL,
        timeout_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        key = api_key or os.environ.get("ORCHESTRA_API_KEY", "")
        if not key:
            raise MissingEnvironmentKeysError({"ORCHESTRA_API_KEY"})
        self._base_url = base_url.rstrip("/")
        self._clock: Clock = clock or SystemClock()
        self._rng = random.Random()  # noqa: S311  jitter
        self._timeout_s = timeout_s
        # netrc is not read by httpx unless asked for; redirects are off by default.
        self._settings: dict[str, Any] = {
            "timeout": httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            "headers": {"Authorization": f"Bearer {key}", "Accept": "application/json"},
        }

    def _request(self, client: Any, call: Call) -> httpx.Request:
        body = None if call.body is None else dict(call.body)
        request: httpx.Request = client.build_request(
            call.method,
            self._base_url + call.path,
            params=dict(call.query),
            json=body,
            headers=dict(call.headers),
        )
        return request

    def _next_wait_s(self, call: Call, attempt: int, error: Exception) -> float | None:
        """Seconds until the next attempt, or None when the error is final."""
        status = error.status_code or 400 if isinstance(error, PlatformError) else 0
        if attempt >= ATTEMPTS_MAX or not rules.may_retry(call, status):
            return None
        after_s = error.retry_after_s if isinstance(error, PlatformError) else None
        return backoff_s(attempt + 2, jitter=self._rng.random(), after_s=after_s)


def _verify() -> Any:
    from orchestra.sdk._http import ca_bundle  # noqa: PLC0415

    bundle = ca_bundle(os.environ)
    if bundle is None:
        return True
    import ssl  # noqa: PLC0415

    folder = os.path.isdir(bundle)  # noqa: PTH112
    return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)


def _read(response: _Answer) -> Any:
    """The JSON of a good answer; raises what a bad one stands for."""
    try:
        data = json.loads(response.content) if response.content else None
    except ValueError:
        data = response.content[:300].decode("utf-8", "replace")
    if response.status_code >= 300:
        raise rules.error_of(
            response.status_code, data, retry_after=response.headers.get("retry-after"), now_s=time.time()
        )
    return data


def _log_piece(response: _Answer, start: int) -> LogPiece:
    status = response.headers.get("x-file-status", "")
    if response.status_code == 416:
        return LogPiece(b"", start, status)
    if response.status_code >= 300:
        _read(response)
    data = response.content
    if response.status_code == 200:
        data = data[start:]  # the range was not honoured: the whole file came
    return LogPiece(data, start + len(data), status)


def _log_call(run_id: str, task_run_id: str, filename: str, start: int) -> Call:
    path = f"/pipeline_runs/{rules.part(run_id)}/task_runs/{rules.part(task_run_id)}/logs/download"
    return Call("GET", path, {"filename": filename}, headers={"Range": f"bytes={start}-"})


class PlatformClient(_Base):
    """The synchronous client.

    Args:
        api_key: The key; ORCHESTRA_API_KEY of the environment when left out.
        base_url: The API's address.
        timeout_s: For each request, from its beginning to the end of the answer, however slowly that moves.
        clock: Time, for waits.

    Raises:
        MissingEnvironmentKeysError: There is no key.
    """

    def __init__(self, api_key: str | None = None, **options: Any) -> None:
        super().__init__(api_key, **options)
        transport = DeadlineTransport(self._base_url, self._timeout_s)
        self._client = httpx.Client(transport=transport, **self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def start_pipeline(self, pipeline: str, **options: Any) -> StartedRun:
        """Start a pipeline by id or alias.

        The platform has no idempotency key. When the answer of a start with ``ci_run_id`` is lost, the run is looked
        for before anything else happens; without one the error says that the run may have started.

        Args:
            pipeline: Id or alias.
            options: ``branch, commit, version_number, task_ids, continue_downstream_run, run_inputs, environment,
                environment_overrides, ci_run_id, retry_from_failed``.

        Raises:
            UsageError: An option is unknown.
            PlatformError: The platform refused.
            UnreachableError: The platform did not answer.
        """
        call = rules.start_pipeline(pipeline, options)
        try:
            return _started(self._send(call, _read))
        except (UnreachableError, PlatformError) as error:
            found = self._find(options.get("ci_run_id")) if _ambiguous(error) else None
            if found is None:
                raise
            return StartedRun(found, "found by its CI run", found=True)

    def _find(self, ci_run_id: str | None) -> str | None:
        if not ci_run_id:
            return None
        data = self._send(Call("GET", "/pipeline_runs", {"page": "1", "page_size": "100"}), _read)
        return rules.find_by_ci_run(rules.page_results(data), ci_run_id)

    def run_status(self, run_id: str) -> PipelineRun:
        """The state of a pipeline run.

        Raises:
            PlatformError: The platform refused.
            UnreachableError: The platform did not answer.
        """
        call = Call("GET", f"/pipeline_runs/{rules.part(run_id)}/status")
        return PipelineRun.read(self._send(call, _read) or {}, id=run_id)

    def list_runs(
        self,
        *,
        status: str | None = None,
        pipeline_ids: Sequence[str] = (),
        time_from: datetime | None = None,
        time_to: datetime | None = None,
        page: int = 1,
        page_size: int = 100,
    ) -> list[PipelineRun]:
        """One page of pipeline runs; without times those of the platform's default window.

        Raises:
            UsageError: Only one time, more than 7 days, or a page out of range.
        """
        call = rules.list_runs(
            status=status, pipeline_ids=pipeline_ids, time_from=time_from, time_to=time_to, page=page,
            page_size=page_size,
        )  # fmt: skip
        return [PipelineRun.read(item) for item in rules.page_results(self._send(call, _read))]

    def cancel_run(self, run_id: str, *, force: bool = False) -> None:
        """Ask a pipeline run to stop."""
        self._send(Call("POST", f"/pipeline_runs/{rules.part(run_id)}/cancel", body={"force": force}), _read)

    def task_runs(self, run_id: str) -> list[TaskRun]:
        """The task runs of a pipeline run."""
        data = self._send(Call("GET", f"/pipeline_runs/{rules.part(run_id)}/task_runs"), _read)
        return [TaskRun.read(item) for item in rules.page_results(data)]

    def get_task_runs(self, *task_run_ids: str) -> list[TaskRun]:
        """Task runs by their ids."""
        data = self._send(
            Call("GET", "/task_runs", {"task_run_ids": ",".join(map(str, task_run_ids))}), _read
        )
        return [TaskRun.read(item) for item in rules.page_results(data)]

    def logs(self, run_id: str, task_run_id: str) -> list[Mapping[str, Any]]:
        """The log files of a task run."""
        path = f"/pipeline_runs/{rules.part(run_id)}/task_runs/{rules.part(task_run_id)}/logs"
        return rules.page_results(self._send(Call("GET", path), _read))

    def download_log(self, run_id: str, task_run_id: str, filename: str, *, start: int = 0) -> LogPiece:
        """A log file from byte ``start`` on; ask again from ``end`` for what is new."""
        return self._send(_log_call(run_id, task_run_id, filename, start), lambda r: _log_piece(r, start))

    def wait_for_run(self, run_id: str, *, timeout_s: float = 3_600.0, poll_s: float = POLL_S) -> PipelineRun:
        """Wait until a pipeline run has ended. One bad answer does not end the wait; a refusal does.

        Raises:
            DeadlineError: It has not ended in time.
            PlatformAccessError: The key is refused.
            PlatformError: The run does not exist, or the request is wrong.
        """
        end_s = self._clock.monotonic() + timeout_s
        last: Exception | None = None
        while self._clock.monotonic() < end_s:
            try:
                run = self.run_status(run_id)
                if run.terminal:
                    return run
            except (PlatformError, UnreachableError) as error:
                if not _passing(error):
                    raise
                last = error
            self._clock.sleep(max(min(poll_s, end_s - self._clock.monotonic()), 0.0))
        raise DeadlineError(f"pipeline run {run_id} has not ended within {timeout_s:g} s") from last

    def _exchange(self, call: Call) -> _Answer:
        response = self._client.send(self._request(self._client, call), stream=True)
        try:
            pieces = _Pieces()
            for piece in response.iter_bytes():
                pieces.add(piece)
            return _Answer(response.status_code, response.headers, pieces.whole())
        finally:
            response.close()

    def _send(self, call: Call, read: Callable[[_Answer], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return read(self._exchange(call))
            except httpx.TransportError as error:
                failure: Exception = _unreachable(error)
            except PlatformError as error:
                failure = error
            wait_s = self._next_wait_s(call, attempt, failure)
            if wait_s is None:
                raise failure
            self._clock.sleep(wait_s)


class AsyncPlatformClient(_Base):
    """The asynchronous client; every method is that of `PlatformClient`, to be awaited."""

    def __init__(self, api_key: str | None = None, **options: Any) -> None:
        super().__init__(api_key, **options)
        self._client = httpx.AsyncClient(verify=_verify(), **self._settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def start_pipeline(self, pipeline: str, **options: Any) -> StartedRun:
        """Start a pipeline; see `PlatformClient.start_pipeline`."""
        call = rules.start_pipeline(pipeline, options)
        try:
            return _started(await self._send(call, _read))
        except (UnreachableError, PlatformError) as error:
            found = await self._find(options.get("ci_run_id")) if _ambiguous(error) else None
            if found is None:
                raise
            return StartedRun(found, "found by its CI run", found=True)

    async def _find(self, ci_run_id: str | None) -> str | None:
        if not ci_run_id:
            return None
        data = await self._send(Call("GET", "/pipeline_runs", {"page": "1", "page_size": "100"}), _read)
        return rules.find_by_ci_run(rules.page_results(data), ci_run_id)

    async def run_status(self, run_id: str) -> PipelineRun:
        """The state of a pipeline run."""
        call = Call("GET", f"/pipeline_runs/{rules.part(run_id)}/status")
        return PipelineRun.read(await self._send(call, _read) or {}, id=run_id)

    async def list_runs(
        self,
        *,
        status: str | None = None,
        pipeline_ids: Sequence[str] = (),
        time_from: datetime | None = None,
        time_to: datetime | None = None,
        page: int = 1,
        page_size: int = 100,
    ) -> list[PipelineRun]:
        """One page of pipeline runs; see `PlatformClient.list_runs`."""
        call = rules.list_runs(
            status=status, pipeline_ids=pipeline_ids, time_from=time_from, time_to=time_to, page=page,
            page_size=page_size,
        )  # fmt: skip
        return [PipelineRun.read(item) for item in rules.page_results(await self._send(call, _read))]

    async def cancel_run(self, run_id: str, *, force: bool = False) -> None:
        """Ask a pipeline run to stop."""
        await self._send(
            Call("POST", f"/pipeline_runs/{rules.part(run_id)}/cancel", body={"force": force}), _read
        )

    async def task_runs(self, run_id: str) -> list[TaskRun]:
        """The task runs of a pipeline run."""
        data = await self._send(Call("GET", f"/pipeline_runs/{rules.part(run_id)}/task_runs"), _read)
        return [TaskRun.read(item) for item in rules.page_results(data)]

    async def get_task_runs(self, *task_run_ids: str) -> list[TaskRun]:
        """Task runs by their ids."""
        call = Call("GET", "/task_runs", {"task_run_ids": ",".join(map(str, task_run_ids))})
        return [TaskRun.read(item) for item in rules.page_results(await self._send(call, _read))]

    async def logs(self, run_id: str, task_run_id: str) -> list[Mapping[str, Any]]:
        """The log files of a task run."""
        path = f"/pipeline_runs/{rules.part(run_id)}/task_runs/{rules.part(task_run_id)}/logs"
        return rules.page_results(await self._send(Call("GET", path), _read))

    async def download_log(self, run_id: str, task_run_id: str, filename: str, *, start: int = 0) -> LogPiece:
        """A log file from byte ``start`` on."""
        return await self._send(
            _log_call(run_id, task_run_id, filename, start), lambda r: _log_piece(r, start)
        )

    async def wait_for_run(
        self, run_id: str, *, timeout_s: float = 3_600.0, poll_s: float = POLL_S
    ) -> PipelineRun:
        """Wait until a pipeline run has ended; see `PlatformClient.wait_for_run`."""
        end_s = self._clock.monotonic() + timeout_s
        last: Exception | None = None
        while self._clock.monotonic() < end_s:
            try:
                run = await self.run_status(run_id)
                if run.terminal:
                    return run
            except (PlatformError, UnreachableError) as error:
                if not _passing(error):
                    raise
                last = error
            await self._clock.sleep_async(max(min(poll_s, end_s - self._clock.monotonic()), 0.0))
        raise DeadlineError(f"pipeline run {run_id} has not ended within {timeout_s:g} s") from last

    async def _exchange(self, call: Call) -> _Answer:
        try:
            with anyio.fail_after(self._timeout_s):
                response = await self._client.send(self._request(self._client, call), stream=True)
                try:
                    pieces = _Pieces()
                    async for piece in response.aiter_bytes():
                        pieces.add(piece)
                    return _Answer(response.status_code, response.headers, pieces.whole())
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise httpx.ReadTimeout("the total deadline has passed") from error

    async def _send(self, call: Call, read: Callable[[_Answer], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return read(await self._exchange(call))
            except httpx.TransportError as error:
                failure: Exception = _unreachable(error)
            except PlatformError as error:
                failure = error
            wait_s = self._next_wait_s(call, attempt, failure)
            if wait_s is None:
                raise failure
            await self._clock.sleep_async(wait_s)


def _started(data: Any) -> StartedRun:
    return StartedRun(str(data.get("pipelineRunId") or data.get("id")), str(data.get("message") or ""))


def _ambiguous(error: Exception) -> bool:
    """Whether the request may have had its effect although it failed."""
    return not isinstance(error, PlatformError) or error.status_code >= 500


def _passing(error: Exception) -> bool:
    """Whether a later question may get a better answer."""
    return (
        not isinstance(error, PlatformError)
        or error.status_code in {408, 425, 429}
        or error.status_code >= 500
    )


def _unreachable(error: httpx.TransportError) -> UnreachableError:
    return UnreachableError(f"the platform did not answer ({type(error).__name__})")
