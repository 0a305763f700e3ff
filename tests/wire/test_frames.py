import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.errors import WireError
from pushgate.wire.frames import (
    BINARY,
    CLOSE,
    CONT,
    EMPTY_PING,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
    frame_size,
    parse_close,
    read_single,
)
from pushgate.wire.reader import FrameReader
from tests.wire.client import MASK, client_frame


def as_client(frame: bytes) -> bytes:
    """A server's frame with a mask of zeros: what a client would have sent."""
    head = 2 + {126: 2, 127: 8}.get(frame[1], 0)
    return bytes((frame[0], frame[1] | 0x80)) + frame[2:head] + bytes(4) + frame[head:]


@pytest.mark.parametrize(
    ("opcode", "payload", "frame"),
    [
        (TEXT, b"Hello", b"\x81\x05Hello"),
        (PING, b"Hello", b"\x89\x05Hello"),
        (BINARY, bytes(256), b"\x82\x7e\x01\x00" + bytes(256)),
        (BINARY, bytes(65536), b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536)),
        (BINARY, bytes(125), b"\x82\x7d" + bytes(125)),
        (BINARY, bytes(126), b"\x82\x7e\x00\x7e" + bytes(126)),
        (BINARY, bytes(65535), b"\x82\x7e\xff\xff" + bytes(65535)),
        (TEXT, b"", b"\x81\x00"),
        (CONT, b"lo", b"\x80\x02lo"),
    ],
)
def test_encode_frame_like_rfc_section_5_7(opcode: int, payload: bytes, frame: bytes) -> None:
    assert encode_frame(opcode, payload) == frame


def test_empty_ping() -> None:
    assert encode_frame(PING, b"") == EMPTY_PING == b"\x89\x00"


@given(st.sampled_from((BINARY, PING, PONG)), st.binary(max_size=125))
def test_what_is_encoded_is_read(opcode: int, payload: bytes) -> None:
    frame = as_client(encode_frame(opcode, payload))
    assert list(FrameReader(125).feed(frame)) == [(opcode, payload)]


@pytest.mark.parametrize("size", [126, 65535, 65536, 70_000])
def test_what_is_encoded_long_is_read(size: int) -> None:
    frame = as_client(encode_frame(BINARY, b"x" * size))
    assert list(FrameReader(size).feed(frame)) == [(BINARY, b"x" * size)]


def test_encode_close() -> None:
    assert encode_close(1000) == b"\x88\x02\x03\xe8"
    assert encode_close(Close.KICKED, "bye") == b"\x88\x05\x11\x97bye"
    assert encode_close(1005, "never sent") == b"\x88\x00"


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("a" * 123, "a" * 123),
        ("a" * 124, "a" * 123),
        ("ä" * 62, "ä" * 61),
        ("a" * 122 + "ä", "a" * 122),
        ("a" * 120 + "😀", "a" * 120),
        ("a" * 119 + "😀", "a" * 119 + "😀"),
        ("\ud800", "?"),
    ],
)
def test_close_reason_is_cut_between_characters(reason: str, sent: str) -> None:
    frame = encode_close(4000, reason)
    assert frame[1] == len(frame) - 2 <= 125
    assert parse_close(frame[2:]) == (4000, sent)


@given(st.text(max_size=200))
def test_any_close_reason_fits_and_comes_back(reason: str) -> None:
    code, text = parse_close(encode_close(1000, reason)[2:])
    assert code == 1000
    assert reason.startswith(text)


LEGAL = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_parse_close_of_every_code() -> None:
    for code in range(65536):
        if code in LEGAL:
            assert parse_close(code.to_bytes(2, "big")) == (code, "")
        else:
            with pytest.raises(WireError) as refused:
                parse_close(code.to_bytes(2, "big"))
            assert refused.value.close is Close.PROTOCOL_ERROR


