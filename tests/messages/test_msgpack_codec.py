import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.messages import msgpack_codec
from pushgate.messages.client import Ack, Connect, Error, Limits, Ping, Pong, Refresh, Welcome
from pushgate.messages.push import Push
from tests.messages.test_json_codec import values

pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


@given(values, st.text(min_size=1))
def test_a_push_becomes_a_message_with_the_same_value(value: Any, event: str) -> None:
    push = Push("t", ["u"], "id", event, 7, json.dumps(value).encode())
    message = unpack(msgpack_codec.encode_push(push))
    assert message == {"type": "message", "id": "id", "event": event, "data": value, "time": 7}
    assert repr(message["data"]) == repr(json.loads(json.dumps(value))), "1.0 stays 1.0"


@given(st.binary())
def test_bytes_are_bin(data: bytes) -> None:
    message = unpack(msgpack_codec.encode_push(Push("t", ["u"], "id", "e", 7, data, binary=True)))
    assert message == {"type": "message", "id": "id", "event": "e", "data": data, "time": 7}


def test_what_the_server_says() -> None:
    assert unpack(msgpack_codec.encode(Pong())) == {"type": "pong"}
    assert unpack(msgpack_codec.encode(Error("c", "t", UNSET))) == {"type": "error", "code": "c", "message": "t"}
    welcome = Welcome(session="s", user="u", tenant="t", ping=25.0, limits=Limits(9))
    assert unpack(msgpack_codec.encode(welcome)) == {
        "type": "welcome",
        "session": "s",
        "user": "u",
        "tenant": "t",
        "ping": 25.0,
        "limits": {"message": 9},
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"type": "ping"}, Ping()),
        ({"type": "ping", "more": [b"1", {"a": 1.5}]}, Ping()),
        ({"offset": 5, "type": "ack"}, Ack(5)),
        ({"type": "refresh", "token": "x"}, Refresh("x")),
        ({"type": "connect", "token": "x", "from": "now"}, Connect("x", from_="now")),
    ],
)
def test_what_a_client_says(said: dict[str, Any], message: object) -> None:
    assert msgpack_codec.decode(pack(said)) == message


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        (pack({"type": "nonsense"}), "unknown_type", "type"),
        (pack({"type": 7}), "bad_field", "type"),
        (pack({"type": b"ping"}), "bad_field", "type"),
        (pack({}), "bad_field", "type"),
        (pack({1: 2}), "bad_field", None),
        (pack({"type": "ack", "offset": "7"}), "bad_field", "offset"),
        (pack({"type": "ack", "offset": 7.5}), "bad_field", "offset"),
        (pack({"type": "ack"}), "bad_field", "offset"),
        (pack({"type": "refresh", "token": b"x"}), "bad_field", "token"),
        (b"\x82\xa4type\xa7refresh\xa5token\xa1\xff", "bad_field", None),
        (b"\xde\x00\x00", "bad_field", "type"),
        (b"\xdf\x00\x00\x00\x00", "bad_field", "type"),
    ],
)
def test_a_wrong_map_is_told(said: bytes, code: str, field: str | None) -> None:
    with pytest.raises(MessageError) as caught:
        msgpack_codec.decode(said)
    assert (caught.value.code, caught.value.field, caught.value.close) == (code, field, None)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x90",
        b"\x07",
        b"\xc1",
        b"\xa4ping",
        b"\xc4\x01x",
        b"\x81",
        b"\x80\x80",
        b'{"type":"ping"}',
        b"\x91" * 9999,
        b"\x81\xa1a" * 5000 + b"\xc0",
        b"\xdf\xff\xff\xff\xff",
        pack({"type": "ping"})[:-1],
    ],
    ids=lambda said: said[:8].hex(),
)
def test_what_is_no_map_is_fatal(said: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        msgpack_codec.decode(said)
    assert caught.value.close is Close.BAD_MESSAGE


@given(
    st.binary() | values.map(pack) | st.dictionaries(st.text() | st.integers(-100, 100) | st.binary(), values).map(pack)
)
def test_nothing_raises_anything_else(said: bytes) -> None:
    try:
        msgpack_codec.decode(said)
    except MessageError:
        pass
