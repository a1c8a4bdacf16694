"""A real webhook server on the loopback interface: it checks the wire schema and misbehaves on request."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from orca.common.errors import DeadlineError
from orchestra.sdk.testing._http1 import Request, read_request, response_head
from orchestra.sdk.testing._schema import problems_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from orchestra.sdk.testing._faults import Fault

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Received", "TaskRunView", "WebhookServer"]

CONNECTIONS_MAX = 256
"""Threads of one server; a client that leaks connections meets this and not the machine's limit."""
REQUESTS_MAX = 200_000
"""Requests that are remembered; the oldest go first."""
PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_CHUNK = b"x" * 65_536


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in.

    Attributes:
        at_s: Wall clock time of arrival.
        method: The HTTP method.
        path: The path.
        headers: Headers with lower-case names.
        body: The raw body.
        event: The body as JSON, when it is an object.
        connection: Which connection it came over, counted from 1.
        status: The answered status; 0 when there was no answer.
        accepted: Whether the event counts as received.
        problems: What is wrong with it.
    """

    at_s: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    event: dict[str, Any]
    connection: int
    status: int
    accepted: bool
    problems: tuple[dict[str, Any], ...] = ()


@dataclass(slots=True)
class TaskRunView:
    """What the received events say about one task run.

    Attributes:
        id: The task run.
        statuses: All statuses in the order of arrival.
        messages: All messages.
        outputs: Outputs by lower-case name.
        logs: Texts by name.
        late: Events that came after the first terminal status and are not repetitions of it.
    """

    id: str
    statuses: list[str] = field(default_factory=list[str])
    messages: list[str] = field(default_factory=list[str])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    logs: dict[str, str] = field(default_factory=dict[str, str])
    late: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _end: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        """The first terminal status, else the last one; empty before any."""
        ends = [status for status in self.statuses if status != "RUNNING"]
        return ends[0] if ends else self.statuses[-1] if self.statuses else ""

    def add(self, event: dict[str, Any]) -> None:
        """Take one more event into account."""
        if self._end is not None:
            if event != self._end:
                self.late.append(event)
            return
        status = event.get("status")
        if status:
            self.statuses.append(status)
        if event.get("message"):
            self.messages.append(event["message"])
        if event["event_type"] == "SET_OUTPUT":
            self.outputs[event["output_name"].lower()] = event["output_value"]
        if event["event_type"] == "LOG":
            self.logs[event["log_name"]] = event["data"]
        if status and status != "RUNNING":
            self._end = event


class WebhookServer:
    """A webhook on the loopback interface, for tests of code that reports to Orchestra.

    It answers 401 to a wrong key and 422 to a body that breaks the wire schema, as the platform does.

    Args:
        api_key: The key that it accepts; any when left out.
        port: The port; a free one when 0.
        tls: Serve TLS with this context.
        on_event: Called for each accepted event.
        on_get: Answers GET requests: status, content type, body. Without it they get 405.

    Example:
        >>> from orchestra.sdk import OrchestraSDK
        >>> run = "11111111-2222-4333-8444-555555555555"
        >>> with WebhookServer() as server:
        ...     sdk = OrchestraSDK("key", webhook_url=server.url, task_run_id=run, spool="memory")
        ...     _ = sdk.update_task("success", "done")
        ...     sdk.close()
        ...     server.run(run).status
        'SUCCEEDED'
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        on_get: Callable[[Request], tuple[int, str, bytes]] | None = None,
    ) -> None:
        self.api_key = api_key
        self.requests: deque[Received] = deque(maxlen=REQUESTS_MAX)
        self.connections = 0
        self._tls = tls
        self._on_event = on_event
        self._on_get = on_get
        self._port = port
        self._script: deque[Fault] = deque()
        self._always: Fault | None = None
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._port_holder: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    # -- life ------------------------------------------------------------------

    def start(self) -> WebhookServer:
        """Begin to answer; the port stays the same over `stop` and `start`."""
        self._stopping = threading.Event()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._port))
            self._port = listener.getsockname()[1]
            self._hold_port()
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        thread = threading.Thread(target=self._accept, args=(listener, self._stopping), daemon=True)
        thread.start()
        self._threads = [thread]
        return self

    def _hold_port(self) -> None:
        """Keep the port from other programs while this server is stopped, until it is started again or forgotten.

        A socket that is bound and never listens refuses connections as a free port does. Only Linux lets two
        sockets be bound to one port before either listens.
        """
        if self._port_holder is not None or sys.platform != "linux":
            return
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        weakref.finalize(self, holder.close)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", self._port))
        self._port_holder = holder

    def stop(self) -> None:
        """Refuse and cut all connections; what was received is kept."""
        self._stopping.set()
        if self._listener is not None:
            # A plain close would leave the thread in accept() and the port in use.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._changed:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        self._threads = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The webhook address."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    # -- faults ------------------------------------------------------------------

    def script(self, *faults: Fault) -> None:
        """Treat the next requests so, one fault each, then behave again."""
        self._script.extend(faults)

    def always(self, fault: Fault | None) -> None:
        """Treat all requests so that the script does not cover; None behaves again."""
        self._always = fault

    def behave(self) -> None:
        """Forget the script and `always`: answer properly from here on."""
        self._script.clear()
        self._always = None

    # -- what came in ---------------------------------------------------------------

    @property
    def events(self) -> list[dict[str, Any]]:
        """The accepted events in the order of arrival."""
        return [received.event for received in list(self.requests) if received.accepted]

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Everything that was wrong with any request."""
        return [problem for received in list(self.requests) for problem in received.problems]

    def runs(self) -> dict[str, TaskRunView]:
        """What the events say, by task run."""
        views: dict[str, TaskRunView] = {}
        for event in self.events:
            run = event.get("task_run_id")
            if run:
                views.setdefault(run, TaskRunView(run)).add(event)
        return views

    def run(self, task_run_id: UUID | str) -> TaskRunView:
        """What the events say about one task run; an empty view when there are none."""
        return self.runs().get(str(task_run_id), TaskRunView(str(task_run_id)))

    def wait_for(self, condition: Callable[[WebhookServer], object], *, timeout_s: float = 10.0) -> None:
        """Wait until ``condition`` holds; it is asked again after each request.

        Raises:
            DeadlineError: It did not hold in time; the message lists what came in.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_s):
                seen = [r.event.get("status") or r.event.get("event_type") for r in list(self.requests)[-20:]]
                raise DeadlineError(
                    f"not within {timeout_s:g} s; {len(self.requests)} requests, the last: {seen}"
                )

    # -- serving -----------------------------------------------------------------------

    def _accept(self, listener: socket.socket, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                self.connections += 1
                number = self.connections
                full = len(self._open) >= CONNECTIONS_MAX
                if not full:
                    self._open.add(connection)
            if full:
                connection.close()
                continue
            thread = threading.Thread(target=self._serve, args=(connection, number, stopping), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _serve(self, plain: socket.socket, number: int, stopping: threading.Event) -> None:
        connection = plain
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(plain, server_side=True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as reader:
                while not stopping.is_set():
                    request = read_request(reader)
                    if request is None or not self._answer(connection, request, number, stopping):
                        break
        except (OSError, ValueError):
            pass  # the client went away or sent something that is not HTTP; the test sees it in `requests`
        finally:
            with self._changed:
                self._open.discard(plain)
            connection.close()

    def _answer(
        self, connection: socket.socket, request: Request, number: int, stopping: threading.Event
    ) -> bool:
        if request.method == "GET" and self._on_get is not None:
            code, content_type, page = self._on_get(request)
            headers = [("Content-Type", content_type), *PAGE_HEADERS]
            connection.sendall(response_head(code, len(page), headers) + page)
            return request.keep_alive
        status, problems, event = self._check(request)
        fault = None
        if request.method == "POST":
            fault = self._script.popleft() if self._script else self._always
        accepted = status < 300 and (fault is None or fault.keep)
        answered = (
            status if fault is None or status >= 300 else 0 if fault.kind in {"hang", "drop"} else fault.code
        )
        received = Received(
            time.time(), request.method, request.path, request.headers, request.body, event, number, answered,
            accepted, tuple(problems),
        )  # fmt: skip
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()
        if accepted and self._on_event is not None:
            self._on_event(event)
        if fault is None or status >= 300:
            body = json.dumps({"detail": problems} if problems else {}).encode()
            connection.sendall(response_head(status, len(body)) + body)
            return request.keep_alive
        return self._misbehave(connection, fault, stopping)

    def _check(self, request: Request) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
        if request.method != "POST":
            return 405, [{"loc": ["method"], "msg": f"{request.method} is not POST", "type": "method"}], {}
        token = request.headers.get("authorization", "")
        if not token.startswith("Bearer ") or (
            self.api_key is not None and token != f"Bearer {self.api_key}"
        ):
            return 401, [{"loc": ["header", "authorization"], "msg": "wrong key", "type": "auth"}], {}
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, [{"loc": ["header", "content-type"], "msg": "not JSON", "type": "type"}], {}
        try:
            event = json.loads(request.body)
        except ValueError as error:
            return 422, [{"loc": ["body"], "msg": str(error), "type": "json"}], {}
        problems = problems_of(event)
        return (
            (422 if problems else 200),
            problems,
            cast("dict[str, Any]", event) if isinstance(event, dict) else {},
        )

    def _misbehave(self, connection: socket.socket, fault: Fault, stopping: threading.Event) -> bool:
        if fault.kind == "drop":
            return False
        if fault.kind == "hang":
            stopping.wait()
            return False
        if fault.kind == "delay":
            stopping.wait(fault.pace_s)
            connection.sendall(response_head(200, 2) + b"{}")
            return True
        if fault.kind == "status":
            connection.sendall(response_head(fault.code, len(fault.body), fault.headers) + fault.body)
            return True
        if fault.kind == "loris":
            for byte in self._drip(fault):
                connection.sendall(byte)
                if stopping.wait(fault.pace_s):
                    break
            return False
        connection.sendall(response_head(fault.code, fault.size_bytes))
        sent = 0
        while sent < fault.size_bytes and not stopping.is_set():
            connection.sendall(_CHUNK[: fault.size_bytes - sent])
            sent += len(_CHUNK)
        return True

    @staticmethod
    def _drip(fault: Fault) -> Iterator[bytes]:
        yield f"HTTP/1.1 {fault.code} OK\r\nX-Slow: ".encode()
        while True:
            yield b"a"
