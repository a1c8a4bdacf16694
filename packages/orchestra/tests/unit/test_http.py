import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import trustme

from orchestra.sdk._http import HttpLimits, WebhookTransport, ca_bundle, proxy_for
from orchestra.sdk._protocol import Verdict
from orchestra.sdk.testing import Fault, WebhookServer

BODY = (
    b'{"event_type":"UPDATE_STATUS","metadata":{},'
    b'"task_run_id":"11111111-2222-4333-8444-555555555555","status":"RUNNING"}'
)
FAST = HttpLimits(connect_s=0.5, read_s=0.5, total_s=1.0, body_s=0.2)
"""For servers that never answer."""
PATIENT = HttpLimits(connect_s=30, read_s=30, total_s=60, body_s=0.2)
"""For servers that do answer, on a machine that is busy with other things."""
PROMPT_S = 25.0
"""Less than what any of these servers takes without the limit that is tested, whatever else the machine does."""


@pytest.fixture
def server():
    with WebhookServer() as running:
        yield running


@pytest.fixture
def transport():
    made = WebhookTransport(PATIENT, environ={})
    yield made
    made.close()


def test_one_connection_is_kept_and_renewed_after_the_server_closed_it(server, transport):
    for _ in range(3):
        assert transport.post(server.url, "k", BODY).verdict is Verdict.ACCEPTED
    assert server.connections == 1
    server.stop()
    assert "cannot connect" in transport.post(server.url, "k", BODY).reason
    server.start()
    assert transport.post(server.url, "k", BODY).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "words", "limits"),
    [
        (Fault.hang(), "no answer in time", FAST),
        (Fault.slow_loris(pace_s=0.05), "no answer in time", FAST),
        (Fault.drop(), "the connection broke", PATIENT),
    ],
)
def test_no_kind_of_slowness_outlasts_the_deadline(server, fault, words, limits):
    transport = WebhookTransport(limits, environ={})
    server.always(fault)
    started = time.monotonic()
    outcome = transport.post(server.url, "k", BODY)
    assert outcome.verdict is Verdict.RETRY
    assert words in outcome.reason
    assert outcome.whole_route
    assert time.monotonic() - started < PROMPT_S
    transport.close()


@pytest.mark.parametrize(("code", "verdict"), [(200, Verdict.ACCEPTED), (500, Verdict.RETRY)])
def test_a_huge_answer_is_not_read(code, verdict):
    limits = replace(PATIENT, body_s=30)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        with suppress(OSError):
            connection.sendall(f"HTTP/1.1 {code} X\r\nContent-Length: {10 * 1024**3}\r\n\r\n".encode())
            # Whoever wants more than this waits for it.
            connection.sendall(b"x" * (2 * limits.body_bytes_max))
            while connection.recv(65_536):
                pass
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    transport = WebhookTransport(limits, environ={})
    started = time.monotonic()
    outcome = transport.post(f"http://127.0.0.1:{listener.getsockname()[1]}", "k", BODY)
    assert outcome.verdict is verdict
    assert len(outcome.reason) < 400
    assert time.monotonic() - started < PROMPT_S
    transport.close()
    thread.join(30)
    listener.close()


def test_a_slow_body_of_an_accepted_answer_costs_little():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        connection.recv(1)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    transport = WebhookTransport(PATIENT, environ={})
    started = time.monotonic()
    outcome = transport.post(f"http://127.0.0.1:{listener.getsockname()[1]}", "k", BODY)
    assert outcome.verdict is Verdict.ACCEPTED
    assert time.monotonic() - started < PROMPT_S
    transport.close()
    thread.join(30)
    listener.close()


def test_what_is_not_http_is_a_failed_attempt():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    transport = WebhookTransport(PATIENT, environ={})
    outcome = transport.post(f"http://127.0.0.1:{listener.getsockname()[1]}", "k", BODY)
    assert outcome.verdict is Verdict.RETRY
    transport.close()
    thread.join(30)
    listener.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1", "gopher://x/"])
def test_bad_addresses_are_failed_attempts_and_never_exceptions(transport, url):
    assert transport.post(url, "k", BODY).verdict is Verdict.RETRY


def test_tls_is_checked_against_the_bundle_of_the_environment(tmp_path):
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with WebhookServer(tls=context) as server:
        trusting = WebhookTransport(PATIENT, environ={"REQUESTS_CA_BUNDLE": str(bundle)})
        for _ in range(3):
            assert trusting.post(server.url, "k", BODY).verdict is Verdict.ACCEPTED
        assert server.connections == 1
        trusting.close()
        doubting = WebhookTransport(PATIENT, environ={})
        outcome = doubting.post(server.url, "k", BODY)
        assert outcome.verdict is Verdict.RETRY
        assert "certificate" in outcome.reason.lower()
        doubting.close()


def test_a_proxy_is_used_and_its_password_goes_to_it_alone():
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        seen.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    environ = {"http_proxy": f"http://me:pw@127.0.0.1:{listener.getsockname()[1]}"}
    transport = WebhookTransport(PATIENT, environ=environ)
    outcome = transport.post("http://webhook.invalid/x", "k", BODY)
    assert outcome.verdict is Verdict.ACCEPTED
    assert seen[0].startswith(b"POST http://webhook.invalid/x HTTP/1.1")
    assert b"Proxy-Authorization: Basic bWU6cHc=" in seen[0]
    assert b"Authorization: Bearer k" in seen[0]
    transport.close()
    thread.join(30)
    listener.close()


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "a.example"}, None),
        ({"ALL_PROXY": "http://p:1", "no_proxy": ".other"}, "http://p:1"),
        ({"all_proxy": "socks5://p:1"}, None),
        ({"HTTPS_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
    ],
)
def test_proxies_of_the_environment(environ, proxy):
    assert proxy_for("https://a.example/x", environ) == proxy


def test_bundles_of_the_environment():
    assert ca_bundle({}) is None
    assert ca_bundle({"CURL_CA_BUNDLE": "/c", "REQUESTS_CA_BUNDLE": "/r"}) == "/r"
    assert ca_bundle({"SSL_CERT_DIR": "/d"}) == "/d"


def test_connections_to_many_addresses_are_bounded(transport):
    servers = [WebhookServer().start() for _ in range(18)]
    for server in servers:
        assert transport.post(server.url, "k", BODY).verdict is Verdict.ACCEPTED
    assert len(transport._pools) <= 16
    for server in servers:
        server.stop()
