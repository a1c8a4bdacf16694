import asyncio
import json
import socket
import threading
import time
from collections import deque
from datetime import datetime, timedelta, timezone

import pytest

from orca.common.errors import DeadlineError, UnreachableError
from orca.common.testing import FakeClock
from orchestra.sdk import platform as platform_module
from orchestra.sdk._cancellation import CancelWatch
from orchestra.sdk._platform_rules import PipelineRun, error_of, terminal_state
from orchestra.sdk.errors import MissingEnvironmentKeysError, PlatformAccessError, PlatformError, UsageError
from orchestra.sdk.platform import AsyncPlatformClient, PlatformClient
from orchestra.sdk.testing import WebhookServer
from orchestra.sdk.testing._http1 import read_request, response_head


class Platform:
    """A real HTTP server that answers from a script and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.script = deque()
        self.always = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.came = threading.Condition()
        self._sockets = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def answer(self, status, data=None, headers=(), raw=None):
        body = raw if raw is not None else b"" if data is None else json.dumps(data).encode()
        self.script.append((status, body, headers))

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as reader:
            try:
                while (request := read_request(reader)) is not None:
                    with self.came:
                        self.asked.append(request)
                        self.came.notify_all()
                    step = self.script.popleft() if self.script else self.always
                    if step is None:
                        return
                    status, body, headers = step
                    connection.sendall(response_head(status, len(body), headers) + body)
            except OSError:
                return

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            connection.close()


@pytest.fixture
def api():
    running = Platform()
    yield running
    running.stop()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["sync", "async"])
def call(request, api, clock):
    """Calls a method of either client by name."""

    def sync_call(name, *args, **kwargs):
        with PlatformClient("key", base_url=api.url, clock=clock) as client:
            return getattr(client, name)(*args, **kwargs)

    def async_call(name, *args, **kwargs):
        async def main():
            async with AsyncPlatformClient("key", base_url=api.url, clock=clock) as client:
                return await getattr(client, name)(*args, **kwargs)

        return asyncio.run(main())

    return sync_call if request.param == "sync" else async_call


def test_start_sends_only_known_keys(call, api):
    api.answer(200, {"id": "x", "pipelineRunId": "r1", "message": "ok"})
    started = call(
        "start_pipeline", "my pipe/line", branch="main", run_inputs={"a": 1}, retry_from_failed=None
    )
    assert (started.id, started.message, started.found) == ("r1", "ok", False)
    request = api.asked[0]
    assert (request.method, request.path) == ("POST", "/pipelines/my%20pipe%2Fline/start")
    assert json.loads(request.body) == {"branch": "main", "runInputs": {"a": 1}}
    assert request.headers["authorization"] == "Bearer key"
    with pytest.raises(UsageError, match="unknown option 'banch'"):
        call("start_pipeline", "p", banch="x")
    with pytest.raises(UsageError, match="an id is empty"):
        call("start_pipeline", "")


def test_an_ambiguous_start_looks_for_its_run_and_never_starts_twice(call, api):
    api.answer(502, raw=b"bad gateway")
    api.answer(200, {"results": [{"id": "r0", "ciRunId": "other"}, {"id": "r7", "ciRunId": "ci-1"}]})
    started = call("start_pipeline", "p", ci_run_id="ci-1")
    assert (started.id, started.found) == ("r7", True)
    assert [r.method for r in api.asked] == ["POST", "GET"]
    api.answer(502)
    api.answer(200, {"results": []})
    with pytest.raises(PlatformError, match="502"):
        call("start_pipeline", "p", ci_run_id="ci-2")
    with pytest.raises(UnreachableError, match="did not answer"):
        call("start_pipeline", "p")
    assert [r.method for r in api.asked].count("POST") == 3


def test_a_start_that_was_too_early_is_repeated(call, api, clock):
    api.answer(429, {"detail": "slow down"}, [("Retry-After", "7")])
    api.answer(200, {"pipelineRunId": "r1"})
    assert call("start_pipeline", "p").id == "r1"
    assert max(clock.sleeps) == 7.0


@pytest.mark.parametrize(
    ("status", "data", "kind", "words"),
    [
        (401, {"detail": "bad key"}, PlatformAccessError, "401: bad key"),
        (403, {"detail": "plan"}, PermissionError, "403: plan"),
        (404, {"detail": "no such run"}, PlatformError, "404: no such run"),
        (
            422,
            {"detail": [{"loc": ["body", "branch"], "msg": "wrong", "type": "x"}]},
            PlatformError,
            "body.branch: wrong",
        ),
        (418, None, PlatformError, "answered 418"),
        (400, ["odd"], PlatformError, "answered 400"),
        (302, None, PlatformError, "answered 302"),
    ],
)
def test_refusals_are_errors_with_their_facts(call, api, *, status, data, kind, words):
    api.answer(status, data)
    with pytest.raises(kind, match=words) as caught:
        call("run_status", "r1")
    assert caught.value.status_code == status
    assert len(api.asked) == 1


def test_reads_are_repeated_and_unknown_things_tolerated(call, api):
    api.answer(500)
    api.answer(503, raw=b"<html>")
    api.answer(200, {"runStatus": "DREAMING", "pipelineName": "p", "new": 1, "createdAt": "2026-01-01"})
    run = call("run_status", "r1")
    assert (run.id, run.status, run.terminal, run.pipeline_name) == ("r1", "DREAMING", False, "p")
    assert run.raw["new"] == 1
    for _ in range(4):
        api.answer(500)
    with pytest.raises(PlatformError, match="500"):
        call("run_status", "r1")
    assert len(api.asked) == 7


def test_lists_and_pages(call, api):
    api.answer(200, {"results": [{"id": "a", "status": "RUNNING"}, "odd"], "total": 1})
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    runs = call("list_runs", status="RUNNING", pipeline_ids=["p", "q"], time_from=start,
                time_to=start + timedelta(days=1), page=2, page_size=5)  # fmt: skip
    assert [r.id for r in runs] == ["a"]
    assert "page=2&page_size=5" in api.asked[0].path
    assert "pipeline_ids=p%2Cq" in api.asked[0].path
    for options in (
        {"time_from": start},
        {"time_from": start, "time_to": start + timedelta(days=8)},
        {"page_size": 101},
        {"page": 0},
    ):
        with pytest.raises(UsageError):
            call("list_runs", **options)
    api.answer(200, "nothing of use")
    assert call("list_runs") == []


def test_cancel_task_runs_and_logs(call, api):
    api.answer(204)
    assert call("cancel_run", "r1", force=True) is None
    assert json.loads(api.asked[0].body) == {"force": True}
    api.answer(200, {"results": [{"id": "t", "taskName": "load", "status": "FAILED", "numberOfAttempts": 2}]})
    (task,) = call("task_runs", "r1")
    assert (task.id, task.task_name, task.status, task.attempts) == ("t", "load", "FAILED", 2)
    api.answer(200, [{"id": "t"}])
    assert call("get_task_runs", "t", "u")[0].status == "UNKNOWN"
    assert api.asked[-1].path == "/task_runs?task_run_ids=t%2Cu"
    api.answer(200, [{"filename": "a.log"}])
    assert call("logs", "r1", "t") == [{"filename": "a.log"}]


def test_logs_are_downloaded_piece_by_piece(call, api):
    api.answer(206, headers=[("x-file-status", "growing")], raw=b"new")
    piece = call("download_log", "r", "t", "a.log", start=10)
    assert (piece.data, piece.end, piece.file_status) == (b"new", 13, "growing")
    assert api.asked[0].headers["range"] == "bytes=10-"
    api.answer(416)
    assert call("download_log", "r", "t", "a.log", start=13).data == b""
    api.answer(200, raw=b"0123456789")
    assert call("download_log", "r", "t", "a.log", start=4).data == b"456789"
    api.answer(404, {"detail": "no file"})
    with pytest.raises(PlatformError, match="no file"):
        call("download_log", "r", "t", "a.log")


def test_waiting_tolerates_bad_answers_and_ends_in_time(call, api):
    for status in (502, 502, 502, 502, 429):
        api.answer(status)
    api.answer(200, {"runStatus": "RUNNING"})
    api.answer(200, {"runStatus": "SUCCEEDED"})
    assert call("wait_for_run", "r1").status == "SUCCEEDED"
    api.always = (200, b'{"runStatus": "QUEUED"}', ())
    with pytest.raises(DeadlineError, match="has not ended within 60 s"):
        call("wait_for_run", "r1", timeout_s=60)
    api.always = None
    api.answer(401)
    with pytest.raises(PlatformAccessError):
        call("wait_for_run", "r1")


def test_answers_are_bounded(call, api, monkeypatch):
    monkeypatch.setattr(platform_module, "ANSWER_BYTES_MAX", 100)
    api.answer(200, raw=b"x" * 1_000)
    with pytest.raises(PlatformError, match="larger than 100 bytes"):
        call("run_status", "r1")
    assert len(api.asked) == 1


@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.parametrize("kind", [PlatformClient, AsyncPlatformClient])
def test_no_answer_is_so_slow_that_it_outlasts_the_deadline(kind, part, monkeypatch):
    """Each byte comes within any timeout for one read; the whole never ends."""
    monkeypatch.setattr(platform_module, "ATTEMPTS_MAX", 1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n" + (b"\r\n" if part == "body" else b"X-Slow: ")
    stop = threading.Event()

    def drip(connection, _):
        with connection:
            connection.recv(65_536)
            connection.sendall(head)
            try:
                while not stop.wait(0.02):
                    connection.sendall(b"a")
            except OSError:
                return

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: drip(*listener.accept()))
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def ask_later():
        async with AsyncPlatformClient("key", base_url=url, timeout_s=0.5) as client:
            await client.run_status("r1")

    def ask():
        with PlatformClient("key", base_url=url, timeout_s=0.5) as client:
            client.run_status("r1")

    started = time.monotonic()
    with pytest.raises(UnreachableError, match="did not answer"):
        ask() if kind is PlatformClient else asyncio.run(ask_later())
    assert time.monotonic() - started < 60.0
    stop.set()
    thread.join(60)
    listener.close()


def test_the_platform_is_reached_through_tls_and_its_proxy(api, monkeypatch, tmp_path):
    import ssl

    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    answer = b'{"runStatus": "RUNNING"}'
    with WebhookServer(tls=context, on_get=lambda _: (200, "application/json", answer)) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        with PlatformClient("key", base_url=server.url) as client:
            assert client.run_status("r1").status == "RUNNING"
            assert client.run_status("r1").status == "RUNNING"
        assert server.connections == 1
    # A plain request through a proxy names the whole address.
    api.answer(200, {"runStatus": "FAILED"})
    monkeypatch.setenv("http_proxy", api.url.replace("//", "//me:pass@"))
    with PlatformClient("key", base_url="http://platform.invalid/api") as client:
        assert client.run_status("r1").status == "FAILED"
    (asked,) = api.asked
    assert asked.path == "http://platform.invalid/api/pipeline_runs/r1/status"
    assert asked.headers["proxy-authorization"].startswith("Basic ")


def test_bundles_of_the_environment_are_used(monkeypatch, tmp_path):
    import trustme

    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    PlatformClient("key").close()


def test_there_must_be_a_key(monkeypatch):
    with pytest.raises(MissingEnvironmentKeysError) as caught:
        PlatformClient()
    assert caught.value.missing_keys == {"ORCHESTRA_API_KEY"}
    monkeypatch.setenv("ORCHESTRA_API_KEY", "k")
    PlatformClient().close()


def test_states_and_details():
    assert [terminal_state(s) for s in ("succeeded", "SKIPPED", "CANCELLING", "NEW")] == [
        True,
        True,
        False,
        False,
    ]
    assert PipelineRun.read({}).status == "UNKNOWN"
    assert error_of(500, {"detail": None}, retry_after=None, now_s=0.0).message == "the platform answered 500"


def watch(api, run="t1"):
    requested = threading.Event()
    made = CancelWatch("key", run, requested, base_url=api.url, poll_s=0.02)
    made.start()
    return made, requested


@pytest.mark.parametrize("state", ["CANCELLING", "cancelled"])
def test_a_cancelled_run_is_noticed_after_bad_answers(api, state):
    api.answer(404, {"detail": "not yet"})
    api.answer(200, raw=b"not json")
    api.answer(200, {"results": [{"id": "other", "status": "CANCELLED"}]})
    api.answer(200, {"results": [{"id": "t1", "status": "RUNNING"}]})
    api.answer(200, {"results": [{"id": "t1", "status": state}]})
    made, requested = watch(api)
    assert requested.wait(60)
    made._thread.join(60)


def test_after_a_refusal_nobody_asks_again(api, caplog):
    api.answer(403, {"detail": "plan"})
    made, requested = watch(api)
    made._thread.join(60)
    assert not made._thread.is_alive()
    assert not requested.is_set()
    assert "cancellation cannot be asked for" in caplog.text


def test_a_stopped_watch_ends(api):
    api.always = (200, b"[]", ())
    made, _ = watch(api)
    with api.came:
        assert api.came.wait_for(lambda: api.asked, 60)
    made.stop()
    made._thread.join(60)
    assert not made._thread.is_alive()


def test_a_cancellable_run_watches_while_it_lasts(make_sdk, api, monkeypatch, server, run_id):
    monkeypatch.setenv("ORCHESTRA_API_URL", api.url)
    sdk = make_sdk(cancellable=True)
    with sdk.task("job") as task:
        assert not task.cancel_requested
        (thread,) = [t for t in threading.enumerate() if t.name == "orchestra-cancellation"]
    thread.join(60)
    assert not thread.is_alive()
    assert server.run(run_id).status == "SUCCEEDED"
