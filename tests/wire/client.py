"""The client's side of the wire for tests: masked frames, lawful or not, written straight from RFC 6455."""

import itertools

MASK = b"\x37\xfa\x21\x3d"


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """One frame; `length` lies about the payload's size, `form` (0, 2 or 8 bytes) is how it is written."""
    size = len(payload) if length is None else length
    if form is None:
        form = 0 if size < 126 else 2 if size < 65536 else 8
    marker = {0: size, 2: 126, 8: 127}[form]
    start = bytes((fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 | marker))
    return start + (size.to_bytes(form, "big") if form else b"") + (mask or b"") + masked(payload, mask)


def masked(payload: bytes, mask: bytes | None) -> bytes:
    """RFC 6455 section 5.3, letter by letter."""
    if mask is None:
        return payload
    return bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))
