import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.errors import UpgradeRefused
from pushgate.wire.upgrade import (
    Upgrade,
    check_upgrade,
    encode_answer,
    encode_switching,
    find_head,
    parse_request,
)

GOOD = {
    "Host": "server.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def check(start: str = "GET /chat HTTP/1.1", **changes: str | None) -> Upgrade:
    """check_upgrade of GOOD with changed headers (`_` for `-`); None leaves one out."""
    headers: dict[str, str | None] = dict(GOOD)
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    data = "\r\n".join([start, *lines, "", ""]).encode()
    assert find_head(data) == len(data)
    return check_upgrade(parse_request(data))


def refused(start: str = "GET /chat HTTP/1.1", **changes: str | None) -> UpgradeRefused:
    with pytest.raises(UpgradeRefused) as caught:
        check(start, **changes)
    encode_answer(caught.value.status, caught.value.reason, caught.value.headers)
    return caught.value


def test_the_rfcs_example() -> None:
    upgrade = check(Sec_WebSocket_Protocol="chat, superchat", Origin="http://example.com")
    assert upgrade == Upgrade("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ("chat", "superchat"), "")
    assert encode_switching(upgrade.accept, "chat") == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n\r\n"
    )
    assert b"Protocol:" not in encode_switching(upgrade.accept, None)


def test_a_browsers_request() -> None:
    upgrade = check(
        Connection="keep-alive, Upgrade",
        Upgrade="WebSocket",
        Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
        Sec_WebSocket_Protocol="pushgate.v1.json",
    )
    assert upgrade.protocols == ("pushgate.v1.json",)
    assert upgrade.extensions == "permessage-deflate; client_max_window_bits"


def test_lists_with_company() -> None:
    check(Upgrade="h2c, WEBSOCKET", Connection="keep-alive,, uPgRaDe ,x")
    assert check().protocols == ()
    assert check(Sec_WebSocket_Protocol="a ,b,,c").protocols == ("a", "b", "c")


def test_the_method() -> None:
    answer = refused("POST /chat HTTP/1.1")
    assert (answer.status, answer.headers) == (405, (("Allow", "GET"),))


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Upgrade": "xwebsocket"},
        {"Connection": None},
        {"Connection": "close"},
        {"Connection": "keep-alive, upgrades"},
    ],
)
def test_requests_for_something_else(changes: dict[str, str | None]) -> None:
    answer = refused("GET /chat HTTP/1.1", **changes)
    assert answer.status == 426
    assert answer.headers == (("Upgrade", "websocket"), ("Connection", "Upgrade"))


@pytest.mark.parametrize("version", [None, "", "8", "12", "14", "013", "13, 8", "x"])
def test_other_versions(version: str | None) -> None:
    answer = refused(Sec_WebSocket_Version=version)
    assert answer.status == 426
    assert ("Sec-WebSocket-Version", "13") in answer.headers


def test_http_1_0() -> None:
    assert refused("GET /chat HTTP/1.0").status == 400


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "GhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZ-==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        base64.b64encode(bytes(15)).decode(),
        base64.b64encode(bytes(17)).decode(),
    ],
)
def test_bad_keys(key: str | None) -> None:
    assert refused(Sec_WebSocket_Key=key).status == 400


@given(st.binary(min_size=16, max_size=16))
def test_every_key_of_16_bytes(key: bytes) -> None:
    assert len(base64.b64decode(check(Sec_WebSocket_Key=base64.b64encode(key).decode()).accept)) == 20


@pytest.mark.parametrize("protocols", ["", ",", "a b", "a, a", "a, (b)", 'a, "b"', "a;b", "ä"])
def test_bad_protocols(protocols: str) -> None:
    assert refused(Sec_WebSocket_Protocol=protocols).status == 400


def test_an_answer() -> None:
    assert encode_answer(404, "nothing hier, schöne Grüße", (("Retry-After", "5"),)) == (
        b"HTTP/1.1 404 Not Found\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 30\r\n"
        b"Connection: close\r\n"
        b"Retry-After: 5\r\n\r\n"
        b"nothing hier, sch\xc3\xb6ne Gr\xc3\xbc\xc3\x9fe\n"
    )


def test_an_answer_to_head() -> None:
    whole = encode_answer(200, "pushgate")
    short = encode_answer(200, "pushgate", head_only=True)
    assert short == whole[: -len(b"pushgate\n")]
    assert b"Content-Length: 9\r\n" in short


def test_connection_is_one_header() -> None:
    answer = encode_answer(426, "no", (("Upgrade", "websocket"), ("Connection", "Upgrade")))
    assert answer.count(b"Connection:") == 1
    assert b"Connection: close, Upgrade\r\n" in answer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", "b\r\nC: d"),
        ("A", "b\n"),
        ("A", "b\r"),
        ("A", "b\0"),
        ("A", "€"),
        ("A\r\n", "b"),
        ("A:", "b"),
        ("", "b"),
    ],
)
def test_nothing_breaks_out_of_a_header(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="not a header"):
        encode_answer(400, "no", ((name, value),))
    if name == "A":
        with pytest.raises(ValueError, match="not a header"):
            encode_switching("x", value)
        with pytest.raises(ValueError, match="not a header"):
            encode_answer(400, "no", (("Connection", value),))


def test_unknown_status() -> None:
    with pytest.raises(ValueError, match="unknown HTTP status 299"):
        encode_answer(299, "?")
