"""What is wrong with a client's message, in the words of the protocol, whichever codec found it."""

from typing import NoReturn

from msgspec import ValidationError

from pushgate.codes import Close
from pushgate.errors import MessageError


def refuse_field(error: ValidationError) -> NoReturn:
    """Raise MessageError without `close`: the client is told by an `error`, and lives."""
    reason, at, path = str(error).rpartition(" - at `$.")  # the last: what a client wrote may look like one
    if not at:
        reason, path = path, ""
    field = path.rstrip("`") or None
    if field == "type" and reason.startswith("Invalid value"):
        raise MessageError("unknown_type", reason, field) from None
    if field is None and reason.startswith("Object missing required field"):
        field = reason.split("`")[1]
    raise MessageError("bad_field", reason, field) from None


def refuse_message(expected: str, error: object) -> NoReturn:
    """Raise MessageError with `close` BAD_MESSAGE, for what is no map at all."""
    raise MessageError("bad_message", f"a message is {expected}: {error}", close=Close.BAD_MESSAGE) from None
