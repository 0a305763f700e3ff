"""The client port before the upgrade: greetings of other protocols, smuggling shapes, bad targets, bad handshakes."""

from tests.hostile.case import (
    END,
    PAUSE,
    RESET,
    Case,
    Lives,
    Outcome,
    Piece,
    Urgent,
    Vanishes,
    answers,
    closes,
    dribbled,
)
from tests.hostile.keys import token

KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13")


def lines(*each: str, end: str = "\r\n") -> bytes:
    return end.join((*each, "", "")).encode("latin-1")


def get(*headers: str, start: str = "GET / HTTP/1.1") -> bytes:
    """A request for a page."""
    return lines(start, "Host: h", *headers)


def upgrade(*headers: str, query: str = "", start: str = "", host: str = "Host: h") -> bytes:
    """A good upgrade of a fresh user, with more headers and query."""
    start = start or f"GET /ws?token={token()}{query} HTTP/1.1"
    return lines(start, host, *WEBSOCKET, *headers)


def altered(old: str, *new: str) -> bytes:
    """A good upgrade with one of its header lines exchanged."""
    return lines(f"GET /ws?token={token()} HTTP/1.1", "Host: h", *(line for line in WEBSOCKET if line != old), *new)


def cases(outcome: Outcome, **sent: bytes | tuple[Piece, ...]) -> list[Case]:
    """Return a case of the outcome for each name."""
    return [
        Case(name.replace("_", " "), (data,) if isinstance(data, bytes) else data, outcome)
        for name, data in sent.items()
    ]


