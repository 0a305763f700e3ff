"""The opening of a WebSocket (RFC 6455 section 4.2): is the request lawful, and the answers as bytes.

The whole HTTP side can be imported from here: what reads the request is in `request`.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from pushgate.errors import UpgradeRefused
from pushgate.wire.request import (
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_URL,
    Request,
    find_head,
    parse_query,
    parse_request,
)

__all__ = [
    "MAX_HEADERS",
    "MAX_HEADERS_BYTES",
    "MAX_URL",
    "Headers",
    "Request",
    "Upgrade",
    "check_upgrade",
    "encode_answer",
    "encode_head",
    "encode_switching",
    "find_head",
    "parse_query",
    "parse_request",
]

Headers = tuple[tuple[str, str], ...]
"""Names and values."""

# A token (RFC 9110 section 5.6.2): a header name, or a subprotocol's.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==").fullmatch
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_START = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Upgrade(NamedTuple):
    """What a lawful WebSocket request asks for."""

    accept: str
    """The Sec-WebSocket-Accept of the answer."""
    protocols: tuple[str, ...]
    """The subprotocols offered, the client's dearest first."""
    extensions: str
    """Sec-WebSocket-Extensions as it came, for `deflate.negotiate`; "" when there is none."""


def check_upgrade(request: Request) -> Upgrade:
    """Check every rule of RFC 6455 section 4.2.1 and compute the answer's key (section 4.2.2).

    Raises UpgradeRefused: 405 for another method than GET, 426 for a request that does not ask for a
    WebSocket of version 13, 400 for one that asks wrongly.
    """
    headers = request.headers
    if request.method != "GET":
        raise UpgradeRefused(405, "a WebSocket is opened with GET", (("Allow", "GET"),))
    upgrade = headers.get("upgrade", "").lower()
    connection = headers.get("connection", "").lower()
    if upgrade != "websocket" and "websocket" not in _items(upgrade):
        raise _upgrade_required("this is a WebSocket endpoint")
    if connection != "upgrade" and "upgrade" not in _items(connection):
        raise _upgrade_required("the Connection header lacks `Upgrade`: does a proxy in front drop it?")
    if request.http_version != "1.1":
        raise UpgradeRefused(400, "a WebSocket needs HTTP/1.1")
    if headers.get("sec-websocket-version") != "13":
        raise _upgrade_required("Sec-WebSocket-Version must be 13", ("Sec-WebSocket-Version", "13"))
    key = headers.get("sec-websocket-key", "")
    if not _KEY(key):
        raise UpgradeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return Upgrade(
        base64.b64encode(digest).decode(),
        _check_protocols(headers.get("sec-websocket-protocol")),
        headers.get("sec-websocket-extensions", ""),
    )


def _items(value: str) -> list[str]:
    """The elements of a comma-separated list, without the empty ones (RFC 9110 section 5.6.1)."""
    return [item for part in value.split(",") if (item := part.strip(" \t"))]


def _upgrade_required(reason: str, *headers: tuple[str, str]) -> UpgradeRefused:
    return UpgradeRefused(426, reason, (("Upgrade", "websocket"), ("Connection", "Upgrade"), *headers))


def _check_protocols(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    protocols = tuple(_items(value))
    if not protocols or not all(map(_TOKEN, protocols)):
        raise UpgradeRefused(400, "Sec-WebSocket-Protocol must list tokens")
    if len(set(protocols)) != len(protocols):
        raise UpgradeRefused(400, "Sec-WebSocket-Protocol names a subprotocol twice")
    return protocols


def encode_switching(accept: str, protocol: str | None, extensions: str = "") -> bytes:
    """The 101 answer to a good upgrade (RFC 6455 section 4.2.2), with the subprotocol and extensions chosen, if any.

    Raises ValueError for a value that could break out of its header.
    """
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    if protocol is not None:
        headers.append(("Sec-WebSocket-Protocol", protocol))
    if extensions:
        headers.append(("Sec-WebSocket-Extensions", extensions))
    return encode_head(101, headers)


def encode_answer(status: int, text: str, headers: Headers = (), head_only: bool = False) -> bytes:
    """A whole plain-text answer, after which the connection is to be closed (RFC 9112 section 9.6).

    `text` goes out as UTF-8 with a newline behind it; `head_only` leaves it out but tells its length, for
    HEAD. A `Connection` among `headers` is joined with `close`. Raises ValueError for an unknown status and
    for a header that is not one line of a lawful name and a latin-1 value.
    """
    body = text.encode("utf-8", "replace") + b"\n"
    connection = ", ".join(["close", *(value for name, value in headers if name.lower() == "connection")])
    lines = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", connection),
        *((name, value) for name, value in headers if name.lower() != "connection"),
    ]
    head = encode_head(status, lines)
    return head if head_only else head + body


def encode_head(status: int, headers: Sequence[tuple[str, str]]) -> bytes:
    """An answer's head, up to and with its blank line. Raises ValueError for what is no status or no header."""
    start = _START.get(status)
    if start is None:
        raise ValueError(f"unknown HTTP status {status}")
    for name, value in headers:
        if not _TOKEN(name) or not _FIELD_VALUE(value):
            raise ValueError(f"not a header: {name!r}: {value!r}")
    return (start + "".join([f"{name}: {value}\r\n" for name, value in headers]) + "\r\n").encode("latin-1")
