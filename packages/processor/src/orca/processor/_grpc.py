"""gRPC over asyncio: a server without gRPC's own C core, for connections in plain text.

gRPC's Python server hands every single message to its C core and waits for the answer over a thread and a socket: 30
to 60 microseconds each, and a call costs ten times that. Here the answers of a call that are ready together leave in
one write. The protocol itself is :mod:`orca.processor._http2`; this module gives it sockets, clocks and tasks, and
speaks gRPC's framing: length-prefixed messages, deadlines, compression, status in the trailers.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import zlib
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn
from urllib.parse import quote

from orca.processor import _http2, _log
from orca.processor._hpack import encode
from orca.processor.messages import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

__all__ = ["CONNECTIONS_MAX", "AbortedCall", "Call", "Handler", "Listener", "Status"]

CONNECTIONS_MAX: Final = 1000
"""Connections at once: a processor has one core, and a few tools that look at it."""

KEEPALIVE_S: Final = 5.0
KEEPALIVE_TIMEOUT_S: Final = 3.0

BODIES_BYTES_MAX: Final = 4 * MESSAGE_BYTES_MAX
"""What one connection may have sent of calls that are not complete."""

UNSENT_BYTES_MAX: Final = 1024 * 1024
"""A call whose peer has not read so many bytes waits before it answers more."""

FLUSH_BYTES: Final = 65_536
"""Answers of so many bytes are worth a write of their own, after which it is known whether the peer reads."""

_PREFIX_BYTES: Final = 5
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_ZLIB_BITS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
_ANSWER: Final = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_ANSWER_BLOCK: Final = encode(_ANSWER)
_ACCEPTED: Final = (b"grpc-accept-encoding", b"identity,deflate,gzip")
_NO_GRPC_BLOCK: Final = encode([(b":status", b"415")])
_OK_BLOCK: Final = encode([(b"grpc-status", b"0")])


class Status(IntEnum):
    """How a call ends; names and numbers are those of ``grpc.StatusCode``."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class AbortedCall(Exception):  # noqa: N818 - ends a handler, is no failure of it
    """A handler ended its call with a status."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status


class Handler(NamedTuple):
    """What serves one method.

    Attributes:
        function: Gets the request's bytes, or with ``streams`` an iterator of them, and the call; what it returns is
            written, unless that is None.
        streams: Requests come as a stream.
    """

    function: Callable[[Any, Any], Awaitable[bytes | None]]
    streams: bool = False


class Call:
    """One call, as its handler sees it."""

    __slots__ = (
        "_began",
        "_connection",
        "_metadata",
        "body",
        "encoding",
        "ended",
        "ending",
        "handler",
        "held_bytes",
        "stream",
        "task",
        "timer",
    )

    def __init__(self, connection: _Peer, stream: int, metadata: list[tuple[bytes, bytes]]) -> None:
        self.stream = stream
        self.body: _Body | None = None
        self.handler: Handler | None = None
        self.held_bytes = 0
        self.encoding = b"identity"
        self.ended = False
        self.ending: tuple[Status, str] | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._connection = connection
        self._metadata = metadata
        self._began = False

    def invocation_metadata(self) -> Mapping[str, str]:
        """The caller's metadata that is text."""
        found: dict[str, str] = {}
        for name, value in self._metadata:
            if name[:1] != b":" and name[-4:] != b"-bin":
                found[name.decode("latin-1")] = value.decode("latin-1")
        return found

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str]]) -> None:
        """Begin the answer with metadata."""
        more = [(name.encode(), value.encode("latin-1")) for name, value in metadata]
        self._begin(encode([*_ANSWER, *more]))

    async def write(self, messages: Sequence[bytes]) -> None:
        """Answer with messages, which leave together; waits while the peer does not read."""
        self.put(messages)
        await self._connection.room(self.stream)

    async def abort(self, status: Status, text: str) -> NoReturn:
        """End the call with a status.

        Raises:
            AbortedCall: Always.
        """
        raise AbortedCall(status, text)

    def put(self, messages: Sequence[bytes]) -> None:
        """Send messages without waiting."""
        self._begin(_ANSWER_BLOCK)
        # Never compressed: results are small, and large ones are arrays of floats, which do not shrink.
        data = b"".join([b"\0%b%b" % (len(one).to_bytes(4, "big"), one) for one in messages])
        self._connection.http.send_data(self.stream, data)
        self._connection.flush_soon(len(data))

    def finish(self, status: Status, text: str = "", *extra: tuple[bytes, bytes]) -> None:
        """End the call, once."""
        if self.ended:
            return
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()
        if status is Status.OK:
            self._begin(_ANSWER_BLOCK)
            block = _OK_BLOCK
        else:
            message = quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~").encode()
            trailers = [(b"grpc-status", b"%d" % status), (b"grpc-message", message), *extra]
            block = encode(trailers if self._began else [*_ANSWER, *trailers])
        self._connection.http.end(self.stream, block)
        self._connection.flush_soon()

    def _begin(self, block: bytes) -> None:
        if not self._began:
            self._began = True
            self._connection.http.send_headers(self.stream, block)


