"""The bytes that the generator sends, prepared ahead, and the mark by which it knows its own messages again.

The data of a push is a text, `t=<ns>` and padding: a text survives a server that writes JSON anew, and 19 digits
as a number would be more than JSON carries safely. The time is of the monotonic clock, which all processes of a
machine share and nobody sets.
"""

import os
from collections.abc import Iterable
from itertools import count

from pushgate.bench.options import Address
from pushgate.messages.json_codec import encode_push
from pushgate.messages.push import Push
from pushgate.wire.frames import TEXT, encode_frame

MARK = b"t="
"""What stands before the time in a message."""

DIGITS = 19
"""How many digits the time has, always."""

_ID = b"b"  # passed through by a live push; short, so that small frames can be had
_ID_SIZE = 12
_EVENT = "bench"


def smallest_frame() -> int:
    """The size in bytes of the smallest WebSocket frame that a bench can ask for."""
    return _frame_size(0)


def padding_for(size: int) -> int:
    """How many bytes of padding make a WebSocket frame of `size` bytes in all; 0 when that is too small."""
    padding = max(0, size - smallest_frame())
    # A longer frame may have a longer head.
    return max(0, padding - max(0, _frame_size(padding) - size))


def _frame_size(padding: int) -> int:
    data = b'"%b%b%b"' % (MARK, b"0" * DIGITS, b"." * padding)
    push = Push("default", None, _ID.decode(), _EVENT, 1_700_000_000_000, data)
    return len(encode_frame(TEXT, encode_push(push)))


def upgrade_request(address: Address, token: bytes, device: str | None = None) -> bytes:
    """The whole request that opens a WebSocket with this token; that of a device, which gets what comes from now on."""
    inbox = b"" if device is None else b"&device=%b&from=now" % device.encode()
    return (
        b"GET %b?token=%b%b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ) % (address.path.encode() or b"/", token, inbox, address.host.encode())


EVERYONE = '"everyone":true'
"""The target of a push to everyone."""


def everyone_over(seconds: float) -> str:
    """The target of a push to everyone that is spread over so many seconds."""
    return f'{EVERYONE},"spread":{seconds:g}'


def one_user(name: str) -> str:
    """The target of a push to one user."""
    return f'"user":"{name}"'


def many_users(numbers: Iterable[int]) -> str:
    """The target of a push to the users of these numbers."""
    return '"users":[{}]'.format(",".join(f'"u{number}"' for number in numbers))


class PushRequest:
    """A push as a whole HTTP request, in pieces around its id, if it has one of its own, and the time."""

    __slots__ = ("head", "middle", "tail")

    def __init__(self, api: Address, api_key: str, target: str, padding: int, reliable: bool = False) -> None:
        """A push to a target (`one_user` and the like); a reliable one is sent with an id, of `Ids`."""
        qos = ',"qos":"reliable","ttl":600' if reliable else ""
        before = f'{{{target}{qos},"id":"'.encode()
        self.middle = (b"" if reliable else _ID) + f'","event":"{_EVENT}","data":"'.encode() + MARK
        self.tail = b"." * padding + b'"}'
        size = len(before) + (_ID_SIZE if reliable else 0) + len(self.middle) + DIGITS + len(self.tail)
        self.head = (
            f"POST {api.path.rstrip('/')}/v1/push HTTP/1.1\r\nHost: {api.host}\r\nAuthorization: Bearer {api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        ).encode() + before

    def at(self, nanoseconds: int, own_id: bytes = b"") -> bytes:
        """The request's bytes with this time in its data; a reliable one has an id of its own."""
        return b"%b%b%b%019d%b" % (self.head, own_id, self.middle, nanoseconds, self.tail)


class BareRequest(PushRequest):
    """A push to any other server: a POST to the user's own address, whose body is what the clients get."""

    __slots__ = ()

    def __init__(self, address: Address, size: int) -> None:
        """`size`: bytes of the whole frame in which it comes."""
        payload = max(len(MARK) + DIGITS, size - (2 if size < 128 else 4))
        self.head = (
            f"POST {address.path or '/'} HTTP/1.1\r\nHost: {address.host}\r\nContent-Length: {payload}\r\n\r\n"
        ).encode()
        self.middle = MARK
        self.tail = b"." * (payload - len(MARK) - DIGITS)


class Ids:
    """Ids of reliable pushes, each new: a gateway takes an id once."""

    def __init__(self) -> None:
        self._run = os.urandom(3).hex().encode()
        self._numbers = count()

    def fresh(self) -> bytes:
        """Return the next."""
        return b"%b%06x" % (self._run, next(self._numbers) & 0xFFFFFF)
