"""The remoting protocol's frames: commands to bytes and back. Pure functions, and a reader that keeps half a frame.

A frame is its length, a word of the header's form and length, a header in JSON, and a body.
"""

from collections.abc import Iterator, Mapping
from struct import Struct as Layout

from msgspec import DecodeError, Struct, field, json

VERSION = 477
"""What we say we are, the ordinal of V5_3_0: from V4_9_4 on routes are answered in standard JSON."""
LANGUAGE = "OTHER"
ANSWER = 1
"""The bit of `flag` that tells an answer from a request."""
MOST = 64 * 1024 * 1024
"""Bytes of the largest frame that is read. RocketMQ's own limit is 16 MiB by default."""

_LENGTHS = Layout(">II")
_JSON = 0


class Command(Struct):
    """A request or an answer; `opaque` says which belong together. In an answer `remark` says what was wrong."""

    code: int
    opaque: int = 0
    flag: int = 0
    fields: dict[str, str] | None = field(default=None, name="extFields")
    remark: str | None = None
    language: str = LANGUAGE
    version: int = VERSION
    body: bytes = b""

    @property
    def is_answer(self) -> bool:
        """Whether it answers a request."""
        return bool(self.flag & ANSWER)

    def number(self, name: str) -> int:
        """Return a field that is a number. Raises ValueError when there is none of that name."""
        value = (self.fields or {}).get(name)
        if value is None:
            raise ValueError(f"expected the field {name} in an answer, got none")
        return int(value)


class _Header(Struct):
    """What stands in a header, of which any part may be missing."""

    code: int = 0
    opaque: int = 0
    flag: int = 0
    fields: dict[str, str] | None = field(default=None, name="extFields")
    remark: str | None = None
    language: str = ""
    version: int = 0


_encoder = json.Encoder()
_decoder = json.Decoder(_Header, strict=False)


def encode(command: Command) -> bytes:
    """Return a command as it goes over the wire."""
    header = _encoder.encode(
        _Header(
            command.code,
            command.opaque,
            command.flag,
            command.fields,
            command.remark,
            command.language,
            command.version,
        )
    )
    size = len(header)
    return b"%b%b%b" % (_LENGTHS.pack(4 + size + len(command.body), _JSON << 24 | size), header, command.body)


def decode(frame: bytes | memoryview) -> Command:
    """Return the command of one whole frame, without its length. Raises ValueError for what is none."""
    if len(frame) < 4:
        raise ValueError(f"expected a header's length, got a frame of {len(frame)} bytes")
    word = int.from_bytes(frame[:4], "big")
    form, size = word >> 24, word & 0xFFFFFF
    if form != _JSON:
        raise ValueError(f"expected a header in JSON (0), got one of form {form}")
    if 4 + size > len(frame):
        raise ValueError(f"expected a header of {size} bytes, got {len(frame) - 4}")
    try:
        header = _decoder.decode(frame[4 : 4 + size])
    except DecodeError as error:
        raise ValueError(f"not a header: {error}") from None
    return Command(
        header.code,
        header.opaque,
        header.flag,
        header.fields,
        header.remark,
        header.language,
        header.version,
        bytes(frame[4 + size :]),
    )


def texts(fields: Mapping[str, object]) -> dict[str, str]:
    """Return fields as they stand in a header: all are text there, and booleans are lower case."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in fields.items()
        if value is not None
    }


class FrameReader:
    """Takes bytes as they come, and gives whole commands."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[Command]:
        """Yield the commands that are whole now. Raises ValueError for what is no frame: all is lost then."""
        kept = self._kept
        kept += data
        start = 0
        try:
            while len(kept) - start >= 4:
                size = int.from_bytes(kept[start : start + 4], "big")
                if size > MOST:
                    raise ValueError(f"expected a frame of {MOST} bytes at most, got one of {size}")
                end = start + 4 + size
                if end > len(kept):
                    break
                frame = bytes(kept[start + 4 : end])
                start = end
                yield decode(frame)
        finally:
            del kept[:start]
