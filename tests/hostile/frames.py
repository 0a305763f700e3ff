"""Frames against RFC 6455 and RFC 7692, lying lengths, fragments and floods: on sessions, and before `connect`."""

import json
import random

from tests.hostile.case import (
    END,
    PAUSE,
    RESET,
    WELCOMED,
    Case,
    Lives,
    LivesOrTooFast,
    Outcome,
    Piece,
    Vanishes,
    closes,
    dribbled,
)
from tests.hostile.http import CLIENT_HELLO, PREFACE, WEBSOCKET, get, lines, upgrade
from tests.hostile.keys import token
from tests.rig.client import BINARY, CLOSE, PING, PONG, TEXT, deflate, mask_frame

CONT = 0
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
APP_PING = b'{"type":"ping"}'
MASK = bytes(4)


def raw(first: int, second: int, rest: bytes = b"") -> bytes:
    """A frame head of these two bytes, what follows, and no payload of its own."""
    return bytes((first, second)) + rest


def closing(code: int, reason: bytes = b"") -> bytes:
    return mask_frame(CLOSE, code.to_bytes(2, "big") + reason)


def on_session(outcome: Outcome, *headers: str, **sent: bytes | tuple[Piece, ...]) -> list[Case]:
    """Return, for each name, a case of frames after `welcome`.

    Every second one comes in one piece with its request: from the lobby it goes along to the session's owner.
    """
    found = []
    for number, (name, data) in enumerate(sent.items()):
        head = upgrade(*headers)
        pieces: tuple[Piece, ...]
        if isinstance(data, tuple):
            pieces = (head, WELCOMED, *data)
        elif number % 2:
            pieces = (head + data,)
        else:
            pieces = (head, WELCOMED, data)
        found.append(Case(name.replace("_", " "), pieces, outcome))
    return found


def in_lobby(outcome: Outcome, *headers: str, **sent: bytes | tuple[Piece, ...]) -> list[Case]:
    """Return, for each name, a case of frames on a connection that still owes its `connect`."""
    request = lines("GET /ws HTTP/1.1", "Host: h", *WEBSOCKET, *headers)
    return [
        Case(
            f"lobby: {name.replace('_', ' ')}",
            (request + data,) if isinstance(data, bytes) else (request, *data),
            outcome,
        )
        for name, data in sent.items()
    ]


def connect(**fields: object) -> bytes:
    """A good `connect` message of a fresh user, with more fields."""
    return json.dumps({"type": "connect", "token": token(), **fields}).encode()


