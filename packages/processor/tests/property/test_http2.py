"""The HTTP/2 and HPACK kernels against an independent implementation, and against nonsense."""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import h2.config
import h2.connection
import h2.events
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import busy

from orca.processor import _hpack, _http2
from orca.processor._http2 import Connection, Data, Ended, ErrorCode, Headers, Pong, Reset

NAMES = st.sampled_from(
    ["te", "user-agent", "grpc-timeout", "x-one", "authorization", ":path", "accept-encoding"]
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80).map(str.strip)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/OrcaProcessor/HealthCheck"),
    (":authority", "127.0.0.1"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


@given(
    st.lists(HEADERS, max_size=8),
    st.booleans(),
    st.lists(st.sampled_from([0, 50, 4096]), min_size=8, max_size=8),
)
@busy
def test_headers_of_another_encoder_are_read(blocks: Any, huffman: bool, sizes: Any) -> None:
    encoder, decoder = hpack.Encoder(), _hpack.Decoder()
    for headers, size in zip(blocks, sizes, strict=False):
        encoder.header_table_size = size
        # Twice: the second time from the table, and from the cache behind it.
        for _ in range(2):
            block = encoder.encode(headers, huffman=huffman)
            assert decoder.decode(block) == [(name.encode(), value.encode()) for name, value in headers]


@given(HEADERS)
@busy
def test_our_headers_are_read_by_another_decoder(headers: Any) -> None:
    block = _hpack.encode([(name.encode(), value.encode()) for name, value in headers])
    assert [tuple(one) for one in hpack.Decoder().decode(block)] == headers


@given(st.binary(max_size=300))
@busy
def test_nonsense_is_no_header_block_or_agrees_with_another_decoder(data: bytes) -> None:
    try:
        found = _hpack.Decoder().decode(data)
    except _hpack.HpackError:
        return
    # What is taken at all means the same to both; the other one may be stricter about sizes.
    with contextlib.suppress(hpack.HPACKError):
        assert [tuple(one) for one in hpack.Decoder().decode(data, raw=True)] == found


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"\x80", "outside of the table"),
        (b"\xff\x80\x80\x80\x80\x80\x80", "a number"),
        (b"\xff", "a number"),
        (b"\x40", "a text is cut off"),
        (b"\x40\x05ab", "a text is cut off"),
        (b"\x82\x20", "table's size"),
        (b"\x3f\xff\xff\x03", "table's size"),
        (b"\x00\x84\xff\xff\xff\xff\x00", "end of the text"),
        (b"\x00\x81\x18\x00", "padding"),
        (b"\x00\x7f\xa2\xff\x03" + b"a" * 65_441 + b"\x7f\xa2\xff\x03" + b"a" * 65_441, "65536 bytes"),
    ],
)
def test_malformed_header_blocks(block: bytes, words: str) -> None:
    with pytest.raises(_hpack.HpackError, match=words):
        _hpack.Decoder().decode(block)


def test_a_small_block_that_names_a_large_header_again_and_again_is_refused() -> None:
    decoder = _hpack.Decoder()
    decoder.decode(b"\x40\x01a\x7f\x81\x1e" + b"b" * 3968)
    with pytest.raises(_hpack.HpackError, match="65536 bytes"):
        decoder.decode(b"\xbe" * 20)


class Pair:
    """A client of h2 and a connection of ours, with the bytes carried by hand."""

    def __init__(self, cut: random.Random | None = None) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.ours = Connection()
        self.cut = cut
        self.events: list[Any] = []
        self.answers: list[Any] = []

    def carry(self) -> None:
        while True:
            there, back = self.client.data_to_send(), self.ours.take()
            if not there and not back:
                return
            while there:
                size = self.cut.randint(1, 50_000) if self.cut else len(there)
                self.events += self.ours.receive(there[:size])
                there = there[size:]
            if back:
                self.answers += self.client.receive_data(back)


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), min_size=1, max_size=6),
)
@settings(busy, max_examples=40)
def test_calls_of_another_client_in_any_pieces(seed: int, calls: Any) -> None:
    pair = Pair(random.Random(seed))
    bodies: dict[int, bytes] = {}
    for there, _ in calls:
        stream = pair.client.get_next_available_stream_id()
        pair.client.send_headers(stream, REQUEST)
        bodies[stream] = os.urandom(there)
        for at in range(0, there, 16_384):
            pair.carry()
            pair.client.send_data(stream, bodies[stream][at : at + 16_384])
        pair.client.end_stream(stream)
        pair.carry()
    got = dict.fromkeys(bodies, b"")
    for event in pair.events:
        if isinstance(event, Data):
            got[event.stream] += event.data
    assert got == bodies
    assert [one.stream for one in pair.events if isinstance(one, Headers)] == list(bodies)
    assert {one.stream for one in pair.events if getattr(one, "ended", False)} == set(bodies)

    answers = {stream: os.urandom(back) for stream, (_, back) in zip(bodies, calls, strict=True)}
    for stream, data in answers.items():
        pair.ours.send_headers(stream, _hpack.encode([(b":status", b"200")]))
        pair.ours.send_data(stream, data)
        pair.ours.end(stream, _hpack.encode([(b"grpc-status", b"0")]))
    read = dict.fromkeys(answers, b"")
    done = set()
    while pair.answers or len(done) < len(answers):
        pair.carry()
        taken, pair.answers = pair.answers, []
        assert taken, "nothing more comes"
        for event in taken:
            if isinstance(event, h2.events.DataReceived):
                read[event.stream_id] += event.data
                pair.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                done.add(event.stream_id)
    assert read == answers
    assert not any(pair.ours.is_open(stream) for stream in answers)


