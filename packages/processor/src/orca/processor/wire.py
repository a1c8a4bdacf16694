"""The wire: messages, method paths, metadata keys, and what builds handlers and stubs from them.

The messages live in a descriptor pool of their own, so this module can be imported beside any other package
that defines the same unqualified names, and runs on every protobuf from this package's floor upwards. gRPC is
imported only by the functions that need it.

Invocation metadata (ours; every other program ignores it):

=========================  ====================  ==========================================================
key                        sent by, with         value
=========================  ====================  ==========================================================
``authorization``          everybody             ``Bearer TOKEN``
``orca-features``          processor, Register   comma separated :data:`FEATURES` of the sender; a core
                           and HealthCheck;      answers with its own in the initial metadata
                           core, every answer
``orca-window-id``         core, ExecuteDagPart  the id of the window that the call belongs to
``orca-attempt``           core, ExecuteDagPart  1 for the first attempt, then counting up
``orca-parent-exec-id``    processor, EmitWindow the execution inside which the window was emitted
``orca-parent-window-id``  processor, EmitWindow the window of that execution, where known
``orca-force``             client, EmitWindow    ``1``: run again although the same window is known
``orca-priority``          client, EmitWindow    an integer, higher first, 0 when absent
``orca-idempotency-key``   client, EmitWindow    replaces the key that the core makes from the window
``traceparent``            everybody             W3C trace context
=========================  ====================  ==========================================================

A core answers EmitWindow with ``orca-window-id`` and ``orca-duplicate`` (``1`` or ``0``) in the trailing
metadata.

Features: ``chains`` says that one ExecuteDagPart call may hold an algorithm together with algorithms that it
depends on. For such a pair the dependency entry in ``algorithm_executions`` either is absent or has no row of
the call's own window (look-back rows may be there); the processor runs the pair in order and hands the result
over in its own process. When the first of them fails, the second answers ``RESULT_STATUS_HANDLED_FAILED``
with ``error.kind`` = ``skipped``.

``Result.error`` (and, for readers of older contracts, ``struct_value`` with ``error`` and ``stack_trace``)
holds: ``kind`` (one of :data:`ERROR_KINDS`), ``type``, ``message``, ``stack_trace``, ``file``, ``line``,
``function``, ``source`` and, for ``skipped``, ``cause`` (the full name of the algorithm that failed).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from orca.processor import messages
from orca.processor._method import Method
from orca.processor.messages import *  # noqa: F403 - messages.py is the one place for these names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    import grpc

__all__ = ["Method", "aio_handler", "call", "channel_options", "malformed", "methods"]
__all__ += messages.__all__

KEEPALIVE_MS: Final = 5_000
KEEPALIVE_TIMEOUT_MS: Final = 3_000


def channel_options(*, server: bool = False) -> list[tuple[str, int | str]]:
    """The channel arguments that every server and channel of ours uses.

    Sizes are equal on both sides, and a silent partition is noticed within about eight seconds.

    Args:
        server: For a server: also accept pings at that rate, and never share a port with another process.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", messages.MESSAGE_BYTES_MAX),
        ("grpc.max_receive_message_length", messages.MESSAGE_BYTES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Newer gRPC waits a minute for the answer to any ping unless told otherwise, whatever the line above says.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if server:
        options += [
            ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
            ("grpc.so_reuseport", 0),
        ]
        options += [("grpc.keepalive_permit_without_calls", 1)]
    return options


def methods(service: type) -> Iterator[Method[Any, Any]]:
    """All methods of a service such as :class:`OrcaCore`.

    Example:
        >>> from orca.processor import wire
        >>> [method.path for method in wire.methods(wire.OrcaProcessor)]
        ['/OrcaProcessor/ExecuteDagPart', '/OrcaProcessor/HealthCheck']
    """
    found: list[Any] = [member for member in vars(service).values() if isinstance(member, Method)]
    return iter(found)


def call(channel: Any, method: Method[Any, Any]) -> Any:
    """The multi-callable of ``method`` on a ``grpc.Channel`` or ``grpc.aio.Channel``.

    Example:
        >>> import grpc
        >>> from orca.processor import wire
        >>> with grpc.insecure_channel("127.0.0.1:1") as channel:
        ...     emit = wire.call(channel, wire.OrcaCore.EmitWindow)
        ...     callable(emit)
        True
    """
    shape = (
        "stream" if method.client_streaming else "unary",
        "stream" if method.server_streaming else "unary",
    )
    make = getattr(channel, "_".join(shape))
    return make(
        method.path,
        request_serializer=method.request.SerializeToString,
        response_deserializer=method.response.FromString,
    )


def aio_handler(handlers: Mapping[Method[Any, Any], Callable[..., Any]]) -> grpc.GenericRpcHandler:
    """A handler for ``grpc.aio`` servers that serves all given methods, of one or more services.

    A request that is no valid message ends with ``INVALID_ARGUMENT`` naming the method and the message, and
    never reaches the handler.

    Args:
        handlers: For each method a function of (request, context): a coroutine function that returns the
            response, or for response streams an async generator function or a coroutine function that
            writes to the context. For request streams the request is an async iterator.
    """
    import grpc  # noqa: PLC0415

    table: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method, function in handlers.items():
        shape = (
            "stream" if method.client_streaming else "unary",
            "stream" if method.server_streaming else "unary",
        )
        make: Any = getattr(grpc, "_".join(shape) + "_rpc_method_handler")
        table[method.path] = make(
            _checked(method, function), None, response_serializer=method.response.SerializeToString
        )

    class Handler(grpc.GenericRpcHandler):
        def service(
            self, handler_call_details: grpc.HandlerCallDetails
        ) -> grpc.RpcMethodHandler[Any, Any] | None:
            return table.get(handler_call_details.method)

    return Handler()


def malformed(method: Method[Any, Any], error: DecodeError) -> str:
    """What is said of a request that is no message of its method."""
    name = method.request.DESCRIPTOR.full_name
    return f"{method.path}: the request is no valid {name} message ({error or 'truncated or malformed'})"


async def _parse(method: Method[Any, Any], data: bytes, context: Any) -> Any:
    import grpc  # noqa: PLC0415

    try:
        return method.request.FromString(data)
    except DecodeError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, malformed(method, error))


def _checked(method: Method[Any, Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Parse before the handler runs: gRPC's own deserializer does not answer INVALID_ARGUMENT."""
    streams = inspect.isasyncgenfunction(function)

    async def requests(raw: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        async for data in raw:
            yield await _parse(method, data, context)

    async def answer(raw: Any, context: Any) -> Any:
        request = requests(raw, context) if method.client_streaming else await _parse(method, raw, context)
        return await function(request, context)

    async def stream(raw: Any, context: Any) -> AsyncIterator[Any]:
        request = requests(raw, context) if method.client_streaming else await _parse(method, raw, context)
        async for item in function(request, context):
            yield item

    return stream if streams else answer
