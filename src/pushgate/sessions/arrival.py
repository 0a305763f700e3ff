"""What a handshake learnt about a connection: it goes along when the socket is handed to its owner."""

from typing import Literal

from msgspec import DecodeError, Struct, msgpack

STORED_EPOCH = ""
"""Stands for the epoch of the cursor that is stored for the device; no client can name it."""


class Arrival(Struct, array_like=True, gc=False):
    """A connection whose token was checked.

    `expires` is in seconds since 1970, 0 for never. `address` is 16 bytes (IPv4 mapped into IPv6). `greeting` is what
    the owner writes before `welcome`: the 101 answer or the head of a stream, or nothing when the lobby wrote it.
    `surplus` was read behind the handshake. `cursor`, `epoch` and `start` ask for an inbox. `format` is the number of
    its messages' format. `missed` is found out by the owner: something after the client's cursor may be gone.
    """

    tenant: str
    uid: str
    expires: int
    tags: tuple[str, ...]
    address: bytes
    agent: str
    device: str | None = None
    cursor: int | None = None
    epoch: str | None = None
    start: Literal["oldest", "now"] = "oldest"
    greeting: bytes = b""
    surplus: bytes = b""
    format: int = 0
    missed: bool = False


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(Arrival)


def encode_arrival(arrival: Arrival) -> bytes:
    """Return the record that goes along with the socket."""
    return _encoder.encode(arrival)


def decode_arrival(record: bytes) -> Arrival:
    """Return what `encode_arrival` made; raises ValueError for anything else."""
    try:
        return _decoder.decode(record)
    except DecodeError as error:
        raise ValueError(f"not an arrival: {error}") from None
