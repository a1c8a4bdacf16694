"""Speak to a core: emit windows, wait, and read everything back; sync and async.

Emitting works with every core of the wire. Waiting and reading need our core (orca-orchestrator); another one
answers :class:`~orca.processor.errors.NotOffered`.

A client opens one channel at its first call and keeps it. Every call has a deadline. Calls are repeated with
back-off when the core is away, but an emit only where a second one is a no-op: towards our core, which
knows the same window again, or when the first certainly never left this machine.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from typing_extensions import Self

from orca.common.backoff import Decision
from orca.common.retry import RetryPolicy
from orca.processor import _border, _calls, _log, wire
from orca.processor._context import current_parent
from orca.processor.convert import processor_from_wire
from orca.processor.discovery import CoreAddress, find_core
from orca.processor.errors import BaseOrcaException, CoreTimeout, NotOffered
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
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from orca.common.clock import Clock
    from orca.processor.model import Window
    from orca.processor.specs import ProcessorSpec
    from orca.processor.times import TimeLike

__all__ = ["AsyncOrcaClient", "EmitWindow", "OrcaClient"]

CALL_TIMEOUT_S: Final = 10.0
"""The deadline of one call: a core that syncs to a busy disk answers far sooner."""

ROWS_MAX: Final = 10_000
"""Rows that one reading call returns at most: what our core allows."""

RETRY: Final = RetryPolicy(attempts=5, initial_s=0.1, factor=2.0, max_s=2.0, jitter=0.5, deadline_s=15.0)

T = TypeVar("T")


class _Base:
    """What both clients know: the core, the policy, and what the core has shown of itself."""

    def __init__(
        self,
        core: str | CoreAddress | None = None,
        *,
        token: str | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        retry: RetryPolicy | None = None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.core = find_core(core, token=token, environ=environ, folder=folder)
        self._timeout_s = timeout_s
        self._retry = retry or RETRY
        self._clock = clock
        self._channel: Any = None
        self._ours = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.core.url})"

    def _metadata(self, call: _calls.Call) -> tuple[tuple[str, str], ...]:
        return _border.invocation_metadata(self.core, *call.metadata)

    def _see(self, initial: Any) -> None:
        """Our core names its features in every answer."""
        if not self._ours and initial is not None:
            self._ours = any(key == wire.FEATURES_KEY for key, _ in initial)

    def _decider(self, call: _calls.Call) -> Callable[[Exception], Decision]:
        def decide(error: Exception) -> Decision:
            decision = _border.decide(error)
            if not decision.retry or (
                call.repeatable and (self._ours or call.method.path != "/OrcaCore/EmitWindow")
            ):
                return decision
            return Decision(retry=_border.never_sent(error.__cause__))

        return decide

    def _mapped(self, error: Any, call: _calls.Call) -> BaseOrcaException:
        return _border.map_rpc_error(error, self.core, call.method.name)


class OrcaClient(_Base):
    """A client for ordinary code; safe to share between threads.

    Args:
        core: ``grpc://host:port``, or None to look where :mod:`orca.processor.discovery` says.
        token: A bearer token; None takes the one that belongs to the core.
        timeout_s: The deadline of one call.
        retry: How failing calls are repeated.
        environ: The environment to look into.
        folder: Where the search for files begins.
        clock: For pauses between attempts.

    Raises:
        MissingEnvVar: No core is known.

    Example:
        >>> with OrcaClient("grpc://127.0.0.1:33670") as client:
        ...     client
        OrcaClient(grpc://127.0.0.1:33670)
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; the next call opens a new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _open(self) -> Any:
        if self._channel is None:
            self._channel = _border.open_channel(self.core, asynchronous=False)
        return self._channel

    def _once(self, call: _calls.Call, timeout_s: float | None) -> tuple[Any, dict[str, str]]:
        import grpc  # noqa: PLC0415

        try:
            reply, rpc = wire.call(self._open(), call.method).with_call(
                call.request, timeout=timeout_s or self._timeout_s, metadata=self._metadata(call)
            )
        except grpc.RpcError as error:
            raise self._mapped(error, call) from error
        self._see(rpc.initial_metadata())
        return reply, _texts(rpc.trailing_metadata())

    def _call(self, call: _calls.Call, timeout_s: float | None = None) -> tuple[Any, dict[str, str]]:
        return self._retry.call(
            lambda: self._once(call, timeout_s), decide=self._decider(call), clock=self._clock
        )

    def _unary(self, call: _calls.Call, timeout_s: float | None = None) -> Any:
        return call.read(self._call(call, timeout_s)[0])

    def _stream(self, call: _calls.Call, timeout_s: float | None) -> Iterator[Any]:
        import grpc  # noqa: PLC0415

        rpc = wire.call(self._open(), call.method)(
            call.request, timeout=timeout_s, metadata=self._metadata(call)
        )
        try:
            for message in rpc:
                yield call.read(message)
        except grpc.RpcError as error:
            raise self._mapped(error, call) from error
        finally:
            rpc.cancel()

    def emit(
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
            reply, trailing = self._call(traced, timeout_s)
        return _calls.emitted(reply, trailing)

    def emit_many(
        self, windows: Iterable[Window], *, force: bool = False, priority: int = 0
    ) -> list[Emitted]:
        """Hand many windows to the core; the answers are in their order.

        Our core takes a thousand in one call; another one gets them one by one.
        """
        answers: list[Emitted] = []
        remaining = iter(windows)
        while batch := list(itertools.islice(remaining, _calls.EMIT_MANY_MAX)):
            answers += self._emit_batch(batch, force=force, priority=priority)
        return answers

    def _emit_batch(self, batch: list[Window], *, force: bool, priority: int) -> list[Emitted]:
        try:
            done: list[Emitted] = self._unary(_calls.emit_many(batch, force=force, priority=priority))
        except NotOffered:
            return [self.emit(one, force=force, priority=priority) for one in batch]
        return done

    def wait(self, window: Emitted | int, *, timeout_s: float = 60.0) -> Run:
        """Wait until all algorithms of a window have ended.

        Raises:
            CoreTimeout: They did not end in time; the run goes on.
            NotFound: The core does not know the window.
        """
        for run in self.watch(window, timeout_s=timeout_s):
            if run.done:
                return run
        raise CoreTimeout(f"window {window}: the core ended the stream before the run ended")

    def watch(self, window: Emitted | int, *, timeout_s: float | None = None) -> Iterator[Run]:
        """The run of a window, now and at each change, until it has ended."""
        return self._stream(_calls.get_run(run_id=0, window_id=_id(window), watch=True), timeout_s)

    def run(self, run_id: int = 0, *, window: Emitted | int = 0) -> Run:
        """One run with its executions, by its id or as the latest of a window."""
        run: Run = self._unary(_calls.get_run(run_id=run_id, window_id=_id(window), watch=False))
        return run

    def runs(
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
        return list(self._stream(call, self._timeout_s))

    def results(
        self,
        algorithm: str,
        version: str | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int = ROWS_MAX,
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
            limit: At most so many, and never more than 10,000; ask for later ranges to go on.
            newest_first: The latest window first.
            window: Only this window.
        """
        call = _calls.results(
            algorithm,
            version,
            since=since,
            until=until,
            metadata=metadata,
            limit=limit,
            newest_first=newest_first,
            window_id=_id(window),
            follow=False,
        )
        return Results(list(self._stream(call, self._timeout_s)))

    def follow(
        self, algorithm: str, version: str | None = None, *, since: TimeLike | None = None
    ) -> Iterator[ResultRow]:
        """Results as they arrive, without end; close the iterator to stop."""
        call = _calls.results(
            algorithm,
            version,
            since=since,
            until=None,
            metadata=None,
            limit=0,
            newest_first=False,
            window_id=0,
            follow=True,
        )
        return self._stream(call, None)

    def windows(
        self,
        window_type: str | None = None,
        version: str | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int = ROWS_MAX,
        newest_first: bool = False,
    ) -> list[WindowRow]:
        """Stored windows."""
        call = _calls.windows(
            window_type,
            version,
            since=since,
            until=until,
            metadata=metadata,
            limit=limit,
            newest_first=newest_first,
        )
        return list(self._stream(call, self._timeout_s))

    def processors(self, *, exclude_project: str = "") -> list[ProcessorSpec]:
        """All registered processors with their algorithms."""
        found: list[ProcessorSpec] = self._unary(_expose(exclude_project))
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
    ) -> Iterator[tuple[int, int, int]]:
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
            window_id=_id(window),
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

    def cancel(self, run_id: int) -> Run:
        """End a run; what has not begun never begins."""
        run: Run = self._unary(_calls.cancel(run_id))
        return run

    def status(self) -> CoreState:
        """What the core says of itself."""
        state: CoreState = self._unary(_calls.status())
        return state

    def put_schedule(self, schedule: Schedule) -> Schedule:
        """Make or replace a schedule that the core keeps."""
        kept: Schedule = self._unary(_calls.put_schedule(schedule))
        return kept

    def schedules(self) -> list[Schedule]:
        """The schedules that the core keeps."""
        return list(self._stream(_calls.schedules(), self._timeout_s))

    def delete_schedule(self, name: str) -> None:
        """End a schedule."""
        self._unary(_calls.delete_schedule(name))

    def annotate(
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
        note: Annotation = self._unary(call)
        return note

    def annotations(
        self,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        algorithm: str | None = None,
        limit: int = 0,
    ) -> list[Annotation]:
        """Notes that lie in a span of time."""
        call = _calls.notes(since=since, until=until, algorithm=algorithm, limit=limit)
        return list(self._stream(call, self._timeout_s))


class AsyncOrcaClient(_Base):
    """The same for asyncio code; its arguments and errors are those of :class:`OrcaClient`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; the next call opens a new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _open(self) -> Any:
        if self._channel is None:
            self._channel = _border.open_channel(self.core, asynchronous=True)
        return self._channel

    async def _once(self, call: _calls.Call, timeout_s: float | None) -> tuple[Any, dict[str, str]]:
        import grpc  # noqa: PLC0415

        rpc = wire.call(self._open(), call.method)(
            call.request, timeout=timeout_s or self._timeout_s, metadata=self._metadata(call)
        )
        try:
            reply = await rpc
            self._see(await rpc.initial_metadata())
            return reply, _texts(await rpc.trailing_metadata())
        except grpc.RpcError as error:
            raise self._mapped(error, call) from error

    async def _call(self, call: _calls.Call, timeout_s: float | None = None) -> tuple[Any, dict[str, str]]:
        return await self._retry.call_async(
            lambda: self._once(call, timeout_s), decide=self._decider(call), clock=self._clock
        )

    async def _unary(self, call: _calls.Call, timeout_s: float | None = None) -> Any:
        return call.read((await self._call(call, timeout_s))[0])

    async def _stream(self, call: _calls.Call, timeout_s: float | None) -> AsyncIterator[Any]:
        import grpc  # noqa: PLC0415

        rpc = wire.call(self._open(), call.method)(
            call.request, timeout=timeout_s, metadata=self._metadata(call)
        )
        try:
            async for message in rpc:
                yield call.read(message)
        except grpc.RpcError as error:
            raise self._mapped(error, call) from error
        finally:
            rpc.cancel()

    async def emit(
        self,
        window: Window,
        *,
        force: bool = False,
        priority: int = 0,
        key: str | None = None,
        timeout_s: float | None = None,
    ) -> Emitted:
        """See :meth:`OrcaClient.emit`."""
        call = _calls.emit(window, force=force, priority=priority, parent=current_parent(), key=key)
        with emit_span(window, call) as traced:
            reply, trailing = await self._call(traced, timeout_s)
        return _calls.emitted(reply, trailing)

    async def emit_many(
        self, windows: Iterable[Window], *, force: bool = False, priority: int = 0
    ) -> list[Emitted]:
        """See :meth:`OrcaClient.emit_many`."""
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
        """See :meth:`OrcaClient.wait`."""
        async for run in self.watch(window, timeout_s=timeout_s):
            if run.done:
                return run
        raise CoreTimeout(f"window {window}: the core ended the stream before the run ended")

    def watch(self, window: Emitted | int, *, timeout_s: float | None = None) -> AsyncIterator[Run]:
        """See :meth:`OrcaClient.watch`."""
        return self._stream(_calls.get_run(run_id=0, window_id=_id(window), watch=True), timeout_s)

    async def run(self, run_id: int = 0, *, window: Emitted | int = 0) -> Run:
        """See :meth:`OrcaClient.run`."""
        run: Run = await self._unary(_calls.get_run(run_id=run_id, window_id=_id(window), watch=False))
        return run

    async def results(
        self,
        algorithm: str,
        version: str | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int = ROWS_MAX,
        newest_first: bool = False,
        window: Emitted | int = 0,
    ) -> Results:
        """See :meth:`OrcaClient.results`."""
        call = _calls.results(
            algorithm,
            version,
            since=since,
            until=until,
            metadata=metadata,
            limit=limit,
            newest_first=newest_first,
            window_id=_id(window),
            follow=False,
        )
        return Results([row async for row in self._stream(call, self._timeout_s)])

    async def windows(
        self,
        window_type: str | None = None,
        version: str | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int = ROWS_MAX,
        newest_first: bool = False,
    ) -> list[WindowRow]:
        """See :meth:`OrcaClient.windows`."""
        call = _calls.windows(
            window_type,
            version,
            since=since,
            until=until,
            metadata=metadata,
            limit=limit,
            newest_first=newest_first,
        )
        return [row async for row in self._stream(call, self._timeout_s)]

    async def processors(self, *, exclude_project: str = "") -> list[ProcessorSpec]:
        """See :meth:`OrcaClient.processors`."""
        found: list[ProcessorSpec] = await self._unary(_expose(exclude_project))
        return found

    async def status(self) -> CoreState:
        """See :meth:`OrcaClient.status`."""
        state: CoreState = await self._unary(_calls.status())
        return state


def _expose(exclude_project: str) -> _calls.Call:
    request = wire.ExposeSettings(exclude_project=exclude_project)
    return _calls.Call(
        wire.OrcaCore.Expose, request, lambda state: [processor_from_wire(one) for one in state.processors]
    )


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def _id(window: Emitted | int) -> int:
    return window if isinstance(window, int) else window.window_id


_shared: dict[CoreAddress, OrcaClient] = {}
SHARED_MAX: Final = 8
"""Cores that :func:`EmitWindow` keeps a channel to: one in any real program, a few in tests."""


def EmitWindow(window: Window, *, core: str | CoreAddress | None = None) -> Emitted:  # noqa: N802 - published name
    """Hand a window to the core, in the words of the published SDKs.

    The channel is opened at the first window and kept. The two lines of the published SDKs are logged.

    Args:
        window: What to process.
        core: Where the core is; None looks where :mod:`orca.processor.discovery` says.

    Raises:
        MissingEnvVar: No core is known.
        CoreUnreachable: The core did not answer.
        CoreError: The core refused the window.
    """
    _log.make_visible()
    _log.get_logger().info("Emitting window: %s", window)
    address = find_core(core)
    client = _shared.get(address)
    if client is None:
        while len(_shared) >= SHARED_MAX:
            _shared.pop(next(iter(_shared))).close()
        client = _shared[address] = OrcaClient(address)
    answer = client.emit(window)
    _log.get_logger().info("Window emitted: status: %s", answer.status)
    return answer


def close_shared() -> None:
    """Close the channels that :func:`EmitWindow` keeps; the next window opens a new one."""
    while _shared:
        with suppress(KeyError):
            _shared.popitem()[1].close()
