"""The fallback: streams asked for wrongly, clients that talk and should listen, acknowledgements of all shapes."""

import json

from tests.hostile.case import END, PAUSE, RESET, WELCOMED, Case, Vanishes, answers, dribbled, streams
from tests.hostile.http import cases, lines
from tests.hostile.keys import forge_expired, token

SESSION = "00f100f100f100f1"


def sse(*headers: str, query: str = "", start: str = "") -> bytes:
    """A good request for a stream of a fresh user, with more headers and query."""
    return lines(start or f"GET /sse?token={token()}{query} HTTP/1.1", "Host: h", *headers)


def ack(body: bytes | str, *headers: str, start: str = "", length: str = "") -> bytes:
    """An acknowledgement with this body."""
    body = body.encode() if isinstance(body, str) else body
    start = start or f"POST /ack?token={token()} HTTP/1.1"
    return lines(start, "Host: h", length or f"Content-Length: {len(body)}", *headers) + body


def said(**fields: object) -> str:
    return json.dumps({"session": SESSION, "offset": 1, **fields})


STREAMS = (
    cases(
        streams(0),
        listens_and_ends=(sse(), WELCOMED, END),
        dribbled=(*dribbled(sse()), WELCOMED, END),
        upgrade_as_well=(sse("Upgrade: websocket", "Connection: Upgrade"), WELCOMED, END),
        frames_behind=(sse() + b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0", WELCOMED, END),
        requests_behind=(sse() * 50, WELCOMED, END),
        garbage_behind=(sse(), WELCOMED, b"\x00\xff" * 20_000, PAUSE, END),
        http_1_0=(sse(start=f"GET /sse?token={token()} HTTP/1.0"), WELCOMED, END),
        any_origin=(sse("Origin: null"), WELCOMED, END),
        origin_of_high_bytes=(sse("Origin: \xff\xfe"), WELCOMED, END),
        last_event_id_empty=(sse("Last-Event-ID:"), WELCOMED, END),
        last_event_id_without_device=(sse("Last-Event-ID: 9007199254740991"), WELCOMED, END),
    )
    + cases(streams(4506), talks_without_end=(sse(), WELCOMED, bytes(4_000_000)))
    + cases(
        streams(4500),
        no_token=sse(start="GET /sse HTTP/1.1"),
        empty_token=sse(start="GET /sse?token= HTTP/1.1"),
        no_jwt=sse(start="GET /sse?token=a.b.c HTTP/1.1"),
        empty_bearer=sse("Authorization: Bearer ", start="GET /sse HTTP/1.1"),
    )
    + cases(streams(4501), expired=sse(start=f"GET /sse?token={forge_expired()} HTTP/1.1"))
    + cases(
        answers(400),
        sse_two_tokens=sse("Authorization: Bearer a"),
        sse_basic=sse("Authorization: Basic YTpi", start="GET /sse HTTP/1.1"),
        sse_device_of_65=sse(query=f"&device={'a' * 65}"),
        sse_cursor_huge=sse(query=f"&cursor={'9' * 3000}"),
        sse_epoch_empty=sse(query="&epoch="),
        last_event_id_of_letters=sse("Last-Event-ID: abc"),
        last_event_id_minus=sse("Last-Event-ID: -1"),
        last_event_id_huge=sse(f"Last-Event-ID: {'9' * 3000}"),
        last_event_id_twice=sse("Last-Event-ID: 1", "Last-Event-ID: 2"),
        sse_bare_line_feed=sse("X: a\nY: b"),
    )
    + cases(answers(404), sse_slash=sse(start="GET /sse/ HTTP/1.1"), sse_capital=sse(start="GET /SSE HTTP/1.1"))
    + cases(
        answers(405),
        sse_posted=sse(start="POST /sse HTTP/1.1"),
        sse_head=sse(start="HEAD /sse HTTP/1.1"),
        sse_traced=sse(start="TRACE /sse HTTP/1.1"),
    )
    + cases(answers(413), sse_with_body=sse("Content-Length: 5") + b"hello")
    + cases(answers(408), sse_all_but_the_last_byte=sse()[:-1])
    + cases(Vanishes(), sse_half_and_reset=(sse()[:30], PAUSE, RESET), sse_and_reset=(sse(), RESET))
)

ACKNOWLEDGEMENTS = (
    cases(
        answers(404),
        nobodys_session=ack(said()),
        unknown_fields=ack(said(type="ack", more=[{}])),
        dribbled_ack=dribbled(ack(said())),
        body_apart=(ack(said())[:-10], PAUSE, ack(said())[-10:]),
        spaces=ack(" " * 900 + said()),
        requests_behind_ack=ack(said()) * 30,
        garbage_behind_ack=ack(said()) + b"\xff\x00" * 5000,
        form_type=ack(said(), "Content-Type: application/x-www-form-urlencoded"),
        expect=ack(said(), "Expect: 100-continue"),
        offset_0=ack(said(offset=0)),
        largest_offset=ack(said(offset=2**53 - 1)),
        ack_http_1_0=ack(said(), start=f"POST /ack?token={token()} HTTP/1.0"),
        field_twice=ack('{"session":"x","session":"' + SESSION + '","offset":1}'),
        ack_and_end=(ack(said()), END),
    )
    + cases(
        answers(400),
        no_body=ack(""),
        no_json=ack("offset=1"),
        half_json=ack(said()[:-1]),
        two_objects=ack(said() + said()),
        ack_list=ack("[]"),
        ack_null=ack("null"),
        deep=ack("[" * 1000),
        deep_within=ack('{"x":' + '{"x":' * 200),
        not_utf8=ack(b'{"session":"\xff","offset":1}'),
        utf16=ack(said().encode("utf-16")),
        no_session=ack('{"offset":1}'),
        no_offset=ack(json.dumps({"session": SESSION})),
        session_number=ack(said(session=1)),
        session_short=ack(said(session="00f1")),
        session_capital=ack(said(session=SESSION.upper())),
        session_line_end=ack(said(session=SESSION + "\r\n")),
        session_long=ack(said(session="0" * 900)),
        session_of_other_digits=ack(said(session="\uff10" * 16)),
        offset_minus=ack(said(offset=-1)),
        offset_text=ack(said(offset="1")),
        offset_half=ack(said(offset=1.5)),
        offset_2_53=ack(said(offset=2**53)),
        offset_of_digits=ack(said().replace("1}", "9" * 800 + "}")),
        offset_nan=ack(said().replace("1}", "NaN}")),
        offset_true=ack(said(offset=True)),
        ack_two_tokens=ack(said(), "Authorization: Bearer a"),
        ack_basic=ack(said(), "Authorization: Basic YTpi", start="POST /ack HTTP/1.1"),
        ack_length_minus=ack(said(), length="Content-Length: -1"),
        ack_length_plus=ack(said(), length="Content-Length: +5"),
        ack_length_hexadecimal=ack(said(), length="Content-Length: 0x10"),
        ack_length_list=ack(said(), length="Content-Length: 5, 5"),
        ack_lengths=ack(said(), "Content-Length: 1"),
        ack_length_and_chunked=ack(said(), "Transfer-Encoding: chunked"),
        ack_length_beyond_64_bits=ack(said(), length="Content-Length: 18446744073709551616"),
    )
    + cases(
        answers(401),
        ack_no_token=ack(said(), start="POST /ack HTTP/1.1"),
        ack_empty_token=ack(said(), start="POST /ack?token= HTTP/1.1"),
        ack_no_jwt=ack(said(), "Authorization: Bearer a.b.c", start="POST /ack HTTP/1.1"),
        ack_expired=ack(said(), start=f"POST /ack?token={forge_expired()} HTTP/1.1"),
    )
    + cases(
        answers(405),
        ack_asked_for=ack(said(), start=f"GET /ack?token={token()} HTTP/1.1"),
        ack_put=ack(said(), start=f"PUT /ack?token={token()} HTTP/1.1"),
        ack_deleted=ack(said(), start=f"DELETE /ack?token={token()} HTTP/1.1"),
    )
    + cases(
        answers(413),
        ack_large=ack("x" * 1025),
        ack_announced_large=ack("", length="Content-Length: 999999999999"),
        ack_octal=ack(said(), length=f"Content-Length: 0{len(said())}"),
        ack_chunked=ack("1\r\n{\r\n0\r\n\r\n", length="Transfer-Encoding: chunked"),
        preflight_with_body=ack("x" * 2000, start="OPTIONS /ack HTTP/1.1"),
    )
    + cases(
        answers(204),
        preflight=lines("OPTIONS /ack HTTP/1.1", "Host: h", "Origin: https://a", "Access-Control-Request-Method: POST"),
        preflight_for_a_stream=lines("OPTIONS /sse HTTP/1.1", "Host: h", "Origin: https://a"),
        preflight_of_nobody=lines("OPTIONS /ack?token=a&token=b HTTP/1.1", "Host: h"),
    )
    + cases(
        answers(408),
        ack_without_its_body=ack("", length="Content-Length: 40"),
        ack_but_the_last_byte=ack(said())[:-1],
        ack_dribbled_and_left=dribbled(ack(said())[:-5]),
    )
    + cases(Vanishes(), half_a_body_and_end=(ack(said())[:-5], PAUSE, END), ack_and_reset=(ack(said()), RESET))
)
CASES: list[Case] = [*STREAMS, *ACKNOWLEDGEMENTS]