class _Body:
    """A request as it arrives: messages out of pieces of data."""

    __slots__ = ("_buffer", "_encoding", "closed", "messages", "wake")

    def __init__(self, encoding: bytes) -> None:
        self.messages: list[bytes] = []
        self.closed = False
        self.wake: asyncio.Future[None] | None = None
        self._buffer = bytearray()
        self._encoding = encoding

    def feed(self, data: bytes) -> None:
        """Take a piece.

        Raises:
            AbortedCall: A message is larger than the limit, or cannot be unpacked.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _PREFIX_BYTES:
            length = int.from_bytes(buffer[1:_PREFIX_BYTES], "big")
            if length > MESSAGE_BYTES_MAX:
                text = f"Received message larger than max ({length} vs. {MESSAGE_BYTES_MAX})"
                raise AbortedCall(Status.RESOURCE_EXHAUSTED, text)
            end = _PREFIX_BYTES + length
            if len(buffer) < end:
                return
            message = bytes(buffer[_PREFIX_BYTES:end])
            packed = buffer[0] & 1
            del buffer[:end]
            self.messages.append(self._unpacked(message) if packed else message)

    def _unpacked(self, message: bytes) -> bytes:
        bits = _ZLIB_BITS.get(self._encoding)
        if bits is None:
            raise AbortedCall(Status.INTERNAL, "a message is compressed, and the call does not say how")
        unpack = zlib.decompressobj(bits)
        try:
            plain = unpack.decompress(message, MESSAGE_BYTES_MAX + 1)
        except zlib.error as error:
            raise AbortedCall(Status.INTERNAL, f"a compressed message cannot be read: {error}") from None
        if len(plain) > MESSAGE_BYTES_MAX:
            text = f"Received message larger than max (unpacked, {MESSAGE_BYTES_MAX})"
            raise AbortedCall(Status.RESOURCE_EXHAUSTED, text)
        if not unpack.eof:
            raise AbortedCall(Status.INTERNAL, "a compressed message is cut off")
        return plain

    def end(self) -> None:
        """The request is complete.

        Raises:
            AbortedCall: It ends inside of a message.
        """
        self.closed = True
        if self._buffer:
            raise AbortedCall(Status.INTERNAL, "the request ends inside of a message")

    def wake_reader(self) -> None:
        """Something has arrived."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.messages or not self.closed:
            if not self.messages:
                self.wake = asyncio.get_running_loop().create_future()
                await self.wake
            if self.messages:
                yield self.messages.pop(0)


