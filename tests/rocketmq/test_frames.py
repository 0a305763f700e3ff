import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.rocketmq.frames import MOST, Command, FrameReader, decode, encode, texts

COMMANDS = st.builds(
    Command,
    code=st.integers(0, 2**31 - 1),
    opaque=st.integers(0, 2**31 - 1),
    flag=st.integers(0, 3),
    fields=st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4),
    remark=st.none() | st.text(max_size=20),
    body=st.binary(max_size=200),
)


@given(st.lists(COMMANDS, max_size=5), st.integers(1, 64))
def test_commands_come_out_as_they_went_in_however_the_bytes_are_cut(commands: list[Command], cut: int) -> None:
    data = b"".join(map(encode, commands))
    reader = FrameReader()
    received = [command for at in range(0, len(data), cut) for command in reader.feed(data[at : at + cut])]
    assert received == commands


@given(st.binary(max_size=64))
def test_any_bytes_are_a_command_or_a_value_error(data: bytes) -> None:
    try:
        decode(data)
    except ValueError:
        pass


def test_a_header_is_what_rocketmq_reads() -> None:
    frame = encode(Command(105, 7, fields={"topic": "t"}, body=b"body"))
    header = frame[8:-4]
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frame[4] == 0, "a header in JSON"
    assert int.from_bytes(frame[5:8], "big") == len(header)
    assert b'"extFields":{"topic":"t"}' in header
    assert b'"language":"OTHER"' in header


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "a header's length"),
        (b"\x01\0\0\0", "form 1"),
        (b"\0\0\0\x09{}", "a header of 9 bytes, got 2"),
        (b"\0\0\0\x02[]", "not a header"),
    ],
)
def test_what_is_no_frame_is_told(frame: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(frame)


def test_a_frame_over_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(ValueError, match="at most"):
        list(FrameReader().feed((MOST + 1).to_bytes(4, "big")))


def test_fields_are_texts_and_missing_ones_are_left_out() -> None:
    assert texts({"a": 1, "b": True, "c": "x", "d": None}) == {"a": "1", "b": "true", "c": "x"}


def test_a_number_that_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="offset"):
        Command(0).number("offset")
