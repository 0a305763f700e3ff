"""What must hold for any bytes that come to `wire`: the exceptions, and that pieces say what the whole says."""

import itertools
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

from pushgate.errors import UpgradeRefused, WireError
from pushgate.sessions.handshake import read_hello
from pushgate.wire.deflate import SMALL_WINDOW, WINDOW, deflate, inflate, negotiate
from pushgate.wire.frames import encode_close, encode_frame, frame_size, parse_close, read_single
from pushgate.wire.reader import FrameReader
from pushgate.wire.request import Request, find_head, parse_query, parse_request
from pushgate.wire.upgrade import check_upgrade, encode_answer, encode_switching

LIMIT = 300
"""The largest message here: small, so that limits are met; `read_single` wants at least 125."""

Said = tuple[list[tuple[int, bytes]], int, bool]


def frames(data: bytes) -> None:
    """Frames, read whole, byte by byte and cut somewhere, are the same events and the same end."""
    deflated, cut, data = data[:1] > b"\x7f", int.from_bytes(data[1:3], "big"), data[3:]
    whole = _read([data], deflated)
    assert _read(_singly(data), deflated) == whole
    assert _read([data[:cut], data[cut:]], deflated) == whole
    single = read_single(bytearray(data + bytes(200)), len(data))
    if single is not None:
        assert whole == ([single], 0, True), "what is read single is what the reader reads"
    for _, payload in whole[0]:
        assert len(payload) <= LIMIT
    size = frame_size(data)
    if len(whole[0]) == 1 and whole[2] and 0 < size <= len(data):
        assert _read([data[:size], data[size:]], deflated) == whole


def _read(pieces: Iterable[bytes], deflated: bool) -> Said:
    """Return the events, the close code of the error that ended them (0: none), and whether the reader is idle."""
    reader = FrameReader(LIMIT, deflated)
    events: list[tuple[int, bytes]] = []
    try:
        for piece in pieces:
            events.extend(reader.feed(piece))
    except WireError as error:
        assert encode_close(error.close, error.reason)
        assert not reader.idle
        return events, error.close.value, False
    return events, 0, reader.idle


