"""What both clients are made of: the core, the policy, and how one call or one stream is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import Self

from orca.common.backoff import Decision
from orca.common.retry import RetryPolicy
from orca.processor import _border, wire
from orca.processor.discovery import CoreAddress, find_core
from orca.processor.errors import BaseOrcaException, ResourceExhausted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from orca.common.clock import Clock
    from orca.processor import _calls

__all__ = ["CALL_TIMEOUT_S", "READ_TIMEOUT_S", "ROWS_MAX", "AsyncCalls", "SyncCalls", "all_read"]

CALL_TIMEOUT_S: Final = 10.0
"""The deadline of one call: a core that syncs to a busy disk answers far sooner."""

READ_TIMEOUT_S: Final = 600.0
"""The deadline of reading rows: a million of them take about a minute."""

ROWS_MAX: Final = 1_000_000
"""Rows that one reading call returns at most: what our core allows."""

RETRY: Final = RetryPolicy(attempts=5, initial_s=0.1, factor=2.0, max_s=2.0, jitter=0.5, deadline_s=15.0)


class _Base:
    """What both clients know: the core, the policy, and what the core has shown of itself.

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
    """

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


class SyncCalls(_Base):
    """Calls for ordinary code."""

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

    def _rows(self, call: _calls.Call, limit: int | None = None) -> list[Any]:
        """All that a stream has, read anew when the core goes away in its middle."""
        rows = self._retry.call(
            lambda: list(self._stream(call, READ_TIMEOUT_S)), decide=self._decider(call), clock=self._clock
        )
        return all_read(rows, limit)


class AsyncCalls(_Base):
    """Calls for asyncio code."""

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

    async def _rows(self, call: _calls.Call, limit: int | None = None) -> list[Any]:
        """All that a stream has, read anew when the core goes away in its middle."""

        async def read() -> list[Any]:
            return [row async for row in self._stream(call, READ_TIMEOUT_S)]

        rows = await self._retry.call_async(read, decide=self._decider(call), clock=self._clock)
        return all_read(rows, limit)


def all_read(rows: list[Any], limit: int | None) -> list[Any]:
    """The rows, unless the core has cut them off without being asked to.

    Raises:
        ResourceExhausted: There may be more.
    """
    if limit is None and len(rows) >= ROWS_MAX:
        text = f"there are more than {ROWS_MAX} rows, and one call reads no more"
        raise ResourceExhausted(
            text, status="RESOURCE_EXHAUSTED", hint="read in ranges: since=..., until=..."
        )
    return rows


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}
