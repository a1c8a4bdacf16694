"""A client of the query service for scripts and for the command line: one channel, plain calls, our errors.

Example:
    >>> from orca.processor import wire_query as q
    >>> client = QueryClient("127.0.0.1:1")
    >>> try:
    ...     client.ask(q.OrcaQuery.GetStatus, q.GetStatusRequest())
    ... except UnreachableError as error:
    ...     print(error.hint)
    Start it: orca start
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from orca.common.errors import DeadlineError, OrcaError, UnreachableError
from orca.orchestrator.errors import AccessError, ConflictError, LimitError, NotFoundError
from orca.processor import wire
from orca.processor.discovery import find_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message
    from typing_extensions import Self

    from orca.processor.wire import Method

    RequestT = TypeVar("RequestT", bound=Message)
    ResponseT = TypeVar("ResponseT", bound=Message)

__all__ = ["QueryClient", "RefusedError"]

TIMEOUT_S = 60.0


class RefusedError(OrcaError, ValueError):
    """The core refused the request as wrong."""

    code = "REFUSED"
    exit_code = 2


_ERRORS: dict[grpc.StatusCode, type[OrcaError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RefusedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: ConflictError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitError,
    grpc.StatusCode.UNAUTHENTICATED: AccessError,
    grpc.StatusCode.PERMISSION_DENIED: AccessError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}


class QueryClient:
    """Calls one core.

    Args:
        address: ``host:port`` or ``grpc://host:port``; None looks where every client looks.
        token: A bearer token, for cores that ask for one.
        folder: Where the search for files begins.
    """

    def __init__(
        self, address: str | None = None, *, token: str | None = None, folder: Path | None = None
    ) -> None:
        self.core = find_core(address, token=token, folder=folder)
        options = wire.channel_options()
        if self.core.secure:
            self._channel = grpc.secure_channel(self.core.target, self._credentials(), options)
        else:
            self._channel = grpc.insecure_channel(self.core.target, options)

    def _credentials(self) -> grpc.ChannelCredentials:
        core = self.core
        read = [
            Path(name).read_bytes() if name else None
            for name in (core.ca_file, core.key_file, core.cert_file)
        ]
        return grpc.ssl_channel_credentials(*read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def ask(
        self, method: Method[RequestT, ResponseT], request: RequestT, *, timeout_s: float = TIMEOUT_S
    ) -> ResponseT:
        """One answer.

        Raises:
            UnreachableError: No core listens there.
            OrcaError: The core refused; the class says why.
        """
        try:
            answer: ResponseT = wire.call(self._channel, method)(
                request, metadata=self._metadata(), timeout=timeout_s
            )
        except grpc.RpcError as error:
            raise self._mapped(error) from error
        return answer

    def stream(
        self, method: Method[RequestT, ResponseT], request: RequestT, *, timeout_s: float | None = None
    ) -> Iterator[ResponseT]:
        """Answers as they come; without ``timeout_s`` for as long as the core sends.

        Raises:
            UnreachableError: No core listens there, or it went away.
            OrcaError: The core refused.
        """
        try:
            yield from wire.call(self._channel, method)(request, metadata=self._metadata(), timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._mapped(error) from error

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return ((wire.AUTHORIZATION_KEY, f"Bearer {self.core.token}"),) if self.core.token else ()

    def _mapped(self, error: Any) -> OrcaError:
        code, detail = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            reason = "connection refused" if "refused" in detail.lower() else detail
            return UnreachableError(
                f"Core not reachable at {self.core.url} ({reason}).", hint="Start it: orca start"
            )
        text, _, hint = detail.partition("\n  hint: ")
        return _ERRORS.get(code, OrcaError)(text or code.name, hint=hint)
