import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.errors import UpgradeRefused
from pushgate.wire.request import (
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_URL,
    Request,
    find_head,
    parse_query,
    parse_request,
)


def head(*lines: str, start: str = "GET /ws HTTP/1.1", host: str = "Host: push.example") -> bytes:
    return "\r\n".join([start, host, *lines, "", ""]).encode("latin-1")


def refused(data: bytes) -> UpgradeRefused:
    with pytest.raises(UpgradeRefused) as caught:
        parse_request(data)
    assert caught.value.reason.isprintable()
    return caught.value


# find_head


def test_the_head_ends_behind_the_blank_line() -> None:
    data = head("A: b")
    assert find_head(data) == len(data)
    assert find_head(data + b"\x81\x80abcd\r\n\r\n") == len(data)
    assert find_head(bytearray(data)) == len(data)
    assert find_head(b"GET / HTTP/1.1\r\n\r\n") == 18
    assert find_head(b"") == -1


@given(st.lists(st.integers(0, 80), max_size=6))
def test_the_head_is_found_however_it_comes(cuts: list[int]) -> None:
    data = head("A: b") + b"\x8a\x80abcd"
    buffer, seen = bytearray(), 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        buffer += data[len(buffer) : cut]
        end = find_head(buffer, seen)
        assert end == (len(data) - 6 if cut >= len(data) - 6 else -1)
        seen = len(buffer) if end < 0 else 0


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_blank_line_in_pieces(cut: int) -> None:
    data = head()
    assert find_head(data[:-cut]) == -1
    assert find_head(data, len(data) - cut) == len(data)


def dribble(data: bytes, step: int = 1) -> tuple[int, int]:
    """The status that ends `data` when it comes in small steps, and how much had come."""
    for seen in range(0, len(data), step):
        try:
            assert find_head(data[: seen + step], seen) == -1
        except UpgradeRefused as error:
            return error.status, seen + step
    raise AssertionError("never refused")


def test_dribbling_clients_are_bounded() -> None:
    status, came = dribble(b"GET /" + b"a" * 9000, 10)
    assert (status, came < MAX_URL + 100) == (414, True)
    status, came = dribble(head()[:-2] + b"A: b\r\n" * 9000, 10)
    assert (status, came < MAX_HEADERS_BYTES + 100) == (431, True)
    status, came = dribble(head()[:-2] + b"A" * 9000, 10)
    assert (status, came < MAX_HEADERS_BYTES + 100) == (431, True)
    assert dribble(b"GET / HTTP/1.1\nHost: a\n\n") == (400, 24)
    assert dribble(b"\x16\x03\x01\x02") == (400, 1)


def test_limits_to_the_byte() -> None:
    def fields(size: int) -> bytes:
        return b"Host: a\r\nA: " + b"b" * (size - 14) + b"\r\n\r\n"

    parse_request(b"GET / HTTP/1.1\r\n" + fields(MAX_HEADERS_BYTES))
    assert refused(b"GET / HTTP/1.1\r\n" + fields(MAX_HEADERS_BYTES + 1)).status == 431
    url = "/" + "a" * (MAX_URL - 1)
    assert parse_request(head(start=f"GET {url} HTTP/1.1")).path == url
    assert refused(head(start=f"GET {url}a HTTP/1.1")).status == 414
    assert refused(head(start=f"GET {url * 3} HTTP/1.1")).status == 414
    lines = [f"A{number}: b" for number in range(MAX_HEADERS)]
    assert len(parse_request(head(*lines[:-1])).headers) == MAX_HEADERS
    assert refused(head(*lines)).status == 431


# parse_request


def test_a_request() -> None:
    data = head("X-Empty:", "Accept:  a b\t", "Cookie: k\xe4se", start="GET /w%C3%A4s/%20x?a=%41&b HTTP/1.1")
    assert parse_request(data) == Request(
        "GET",
        "/wäs/ x",
        "a=%41&b",
        {"host": "push.example", "x-empty": "", "accept": "a b", "cookie": "k\xe4se"},
        "1.1",
    )


