"""The client: every method once, for asyncio; the one for ordinary code is written from this file.

``packages/processor/generate.py`` leaves out ``async`` and ``await`` and changes the names that begin with ``Async``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from orca.processor import _calls
from orca.processor._client_base import ROWS_MAX, AsyncCalls
from orca.processor._context import current_parent
from orca.processor.errors import CoreTimeout, NotOffered
from orca.processor.records import (
    Annotation,
    CoreState,
    Emitted,
    ResultRow,
    Results,
    Run,
    Schedule,
    WindowRow,
)
from orca.processor.telemetry import emit_span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from orca.processor.model import Window
    from orca.processor.specs import ProcessorSpec
    from orca.processor.times import TimeLike

__all__ = ["AsyncOrcaClient"]


class AsyncOrcaClient(AsyncCalls):
    """A client of one core: windows out, runs and results back.

    One channel is opened at the first call and kept. :class:`OrcaClient` is for ordinary code and safe to share
    between threads, :class:`AsyncOrcaClient` for asyncio; both have the same methods. Their arguments are those of
    ``core`` (``grpc://host:port``, or None to look where :mod:`orca.processor.discovery` says), ``token``,
    ``timeout_s`` of one call, ``retry``, ``environ``, ``folder`` and ``clock``.

    Raises:
        MissingEnvVar: No core is known.

    Example:
        >>> AsyncOrcaClient("grpc://127.0.0.1:33670")
        AsyncOrcaClient(grpc://127.0.0.1:33670)
    """

    async def emit(
        self,
        window: Window,
        *,
        force: bool = False,
        priority: int = 0,
        key: str | None = None,
        timeout_s: float | None = None,
    ) -> Emitted:
        """Hand a window to the core.

        Args:
            window: What to process.
            force: Run again although the same window is known.
            priority: Higher runs first.
            key: Replaces the idempotency key that the core makes from the window.
            timeout_s: The deadline of this call.

        Raises:
            CoreUnreachable: The core did not answer, after retries.
            CoreError: The core refused it; the class says why.
            ConversionError: The metadata cannot be sent.
        """
        call = _calls.emit(window, force=force, priority=priority, parent=current_parent(), key=key)
        with emit_span(window, call) as traced:
            reply, trailing = await self._call(traced, timeout_s)
        return _calls.emitted(reply, trailing)

    async def emit_many(
        self, windows: Iterable[Window], *, force: bool = False, priority: int = 0
    ) -> list[Emitted]:
        """Hand many windows to the core; the answers are in their order.

        Our core takes a thousand in one call; another one gets them one by one.
        """
        answers: list[Emitted] = []
        remaining = iter(windows)
        while batch := list(itertools.islice(remaining, _calls.EMIT_MANY_MAX)):
            answers += await self._emit_batch(batch, force=force, priority=priority)
        return answers

    async def _emit_batch(self, batch: list[Window], *, force: bool, priority: int) -> list[Emitted]:
        try:
            done: list[Emitted] = await self._unary(_calls.emit_many(batch, force=force, priority=priority))
        except NotOffered:
            return [await self.emit(one, force=force, priority=priority) for one in batch]
        return done

    async def wait(self, window: Emitted | int, *, timeout_s: float = 60.0) -> Run:
        """Wait until all algorithms of a window have ended.

        Raises:
            CoreTimeout: They did not end in time; the run goes on.
            NotFound: The core does not know the window.
        """
        async for run in self.watch(window, timeout_s=timeout_s):
            if run.done:
                return run
        raise CoreTimeout(f"window {window}: the core ended the stream before the run ended")

    def watch(self, window: Emitted | int, *, timeout_s: float | None = None) -> AsyncIterator[Run]:
        """The run of a window, now and at each change, until it has ended."""
        return self._stream(
            _calls.get_run(run_id=0, window_id=_calls.window_id(window), watch=True), timeout_s
        )

    async def run(self, run_id: int = 0, *, window: Emitted | int = 0) -> Run:
        """One run with its executions, by its id or as the latest of a window."""
        run: Run = await self._unary(
            _calls.get_run(run_id=run_id, window_id=_calls.window_id(window), watch=False)
        )
        return run

    async def runs(
        self,
        *,
        state: str = "",
        window_type: str | None = None,
        version: str | None = None,
        since: TimeLike | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """The latest runs, newest first, without their executions."""
        call = _calls.runs(state=state, window_type=window_type, version=version, since=since, limit=limit)
        return await self._rows(call)

    async def results(
        self,
        algorithm: str,
        version: str | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        window: Emitted | int = 0,
    ) -> Results:
        """Stored results of an algorithm, as rows and frames.

        Args:
            algorithm: Its name, or name and version as ``Mean_1.0.0``.
            version: Its version; all versions when None.
            since: Only windows that begin here or later.
            until: Only windows that end here or earlier.
            metadata: Only windows whose metadata has these values.
            limit: At most so many rows; all when None.
            newest_first: The latest window first.
            window: Only this window.

        Raises:
            ResourceExhausted: Without a limit, there are more rows than one call reads: a million.
        """
        call = _calls.results(
            algorithm,
            version,
            since=since,
            until=until,
            metadata=metadata,
            limit=ROWS_MAX if limit is None else limit,
            newest_first=newest_first,
            window_id=_calls.window_id(window),
        )
        return Results(await self._rows(call, limit))

    def follow(
        self, algorithm: str, version: str | None = None, *, since: TimeLike | None = None
    ) -> AsyncIterator[ResultRow]:
        """Results as they arrive, without end; close the iterator to stop."""
        return self._stream(_calls.results(algorithm, version, since=since, follow=True), None)

    async def windows(
        self,
        window_type: str | None = None,
        version: str | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[WindowRow]:
        """Stored windows; the arguments and errors are those of :meth:`results`."""
        call = _calls.windows(
            window_type,
            version,
            since=since,
            until=until,
            metadata=metadata,
            limit=ROWS_MAX if limit is None else limit,
            newest_first=newest_first,
        )
        return await self._rows(call, limit)

    async def processors(self, *, exclude_project: str = "") -> list[ProcessorSpec]:
        """All registered processors with their algorithms."""
        found: list[ProcessorSpec] = await self._unary(_calls.expose(exclude_project))
        return found

    def reprocess(
        self,
        *,
        window: Emitted | int = 0,
        run_id: int = 0,
        window_type: str | None = None,
        version: str | None = None,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        failed: bool = False,
        reuse: bool = False,
        priority: int = 0,
    ) -> AsyncIterator[tuple[int, int, int]]:
        """Replay one window, one run, or a range; yields (done, total, run id) as the core goes on.

        Args:
            window: This window.
            run_id: This run.
            window_type: All windows of this type, in the range.
            version: Of this version.
            since: Begin of the range.
            until: End of the range.
            failed: Only what failed.
            reuse: Keep the results that are there, and run only what has none.
            priority: Higher runs first.
        """
        call = _calls.reprocess(
            window_id=_calls.window_id(window),
            run_id=run_id,
            window_type=window_type,
            version=version,
            since=since,
            until=until,
            failed=failed,
            reuse=reuse,
            priority=priority,
        )
        return self._stream(call, None)

    async def cancel(self, run_id: int) -> Run:
        """End a run; what has not begun never begins."""
        run: Run = await self._unary(_calls.cancel(run_id))
        return run

    async def status(self) -> CoreState:
        """What the core says of itself."""
        state: CoreState = await self._unary(_calls.status())
        return state

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        """Make or replace a schedule that the core keeps."""
        kept: Schedule = await self._unary(_calls.put_schedule(schedule))
        return kept

    async def schedules(self) -> list[Schedule]:
        """The schedules that the core keeps."""
        return await self._rows(_calls.schedules())

    async def delete_schedule(self, name: str) -> None:
        """End a schedule."""
        await self._unary(_calls.delete_schedule(name))

    async def annotate(
        self,
        since: TimeLike,
        until: TimeLike,
        description: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        algorithms: Iterable[str] = (),
        window_types: Iterable[str] = (),
    ) -> Annotation:
        """Put a note on a span of time, which :meth:`annotations` reads back."""
        call = _calls.annotate(
            since, until, description, metadata=metadata, algorithms=algorithms, window_types=window_types
        )
        note: Annotation = await self._unary(call)
        return note

    async def annotations(
        self,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        algorithm: str | None = None,
        limit: int = 0,
    ) -> list[Annotation]:
        """Notes that lie in a span of time."""
        call = _calls.notes(since=since, until=until, algorithm=algorithm, limit=limit)
        return await self._rows(call)
