"""The page of ``orca machine dev``: on this machine only, for one person."""

from __future__ import annotations

import json
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from orca.common.errors import OrcaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orca.statemachine.cli._session import Session

__all__ = ["DevServer"]

BODY_MAX: Final = 1_000_000
"""Bytes of a request: payloads and contexts are typed by a person."""
CONNECTIONS_MAX: Final = 64
"""Connections at once: a browser opens six, and no program fills this process with threads."""
IDLE_S: Final = 30.0
"""Seconds that a connection may be silent."""
WAIT_S: Final = 20.0
"""Seconds that a page waits for news before it asks again; shorter than what is between may cut."""
OWN_HEADER: Final = "X-Orca"
"""Pages of other origins cannot send it without asking first, and they are not answered."""

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript",
}
_PAGES: Final = {"/": "dev.html", "/dev.css": "dev.css", "/dev.js": "dev.js"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


class DevServer(ThreadingHTTPServer):
    """Serves a session on 127.0.0.1.

    Args:
        session: What it shows.
        port: The port; a free one when 0.

    Attributes:
        places: Connections that may still come.

    Raises:
        UsageError: The port is taken.
    """

    daemon_threads = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            hint = "--port 0 takes a free one"
            raise UsageError(f"port {port} cannot be used: {error.strerror or error}", hint=hint) from error
        self.names = frozenset(f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost"))

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}"

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base class's names
        """Whether there is room for one more connection; otherwise it is closed."""
        return self.places.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong; a browser that goes away in the middle of an answer is no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "orca"
    sys_version = ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        if not self._is_from_here():
            return
        where = urlsplit(self.path)
        page = _PAGES.get(where.path)
        if page is not None:
            text = (files("orca.statemachine.cli") / "page" / page).read_bytes()
            self._answer(HTTPStatus.OK, text, _TYPES[page.rpartition(".")[2]])
            return
        routes: dict[str, Callable[[], tuple[bytes, str]]] = {
            "/state": lambda: self._state(where.query),
            "/diagram.svg": lambda: (self._session.picture().encode(), "image/svg+xml"),
            "/trace.json": lambda: (_json(self._session.trace()), "application/json"),
        }
        self._route(routes.get(where.path))

    def do_POST(self) -> None:
        if not self._is_from_here():
            return
        body = self._body()
        if body is None:
            return
        session = self._session
        routes: dict[str, Callable[[], None]] = {
            "/send": lambda: session.send(_text(body, "event"), _values(body, "payload")),
            "/set": lambda: session.set(_values(body, "values")),
            "/back": session.back,
            "/restart": lambda: session.restart(
                _text(body, "machine") if "machine" in body else None,
                _values(body, "context") if "context" in body else None,
            ),
        }
        do = routes.get(self.path)
        self._route(None if do is None else lambda: self._done(do))

    @property
    def _session(self) -> Session:
        return cast("DevServer", self.server).session

    def _done(self, do: Callable[[], None]) -> tuple[bytes, str]:
        do()
        return _json(self._session.state()), "application/json"

    def _state(self, query: str) -> tuple[bytes, str]:
        after = parse_qs(query).get("after", ["-1"])[0]
        if not after.lstrip("-").isdecimal():
            raise UsageError("`after` is not a number")
        self._session.wait(int(after), WAIT_S)
        return _json(self._session.state()), "application/json"

    def _route(self, found: Callable[[], tuple[bytes, str]] | None) -> None:
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        try:
            body, kind = found()
        except OrcaError as error:
            hint = f" ({error.hint})" if error.hint else ""
            self._refuse(HTTPStatus.BAD_REQUEST, f"{error.message}{hint}")
            return
        self._answer(HTTPStatus.OK, body, kind)

    def _is_from_here(self) -> bool:
        """Whether the request is meant for this server, and comes from its own page or from no page."""
        names = cast("DevServer", self.server).names
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in names:
            self._refuse(
                HTTPStatus.MISDIRECTED_REQUEST, "this server answers to 127.0.0.1 and localhost only"
            )
            return False
        if origin is not None and origin not in {f"http://{name}" for name in names}:
            self._refuse(HTTPStatus.FORBIDDEN, "other pages may not ask")
            return False
        return True

    def _body(self) -> dict[str, object] | None:
        length = self.headers.get("Content-Length", "")
        if OWN_HEADER not in self.headers:
            self._refuse(HTTPStatus.FORBIDDEN, f"the header {OWN_HEADER} is missing")
        elif not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the length is missing")
        elif int(length) > BODY_MAX:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {BODY_MAX} bytes")
        else:
            try:
                found: object = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                return cast("dict[str, object]", found)
            self._refuse(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        return None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        # What is left of a refused request must not be taken for the next one.
        self.close_connection = True
        self._answer(status, _json({"error": why}), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        policy = _PICTURE_POLICY if kind.startswith("image/") else _POLICY
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's names
        """Nobody wants a line for each request."""


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, default=list).encode("ascii")


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise UsageError(f"`{name}` must be a string")
    return value


def _values(body: Mapping[str, object], name: str) -> dict[str, object]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise UsageError(f"`{name}` must be a JSON object")
    return cast("dict[str, object]", value)