def test_lists_are_joined() -> None:
    request = parse_request(head("Connection: keep-alive", "CONNECTION: Upgrade", "Upgrade: h2c", "upgrade: websocket"))
    assert request.headers["connection"] == "keep-alive, Upgrade"
    assert request.headers["upgrade"] == "h2c, websocket"


def test_other_methods_and_versions_are_read() -> None:
    assert parse_request(head(start="POST / HTTP/1.1")).method == "POST"
    assert parse_request(head("Content-Length: 0", start="HEAD / HTTP/1.1")).method == "HEAD"
    assert parse_request(b"GET / HTTP/1.0\r\n\r\n").http_version == "1.0"


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://a.example/x?y=z", "a.example", "/x", "y=z"),
        ("ws://a.example:80", "a.example:80", "/", ""),
        ("WSS://[::1]:443/x", "[::1]:443", "/x", ""),
        ("https://a.example?q", "a.example", "/", "q"),
    ],
)
def test_absolute_targets(target: str, host: str, path: str, query: str) -> None:
    request = parse_request(head(start=f"GET {target} HTTP/1.1"))
    assert (request.headers["host"], request.path, request.query) == (host, path, query)


@pytest.mark.parametrize("host", ["a", "a.example:80", "127.0.0.1:8080", "[::1]", "[::1]:80", "_x-y.z"])
def test_hosts(host: str) -> None:
    assert parse_request(head(host=f"Host: {host}")).headers["host"] == host


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        head()[:-2],
        head() + b"x",
        head() * 2,
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        head(start="GET  / HTTP/1.1"),
        head(start="GET /  HTTP/1.1"),
        head(start="GET / HTTP/1.1 "),
        head(start="GET /a b HTTP/1.1"),
        head(start="get / HTTP/1.1"),
        head(start="GETS / HTTP/1.1"),
        head(start="GET / HTTP/11"),
        head(start="GET / HTTPS/1.1"),
        head(start="GET / RTSP/1.0"),
        head(start="GET /\xff HTTP/1.1"),
        head(start="GET /\x00 HTTP/1.1"),
        head(start="GET /\x7f HTTP/1.1"),
        head(start="GET /a#b HTTP/1.1"),
        head(start="GET /%zz HTTP/1.1"),
        head(start="GET /%4 HTTP/1.1"),
        head(start="GET /%ff HTTP/1.1"),
        head(start="GET ws HTTP/1.1"),
        head(start="GET ftp://a/b HTTP/1.1"),
        head(start="GET http:///b HTTP/1.1"),
        head(start="GET http://user@a/b HTTP/1.1"),
        head(start="OPTIONS * HTTP/1.1"),
        head(start="CONNECT a.example:443 HTTP/1.1"),
        head(start="CONNECT http://a.example/ HTTP/1.1"),
        head("Host: other"),
        head("host: push.example"),
        head(host="Host:"),
        head(host="Host: a b"),
        head(host="Host: a/b"),
        head(host="Host: u@a"),
        head(host="Host: a, b"),
        head("Sec-WebSocket-Key: a", "Sec-WebSocket-Key: a"),
        head("Sec-WebSocket-Version: 13", "sec-websocket-version: 13"),
        head("Authorization: a", "Authorization: b"),
        head("Origin: http://a", "Origin: http://b"),
        head("Content-Length: 0", "Content-Length: 0"),
        head("Content-Length: x"),
        head("Content-Length: -1"),
        head("A: b", " folded"),
        head("A: b", "\tfolded"),
        head(" A: b"),
        head("A : b"),
        head(": b"),
        head("A b"),
        head("A(: b"),
        head("A: b\nB: c"),
        head("A: b\rB: c"),
        head("A: b\r"),
        head("A: b\x00c"),
        head("A: b\x01c"),
        head("A: b\x7fc"),
        head("A\xe4: b"),
        head().replace(b"\r\n", b"\n"),
        head().replace(b"\r\n", b"\n", 1),
    ],
)
def test_malformed_requests(data: bytes) -> None:
    assert refused(data).status == 400


def test_the_reason_tells_what_is_wrong() -> None:
    """These are found before httptools sees the head: how strict that is depends on how it was built."""
    for line in ("A: b\rB: c", "A: b\nB: c", "A: b\r"):
        assert refused(head(line)).reason == "line ends must be CR LF"
    for line in ("A: b\0", "A: \x1f", "A: \x7f"):
        assert refused(head(line)).reason == "control characters in the request"