CLIENT_HELLO = (
    bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000002130101000002 0000".replace(" ", ""))
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000012040000000000000300000064000400100000000600004000")
UP, CONN, _, VERSION = WEBSOCKET

GREETINGS = cases(
    answers(400),
    tls=CLIENT_HELLO,
    tls_first_byte=b"\x16",
    tls_dribbled=dribbled(CLIENT_HELLO),
    sslv2=b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    proxy_v1=b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get(),
    proxy_v2=b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + get(),
    redis=b"*1\r\n$4\r\nPING\r\n",
    smtp=b"EHLO mail.example\r\n\r\n",
    rtsp=b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    mqtt=b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
    socks=b"\x05\x01\x00",
    zeros=bytes(70_000),
    http_0_9=b"GET /\r\n\r\n",
    gopher=b"/ws\r\n",
    a_frame_at_once=b"\x81\x85\x00\x00\x00\x00hello",
    connect_message_at_once=b'{"type":"connect","token":"a.b.c"}',
    blank_lines_first=b"\r\n\r\n" + get(),
    blank_first=b" " + get(),
    byte_order_mark=b"\xef\xbb\xbf" + get(),
    small_letters=get(start="get / HTTP/1.1"),
    high_bytes=b"\xff" * 100,
) + cases(answers(505), http_2=PREFACE, http_2_cut=PREFACE[:18], http_2_dribbled=dribbled(PREFACE[:24]))

SMUGGLING = (
    cases(
        answers(400),
        length_twice=upgrade("Content-Length: 0", "Content-Length: 0"),
        lengths_that_differ=upgrade("Content-Length: 0", "Content-Length: 30"),
        length_list=upgrade("Content-Length: 0, 0"),
        length_plus=upgrade("Content-Length: +0"),
        length_minus=upgrade("Content-Length: -1"),
        length_hexadecimal=upgrade("Content-Length: 0x0"),
        length_exponent=upgrade("Content-Length: 0e1"),
        length_beyond_64_bits=upgrade("Content-Length: 18446744073709551616"),
        length_and_chunked=upgrade("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        chunked_and_length=upgrade("Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n",
        blank_before_colon=get("Transfer-Encoding : chunked"),
        tab_before_colon=get("Content-Length\t: 5"),
        folded=get("X: a", " Content-Length: 5"),
        folded_with_tab=get("X: a", "\tTransfer-Encoding: chunked"),
        folded_first=lines("GET / HTTP/1.1", " X: a", "Host: h"),
        folded_host=lines("GET / HTTP/1.1", "Host: h", " evil"),
        no_colon=get("Transfer-Encoding chunked"),
        no_name=get(": chunked"),
        nul_in_name=get("Content\x00Length: 5"),
        nul_in_value=get("X: a\x00b"),
        escape_in_value=get("X: \x1b[31m"),
        high_byte_in_name=get("Content\xadLength: 5"),
        cr_in_value=get("X: a\rContent-Length: 5"),
        bare_line_feeds=lines("GET / HTTP/1.1", "Host: h", end="\n"),
        one_bare_line_feed=get("X: a\nContent-Length: 5"),
        blank_line_of_line_feeds=b"GET / HTTP/1.1\r\nHost: h\r\n\n",
        carriage_returns=lines("GET / HTTP/1.1", "Host: h", end="\r") + b"\r\n\r\n",
        two_carriage_returns=get("X: a\r"),
        vertical_tab=get("Transfer-Encoding:\x0bchunked"),
        host_twice=get("Host: h"),
        hosts_that_differ=get("Host: evil"),
        no_host=lines("GET / HTTP/1.1", "X: a"),
        empty_host=lines("GET / HTTP/1.1", "Host:"),
        host_with_path=lines("GET / HTTP/1.1", "Host: h/ws"),
        host_with_user=lines("GET / HTTP/1.1", "Host: a@h"),
        host_list=lines("GET / HTTP/1.1", "Host: h, evil"),
        host_with_two_ports=lines("GET / HTTP/1.1", "Host: h:80:80"),
        host_with_blank=lines("GET / HTTP/1.1", "Host: h evil"),
    )
    + cases(
        answers(413),
        body=get("Content-Length: 5") + b"hello",
        body_announced=get("Content-Length: 99999999999"),
        chunked=get("Transfer-Encoding: chunked") + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        chunked_upgrade=upgrade("Transfer-Encoding: chunked") + b"0\r\n\r\n",
        gzip=get("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
        upgrade_with_body=upgrade("Content-Length: 30") + b"GET /smuggled HTTP/1.1\r\n\r\n12345",
    )
    + cases(
        answers(200),
        pipelined=get() * 50,
        a_second_request_is_not_read=get() + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        garbage_behind=get() + b"\x00\xff" * 5000,
        length_0=get("Content-Length: 0"),
        page_and_end=(get(), END),
    )
)

TARGETS = (
    cases(
        answers(400),
        absolute_with_user=upgrade(start="GET http://a@h/ws HTTP/1.1"),
        absolute_without_host=upgrade(start="GET http:///ws HTTP/1.1"),
        absolute_of_another_scheme=upgrade(start="GET ftp://h/ws HTTP/1.1"),
        file_scheme=get(start="GET file:///etc/passwd HTTP/1.1"),
        authority=get(start="GET h:80 HTTP/1.1"),
        connect=get(start="CONNECT h:443 HTTP/1.1"),
        connect_absolute=get(start="CONNECT http://h/ws HTTP/1.1"),
        asterisk=get(start="OPTIONS * HTTP/1.1"),
        backslash_first=get(start="GET \\ws HTTP/1.1"),
        no_slash=get(start="GET ws HTTP/1.1"),
        fragment=get(start="GET /ws#x HTTP/1.1"),
        blank_in_target=get(start="GET /ws x HTTP/1.1"),
        two_blanks=get(start="GET  /ws HTTP/1.1"),
        tab_for_blank=get(start="GET\t/ws HTTP/1.1"),
        high_byte=get(start="GET /ws\xff HTTP/1.1"),
        nul=get(start="GET /ws\x00 HTTP/1.1"),
        bad_escape=get(start="GET /%zz HTTP/1.1"),
        cut_escape=get(start="GET /w% HTTP/1.1"),
        not_utf8=get(start="GET /%ff HTTP/1.1"),
        overlong=get(start="GET /%c0%ae%c0%ae/ws HTTP/1.1"),
        no_version=get(start="GET /ws"),
        version_of_two_digits=get(start="GET / HTTP/1.10"),
        version_in_small_letters=get(start="GET / http/1.1"),
        blank_behind_version=get(start="GET / HTTP/1.1 "),
        unknown_method=get(start="SMUGGLE / HTTP/1.1"),
    )
    + cases(answers(505), http_3=get(start="GET / HTTP/3.0"), http_1_2=get(start="GET / HTTP/1.2"))
    + cases(
        answers(404),
        two_slashes=upgrade(start="GET //ws HTTP/1.1"),
        slash_behind=upgrade(start="GET /ws/ HTTP/1.1"),
        parents=upgrade(start="GET /x/../ws HTTP/1.1"),
        escaped_slash=upgrade(start="GET /%2fws HTTP/1.1"),
        escaped_nul=upgrade(start="GET /ws%00 HTTP/1.1"),
        escaped_line_end=get(start="GET /ws%0d%0aX:%20y HTTP/1.1"),
        semicolon=upgrade(start="GET /ws;x=y HTTP/1.1"),
        metrics=get(start="GET /metrics HTTP/1.1"),
        longest_target=get(start=f"GET /{'a' * 4095} HTTP/1.1"),
    )
    + cases(
        answers(405),
        post_websocket=upgrade(start="POST /ws HTTP/1.1"),
        head_websocket=upgrade(start="HEAD /ws HTTP/1.1"),
        trace=get(start="TRACE / HTTP/1.1"),
        delete=get(start="DELETE /healthz HTTP/1.1"),
    )
    + cases(
        answers(414), long_target=get(start=f"GET /{'a' * 4096} HTTP/1.1"), endless_target=b"GET /" + b"a" * 300_000
    )
    + cases(
        answers(431),
        long_header=get(f"X: {'a' * 8192}"),
        endless_header=b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000,
        headers_65=get(*["X: a"] * 64),
        headers_by_the_thousand=b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 20_000,
    )
    + cases(answers(200), absolute_without_path=get(start="GET http://h HTTP/1.1"), http_1_0=lines("GET / HTTP/1.0"))
    + cases(
        Lives(),
        absolute=upgrade(start=f"GET http://h/ws?token={token()} HTTP/1.1"),
        absolute_of_another_host=upgrade(start=f"GET WSS://other:1/ws?token={token()} HTTP/1.1"),
        escaped_letters=upgrade(start=f"GET /%77%73?token={token()} HTTP/1.1"),
        headers_64=upgrade(*["X: a"] * 59),
        headers_of_8_kib=upgrade(f"Cookie: {'c' * 7900}"),
        agent_of_high_bytes=upgrade("User-Agent: " + "\xff" * 5000),
        length_0_upgrade=upgrade("Content-Length: 0"),
        expectation=upgrade("Expect: 100-continue"),
    )
)

HANDSHAKES = (
    cases(
        answers(426),
        no_upgrade=altered(UP),
        upgrade_to_http_2=altered(UP, "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        websockets=altered(UP, "Upgrade: websockets"),
        no_connection=altered(CONN),
        connection_close=altered(CONN, "Connection: close"),
        version_8=altered(VERSION, "Sec-WebSocket-Version: 8"),
        version_list=altered(VERSION, "Sec-WebSocket-Version: 13, 8"),
        version_013=altered(VERSION, "Sec-WebSocket-Version: 013"),
        no_websocket_version=altered(VERSION),
    )
    + cases(
        answers(400),
        no_key=altered(KEY),
        short_key=altered(KEY, "Sec-WebSocket-Key: AAAA"),
        key_of_17_bytes=altered(KEY, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="),
        key_twice=upgrade(KEY),
        version_twice=upgrade(VERSION),
        websocket_over_http_1_0=lines(f"GET /ws?token={token()} HTTP/1.0", "Host: h", *WEBSOCKET),
        unknown_subprotocol=upgrade("Sec-WebSocket-Protocol: mqtt"),
        subprotocol_twice=upgrade("Sec-WebSocket-Protocol: pushgate.v1.json, pushgate.v1.json"),
        subprotocol_no_token=upgrade("Sec-WebSocket-Protocol: push gate"),
        subprotocols_none=upgrade("Sec-WebSocket-Protocol: ,,"),
        two_bearers=upgrade("Sec-WebSocket-Protocol: bearer.a, bearer.b", start="GET /ws HTTP/1.1"),
        bearer_and_query=upgrade("Sec-WebSocket-Protocol: bearer.a"),
        header_and_query=upgrade("Authorization: Bearer a.b.c"),
        authorization_twice=upgrade("Authorization: Bearer a", "Authorization: Bearer b", start="GET /ws HTTP/1.1"),
        basic=upgrade("Authorization: Basic YTpi", start="GET /ws HTTP/1.1"),
        token_twice=upgrade(query="&token=x"),
        token_twice_by_escape=upgrade(query="&%74oken=x"),
        query_bad_escape=upgrade(query="&x=%g0"),
        query_not_utf8=upgrade(query="&x=%ed%a0%80"),
        device_with_slash=upgrade(query="&device=../a"),
        device_with_line_end=upgrade(query="&device=a%0d%0ab"),
        device_of_65=upgrade(query=f"&device={'a' * 65}"),
        device_empty=upgrade(query="&device="),
        cursor_minus=upgrade(query="&cursor=-1"),
        cursor_huge=upgrade(query=f"&cursor={'9' * 3000}"),
        cursor_2_53=upgrade(query="&cursor=9007199254740992"),
        cursor_of_other_digits=upgrade(query="&cursor=%EF%BC%91"),
        epoch_of_65=upgrade(query=f"&epoch={'e' * 65}"),
        from_nowhere=upgrade(query="&from=latest"),
        extension_parameter_missing=upgrade("Sec-WebSocket-Extensions: permessage-deflate;"),
        extension_quote_open=upgrade('Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits="9'),
        extension_garbage=upgrade("Sec-WebSocket-Extensions: " + "a;" * 3000 + "\xff"),
    )
    + cases(
        Lives(),
        connection_list=altered(CONN, "Connection: keep-alive, Upgrade"),
        upgrade_list=altered(UP, "Upgrade: h2c, WebSocket"),
        extensions_by_the_hundred=upgrade(
            "Sec-WebSocket-Extensions: " + "x-foo; a=1; b, " * 400 + "permessage-deflate"
        ),
        extension_declined=upgrade("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8"),
        parameters_by_the_hundred=upgrade(query="".join(f"&p{number}=" for number in range(500))),
        dribbled=dribbled(upgrade()),
        lines_apart=tuple(piece for line in upgrade().splitlines(keepends=True) for piece in (line, PAUSE)),
        urgent_byte_within=(b"GET ", PAUSE, Urgent(b"!"), PAUSE, upgrade()[4:]),
    )
    + cases(closes(4500), empty_bearer=upgrade("Sec-WebSocket-Protocol: bearer.", start="GET /ws HTTP/1.1"))
    + cases(
        answers(408),
        nothing=b"",
        half_a_word=b"GET",
        half_a_line=b"GET /ws?token=",
        ssh=b"SSH-2.0-OpenSSH_9.6\r\n",
        all_but_the_last_byte=upgrade()[:-1],
        dribbled_and_left=dribbled(upgrade()[:200]),
    )
    + cases(
        Vanishes(),
        nothing_and_end=(END,),
        half_and_end=(upgrade()[:100], PAUSE, END),
        half_and_reset=(upgrade()[:100], PAUSE, RESET),
        whole_and_reset=(upgrade(), RESET),
    )
    + cases(Vanishes((101,)), upgrade_and_end=(upgrade(), END))
)
CASES = [*GREETINGS, *SMUGGLING, *TARGETS, *HANDSHAKES]
