"""permessage-deflate (RFC 7692), each message on its own: no connection holds any state of zlib.

Both directions are always negotiated without context takeover, so that what goes out is compressed once for
everybody, and an idle connection costs nothing.
"""

import re
import zlib
from typing import NamedTuple

from pushgate.codes import Close
from pushgate.errors import UpgradeRefused, WireError
from pushgate.wire.frames import RSV1, encode_frame

EXTENSION = "permessage-deflate"
WINDOW = 15
"""The LZ77 window that we compress with, as a power of two."""
SMALL_WINDOW = 9
"""The one for all who asked for less: what is compressed is shared, and the RFC lets us answer with less than asked."""
WORTHWHILE = 512
"""Payload bytes from which on a message is compressed.

Measured with JSON messages at level 1: 100 B become 88 in 4 us, 256 B 187 in 6 us, 512 B 299 in 7 us, 1 KiB 499 in
9 us, 4 KiB 1,656 in 19 us, 64 KiB 24 KB in 0.5 ms. From 512 B on it saves two fifths or more for no more than one
write to a socket costs (7 us); below, it saves tens of bytes of one packet, and every receiver has to inflate.
"""
MAX_FINAL_BLOCKS = 16
"""How many blocks of one message may be final ones: each costs a fresh inflater, and no known client sends even two."""

# Level 1: level 6 saves 3 to 5 % more of the bytes from 16 KiB on, for up to four times the time.
_LEVEL = 1
_MEMORY = {WINDOW: 8, SMALL_WINDOW: 5}
# One deflater a window, for all messages: a full flush makes it forget what it saw, for 4 us where a new one costs 58.
_deflaters: dict[int, "zlib._Compress"] = {}

_SYNC = b"\0\0\xff\xff"  # what a flush ends with, and the wire leaves out (RFC 7692 section 7.2.1)
_END = _SYNC + b"\x03\0"  # and an empty final block: only a message that is whole is at its end behind it

_CHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_PARAMETER = rf';[ \t]*+({_CHAR}++)[ \t]*+(?:=[ \t]*+(?:({_CHAR}++)|"((?:\\?{_CHAR})++)")[ \t]*+)?'
_find_parameters = re.compile(_PARAMETER).findall
# One element of the header's list, which may be empty, and the comma or end behind it.
_element = re.compile(rf"[ \t]*+(?:({_CHAR}++)[ \t]*+((?:{_PARAMETER})*+))?(,|\Z)").match
_BITS = {str(bits): bits for bits in range(8, 16)}


class Deflate(NamedTuple):
    """permessage-deflate as it was agreed on."""

    window: int
    """WINDOW or SMALL_WINDOW: what the client can inflate."""
    answer: str
    """The Sec-WebSocket-Extensions of the answer."""


def negotiate(extensions: str) -> Deflate | None:
    """Return the first offer of permessage-deflate that can be accepted, of a Sec-WebSocket-Extensions header.

    None when there is none. An offer with a parameter that is unknown, twice there or has a wrong value is
    declined (RFC 7692 section 7.1), and so is a window of 256 bytes, which zlib cannot keep to. Raises
    UpgradeRefused with 400 for a header that is no list of extensions (RFC 6455 section 9.1).
    """
    position = 0
    found = None
    while position < len(extensions):
        element = _element(extensions, position)
        if element is None:
            raise UpgradeRefused(400, "Sec-WebSocket-Extensions must list extensions and their parameters")
        if element[1] == EXTENSION and found is None:
            found = _accept(_find_parameters(element[2]))
        position = element.end()
    return found


def _accept(parameters: list[tuple[str, str, str]]) -> Deflate | None:
    """Return the answer to one offer (RFC 7692 sections 7.1.1 and 7.1.2), None to decline it."""
    values = {name: token or re.sub(r"\\(.)", r"\1", quoted) for name, token, quoted in parameters}
    if len(values) != len(parameters):
        return None
    answer = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"
    window = WINDOW
    for name, value in values.items():
        match name:
            case "server_no_context_takeover" | "client_no_context_takeover":
                lawful = not value
            case "client_max_window_bits":  # how little the client can compress with: we inflate anything
                lawful = not value or value in _BITS
            case "server_max_window_bits":
                bits = _BITS.get(value, 0)
                lawful = bits >= SMALL_WINDOW
                window = WINDOW if bits == WINDOW else SMALL_WINDOW
                answer += f"; server_max_window_bits={window}"
            case _:
                lawful = False
        if not lawful:
            return None
    return Deflate(window, answer)


def deflate_frame(frame: bytes, window: int) -> bytes:
    """Return a whole unmasked data frame compressed, or as it is where that is not worthwhile or not smaller."""
    size = frame[1]
    head = 2 if size < 126 else 4 if size == 126 else 10
    if len(frame) - head < WORTHWHILE:
        return frame
    smaller = encode_frame(frame[0] | RSV1, deflate(memoryview(frame)[head:], window))
    return smaller if len(smaller) < len(frame) else frame


def deflate(payload: bytes | memoryview, window: int) -> bytes:
    """Return the payload of a message compressed, for a frame with RSV1 (RFC 7692 section 7.2.1)."""
    # It goes back only when all went well: half a message must never come out with the next one.
    deflater = _deflaters.pop(window, None) or zlib.compressobj(_LEVEL, zlib.DEFLATED, -window, _MEMORY[window])
    packed = deflater.compress(payload) + deflater.flush(zlib.Z_FULL_FLUSH)
    _deflaters[window] = deflater
    return packed[: -len(_SYNC)]


def most_deflated(size: int) -> int:
    """Return how many bytes a message of `size` bytes may have compressed; deflating can make it larger."""
    return size + size // 8 + 64


def inflate(packed: bytes, limit: int) -> bytes:
    """Return what a compressed message says; never makes more than `limit` + 1 bytes of it.

    Raises WireError: TOO_BIG for more than `limit`, INVALID_DATA for what is no whole DEFLATE stream.
    """
    if not packed:
        return b""  # should be one zero byte (RFC 7692 section 7.2.3.6), but not every client knows
    rest = packed + _END
    plain = b""
    for _ in range(MAX_FINAL_BLOCKS + 1):
        inflater = zlib.decompressobj(-WINDOW, zdict=plain[-(1 << WINDOW) :])
        try:
            plain += inflater.decompress(rest, limit + 1 - len(plain))
        except zlib.error:
            break
        if len(plain) > limit:
            raise WireError(Close.TOO_BIG, f"message is over {limit} bytes")
        if not inflater.eof:
            break
        rest = inflater.unused_data
        if not rest:
            return plain
    raise WireError(Close.INVALID_DATA, "compressed data that cannot be inflated")
