"""The gRPC server of a processor: serves calls, answers health checks, drains.

In plain text calls are served by :mod:`orca.processor._grpc`, which is several times as fast as gRPC's own server in
Python; with TLS, or when it is asked for, by ``grpc.aio``. Both behave the same, and the same tests say so.
"""

from __future__ import annotations

import asyncio
import hmac
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from google.protobuf.message import DecodeError

from orca.processor import _border, _log, wire
from orca.processor._grpc import Handler, Listener, Status
from orca.processor.discovery import ProcessorAddress, parse_address
from orca.processor.errors import BadEnvVar
from orca.processor.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from orca.processor.engine import Engine

__all__ = ["PARTS_MAX", "Server", "Transport"]

PARTS_MAX: Final = 1000
"""Calls at work at once; beyond it the core is told to come back, which it does from its backlog."""

GRACE_S: Final = 10.0
_LOOPBACK: Final = ("127.", "localhost", "[::1]")
_REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

Transport = Literal["auto", "asyncio", "grpc"]


class Context(Protocol):
    """What a handler needs of the call that it serves."""

    def invocation_metadata(self) -> Mapping[str, str]:
        """The caller's metadata that is text."""
        ...

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str]]) -> None:
        """Begin the answer with metadata."""
        ...

    async def write(self, messages: Sequence[bytes]) -> None:
        """Answer with messages."""
        ...

    async def abort(self, status: Status, text: str) -> Any:
        """End the call with a status; does not return."""
        ...


