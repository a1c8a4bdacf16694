"""One remote procedure: its path and the classes of what goes in and comes out."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf.message import Message

__all__ = ["Method"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Method(Generic[RequestT, ResponseT]):
    """A remote procedure as a value: ``wire.OrcaCore.EmitWindow`` is one.

    Attributes:
        path: What stands in the HTTP/2 request line, such as ``/OrcaCore/EmitWindow``.
        request: The class of a request.
        response: The class of a response.
        client_streaming: Whether requests come as a stream.
        server_streaming: Whether responses come as a stream.
    """

    __slots__ = ("client_streaming", "path", "request", "response", "server_streaming")

    def __init__(
        self,
        path: str,
        request: type[RequestT],
        response: type[ResponseT],
        client_streaming: bool,
        server_streaming: bool,
    ) -> None:
        self.path = path
        self.request = request
        self.response = response
        self.client_streaming = client_streaming
        self.server_streaming = server_streaming

    @property
    def service(self) -> str:
        """The service that the method belongs to, such as ``OrcaCore``."""
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        """The method's own name, such as ``EmitWindow``."""
        return self.path.split("/")[2]

    def __repr__(self) -> str:
        return f"Method({self.path})"
