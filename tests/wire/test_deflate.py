import itertools
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.errors import UpgradeRefused, WireError
from pushgate.wire import deflate
from pushgate.wire.deflate import SMALL_WINDOW, WINDOW, WORTHWHILE, deflate_frame, inflate, negotiate
from pushgate.wire.frames import BINARY, CLOSE, CONT, PING, TEXT, encode_frame
from pushgate.wire.reader import FrameReader
from tests.wire.client import client_frame

ALWAYS = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
PMD = "permessage-deflate"
LIMIT = 100_000


def pack(payload: bytes, level: int = 6, window: int = 15, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """A message as a client compresses it, without context takeover."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -window)
    packed = packer.compress(payload) + packer.flush(flush)
    return packed[:-4] if flush == zlib.Z_SYNC_FLUSH else packed + b"\0"


def unpack(packed: bytes, window: int = 15) -> bytes:
    return zlib.decompressobj(-window).decompress(packed + b"\0\0\xff\xff")


# The offer


@pytest.mark.parametrize(
    ("offers", "answer", "window"),
    [
        (PMD, ALWAYS, WINDOW),
        (f"{PMD}; client_max_window_bits", ALWAYS, WINDOW),
        (f"{PMD}; client_max_window_bits=8", ALWAYS, WINDOW),
        (f"{PMD};client_max_window_bits = 15 ; server_no_context_takeover", ALWAYS, WINDOW),
        (f"{PMD}; client_no_context_takeover; server_no_context_takeover", ALWAYS, WINDOW),
        (f"{PMD}; server_max_window_bits=15", f"{ALWAYS}; server_max_window_bits=15", WINDOW),
        (f'{PMD}; server_max_window_bits="15"', f"{ALWAYS}; server_max_window_bits=15", WINDOW),
        (f'{PMD}; server_max_window_bits="\\1\\5"', f"{ALWAYS}; server_max_window_bits=15", WINDOW),
        (f"{PMD}; server_max_window_bits=14", f"{ALWAYS}; server_max_window_bits=9", SMALL_WINDOW),
        (f"{PMD}; server_max_window_bits=9", f"{ALWAYS}; server_max_window_bits=9", SMALL_WINDOW),
        (f"x-webkit-deflate-frame, ,{PMD}", ALWAYS, WINDOW),
        (f'foo; bar="b"; baz=1, {PMD}', ALWAYS, WINDOW),
        (
            f"{PMD}; server_max_window_bits=8, {PMD}; server_max_window_bits=10, {PMD}",
            f"{ALWAYS}; server_max_window_bits=9",
            9,
        ),
        (f"{PMD}; what, {PMD}", ALWAYS, WINDOW),
    ],
)
def test_offers_that_are_accepted(offers: str, answer: str, window: int) -> None:
    assert negotiate(offers) == (window, answer)


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "permessage-bzip2",
        "Permessage-Deflate",
        *(
            f"{PMD}; {parameter}"
            for parameter in (
                "unknown",
                "server_no_context_takeover=1",
                "client_no_context_takeover=true",
                "server_no_context_takeover; server_no_context_takeover",
                "client_max_window_bits; client_max_window_bits=9",
                "server_max_window_bits",
                "server_max_window_bits=8",
                "server_max_window_bits=7",
                "server_max_window_bits=16",
                "server_max_window_bits=09",
                "server_max_window_bits=x",
                "server_max_window_bits=9; server_max_window_bits=9",
                "client_max_window_bits=7",
                "client_max_window_bits=16",
                "client_max_window_bits=010",
                "client_max_window_bits=-8",
            )
        ),
    ],
)
def test_offers_that_are_declined(offer: str) -> None:
    assert negotiate(offer) is None


@pytest.mark.parametrize(
    "header",
    [f"{PMD};", f"{PMD}; =1", f"{PMD}; a=", f'{PMD}; a=""', f'{PMD}; a="b c"', f"{PMD} x", "a/b", f'{PMD}; a="b'],
)
def test_what_is_no_list_of_extensions(header: str) -> None:
    with pytest.raises(UpgradeRefused) as refused:
        negotiate(header)
    assert refused.value.status == 400


@given(st.text(st.sampled_from('perm; ,="\\819\t'), max_size=60) | st.text())
def test_any_header_is_answered(header: str) -> None:
    try:
        negotiate(header)
    except UpgradeRefused:
        pass


def test_long_headers_are_read_in_linear_time() -> None:
    begun = time.perf_counter()
    for header in (f"{PMD}; a=" * 800, "a " * 4000, f"{PMD}" + "; a" * 2500 + " =", " " * 8000 + "a b", ";" * 8000):
        with pytest.raises(UpgradeRefused):
            negotiate(header)
    assert time.perf_counter() - begun < 1


# What goes out


@given(
    st.binary(max_size=3000) | st.binary(max_size=200).map(lambda part: part * 30),
    st.sampled_from((WINDOW, SMALL_WINDOW)),
)
def test_what_goes_out_can_be_inflated_and_is_never_larger(payload: bytes, window: int) -> None:
    frame = encode_frame(BINARY, payload)
    smaller = deflate_frame(frame, window)
    assert len(smaller) <= len(frame)
    if smaller is frame:
        return
    assert len(payload) >= WORTHWHILE
    assert smaller[0] == 0xC2
    head = {126: 4, 127: 10}.get(smaller[1], 2)
    assert unpack(smaller[head:], window) == payload
    assert inflate(smaller[head:], len(payload)) == payload


def test_small_and_random_messages_stay_as_they_are() -> None:
    small = encode_frame(TEXT, b"a" * (WORTHWHILE - 1))
    assert deflate_frame(small, WINDOW) is small
    noise = encode_frame(BINARY, zlib.compress(b"".join(n.to_bytes(4, "big") for n in range(0, 2**31, 999_983)), 9))
    assert deflate_frame(noise, WINDOW) is noise
    assert len(deflate_frame(encode_frame(TEXT, b"a" * WORTHWHILE), WINDOW)) < 30
    assert len(deflate_frame(encode_frame(TEXT, b"a" * 100_000), WINDOW)) < 1000


def test_messages_do_not_refer_to_each_other() -> None:
    first, second = b"0123456789 something said " * 50, b"0123456789 something said " * 40
    alone = deflate.deflate(second, WINDOW)
    deflate.deflate(first, WINDOW)
    assert deflate.deflate(second, WINDOW) == alone


def test_a_failure_leaves_nothing_for_the_next_message() -> None:
    with pytest.raises(TypeError):
        deflate.deflate("no bytes", WINDOW)  # type: ignore[arg-type]
    assert unpack(deflate.deflate(b"next" * 200, WINDOW)) == b"next" * 200


# What comes in


@given(st.binary(max_size=5000), st.sampled_from((0, 1, 6, 9)), st.sampled_from((9, 12, 15)))
def test_whatever_a_client_compresses_is_inflated(payload: bytes, level: int, window: int) -> None:
    assert inflate(pack(payload, level, window), 5000) == payload
    assert inflate(pack(payload, level, window, zlib.Z_FINISH), 5000) == payload


def test_the_rfcs_examples() -> None:
    for packed in ("f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000", "f248050000 00ffffcac9c90700"):
        assert inflate(bytes.fromhex(packed), 5) == b"Hello"
    assert inflate(b"\0", 0) == inflate(b"", 0) == b""


def test_final_blocks_may_be_several_and_share_their_window() -> None:
    first = zlib.compressobj(wbits=-15)
    one = first.compress(b"abcdefgh" * 10) + first.flush()
    second = zlib.compressobj(wbits=-15, zdict=b"abcdefgh" * 10)
    two = second.compress(b"abcdefgh" * 5) + second.flush()
    assert inflate(one + two + b"\0", 1000) == b"abcdefgh" * 15
    with pytest.raises(WireError) as caught:
        inflate(b"\x03\0" * 50_000, 1000)
    assert caught.value.close is Close.INVALID_DATA


@pytest.mark.parametrize(
    "packed", [b"\xff", b"\x07", pack(b"Hello")[:3], pack(b"Hello") + b"\xff\xff", b"\x01\x05\x00\xfa\xffHe"]
)
def test_what_cannot_be_inflated(packed: bytes) -> None:
    with pytest.raises(WireError) as caught:
        inflate(packed, 1000)
    assert caught.value.close is Close.INVALID_DATA


@given(st.binary(max_size=300), st.integers(0, 500))
def test_any_bytes_are_inflated_within_the_limit_or_refused(packed: bytes, limit: int) -> None:
    outcome: Close | int
    try:
        outcome = len(inflate(packed, limit))
    except WireError as error:
        outcome = error.close
    assert outcome in (Close.INVALID_DATA, Close.TOO_BIG) or outcome <= limit


def test_a_bomb_is_not_inflated() -> None:
    bomb = pack(bytes(200 << 20), 9)
    assert len(bomb) < 210_000
    tracemalloc.start()
    with pytest.raises(WireError) as caught:
        inflate(bomb, 64 * 1024)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert caught.value.close is Close.TOO_BIG
    assert len(inflate(pack(bytes(5000)), 5000)) == 5000
    with pytest.raises(WireError):
        inflate(pack(bytes(5001)), 5000)


# Frames


def read(pieces: list[bytes], limit: int = LIMIT) -> tuple[list[tuple[int, bytes]], Close | None]:
    reader = FrameReader(limit, deflate=True)
    events: list[tuple[int, bytes]] = []
    try:
        for piece in pieces:
            events.extend(reader.feed(piece))
    except WireError as error:
        return events, error.close
    return events, None


@given(
    st.lists(st.tuples(st.text(max_size=300), st.booleans()), max_size=4),
    st.integers(1, 60),
    st.lists(st.integers(0, 5000), max_size=8),
)
def test_messages_compressed_or_not_in_any_pieces(said: list[tuple[str, bool]], size: int, cuts: list[int]) -> None:
    stream, expected = b"", []
    for text, packed in said:
        payload = pack(text.encode()) if packed else text.encode()
        parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            stream += client_frame(CONT if index else TEXT, part, fin=last, rsv=4 if packed and not index else 0)
            if not last:
                stream += client_frame(PING, b"?")
                expected.append((PING, b"?"))
        expected.append((TEXT, text.encode()))
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    assert read([stream[left:right] for left, right in itertools.pairwise(edges)]) == (expected, None)


@pytest.mark.parametrize(
    "bad",
    [
        client_frame(PING, b"x", rsv=4),
        client_frame(CLOSE, b"\x03\xe8", rsv=4),
        client_frame(TEXT, pack(b"x"), rsv=6),
        client_frame(TEXT, pack(b"x"), rsv=2),
        client_frame(TEXT, pack(b"x"), rsv=4, fin=False) + client_frame(CONT, b"x", rsv=4),
        client_frame(TEXT, b"x", fin=False) + client_frame(CONT, b"x", rsv=4),
    ],
)
def test_reserved_bits_elsewhere(bad: bytes) -> None:
    assert read([bad]) == ([], Close.PROTOCOL_ERROR)


def test_without_negotiation_nothing_may_be_compressed() -> None:
    with pytest.raises(WireError):
        list(FrameReader(LIMIT).feed(client_frame(TEXT, pack(b"x"), rsv=4)))


def test_compressed_text_must_be_utf8_and_binary_need_not() -> None:
    assert read([client_frame(TEXT, pack(b"\xff"), rsv=4)]) == ([], Close.INVALID_DATA)
    assert read([client_frame(TEXT, pack("é".encode()[:1]), rsv=4)]) == ([], Close.INVALID_DATA)
    assert read([client_frame(BINARY, pack(b"\xff"), rsv=4)]) == ([(BINARY, b"\xff")], None)


def test_the_limit_holds_for_what_is_inflated_and_leaves_room_for_what_grows() -> None:
    noise = zlib.compress(b"".join(n.to_bytes(4, "big") for n in range(0, 2**31, 999_983)), 9)[:4000]
    stored = pack(noise, 0)
    assert len(stored) > len(noise)
    assert read([client_frame(BINARY, stored, rsv=4)], len(noise)) == ([(BINARY, noise)], None)
    assert read([client_frame(BINARY, stored, rsv=4)], len(noise) - 1) == ([], Close.TOO_BIG)
    assert read([client_frame(BINARY, length=10_000, rsv=4)[:14]], 5000) == ([], Close.TOO_BIG)


def test_an_idle_reader_after_a_compressed_message() -> None:
    reader = FrameReader(LIMIT, deflate=True)
    assert list(reader.feed(client_frame(TEXT, pack(b"hi"), rsv=4) + client_frame(TEXT, b"plain"))) == [
        (TEXT, b"hi"),
        (TEXT, b"plain"),
    ]
    assert reader.idle
