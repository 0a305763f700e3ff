"""The management port: smuggling shapes, chunks and lengths that lie, other protocols, pipelines."""

from tests.hostile.case import END, PAUSE, RESET, Case, Vanishes, answers, dribbled
from tests.hostile.http import CLIENT_HELLO, PREFACE, WEBSOCKET, cases, lines
from tests.hostile.keys import API_KEY

AUTHORIZED = f"Authorization: Bearer {API_KEY}"
JSON = "Content-Type: application/json"
PUSH = b'{"user":"nobody","data":1}'
LENGTH = f"Content-Length: {len(PUSH)}"
CHUNKED = "Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"
TOKENS = "POST /v1/tokens HTTP/1.1"
GET = lines("GET /healthz HTTP/1.1", "Host: h")
SMUGGLED = lines("GET /smuggled HTTP/1.1", "Host: h")


def push(*headers: str, body: bytes = PUSH, start: str = "POST /v1/push HTTP/1.1", host: str = "Host: h") -> bytes:
    """A good push with these headers, which have to say where the body ends."""
    return lines(start, host, AUTHORIZED, JSON, *headers) + body


def chunks(*each: bytes) -> bytes:
    """A body in chunks, without the last."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in each)


def named(each: list[Case]) -> list[Case]:
    return [case._replace(name=f"api: {case.name}") for case in each]


WHOLE = chunks(PUSH) + LAST
STRANGERS = cases(
    answers(400),
    tls=CLIENT_HELLO,
    http_2=PREFACE,
    http_2_dribbled=dribbled(PREFACE),
    proxy_v1=b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + GET,
    proxy_v2=b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + GET,
    redis=b"*1\r\n$4\r\nPING\r\n",
    zeros=bytes(70_000),
    high_bytes=b"\xff" * 100,
    blank_first=b" " + GET,
    unknown_method=lines("SMUGGLE / HTTP/1.1", "Host: h"),
    small_letters=lines("get / HTTP/1.1", "Host: h"),
    tab_for_blank=lines("GET\t/ HTTP/1.1", "Host: h"),
    http_3=lines("GET /healthz HTTP/3.0", "Host: h"),
    version_of_letters=lines("GET /healthz HTTP/x.y", "Host: h"),
    nul_in_target=lines("GET /\x00 HTTP/1.1", "Host: h"),
    high_byte_in_target=lines("GET /\xff HTTP/1.1", "Host: h"),
    raw_line_end_in_target=lines("GET /\n HTTP/1.1", "Host: h"),
)
SMUGGLING = cases(
    answers(400),
    length_twice=push(LENGTH, LENGTH),
    lengths_that_differ=push("Content-Length: 0", LENGTH),
    length_list=push(f"{LENGTH}, {len(PUSH)}"),
    length_plus=push(f"Content-Length: +{len(PUSH)}"),
    length_minus=push("Content-Length: -1"),
    length_hexadecimal=push("Content-Length: 0x1A"),
    length_beyond_64_bits=push("Content-Length: 18446744073709551617"),
    length_empty=push("Content-Length:"),
    length_with_blank=push("Content-Length: 2 6"),
    length_and_chunked=push(LENGTH, CHUNKED, body=WHOLE),
    chunked_and_length=push(CHUNKED, LENGTH, body=WHOLE),
    chunked_before_gzip=push("Transfer-Encoding: chunked, gzip", body=WHOLE),
    chunked_misspelt=push("Transfer-Encoding: xchunked", body=WHOLE),
    chunked_with_vertical_tab=push("Transfer-Encoding: \x0bchunked", body=WHOLE),
    identity=push("Transfer-Encoding: identity", body=WHOLE),
    blank_before_colon=push("Transfer-Encoding : chunked", body=WHOLE),
    no_colon=push("Transfer-Encoding chunked", body=WHOLE),
    no_name=push(": chunked", LENGTH),
    nul_in_value=push("X: \x00", LENGTH),
    nul_in_name=push("X\x00: y", LENGTH),
    cr_in_value=push("X: a\rContent-Length: 5", LENGTH),
    folded_first=lines("GET /healthz HTTP/1.1", " X: y", "Host: h"),
    bare_line_feeds=lines("GET /healthz HTTP/1.1", "Host: h", end="\n"),
    two_carriage_returns=lines("GET /healthz HTTP/1.1", "Host: h\r"),
    chunk_size_of_letters=push(CHUNKED, body=b"xyz\r\nhello\r\n" + LAST),
    chunk_size_minus=push(CHUNKED, body=b"-1\r\nhello\r\n" + LAST),
    chunk_size_hexadecimal_prefix=push(CHUNKED, body=b"0x1a\r\n" + PUSH + b"\r\n" + LAST),
    chunk_size_beyond_64_bits=push(CHUNKED, body=b"fffffffffffffffff\r\nhello"),
    chunk_size_empty=push(CHUNKED, body=b"\r\nhello\r\n" + LAST),
    chunk_size_with_blank=push(CHUNKED, body=b"1 a\r\n" + PUSH + b"\r\n" + LAST),
    chunk_longer_than_it_says=push(CHUNKED, body=b"5\r\n" + PUSH + b"\r\n" + LAST),
    chunk_without_line_end=push(CHUNKED, body=b"1a\r\n" + PUSH + LAST),
    chunk_of_line_feeds=push(CHUNKED, body=b"1a\n" + PUSH + b"\n0\n\n"),
    length_in_a_trailer=push(CHUNKED, body=chunks(PUSH) + b"0\r\nContent-Length: 9\r\n\r\n"),
    chunk_extension_with_nul=push(CHUNKED, body=b"1a;\x00\r\n" + PUSH + b"\r\n" + LAST),
)
ORDER = (
    cases(
        answers(202, 400),
        body_longer_than_it_says=push(LENGTH, body=PUSH + b'{"x"'),
        garbage_behind=push(LENGTH) + b"\xff" * 1000,
        bad_request_behind=push(LENGTH) + lines("GET / HTTP/1.1", "Content-Length: x"),
    )
    + cases(
        answers(202, 404, stays=True),
        what_follows_a_length_is_a_request=push(LENGTH) + SMUGGLED,
        what_follows_the_last_chunk_is_a_request=push(CHUNKED, body=WHOLE) + SMUGGLED,
    )
    + cases(
        answers(400, 202, stays=True),
        body_shorter_than_it_says=push(f"Content-Length: {len(PUSH) + 7}", body=PUSH + b"GET / H") + push(LENGTH),
    )
    + cases(answers(*[200] * 100, stays=True), pipelined=GET * 100)
    + cases(
        answers(202, 401, 202, 200, stays=True),
        mixed=push(LENGTH) + push(LENGTH).replace(b"Bearer ", b"Bearer x") + push(LENGTH) + GET,
    )
    + cases(
        answers(202, stays=True),
        dribbled=dribbled(push(LENGTH)),
        chunks_of_one_byte=push(CHUNKED, body=chunks(*(bytes([byte]) for byte in PUSH)) + LAST),
        chunks_dribbled=(push(CHUNKED, body=b""), *dribbled(WHOLE)),
        chunk_extensions=push(CHUNKED, body=b'1a;a=b;c="%b"\r\n' % (b"d" * 9_000) + PUSH + b"\r\n" + LAST),
        trailers=push(CHUNKED, body=chunks(PUSH) + b"0\r\nAuthorization: Bearer x\r\nContent-Type: x\r\n\r\n"),
        leading_zeros=push(f"Content-Length: 0000{len(PUSH)}"),
        blank_lines_first=b"\r\n\r\n" + push(LENGTH),
        asked_for_http_2=push(
            LENGTH, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"
        ),
        asked_for_http_2_chunked=push(CHUNKED, "Upgrade: h2c", "Connection: Upgrade", body=WHOLE),
        asked_for_a_websocket=push(LENGTH, *WEBSOCKET),
        absolute=push(LENGTH, start="POST http://other/v1/push HTTP/1.1"),
        two_slashes=push(LENGTH, start="POST //v1//push HTTP/1.1"),
    )
    + cases(answers(404, stays=True), websocket=lines("GET /ws HTTP/1.1", "Host: h", *WEBSOCKET))
    + cases(answers(202), http_1_0=push(LENGTH, start="POST /v1/push HTTP/1.0"), last=push(LENGTH, "Connection: close"))
    + cases(answers(202), nothing_is_read_behind_the_last=push(LENGTH, "Connection: close") + SMUGGLED * 100)
)
PATHS = cases(
    answers(404, stays=True),
    escaped_letters=push(LENGTH, start="POST /v1/%70ush HTTP/1.1"),
    escaped_slash=push(LENGTH, start="POST /v1%2fpush HTTP/1.1"),
    parents=push(LENGTH, start="POST /v1/../v1/push HTTP/1.1"),
    escaped_parents=lines("GET /docs/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", "Host: h"),
    escaped_nul=push(LENGTH, start="POST /v1/push%00 HTTP/1.1"),
    not_utf8=lines("GET /%ff%fe HTTP/1.1", "Host: h"),
    line_end=lines("GET /x%0d%0aSet-Cookie:%20a=b HTTP/1.1", "Host: h"),
    bad_escape=lines("GET /%zz HTTP/1.1", "Host: h"),
    long=lines(f"GET /{'a' * 30_000} HTTP/1.1", "Host: h"),
    query_of_40_kib=lines(f"GET /none?{'a=%ff&' * 6_000} HTTP/1.1", "Host: h"),
    dots_of_a_file=lines("GET /docs/../../pyproject.toml HTTP/1.1", "Host: h"),
) + cases(
    answers(405, stays=True),
    trace=lines("TRACE /healthz HTTP/1.1", "Host: h"),
    get_push=lines("GET /v1/push HTTP/1.1", "Host: h", AUTHORIZED),
    delete=lines("DELETE /metrics HTTP/1.1", "Host: h"),
)
ENDLESS = (
    cases(
        answers(413),
        header=b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 300_000,
        headers=b"GET /healthz HTTP/1.1\r\n" + b"A:\r\n" * 60_000,
        target=b"GET /" + b"a" * 300_000,
        announced_10_gib=push("Content-Length: 10737418240", body=b""),
        announced_and_sent=push("Content-Length: 2000000", body=b"[" * 2_000_000),
        announced_and_expected=push("Content-Length: 10737418240", "Expect: 100-continue", body=b""),
        chunked=push(CHUNKED, body=chunks(b" " * 65536) * 20),
        body_of_chunks_of_one_byte=push(CHUNKED, body=b"1\r\n \r\n" * 1_100_000),
        trailers_by_the_million=push(CHUNKED, body=chunks(PUSH) + b"0\r\n" + b"A: b\r\n" * 2_000_000)[: 9 << 20],
    )
    + cases(
        answers(413, stays=True),
        token_body=push("Content-Length: 70000", body=b" " * 70_000, start=TOKENS),
        token_body_chunked=push(CHUNKED, body=chunks(b" " * 30_000) * 4 + LAST, start=TOKENS),
    )
    + cases(
        Vanishes(),
        nothing_and_end=(END,),
        half_and_end=(push(LENGTH)[:60], PAUSE, END),
        half_a_body_and_end=(push(LENGTH)[:-5], PAUSE, END),
        half_a_chunk_and_end=(push(CHUNKED, body=b"1a\r\n{"), PAUSE, END),
        half_and_reset=(push(LENGTH)[:60], PAUSE, RESET),
        half_a_body_and_reset=(push(LENGTH)[:-5], PAUSE, RESET),
        half_a_token_body_and_reset=(push(LENGTH, start=TOKENS)[:-5], PAUSE, RESET),
        answers_by_the_thousand_and_reset=(
            lines("GET /openapi.json HTTP/1.1", "Host: h") * 2_000,
            PAUSE,
            RESET,
        ),
    )
    + cases(answers(202), push_and_end=(push(LENGTH), END))
    + cases(answers(200), page_and_end=(GET, END), http_0_9=b"GET /healthz\r\n\r\n")
)
CASES = named([*STRANGERS, *SMUGGLING, *ORDER, *PATHS, *ENDLESS])
