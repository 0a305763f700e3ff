"""What must hold for any bytes that come to the lobby: one outcome, in whatever pieces they come."""

from collections.abc import Callable, Iterable
from typing import Any, cast
from unittest.mock import patch

from pushgate.codes import Close
from pushgate.config import ClientsConfig, LimitsConfig
from pushgate.errors import TokenRefused
from pushgate.messages.questions import Acknowledge
from pushgate.metrics.catalogue import LOBBY, REFUSED
from pushgate.metrics.rows import Rows
from pushgate.sessions import lobby
from pushgate.sessions.admission import Admission
from pushgate.sessions.arrival import Arrival, decode_arrival, encode_arrival
from pushgate.sessions.lobby import Lobby
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import AddressCounts
from pushgate.tenants.tokens import Claims

FD = 7
CLIENT = bytes(16)
MAX_CONNECT = 200
"""The largest `connect` here: small, so that the limit is met."""


_counts = AddressCounts(1).worker(0)


class _Poller:
    """A socket that reads pieces and remembers what was written; nothing is parked."""

    def __init__(self) -> None:
        self.buffer = bytearray(65536)
        self.piece = b""
        self.written = b""
        self.ended = False

    def add(self, fd: int, handler: object) -> None: ...

    def release(self, fd: int) -> None: ...

    def read(self, fd: int) -> int:
        self.buffer[: len(self.piece)] = self.piece
        return len(self.piece)

    def write(self, fd: int, data: bytes) -> bool:
        self.written += data
        return True

    def finish(self, fd: int, last: bytes) -> None:
        self.written += last
        self.ended = True

    def close(self, fd: int) -> None:
        self.ended = True

    def is_parked(self, fd: int) -> bool:
        return False


class _Tenants:
    """Knows one token."""

    def check_token(self, token: str) -> Claims:
        if token != "good":
            raise TokenRefused(Close.TOKEN_INVALID, "wrong")
        return Claims("default", "alice", 0, ())


def guests(data: bytes) -> None:
    """A guest that is let in or refused is so in any pieces, with the same answer and all that it sent behind."""
    data = data[:4096]
    whole = _visit([data])
    assert _visit([data[: len(data) // 2], data[len(data) // 2 :]]) == whole
    assert _visit([data[index : index + 1] for index in range(len(data))]) == whole


def _visit(pieces: Iterable[bytes]) -> tuple[Arrival | Acknowledge | None, bytes, bool]:
    """Return who was let in, or what was acknowledged, what was answered, and whether that was the end."""
    poller, arrived, acknowledged = _Poller(), list[Arrival](), list[Acknowledge]()
    config, rows = ClientsConfig(), Rows(1)
    row, terms = rows.row(0), Terms(config, LimitsConfig())
    admission = Admission(terms, _counts, rows, row)
    known = cast(Any, _Tenants())
    room = Lobby(
        cast(Any, poller),
        known,
        terms,
        admission,
        config,
        row,
        lambda _, arrival: arrived.append(arrival),
        lambda _, said, headers: acknowledged.append(said),
    )
    _counts.enter(CLIENT)  # as the door does
    room.admit(FD, CLIENT)
    surplus = b""
    with patch.object(lobby, "MAX_CONNECT", MAX_CONNECT):
        for piece in pieces:
            if arrived:
                surplus += piece
            elif piece and not acknowledged and not poller.ended:
                poller.piece = piece
                room.readable(FD)
    assert row[REFUSED["fault"]] == 0
    assert row[LOBBY] == (not arrived and not acknowledged and not poller.ended)
    if acknowledged:
        return acknowledged[0], poller.written, poller.ended
    if not arrived:
        # What is wrong with a request may show in another place first, so statuses are not compared.
        upgraded = poller.written.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 200 "))
        return None, poller.written if upgraded else poller.written[:9], poller.ended
    arrival = decode_arrival(encode_arrival(arrived[0]))
    arrival.surplus += surplus
    return arrival, poller.written, poller.ended


_HEAD = (
    b"GET /ws%b HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%b\r\n"
)
_ACK = b'{"session":"00f100f100f100f1","offset":47}'
_CONNECT = b'{"type":"connect","token":"good","device":"d"}'

TARGETS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    guests: (
        _HEAD % (b"?token=good", b"") + b"\x81\x85\x00\x00\x00\x00hello",
        _HEAD % (b"", b"") + b"\x89\x80\x00\x00\x00\x00\x81\xae\x00\x00\x00\x00" + _CONNECT + b"\x8a\x80",
        _HEAD % (b"", b"") + b"\x01\x86\x00\x00\x00\x00" + _CONNECT[:6] + b"\x80\xa8\x00\x00\x00\x00" + _CONNECT[6:],
        _HEAD % (b"", b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
        + b"\xc1\xb3\x00\x00\x00\x00\x00\x2e\x00\xd1\xff"
        + _CONNECT,
        _HEAD % (b"", b"") + b"\x81\xfe\x00\xc9\x00\x00\x00\x00" + b" " * 201,
        _HEAD % (b"", b"") + b"\x88\x82\x00\x00\x00\x00\x03\xe8",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /sse?token=good&device=d HTTP/1.1\r\nHost: h\r\nOrigin: http://p\r\nLast-Event-ID: 47\r\n\r\n",
        b"GET /sse?token=bad HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS /ack HTTP/1.1\r\nHost: h\r\nOrigin: http://p\r\n\r\n",
        b"POST /ack?token=good HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(_ACK), _ACK),
    ),
}