PROTOCOL_ERRORS = on_session(
    closes(1002),
    rsv1=mask_frame(TEXT, APP_PING, rsv1=True),
    rsv2=raw(0xA1, 0x80, MASK),
    rsv3=raw(0x91, 0x80, MASK),
    rsv_all=raw(0xF1, 0x80, MASK),
    **{f"opcode_{opcode}": raw(0x80 | opcode, 0x80, MASK) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    not_masked=raw(0x81, 0x0F, APP_PING),
    ping_not_masked=raw(0x89, 0),
    close_not_masked=raw(0x88, 2, b"\x03\xe8"),
    ping_of_126=mask_frame(PING, b"p" * 126),
    ping_of_64_kib=mask_frame(PING, b"p" * 65536),
    pong_in_long_form=raw(0x8A, 0xFE, b"\x00\x05"),
    close_of_126=mask_frame(CLOSE, b"\x03\xe8" + b"r" * 124),
    ping_fragment=mask_frame(PING, b"p", fin=False),
    close_fragment=mask_frame(CLOSE, b"\x03\xe8", fin=False),
    length_126_for_5=raw(0x81, 0xFE, b"\x00\x05" + MASK + b"hello"),
    length_127_for_126=raw(0x81, 0xFF, (126).to_bytes(8, "big") + MASK),
    length_with_top_bit=raw(0x81, 0xFF, b"\xff" * 8 + MASK),
    length_2_63=raw(0x82, 0xFF, (1 << 63).to_bytes(8, "big")),
    continuation_of_nothing=mask_frame(CONT, b"x"),
    continuation_behind_a_whole_message=mask_frame(TEXT, APP_PING) + mask_frame(CONT),
    text_within_a_message=mask_frame(TEXT, b"{", fin=False) + mask_frame(TEXT, b"}"),
    binary_within_a_text=mask_frame(TEXT, b"{", fin=False) + mask_frame(BINARY, b"}"),
    half_a_close_code=mask_frame(CLOSE, b"\x03"),
    **{f"close_code_{code}": closing(code) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)},
    http_request=get(),
    http_2=PREFACE,
    tls=CLIENT_HELLO,
    zeros=bytes(4096),
    noise=b"\xff" + random.Random(7).randbytes(65536),
)
DEFLATE_ERRORS = on_session(
    closes(1002),
    DEFLATE,
    compressed_ping=raw(0xC9, 0x80, MASK),
    compressed_close=raw(0xC8, 0x80, MASK),
    compressed_continuation=mask_frame(TEXT, b"\x00", fin=False, rsv1=True) + raw(0xC0, 0x80, MASK),
    rsv2_beside_rsv1=raw(0xE1, 0x80, MASK),
    compressed_and_not_masked=raw(0xC1, 0x01, b"\x00"),
)
TOO_BIG = on_session(
    closes(1009),
    one_byte_over=mask_frame(TEXT, b" " * 65537),
    announced_4_gib=raw(0x82, 0xFF, (1 << 32).to_bytes(8, "big") + MASK),
    announced_2_63_less_one=raw(0x81, 0xFF, b"\x7f" + b"\xff" * 7 + MASK),
    announced_and_sent=raw(0x82, 0xFF, (1 << 24).to_bytes(8, "big") + MASK) + bytes(1 << 20),
    fragments_over=mask_frame(TEXT, b" " * 40_000, fin=False) + mask_frame(CONT, b" " * 40_000, fin=False),
)
NOT_UTF8 = on_session(
    closes(1007),
    stray_byte=mask_frame(TEXT, b"\xff"),
    overlong_slash=mask_frame(TEXT, b'{"type":"\xc0\xaf"}'),
    surrogate=mask_frame(TEXT, b"\xed\xa0\x80"),
    beyond_unicode=mask_frame(TEXT, b"\xf4\x90\x80\x80"),
    cut_character=mask_frame(TEXT, "é".encode()[:1]),
    cut_between_fragments=mask_frame(TEXT, b"\xe2\x82", fin=False) + mask_frame(CONT, b"{}"),
    at_the_end_of_64_kib=mask_frame(TEXT, b" " * 65535 + b"\x80"),
    found_before_the_message_ends=mask_frame(TEXT, b"\xfe", fin=False),
    close_reason=closing(1000, b"\xff"),
)
FLOODS = (
    on_session(
        LivesOrTooFast(pongs=1),
        empty_fragments_by_the_hundred_thousand=mask_frame(TEXT, b"", fin=False)
        + mask_frame(CONT, b"", fin=False) * 100_000
        + mask_frame(CONT, APP_PING),
        fragments_of_one_byte=mask_frame(TEXT, b"{", fin=False)
        + b"".join(mask_frame(CONT, bytes([byte]), fin=False) for byte in b' "type":' + b" " * 30_000)
        + mask_frame(CONT, b'"ping"}'),
        pings_between_fragments=mask_frame(TEXT, b"", fin=False)
        + (mask_frame(PING) + mask_frame(CONT, b" ", fin=False)) * 2_000
        + mask_frame(CONT, APP_PING),
    )
    + on_session(
        LivesOrTooFast(),
        pongs_by_the_hundred_thousand=mask_frame(PONG) * 100_000,
        pings_by_the_ten_thousand=mask_frame(PING, b"p" * 20) * 10_000,
    )
    + on_session(
        closes(1009, 4506),
        fragments_of_one_byte_over_the_limit=mask_frame(BINARY, b"", fin=False)
        + mask_frame(CONT, b"x", fin=False) * 100_000,
    )
)
ENDS = (
    on_session(
        closes(1000),
        close=closing(1000),
        close_then_garbage=closing(1000) + b"\xff" * 100_000,
        close_then_messages=closing(1000) + mask_frame(TEXT, b"[]") * 1000,
        close_and_end=(closing(1000), END),
        close_with_the_longest_reason=closing(1000, b"r" * 123),
    )
    + on_session(closes(1005), close_without_code=mask_frame(CLOSE))
    + on_session(closes(4502), close_with_a_code_of_ours=closing(4502))
    + on_session(
        Vanishes((101,)),
        length_that_lies_and_end=(mask_frame(TEXT, b"x" * 100)[:50], PAUSE, END),
        head_and_end=(b"\x81\xfe\xff", PAUSE, END),
        message_unfinished_and_end=(mask_frame(TEXT, b"{", fin=False), PAUSE, END),
    )
    + on_session(
        Vanishes(),
        length_that_lies_and_reset=(mask_frame(TEXT, b"x" * 60_000)[:50_000], PAUSE, RESET),
        ping_and_reset=(mask_frame(PING) * 100, RESET),
    )
)
ALIVE = on_session(
    Lives(pongs=1),
    dribbled=dribbled(mask_frame(TEXT, APP_PING)),
    message_of_just_64_kib=mask_frame(TEXT, APP_PING + b" " * (65536 - len(APP_PING))),
    cut_within_a_character=mask_frame(TEXT, b'{"type":"ping","\xc3', fin=False) + mask_frame(CONT, b'\xa9":1}'),
    close_code_within_a_ping=mask_frame(PING, b"\x03\xe8") + mask_frame(TEXT, APP_PING),
)
LOBBY = (
    in_lobby(
        closes(1002),
        rsv1=mask_frame(TEXT, connect(), rsv1=True),
        not_masked=raw(0x81, 0x02, b"{}"),
        opcode_3=raw(0x83, 0x80, MASK),
        continuation=mask_frame(CONT, connect()),
        http_request=get() + bytes(200),
    )
    + in_lobby(
        closes(1009),
        connect_of_17_000_bytes=mask_frame(TEXT, connect(x="x" * 17_000)),
        connect_of_1_tib=raw(0x81, 0xFF, (1 << 40).to_bytes(8, "big") + MASK),
        fragments_over=mask_frame(TEXT, b" " * 9_000, fin=False) + mask_frame(CONT, b" " * 9_000),
    )
    + in_lobby(
        closes(1009),
        DEFLATE,
        bomb=mask_frame(TEXT, deflate(bytes(10 << 20)), rsv1=True),
        compressed_larger_than_it_may_be=mask_frame(TEXT, b"\x81" * 17_500, rsv1=True),
    )
    + in_lobby(closes(1007), not_utf8=mask_frame(TEXT, b"\xff"))
    + in_lobby(closes(1007), DEFLATE, no_deflate=mask_frame(TEXT, b"\xff" * 20, rsv1=True))
    + in_lobby(
        closes(4500),
        ping_message=mask_frame(TEXT, APP_PING),
        empty_token=mask_frame(TEXT, b'{"type":"connect","token":""}'),
        token_of_8193=mask_frame(TEXT, connect(token="a" * 8193)),
        token_of_high_letters=mask_frame(TEXT, connect(token="é" * 100)),
        token_that_is_none=mask_frame(TEXT, connect(token=None)),
        binary=mask_frame(BINARY, connect()),
    )
    + in_lobby(
        closes(4505),
        list=mask_frame(TEXT, b"[]"),
        deep=mask_frame(TEXT, b'{"x":' * 2_000),
        device_of_letters=mask_frame(TEXT, connect(device="ä")),
        cursor_minus=mask_frame(TEXT, connect(cursor=-1)),
        cursor_of_400_digits=mask_frame(TEXT, connect(cursor=10**400)),
        from_nowhere=mask_frame(TEXT, connect(**{"from": "now "})),
    )
    + in_lobby(
        closes(4506),
        pings=mask_frame(PING) * 65,
        fragments=mask_frame(TEXT, b"", fin=False) + mask_frame(CONT, b"", fin=False) * 100_000,
    )
    + in_lobby(
        closes(4504),
        nothing=b"",
        half_a_connect=mask_frame(TEXT, connect())[:-1],
        pings_and_nothing_more=mask_frame(PING) * 64,
        head_of_a_long_frame=raw(0x81, 0xFE, b"\x10\x00"),
    )
    + in_lobby(closes(1000), close=closing(1000))
    + in_lobby(Vanishes((101,)), end=(PAUSE, END))
    + in_lobby(closes(1002), bad_frame_behind_connect=mask_frame(TEXT, connect()) + raw(0x83, 0x80, MASK))
    + in_lobby(Lives(), connect_dribbled=dribbled(mask_frame(TEXT, connect())))
    + in_lobby(
        LivesOrTooFast(pongs=500),
        messages_behind_connect=mask_frame(TEXT, connect()) + mask_frame(TEXT, APP_PING) * 500,
    )
)
CASES = [*PROTOCOL_ERRORS, *DEFLATE_ERRORS, *TOO_BIG, *NOT_UTF8, *FLOODS, *ENDS, *ALIVE, *LOBBY]
