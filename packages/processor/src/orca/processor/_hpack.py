"""Header compression of HTTP/2 (RFC 7541): a decoder with bounds, and an encoder without state.

Almost every header block of a core is the same as its last one: nothing but references into the table. Such blocks
are answered from a small cache that is valid while the table does not change.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["Decoder", "HpackError", "encode"]

Header = tuple[bytes, bytes]

TABLE_BYTES_MAX: Final = 4096
"""The dynamic table's size: the protocol's own default, which our settings leave as it is."""

LIST_BYTES_MAX: Final = 65_536
"""A decoded block may not be larger: four times what gRPC's own servers take as metadata."""

CACHED_MAX: Final = 64
"""Blocks kept decoded between two changes of the table: a connection sees a handful of them."""

TEXT_CACHED_MAX: Final = 64
"""Huffman texts of at most so many bytes are kept decoded."""

_ENTRY_BYTES: Final = 32  # RFC 7541, 4.1: the overhead that counts for each entry

_STATIC: Final[tuple[Header, ...]] = tuple(
    (name.encode(), value.encode())
    for name, _, value in (
        line.partition("=")
        for line in """\
:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
""".splitlines()
    )
)

# RFC 7541, appendix B: the code is canonical, so that the lengths of its 257 symbols are the whole of it.
_LENGTHS: Final[tuple[int, ...]] = (
    13,
    23,
    28,
    28,
    28,
    28,
    28,
    28,
    28,
    24,
    30,
    28,
    28,
    30,
    28,
    28,
    28,
    28,
    28,
    28,
    28,
    28,
    30,
    28,
    28,
    28,
    28,
    28,
    28,
    28,
    28,
    28,
    6,
    10,
    10,
    12,
    13,
    6,
    8,
    11,
    10,
    10,
    8,
    11,
    8,
    6,
    6,
    6,
    5,
    5,
    5,
    6,
    6,
    6,
    6,
    6,
    6,
    6,
    7,
    8,
    15,
    6,
    12,
    10,
    13,
    6,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    7,
    8,
    7,
    8,
    13,
    19,
    13,
    14,
    6,
    15,
    5,
    6,
    5,
    6,
    5,
    6,
    6,
    6,
    5,
    7,
    7,
    6,
    6,
    6,
    5,
    6,
    7,
    6,
    5,
    5,
    6,
    7,
    7,
    7,
    7,
    7,
    15,
    11,
    14,
    13,
    28,
    20,
    22,
    20,
    20,
    22,
    22,
    22,
    23,
    22,
    23,
    23,
    23,
    23,
    23,
    24,
    23,
    24,
    24,
    22,
    23,
    24,
    23,
    23,
    23,
    23,
    21,
    22,
    23,
    22,
    23,
    23,
    24,
    22,
    21,
    20,
    22,
    22,
    23,
    23,
    21,
    23,
    22,
    22,
    24,
    21,
    22,
    23,
    23,
    21,
    21,
    22,
    21,
    23,
    22,
    23,
    23,
    20,
    22,
    22,
    22,
    23,
    22,
    22,
    23,
    26,
    26,
    20,
    19,
    22,
    23,
    22,
    25,
    26,
    26,
    26,
    27,
    27,
    26,
    24,
    25,
    19,
    21,
    26,
    27,
    27,
    26,
    27,
    24,
    21,
    21,
    26,
    26,
    28,
    27,
    27,
    27,
    20,
    24,
    20,
    21,
    22,
    21,
    21,
    23,
    22,
    22,
    25,
    25,
    24,
    24,
    26,
    23,
    26,
    27,
    26,
    26,
    27,
    27,
    27,
    27,
    27,
    28,
    27,
    27,
    27,
    27,
    27,
    26,
    30,
)
_END_OF_STRING: Final = 256


class HpackError(ValueError):
    """The block cannot be decoded, and with it nothing that follows on its connection."""


def _codes() -> dict[int, int]:
    """Symbol by code, each code behind a leading one so that its length is part of it."""
    found: dict[int, int] = {}
    code = length = 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda one: (_LENGTHS[one], one)):
        code <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        found[1 << length | code] = symbol
        code += 1
    return found