def test_parse_close_edges() -> None:
    assert parse_close(b"") == (1005, "")
    assert parse_close(b"\x03\xe8" + "grüße".encode()) == (1000, "grüße")
    with pytest.raises(WireError, match="half") as refused:
        parse_close(b"\x03")
    assert refused.value.close is Close.PROTOCOL_ERROR
    with pytest.raises(WireError, match="UTF-8") as refused:
        parse_close(b"\x03\xe8\xce")
    assert refused.value.close is Close.INVALID_DATA


def single(data: bytes, behind: bytes = b"\xff" * 200) -> tuple[int, bytes] | None:
    """read_single on a receive buffer that holds older bytes behind what was read."""
    return read_single(bytearray(data + behind), len(data))


@pytest.mark.parametrize(
    ("opcode", "payload"),
    [
        (PONG, b""),
        (PING, b""),
        (TEXT, b""),
        (BINARY, b""),
        (PONG, b"1234"),
        (TEXT, b'{"type":"ping"}'),
        (TEXT, b"x" * 125),
        (BINARY, bytes(range(125))),
        (PING, b"\xff" * 125),
    ],
)
def test_single_takes_the_usual_frames(opcode: int, payload: bytes) -> None:
    assert single(client_frame(opcode, payload)) == (opcode, payload)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        b"\x8a\x80",
        b"\x81\x7f\x00\x00\x00",
        b"\x8a\x80\x00\x00\x00",
        client_frame(TEXT, b"Hello")[:-1],
        client_frame(TEXT, b"Hello") + b"\x81",
        client_frame(PONG) * 2,
        client_frame(TEXT, b"Hello", mask=None),
        client_frame(TEXT, b"x" * 126),
        client_frame(TEXT, b"x" * 4, form=2),
        client_frame(BINARY, b"x" * 120, form=2),
        client_frame(BINARY, b"x" * 126, form=2)[:132],
        client_frame(TEXT, b"Hello", fin=False),
        client_frame(TEXT, b"Hello", rsv=4),
        client_frame(CONT, b"Hello"),
        client_frame(CLOSE, b"\x03\xe8"),
        client_frame(3, b"Hello"),
        client_frame(11, b"Hello"),
        client_frame(TEXT, "ä".encode()),
        client_frame(TEXT, b"\xff"),
    ],
)
def test_single_leaves_the_rest_to_the_reader(data: bytes) -> None:
    assert single(data) is None


@given(
    st.builds(
        lambda first, second, rest: bytes((first, second)) + rest,
        st.sampled_from((0x80, 0x81, 0x82, 0x83, 0x88, 0x89, 0x8A, 0x8B, 0x01, 0xC1)) | st.integers(0, 255),
        st.integers(0x7E, 0x8F) | st.integers(0, 255),
        st.binary(min_size=4, max_size=20) | st.binary(min_size=4, max_size=135),
    )
)
def test_single_agrees_with_the_reader(data: bytes) -> None:
    event = single(data)
    if event is not None:
        reader = FrameReader(125)
        assert list(reader.feed(data)) == [event]
        assert reader.idle


@given(
    st.sampled_from((TEXT, BINARY, PING, PONG)),
    st.text(max_size=125).map(lambda text: text.encode()[:125]),
    st.just(MASK) | st.binary(min_size=4, max_size=4),
)
def test_single_takes_every_lawful_small_frame(opcode: int, payload: bytes, mask: bytes) -> None:
    event = single(client_frame(opcode, payload, mask=mask))
    assert event == ((opcode, payload) if opcode != TEXT or payload.isascii() else None)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frame_size_as_soon_as_the_length_is_there(size: int) -> None:
    frame = client_frame(BINARY, b"x" * size)
    known = len(frame) - size - 4  # the head without its mask
    assert [frame_size(frame[:came]) for came in range(known)] == [-1] * known
    assert frame_size(frame[:known]) == frame_size(frame + b"more") == len(frame)
