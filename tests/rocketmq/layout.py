"""Messages as a broker hands them out, for tests: what RocketMQ's own MessageDecoder writes and reads."""

from struct import pack


def stored(
    body: bytes,
    properties: bytes = b"",
    *,
    offset: int = 0,
    physical: int = 0,
    flags: int = 0,
    topic: bytes = b"topic",
    long_topic: bool = False,
) -> bytes:
    host = b"\0" * (20 if flags & 0x10 else 8)
    store_host = b"\0" * (20 if flags & 0x20 else 8)
    after = [
        pack(">IIIqqIq", 0, 0, 0, offset, physical, flags, 1111),
        host,
        pack(">q", 2222),
        store_host,
        pack(">Iq", 0, 0),
        pack(">I", len(body)) + body,
        pack(">H" if long_topic else ">B", len(topic)) + topic,
        pack(">H", len(properties)) + properties,
    ]
    rest = b"".join(after)
    return pack(">II", len(rest) + 8, 0xDAA320AB if long_topic else 0xDAA320A7) + rest
