"""Server-Sent Events (HTML standard, section 9.2): a stream's head, its events and comments, and its end, as bytes."""

import json

from pushgate.codes import Close
from pushgate.wire.upgrade import Headers, encode_head

COMMENT = b":\n\n"
"""A comment, which clients skip: the heartbeat."""
SETTLE_MS = 1000
"""What a browser waits beyond what it was told: by `retry` it also goes on when nobody is there yet."""
GIVE_UP_MS = 60_000
"""What a browser waits behind a close code that says not to come back, where no script ends its EventSource."""

# In JSON text a line end is nothing but space between two tokens: within strings it is escaped.
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def open_stream(headers: Headers = ()) -> bytes:
    """The head of the answer, with these headers beside its own; events follow until the connection ends."""
    own = (
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store, no-transform"),
        ("X-Accel-Buffering", "no"),
        ("Connection", "close"),
    )
    return encode_head(200, (*own, *headers))


def encode_event(payload: bytes, offset: int | None = None, retry: float | None = None) -> bytes:
    """One event of JSON text. `offset` becomes its `id`, which a browser that comes back sends as `Last-Event-ID`;
    `retry` is after how many seconds it is to come back when the stream ends, rather than after its own default."""
    number = b"" if offset is None else b"id: %d\n" % offset
    pause = b"" if retry is None else b"retry: %d\n" % (SETTLE_MS + round(retry * 1000))
    return b"%b%bdata: %b\n\n" % (number, pause, payload.translate(_ONE_LINE))


def encode_end(code: Close, reason: str = "") -> bytes:
    """The last event, `close`: what a close frame says on a WebSocket."""
    pause = b"" if code.reconnect else b"retry: %d\n" % GIVE_UP_MS
    said = json.dumps({"code": code.value, "reason": reason}).encode()
    return b"event: close\n%bdata: %b\n\n" % (pause, said)
