"""The server's side of one HTTP/2 connection (RFC 9113): bytes in, events and bytes out; no socket and no clock.

Only what gRPC needs: requests from the other side, answers with trailers, flow control both ways. Everything that a
peer can make large has a bound here, and whatever breaks the protocol ends the connection with a GOAWAY that says why.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from orca.processor._hpack import Decoder, HpackError

__all__ = ["PREFACE", "Connection", "Data", "Ended", "ErrorCode", "Headers", "Pong", "Reset"]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

FRAME_BYTES_MAX: Final = 16_384
"""Frames that are taken and sent at most: the protocol's own default, which every peer takes."""

WINDOW_BYTES: Final = 4 * 1024 * 1024
"""What a peer may send for one stream, and ten times for a connection, before it is told to go on: a
call's message usually fits."""

STREAMS_MAX: Final = 2048
"""Calls open at once on a connection; beyond it they are refused, and the peer waits."""

BLOCK_BYTES_MAX: Final = 65_536
"""Header bytes before decompression, in all frames of a block."""

CONTROL_MAX: Final = 20_000
"""Frames without any work in them (pings, settings, resets, empty data) between two calls of
:meth:`Connection.relax`: a peer that measures its bandwidth sends a few hundred."""

_WINDOW_MAX: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65_535

_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_WITH_PRIORITY: Final = 0x20

_NUMBER: Final = Struct(">I")
_FRAME: Final = Struct(">HBBBI")  # length in two parts, type, flags, stream
_SETTING: Final = Struct(">HI")
_SET_STREAMS, _SET_WINDOW, _SET_FRAME, _SET_LIST = 3, 4, 5, 6


class ErrorCode(IntEnum):
    """RFC 9113, 7: why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Headers(NamedTuple):
    """A request begins."""

    stream: int
    headers: list[tuple[bytes, bytes]]
    ended: bool


class Data(NamedTuple):
    """A piece of a request's body."""

    stream: int
    data: bytes
    ended: bool


class Reset(NamedTuple):
    """The peer does not want the answer any more."""

    stream: int
    code: int


class Pong(NamedTuple):
    """The answer to :meth:`Connection.ping`."""

    data: bytes


class Ended(NamedTuple):
    """The connection is over; what :meth:`Connection.take` still gives says why."""

    code: int
    text: str


Event = Headers | Data | Reset | Pong | Ended


