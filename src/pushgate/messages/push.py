"""A push as it travels on the bus: who it is for, and what it says."""

from typing import Literal

from msgspec import DecodeError, Struct, msgpack

Qos = Literal["live", "reliable"]


class Trail(Struct, array_like=True, frozen=True, gc=False):
    """What a push that is followed leaves on its way, by which all that is told of it belongs together.

    `request_id` is that of the API's call. `traceparent`, as W3C has it, is the span that sent the push, empty where
    nothing is traced. New fields go to the end with a default.
    """

    request_id: str
    traceparent: str = ""


class Push(Struct, array_like=True, frozen=True, gc=False):
    """One accepted push. `uids` is None for everyone in the tenant.

    `data` is JSON text (valid UTF-8), or, when `binary`, the bytes themselves. `time` is the moment of
    acceptance in milliseconds since 1970. `device`, `tags` and `except_session` narrow the target; None does not.
    `trail` is None unless the push is followed. New fields go to the end with a default: nodes of neighbouring versions
    read each other.
    """

    tenant: str
    uids: list[str] | None
    id: str
    event: str
    time: int
    data: bytes
    binary: bool = False
    device: str | None = None
    tags: list[str] | None = None
    except_session: str | None = None
    spread: float = 0.0
    qos: Qos = "live"
    ttl: int = 0
    collapse: str | None = None
    trail: Trail | None = None


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(Push)


def encode_push(push: Push) -> bytes:
    """Return the push as MessagePack, as it goes over the bus."""
    return _encoder.encode(push)


def decode_push(payload: bytes | memoryview) -> Push:
    """Return the push that `encode_push` made; raises ValueError for anything else."""
    try:
        return _decoder.decode(payload)
    except DecodeError as error:
        raise ValueError(f"not a push: {error}") from None
