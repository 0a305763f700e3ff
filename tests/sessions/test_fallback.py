"""What requests of the fallback ask for, and which pages may read the answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.errors import UpgradeRefused
from pushgate.sessions.fallback import MAX_ACK, Acknowledgement, allow_page, read_acknowledgement, read_listener
from pushgate.sessions.handshake import Inbox
from pushgate.sessions.origins import Origins
from pushgate.wire.request import Request

SESSION = "00f100f100f100f1"


def request(query: str = "", method: str = "GET", path: str = "/sse", **headers: str) -> Request:
    return Request(method, path, query, {name.replace("_", "-"): value for name, value in headers.items()}, "1.1")


@pytest.mark.parametrize(
    ("asked", "token", "inbox"),
    [
        (request("token=a.b.c"), "a.b.c", Inbox(None, None, None, "oldest")),
        (request(authorization="Bearer a.b.c"), "a.b.c", Inbox(None, None, None, "oldest")),
        (request(), "", Inbox(None, None, None, "oldest")),
        (request("device=d&cursor=5&epoch=e&from=now"), "", Inbox("d", 5, "e", "now")),
        (request("device=d&cursor=5&epoch=e&from=now", last_event_id="47"), "", Inbox("d", 47, "", "now")),
        (request("device=d&cursor=5", last_event_id=""), "", Inbox("d", 5, None, "oldest")),
    ],
)
def test_what_a_listener_asks_for(asked: Request, token: str, inbox: Inbox) -> None:
    assert read_listener(asked) == (token, inbox)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request("token=a", authorization="Bearer b"), "more than one place"),
        (request(authorization="Basic b"), "Authorization: expected"),
        (request("device=a%20b"), "device: expected"),
        (request("epoch="), "epoch: expected"),
        (request(last_event_id="-1"), "Last-Event-ID: expected"),
        (request(last_event_id="9007199254740992"), "Last-Event-ID: expected"),
        (request(last_event_id="1, 2"), "Last-Event-ID: expected"),
    ],
)
def test_what_a_listener_may_not_ask(asked: Request, reason: str) -> None:
    with pytest.raises(UpgradeRefused, match=reason) as refused:
        read_listener(asked)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no JSON object"),
        (b"nonsense", "no JSON object"),
        (b"\xff", "no JSON object"),
        (b'{"x":' + b"[" * (MAX_ACK - 5), "no JSON object"),
        (b"[]", "body: Expected `object`"),
        (b"{}", "session: Object missing"),
        (b'{"session":"00f100f100f100f1"}', "offset: Object missing"),
        (b'{"session":1,"offset":1}', "session: Expected `str`"),
        (b'{"session":"00f100f100f100f1","offset":"1"}', "offset: Expected `int`"),
        (b'{"session":"00f100f100f100f1","offset":1.5}', "offset: Expected `int`"),
        (b'{"session":"00f100f100f100f1","offset":-1}', "offset: expected"),
        (b'{"session":"00f100f100f100f1","offset":9007199254740992}', "offset: expected"),
        (b'{"session":"00F100f100f100f1","offset":1}', "session: expected"),
        (b'{"session":"00f1","offset":1}', "session: expected"),
    ],
)
def test_what_no_acknowledgement_is(body: bytes, reason: str) -> None:
    with pytest.raises(UpgradeRefused, match=reason) as refused:
        read_acknowledgement(request(method="POST", path="/ack"), body)
    assert refused.value.status == 400
    assert "\n" not in refused.value.reason


def test_an_acknowledgement() -> None:
    body = json.dumps({"session": SESSION, "offset": 47, "later": [1]}).encode()
    asked = request("token=t", "POST", "/ack")
    assert read_acknowledgement(asked, body) == ("t", Acknowledgement(SESSION, 47))
    assert read_acknowledgement(asked._replace(query=""), body)[0] == ""


@given(st.binary(max_size=60) | st.recursive(st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_any_body_is_an_acknowledgement_or_refused_in_one_line(body: bytes) -> None:
    outcome: UpgradeRefused | Acknowledgement
    try:
        _, outcome = read_acknowledgement(request(method="POST", path="/ack"), body)
    except UpgradeRefused as refused:
        outcome = refused
    if isinstance(outcome, Acknowledgement):
        assert len(outcome.session) == 16
    else:
        assert outcome.status == 400
        assert outcome.reason.isprintable()


LISTED = Origins(["https://app.example.com"])


@pytest.mark.parametrize("origins", [LISTED, Origins([])])
def test_a_page_may_read_what_it_is_told(origins: Origins) -> None:
    page: Any = {"origin": "https://app.example.com"}
    told = dict(allow_page(origins, request(**page)))
    assert told["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert told["Vary"] == "Origin"
    for path, method in (("/sse", "GET"), ("/ack", "POST")):
        told = dict(allow_page(origins, request(method="OPTIONS", path=path, **page)))
        assert told["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert told["Access-Control-Allow-Methods"] == method
        assert "Authorization" in told["Access-Control-Allow-Headers"]
        assert int(told["Access-Control-Max-Age"]) > 0


def test_who_is_no_page_is_told_nothing_about_pages() -> None:
    assert allow_page(LISTED, request()) == ()


def test_a_page_that_is_not_listed_is_refused() -> None:
    with pytest.raises(UpgradeRefused) as refused:
        allow_page(LISTED, request(origin="https://evil.example"))
    assert (refused.value.status, refused.value.headers) == (403, ())
