import gc
import io
import socket
import sys

import pytest

from orca.common.errors import DeadlineError
from orchestra.sdk.testing import Fault, TaskRunView, WebhookServer
from orchestra.sdk.testing._http1 import read_request, response_head
from orchestra.sdk.testing._schema import problems_of

RUN = "11111111-2222-4333-8444-555555555555"


def event(**fields):
    return {"event_type": "UPDATE_STATUS", "metadata": {}, "task_run_id": RUN, "status": "RUNNING", **fields}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], []),
        ({}, ["event_type"]),
        (event(extra=1), ["extra"]),
        (event(metadata=5), ["metadata"]),
        (event(status="DONE"), ["status"]),
        (event(message=""), ["message"]),
        (event(task_run_id=RUN.upper().replace("1", "A")), ["task_run_id"]),
        (event(task_run_id=5), ["task_run_id"]),
        ({"event_type": "UPDATE_STATUS", "metadata": {}, "task_run_id": RUN}, ["status"]),
        (
            {"event_type": "SENSOR_EVENT", "metadata": {}, "sensor_event_type": "x", "sensor_event": 5},
            ["sensor_event"],
        ),
    ],
)
def test_every_break_of_the_schema_is_named(body, where):
    (problem,) = problems_of(body)
    assert problem["loc"] == ["body", *where]
    assert problems_of(event()) == []


def test_the_fixtures_report_to_a_server(orchestra_sdk, orchestra_webhook, orchestra_task_run):
    orchestra_webhook.script(Fault.status(503))
    with orchestra_sdk.task("load") as task:
        task.output("Rows", 3)
    view = orchestra_webhook.run(orchestra_task_run)
    assert (view.status, view.outputs, view.late) == ("SUCCEEDED", {"rows": 3}, [])


def test_views_tell_repetitions_from_late_events():
    view = TaskRunView(RUN)
    assert view.status == ""
    end = event(status="FAILED")
    for each in (event(), end, end, event(status="SUCCEEDED")):
        view.add(each)
    assert view.status == "FAILED"
    assert view.late == [event(status="SUCCEEDED")]


def send(server, text):
    with socket.create_connection(
        ("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=60
    ) as connection:
        connection.sendall(text)
        return connection.recv(65_536).decode("latin-1").split("\r\n")[0]


def test_a_stopped_server_refuses_and_keeps_its_port_until_it_is_forgotten():
    server = WebhookServer().start()
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))

    def take() -> None:
        with socket.socket() as other:
            other.bind(address)

    for _ in range(2):
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=60)
        if sys.platform == "linux":
            with pytest.raises(OSError, match="in use"):
                take()
        server.start()
    server.stop()
    del server
    gc.collect()
    take()


def test_requests_that_are_wrong_get_the_answers_of_the_platform():
    head = "POST / HTTP/1.1\r\nAuthorization: Bearer k\r\n"
    with WebhookServer(api_key="k") as server:
        server.script(Fault.status(200))
        server.behave()
        assert send(server, b"GET / HTTP/1.1\r\n\r\n").split()[1] == "405"
        assert send(server, b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").split()[1] == "401"
        assert send(server, f"{head}Content-Length: 0\r\n\r\n".encode()).split()[1] == "415"
        json_head = f"{head}Content-Type: application/json\r\n"
        assert send(server, f"{json_head}Content-Length: 1\r\n\r\n{{".encode()).split()[1] == "422"
        chunked = f"{json_head}Transfer-Encoding: chunked\r\n\r\n2;x\r\n[]\r\n0\r\n\r\n"
        assert send(server, chunked.encode()).split()[1] == "422"
        assert send(server, b"nonsense\r\n\r\n") == ""
        assert len(server.problems) == 5
        with pytest.raises(DeadlineError, match=r"not within 0\.01 s; 5 requests"):
            server.wait_for(lambda s: s.events, timeout_s=0.01)


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / SPDY/9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n",
    ],
)
def test_what_is_not_http_or_beyond_the_limits_is_refused(raw):
    with pytest.raises(ValueError, match=r"HTTP|body|header"):
        read_request(io.BytesIO(raw))
    assert read_request(io.BytesIO(b"")) is None
    assert b"799 Unknown" in response_head(799, 0)
