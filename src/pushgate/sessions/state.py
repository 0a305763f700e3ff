"""A live session on its way from one process to another: what goes along with its socket in a hand-over."""

from collections.abc import Sequence

from msgspec import DecodeError, Struct, msgpack

Place = tuple[str, bool, bool, Sequence[int]]
"""What reliable delivery knows of a device on its way; see delivery.reliable."""


class SessionState(Struct, array_like=True, gc=False):
    """All that is remembered of a session.

    `expires` and `since` are in seconds since 1970, `idle` in ticks since the client was heard. `messages` and `volume`
    are how full the buckets of its pace were then. `reader` is what a frame that is half read holds (FrameReader.save).
    `parked` waits to be written. `place` is the device's. New fields go to the end with a default.
    """

    tenant: str
    uid: str
    device: str | None
    tags: tuple[str, ...]
    format: int
    expires: int
    since: int
    serial: int
    address: bytes
    agent: str
    idle: int
    messages: int
    volume: int
    reader: Sequence[bytes | int | bool] | None = None
    parked: bytes = b""
    place: Place | None = None


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(SessionState)


def encode_state(state: SessionState) -> bytes:
    """Return the record that goes along with the socket."""
    return _encoder.encode(state)


def decode_state(record: bytes) -> SessionState:
    """Return what `encode_state` made; raises ValueError for anything else."""
    try:
        return _decoder.decode(record)
    except DecodeError as error:
        raise ValueError(f"not the state of a session: {error}") from None