def test_windows_settings_pings_and_resets() -> None:
    pair = Pair()
    pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    for stream in (1, 3):
        pair.client.send_headers(stream, REQUEST, end_stream=True)
    pair.carry()
    for stream in (1, 3):
        pair.ours.send_headers(stream, _hpack.encode([(b":status", b"200")]))
        pair.ours.send_data(stream, b"x" * 25)
    assert pair.ours.unsent(1) == 15
    pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 20})
    pair.carry()
    assert pair.ours.unsent(1) == 5
    pair.client.increment_flow_control_window(5, 1)
    pair.carry()
    assert pair.ours.unsent(1) == 0
    pair.client.reset_stream(3, ErrorCode.CANCEL)
    pair.ours.ping(b"12345678")
    pair.carry()
    assert Reset(3, ErrorCode.CANCEL) in pair.events
    assert Pong(b"12345678") in pair.events
    assert pair.ours.unsent(3) == 0
    pair.ours.reset(1, ErrorCode.CANCEL)
    pair.ours.close()
    assert pair.ours.receive(b"anything") == []
    pair.carry()
    assert any(isinstance(one, h2.events.ConnectionTerminated) for one in pair.answers)


def test_two_streams_share_the_connections_window() -> None:
    pair = Pair()
    for stream in (1, 3):
        pair.client.send_headers(stream, REQUEST, end_stream=True)
    pair.carry()
    for stream in (1, 3):
        pair.ours.send_headers(stream, _hpack.encode([(b":status", b"200")]))
        pair.ours.send_data(stream, b"x" * 60_000)
        pair.ours.end(stream, _hpack.encode([(b"grpc-status", b"0")]))
    assert not pair.ours.is_open(1)
    assert pair.ours.unsent(3) == 60_000 - 5_535
    pair.carry()
    pair.client.increment_flow_control_window(100_000)
    pair.carry()
    assert not pair.ours.is_open(3)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


