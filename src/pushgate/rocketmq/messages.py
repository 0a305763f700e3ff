"""Messages as they go to a broker and come from one: layouts of bytes, properties, and bodies that were compressed."""

import zlib
from collections.abc import Iterator, Mapping
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812
from typing import NamedTuple

import lz4.frame
import zstandard

MOST = 8 * 1024 * 1024
"""Bytes of the largest body that is inflated: a small message must not become the memory of the machine."""

TAG = "TAGS"
"""The property that consumers choose by."""

_SENT = Layout(">IIIII")  # size, magic, CRC, flag, size of the body; the broker fills in what is 0
_SHORT = Layout(">H")
_HEAD = Layout(">IIIIIqqIq")  # size, magic, CRC, queue, flag, offset in the queue and in the log, system's flag, born
_STORED = Layout(">q")
_LENGTH = Layout(">I")
_MAGIC, _MAGIC_LONG_TOPIC = 0xDAA320A7, 0xDAA320AB
_COMPRESSED = 0x1
_BORN_V6, _STORED_V6 = 0x10, 0x20
_KIND = 0x700
_LZ4, _ZSTD = 0x100, 0x200


class Message(NamedTuple):
    """A message that was pulled. `place` tells it from every other of its broker: where in the log, and when stored.

    `body` is as it was stored; `inflate` makes it what the producer sent. Times are milliseconds since 1970.
    """

    offset: int
    place: tuple[int, int]
    born: int
    body: bytes
    flags: int
    properties: bytes


def encode_properties(properties: Mapping[str, str]) -> bytes:
    """Return properties as they stand in a message, their length first."""
    text = "".join(f"{name}\1{value}\2" for name, value in properties.items()).encode()
    return _SHORT.pack(len(text)) + text


def decode_properties(data: bytes) -> dict[str, str]:
    """Return the properties of a message; what is not one is left out."""
    pairs = (part.split("\1", 1) for part in data.decode(errors="replace").split("\2"))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def encode_message(body: bytes, properties: bytes) -> bytes:
    """Return a message as it stands in a batch; `properties` are encoded."""
    size = len(body)
    return b"%b%b%b" % (_SENT.pack(_SENT.size + size + len(properties), 0, 0, 0, size), body, properties)


def decode_messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of what was pulled. Raises ValueError for what is none."""
    at, end = 0, len(data)
    while at < end:
        try:
            message, at = _decode(data, at)
        except LayoutError:
            raise ValueError("not a message: it ends too soon") from None
        yield message


def _decode(data: bytes, at: int) -> tuple[Message, int]:
    size, magic, _, _, _, offset, physical, flags, born = _HEAD.unpack_from(data, at)
    end = at + size
    if magic not in (_MAGIC, _MAGIC_LONG_TOPIC) or end > len(data):
        raise ValueError("not a message: it does not begin as one, or is not whole")
    at += _HEAD.size + (20 if flags & _BORN_V6 else 8)
    (stored,) = _STORED.unpack_from(data, at)
    at += 8 + (20 if flags & _STORED_V6 else 8) + 4 + 8  # behind them how often it was retried, and of a transaction
    (length,) = _LENGTH.unpack_from(data, at)
    body_at = at + 4
    at = body_at + length
    if magic == _MAGIC:
        at += 1 + data[at] if at < end else end
    else:
        at += 2 + _SHORT.unpack_from(data, at)[0]
    (count,) = _SHORT.unpack_from(data, at)
    at += 2
    if at + count > end:
        raise ValueError("not a message: its parts are longer than it is")
    body = data[body_at : body_at + length]
    return Message(offset, (physical, stored), born, body, flags, data[at : at + count]), end


def inflate(message: Message) -> bytes:
    """Return a message's body as its producer sent it. Raises ValueError when it is broken, or over MOST inflated."""
    body, kind = message.body, message.flags & _KIND
    if not message.flags & _COMPRESSED:
        return body
    try:
        if kind == _LZ4:
            whole = lz4.frame.LZ4FrameDecompressor().decompress(body, MOST + 1)
        elif kind == _ZSTD:
            whole = zstandard.ZstdDecompressor().stream_reader(body).read(MOST + 1)
        else:
            whole = zlib.decompressobj().decompress(body, MOST + 1)
    except (RuntimeError, EOFError, zstandard.ZstdError, zlib.error) as error:
        raise ValueError(f"a compressed body is broken: {error}") from None
    if len(whole) > MOST:
        raise ValueError(f"a compressed body is over {MOST} bytes")
    return bytes(whole)