class _Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, listener: Listener) -> None:
        self.http = _http2.Connection()
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._calls: dict[int, Call] = {}
        self._paused = False
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._flushing = False
        self._unflushed_bytes = 0
        self._heard = False
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peers = self._listener.peers
        if len(peers) >= CONNECTIONS_MAX:
            transport.abort()
            return
        peers.add(self)
        self.flush()
        self._timer = self._loop.call_later(KEEPALIVE_S, self._beat)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._listener.peers.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        for call in list(self._calls.values()):
            self._drop(call)
        for waiter in self._waiting.values():
            waiter.cancel()
        self._listener.lost()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        for event in self.http.receive(data):
            if type(event) is _http2.Headers:
                self._begin(event)
            elif type(event) is _http2.Data:
                self._feed(event)
            elif type(event) is _http2.Reset:
                call = self._calls.get(event.stream)
                if call is not None:
                    self._drop(call)
            elif type(event) is _http2.Ended:
                _log.get_logger().warning("A connection breaks the protocol: %s", event.text)
                self.flush()
                self._transport.close()
                return
        self._let_write()
        self.flush()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._let_write()

    # Writing

    def _flush_now(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Write what is to be sent."""
        self._unflushed_bytes = 0
        data = self.http.take()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def flush_soon(self, size_bytes: int = 0) -> None:
        """Write once for all that is sent in this turn of the loop, unless that is much."""
        self._unflushed_bytes += size_bytes
        if self._unflushed_bytes > FLUSH_BYTES:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_now)

    async def room(self, stream: int) -> None:
        """Wait until the peer has read most of what was answered."""
        while self.http.unsent(stream) > UNSENT_BYTES_MAX or self._paused:
            self.flush()
            waiter = self._waiting.get(stream)
            if waiter is None:
                waiter = self._waiting[stream] = self._loop.create_future()
            await waiter

    def _let_write(self) -> None:
        if not self._waiting or self._paused:
            return
        for stream, waiter in list(self._waiting.items()):
            if self.http.unsent(stream) <= UNSENT_BYTES_MAX:
                del self._waiting[stream]
                if not waiter.done():
                    waiter.set_result(None)

    # Keeping alive

    def _beat(self) -> None:
        """A silent peer is asked, and given up when it does not answer; one that never greeted is given up now."""
        self.http.relax()
        if not self.http.greeted:
            self._transport.abort()
            return
        if not self._heard:
            self.http.ping(b"orcaorca")
            self.flush()
            self._timer = self._loop.call_later(KEEPALIVE_TIMEOUT_S, self._silent)
            return
        self._heard = False
        self._timer = self._loop.call_later(KEEPALIVE_S, self._beat)

    def _silent(self) -> None:
        if self._heard:
            self._beat()
        else:
            self._transport.abort()

    # Calls

    def _begin(self, event: _http2.Headers) -> None:
        call = Call(self, event.stream, event.headers)
        if not self._accept(call, dict(event.headers)):
            return
        call.body = _Body(call.encoding)
        self._calls[event.stream] = call
        if call.handler is not None and call.handler.streams:
            self._start(call, call.handler, call.body)
        if event.ended:
            self._feed(_http2.Data(event.stream, b"", True))

    def _accept(self, call: Call, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a call can be served; otherwise it is answered at once."""
        kind = headers.get(b"content-type", b"")
        if headers.get(b":method") != b"POST" or not kind.startswith(b"application/grpc"):
            self.http.end(call.stream, _NO_GRPC_BLOCK)
            return False
        call.handler = self._listener.handlers.get(headers.get(b":path", b"").decode("latin-1"))
        if call.handler is None:
            call.finish(Status.UNIMPLEMENTED, "Method not found!")
            return False
        call.encoding = headers.get(b"grpc-encoding", b"identity")
        if call.encoding != b"identity" and call.encoding not in _ZLIB_BITS:
            text = f"compression {call.encoding.decode('latin-1')} is not known"
            call.finish(Status.UNIMPLEMENTED, text, _ACCEPTED)
            return False
        timeout = headers.get(b"grpc-timeout")
        return timeout is None or self._set_deadline(call, timeout)

    def _set_deadline(self, call: Call, timeout: bytes) -> bool:
        found = _TIMEOUT.fullmatch(timeout)
        if found is None:
            call.finish(Status.INTERNAL, "grpc-timeout has a wrong form")
            return False
        delay_s = int(found[1]) * _UNITS_S[found[2]]
        reason = (call, Status.DEADLINE_EXCEEDED, "Deadline Exceeded")
        call.timer = self._loop.call_later(delay_s, self._end, *reason)
        return True

    def _feed(self, event: _http2.Data) -> None:
        call = self._calls.get(event.stream)
        if call is None or call.body is None:
            return
        body = call.body
        try:
            body.feed(event.data)
            if event.ended:
                body.end()
            self._hold(call, len(event.data))
            if call.task is None and len(body.messages) > 1:
                raise AbortedCall(Status.INTERNAL, "more than one message in a request of one")
        except AbortedCall as error:
            self._end(call, error.status, str(error))
            return
        body.wake_reader()
        if event.ended and call.task is None:
            self._complete(call, body)

    def _hold(self, call: Call, more_bytes: int) -> None:
        call.held_bytes += more_bytes
        self._held_bytes += more_bytes
        if self._held_bytes > BODIES_BYTES_MAX:
            text = f"calls that are not complete hold more than {BODIES_BYTES_MAX} bytes"
            raise AbortedCall(Status.RESOURCE_EXHAUSTED, text)

    def _release(self, call: Call) -> None:
        self._held_bytes -= call.held_bytes
        call.held_bytes = 0

    def _complete(self, call: Call, body: _Body) -> None:
        self._release(call)
        if call.handler is None or not body.messages:
            self._end(call, Status.INTERNAL, "the request has no message")
            return
        call.body = None
        self._start(call, call.handler, body.messages[0])

    def _start(self, call: Call, handler: Handler, request: Any) -> None:
        call.task = self._loop.create_task(self._run(call, handler, request))

    async def _run(self, call: Call, handler: Handler, request: Any) -> None:
        try:
            answer = await handler.function(request, call)
            if answer is not None:
                call.put((answer,))
            call.finish(Status.OK)
        except AbortedCall as error:
            call.finish(error.status, str(error))
        except asyncio.CancelledError:
            call.finish(*(call.ending or (Status.CANCELLED, "the call was cancelled")))
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises ends its call only
            _log.get_logger().exception("A call ended with an error of the server's own")
            call.finish(Status.UNKNOWN, f"Unexpected {type(error)}: {error}")
        finally:
            self._forget(call)

    def _forget(self, call: Call) -> None:
        self._release(call)
        self._calls.pop(call.stream, None)
        self._waiting.pop(call.stream, None)

    def _end(self, call: Call, status: Status, text: str) -> None:
        """End a call from outside of its handler."""
        if call.task is not None and not call.task.done():
            call.ending = (status, text)
            call.task.cancel()
        else:
            self._forget(call)
        call.finish(status, text)

    def _drop(self, call: Call) -> None:
        """Nobody waits for the answer any more."""
        self._end(call, Status.CANCELLED, "")

    def shut(self, text: str) -> None:
        """End all calls, say goodbye, and close when all of it is sent."""
        for call in list(self._calls.values()):
            self._end(call, Status.UNAVAILABLE, text)
        self.http.close(_http2.ErrorCode.NO_ERROR, text)
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()


class Listener:
    """Serves methods on one address.

    Args:
        handlers: By path, such as ``/OrcaProcessor/HealthCheck``.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        self.peers: set[_Peer] = set()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        """Bind and serve; returns the port.

        Raises:
            OSError: The address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_STREAM
        places = await loop.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
        family, _, _, _, place = places[0]
        bound = socket.socket(family, kind)
        try:
            if os.name == "posix":  # elsewhere it would let two programs have one port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # as gRPC's own server does
            bound.bind(place)
            bound.setblocking(False)
            self._server = await loop.create_server(lambda: _Peer(self), sock=bound, backlog=1024)
        except BaseException:
            bound.close()
            raise
        found: int = bound.getsockname()[1]
        return found

    def lost(self) -> None:
        """A connection has ended."""
        if not self.peers:
            self._empty.set()

    async def stop(self, text: str, grace_s: float = 1.0) -> None:
        """End all calls and connections; a peer that does not read is cut off after ``grace_s`` seconds."""
        if self._server is not None:
            self._server.close()
        self._empty.clear()
        for peer in list(self.peers):
            peer.shut(text)
        if self.peers:
            try:
                await asyncio.wait_for(self._empty.wait(), grace_s)
            except asyncio.TimeoutError:
                for peer in list(self.peers):
                    peer.abort()
