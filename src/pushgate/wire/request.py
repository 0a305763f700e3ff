"""A client's HTTP/1.1 request (RFC 9112): when its head is whole, what stands in it, and its query.

Everything that could be read in two ways is refused rather than guessed, because a proxy in front of the node
may have guessed otherwise. Requests have no body on this port, but on paths that the caller names.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import httptools

from pushgate.errors import UpgradeRefused

MAX_HEADERS_BYTES = 8 * 1024
"""The most bytes of all header lines together, with their line ends."""
MAX_HEADERS = 64
"""The most header lines."""
MAX_URL = 4 * 1024
"""The most bytes of the request target."""

_METHOD = 24  # more than any method that httptools knows
_MAX_LINE = _METHOD + MAX_URL + len(" HTTP/1.1 ")
_REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!-~]+) HTTP/([0-9]\.[0-9])\r\n").match
_ABSOLUTE = re.compile(r"(?:http|ws)s?://([^/?]+)(.*)", re.IGNORECASE).fullmatch
_LENGTH = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::[0-9]*)?").fullmatch
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
# All bytes that may stand in a head; what is left when they are deleted should not be there.
_LAWFUL = bytes((9, 10, 13, *range(32, 127), *range(128, 256)))

# Headers of which a second one means trouble; all others are joined (RFC 9110 section 5.3).
_SINGLE = frozenset(("host", "content-length", "authorization", "origin", "sec-websocket-key", "sec-websocket-version"))


class Request(NamedTuple):
    """A request's head. Header names are lower-case, repeated headers joined with ", "."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str
    """As it came, for `parse_query`; "" when there is none."""
    headers: dict[str, str]
    """latin-1 decoded; `host` is the target's own when the target is an absolute URL."""
    http_version: str
    """"1.0" or "1.1"."""
    body: int = 0
    """Bytes that come behind the head and belong to the request."""


def find_head(buffer: bytes | bytearray, start: int = 0) -> int:
    """The index just behind the blank line that ends the request head in `buffer`, -1 while it is not there.

    `start` is how much of `buffer` an earlier call has seen, so that calling again after each read stays
    cheap. Raises UpgradeRefused as soon as it can tell: 400 for what does not begin like HTTP or has bare
    line feeds, 414 for a target over MAX_URL, 431 for headers over MAX_HEADERS_BYTES.
    """
    if buffer and not 65 <= buffer[0] <= 90:  # methods are upper-case letters
        raise _not_http(buffer)
    # Also finds a blank line behind a bare line feed, which parse_request then refuses.
    blank = buffer.find(b"\n\r\n", max(0, start - 2))
    end = blank + 3 if blank >= 0 else -1
    line = buffer.find(b"\n", 0, _MAX_LINE + 1) + 1
    if not line:
        if len(buffer) > _MAX_LINE:
            raise UpgradeRefused(414, f"the request target is over {MAX_URL} bytes")
        return -1
    if (end if end >= 0 else len(buffer)) - line > MAX_HEADERS_BYTES + 2:
        raise UpgradeRefused(431, f"the headers are over {MAX_HEADERS_BYTES} bytes")
    if end < 0 and buffer.find(b"\n\n", max(0, start - 1)) >= 0:
        raise UpgradeRefused(400, "line ends must be CR LF")
    return end


def _not_http(buffer: bytes | bytearray) -> UpgradeRefused:
    if buffer[0] == 0x16 and buffer[1:2] in (b"", b"\x03"):
        return UpgradeRefused(400, "this is TLS, but this port speaks plain HTTP: use ws:// or http://")
    return UpgradeRefused(400, "this is not an HTTP request")


NO_BODIES: Mapping[str, int] = {}
"""No path takes a body."""


