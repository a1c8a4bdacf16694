"""What every served call shares: tokens, deadlines, and errors as gRPC status codes with their fields."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any

import grpc

from orca.common.errors import OrcaError
from orca.orchestrator import errors
from orca.processor import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orca.orchestrator.security import TokenTable

__all__ = ["Guard", "status_of"]

logger = logging.getLogger(__name__)

_PLAN_CODES = {
    "missing": grpc.StatusCode.FAILED_PRECONDITION,
    "version": grpc.StatusCode.FAILED_PRECONDITION,
    "ambiguous": grpc.StatusCode.ALREADY_EXISTS,
    "window-type": grpc.StatusCode.ALREADY_EXISTS,
    "duplicate": grpc.StatusCode.INVALID_ARGUMENT,
    "cycle": grpc.StatusCode.INVALID_ARGUMENT,
    "cross-window-type": grpc.StatusCode.INVALID_ARGUMENT,
    "limit": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_CODES: tuple[tuple[type[BaseException], grpc.StatusCode], ...] = (
    (errors.InvalidFieldError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.ConflictError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.LimitError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.StoreFullError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.StoreError, grpc.StatusCode.UNAVAILABLE),
    (asyncio.TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
)


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Code and text for an error; what is not ours is told without its inside."""
    if isinstance(error, errors.PlanError):
        return _PLAN_CODES[error.problems[0].kind], str(error)
    if isinstance(error, errors.AccessError):
        unknown = "token" in error.message and "lacks" not in error.message
        code = grpc.StatusCode.UNAUTHENTICATED if unknown else grpc.StatusCode.PERMISSION_DENIED
        return code, str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, str(error)
    if isinstance(error, OrcaError):
        return grpc.StatusCode.INTERNAL, str(error)
    return grpc.StatusCode.INTERNAL, "the core failed inside; its log says why"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def details_bytes(code: grpc.StatusCode, text: str, faults: tuple[errors.FieldFault, ...]) -> bytes:
    """``google.rpc.Status`` with a ``BadRequest``, spelt by hand: three small messages need no dependency.

    Source: google/rpc/status.proto and error_details.proto (BadRequest.FieldViolation: field=1, description=2).
    """
    violations = b"".join(
        _field(1, _field(1, fault.field.encode()) + _field(2, fault.description.encode())) for fault in faults
    )
    packed = _field(1, b"type.googleapis.com/google.rpc.BadRequest") + _field(2, violations)
    number: int = code.value[0]
    return b"\x08" + _varint(number) + _field(2, text.encode()) + _field(3, packed)


def _never(_request: Any) -> bool:
    return False


class _Deadline:
    """Ends the present task's block after a while, without a task of its own as `asyncio.wait_for` has.

    Raises:
        asyncio.TimeoutError: The block took longer.
    """

    __slots__ = ("_expired", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._expired = False
        self._task: Any = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> None:
        """Nothing: the time runs already."""

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._timer.cancel()
        if self._expired and kind is asyncio.CancelledError:
            if hasattr(self._task, "uncancel"):
                self._task.uncancel()
            raise asyncio.TimeoutError("the call took longer than the core allows")


class Guard:
    """Wraps handlers of unary and streaming calls.

    Args:
        tokens: Who may call.
        deadline_s: The longest that a unary call, or one message of a stream that reads, may take.
    """

    def __init__(self, tokens: TokenTable, *, deadline_s: float) -> None:
        self._tokens = tokens
        self._deadline_s = deadline_s

    def __call__(
        self, scope: str, handler: Callable[..., Any], *, unlimited: Callable[[Any], bool] = _never
    ) -> Callable[..., Any]:
        """A handler that answers only callers with ``scope``.

        Args:
            scope: What the caller's token must allow.
            handler: A coroutine function, or an asynchronous generator function for a stream.
            unlimited: Whether the stream that a request asks for waits for what happens, or limits itself.
        """
        if inspect.isasyncgenfunction(handler):
            return self._stream(scope, handler, unlimited)
        return self._unary(scope, handler)

    def _admit(self, scope: str, context: Any) -> None:
        authorization = ""
        if self._tokens.required:
            for key, value in context.invocation_metadata() or ():
                if key == wire.AUTHORIZATION_KEY:
                    authorization = value
        self._tokens.check(authorization, scope)

    def _unary(self, scope: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def call(request: Any, context: Any) -> Any:
            try:
                self._admit(scope, context)
                with _Deadline(self._deadline_s):
                    return await handler(request, context)
            except Exception as error:  # noqa: BLE001 - the one border where errors become status codes
                await _abort(context, error)

        return call

    def _stream(
        self, scope: str, handler: Callable[..., Any], unlimited: Callable[[Any], bool]
    ) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._admit(scope, context)
                items = handler(request, context)
                if unlimited(request):
                    async for item in items:
                        yield item
                    return
                while True:
                    # Only the work counts, not the time that the caller takes with each message.
                    with _Deadline(self._deadline_s):
                        item = await anext(items, None)
                    if item is None:
                        return
                    yield item
            except Exception as error:  # noqa: BLE001
                await _abort(context, error)

        return stream


async def _abort(context: Any, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, text = status_of(error)
    if code is grpc.StatusCode.INTERNAL:
        logger.error("a call failed", exc_info=error)
    trailing: tuple[tuple[str, str | bytes], ...] = ()
    if isinstance(error, errors.InvalidFieldError):
        trailing = (("grpc-status-details-bin", details_bytes(code, text, error.faults)),)
    await context.abort(code, text, trailing)