_CODES: Final = _codes()
_CODE_BITS_MAX: Final = max(_LENGTHS)


def _huffman(data: bytes) -> bytes:
    """The text behind ``data``.

    Raises:
        HpackError: The padding is not made of ones, too long, or a symbol is none.
    """
    out = bytearray()
    code = 1
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            symbol = _CODES.get(code)
            if symbol is not None:
                if symbol == _END_OF_STRING:
                    raise HpackError("the end of the text stands inside of it")
                out.append(symbol)
                code = 1
    padding = code.bit_length() - 1
    if padding > 7 or code != (1 << padding + 1) - 1:
        raise HpackError("the text has a wrong padding")
    return bytes(out)


_huffman_cached = lru_cache(maxsize=1024)(_huffman)


class Decoder:
    """Decodes the header blocks of one connection, in their order.

    Args:
        list_bytes_max: How large a decoded block may be.
    """

    def __init__(self, list_bytes_max: int = LIST_BYTES_MAX) -> None:
        self._list_bytes_max = list_bytes_max
        self._table: list[Header] = []  # the newest first
        self._size = 0
        self._capacity = TABLE_BYTES_MAX
        self._cache: dict[bytes, list[Header]] = {}

    def decode(self, block: bytes) -> list[Header]:
        """The headers of a block.

        Raises:
            HpackError: The block is malformed, or larger than the bound when decoded.
        """
        known = self._cache.get(block)
        if known is not None:
            return known
        found, changed = self._decode(block)
        if changed:
            self._cache.clear()
        elif len(self._cache) < CACHED_MAX:
            self._cache[block] = found
        return found

    def _decode(self, block: bytes) -> tuple[list[Header], bool]:
        found: list[Header] = []
        size = at = 0
        changed = False
        end = len(block)
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                header = self._header(index)
            elif first & 0xE0 == 0x20:
                capacity, at = _integer(block, at, 5)
                self._resize(capacity, allowed=not found)
                changed = True
                continue
            else:
                kept = first & 0x40
                index, at = _integer(block, at, 6 if kept else 4)
                if index:
                    name = self._header(index)[0]
                else:
                    name, at = _text(block, at)
                value, at = _text(block, at)
                header = (name, value)
                if kept:
                    self._add(header)
                    changed = True
            size += len(header[0]) + len(header[1]) + _ENTRY_BYTES
            if size > self._list_bytes_max:
                raise HpackError(f"the headers take more than {self._list_bytes_max} bytes")
            found.append(header)
        return found, changed

    def _header(self, index: int) -> Header:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        index -= len(_STATIC) + 1
        if not 0 <= index < len(self._table):
            raise HpackError("a reference points outside of the table")
        return self._table[index]

    def _add(self, header: Header) -> None:
        self._table.insert(0, header)
        self._size += len(header[0]) + len(header[1]) + _ENTRY_BYTES
        self._evict()

    def _resize(self, capacity: int, *, allowed: bool) -> None:
        if not allowed or capacity > TABLE_BYTES_MAX:
            raise HpackError("the table's size changes where or how it may not")
        self._capacity = capacity
        self._evict()

    def _evict(self) -> None:
        while self._size > self._capacity:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _ENTRY_BYTES


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """RFC 7541, 5.1: a number that begins in the low ``bits`` of a byte; returns it and the place behind it."""
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 29, 7):
        if at >= len(block):
            break
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
    raise HpackError("a number is cut off, or too large")


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(block):
        raise HpackError("a text is cut off")
    packed = block[at] & 0x80
    length, at = _integer(block, at, 7)
    end = at + length
    if end > len(block):
        raise HpackError("a text is cut off")
    data = block[at:end]
    if packed:
        data = _huffman_cached(data) if length <= TEXT_CACHED_MAX else _huffman(data)
    return data, end


def encode(headers: list[Header]) -> bytes:
    """A block of literals that no table keeps, which any decoder takes in any order."""
    out = bytearray()
    for name, value in headers:
        out.append(0)
        for data in (name, value):
            _put_length(out, len(data))
            out += data
    return bytes(out)


def _put_length(out: bytearray, length: int) -> None:
    if length < 0x7F:
        out.append(length)
        return
    out.append(0x7F)
    length -= 0x7F
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
