"""The MessagePack form of the client protocol (subprotocol `pushgate.v1.msgpack`): bytes to structs and back."""

from msgspec import UNSET, DecodeError, Raw, ValidationError, json, msgpack

from pushgate.messages.client import FromClient, FromServer, Message
from pushgate.messages.mistakes import refuse_field, refuse_message
from pushgate.messages.push import Push
from pushgate.wire.frames import BINARY

PROTOCOL = "pushgate.v1.msgpack"
OPCODE = BINARY

_encoder = msgpack.Encoder()
_decoder: msgpack.Decoder[FromClient] = msgpack.Decoder(FromClient)
_whole = msgpack.Decoder(Raw)


def encode(message: FromServer) -> bytes:
    """Return a message from the server as MessagePack."""
    return _encoder.encode(message)


def encode_push(push: Push, offset: int = 0, resent: bool = False) -> bytes:
    """Return the `message` that a push becomes, as MessagePack: `bin`, or the value that its JSON text says. A live
    one has no offset (0).

    Raises ValueError, OverflowError or RecursionError for data that the API does not take: what is no JSON, integers
    beyond 64 bits, and nesting without end.
    """
    data = push.data if push.binary else json.decode(push.data)
    return _encoder.encode(
        Message(push.id, push.event, Raw(_encoder.encode(data)), push.time, UNSET, offset or UNSET, resent or UNSET)
    )


def decode(packed: bytes) -> FromClient:
    """Return what a client said.

    Raises MessageError: with `close` BAD_MESSAGE for what is no map at all, without it (an `error` for the
    client) for an unknown `type` or a wrong field.
    """
    try:
        return _decoder.decode(packed)
    except ValidationError as error:
        _check_map(packed)
        refuse_field(error)
    except UnicodeDecodeError as error:
        _check_map(packed)
        refuse_field(ValidationError(f"Invalid UTF-8: {error.reason}"))
    except (DecodeError, RecursionError) as error:
        refuse_message("a MessagePack map", error)


def _check_map(packed: bytes) -> None:
    """Raise MessageError for what is no MessagePack map."""
    try:
        _whole.decode(packed)
    except (DecodeError, RecursionError) as error:
        refuse_message("a MessagePack map", error)
    if packed[0] & 0xF0 != 0x80 and packed[0] not in (0xDE, 0xDF):
        refuse_message("a MessagePack map", "this is something else")
