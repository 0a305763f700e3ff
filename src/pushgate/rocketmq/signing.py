"""Signatures of requests, as RocketMQ's ACL wants them: HMAC-SHA1 over the fields by name, and the body."""

import base64
import hmac
from collections.abc import Mapping
from typing import NamedTuple


class Credentials(NamedTuple):
    """Who asks, and what that is proved with."""

    access: str
    secret: str


def sign(fields: Mapping[str, str], body: bytes, credentials: Credentials) -> dict[str, str]:
    """Return the fields with `AccessKey` and `Signature`."""
    named = {**fields, "AccessKey": credentials.access}
    text = "".join(named[name] for name in sorted(named)).encode() + body
    signature = hmac.digest(credentials.secret.encode(), text, "sha1")
    return named | {"Signature": base64.b64encode(signature).decode()}
