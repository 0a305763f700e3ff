"""The way around networks that block WebSocket: what `GET /sse` and `POST /ack` ask for, and who may. No I/O."""

import re

from msgspec import Struct, ValidationError, json

from pushgate.errors import MessageError, UpgradeRefused
from pushgate.messages.mistakes import refuse_field
from pushgate.sessions.arrival import STORED_EPOCH
from pushgate.sessions.handshake import MAX_OFFSET, Inbox, check_inbox, find_token
from pushgate.sessions.origins import Origins
from pushgate.wire.request import Request, parse_query
from pushgate.wire.upgrade import Headers

METHODS = {"/sse": "GET", "/ack": "POST"}
"""The paths, and what they are asked with; with OPTIONS a browser asks beforehand whether a page may."""
MAX_ACK = 1024
"""Bytes of an acknowledgement."""

_is_session = re.compile(r"[0-9a-f]{16}").fullmatch


class Acknowledgement(Struct, frozen=True):
    """The body of `POST /ack`: the device on this session has handled everything up to an offset."""

    session: str
    offset: int


_decode = json.Decoder(Acknowledgement).decode


def allow_page(origins: Origins, request: Request) -> Headers:
    """Return what an answer tells a browser, so that the page that asked may read it. Raises UpgradeRefused with 403.

    Pages of other origins than this port's are the rule, and cookies mean nothing here.
    """
    origin = request.headers.get("origin")
    origins.check(origin)
    if origin is None:
        return ()
    allowed: Headers = (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))
    if request.method != "OPTIONS":
        return (*allowed, ("Access-Control-Expose-Headers", "Retry-After"))
    return (
        *allowed,
        ("Access-Control-Allow-Methods", METHODS[request.path]),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID"),
        ("Access-Control-Max-Age", "86400"),
    )


def read_listener(request: Request) -> tuple[str, Inbox]:
    """Return the token of `GET /sse`, empty where there is none, and what it wishes of an inbox.

    `Last-Event-ID` is a cursor that is newer than that of the query, which a browser repeats as it is. It is of the
    epoch in which the device was here last, which is that of its stored cursor. Raises UpgradeRefused with 400.
    """
    query = parse_query(request.query)
    token = find_token(request, query)
    inbox = check_inbox(query.get("device"), query.get("cursor"), query.get("epoch"), query.get("from"))
    last = request.headers.get("last-event-id")
    if last:
        try:
            inbox = check_inbox(inbox.device, last, None, inbox.start)._replace(epoch=STORED_EPOCH)
        except UpgradeRefused:
            raise UpgradeRefused(400, "Last-Event-ID: expected the offset that an event's `id` was") from None
    return token or "", inbox


def read_acknowledgement(request: Request, body: bytes) -> tuple[str, Acknowledgement]:
    """Return the token of `POST /ack`, empty where there is none, and what it says. Raises UpgradeRefused with 400."""
    token = find_token(request, parse_query(request.query))
    try:
        said = _decode(body)
    except ValidationError as error:
        try:
            refuse_field(error)
        except MessageError as mistake:
            raise UpgradeRefused(400, f"{mistake.field or 'body'}: {mistake.reason}") from None
    except (ValueError, RecursionError):
        raise UpgradeRefused(400, "the body is no JSON object") from None
    if not _is_session(said.session):
        raise UpgradeRefused(400, "session: expected a session's id, 16 hexadecimal digits")
    if not 0 <= said.offset < MAX_OFFSET:
        raise UpgradeRefused(400, "offset: expected an integer from 0 to 2^53 - 1")
    return token or "", said