class _BrokenError(Exception):
    """The peer broke the protocol."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Stream:
    __slots__ = ("closing", "receive_window", "receiving", "send_window", "unsent")

    def __init__(self, send_window: int) -> None:
        self.send_window = send_window
        self.receive_window = WINDOW_BYTES
        self.receiving = True
        self.unsent = bytearray()
        self.closing: bytes | None = None  # the block of trailers that waits behind the data


def _frame(kind: int, flags: int, stream: int, payload: bytes | bytearray | memoryview) -> bytes:
    length = len(payload)
    return _FRAME.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


class Connection:
    """One connection.

    Attributes:
        last_stream: The latest request that was taken.
        over: Nothing is taken any more.
    """

    def __init__(self) -> None:
        self.last_stream = 0
        self.over = False
        self._in = bytearray()
        self._out: list[bytes] = []
        self._greeted = False
        self._settled = False
        self._decoder = Decoder()
        self._streams: dict[int, _Stream] = {}
        self._stalled: OrderedDict[int, _Stream] = OrderedDict()  # they wait for the connection's window
        self._send_window = _DEFAULT_WINDOW
        self._receive_window = WINDOW_BYTES * 10
        self._peer_window = _DEFAULT_WINDOW
        self._peer_frame = FRAME_BYTES_MAX
        self._block: tuple[int, int, bytearray] | None = (
            None  # a header block that goes on: stream, flags, bytes
        )
        self._control = 0
        settings = (
            _SETTING.pack(_SET_STREAMS, STREAMS_MAX)
            + _SETTING.pack(_SET_WINDOW, WINDOW_BYTES)
            + _SETTING.pack(_SET_LIST, BLOCK_BYTES_MAX)
        )
        self._out.append(_frame(_SETTINGS, 0, 0, settings))
        more = self._receive_window - _DEFAULT_WINDOW
        self._out.append(_frame(_WINDOW, 0, 0, _NUMBER.pack(more)))

    @property
    def greeted(self) -> bool:
        """Whether the peer has shown that it speaks HTTP/2."""
        return self._settled

    def take(self) -> bytes:
        """What is to be sent, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def relax(self) -> None:
        """Time has passed: the peer may send as many frames without work in them as before."""
        self._control = 0

    # What arrives

    def receive(self, data: bytes) -> list[Event]:
        """Take what the peer sent; returns what it means."""
        events: list[Event] = []
        if self.over:
            return events
        self._in += data
        try:
            self._parse(events)
        except _BrokenError as error:
            self.close(error.code, str(error))
            events.append(Ended(error.code, str(error)))
        except HpackError as error:
            self.close(ErrorCode.COMPRESSION_ERROR, str(error))
            events.append(Ended(ErrorCode.COMPRESSION_ERROR, str(error)))
        return events

    def _parse(self, events: list[Event]) -> None:
        if not self._greeted:
            if not PREFACE.startswith(bytes(self._in[: len(PREFACE)])):
                raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "this is no HTTP/2; speak gRPC to this port")
            if len(self._in) < len(PREFACE):
                return
            self._greeted = True
            del self._in[: len(PREFACE)]
        buffer, at = self._in, 0
        try:
            while len(buffer) - at >= 9:
                high, low, kind, flags, stream = _FRAME.unpack_from(buffer, at)
                length = high << 8 | low
                if length > FRAME_BYTES_MAX:
                    raise _BrokenError(
                        ErrorCode.FRAME_SIZE_ERROR, f"a frame is larger than {FRAME_BYTES_MAX} bytes"
                    )
                end = at + 9 + length
                if len(buffer) < end:
                    break
                payload = bytes(buffer[at + 9 : end])
                at = end
                self._take_frame(kind, flags, stream & 0x7FFFFFFF, payload, events)
        finally:
            del buffer[:at]

    def _take_frame(self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if not self._settled and kind != _SETTINGS:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and kind != _CONTINUATION:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "another frame stands inside of a header block")
        if kind == _DATA:
            self._take_data(flags, stream, payload, events)
        elif kind == _HEADERS:
            self._take_headers(flags, stream, payload, events)
        elif kind == _WINDOW:
            self._take_window(stream, payload, events)
        else:
            self._work_free()
            self._take_other(kind, flags, stream, payload, events)

    def _take_other(self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if kind == _CONTINUATION:
            self._take_continuation(flags, stream, payload, events)
        elif kind == _PING:
            self._of_connection(stream, len(payload) == 8)
            if flags & _ACK:
                events.append(Pong(payload))
            else:
                self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _SETTINGS:
            self._of_connection(stream, len(payload) % 6 == 0 and not (flags & _ACK and payload))
            self._settled = True
            if not flags & _ACK:
                self._take_settings(payload)
        elif kind == _RST:
            self._of_stream(stream, len(payload) == 4)
            if self._streams.pop(stream, None) is not None:
                self._stalled.pop(stream, None)
                events.append(Reset(stream, _NUMBER.unpack(payload)[0]))
        elif kind == _PRIORITY:
            if not stream or len(payload) != 5:
                raise _BrokenError(ErrorCode.FRAME_SIZE_ERROR, "a PRIORITY frame of a wrong form")
        elif kind == _GOAWAY:
            self._of_connection(stream, len(payload) >= 8)
        elif kind == _PUSH:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "clients push nothing")

    def _work_free(self) -> None:
        self._control += 1
        if self._control > CONTROL_MAX:
            raise _BrokenError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without any work in them")

    def _of_connection(self, stream: int, good: bool) -> None:
        if stream:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "a frame of the connection names a stream")
        if not good:
            raise _BrokenError(ErrorCode.FRAME_SIZE_ERROR, "a frame has a wrong length")

    def _of_stream(self, stream: int, good: bool) -> None:
        if not stream or stream > self.last_stream:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "a frame names a stream that was never opened")
        if not good:
            raise _BrokenError(ErrorCode.FRAME_SIZE_ERROR, "a frame has a wrong length")

    def _unpadded(self, flags: int, payload: bytes) -> bytes:
        if not flags & _PADDED:
            return payload
        if not payload or payload[0] >= len(payload):
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "a frame has more padding than content")
        return payload[1 : len(payload) - payload[0]]

    def _take_data(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._of_stream(stream, good=True)
        length = len(payload)
        if length:
            self._receive_window -= length
            # Widened long before it is used up, so that it cannot be overrun: what is kept is bounded elsewhere.
            if self._receive_window < WINDOW_BYTES * 5:
                self._out.append(
                    _frame(_WINDOW, 0, 0, _NUMBER.pack(WINDOW_BYTES * 10 - self._receive_window))
                )
                self._receive_window = WINDOW_BYTES * 10
        if not length or flags & _PADDED:
            self._work_free()
        found = self._streams.get(stream)
        if found is None:
            return  # it was ended from here, which the peer did not know yet
        if not found.receiving:
            raise _BrokenError(ErrorCode.STREAM_CLOSED, "data behind the end of a request")
        ended = bool(flags & _END_STREAM)
        found.receive_window -= length
        if not ended and found.receive_window < WINDOW_BYTES // 2:
            more = WINDOW_BYTES - found.receive_window
            self._out.append(_frame(_WINDOW, 0, stream, _NUMBER.pack(more)))
            found.receive_window = WINDOW_BYTES
        found.receiving = not ended
        events.append(Data(stream, self._unpadded(flags, payload), ended))

    def _take_headers(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if not stream & 1:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "a request has an even stream number")
        block = self._unpadded(flags, payload)
        if flags & _WITH_PRIORITY:
            if len(block) < 5:
                raise _BrokenError(ErrorCode.FRAME_SIZE_ERROR, "a HEADERS frame is too short")
            block = block[5:]
        if flags & _END_HEADERS:
            self._take_block(stream, flags, block, events)
        else:
            self._block = (stream, flags, bytearray(block))

    def _take_continuation(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if self._block is None or self._block[0] != stream:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "a CONTINUATION frame continues nothing")
        _, first, block = self._block
        block += payload
        if len(block) > BLOCK_BYTES_MAX:
            raise _BrokenError(ErrorCode.ENHANCE_YOUR_CALM, f"headers of more than {BLOCK_BYTES_MAX} bytes")
        if flags & _END_HEADERS:
            self._block = None
            self._take_block(stream, first, bytes(block), events)

    def _take_block(self, stream: int, flags: int, block: bytes, events: list[Event]) -> None:
        headers = self._decoder.decode(block)
        ended = bool(flags & _END_STREAM)
        if stream <= self.last_stream:
            self._take_trailers(stream, events, ended=ended)
            return
        self.last_stream = stream
        if len(self._streams) >= STREAMS_MAX:
            self._work_free()
            self._out.append(_frame(_RST, 0, stream, _NUMBER.pack(ErrorCode.REFUSED_STREAM)))
            return
        made = self._streams[stream] = _Stream(self._peer_window)
        made.receiving = not ended
        events.append(Headers(stream, headers, ended))

    def _take_trailers(self, stream: int, events: list[Event], *, ended: bool) -> None:
        """A second header block of a request: gRPC's clients send none, and what is in it means nothing."""
        self._work_free()
        found = self._streams.get(stream)
        if found is None:
            return
        if not found.receiving or not ended:
            raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "headers inside of a request")
        found.receiving = False
        events.append(Data(stream, b"", True))

    def _take_settings(self, payload: bytes) -> None:
        for number, value in _SETTING.iter_unpack(payload):
            if number == _SET_WINDOW:
                if value > _WINDOW_MAX:
                    raise _BrokenError(ErrorCode.FLOW_CONTROL_ERROR, "the initial window is too large")
                more, self._peer_window = value - self._peer_window, value
                for stream in self._streams.values():
                    stream.send_window += more
                    if stream.send_window > _WINDOW_MAX:
                        raise _BrokenError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
            elif number == _SET_FRAME:
                if not FRAME_BYTES_MAX <= value < 2**24:
                    raise _BrokenError(ErrorCode.PROTOCOL_ERROR, "the largest frame is out of its range")
                self._peer_frame = value
        self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
        for number, stream in list(self._streams.items()):
            self._flush(number, stream)

    def _take_window(self, stream: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise _BrokenError(ErrorCode.FRAME_SIZE_ERROR, "a WINDOW_UPDATE frame of a wrong length")
        more = _NUMBER.unpack(payload)[0] & 0x7FFFFFFF
        if not stream:
            self._send_window += more
            if not more or self._send_window > _WINDOW_MAX:
                raise _BrokenError(
                    ErrorCode.FLOW_CONTROL_ERROR, "the connection's window changes as it may not"
                )
            while self._stalled and self._send_window:
                self._flush(*self._stalled.popitem(last=False))
            return
        self._of_stream(stream, good=True)
        found = self._streams.get(stream)
        if found is None:
            self._work_free()
            return
        found.send_window += more
        if not more or found.send_window > _WINDOW_MAX:
            self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
            events.append(Reset(stream, ErrorCode.FLOW_CONTROL_ERROR))
        else:
            self._flush(stream, found)

    # What is sent

    def is_open(self, stream: int) -> bool:
        """Whether an answer of that request would still go anywhere."""
        return stream in self._streams

    def unsent(self, stream: int) -> int:
        """Bytes of an answer that the peer has no room for yet."""
        found = self._streams.get(stream)
        return len(found.unsent) if found is not None else 0

    def send_headers(self, stream: int, block: bytes) -> None:
        """Begin an answer with an encoded block of headers."""
        if stream in self._streams:
            self._put_block(stream, block, 0)

    def send_data(self, stream: int, data: bytes) -> None:
        """Send a piece of an answer as soon as there is room for it."""
        found = self._streams.get(stream)
        if found is not None:
            found.unsent += data
            self._flush(stream, found)

    def end(self, stream: int, block: bytes) -> None:
        """End an answer with an encoded block of trailers, behind all of its data."""
        found = self._streams.get(stream)
        if found is not None:
            found.closing = block
            self._flush(stream, found)

    def reset(self, stream: int, code: ErrorCode) -> None:
        """End an answer, and the request if it still goes on."""
        if self._streams.pop(stream, None) is not None:
            self._stalled.pop(stream, None)
            self._out.append(_frame(_RST, 0, stream, _NUMBER.pack(code)))

    def ping(self, data: bytes) -> None:
        """Ask for a :class:`Pong` with these eight bytes."""
        self._out.append(_frame(_PING, 0, 0, data))

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, text: str = "") -> None:
        """Say that nothing more is taken, up to which request everything was, and why."""
        if not self.over:
            self.over = True
            payload = _NUMBER.pack(self.last_stream) + _NUMBER.pack(code) + text.encode()
            self._out.append(_frame(_GOAWAY, 0, 0, payload))

    def _put_block(self, stream: int, block: bytes, flags: int) -> None:
        most = self._peer_frame
        head, rest = block[:most], block[most:]
        self._out.append(_frame(_HEADERS, flags | (0 if rest else _END_HEADERS), stream, head))
        while rest:
            head, rest = rest[:most], rest[most:]
            self._out.append(_frame(_CONTINUATION, 0 if rest else _END_HEADERS, stream, head))

    def _flush(self, stream: int, found: _Stream) -> None:
        room = min(len(found.unsent), found.send_window, self._send_window)
        if room > 0:
            found.send_window -= room
            self._send_window -= room
            with memoryview(found.unsent) as waiting:
                for at in range(0, room, self._peer_frame):
                    self._out.append(_frame(_DATA, 0, stream, waiting[at : min(at + self._peer_frame, room)]))
            del found.unsent[:room]
        if found.unsent:
            if self._send_window <= 0:
                self._stalled[stream] = found
            return
        if found.closing is not None:
            self._put_block(stream, found.closing, _END_STREAM)
            del self._streams[stream]
            self._stalled.pop(stream, None)
            if found.receiving:
                # The peer need not send the rest of a request that is answered.
                self._out.append(_frame(_RST, 0, stream, _NUMBER.pack(ErrorCode.NO_ERROR)))
