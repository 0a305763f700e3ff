"""What came back on a raw socket, taken apart: HTTP answers, and the frames behind a 101, or the events of a stream."""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from msgspec import msgpack

from tests.rig.events import Event, Parser

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MARKER = b"\x00marker\xff"
"""The payload of the ping that asks whether a session lives."""
ALIVE = b"\x8a\x08" + MARKER
"""Its answer, as a whole frame."""


@dataclass
class Received:
    """Everything that came. `ended`: the server ended (or reset) the connection. `leftover`: bytes of nothing whole."""

    ended: bool = False
    statuses: tuple[int, ...] = ()
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    leftover: bytes = b""

    @property
    def close_code(self) -> int:
        """The code of the close frame; 1005 for none in it."""
        return int.from_bytes(self.frames[-1][1][:2], "big") or 1005

    @property
    def errors(self) -> tuple[str, ...]:
        """The codes of the error messages."""
        return tuple(message["code"] for message in self.messages if message["type"] == "error")

    @property
    def pongs(self) -> int:
        """How many `pong` messages came."""
        return sum(message["type"] == "pong" for message in self.messages)

    @property
    def welcomed(self) -> bool:
        """Whether `welcome` came first."""
        return bool(self.messages) and self.messages[0]["type"] == "welcome"


def take_apart(raw: bytes, ended: bool) -> Received:
    """Return what bytes from a server mean; fails for what no server may send."""
    got = Received(ended)
    while raw.startswith(b"HTTP/1.1 "):
        head, blank, rest = raw.partition(b"\r\n\r\n")
        if not blank:
            break
        status = int(head.split()[1])
        got.statuses += (status,)
        if status == 101:
            _read_frames(got, head, rest)
            return got
        if b"text/event-stream" in head:
            parser = Parser()
            got.events = parser.feed(rest)
            got.leftover = b"" if parser.idle else rest
            return got
        raw = rest if status in (100, 204) else rest[_length_of(head) :]
    got.leftover = raw
    return got


def _length_of(head: bytes) -> int:
    lines = [line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:]]
    (length,) = (int(value) for name, value in lines if name == b"content-length")
    return length


def _read_frames(got: Received, head: bytes, raw: bytes) -> None:
    packed = b"permessage-deflate" in head
    decode = msgpack.decode if b"pushgate.v1.msgpack" in head else json.loads
    position = 0
    while (frame := _frame_at(raw, position)) is not None:
        first, payload, position = frame
        opcode = first & 15
        assert first & 0xB0 == 0x80, "a server's frame is whole"
        if first & 0x40:
            assert packed
            payload = zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff")
        got.frames.append((opcode, payload))
        if opcode in (TEXT, BINARY):
            got.messages.append(decode(payload))
        if opcode == CLOSE:
            break
    got.leftover = raw[position:]


def _frame_at(raw: bytes, position: int) -> tuple[int, bytes, int] | None:
    """Return first byte and payload of the frame at a position, and where it ends; None when it is not whole."""
    if len(raw) < position + 2:
        return None
    size, start = raw[position + 1], position + 2
    if size >= 126:
        start += 2 if size == 126 else 8
        size = int.from_bytes(raw[position + 2 : start], "big")
    if len(raw) < start + size:
        return None
    return raw[position], raw[start : start + size], start + size
