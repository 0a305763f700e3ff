"""The id of a request: the caller's own, else ours. It is in the answer, in problem documents and in what is logged."""

import re
from collections.abc import Mapping
from random import getrandbits

REQUEST_ID = "x-request-id"
"""The header that has it, both ways."""

_is_lawful = re.compile(rb"[ !#-&(-~]{1,128}").fullmatch


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the id that the caller sent: 1 to 128 printable ASCII characters without quotes. "" for none such."""
    sent = headers.get(b"x-request-id")
    return sent.decode() if sent is not None and _is_lawful(sent) else ""


def new_request_id() -> str:
    """Return a new id, 16 hexadecimal digits."""
    return f"{getrandbits(64):016x}"
