"""The JSON form of the client protocol (subprotocol `pushgate.v1.json`): bytes to structs and back."""

from base64 import b64encode

from msgspec import UNSET, DecodeError, Raw, ValidationError, json

from pushgate.messages.client import FromClient, FromServer, Message
from pushgate.messages.mistakes import refuse_field, refuse_message
from pushgate.messages.push import Push
from pushgate.wire.frames import TEXT

PROTOCOL = "pushgate.v1.json"
OPCODE = TEXT

_encoder = json.Encoder()
_decoder: json.Decoder[FromClient] = json.Decoder(FromClient)


def encode(message: FromServer) -> bytes:
    """Return a message from the server as JSON text."""
    return _encoder.encode(message)


def encode_push(push: Push, offset: int = 0, resent: bool = False) -> bytes:
    """Return the `message` that a push becomes, as JSON text; bytes become base64. A live one has no offset (0)."""
    data, encoding = (b'"' + b64encode(push.data) + b'"', "base64") if push.binary else (push.data, UNSET)
    return _encoder.encode(
        Message(push.id, push.event, Raw(data), push.time, encoding, offset or UNSET, resent or UNSET)
    )


def decode(text: bytes) -> FromClient:
    """Return what a client said.

    Raises MessageError: with `close` BAD_MESSAGE for what is no JSON object at all, without it (an `error`
    for the client) for an unknown `type` or a wrong field.
    """
    try:
        return _decoder.decode(text)
    except ValidationError as error:
        _check_object(text)
        refuse_field(error)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        _check_object(text)
        raise  # what the one decoder reads the other does too


def _check_object(text: bytes) -> None:
    """Raise MessageError for what is no JSON object."""
    try:
        json.decode(text, type=dict[str, Raw])
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse_message("a JSON object", error)
