"""WebSocket frames, the server's side of RFC 6455 section 5: what we write, and two ways to read.

`read_single` takes the usual case (one small whole frame in one read) without any state; `FrameReader` takes
everything else and is made when it is needed and dropped as soon as it is `idle`.
"""

import codecs
from collections.abc import Iterator

from pushgate.codes import Close
from pushgate.errors import WireError
from pushgate.wire.masking import rotate, unmask

CONT = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

MAX_CONTROL = 125
"""The most payload bytes a control frame may have (RFC 6455 section 5.5)."""

EMPTY_PING = bytes((0x80 | PING, 0))
"""A whole unmasked ping without payload."""

_FIN = 0x80
_RSV = 0x70
_MASKED = 0x80
_EMPTY_PONG = (PONG, b"")


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame with FIN set (RFC 6455 section 5.2); the payload is not looked at."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, size)) + payload
    if size < 65536:
        return bytes((_FIN | opcode, 126, size >> 8, size & 255)) + payload
    return bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big") + payload


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
    if size == 6 and buffer[1] == _MASKED and buffer[0] == 0x8A:
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


class FrameReader:
    """Reads one client's frames in pieces of any size; holds what came so far of a frame and of a message.

    Memory held is proportional to bytes received, time is linear in them, however they are cut: payload is
    unmasked and kept as it comes, and fragments are kept joined, so empty ones leave nothing behind.
    """

    __slots__ = (
        "_control",
        "_done",
        "_head",
        "_kind",
        "_left",
        "_mask",
        "_max",
        "_message",
        "_opcode",
        "_tail",
    )

    def __init__(self, max_message: int) -> None:
        """`max_message`: the most payload bytes of one message, over all its fragments."""
        self._max = max_message
        self._head = b""  # a frame head that is not whole yet: at most 13 bytes
        self._left = -1  # payload bytes the frame still lacks; -1 between frames
        self._opcode = 0  # the first byte of the frame: FIN and opcode
        self._mask = b""  # turned so that it fits the next payload byte
        self._kind = 0  # TEXT or BINARY within a message, else 0
        self._message = bytearray()  # of the unfinished message, all that came
        self._control = b""  # of an unfinished control frame, all that came: at most 125 bytes
        self._tail = b""  # in a TEXT message: the first bytes of a character that is not whole yet
        self._done = False  # after CLOSE or an error nothing more is read

    @property
    def idle(self) -> bool:
        """Whether nothing is held after a feed, so that it can be dropped; never after CLOSE or an error."""
        return self._left < 0 and not self._head and not self._kind and not self._done

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[tuple[int, bytes]]:
        """Yield (opcode, payload) of each whole message and control frame that `data` ends, in order.

        Messages are TEXT (UTF-8, checked) or BINARY; control frames PING, PONG and CLOSE. After CLOSE
        nothing more is read. The close payload is for `parse_close`. Exhaust the generator before the next
        feed and before `data` changes. Raises WireError, after all that was good before it:
        PROTOCOL_ERROR (section 5), TOO_BIG as soon as an announced length passes `max_message`, INVALID_DATA
        for TEXT that is not UTF-8, as early as the bytes show it.
        """
        view = memoryview(data)
        position, end = 0, len(view)
        try:
            while not self._done:
                if self._left < 0:
                    taken = self._read_head(view[position : position + 14])
                    position += taken
                    if self._left < 0:  # the head is not whole, and all there was is kept
                        return
                size = min(self._left, end - position)
                if size < self._left and not size:
                    return
                event = self._read_payload(view[position : position + size])
                position += size
                if event is not None:
                    yield event
        except WireError:
            self._done = True
            raise

    def _read_head(self, view: memoryview) -> int:
        """Read on in a frame's head from `view`; returns how many bytes of `view` belong to it."""
        before = len(self._head)
        head = self._head + bytes(view[: 14 - before])
        self._head = head
        if len(head) < 2:
            return len(view)
        first, second = head[0], head[1]
        self._check_start(first, second)
        length = second & 127
        whole = 6 if length < 126 else 8 if length == 126 else 14
        if length > 125:
            extended = head[2 : whole - 4]
            if len(extended) < whole - 6:
                return len(view)
            length = int.from_bytes(extended, "big")
            if length >> 63:
                raise WireError(Close.PROTOCOL_ERROR, "frame length has its top bit set")
            if length < (126 if whole == 8 else 65536):
                raise WireError(Close.PROTOCOL_ERROR, "frame length is not in its shortest form")
        if first & 15 < CLOSE and len(self._message) + length > self._max:
            raise WireError(Close.TOO_BIG, f"message is over {self._max} bytes")
        if len(head) < whole:
            return len(view)
        self._head = b""
        self._opcode = first
        self._mask = head[whole - 4 : whole]
        self._left = length
        if TEXT <= first & 15 <= BINARY:
            self._kind = first & 15
        return whole - before

    def _check_start(self, first: int, second: int) -> None:
        """Check a frame's first two bytes (RFC 6455 section 5.2 and 5.4)."""
        opcode = first & 15
        # permessage-deflate (RFC 7692) will take RSV1 on the first frame of a message, when negotiated.
        if first & _RSV:
            raise WireError(Close.PROTOCOL_ERROR, "reserved bits are set")
        if not second & _MASKED:
            raise WireError(Close.PROTOCOL_ERROR, "frame is not masked")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise WireError(Close.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
            if not first & _FIN:
                raise WireError(Close.PROTOCOL_ERROR, "control frame is fragmented")
            if second & 127 > MAX_CONTROL:
                raise WireError(Close.PROTOCOL_ERROR, "control frame is over 125 bytes")
        elif opcode > BINARY:
            raise WireError(Close.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        elif opcode == CONT and not self._kind:
            raise WireError(Close.PROTOCOL_ERROR, "continuation without a message")
        elif opcode != CONT and self._kind:
            raise WireError(Close.PROTOCOL_ERROR, "new message within a message")

    def _read_payload(self, masked: memoryview) -> tuple[int, bytes] | None:
        """Take payload of the current frame; returns the event that it ends, if it ends one."""
        size = len(masked)
        plain = unmask(masked, self._mask)
        self._left -= size
        ended = self._left == 0
        if ended:
            self._left = -1
        else:
            self._mask = rotate(self._mask, size)
        opcode = self._opcode & 15
        if opcode >= CLOSE:
            return self._read_control(opcode, plain, ended)
        final = ended and bool(self._opcode & _FIN)
        if self._kind == TEXT:
            self._check_text(plain, final)
        if not final:
            self._message += plain
            return None
        if self._message:
            self._message += plain
            plain = bytes(self._message)
            self._message = bytearray()
        kind, self._kind = self._kind, 0
        return kind, plain

    def _read_control(self, opcode: int, plain: bytes, ended: bool) -> tuple[int, bytes] | None:
        payload = self._control + plain
        if not ended:
            self._control = payload
            return None
        self._control = b""
        self._done = opcode == CLOSE
        return opcode, payload

    def _check_text(self, plain: bytes, final: bool) -> None:
        """Check the next bytes of a TEXT message, which may begin and end within a character."""
        if not self._tail and plain.isascii():
            return
        text = self._tail + plain
        try:
            taken = codecs.utf_8_decode(text, "strict", final)[1]
        except UnicodeDecodeError:
            raise WireError(Close.INVALID_DATA, "text is not UTF-8") from None
        self._tail = text[taken:]
        # CPython waits for a third byte before it refuses a surrogate; its second byte shows it already.
        if len(self._tail) > 1 and self._tail[0] == 0xED and self._tail[1] > 0x9F:
            raise WireError(Close.INVALID_DATA, "text is not UTF-8")


def frame_size(buffer: bytes) -> int:
    """How many bytes the masked frame that begins `buffer` has in all; -1 while its length is not there."""
    if len(buffer) < 2:
        return -1
    length = buffer[1] & 127
    mask = 4 if buffer[1] & _MASKED else 0
    if length < 126:
        return length + mask + 2
    whole = 4 if length == 126 else 10
    if len(buffer) < whole:
        return -1
    return int.from_bytes(buffer[2:whole], "big") + whole + mask
