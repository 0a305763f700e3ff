import itertools
import time
import tracemalloc
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.errors import WireError
from pushgate.wire.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT
from pushgate.wire.reader import FrameReader
from tests.wire.client import client_frame

LIMIT = 100_000
Event = tuple[int, bytes]


def read(pieces: Iterable[bytes], limit: int = LIMIT) -> tuple[list[Event], Close | None]:
    """All events of `pieces`, and the close code they end with when they break the rules."""
    reader = FrameReader(limit)
    events: list[Event] = []
    try:
        for piece in pieces:
            events.extend(reader.feed(piece))
    except WireError as error:
        assert list(reader.feed(client_frame(PING))) == []
        assert not reader.idle
        return events, error.close
    return events, None


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[left:right] for left, right in itertools.pairwise(edges)]


def singly(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def held(reader: FrameReader) -> int:
    """The bytes of payload and head that a reader holds."""
    values = (getattr(reader, name) for name in FrameReader.__slots__ if name != "_mask")
    return sum(len(value) for value in values if isinstance(value, bytes | bytearray))


# Examples of RFC 6455 section 5.7.


def test_masked_hello() -> None:
    assert read([b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"]) == ([(TEXT, b"Hello")], None)


def test_fragmented_hello_with_a_ping_between() -> None:
    data = client_frame(TEXT, b"Hel", fin=False) + client_frame(PING, b"?") + client_frame(CONT, b"lo")
    assert read([data]) == ([(PING, b"?"), (TEXT, b"Hello")], None)
    assert read(singly(data)) == ([(PING, b"?"), (TEXT, b"Hello")], None)


def test_empty_message_and_empty_fragments() -> None:
    assert read([client_frame(TEXT)]) == ([(TEXT, b"")], None)
    parts = client_frame(BINARY, fin=False) + client_frame(CONT, fin=False) + client_frame(CONT)
    assert read([parts]) == ([(BINARY, b"")], None)


def test_any_buffer_is_taken() -> None:
    frame = client_frame(TEXT, b"Hello")
    for data in (frame, bytearray(frame), memoryview(frame), memoryview(b"x" + frame)[1:]):
        assert list(FrameReader(9).feed(data)) == [(TEXT, b"Hello")]


def test_nothing_is_parsed_after_close() -> None:
    data = client_frame(CLOSE, b"\x03\xe8") + client_frame(TEXT, b"late") + b"\xff\xff\xff"
    reader = FrameReader(LIMIT)
    assert list(reader.feed(data)) == [(CLOSE, b"\x03\xe8")]
    assert list(reader.feed(client_frame(TEXT, b"later"))) == []
    assert not reader.idle


def test_idle() -> None:
    reader = FrameReader(LIMIT)
    assert reader.idle
    data = client_frame(TEXT, b"Hel", fin=False) + client_frame(PING, b"?") + client_frame(CONT, b"lo")
    for byte in singly(data)[:-1]:
        list(reader.feed(byte))
        assert not reader.idle
    list(reader.feed(data[-1:]))
    assert reader.idle
    assert held(reader) == 0
    list(reader.feed(b""))
    assert reader.idle


# What must be refused.


@pytest.mark.parametrize(
    "bad",
    [
        client_frame(TEXT, b"x", mask=None),
        client_frame(PING, mask=None),
        *(client_frame(TEXT, b"x", rsv=rsv) for rsv in range(1, 8)),
        *(client_frame(PING, b"x", rsv=rsv) for rsv in range(1, 8)),
        *(client_frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        client_frame(PING, fin=False),
        client_frame(CLOSE, fin=False),
        client_frame(PONG, b"x" * 126),
        client_frame(CLOSE, b"x" * 65536),
        client_frame(CONT, b"x"),
        client_frame(CONT, b"x", fin=False),
        client_frame(TEXT, b"x", fin=False) + client_frame(TEXT, b"y"),
        client_frame(TEXT, b"x", fin=False) + client_frame(BINARY, b"y", fin=False),
        client_frame(TEXT, length=1 << 63, form=8),
        client_frame(TEXT, length=(1 << 64) - 1, form=8),
        client_frame(TEXT, b"x" * 125, form=2),
        client_frame(TEXT, b"x" * 125, form=8),
        client_frame(TEXT, b"x" * 65535, form=8),
        client_frame(TEXT, b"x", form=2),
    ],
)
def test_protocol_errors_after_what_was_good(bad: bytes) -> None:
    good = client_frame(TEXT, b"good") + client_frame(PONG)
    expected = ([(TEXT, b"good"), (PONG, b"")], Close.PROTOCOL_ERROR)
    assert read([good + bad]) == expected
    assert read([good, bad]) == expected
    assert read(singly(good + bad[:200])) == expected


def test_too_big_shows_in_the_announced_length() -> None:
    assert read([client_frame(BINARY, b"x" * 200)], 200) == ([(BINARY, b"x" * 200)], None)
    head = client_frame(BINARY, length=201)[:4]
    assert read([head], 200) == ([], Close.TOO_BIG)
    assert read([client_frame(BINARY, length=(1 << 63) - 1)[:10]]) == ([], Close.TOO_BIG)
    assert read([client_frame(TEXT, length=5)[:2]], 4) == ([], Close.TOO_BIG)


def test_too_big_counts_all_fragments() -> None:
    first = client_frame(TEXT, b"x" * 60, fin=False) + client_frame(PING, b"y" * 125)
    assert read([first + client_frame(CONT, b"x" * 40)], 100)[1] is None
    assert read([first + client_frame(CONT, length=41)[:2]], 100) == ([(PING, b"y" * 125)], Close.TOO_BIG)
    both = client_frame(TEXT, b"x" * 100) * 2
    assert read([both], 100)[1] is None


def test_announced_lengths_take_no_memory() -> None:
    reader = FrameReader(1 << 40)
    tracemalloc.start()
    list(reader.feed(client_frame(BINARY, b"x" * 1000, length=1 << 39)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000
    assert held(reader) < 1100


def test_empty_fragments_leave_nothing_behind() -> None:
    reader = FrameReader(LIMIT)
    list(reader.feed(client_frame(TEXT, b"x", fin=False)))
    before = held(reader)
    flood = client_frame(CONT, fin=False) * 1000
    tracemalloc.start()
    for _ in range(100):
        list(reader.feed(flood))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held(reader) == before
    assert kept < 4096
    assert list(reader.feed(client_frame(CONT))) == [(TEXT, b"x")]


def test_many_tiny_feeds_are_linear() -> None:
    payload = b"0123456789abcdef" * (1 << 15)
    reader = FrameReader(len(payload))
    start = time.process_time()
    events = [event for byte in singly(client_frame(BINARY, payload)) for event in reader.feed(byte)]
    assert events == [(BINARY, payload)]
    # About 1 s; copying what is held at every byte would take 20 s and more.
    assert time.process_time() - start < 8


# UTF-8.


def viable(text: bytes) -> bool:
    """Whether some ending makes `text` UTF-8."""
    for ending in (b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\x90\x80\x80"):
        try:
            (text + ending).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


STARTS = (0x41, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xEE, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF)
EDGES = (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
doubtful = st.lists(st.sampled_from(STARTS + EDGES), max_size=6).map(bytes) | st.binary(max_size=6)


def first_wrong(text: bytes) -> int | None:
    """How many bytes of `text` show that it is not UTF-8."""
    return next((end for end in range(len(text) + 1) if not viable(text[:end])), None)


def test_every_kind_of_character_fails_with_its_first_wrong_byte() -> None:
    for text in map(bytes, itertools.product(STARTS, EDGES, EDGES)):
        shown = first_wrong(text)
        data = client_frame(TEXT, text, fin=False)
        for size in range(4):
            expected = None if shown is None or size < shown else Close.INVALID_DATA
            assert read([data[: 6 + size]]) == read(singly(data[: 6 + size])) == ([], expected), text


@given(st.text(max_size=3), doubtful, st.lists(st.integers(0, 30), max_size=3))
def test_bad_utf8_fails_with_the_first_byte_that_shows_it(good: str, doubt: bytes, cuts: list[int]) -> None:
    text = good.encode() + doubt
    parts = split(text, cuts)
    frames = [client_frame(CONT if index else TEXT, part, fin=False) for index, part in enumerate(parts)]
    shown = first_wrong(text)
    for pieces in (singly(b"".join(frames)), frames):
        events, close = read(pieces)
        assert events == []
        assert close is (None if shown is None else Close.INVALID_DATA)
    if shown is not None:
        whole = client_frame(TEXT, text)
        assert read(singly(whole[: 6 + shown - 1])) == ([], None)
        assert read(singly(whole[: 6 + shown])) == ([], Close.INVALID_DATA)


def test_every_character_cut_short_is_refused_at_the_end() -> None:
    for text in ("ä", "€", "😀"):
        for size in range(1, len(text.encode())):
            part = text.encode()[:size]
            assert read([client_frame(TEXT, part)]) == ([], Close.INVALID_DATA)
            data = client_frame(TEXT, part, fin=False) + client_frame(CONT)
            assert read([data]) == ([], Close.INVALID_DATA)


def test_a_tail_does_not_reach_into_the_next_message() -> None:
    data = client_frame(TEXT, b"\xc3", fin=False) + client_frame(CONT, b"\xa4")
    assert read([data + client_frame(TEXT, b"\xa4")]) == ([(TEXT, b"\xc3\xa4")], Close.INVALID_DATA)
    assert read([client_frame(BINARY, b"\xff\xc3") + client_frame(TEXT, b"x")])[1] is None


# Properties.


class Traffic(NamedTuple):
    data: bytes
    events: list[Event]


masks = st.binary(min_size=4, max_size=4)
long_parts = st.builds(lambda part, count: part * count, st.text(max_size=5), st.integers(1, 300))
texts = (st.text(max_size=12) | long_parts).map(str.encode)
binaries = st.binary(max_size=20) | st.builds(lambda part: part * 321, st.binary(max_size=9))
controls = st.tuples(st.sampled_from((PING, PONG)), st.binary(max_size=6) | st.just(b"x" * 125))


@st.composite
def traffic(draw: st.DrawFn) -> Traffic:
    """Lawful bytes of a client, and what they mean."""
    data, events = b"", []

    def control() -> bytes:
        opcode, payload = draw(controls)
        events.append((opcode, payload))
        return client_frame(opcode, payload, mask=draw(masks))

    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            data += control()
        opcode = draw(st.sampled_from((TEXT, BINARY)))
        payload = draw(texts if opcode == TEXT else binaries)
        parts = split(payload, draw(st.lists(st.integers(0, 2000), max_size=3)))
        for index, part in enumerate(parts):
            if index and draw(st.booleans()):
                data += control()
            kind = CONT if index else opcode
            data += client_frame(kind, part, fin=index == len(parts) - 1, mask=draw(masks))
        events.append((opcode, payload))
    if draw(st.booleans()):
        events.append((CLOSE, b"\x03\xe8bye"))
        data += client_frame(CLOSE, b"\x03\xe8bye") + draw(st.binary(max_size=5))
    return Traffic(data, events)


cuttings = st.lists(st.integers(0, 10_000), max_size=12)


@given(traffic(), cuttings)
def test_any_cutting_gives_the_same_events(sent: Traffic, cuts: list[int]) -> None:
    assert read([sent.data]) == (sent.events, None)
    assert read(split(sent.data, cuts)) == (sent.events, None)
    if len(sent.data) < 2000:
        assert read(singly(sent.data)) == (sent.events, None)


# Heads that are often lawful, so that arbitrary bytes get past the first check.
frames = st.builds(
    lambda first, second, rest: bytes((first, second)) + rest,
    st.sampled_from((0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A)) | st.integers(0, 255),
    st.integers(0x80, 0x86) | st.integers(0, 255),
    st.binary(min_size=4, max_size=10),
)
junk = st.lists(frames | st.binary(max_size=30), max_size=8).map(b"".join)


@given(junk, cuttings, st.integers(0, 100))
def test_arbitrary_bytes_only_raise_wire_errors(data: bytes, cuts: list[int], limit: int) -> None:
    whole = read([data], limit)
    assert read(split(data, cuts), limit) == whole
    assert read(singly(data), limit) == whole


@given(junk)
def test_no_more_is_held_than_was_fed(data: bytes) -> None:
    reader = FrameReader(LIMIT)
    try:
        for fed, byte in enumerate(singly(data), 1):
            list(reader.feed(byte))
            assert held(reader) <= fed
    except WireError:
        pass


@given(traffic(), st.integers(0, 10_000), st.integers(0, 255), cuttings)
def test_a_changed_byte_reads_the_same_however_it_is_cut(
    sent: Traffic, place: int, value: int, cuts: list[int]
) -> None:
    data = bytearray(sent.data)
    if data:
        data[place % len(data)] = value
    assert read(split(bytes(data), cuts)) == read([bytes(data)])


# How many frames may begin is the caller's to say.


def test_no_more_frames_than_are_allowed_and_what_came_before_is_good() -> None:
    data = client_frame(TEXT, b"a") + client_frame(PING, b"?") + client_frame(BINARY, b"b")
    reader = FrameReader(LIMIT)
    reader.allowance = 2
    events: list[Event] = []
    with pytest.raises(WireError) as refused:
        events.extend(reader.feed(data))
    assert refused.value.close == Close.TOO_FAST
    assert events == [(TEXT, b"a"), (PING, b"?")]


def test_fragments_are_frames_and_a_frame_counts_where_it_begins() -> None:
    data = client_frame(TEXT, b"ab", fin=False) + client_frame(PING) + client_frame(CONT, b"c")
    for pieces in ([data], singly(data)):
        reader = FrameReader(LIMIT)
        reader.allowance = 3
        events = [event for piece in pieces for event in reader.feed(piece)]
        assert events == [(PING, b""), (TEXT, b"abc")]
        assert reader.allowance == 0
        with pytest.raises(WireError):
            list(reader.feed(client_frame(PING)))
