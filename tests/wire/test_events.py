"""Events as bytes, read back by a parser of the standard."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.wire.events import COMMENT, encode_end, encode_event, open_stream
from tests.rig.events import Event, Parser

SPACE = st.text(" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spaced_json(draw: st.DrawFn) -> tuple[Any, bytes]:
    """A value, and JSON text of it with line ends wherever JSON has space for them."""
    value = draw(VALUES)

    def say(value: object) -> str:
        before, behind = draw(SPACE), draw(SPACE)
        if isinstance(value, list):
            text = "[" + draw(SPACE) + ",".join(map(say, value)) + "]"
        elif isinstance(value, dict):
            text = "{" + draw(SPACE) + ",".join(f"{say(key)}:{say(inner)}" for key, inner in value.items()) + "}"
        else:
            text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        return before + text + behind

    return value, say(value).encode("utf-8", "surrogatepass")


@given(st.lists(st.tuples(spaced_json(), st.none() | st.integers(0, 2**53)), max_size=5), st.data())
def test_whatever_the_json_each_event_is_one_event_in_any_pieces(
    said: list[tuple[tuple[Any, bytes], int | None]], data: st.DataObject
) -> None:
    stream = b"".join(COMMENT + encode_event(text, offset) for (_, text), offset in said)
    parser, events = Parser(), list[Event]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        events += parser.feed(stream[:size])
        stream = stream[size:]
    assert parser.idle
    assert [json.loads(event.data) for event in events] == [value for (value, _), _ in said]
    assert {event.type for event in events} <= {"message"}
    last = ""
    for event, (_, offset) in zip(events, said, strict=True):
        last = last if offset is None else str(offset)
        assert event.id == last
    assert parser.comments == len(said)
    assert parser.retry is None


@given(st.sampled_from(Close), st.text())
def test_the_end_tells_code_and_reason_whatever_the_reason(code: Close, reason: str) -> None:
    parser = Parser()
    (event,) = parser.feed(encode_end(code, reason))
    assert (event.type, json.loads(event.data)) == ("close", {"code": code, "reason": reason})
    assert parser.retry == (None if code.reconnect else 60_000)
    assert parser.idle


@pytest.mark.parametrize(("after", "retry"), [(0.0, 1000), (0.25, 1250), (2.9996, 4000)])
def test_a_browser_waits_a_second_more_than_it_is_told(after: float, retry: int) -> None:
    parser = Parser()
    parser.feed(encode_event(b"1", retry=after))
    assert parser.retry == retry


def test_the_head_of_a_stream() -> None:
    head = open_stream((("Access-Control-Allow-Origin", "https://a.example"),)).decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert head.endswith("\r\nAccess-Control-Allow-Origin: https://a.example\r\n\r\n")
    for line in ("Content-Type: text/event-stream", "Connection: close", "X-Accel-Buffering: no"):
        assert f"\r\n{line}\r\n" in head
    assert "no-store" in head
    with pytest.raises(ValueError, match="not a header"):
        open_stream((("Vary", "a\r\nb"),))