class _Fields:
    """Collects the header lines that httptools finds."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name, value))


def parse_request(head: bytes, bodies: Mapping[str, int] = NO_BODIES) -> Request:
    """Read a whole request head, up to and with its blank line, as `find_head` found it.

    `bodies` says on which paths a request may have a body, of its announced length, and of how many bytes at the most.

    Targets are a path, or an absolute URL (RFC 9112 section 3.2.2), whose host then replaces the Host header.
    Raises UpgradeRefused: 400 for everything malformed or ambiguous (line folding, bare CR or LF, control
    characters, a missing or second Host, a second header of those that may come once, other targets), 413 for
    a body that is not allowed, 414 and 431 over the limits, 505 for other versions of HTTP than 1.0 and 1.1.
    """
    if find_head(head) != len(head):
        raise UpgradeRefused(400, "the request is malformed")
    line = _REQUEST_LINE(head)
    if line is None:
        raise UpgradeRefused(400, "the request line is malformed")
    method, target, version = (part.decode("ascii") for part in line.groups())
    if version not in ("1.1", "1.0"):
        raise UpgradeRefused(505, "this port speaks HTTP/1.1")
    if len(target) > MAX_URL:
        raise UpgradeRefused(414, f"the request target is over {MAX_URL} bytes")
    # Checked here too, because how strict httptools is depends on the llhttp it was built with.
    ends = head.count(b"\r\n")
    if ends != head.count(b"\n") or ends != head.count(b"\r"):
        raise UpgradeRefused(400, "line ends must be CR LF")
    if head.translate(None, _LAWFUL):
        raise UpgradeRefused(400, "control characters in the request")
    if ends - 2 > MAX_HEADERS:
        raise UpgradeRefused(431, f"more than {MAX_HEADERS} headers")
    headers = _parse_headers(head, ends - 2)
    authority, target = _split_target(method, target)
    if authority:
        headers["host"] = authority
    host = headers.get("host")
    if version == "1.1" if host is None else not _HOST(host):
        raise UpgradeRefused(400, "the Host header is missing or malformed")
    raw_path, _, query = target.partition("?")
    path = _decode(raw_path, "the path")
    return Request(method, path, query, headers, version, _measure_body(headers, bodies.get(path, 0)))


def _parse_headers(head: bytes, count: int) -> dict[str, str]:
    """The header lines of a head that has `count` of them, by lower-case name."""
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        raise UpgradeRefused(400, "the request is malformed") from None
    # One header per line: nothing was folded, dropped or read on past the blank line.
    if len(fields.lines) != count:
        raise UpgradeRefused(400, "the headers are malformed")
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields.lines:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1").strip(" \t")
        if name in headers:
            if name in _SINGLE:
                raise UpgradeRefused(400, f"more than one {name} header")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _measure_body(headers: dict[str, str], most: int) -> int:
    """The length of a body of at most so many bytes, 0 where there is none."""
    length = headers.get("content-length", "0")
    if "transfer-encoding" not in headers and _LENGTH(length) and int(length) <= most:
        return int(length)
    if most:
        raise UpgradeRefused(413, f"a body has at most {most} bytes here, and a Content-Length")
    raise UpgradeRefused(413, "requests have no body on this port: clients connect here, the API is on another one")


def _split_target(method: str, target: str) -> tuple[str, str]:
    """The authority ("" when there is none) and the path with query of a request target."""
    if target[0] == "/":
        authority = ""
    elif method != "CONNECT" and (absolute := _ABSOLUTE(target)):
        authority, target = absolute.groups()
        if target[:1] != "/":
            target = "/" + target
    else:
        raise UpgradeRefused(400, "the request target must be a path")
    if "#" in target:
        raise UpgradeRefused(400, "the request target has a fragment")
    return authority, target


def _decode(text: str, place: str) -> str:
    """Percent-decode `text` as strict UTF-8; `place` names it when that fails."""
    if "%" not in text:
        return text
    if _BAD_ESCAPE(text):
        raise UpgradeRefused(400, f"{place} has a malformed percent escape")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise UpgradeRefused(400, f"{place} is not UTF-8") from None


def parse_query(query: str) -> dict[str, str]:
    """The fields of a query, decoded as HTML forms encode them: `%` escapes of strict UTF-8, `+` for a space.

    A field without `=` has the value "". Raises UpgradeRefused with 400, naming the field, for one that comes
    twice, a malformed escape or what is not UTF-8. Values are never repeated in the text: one may be a token.
    """
    fields: dict[str, str] = {}
    for pair in query.split("&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.replace("+", " ").partition("=")
        place = f"query field {raw_name[:40]!a}"
        name = _decode(raw_name, place)
        if name in fields:
            raise UpgradeRefused(400, f"{place} comes twice")
        fields[name] = _decode(raw_value, place)
    return fields
