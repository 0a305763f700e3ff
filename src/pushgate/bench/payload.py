"""The bytes that the generator sends, prepared ahead, and the mark by which it knows its own messages again.

The data of a push is a text, `t=<ns>` and padding: a text survives a server that writes JSON anew, and 19 digits
as a number would be more than JSON carries safely. The time is of the monotonic clock, which all processes of a
machine share and nobody sets.
"""

import os
from array import array
from collections.abc import Callable, Iterable
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


def frame_of(data: bytes) -> bytes:
    """The frame that a gateway writes for a live push of this data, which is JSON; its time is none."""
    return encode_frame(TEXT, encode_push(Push("default", None, _ID.decode(), _EVENT, 1_700_000_000_000, data)))


def _frame_size(padding: int) -> int:
    return len(frame_of(b'"%b%b%b"' % (MARK, b"0" * DIGITS, b"." * padding)))


def upgrade_request(address: Address, token: bytes, device: str | None = None) -> bytes:
    """The whole request that opens a WebSocket with this token; that of a device, which gets what comes from now on."""
    inbox = b"" if device is None else b"&device=%b&from=now" % device.encode()
    return (
        b"GET %b?token=%b%b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ) % (address.path.encode() or b"/", token, inbox, address.host.encode())


class Upgrades:
    """The requests that open many connections. Their tokens lie end to end: as objects with all that stands around them
    they would be most of the generator's memory."""

    def __init__(
        self, address: Address, users: Iterable[str], sign: Callable[[str], bytes], run: str | None = None
    ) -> None:
        """`sign` returns a user's token. With `run`, which is new for each, every connection is a device, with a name
        of 36 characters."""
        self._address = address
        self._users: list[str] | None = [] if "{user}" in address.path else None
        self._run = run
        self._tokens = bytearray()
        self._ends = array("Q", [0])
        for user in users:
            self._tokens += sign(user)
            self._ends.append(len(self._tokens))
            if self._users is not None:
                self._users.append(user)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def request(self, number: int) -> bytes:
        """Return the request of a connection, by its number from 0."""
        token = bytes(self._tokens[self._ends[number] : self._ends[number + 1]])
        address = self._address if self._users is None else self._address.of(self._users[number])
        return upgrade_request(address, token, None if self._run is None else f"{self._run}-{number:019d}")


EVERYONE = '"everyone":true'
"""The target of a push to everyone."""


def everyone_over(seconds: float) -> str:
    """The target of a push to everyone that is spread over so many seconds."""
    return f'{EVERYONE},"spread":{seconds:g}'


def one_user(name: str) -> str:
    """The target of a push to one user."""
    return f'"user":"{name}"'


def many_users(names: Iterable[str]) -> str:
    """The target of a push to several users."""
    return '"users":[{}]'.format(",".join(f'"{name}"' for name in names))


def unmarked_push(api: Address, api_key: str, target: str, size: int) -> bytes:
    """A push to a target as a whole HTTP request; its messages have `size` bytes of data and no mark: none counts."""
    body = f'{{{target},"id":"{_ID.decode()}","event":"{_EVENT}","data":"{"." * size}"}}'.encode()
    return _head(api, api_key, len(body)) + body


def _head(api: Address, api_key: str, size: int) -> bytes:
    return (
        f"POST {api.path.rstrip('/')}/v1/push HTTP/1.1\r\nHost: {api.host}\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    ).encode()


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
        self.head = _head(api, api_key, size) + before

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
