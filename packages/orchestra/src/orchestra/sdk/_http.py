"""The blocking HTTP shell: post one event, within a deadline that holds against every kind of slow answer.

It stands on httpcore, the connection layer of httpx, because a total deadline must reach into each single
read: a server that sends one byte a second keeps every per-read timeout happy for ever. No redirects, no
netrc, no cookies exist at this level; proxies and certificate bundles of the environment are honoured.
"""

from __future__ import annotations

import email.utils
import encodings.idna
import logging
import os
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpcore

from orchestra.sdk._fork import import_gate, resolver_gate
from orchestra.sdk._protocol import Outcome, judge_failure, judge_status

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Deadline", "HttpLimits", "WebhookTransport", "ca_bundle", "make_pool", "proxy_for", "resolve"]

logger = logging.getLogger(__name__)

_USER_AGENT = b"orca-orchestra/0.1.0"
_PRELOADED = (email.utils, encodings.idna)
"""A Retry-After with a date needs the one, the first connection the other; loaded with this module, where no fork can
come in between: a child that inherits them half imported could never connect."""
_PIECE_BYTES = 65_536
"""Beyond this a request is sent while it is still being written."""
_POOLS_MAX = 16
"""Addresses that one process talks to: one as a rule; the bound keeps a bug from opening sockets for ever."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Deadlines and sizes of one attempt.

    Attributes:
        connect_s: To reach the server, TLS included.
        read_s: Between two pieces of the answer.
        total_s: For the whole attempt, however slowly it moves.
        body_bytes_max: How much of an answer is read; the rest is cut off with the connection.
        body_s: For the body of a successful answer; its status has already said everything.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 15.0
    body_bytes_max: int = 65_536
    body_s: float = 1.0


class Deadline(threading.local):
    """The end of the present attempt, shared by all streams that a thread waits for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.at_s = float("inf")

    def cut(self, timeout: float | None) -> float:
        left_s = self.at_s - self.clock()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the total deadline has passed")
        return left_s if timeout is None else min(timeout, left_s)


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline.

    A request's head and body go out in one piece: two pieces wake the server twice.
    """

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._send(timeout)
        return self._inner.read(max_bytes, self._deadline.cut(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)
        self._unsent_bytes += len(buffer)
        if self._unsent_bytes >= _PIECE_BYTES:
            self._send(timeout)

    def _send(self, timeout: float | None) -> None:
        if self._unsent_bytes:
            pieces, self._unsent, self._unsent_bytes = self._unsent, [], 0
            self._inner.write(b"".join(pieces), self._deadline.cut(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._send(timeout)
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.cut(timeout))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._inner = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in resolve(host, port, self._deadline.cut(timeout)):
            try:
                left_s = self._deadline.cut(timeout)
                stream = self._inner.connect_tcp(address, port, left_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:  # noqa: PERF203
                failure = error  # the next address of the host may answer
            else:
                return _Stream(stream, self._deadline)
        raise failure

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(self._deadline.cut(seconds))


_lookups: dict[tuple[int, str, int], Future[list[str]]] = {}


def resolve(host: str, port: int, timeout_s: float) -> list[str]:
    """The addresses of a host, in the order to try.

    The C library knows no deadline, so a lookup has a thread of its own; one that hangs is waited for again by
    the next attempt instead of being joined by more.

    Raises:
        httpcore.ConnectError: The name is not known.
        httpcore.ConnectTimeout: No name server answered in time.
    """
    if _is_address(host):
        return [host]
    key = os.getpid(), host, port
    lookup = _lookups.get(key)
    if lookup is None:
        lookup = _lookups[key] = Future()
        threading.Thread(target=_look_up, args=(key, lookup), name="orchestra-lookup", daemon=True).start()
    try:
        return lookup.result(timeout_s)
    except FutureTimeoutError:
        raise httpcore.ConnectTimeout(f"no name server answered for {host} in time") from None
    except OSError as error:
        raise httpcore.ConnectError(f"{host} is not known: {error}") from error


def _look_up(key: tuple[int, str, int], lookup: Future[list[str]]) -> None:
    _, host, port = key
    try:
        with resolver_gate:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        failure = error if isinstance(error, OSError) else OSError(str(error))
        _lookups.pop(key, None)
        lookup.set_exception(failure)
    else:
        _lookups.pop(key, None)
        lookup.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in found)))


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return True
    return False


class WebhookTransport:
    """Posts events, one at a time, over kept-alive connections. One thread may use it.

    Args:
        limits: Deadlines and sizes.
        clock: Seconds that never go back.
        environ: Where proxies and bundles are looked up.
    """

    def __init__(
        self,
        limits: HttpLimits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits or HttpLimits()
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._deadline = Deadline(clock)
        self._pools: dict[str, httpcore.ConnectionPool] = {}

    def post(self, url: str, api_key: str, body: bytes) -> Outcome:
        """Send one event and say what the answer means; every failure of the network is a value."""
        try:
            pool = self._pool(url)  # imports and certificates: this machine's time, not the server's
            self._deadline.at_s = self._clock() + self._limits.total_s
            return self._exchange(pool, url, api_key, body)
        except httpcore.TimeoutException:
            return judge_failure("no answer in time")
        except httpcore.ConnectError as error:
            return judge_failure(f"cannot connect: {error}")
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return judge_failure(f"the connection broke: {error}")
        except (httpcore.ProxyError, httpcore.UnsupportedProtocol, OSError, ValueError) as error:
            return judge_failure(f"{type(error).__name__}: {error}")

    def _exchange(self, pool: httpcore.ConnectionPool, url: str, api_key: str, body: bytes) -> Outcome:
        limits = self._limits
        headers = [
            (b"Host", urlsplit(url).netloc.encode("idna" if not url.isascii() else "ascii")),
            (b"Authorization", b"Bearer " + api_key.encode("latin-1", "replace")),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"*/*"),
            (b"User-Agent", _USER_AGENT),
        ]
        timeout = {"connect": limits.connect_s, "read": limits.read_s, "write": limits.read_s, "pool": 1.0}
        with pool.stream(
            "POST", url, headers=headers, content=body, extensions={"timeout": timeout}
        ) as response:
            return self._judge(response)

    def _judge(self, response: httpcore.Response) -> Outcome:
        status = response.status
        if 200 <= status < 300:
            self._deadline.at_s = min(self._deadline.at_s, self._clock() + self._limits.body_s)
            try:
                self._read(response)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
                logger.debug("the body of an accepted answer was cut: %s", type(error).__name__)
            return judge_status(status, retry_after=None, now_s=0.0)
        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if 300 <= status < 400:
            target = urlsplit(headers.get(b"location", "")).hostname or "another place"
            return judge_status(status, retry_after=None, now_s=0.0, detail=f"redirected to {target}")
        try:
            detail = self._read(response).decode("utf-8", "replace")
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
            detail = ""
        return judge_status(
            status,
            retry_after=headers.get(b"retry-after"),
            now_s=time.time(),
            detail=" ".join(detail[:300].split()),
        )

    def _read(self, response: httpcore.Response) -> bytes:
        """The answer up to the limit; leaving the stream early closes its connection."""
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._limits.body_bytes_max:
                break
        return b"".join(chunks)[: self._limits.body_bytes_max]

    def _pool(self, url: str) -> httpcore.ConnectionPool:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        pool = self._pools.get(origin)
        if pool is None:
            if len(self._pools) >= _POOLS_MAX:
                self.close()
            with import_gate:  # TLS and proxies import their modules here
                pool = self._pools[origin] = make_pool(url, self._deadline, self._environ)
        return pool

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


def make_pool(
    url: str, deadline: Deadline, environ: Mapping[str, str], *, connections: int = 1
) -> httpcore.ConnectionPool:
    """Connections to the host of ``url``, through the proxy of the environment, that keep the deadline."""
    context = _ssl_context(environ) if url.startswith("https:") else None
    backend = _Backend(deadline)
    proxy = proxy_for(url, environ)
    if proxy is None:
        return httpcore.ConnectionPool(
            ssl_context=context, max_connections=connections, keepalive_expiry=60.0, network_backend=backend
        )
    parts = urlsplit(proxy)
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore.HTTPProxy(
        proxy_url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        proxy_auth=auth,
        ssl_context=context or _ssl_context(environ),
        proxy_ssl_context=_ssl_context(environ) if parts.scheme == "https" else None,
        max_connections=connections,
        keepalive_expiry=60.0,
        network_backend=backend,
    )


def ca_bundle(environ: Mapping[str, str]) -> str | None:
    """The certificate file or folder of the environment, by the names that requests and curl use too."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        if environ.get(name):
            return environ[name]
    return None


def _ssl_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415  only for who talks TLS

    bundle = ca_bundle(environ)
    if bundle is None:
        import httpx  # noqa: PLC0415  it brings the usual certificates

        return httpx.create_ssl_context()
    folder = os.path.isdir(bundle)  # noqa: PTH112
    return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The HTTP proxy that the environment asks for, or None."""
    scheme = urlsplit(url).scheme
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        names.remove(f"{scheme.upper()}_PROXY")  # in CGI that is a request header, chosen by the client
    proxy = next((environ[name] for name in names if environ.get(name)), "")
    if not proxy:
        return None
    import urllib.request  # noqa: PLC0415  only behind a proxy

    host = urlsplit(url).netloc.rpartition("@")[2]
    no_proxy = {"no": environ.get("no_proxy") or environ.get("NO_PROXY") or ""}
    if urllib.request.proxy_bypass_environment(host, no_proxy):  # type: ignore[attr-defined]
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in {"http", "https"}:
        logger.warning("a proxy that is neither http nor https is not supported and not used")
        return None
    return proxy
