"""The forms that messages have on a connection: a codec, and with or without compression; a small integer each."""

from typing import NamedTuple, Protocol

from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.messages import json_codec, msgpack_codec
from pushgate.messages.client import FromClient, FromServer
from pushgate.messages.push import Push
from pushgate.wire.deflate import SMALL_WINDOW, WINDOW, deflate_frame
from pushgate.wire.frames import TEXT, encode_frame


class Codec(Protocol):
    """What the modules that speak one subprotocol have."""

    PROTOCOL: str
    OPCODE: int

    def encode(self, message: FromServer, /) -> bytes:
        """Return a message from the server."""

    def encode_push(self, push: Push, offset: int, resent: bool, /) -> bytes:
        """Return the `message` that a push becomes; `offset` is 0 for a live one."""

    def decode(self, payload: bytes, /) -> FromClient:
        """Return what a client said. Raises MessageError."""


CODECS: tuple[Codec, ...] = (json_codec, msgpack_codec)
"""One for each subprotocol, the server's dearest first."""
NO_WINDOW = 0
_WINDOWS = (NO_WINDOW, WINDOW, SMALL_WINDOW)


class Format(NamedTuple):
    """How one connection's messages look: the subprotocol's codec, and what they are compressed with."""

    codec: Codec
    plain: int
    """The number of the format without compression."""
    window: int
    """The LZ77 window that the client inflates with, 0 without compression (as `wire.deflate` has it)."""

    @property
    def deflate(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self.window != NO_WINDOW

    def frame(self, message: FromServer) -> bytes:
        """Return a message from the server as a frame."""
        return self.compress(encode_frame(self.codec.OPCODE, self.codec.encode(message)))

    def compress(self, frame: bytes) -> bytes:
        """Return a frame of the plain format as this one has it."""
        return deflate_frame(frame, self.window) if self.window else frame

    def decode(self, opcode: int, payload: bytes) -> FromClient:
        """Return what a client said in a message of the opcode. Raises MessageError."""
        if opcode != self.codec.OPCODE:
            kind = "text" if self.codec.OPCODE == TEXT else "binary"
            raise MessageError("bad_message", f"this subprotocol has {kind} frames only", close=Close.BAD_MESSAGE)
        return self.codec.decode(payload)


FORMATS = tuple(Format(codec, plain, window) for window in _WINDOWS for plain, codec in enumerate(CODECS))
"""Every format, by its number; the first ones are those without compression, in the order of CODECS."""


def format_of(protocol: str | None, window: int) -> int:
    """Return the number of the format for a subprotocol (None: the first) and a window, 0 without compression."""
    protocols = [codec.PROTOCOL for codec in CODECS]
    plain = 0 if protocol is None else protocols.index(protocol)
    return _WINDOWS.index(window) * len(CODECS) + plain
