"""The connections of the synchronous platform client: httpx on top, a deadline for the whole exchange below.

httpx knows a timeout for each read, and a server that sends one byte a second keeps every one of them happy for ever.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import httpcore
import httpx

from orchestra.sdk._http import Deadline, make_pool

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

__all__ = ["DeadlineTransport"]

CONNECTIONS_MAX = 10
"""A client that threads share; a key has 50 requests a minute."""


class DeadlineTransport(httpx.BaseTransport):
    """Sends requests to one host, each with its body within one time limit.

    Args:
        base_url: The host, for proxies and TLS.
        timeout_s: From the request to the end of the answer.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = Deadline(time.monotonic)
        self._pool = make_pool(base_url, self._deadline, os.environ, connections=CONNECTIONS_MAX)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the calling thread then has the rest of the time limit for the body."""
        self._deadline.at_s = time.monotonic() + self._timeout_s
        url = request.url
        with _errors_of_httpx():
            response = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=cast("Iterable[bytes]", request.stream),
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions={},  # they name the connection, and nobody here asks for it
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


@contextmanager
def _errors_of_httpx() -> Generator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise httpx.NetworkError(str(error)) from error
