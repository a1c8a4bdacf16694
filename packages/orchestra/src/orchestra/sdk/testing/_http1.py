"""Just enough of HTTP/1.1 for the local servers of this package: bounded, strict, no framework."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Request", "read_request", "response_head"]

LINE_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
BODY_BYTES_MAX = 64 * 1024 * 1024
"""Several times the largest event that is ever sent, so that a test sees the body that broke a rule."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


def read_request(reader: BinaryIO) -> Request | None:
    """Read one request; None at the end of the connection.

    Raises:
        ValueError: What came is no HTTP/1.x request, or beyond the limits.
        OSError: The connection broke.
    """
    line = _line(reader)
    if not line:
        return None
    method, path, version = line.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not HTTP/1.x: {version!r}")
    headers = _headers(reader)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _chunked(reader)
    else:
        body = _exactly(reader, int(headers.get("content-length", "0")))
    keep_alive = headers.get("connection", "").lower() != "close" and version != "HTTP/1.0"
    return Request(method, path, headers, body, keep_alive)


def response_head(status: int, size_bytes: int, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Status line and headers of an answer."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    names = {name.lower() for name, _ in headers}
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Length: {size_bytes}"]
    if "content-type" not in names:
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _line(reader: BinaryIO) -> str:
    line = reader.readline(LINE_BYTES_MAX + 1)
    if len(line) > LINE_BYTES_MAX:
        raise ValueError("a header line is too long")
    return line.decode("latin-1").rstrip("\r\n")


def _headers(reader: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(HEADERS_MAX):
        line = _line(reader)
        if not line:
            return headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise ValueError("too many headers")


def _chunked(reader: BinaryIO) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        length = int(_line(reader).partition(";")[0], 16)
        size += length
        if size > BODY_BYTES_MAX:
            raise ValueError("the body is too large")
        if length == 0:
            _headers(reader)
            return b"".join(chunks)
        chunks.append(_exactly(reader, length))
        _line(reader)


def _exactly(reader: BinaryIO, size_bytes: int) -> bytes:
    if not 0 <= size_bytes <= BODY_BYTES_MAX:
        raise ValueError("the body is too large")
    data = reader.read(size_bytes)
    if len(data) != size_bytes:
        raise ValueError("the body is shorter than announced")
    return data
