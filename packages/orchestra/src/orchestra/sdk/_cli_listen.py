"""``orchestra listen``: a local stand-in for the webhook, with a page that shows the task runs."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import OrderedDict, deque
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orca.common.errors import UsageError
from orchestra.sdk._cli_outbox import parse_time_s
from orchestra.sdk.errors import OrchestraError
from orchestra.sdk.testing import Fault, WebhookServer

if TYPE_CHECKING:
    import argparse

    from orchestra.sdk.testing._http1 import Request

__all__ = ["Listener", "listen"]

RUNS_MAX = 100
"""Task runs on the page; the oldest leave it."""
EVENTS_MAX = 200
"""Events of one run on the page; the oldest leave it."""
LOG_CHARS_MAX = 50_000
PROBLEMS_MAX = 50
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript"}


class Listener:
    """The server and what its page shows.

    Args:
        port: The port on 127.0.0.1; a free one when 0.
        key: The only key that is accepted; any when None.
        jsonl: Whether each event is printed as one line of JSON.
    """

    def __init__(self, *, port: int = 0, key: str | None = None, jsonl: bool = False) -> None:
        self.server = WebhookServer(api_key=key, port=port, on_event=self._on_event, on_get=self._on_get)
        self._jsonl = jsonl
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._events = 0
        self._total = 0

    def _on_event(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._events += 1
            self._take(event)
        if self._jsonl:
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def _take(self, event: dict[str, Any]) -> None:
        run_id = event.get("task_run_id") or "sensor events"
        run = self._runs.get(run_id)
        if run is None:
            self._total += 1
            run = self._runs[run_id] = {
                "id": run_id,
                "status": "",
                "events": deque(maxlen=EVENTS_MAX),
                "logs": {},
            }
            while len(self._runs) > RUNS_MAX:
                self._runs.popitem(last=False)
        self._runs.move_to_end(run_id)
        kind, text = _line(event)
        late = run["status"] not in {"", "RUNNING"}
        if event.get("status") and not late:
            run["status"] = event["status"]
        if event["event_type"] == "LOG":
            run["logs"][event["log_name"]] = event["data"][-LOG_CHARS_MAX:]
        run["events"].append({"at_s": time.time(), "kind": kind, "text": text, "late": late})

    def _on_get(self, request: Request) -> tuple[int, str, bytes]:
        # Another site must not read this page through a name that it lets point here.
        if request.headers.get("host", "").rpartition(":")[0] not in {"127.0.0.1", "localhost"}:
            return 403, "text/plain", b"this server answers to 127.0.0.1 and localhost only\n"
        path, _, query = request.path.partition("?")
        if path == "/state":
            version = self._version()
            if query == f"after={version}":
                return 204, "text/plain", b""
            return 200, "application/json", json.dumps(self._state(version)).encode()
        name = "index.html" if path == "/" else path.removeprefix("/")
        if name not in {"index.html", "app.css", "app.js"}:
            return 404, "text/plain", b"not here\n"
        page = files("orchestra.sdk.testing").joinpath("page").joinpath(name).read_bytes()
        return 200, _TYPES[name.rpartition(".")[2]], page

    def _version(self) -> int:
        return len(self.server.requests) + self._events

    def _state(self, version: int) -> dict[str, Any]:
        refused = [r for r in list(self.server.requests)[-1_000:] if r.problems][-PROBLEMS_MAX:]
        with self._lock:
            runs = [{**run, "events": list(run["events"])} for run in reversed(self._runs.values())]
        return {
            "version": version,
            "url": self.server.url,
            "events": self._events,
            "total": self._total,
            "runs": runs,
            "problems": [
                f"HTTP {r.status}: "
                + "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in r.problems)
                for r in refused
            ],
            "how": how(self.server.url),
        }


def how(url: str) -> str:
    """The variables that make a program report to ``url``."""
    return (
        f"export ORCHESTRA_WEBHOOK_URL={url}\nexport ORCHESTRA_API_KEY=local\n"
        f"export ORCHESTRA_TASK_RUN_ID={uuid4()}\norchestra run -- echo hello"
    )


def listen(options: argparse.Namespace) -> int:
    """Run the command until Ctrl-C, or for the time that was asked for."""
    duration_s = parse_time_s(options.for_) if options.for_ else None
    faults = [_fault(text) for text in options.fault]
    listener = Listener(port=options.port, key=options.key, jsonl=options.jsonl)
    try:
        listener.server.start()
    except OSError as error:
        raise OrchestraError(
            f"port {options.port} cannot be used: {error.strerror}", hint="orchestra listen --port 0"
        ) from error
    listener.server.script(*faults)
    out = sys.stderr if options.jsonl else sys.stdout
    out.write(f"listening on {listener.server.url} (open it in a browser; Ctrl-C ends)\n\n")
    out.write("".join(f"  {line}\n" for line in how(listener.server.url).splitlines()) + "\n")
    out.flush()
    try:
        threading.Event().wait(duration_s)
    finally:
        listener.server.stop()
    return 0


_FAULTS = {
    "hang": Fault.hang,
    "drop": Fault.drop,
    "lost-answer": Fault.drop_after,
    "slow-loris": Fault.slow_loris,
}


def _fault(text: str) -> Fault:
    """The fault that a word stands for; what follows ``=`` is its Retry-After, target or delay."""
    name, _, value = text.partition("=")
    if name in _FAULTS and not value:
        return _FAULTS[name]()
    if name == "redirect" and value:
        return Fault.redirect(value)
    if name == "delay" and value:
        return Fault.delay(parse_time_s(value))
    if name.isdigit() and 200 <= int(name) <= 599:
        return Fault.status(int(name), retry_after_s=value or None)
    raise UsageError(
        f"{text!r} is no fault",
        hint="use a status such as 503, or 429=2 with Retry-After, hang, drop, lost-answer, slow-loris,"
        " redirect=URL or delay=2s",
    )


def _line(event: dict[str, Any]) -> tuple[str, str]:
    """What the page says about one event: its kind and a text."""
    type_ = event["event_type"]
    if type_ == "UPDATE_STATUS":
        return event.get("status") or "message", event.get("message", "")
    if type_ == "SET_OUTPUT":
        return (
            "output",
            f"{event['output_name']} = {json.dumps(event['output_value'], ensure_ascii=False)[:2_000]}",
        )
    if type_ == "LOG":
        return "log", f"{event['log_name']}, {len(event['data']):,} characters"
    return (
        "sensor",
        f"{event['sensor_event_type']}: {json.dumps(event['sensor_event'], ensure_ascii=False)[:2_000]}",
    )
