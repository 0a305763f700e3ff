"""The PROXY protocol, versions 1 and 2: what a proxy says of its client, ahead of the client's own bytes. No I/O.

As HAProxy's proxy-protocol.txt describes it, whose sections are named below. Who may speak it is not known here.
"""

import re
from typing import NamedTuple

from pushgate.errors import UpgradeRefused
from pushgate.wire.address import V4_IN_V6, parse_address

MAX_LINE = 107
"""The most bytes of a header of version 1 (section 2.1)."""
MAX_BINARY = 4096
"""The most bytes of a header of version 2 here: an address takes 52, and the rest is extras that nobody here reads."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LINE = b"PROXY "
_HEAD = 16
_ENDS = rb"(%b) (%b) ((?:0|[1-9][0-9]{0,4})) ((?:0|[1-9][0-9]{0,4}))"  # two addresses and two ports
_V4 = rb"[0-9.]+"
_V6 = rb"[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*"
_TCP4 = re.compile(b"PROXY TCP4 " + _ENDS % (_V4, _V4)).fullmatch
_TCP6 = re.compile(b"PROXY TCP6 " + _ENDS % (_V6, _V6)).fullmatch
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: .*)?", re.DOTALL).fullmatch
_LOCAL, _PROXIED = 0x20, 0x21  # version 2 and the command
_INET, _INET6, _UNIX = 1, 2, 3
_STREAM, _DATAGRAM = 1, 2
_ADDRESS_SIZE = {_INET: 12, _INET6: 36, _UNIX: 216}


class ProxyHeader(NamedTuple):
    """A whole header: the bytes it takes, and the client's address, 16 bytes with IPv4 mapped into IPv6.

    `source` is None when it names none, as for a health check: then the connection is the proxy's own.
    """

    size: int
    source: bytes | None


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that `data` begins with; None while it is not whole, and then all of `data` belongs to it.

    Raises UpgradeRefused with 400 as soon as it can tell that this is none.
    """
    if _SIGNATURE.startswith(data[:12]):
        return _read_binary(data) if len(data) >= _HEAD else None
    if _LINE.startswith(data[: len(_LINE)]):
        return _read_line(data)
    raise _refuse("expected one, since this address is a trusted proxy's")


def _read_line(data: bytes) -> ProxyHeader | None:
    """Read version 1 (section 2.1)."""
    end = data.find(b"\n", 0, MAX_LINE) + 1
    if not end:
        if len(data) >= MAX_LINE:
            raise _refuse(f"the line has no end within {MAX_LINE} bytes")
        return None
    line = data[:end]
    if not line.endswith(b"\r\n"):
        raise _refuse("the line must end with CR LF")
    line = line[:-2]
    if _UNKNOWN(line):
        return ProxyHeader(end, None)
    found = _TCP4(line) or _TCP6(line)
    if found is None or int(found[3]) > 65535 or int(found[4]) > 65535:
        raise _refuse("the line is malformed")
    try:
        source, _ = (parse_address(text.decode()) for text in found.group(1, 2))
    except ValueError:
        raise _refuse("an address in the line is malformed") from None
    return ProxyHeader(end, source)


def _read_binary(data: bytes) -> ProxyHeader | None:
    """Read version 2 (section 2.2)."""
    command, family, protocol = data[12], data[13] >> 4, data[13] & 15
    length = int.from_bytes(data[14:_HEAD], "big")
    size = _HEAD + length
    if command not in (_LOCAL, _PROXIED):
        raise _refuse("its version or command is unknown")
    if size > MAX_BINARY:
        raise _refuse(f"it is over {MAX_BINARY} bytes")
    if command == _PROXIED:
        if family > _UNIX or protocol > _DATAGRAM:
            raise _refuse("its address family or protocol is unknown")
        if length < _ADDRESS_SIZE.get(family, 0):
            raise _refuse("it is too short for its addresses")
    if len(data) < size:
        return None
    if command == _PROXIED and protocol == _STREAM:
        if family == _INET:
            return ProxyHeader(size, V4_IN_V6 + data[_HEAD : _HEAD + 4])
        if family == _INET6:
            return ProxyHeader(size, data[_HEAD : _HEAD + 16])
    return ProxyHeader(size, None)


def _refuse(reason: str) -> UpgradeRefused:
    return UpgradeRefused(400, f"PROXY protocol header: {reason}", cause="proxy")