OPEN = _http2.PREFACE + frame(4, 0, 0)
BLOCK = _hpack.encode([(name.encode(), value.encode()) for name, value in REQUEST])
WINDOW = (2**31 - 1).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.PROTOCOL_ERROR),
        (_http2.PREFACE + frame(6, 0, 0, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(0, 0, 1, b"x" * 16_385)[:9], ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(0, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(0, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 4, 2, BLOCK), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 4, 0, BLOCK), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 4, 1, b"\x80"), ErrorCode.COMPRESSION_ERROR),
        (OPEN + frame(1, 4 | 8, 1, b"\x09abc"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 4 | 8, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 4 | 0x20, 1, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(1, 0, 1, BLOCK) + frame(0, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 0, 1, BLOCK) + frame(9, 4, 3, b""), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(9, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 0, 1, b"") + frame(9, 0, 1, b"x" * 16_384) * 5, ErrorCode.ENHANCE_YOUR_CALM),
        (OPEN + frame(1, 5, 1, BLOCK) + frame(0, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
        (OPEN + frame(1, 4, 1, BLOCK) + frame(1, 4, 1, BLOCK), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(2, 0, 1, b"x"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(3, 0, 1, b"1234"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(1, 4, 1, BLOCK) + frame(3, 0, 1, b"123"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(4, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(4, 0, 0, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(4, 1, 0, b"123456"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (OPEN + frame(4, 0, 0, b"\0\5\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(5, 0, 1, b"1234"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(6, 0, 0, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(6, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(7, 0, 0, b"1"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(8, 0, 0, b"1"), ErrorCode.FRAME_SIZE_ERROR),
        (OPEN + frame(8, 0, 0, b"\0\0\0\0"), ErrorCode.FLOW_CONTROL_ERROR),
        (OPEN + frame(8, 0, 0, WINDOW), ErrorCode.FLOW_CONTROL_ERROR),
        (OPEN + frame(8, 0, 1, b"\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (OPEN + frame(6, 0, 0, b"12345678") * 20_001, ErrorCode.ENHANCE_YOUR_CALM),
        (OPEN + frame(1, 4, 1, BLOCK) + frame(0, 0, 1, b"x" * 16_000) * 263, None),
        (
            OPEN
            + frame(1, 4, 1, BLOCK)
            + frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff")
            + frame(8, 0, 1, b"\0\0\0\1"),
            None,
        ),
        (
            OPEN
            + frame(4, 0, 0, b"\0\4\0\0\0\0")
            + frame(1, 4, 1, BLOCK)
            + frame(8, 0, 1, WINDOW)
            + frame(4, 0, 0, b"\0\4\0\0\0\1"),
            ErrorCode.FLOW_CONTROL_ERROR,
        ),
    ],
)
def test_whatever_breaks_the_protocol_ends_the_connection_with_its_code(
    data: bytes, code: ErrorCode | None
) -> None:
    ours = Connection()
    events = ours.receive(data)
    ended = [one for one in events if isinstance(one, Ended)]
    assert ours.over is (code is not None)
    if code is not None:
        assert [one.code for one in ended] == [code]
        assert ended[0].text.encode() in ours.take()


def test_streams_beyond_the_limit_are_refused_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_http2, "STREAMS_MAX", 2)
    ours = Connection()
    ours.receive(OPEN)
    ours.take()
    for stream in (1, 3, 5):
        events = ours.receive(frame(1, 5, stream, BLOCK))
    assert events == []
    assert frame(3, 0, 5, (7).to_bytes(4, "big")) in ours.take()
    assert ours.receive(frame(0, 0, 5, b"late")) == []
    ours.end(1, BLOCK)
    assert isinstance(ours.receive(frame(1, 5, 7, BLOCK))[0], Headers)


def test_padding_priorities_unknown_frames_and_trailers_are_read() -> None:
    ours = Connection()
    events = ours.receive(
        OPEN
        + frame(2, 0, 1, b"12345")
        + frame(99, 0, 0, b"what")
        + frame(1, 4 | 8 | 0x20, 1, b"\x02" + b"12345" + BLOCK + b"\0\0")
        + frame(0, 8, 1, b"\x03hello\0\0\0")
        + frame(1, 5, 1, BLOCK)
        + frame(7, 0, 0, b"\0" * 8)
    )
    assert [type(one) for one in events] == [Headers, Data, Data]
    assert events[1:] == [Data(1, b"hello", ended=False), Data(1, b"", ended=True)]
    ours.relax()
    assert not ours.over


def test_headers_larger_than_a_frame_are_sent_and_read_in_parts() -> None:
    pair = Pair()
    pair.client.send_headers(1, [*REQUEST, *((f"x-{i}", "v" * 1000) for i in range(30))], end_stream=True)
    pair.carry()
    assert len(pair.events[0].headers) == len(REQUEST) + 30
    long = [(f"x-{i}".encode(), b"v" * 1000) for i in range(30)]
    pair.ours.end(1, _hpack.encode([(b":status", b"200"), *long]))
    pair.carry()
    headers = next(one for one in pair.answers if isinstance(one, h2.events.ResponseReceived)).headers
    assert len(headers) == 31


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
@busy
def test_nonsense_never_raises(pieces: list[bytes], greeted: bool) -> None:
    ours = Connection()
    ours.receive(OPEN if greeted else b"")
    for piece in pieces:
        ours.receive(piece)
    ours.take()


@given(
    st.lists(
        st.tuples(st.integers(0, 10), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=60)),
        max_size=20,
    )
)
@settings(busy, max_examples=300)
def test_frames_of_nonsense_never_raise(frames: Any) -> None:
    ours = Connection()
    ours.receive(OPEN + frame(1, 4, 1, BLOCK))
    for one in frames:
        for event in ours.receive(frame(*one)):
            if isinstance(event, Headers):
                ours.send_headers(event.stream, BLOCK)
                ours.send_data(event.stream, b"x" * 100_000)
                ours.end(event.stream, BLOCK)
    ours.take()