@pytest.mark.parametrize("line", ["Content-Length: 5", "Content-Length: 00", "Transfer-Encoding: chunked"])
def test_bodies_are_refused(line: str) -> None:
    assert refused(head(line, start="POST / HTTP/1.1")).status in (400, 413)


def test_smuggling_both_lengths() -> None:
    assert refused(head("Content-Length: 0", "Transfer-Encoding: chunked")).status == 400
    assert refused(head("Transfer-Encoding: chunked", "Content-Length: 5")).status == 400


def test_other_protocols() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert find_head(preface) == 18
    assert refused(preface[:18]).status == 505
    assert refused(head(start="GET / HTTP/2.0")).status == 505
    assert refused(head(start="GET / HTTP/0.9")).status == 505
    assert refused(head(start="GET / HTTP/1.2")).status == 505
    hello = refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (hello.status, "TLS" in hello.reason) == (400, True)


texts = st.text(st.characters(max_codepoint=255), max_size=20)
words = "GET PRI OPTIONS / * http://a HTTP/1.1 HTTP/2.0 Host: a : % ? #".split(" ")  # noqa: SIM905
lines = ("Content-Length: 1", "Transfer-Encoding: chunked", "Upgrade: websocket", "Connection: Upgrade")
pieces = st.sampled_from((*words, *lines, " ", "\r\n", "\n", "\r", "\0"))


def outcome(data: bytes) -> Request | int:
    """The request, or the status it is refused with."""
    try:
        find_head(data)
        return parse_request(data)
    except UpgradeRefused as error:
        return error.status


@given(st.lists(pieces | texts, max_size=20).map("".join), st.booleans())
def test_arbitrary_bytes_raise_only_refusals(text: str, blank: bool) -> None:
    data = text.encode("latin-1") + b"\r\n\r\n" * blank
    for candidate in (data, b"GET / HTTP/1.1\r\nHost: a\r\n" + data, b"GET " + data):
        result = outcome(candidate)
        assert result in (400, 413, 414, 431, 505) or (isinstance(result, Request) and result.path[0] == "/")


@given(st.binary(max_size=60))
def test_arbitrary_binary_raises_only_refusals(data: bytes) -> None:
    with pytest.raises(UpgradeRefused):
        parse_request(data)


@given(st.data(), st.integers(0, 255))
def test_a_changed_byte_raises_only_refusals(data: st.DataObject, value: int) -> None:
    changed = bytearray(head("Upgrade: websocket", "Connection: Upgrade", "Content-Length: 0"))
    changed[data.draw(st.integers(0, len(changed) - 1))] = value
    outcome(bytes(changed))


# parse_query


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a=b&c=d", {"a": "b", "c": "d"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=&b", {"a": "", "b": ""}),
        ("a=1&&b=2&", {"a": "1", "b": "2"}),
        ("a=%C3%A4+b%2Bc", {"a": "ä b+c"}),
        ("%61=%26%3D", {"a": "&="}),
        ("a=%00", {"a": "\0"}),
    ],
)
def test_queries(query: str, fields: dict[str, str]) -> None:
    assert parse_query(query) == fields


@pytest.mark.parametrize(
    "query",
    [
        "token=secret&token=secret",
        "token=secret&%74oken=x",
        "token=secret%",
        "token=secret%4",
        "token=secret%zz",
        "token=secret%ff",
        "token=secret%c3",
        "token=secret%ed%a0%80",
        "token%=secret",
        "token%ff=secret",
    ],
)
def test_bad_queries_name_the_field_and_keep_the_value(query: str) -> None:
    with pytest.raises(UpgradeRefused, match="oken") as caught:
        parse_query(query)
    assert caught.value.status == 400
    assert "secret" not in caught.value.reason


@given(st.text())
def test_any_query_raises_only_refusals(query: str) -> None:
    try:
        parse_query(query)
    except UpgradeRefused as error:
        reason = error.reason
    else:
        reason = ""
    assert reason.isascii()
    assert reason.isprintable()