class Server:
    """Serves one engine on one address.

    Args:
        engine: What runs the algorithms.
        address: Where to listen.
        token: What every call must carry as bearer token; empty accepts all.
        transport: ``grpc`` for ``grpc.aio`` also in plain text, ``asyncio`` for our own, ``auto`` for our own
            unless the address has TLS.

    Raises:
        BadEnvVar: The address has TLS and the transport is ``asyncio``.
    """

    def __init__(
        self, engine: Engine, address: ProcessorAddress, *, token: str = "", transport: Transport = "auto"
    ) -> None:
        if transport == "asyncio" and address.secure:
            raise BadEnvVar("the asyncio transport has no TLS", hint="leave transport out, or say grpc")
        self.engine = engine
        self.address = address
        self.health = Health()
        self.port = 0
        self._token = token
        self._aio = transport == "grpc" or address.secure
        self._server: Any = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> int:
        """Bind and serve; returns the port.

        Raises:
            BadEnvVar: The address cannot be bound.
        """
        host, port, _ = parse_address(self.address.bind)
        handlers = {
            wire.OrcaProcessor.ExecuteDagPart.path: Handler(self._execute),
            wire.OrcaProcessor.HealthCheck.path: Handler(self._check),
        }
        reflected = host.startswith(_LOOPBACK)
        if self._aio:
            self.port = await self._start_aio(handlers, reflected=reflected)
        else:
            if reflected:
                handlers[_REFLECTION] = Handler(_reflect, streams=True)
            self._server = Listener(handlers)
            try:
                self.port = await self._server.start(host.strip("[]"), port)
            except OSError as error:
                raise self._not_bound() from error
        self.health.measure()
        return self.port

    async def _start_aio(self, handlers: Mapping[str, Handler], *, reflected: bool) -> int:
        import grpc.aio  # noqa: PLC0415

        server = self._server = grpc.aio.server(options=wire.channel_options(server=True))
        server.add_generic_rpc_handlers((_aio_handlers(handlers),))
        if reflected:
            _add_reflection(server)
        try:
            port: int = (
                server.add_secure_port(self.address.bind, _border.server_credentials(self.address))
                if self.address.secure
                else server.add_insecure_port(self.address.bind)
            )
        except RuntimeError as error:
            raise self._not_bound() from error
        if port == 0:
            raise self._not_bound()
        await server.start()
        return port

    def _not_bound(self) -> BadEnvVar:
        text = f"cannot listen on {self.address.bind} (from {self.address.source})"
        return BadEnvVar(text, hint="another program may hold the port; orca doctor names it")

    async def drain(self, grace_s: float = GRACE_S) -> None:
        """Take no new calls, let those at work finish, then end; after ``grace_s`` seconds end them.

        The core sees the end of an unfinished call and runs what is missing elsewhere.
        """
        self.health.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except asyncio.TimeoutError:
            left = self.engine.active
            _log.get_logger().warning("Drain: %d algorithms did not finish within %g s", left, grace_s)
        await self.stop()

    async def stop(self) -> None:
        """End at once; calls at work are cancelled."""
        server, self._server = self._server, None
        if isinstance(server, Listener):
            await server.stop("the processor ends")
        elif server is not None:
            await server.stop(0)
        self.engine.close()

    async def _enter(self, call: Context) -> Mapping[str, str]:
        """The call's metadata; ends the call when its token is wrong."""
        found = call.invocation_metadata()
        if self._token:
            given = found.get(wire.AUTHORIZATION_KEY, "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                await call.abort(Status.UNAUTHENTICATED, "the bearer token is missing or wrong")
        return found

    async def _check(self, data: bytes, call: Context) -> bytes:
        await self._enter(call)
        await _parsed(wire.OrcaProcessor.HealthCheck, data, call)
        await call.send_initial_metadata(((wire.FEATURES_KEY, ",".join(wire.FEATURES)),))
        pool = self.engine.pool
        ill = "" if pool.healthy else f"{pool.abandoned} algorithms hang past their timeout"
        return self.health.response(active=self.engine.active, ill=ill).SerializeToString()

    async def _execute(self, data: bytes, call: Context) -> None:
        metadata = await self._enter(call)
        request = await _parsed(wire.OrcaProcessor.ExecuteDagPart, data, call)
        if self.health.draining:
            await call.abort(Status.UNAVAILABLE, "the processor is draining")
        if len(self.engine.parts) >= PARTS_MAX:
            await call.abort(Status.RESOURCE_EXHAUSTED, f"the processor has {PARTS_MAX} calls at work")
        self._idle.clear()
        try:
            await self.engine.execute(request, metadata, call.write)
        finally:
            if not self.engine.parts:
                self._idle.set()


async def _parsed(method: Any, data: bytes, call: Context) -> Any:
    try:
        return method.request.FromString(data)
    except DecodeError as error:
        await call.abort(Status.INVALID_ARGUMENT, wire.malformed(method, error))


class _AioCall:
    """A call of ``grpc.aio`` in the words of our own."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def invocation_metadata(self) -> Mapping[str, str]:
        found = self._context.invocation_metadata() or ()
        return {key: value for key, value in found if isinstance(value, str)}

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str]]) -> None:
        await self._context.send_initial_metadata(metadata)

    async def write(self, messages: Sequence[bytes]) -> None:
        for one in messages:
            await self._context.write(one)

    async def abort(self, status: Status, text: str) -> Any:
        import grpc  # noqa: PLC0415

        await self._context.abort(grpc.StatusCode[status.name], text)


def _aio_handlers(handlers: Mapping[str, Handler]) -> Any:
    """The same handlers for ``grpc.aio``: bytes in, bytes out."""
    import grpc  # noqa: PLC0415

    def unary(handler: Handler) -> Callable[[bytes, Any], Awaitable[bytes | None]]:
        async def serve(data: bytes, context: Any) -> bytes | None:
            return await handler.function(data, _AioCall(context))

        return serve

    made: Any = grpc
    stream = wire.OrcaProcessor.ExecuteDagPart.path
    table: dict[str, Any] = {
        path: (
            made.unary_stream_rpc_method_handler if path == stream else made.unary_unary_rpc_method_handler
        )(unary(handler))
        for path, handler in handlers.items()
    }

    class Handlers(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return table.get(handler_call_details.method)

    return Handlers()


def _reflected() -> tuple[str, str]:
    return (wire.OrcaProcessor.HealthCheck.service, "grpc.reflection.v1alpha.ServerReflection")


def _add_reflection(server: Any) -> None:
    """Let tools list the service, where the reflection package is installed; only ever on loopback."""
    try:
        reflection: Any = import_module("grpc_reflection.v1alpha.reflection")
    except ImportError:
        return
    reflection.enable_server_reflection(_reflected(), server, pool=wire.POOL)


async def _reflect(requests: AsyncIterator[bytes], call: Context) -> None:
    """The same over our own transport; the package is loaded when somebody asks."""
    try:
        reflection: Any = import_module("grpc_reflection.v1alpha.reflection")
        messages: Any = import_module("grpc_reflection.v1alpha.reflection_pb2")
    except ImportError:
        await call.abort(Status.UNIMPLEMENTED, "Method not found!")
        return
    servicer = reflection.aio.ReflectionServicer(_reflected(), pool=wire.POOL)

    async def parsed() -> AsyncIterator[Any]:
        async for data in requests:
            yield messages.ServerReflectionRequest.FromString(data)

    async for answer in servicer.ServerReflectionInfo(parsed(), call):
        await call.write((answer.SerializeToString(),))
