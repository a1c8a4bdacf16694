"""``grpc.health.v1.Health``, whose two tiny messages are spelt by hand.

Source: grpc/health/v1/health.proto (HealthCheckRequest: service=1; HealthCheckResponse: status=1).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["SERVICES", "HealthService"]

SERVICES = ("", "OrcaCore", "orca.v1.OrcaQuery")
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"


class HealthService:
    """Answers Check and Watch for the core as a whole."""

    def __init__(self) -> None:
        self._answer = _NOT_SERVING
        self._changed = asyncio.Event()

    def serving(self) -> None:
        """Say SERVING from now on."""
        self._set(_SERVING)

    def stopping(self) -> None:
        """Say NOT_SERVING from now on."""
        self._set(_NOT_SERVING)

    def _set(self, answer: bytes) -> None:
        self._answer = answer
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, request: bytes, context: Any) -> bytes:
        """The state now."""
        await self._known(request, context)
        return self._answer

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The state now and at each change."""
        await self._known(request, context)
        while True:
            changed = self._changed
            yield self._answer
            await changed.wait()

    async def _known(self, request: bytes, context: Any) -> None:
        # Field 1, length delimited: the name is all there is.
        name = request[2:].decode("utf-8", "replace") if request[:1] == b"\x0a" else ""
        if name not in SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {name[:100]!r} here")

    def handler(self) -> grpc.GenericRpcHandler:
        """For ``add_generic_rpc_handlers``."""
        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
            },
        )
