"""The outcomes know right from wrong."""

import pytest

from tests.hostile.case import Lives, LivesOrTooFast, Outcome, Vanishes, answers, closes, streams
from tests.hostile.received import ALIVE, take_apart

UP = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
WELCOME = b'\x81\x12{"type":"welcome"}'
ERROR = b'\x81\x1e{"type":"error","code":"oops"}'
CLOSED = b"\x88\x02\x03\xea"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
GREETING = b'data: {"type":"welcome"}\n\n'
LAST = b'event: close\ndata: {"code":4500}\n\n'
BAD = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("outcome", "raw", "ended"),
    [
        (answers(200), PAGE, True),
        (answers(400, stays=True), BAD + PAGE, False),
        (answers(202, 400), b"HTTP/1.1 202 Accepted\r\ncontent-length: 1\r\n\r\nx" + BAD, True),
        (closes(1002), UP + WELCOME + CLOSED, True),
        (closes(1009, 1002, errors=("oops",)), UP + WELCOME + ERROR + CLOSED, True),
        (Lives(), UP + WELCOME + ALIVE, False),
        (Lives(("oops",)), UP + WELCOME + ERROR + ALIVE, False),
        (LivesOrTooFast(), UP + WELCOME + ALIVE, False),
        (LivesOrTooFast(), UP + WELCOME + b"\x88\x02\x11\x9a", True),
        (Vanishes(), b"", True),
        (streams(0), STREAM + GREETING, True),
        (streams(4500), STREAM + GREETING + LAST, True),
        (Vanishes((101,)), UP + WELCOME, True),
    ],
)
def test_outcomes(outcome: Outcome, raw: bytes, ended: bool) -> None:
    assert outcome.missed_by(take_apart(raw, ended)) == ""
    assert outcome.missed_by(take_apart(raw, not ended)) != "", "whether it ended makes a difference"
    upgraded = raw.startswith(UP)
    for other in (BAD + raw, raw + (b"\x81" if upgraded else b"x"), UP + WELCOME + CLOSED + CLOSED, UP + CLOSED[:3]):
        assert outcome.missed_by(take_apart(other, ended)) != ""
