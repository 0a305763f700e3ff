"""What an upgrade request asks for: who the client says it is, and its device. No I/O."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pushgate.errors import UpgradeRefused
from pushgate.messages.device import is_device
from pushgate.messages.formats import CODECS, NO_WINDOW, format_of
from pushgate.wire.deflate import negotiate
from pushgate.wire.request import Request, parse_query
from pushgate.wire.upgrade import Upgrade

Start = Literal["oldest", "now"]

_is_cursor = re.compile(r"[0-9]{1,16}").fullmatch
_BEARER = "bearer."
MAX_OFFSET = 2**53


class Inbox(NamedTuple):
    """What a client wishes of an inbox, as `Arrival` has it."""

    device: str | None
    cursor: int | None
    epoch: str | None
    start: Start


class Hello(NamedTuple):
    """A client's wishes; `token` is None when it will come in a first message.

    `protocol` and `extensions` are what to answer with, `format` the number of the format that they mean.
    """

    token: str | None
    protocol: str | None
    extensions: str
    format: int
    inbox: Inbox


def read_hello(request: Request, upgrade: Upgrade, compression: bool) -> Hello:
    """Return what a lawful upgrade request asks for; without `compression` no offer of it is accepted.

    Raises UpgradeRefused with 400 for a token in two places, a subprotocol that nobody here speaks, malformed
    extensions and a field of the query that is wrong.
    """
    query = parse_query(request.query)
    token = find_token(request, query, upgrade.protocols)
    inbox = check_inbox(query.get("device"), query.get("cursor"), query.get("epoch"), query.get("from"))
    protocol = _choose_protocol(upgrade.protocols)
    deflate = negotiate(upgrade.extensions) if compression else None
    extensions, window = (deflate.answer, deflate.window) if deflate is not None else ("", NO_WINDOW)
    return Hello(token, protocol, extensions, format_of(protocol, window), inbox)


def find_token(request: Request, query: dict[str, str], protocols: Sequence[str] = ()) -> str | None:
    """Return the token of a request, wherever it stands; raises UpgradeRefused with 400 for two of them."""
    tokens = [query["token"]] if "token" in query else []
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise UpgradeRefused(400, "Authorization: expected `Bearer <token>`")
        tokens.append(value.strip())
    tokens.extend(name.removeprefix(_BEARER) for name in protocols if name.startswith(_BEARER))
    if len(tokens) > 1:
        raise UpgradeRefused(400, "the token stands in more than one place")
    return tokens[0] if tokens else None


def check_inbox(device: str | None, cursor: str | int | None, epoch: str | None, start: str | None) -> Inbox:
    """Return the fields that ask for an inbox, checked; raises UpgradeRefused with 400, naming the field."""
    if device is not None and not is_device(device):
        raise UpgradeRefused(400, "device: expected 1 to 64 of A-Z a-z 0-9 . _ : -")
    if cursor is not None:
        if not _is_cursor(str(cursor)) or int(cursor) >= MAX_OFFSET:
            raise UpgradeRefused(400, "cursor: expected an offset, an integer from 0 to 2^53 - 1")
        cursor = int(cursor)
    if epoch is not None and not 1 <= len(epoch) <= 64:
        raise UpgradeRefused(400, "epoch: expected 1 to 64 characters")
    if start is None or start == "oldest":
        return Inbox(device, cursor, epoch, "oldest")
    if start == "now":
        return Inbox(device, cursor, epoch, "now")
    raise UpgradeRefused(400, "from: expected `oldest` or `now`")


def _choose_protocol(offered: tuple[str, ...]) -> str | None:
    """Return the subprotocol to answer with, the first offered of those spoken here; None when none was offered."""
    named = [name for name in offered if not name.startswith(_BEARER)]
    spoken = [codec.PROTOCOL for codec in CODECS]
    for name in named:
        if name in spoken:
            return name
    if named:
        raise UpgradeRefused(400, f"none of the offered subprotocols is spoken here: offer {' or '.join(spoken)}")
    return None
