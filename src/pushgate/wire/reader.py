"""Reading a client's frames (RFC 6455 section 5), compressed messages too (RFC 7692), in pieces of any size.

A `FrameReader` is made when `frames.read_single` does not do, and dropped as soon as it is `idle`.
"""

import codecs
import sys
from collections.abc import Iterator, Sequence

from pushgate.codes import Close
from pushgate.errors import WireError
from pushgate.wire.deflate import inflate, most_deflated
from pushgate.wire.frames import BINARY, CLOSE, CONT, FIN, MASKED, MAX_CONTROL, PONG, RSV1, TEXT
from pushgate.wire.masking import rotate, unmask

_RSV = 0x70
_HELD = ("_head", "_left", "_opcode", "_mask", "_kind", "_packed", "_message", "_control", "_tail", "_done")
"""What of a reader is of the client, and not of the settings."""


class FrameReader:
    """Reads one client's frames in pieces of any size; holds what came so far of a frame and of a message.

    Memory held is proportional to bytes received, time is linear in them, however they are cut: payload is
    unmasked and kept as it comes, and fragments are kept joined, so empty ones leave nothing behind.
    """

    __slots__ = (
        "_control",
        "_deflate",
        "_done",
        "_head",
        "_kind",
        "_left",
        "_mask",
        "_max",
        "_message",
        "_opcode",
        "_packed",
        "_tail",
        "allowance",
    )

    def __init__(self, max_message: int, deflate: bool = False) -> None:
        """`max_message`: the most payload bytes of one message, over all its fragments, and inflated.

        `deflate`: permessage-deflate was negotiated, without context takeover.
        """
        self._max = max_message
        self._deflate = deflate
        self._head = b""  # a frame head that is not whole yet: at most 13 bytes
        self._left = -1  # payload bytes the frame still lacks; -1 between frames
        self._opcode = 0  # the first byte of the frame: FIN and opcode
        self._mask = b""  # turned so that it fits the next payload byte
        self._kind = 0  # TEXT or BINARY within a message, else 0
        self._packed = False  # whether the message is compressed
        self._message = bytearray()  # of the unfinished message, all that came
        self._control = b""  # of an unfinished control frame, all that came: at most 125 bytes
        self._tail = b""  # in a TEXT message: the first bytes of a character that is not whole yet
        self._done = False  # after CLOSE or an error nothing more is read
        self.allowance = sys.maxsize
        """How many frames may still begin, fragments and control frames too; set it before a feed."""

    @property
    def idle(self) -> bool:
        """Whether nothing is held after a feed, so that it can be dropped; never after CLOSE or an error."""
        return self._left < 0 and not self._head and not self._kind and not self._done

    def save(self) -> tuple[bytes | int, ...]:
        """Return what is held, between two feeds, in plain values: for `restore`, in another process."""
        held = (getattr(self, name) for name in _HELD)
        return tuple(bytes(each) if isinstance(each, bytearray) else each for each in held)

    def restore(self, held: Sequence[bytes | int]) -> None:
        """Take on what another reader of the same settings held."""
        for name, value in zip(_HELD, held, strict=True):
            setattr(self, name, value)
        self._message = bytearray(self._message)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[tuple[int, bytes]]:
        """Yield (opcode, payload) of each whole message and control frame that `data` ends, in order.

        Messages are TEXT (UTF-8, checked) or BINARY; control frames PING, PONG and CLOSE. After CLOSE
        nothing more is read. The close payload is for `parse_close`. Exhaust the generator before the next
        feed and before `data` changes. Raises WireError, after all that was good before it:
        PROTOCOL_ERROR (section 5), TOO_BIG as soon as an announced length passes `max_message`, INVALID_DATA
        for TEXT that is not UTF-8, as early as the bytes show it. A compressed message is inflated when it is whole,
        never beyond `max_message`: TOO_BIG, and INVALID_DATA for what cannot be inflated. TOO_FAST beyond `allowance`.
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
        opcode = first & 15
        packed = bool(first & RSV1) or (opcode == CONT and self._packed)
        limit = most_deflated(self._max) if packed else self._max
        if opcode < CLOSE and len(self._message) + length > limit:
            raise WireError(Close.TOO_BIG, f"message is over {self._max} bytes")
        if len(head) < whole:
            return len(view)
        self.allowance -= 1
        if self.allowance < 0:
            raise WireError(Close.TOO_FAST, "too many messages in too short a time")
        self._head = b""
        self._opcode = first
        self._mask = head[whole - 4 : whole]
        self._left = length
        if TEXT <= opcode <= BINARY:
            self._kind = opcode
            self._packed = packed
        return whole - before

    def _check_start(self, first: int, second: int) -> None:
        """Check a frame's first two bytes (RFC 6455 section 5.2 and 5.4, RFC 7692 section 6)."""
        opcode = first & 15
        if first & _RSV and not (self._deflate and first & _RSV == RSV1 and TEXT <= opcode <= BINARY):
            raise WireError(Close.PROTOCOL_ERROR, "reserved bits are set")
        if not second & MASKED:
            raise WireError(Close.PROTOCOL_ERROR, "frame is not masked")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise WireError(Close.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
            if not first & FIN:
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
        final = ended and bool(self._opcode & FIN)
        if self._kind == TEXT and not self._packed:
            self._check_text(plain, final)
        if not final:
            self._message += plain
            return None
        if self._message:
            self._message += plain
            plain = bytes(self._message)
            self._message = bytearray()
        kind, self._kind = self._kind, 0
        if self._packed:
            plain = inflate(plain, self._max)
            if kind == TEXT:
                self._check_text(plain, True)
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
