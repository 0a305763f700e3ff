import zlib

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pushgate.rocketmq.messages import (
    MOST,
    decode_messages,
    decode_properties,
    encode_message,
    encode_properties,
    inflate,
)
from tests.rocketmq.layout import stored

TEXT = st.text(st.characters(exclude_characters="\1\2", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_properties_come_back(properties: dict[str, str]) -> None:
    assert decode_properties(encode_properties(properties)[2:]) == properties


@given(
    st.lists(st.tuples(st.binary(max_size=100), st.binary(max_size=50)), max_size=4),
    st.sampled_from([0, 0x10, 0x20, 0x30]),
    st.booleans(),
)
def test_what_a_broker_stored_is_read(parts: list[tuple[bytes, bytes]], flags: int, long_topic: bool) -> None:
    data = b"".join(
        stored(body, properties, offset=number, physical=number * 1000, flags=flags, long_topic=long_topic)
        for number, (body, properties) in enumerate(parts)
    )
    messages = list(decode_messages(data))
    assert [(message.body, message.properties) for message in messages] == parts
    assert [message.offset for message in messages] == list(range(len(parts)))
    assert [message.place for message in messages] == [(number * 1000, 2222) for number in range(len(parts))]


@given(st.binary(max_size=120))
def test_any_bytes_are_messages_or_a_value_error(data: bytes) -> None:
    try:
        list(decode_messages(data))
    except ValueError:
        pass


@given(st.integers(0, 140), st.integers(0, 255))
def test_a_damaged_message_is_read_or_a_value_error(at: int, value: int) -> None:
    data = bytearray(stored(b"body" * 10, b"a\1b\2"))
    data[at % len(data)] = value
    try:
        list(decode_messages(bytes(data)))
    except ValueError:
        pass


def test_a_message_to_send_is_as_the_broker_wants_it() -> None:
    data = encode_message(b"body", encode_properties({"TAGS": "7"}))
    assert data == b"\0\0\0\x21" + b"\0" * 12 + b"\0\0\0\x04body" + b"\0\x07TAGS\x017\x02"


@pytest.mark.parametrize(
    ("flags", "packed"),
    [
        (0x1, zlib.compress(b"text" * 100)),
        (0x301, zlib.compress(b"text" * 100)),
        (0x101, lz4.frame.compress(b"text" * 100)),
        (0x201, zstandard.ZstdCompressor().compress(b"text" * 100)),
        (0x0, b"text" * 100),
    ],
)
def test_bodies_are_inflated(flags: int, packed: bytes) -> None:
    (message,) = decode_messages(stored(packed, flags=flags))
    assert inflate(message) == b"text" * 100


@pytest.mark.parametrize(
    ("flags", "pack"), [(0x301, zlib.compress), (0x101, lz4.frame.compress), (0x201, zstandard.compress)]
)
def test_a_bomb_and_a_broken_body_are_told(flags: int, pack: object) -> None:
    assert callable(pack)
    (bomb,) = decode_messages(stored(pack(bytes(MOST + 1)), flags=flags))
    with pytest.raises(ValueError, match="over"):
        inflate(bomb)
    (broken,) = decode_messages(stored(b"not this", flags=flags))
    with pytest.raises(ValueError, match="broken"):
        inflate(broken)
