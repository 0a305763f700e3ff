"""The bytes that the generator sends, prepared ahead, and the mark by which it knows its own messages again.

The data of a push is a text, `t=<ns>` and padding: a text survives a server that writes JSON anew, and 19 digits
as a number would be more than JSON carries safely. The time is of the monotonic clock, which all processes of a
machine share and nobody sets.
"""

from pushgate.bench.options import Address
from pushgate.messages.json_codec import encode_push
from pushgate.messages.push import Push
from pushgate.wire.frames import TEXT, encode_frame

MARK = b"t="
"""What stands before the time in a message."""

DIGITS = 19
"""How many digits the time has, always."""

_ID = "b"  # passed through by a live push; short, so that small frames can be had
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
    push = Push("default", None, _ID, _EVENT, 1_700_000_000_000, data)
    return len(encode_frame(TEXT, encode_push(push)))


def upgrade_request(address: Address, token: bytes) -> bytes:
    """The whole request that opens a WebSocket with this token."""
    return (
        b"GET %b?token=%b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ) % (address.path.encode() or b"/", token, address.host.encode())


class PushRequest:
    """A push to one user, or to everyone, as a whole HTTP request in two halves around the time."""

    __slots__ = ("head", "tail")

    def __init__(self, api: Address, api_key: str, user: str | None, padding: int) -> None:
        target = f'"user":"{user}"' if user is not None else '"everyone":true'
        before = f'{{{target},"id":"{_ID}","event":"{_EVENT}","data":"'.encode() + MARK
        self.tail = b"." * padding + b'"}'
        size = len(before) + DIGITS + len(self.tail)
        self.head = (
            f"POST {api.path.rstrip('/')}/v1/push HTTP/1.1\r\nHost: {api.host}\r\nAuthorization: Bearer {api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        ).encode() + before

    def at(self, nanoseconds: int) -> bytes:
        """The request's bytes with this time in its data."""
        return b"%b%019d%b" % (self.head, nanoseconds, self.tail)