def _singly(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def close_frames(data: bytes) -> None:
    """A close frame's payload is refused, or is the one that says the same again."""
    try:
        code, reason = parse_close(data)
    except WireError:
        return
    if len(data) <= 125:
        assert encode_close(code, reason) == encode_frame(8, data)


def compressed(data: bytes) -> None:
    """What is inflated is bounded; what we deflate is inflated to the same, with either window."""
    try:
        assert len(inflate(data, LIMIT)) <= LIMIT
    except WireError:
        pass
    for window in (WINDOW, SMALL_WINDOW):
        assert inflate(deflate(data, window), len(data)) == data


def requests(data: bytes) -> None:
    """A request says the same however it comes, and is an upgrade or refused with one line."""
    outcome = _parse([data])
    cut = len(data) // 2
    assert _parse([data[:cut], data[cut:]]) == outcome
    assert len(data) > 2048 or _parse(_singly(data)) == outcome
    if outcome is None:
        return
    request, end = outcome
    assert data[:end].count(b"\r\n\r\n") == 1
    try:
        upgrade = check_upgrade(request)
        hello = read_hello(request, upgrade, True)
    except UpgradeRefused as refused:
        _check_answer(refused)
        return
    assert encode_switching(upgrade.accept, hello.protocol, hello.extensions).count(b"\r\n\r\n") == 1


def _parse(pieces: Iterable[bytes]) -> tuple[Request, int] | None:
    """Return the request and where it ends; None for one that is refused, with whatever status shows first."""
    buffer, end, seen = b"", -1, 0
    try:
        for piece in pieces:
            buffer += piece
            end = find_head(buffer, seen)
            if end >= 0:
                break
            seen = len(buffer)
        return parse_request(buffer[:end] if end >= 0 else buffer), end
    except UpgradeRefused as refused:
        _check_answer(refused)
        return None


def _check_answer(refused: UpgradeRefused) -> None:
    answer = encode_answer(refused.status, refused.reason, refused.headers)
    assert answer.startswith(b"HTTP/1.1 %d " % refused.status)
    assert answer.count(b"\r\n\r\n") == 1
    assert "\n" not in refused.reason


def queries(data: bytes) -> None:
    """A query is refused, or its fields, encoded again, say the same."""
    try:
        fields = parse_query(data.decode("latin-1"))
    except UpgradeRefused as error:
        assert error.status == 400
        assert error.reason.isascii()
        assert error.reason.isprintable()
        return
    assert parse_query(urlencode(fields)) == fields


def extensions(data: bytes) -> None:
    """An offer of extensions is refused, declined, or answered with a header's value."""
    try:
        agreed = negotiate(data.decode("latin-1"))
    except UpgradeRefused as error:
        assert error.status == 400
        return
    if agreed is not None:
        assert agreed.window in (WINDOW, SMALL_WINDOW)
        assert negotiate(agreed.answer) is not None
        encode_switching("accept", None, agreed.answer)


def upgrades(data: bytes) -> None:
    """The values of a good request's own headers: NUL bytes part token, protocols, extensions, query and agent."""
    values = [part.decode("latin-1") for part in itertools.islice(itertools.chain(data.split(b"\0"), [b""] * 5), 5)]
    names = ("authorization", "sec-websocket-protocol", "sec-websocket-extensions", "", "user-agent")
    headers = {name: value for name, value in zip(names, values, strict=True) if name and value}
    headers |= {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13"}
    headers["sec-websocket-key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    try:
        request = Request("GET", "/ws", values[3], headers, "1.1")
        hello = read_hello(request, check_upgrade(request), True)
    except UpgradeRefused as refused:
        _check_answer(refused)
        return
    assert hello.inbox.device is None or len(hello.inbox.device) <= 64
    assert encode_switching("accept", hello.protocol, hello.extensions)


KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = (
    b"GET /ws?token=a.b.c&device=d&cursor=1&from=now HTTP/1.1\r\n"
    b"Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
)

TARGETS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    frames: (
        b"\x00\x00\x04\x81\x85\x00\x00\x00\x00hello",
        b"\x00\x00\x02\x01\x83\x00\x00\x00\x00hel\x89\x80\x01\x02\x03\x04\x80\x82\x00\x00\x00\x00lo",
        b"\x00\x00\x01\x81\xfe\x00\x80\x00\x00\x00\x00" + "é€🎉".encode() * 20,
        b"\x00\x00\x00\x88\x82\x00\x00\x00\x00\x03\xe8",
        b"\x80\x00\x09\xc1\x87\x00\x00\x00\x00\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x80\x00\x09\x41\x83\x00\x00\x00\x00\xf2\x48\xcd\x80\x84\x00\x00\x00\x00\xc9\xc9\x07\x00",
        b"\x00\x00\x00\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x8a\x80\x00\x00\x00\x00",
    ),
    close_frames: (b"", b"\x03\xe8bye", b"\x0f\xa0", b"\x03"),
    compressed: (
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x00\x05\x00\xfa\xffHello\x00",
        b"\x03\x00",
        b"\xed\xc1\x01\x01\x00",
    ),
    requests: (
        UPGRADE + KEY + b"\r\n",
        UPGRADE + KEY + b"Sec-WebSocket-Protocol: pushgate.v1.json, bearer.a.b.c\r\n\r\n\x81\x80\x00\x00\x00\x00",
        b"GET http://h:80/ws?x HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
    ),
    queries: (b"token=a.b.c&device=x", b"a=%C3%A9+b&b=%2B&=&c", b"a=1&a=2", b"%zz=1"),
    extensions: (
        b"permessage-deflate; client_max_window_bits",
        b'foo, permessage-deflate; server_max_window_bits="1\\0"; client_no_context_takeover',
        b"permessage-deflate;server_max_window_bits=9,permessage-deflate",
    ),
    upgrades: (
        b"Bearer a.b.c\0pushgate.v1.msgpack\0permessage-deflate\0device=a&cursor=9&epoch=e&from=oldest\0curl/8",
        b"\0pushgate.v1.json, bearer.a.b.c",
        b"\0\0\0token=x",
    ),
}
"""Each property, and what fuzzing it begins with."""
