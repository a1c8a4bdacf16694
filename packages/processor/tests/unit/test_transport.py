"""The asyncio transport under real gRPC clients and under peers that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.events
import pytest
from connections import patient_options

from orca.processor import _grpc, _http2
from orca.processor._grpc import Call, Handler, Listener, Status


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


MEGABYTES = 1024 * 1024


class StillLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes when a test says so."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s


class Served:
    """A listener on a loop of its own, with handlers for every case below."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.written = 0
        self.loop = loop or asyncio.new_event_loop()
        self.listener = Listener(
            {
                "/T/Echo": Handler(self.echo),
                "/T/Many": Handler(self.many),
                "/T/Wait": Handler(self.wait),
                "/T/Fail": Handler(self.fail),
                "/T/Refuse": Handler(self.refuse),
                "/T/Talk": Handler(self.talk, streams=True),
            }
        )
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.port = self.do(self.listener.start("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self.port}"

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def pass_time(self, seconds: float) -> None:
        """Let time pass on a loop that stands still; what is due then has run when the next call is answered."""

        async def move() -> None:
            assert isinstance(self.loop, StillLoop)
            self.loop.now_s += seconds

        self.do(move())

    def close(self) -> None:
        self.do(self.listener.stop("over"))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()

    async def echo(self, data: bytes, call: Call) -> bytes:
        if "x-say" in call.invocation_metadata():
            await call.send_initial_metadata((("x-said", call.invocation_metadata()["x-say"]),))
        return data

    async def many(self, data: bytes, call: Call) -> None:
        count, size = (int(one) for one in data.split(b","))
        for _ in range(count):
            await call.write([b"x" * size])
            self.written += size

    async def wait(self, _data: bytes, _call: Call) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def fail(self, _data: bytes, _call: Call) -> None:
        raise KeyError("threshold")

    async def refuse(self, _data: bytes, call: Call) -> None:
        await call.write([b"one"])
        await call.abort(Status.RESOURCE_EXHAUSTED, "100 % full: ünï\ncode")

    async def talk(self, requests: AsyncIterator[bytes], call: Call) -> None:
        async for one in requests:
            await call.write([one.upper()])


@pytest.fixture
def served() -> Any:
    made = Served()
    yield made
    made.close()


@pytest.fixture
def channel(served: Served) -> Any:
    with grpc.insecure_channel(served.target, options=patient_options()) as made:
        yield made


def status_of(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code().name, error.details()


def test_unary_calls_with_metadata(channel: Any) -> None:
    echo = channel.unary_unary("/T/Echo")
    reply, call = echo.with_call(b"hello", timeout=60, metadata=(("x-say", "a b"), ("x-raw-bin", b"\0\xff")))
    assert reply == b"hello"
    assert ("x-said", "a b") in call.initial_metadata()
    assert echo(b"", timeout=60) == b""


def test_large_messages_both_ways(channel: Any) -> None:
    data = bytes(range(256)) * (40 * MEGABYTES // 256)
    assert channel.unary_unary("/T/Echo")(data, timeout=60) == data


@pytest.mark.parametrize("packing", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(channel: Any, packing: grpc.Compression) -> None:
    assert channel.unary_unary("/T/Echo")(b"a" * 100_000, timeout=60, compression=packing) == b"a" * 100_000


def test_statuses_and_texts_of_every_kind(channel: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert status_of(lambda: channel.unary_unary("/T/Nothing")(b"", timeout=60)) == (
        "UNIMPLEMENTED",
        "Method not found!",
    )
    got: list[bytes] = []
    name, text = status_of(lambda: got.extend(channel.unary_stream("/T/Refuse")(b"", timeout=60)))
    assert (name, text) == ("RESOURCE_EXHAUSTED", "100 % full: ünï\ncode")
    name, text = status_of(lambda: channel.unary_unary("/T/Fail")(b"", timeout=60))
    assert (name, text) == ("UNKNOWN", "Unexpected <class 'KeyError'>: 'threshold'")
    assert "error of the server's own" in caplog.text


def test_a_deadline_ends_the_handler(served: Served, channel: Any) -> None:
    # A channel connects with its first call: the deadline is for the handler alone.
    assert channel.unary_unary("/T/Echo")(b"a", timeout=60) == b"a"
    for timeout_s in (0.5, 5, 50):
        call = channel.unary_unary("/T/Wait").future(b"", timeout=timeout_s)
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if served.began.is_set():
            break  # otherwise the machine was too busy to let the handler begin before its deadline
    assert served.began.is_set()
    assert served.cancelled.wait(60)


def test_the_server_itself_keeps_to_a_deadline() -> None:
    served = Served(StillLoop())
    raw = Raw(served)
    raw.call("/T/Wait", packed(b""), grpc_timeout="2S")
    assert served.began.wait(60)
    assert not served.cancelled.is_set()
    served.pass_time(2)
    assert int(raw.trailers()["grpc-status"]) == Status.DEADLINE_EXCEEDED
    assert served.cancelled.wait(60)
    raw.socket.close()
    served.close()


def test_a_caller_that_goes_away_ends_the_handler(served: Served, channel: Any) -> None:
    call = channel.unary_unary("/T/Wait").future(b"", timeout=60)
    assert served.began.wait(60)
    call.cancel()
    assert served.cancelled.wait(60)
    served.began.clear()
    served.cancelled.clear()
    other = grpc.insecure_channel(served.target)
    waiting = other.unary_unary("/T/Wait").future(b"", timeout=60)
    assert served.began.wait(60)
    other.close()
    assert waiting.code() is grpc.StatusCode.CANCELLED
    assert served.cancelled.wait(60)


def test_streams_both_ways(channel: Any) -> None:
    talk = channel.stream_stream("/T/Talk")
    assert list(talk(iter([b"a", b"b" * 100_000, b""]), timeout=60)) == [b"A", b"B" * 100_000, b""]
    assert list(talk(iter([]), timeout=60)) == []


@pytest.mark.anyio
async def test_many_calls_at_once_on_one_connection(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.target, options=patient_options()) as channel:
        echo = channel.unary_unary("/T/Echo")
        replies = await asyncio.gather(*(echo(b"%d" % number, timeout=60) for number in range(500)))
    assert replies == [b"%d" % number for number in range(500)]


class Raw:
    """A client of h2 over a socket, which does only what it is told."""

    def __init__(self, served: Served, **settings: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", served.port), timeout=60)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.events: list[Any] = []
        if settings:
            self.http.update_settings(
                {h2.settings.SettingCodes[key]: value for key, value in settings.items()}
            )
        self.send()

    def send(self) -> None:
        self.socket.sendall(self.http.data_to_send())

    def call(self, path: str, body: bytes | None = b"\0\0\0\0\0", **headers: str) -> int:
        stream = self.http.get_next_available_stream_id()
        given = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "a", "te": "trailers"}
        given |= {"content-type": "application/grpc"}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        given |= {":method": given.pop("method", "POST")}
        names = sorted(given, key=lambda name: not name.startswith(":"))
        self.http.send_headers(stream, [(name, given[name]) for name in names], end_stream=body is None)
        for at in range(0, len(body or b""), 16_000):
            self.http.send_data(stream, (body or b"")[at : at + 16_000])
        if body is not None:
            self.http.end_stream(stream)
        self.send()
        return stream

    def until(self, *kinds: type, respond: bool = True) -> Any:
        """The next event of these kinds; None when the connection ends."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if isinstance(event, kinds):
                    return event
            data = self.socket.recv(65_536)
            if not data:
                return None
            self.events += self.http.receive_data(data)
            if respond:
                self.send()

    def trailers(self) -> dict[str, str]:
        event = self.until(h2.events.TrailersReceived, h2.events.ResponseReceived)
        if "grpc-status" not in dict(event.headers) and b"grpc-status" not in dict(event.headers):
            event = self.until(h2.events.TrailersReceived)
        return {_text(name): _text(value) for name, value in event.headers}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture
def raw(served: Served) -> Any:
    made = Raw(served)
    yield made
    made.socket.close()


def packed(data: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (None, {}, Status.INTERNAL, "no message"),
        (b"", {}, Status.INTERNAL, "no message"),
        (b"\0\0\0", {}, Status.INTERNAL, "inside of a message"),
        (packed(b"a") + b"\0\0\0\0\5ab", {}, Status.INTERNAL, "inside of a message"),
        (packed(b"a") * 2, {}, Status.INTERNAL, "more than one message"),
        (b"\0\xff\xff\xff\xff", {}, Status.RESOURCE_EXHAUSTED, "larger than max"),
        (packed(b"a", 1), {}, Status.INTERNAL, "does not say how"),
        (packed(b"no gzip", 1), {"grpc_encoding": "gzip"}, Status.INTERNAL, "cannot be read"),
        (
            packed(gzip.compress(b"a" * 1000, mtime=0)[:-9], 1),
            {"grpc_encoding": "gzip"},
            Status.INTERNAL,
            "cut off",
        ),
        (packed(b"a"), {"grpc_encoding": "snappy"}, Status.UNIMPLEMENTED, "snappy"),
        (packed(b"a"), {"grpc_timeout": "soon"}, Status.INTERNAL, "grpc-timeout"),
        (
            packed(zlib.compress(b"\0" * (60 * MEGABYTES)), 1),
            {"grpc_encoding": "deflate"},
            Status.RESOURCE_EXHAUSTED,
            "unpacked",
        ),
    ],
)
def test_requests_that_are_no_grpc_are_told_why(
    raw: Raw, body: bytes | None, headers: dict[str, str], status: Status, words: str
) -> None:
    raw.call("/T/Echo", body, **headers)
    found = raw.trailers()
    assert int(found["grpc-status"]) == status
    assert words.replace(" ", "") in found["grpc-message"].replace(" ", "").replace("%20", "")
    raw.call("/T/Echo", packed(b"still"))
    assert raw.until(h2.events.DataReceived).data == packed(b"still")


@pytest.mark.parametrize("headers", [{"content_type": "text/html"}, {"method": "GET"}])
def test_other_http_is_refused(raw: Raw, headers: dict[str, str]) -> None:
    raw.call("/T/Echo", None, **headers)
    answer = raw.until(h2.events.ResponseReceived)
    assert _text(dict(answer.headers).get(":status") or dict(answer.headers)[b":status"]) == "415"


def test_a_peer_that_does_not_read_makes_the_handler_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_grpc, "KEEPALIVE_S", 3600.0)  # a question would wait behind all that is not read
    raw = Raw(served, INITIAL_WINDOW_SIZE=2**31 - 1)
    raw.http.increment_flow_control_window(2**31 - 1 - 65_535)
    raw.send()
    total = 200 * MEGABYTES
    raw.call("/T/Many", packed(b"200,%d" % MEGABYTES))
    received = len(raw.until(h2.events.DataReceived).data)
    probe = Raw(served)
    for _ in range(20):
        # Others are served while this one waits; nothing of it is kept beyond what sockets take.
        probe.call("/T/Echo", packed(b"quick"))
        assert probe.until(h2.events.DataReceived).data == packed(b"quick")
    assert served.written < total // 2
    while received < total:
        received += len(raw.until(h2.events.DataReceived).data)
    raw.socket.close()
    probe.socket.close()


def test_a_window_that_opens_lets_the_handler_go_on(served: Served) -> None:
    raw = Raw(served)
    stream = raw.call("/T/Many", packed(b"5,%d" % MEGABYTES))
    received = 0
    while True:
        event = raw.until(h2.events.DataReceived, h2.events.StreamEnded)
        if isinstance(event, h2.events.StreamEnded):
            break
        received += len(event.data)
        raw.http.acknowledge_received_data(event.flow_controlled_length, stream)
        raw.send()
    assert received >= 5 * MEGABYTES
    raw.socket.close()


def test_a_silent_peer_is_asked_and_given_up() -> None:
    served = Served(StillLoop())
    raw = Raw(served)

    def be_heard(peer: Raw) -> None:
        # Twice: the first answer may still be followed by something that the peer says by itself.
        for _ in range(2):
            peer.call("/T/Echo", packed(b"a"))
            assert peer.until(h2.events.StreamEnded)

    be_heard(raw)
    served.pass_time(_grpc.KEEPALIVE_S)  # it was heard until now
    for _ in range(2):
        served.pass_time(_grpc.KEEPALIVE_S)  # and was silent since
        assert raw.until(h2.events.PingReceived)  # and answers, as it should
        be_heard(raw)
        served.pass_time(_grpc.KEEPALIVE_TIMEOUT_S)
    served.pass_time(_grpc.KEEPALIVE_S)
    assert raw.until(h2.events.PingReceived, respond=False)
    assert served.listener.peers
    served.pass_time(_grpc.KEEPALIVE_TIMEOUT_S)
    assert raw.until(h2.events.DataReceived, respond=False) is None
    mute = socket.create_connection(("127.0.0.1", served.port), timeout=60)
    mute.sendall(_http2.PREFACE[:10])
    other = Raw(served)
    be_heard(other)  # connections are taken in their order: the one before is there, too
    served.pass_time(_grpc.KEEPALIVE_S)
    # Given up before its words were read, it sees a reset instead of an end.
    with mute, suppress(ConnectionResetError):
        while mute.recv(1000):
            pass
    be_heard(other)
    for one in (raw, other):
        one.socket.close()
    served.close()


def test_a_peer_that_breaks_the_protocol_is_told_and_closed(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as plain,
    ):
        plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while data := plain.recv(1000):
            answer += data
    assert b"speak gRPC to this port" in answer
    assert "no HTTP/2" in caplog.text


def test_connections_are_bounded(served: Served, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert channel.unary_unary("/T/Echo")(b"a", timeout=60) == b"a"
    monkeypatch.setattr(_grpc, "CONNECTIONS_MAX", 1)
    with (
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as other,
        suppress(ConnectionResetError),
    ):
        assert other.recv(1000) == b""
    assert channel.unary_unary("/T/Echo")(b"a", timeout=60) == b"a"


def test_calls_that_are_never_complete_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_grpc, "BODIES_BYTES_MAX", 40_000)
    raw = Raw(served)
    for _ in range(2):
        stream = raw.http.get_next_available_stream_id()
        headers = {":method": "POST", ":scheme": "http", ":path": "/T/Echo", ":authority": "a"}
        raw.http.send_headers(stream, [*headers.items(), ("content-type", "application/grpc")])
        raw.http.send_data(stream, b"\0\0\x0f\xff\xff" + b"x" * 15_000)
        raw.send()
        raw.http.send_data(stream, b"x" * 8_000)
    raw.send()
    assert int(raw.trailers()["grpc-status"]) == Status.RESOURCE_EXHAUSTED
    assert served.listener.peers
    raw.call("/T/Echo", packed(b"a"))
    assert raw.until(h2.events.DataReceived).data == packed(b"a")
    raw.socket.close()


def test_stopping_ends_calls_with_a_reason(served: Served, channel: Any) -> None:
    call = channel.unary_unary("/T/Wait").future(b"", timeout=60)
    assert served.began.wait(60)
    served.do(served.listener.stop("the processor ends"))
    assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert call.details() == "the processor ends"
    assert served.cancelled.wait(60)


def test_a_peer_that_never_reads_does_not_keep_the_server(served: Served) -> None:
    raw = Raw(served, INITIAL_WINDOW_SIZE=2**31 - 1)
    raw.http.increment_flow_control_window(2**31 - 1 - 65_535)
    raw.send()
    raw.call("/T/Many", packed(b"200,%d" % MEGABYTES))
    assert raw.until(h2.events.DataReceived)
    served.do(served.listener.stop("over", grace_s=0.1))
    assert not served.listener.peers
    raw.socket.close()


@pytest.mark.anyio
async def test_addresses_of_every_family() -> None:
    for host in ("127.0.0.1", "0.0.0.0", "localhost", "::1", "::"):
        listener = Listener({})
        try:
            port = await listener.start(host, 0)
        except OSError:
            assert ":" in host, "this machine has no IPv6"
            continue
        assert port > 0
        with pytest.raises(OSError, match="in use"):
            await Listener({}).start(host, port)
        await listener.stop("over")
