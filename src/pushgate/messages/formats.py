"""The forms that messages have on a connection, a small integer each.

On a WebSocket it is a codec, with or without compression; on a stream of Server-Sent Events it is JSON, an event each.
"""

from typing import NamedTuple, Protocol

from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.messages import json_codec, msgpack_codec
from pushgate.messages.client import FromClient, FromServer, Reconnect, Welcome
from pushgate.messages.push import Push
from pushgate.wire.deflate import SMALL_WINDOW, WINDOW, deflate_frame
from pushgate.wire.events import encode_end, encode_event
from pushgate.wire.frames import TEXT, encode_close, encode_frame


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
    """How one connection's messages look: the subprotocol's codec, what they are compressed with, or that they are
    Server-Sent Events."""

    codec: Codec
    plain: int
    """The number of the format without compression."""
    window: int
    """The LZ77 window that the client inflates with, 0 without compression (as `wire.deflate` has it)."""
    events: bool = False
    """Whether they are Server-Sent Events, and no frames."""

    @property
    def deflate(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self.window != NO_WINDOW

    def frame(self, message: FromServer) -> bytes:
        """Return a message from the server as it goes out: a frame, or an event."""
        payload = self.codec.encode(message)
        if not self.events:
            return self.compress(encode_frame(self.codec.OPCODE, payload))
        if isinstance(message, Welcome) and isinstance(message.cursor, int):
            # From now on this is where the client is: what it knew before may be of another epoch.
            return encode_event(payload, message.cursor)
        return encode_event(payload, retry=message.after if isinstance(message, Reconnect) else None)

    def frame_push(self, push: Push, offset: int = 0, resent: bool = False) -> bytes:
        """Return the `message` that a push becomes as the plain format has it; `offset` is 0 for a live one."""
        payload = self.codec.encode_push(push, offset, resent)
        return encode_event(payload, offset or None) if self.events else encode_frame(self.codec.OPCODE, payload)

    def close(self, code: Close, reason: str = "") -> bytes:
        """Return what says last why a connection ends: a close frame, or the event `close`."""
        return encode_end(code, reason) if self.events else encode_close(code, reason)

    def compress(self, frame: bytes) -> bytes:
        """Return a frame of the plain format as this one has it."""
        return deflate_frame(frame, self.window) if self.window else frame

    def decode(self, opcode: int, payload: bytes) -> FromClient:
        """Return what a client said in a message of the opcode. Raises MessageError."""
        if opcode != self.codec.OPCODE:
            kind = "text" if self.codec.OPCODE == TEXT else "binary"
            raise MessageError("bad_message", f"this subprotocol has {kind} frames only", close=Close.BAD_MESSAGE)
        return self.codec.decode(payload)


_ON_WEBSOCKETS = tuple(Format(codec, plain, window) for window in _WINDOWS for plain, codec in enumerate(CODECS))
EVENTS = len(_ON_WEBSOCKETS)
"""The number of the format of Server-Sent Events."""
FORMATS = (*_ON_WEBSOCKETS, Format(json_codec, EVENTS, NO_WINDOW, events=True))
"""Every format, by its number; the first ones are those without compression, in the order of CODECS."""


def format_of(protocol: str | None, window: int) -> int:
    """Return the number of a WebSocket's format, by subprotocol (None: the first) and window (0: no compression)."""
    protocols = [codec.PROTOCOL for codec in CODECS]
    plain = 0 if protocol is None else protocols.index(protocol)
    return _WINDOWS.index(window) * len(CODECS) + plain
