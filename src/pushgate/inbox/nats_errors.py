"""What the server's errors mean for what was published."""

from msgspec import Struct

from pushgate.inbox.base import Outcome, Refused, Unknown


class Error(Struct):
    """An error as the server tells it; `err_code` is 0 where nothing was told."""

    err_code: int = 0
    description: str = ""


TRANSIENT = {10004, 10008, 10009, 10118, 10158, 10176, 10194, 10210}
"""Errors that pass: elections, an id that is being stored just now, a batch that was lost, too many of them."""
WRONG_LAST = {10071, 10164}
"""Errors for a message that expected another one to be the last of its subject."""
SUPERSEDED = "superseded"
"""The code of messages refused for WRONG_LAST: each of those that went together."""


def verdict(error: Error) -> Outcome:
    """Return what an error means for the one message that it is about."""
    if error.err_code == 10077 and "per subject" in error.description:
        return Refused("user_full", "the log has as many entries as it may have")
    if error.err_code in (10002, 10023, 10047) or (error.err_code == 10077 and "bytes" in error.description):
        return Refused("inbox_full", error.description)
    if error.err_code in WRONG_LAST:
        return Refused(SUPERSEDED, error.description)
    if error.err_code in (10054, 10097):
        return Refused("too_large", error.description)
    return Unknown(error.description)
