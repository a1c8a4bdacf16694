"""The gRPC server of a processor: serves calls, answers health checks, drains."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Any, Final

from orca.processor import _border, _log, wire
from orca.processor.discovery import ProcessorAddress, parse_address
from orca.processor.errors import BadEnvVar
from orca.processor.health import Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.processor.engine import Engine

__all__ = ["PARTS_MAX", "Server"]

PARTS_MAX: Final = 1000
"""Calls at work at once; beyond it the core is told to come back, which it does from its backlog."""

GRACE_S: Final = 10.0
_LOOPBACK: Final = ("127.", "localhost", "[::1]")


class Server:
    """Serves one engine on one address.

    Args:
        engine: What runs the algorithms.
        address: Where to listen.
        token: What every call must carry as bearer token; empty accepts all.
    """

    def __init__(self, engine: Engine, address: ProcessorAddress, *, token: str = "") -> None:
        self.engine = engine
        self.address = address
        self.health = Health()
        self.port = 0
        self._token = token
        self._server: Any = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> int:
        """Bind and serve; returns the port.

        Raises:
            BadEnvVar: The address cannot be bound.
        """
        import grpc.aio  # noqa: PLC0415

        self._server = grpc.aio.server(options=wire.channel_options(server=True))
        handlers: dict[Any, Any] = {
            wire.OrcaProcessor.ExecuteDagPart: self._execute,
            wire.OrcaProcessor.HealthCheck: self._check,
        }
        self._server.add_generic_rpc_handlers((_raw(wire.aio_handler(handlers)),))
        host, _, _ = parse_address(self.address.bind)
        if host.startswith(_LOOPBACK):
            _add_reflection(self._server)
        self.port = self._bind()
        await self._server.start()
        self.health.measure()
        return self.port

    def _bind(self) -> int:
        try:
            if self.address.secure:
                port: int = self._server.add_secure_port(
                    self.address.bind, _border.server_credentials(self.address)
                )
            else:
                port = self._server.add_insecure_port(self.address.bind)
        except RuntimeError as error:
            raise self._not_bound() from error
        if port == 0:
            raise self._not_bound()
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
        if server is not None:
            await server.stop(0)
        self.engine.close()

    async def wait(self) -> None:
        """Until the server has ended."""
        if self._server is not None:
            await self._server.wait_for_termination()

    async def _enter(self, context: Any) -> Mapping[str, str]:
        """The call's metadata; ends the call when its token is wrong."""
        import grpc  # noqa: PLC0415

        found = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        if self._token:
            given = found.get(wire.AUTHORIZATION_KEY, "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is missing or wrong")
        return found

    async def _check(self, _request: Any, context: Any) -> Any:
        await self._enter(context)
        await context.send_initial_metadata(((wire.FEATURES_KEY, ",".join(wire.FEATURES)),))
        pool = self.engine.pool
        ill = "" if pool.healthy else f"{pool.abandoned} algorithms hang past their timeout"
        return self.health.response(active=self.engine.active, ill=ill)

    async def _execute(self, request: Any, context: Any) -> None:
        import grpc  # noqa: PLC0415

        metadata = await self._enter(context)
        if self.health.draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the processor is draining")
        if len(self.engine.parts) >= PARTS_MAX:
            text = f"the processor has {PARTS_MAX} calls at work"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._idle.clear()
        try:
            await self.engine.execute(request, metadata, context.write)
        finally:
            if not self.engine.parts:
                self._idle.set()


def _raw(handler: Any) -> Any:
    """The same handler, whose streams are bytes already: the engine writes them itself."""
    import grpc  # noqa: PLC0415

    known: dict[str, Any] = {}

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            path = handler_call_details.method
            if path in known:
                return known[path]
            found: Any = handler.service(handler_call_details)
            if found is not None:
                if found.response_streaming:
                    make: Any = grpc.unary_stream_rpc_method_handler
                    made: Any = make(found.unary_stream)
                    known[path] = made
                    return known[path]
                known[path] = found
            return found

    return Handler()


def _add_reflection(server: Any) -> None:
    """Let tools list the service, where the reflection package is installed; only ever on loopback."""
    try:
        from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415
    except ImportError:
        return
    names = (wire.OrcaProcessor.HealthCheck.service, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=wire.POOL)
