import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.messages import json_codec
from pushgate.messages.client import Ack, Connect, Error, Limits, Ping, Pong, Reconnect, Refresh, Welcome
from pushgate.messages.push import Push

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values, st.text(min_size=1))
def test_a_push_becomes_a_message_with_the_same_value(value: Any, event: str) -> None:
    push = Push("t", ["u"], "id", event, 7, json.dumps(value).encode())
    assert json.loads(json_codec.encode_push(push)) == {
        "type": "message",
        "id": "id",
        "event": event,
        "data": value,
        "time": 7,
    }


def test_what_the_server_says() -> None:
    assert json_codec.encode(Pong()) == b'{"type":"pong"}'
    assert json_codec.encode(Reconnect(after=1.5)) == b'{"type":"reconnect","after":1.5}'
    assert json_codec.encode(Error("code", "text", UNSET)) == b'{"type":"error","code":"code","message":"text"}'
    welcome = Welcome(session="s", user="u", tenant="t", ping=25.0, limits=Limits(9), device="d")
    assert json.loads(json_codec.encode(welcome)) == {
        "type": "welcome",
        "session": "s",
        "user": "u",
        "tenant": "t",
        "ping": 25.0,
        "limits": {"message": 9},
        "device": "d",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"type":"ping"}', Ping()),
        (b'{"type":"ping","more":[1]}', Ping()),
        (b'{"offset":5,"type":"ack"}', Ack(5)),
        (b'{"type":"refresh","token":"x"}', Refresh("x")),
        (b'{"type":"connect","token":"x","from":"now"}', Connect("x", from_="now")),
    ],
)
def test_what_a_client_says(text: bytes, message: object) -> None:
    assert json_codec.decode(text) == message


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"nope", b'{"type":"ping"', b'{"a":1}x', b"\xff", b"[" * 9999])
def test_what_is_no_object_is_fatal(text: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        json_codec.decode(text)
    assert caught.value.close is Close.BAD_MESSAGE


def test_a_value_that_looks_like_a_path_is_a_value() -> None:
    with pytest.raises(MessageError) as caught:
        json_codec.decode(b'{"type":"x - at `$.token`"}')
    assert (caught.value.code, caught.value.field) == ("unknown_type", "type")


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_nothing_raises_anything_else(text: bytes) -> None:
    try:
        json_codec.decode(text)
    except MessageError:
        pass
