"""WebSocket frames, the server's side of RFC 6455 section 5: what we write, and how the usual frame is read.

`read_single` takes the usual case (one small whole frame in one read) without any state; `reader.FrameReader`
takes everything else.
"""

from pushgate.codes import Close
from pushgate.errors import WireError

CONT = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

FIN = 0x80
"""The bit of a frame's first byte that says it ends its message."""
RSV1 = 0x40
"""The bit of a frame's first byte that says its message is compressed (RFC 7692 section 6), once that is negotiated."""
MASKED = 0x80
"""The bit of a frame's second byte that says a mask comes before the payload."""

MAX_CONTROL = 125
"""The most payload bytes a control frame may have (RFC 6455 section 5.5)."""

EMPTY_PING = bytes((0x80 | PING, 0))
"""A whole unmasked ping without payload."""

_EMPTY_PONG = (PONG, b"")


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame with FIN set (RFC 6455 section 5.2); the payload is not looked at.

    `opcode` may have RSV1 added to it.
    """
    size = len(payload)
    if size < 126:
        return bytes((FIN | opcode, size)) + payload
    if size < 65536:
        return bytes((FIN | opcode, 126, size >> 8, size & 255)) + payload
    return bytes((FIN | opcode, 127)) + size.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame (RFC 6455 section 5.5.1); the reason is cut to 123 bytes, never inside a character.

    1005 (no status) cannot be sent as a number: it gives a close frame without payload.
    """
    if code == Close.NO_STATUS:
        return encode_frame(CLOSE, b"")
    text = reason.encode("utf-8", "replace")[: MAX_CONTROL - 2]
    return encode_frame(CLOSE, code.to_bytes(2, "big") + text.decode("utf-8", "ignore").encode())


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and reason of a close frame's payload; (1005, "") when it is empty (RFC 6455 section 7.1.5).

    Raises WireError: PROTOCOL_ERROR for half a code or one that may not be sent (section 7.4),
    INVALID_DATA for a reason that is not UTF-8.
    """
    if not payload:
        return Close.NO_STATUS.value, ""
    if len(payload) == 1:
        raise WireError(Close.PROTOCOL_ERROR, "close frame with half a code")
    code = payload[0] << 8 | payload[1]
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise WireError(Close.PROTOCOL_ERROR, f"close code {code} may not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WireError(Close.INVALID_DATA, "close reason is not UTF-8") from None


# First bytes that read_single takes, to their opcode; 0 for all others.
_SINGLE = bytes(first & 15 if first in (0x81, 0x82, 0x89, 0x8A) else 0 for first in range(256))
# By payload size: what a mask, as a little-endian integer, is multiplied with to cover the whole payload.
_REPEAT = tuple(sum(1 << 32 * word for word in range((size + 3) // 4)) for size in range(126))


def read_single(buffer: bytearray, size: int) -> tuple[int, bytes] | None:
    """The event in `buffer[:size]` if it is exactly one small, whole, final, lawful frame; None otherwise.

    None says nothing about right or wrong: the caller then feeds `buffer[:size]` to a FrameReader. Taken are
    TEXT (ASCII only), BINARY, PING and PONG with at most 125 payload bytes. Never raises. The client must not
    be within a frame or a fragmented message; `max_message` is taken to be 125 or more.
    """
    # The heartbeat's answer: most of what idle connections send.
    if size == 6 and buffer[1] == MASKED and buffer[0] == 0x8A:
        return _EMPTY_PONG
    # A masked frame of n < 126 bytes is n + 6 bytes long, and its second byte is 128 + n.
    if not 5 < size < 132 or buffer[1] != size + 122:
        return None
    opcode = _SINGLE[buffer[0]]
    if not opcode:
        return None
    length = size - 6
    keys = int.from_bytes(buffer[2:6], "little") * _REPEAT[length]
    plain = (int.from_bytes(buffer[6:size], "little") ^ keys).to_bytes(length + 3, "little")[:length]
    if opcode == TEXT and not plain.isascii():
        return None
    return opcode, plain


def frame_size(buffer: bytes) -> int:
    """How many bytes the masked frame that begins `buffer` has in all; -1 while its length is not there."""
    if len(buffer) < 2:
        return -1
    length = buffer[1] & 127
    mask = 4 if buffer[1] & MASKED else 0
    if length < 126:
        return length + mask + 2
    whole = 4 if length == 126 else 10
    if len(buffer) < whole:
        return -1
    return int.from_bytes(buffer[2:whole], "big") + whole + mask
