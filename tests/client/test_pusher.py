"""What the pushers send, and what they make of the answers."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import UNSET

from pushgate.client.answers import DeviceReceipt, Kicked, Pushed, Reached, Receipt, Session, User
from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.errors import PushgateError
from tests.client.conftest import FakeApi

Pushing = Callable[..., Coroutine[Any, Any, Any]]


async def test_a_push_names_only_what_was_given_and_an_id(api: FakeApi, pushing: Pushing) -> None:
    answer = await pushing(api.url, lambda p: p.push({"text": "hé"}, user="alice", event="comment"), key="the key")
    path, head, body = api.asked[0]
    assert path == "/v1/push"
    assert "authorization: bearer the key" in head.lower()
    assert len(str(body.pop("id"))) == 32
    assert body == {"user": "alice", "event": "comment", "data": {"text": "hé"}}
    assert answer == Pushed("m1", UNSET, UNSET)


EVERYTHING: dict[str, Any] = {
    "users": ["a", "b"],
    "device": "d",
    "tags": ["x"],
    "except_session": "s",
    "qos": "reliable",
    "ttl": 5,
    "id": "i",
    "collapse": "c",
    "spread": 1.5,
}


async def test_a_push_with_everything(api: FakeApi, pushing: Pushing) -> None:
    api.body = b'{"id":"m2","offset":7,"duplicate":true,"new":1}'
    assert await pushing(api.url, lambda p: p.push(b"\0\xff", **EVERYTHING)) == Pushed("m2", 7, True)
    assert api.asked[0][2] == {**EVERYTHING, "data_base64": "AP8="}


async def test_null_is_data_and_nothing_is_not(api: FakeApi, pushing: Pushing) -> None:
    await pushing(api.url, lambda p: p.push(None, everyone=True, id="1"))
    await pushing(api.url, lambda p: p.push(user="a", everyone=False, event=None, id="2"))
    assert [body for _, _, body in api.asked] == [{"everyone": True, "data": None, "id": "1"}, {"user": "a", "id": "2"}]


async def test_a_batch(api: FakeApi, pushing: Pushing) -> None:
    api.status = "200 OK"
    api.body = (
        b'{"results":[{"status":202,"id":"1","offset":4},{"status":400,"problem":{"code":"bad_request","detail":"no",'
        b'"errors":[{"field":"ttl","message":"expected 1"}]}}]}'
    )
    pushes = [{"user": "a", "data": b"\0", "id": "1"}, {"everyone": True, "data": None, "ttl": 0, "id": "2"}]
    taken, refused = await pushing(api.url, lambda p: p.batch(pushes))
    path, _, body = api.asked[0]
    assert path == "/v1/push/batch"
    assert body == {
        "pushes": [
            {"user": "a", "data_base64": "AA==", "id": "1"},
            {"everyone": True, "data": None, "ttl": 0, "id": "2"},
        ]
    }
    assert taken == Pushed("1", 4)
    assert isinstance(refused, ApiProblem)
    assert str(refused) == "400 bad_request: no; ttl: expected 1"


async def test_a_token(api: FakeApi, pushing: Pushing) -> None:
    api.status, api.body = "200 OK", b'{"token":"a.b.c"}'
    assert await pushing(api.url, lambda p: p.token("alice", ttl=60, tags=["x"])) == "a.b.c"
    assert api.asked[0][0] == "/v1/tokens"
    assert api.asked[0][2] == {"user": "alice", "ttl": 60, "tags": ["x"]}


async def test_a_user(api: FakeApi, pushing: Pushing) -> None:
    api.status = "200 OK"
    api.body = (
        b'{"user":"a/.","online":true,"missing":["n2"],"sessions":[{"session":"s","device":null,"node":"n","since":1,'
        b'"address":"::1","agent":"","sent":null,"acknowledged":null}]}'
    )
    user = await pushing(api.url, lambda p: p.user("a/."))
    assert api.asked[0][0] == "/v1/users/a%2F%2E"
    assert user == User("a/.", True, [Session("s", None, "n", 1, "::1", "")], ["n2"])


async def test_a_kick(api: FakeApi, pushing: Pushing) -> None:
    api.status, api.body = "200 OK", b'{"closed":2,"missing":[]}'
    assert await pushing(api.url, lambda p: p.kick("a b")) == Kicked(2)
    await pushing(api.url, lambda p: p.kick("a", "00f1"))
    assert [head.partition(" HTTP")[0] for _, head, _ in api.asked] == [
        "DELETE /v1/users/a%20b/sessions",
        "DELETE /v1/users/a/sessions/00f1",
    ]
    with pytest.raises(ValueError, match="session"):
        await pushing(api.url, lambda p: p.kick("a", ""))


async def test_a_problem_becomes_an_exception(api: FakeApi, pushing: Pushing) -> None:
    api.status = "400 Bad Request"
    api.body = b'{"code":"bad_request","detail":"no","errors":[{"field":"ttl","message":"expected 1"}],"type":"x"}'
    with pytest.raises(ApiProblem, match="400 bad_request: no; ttl: expected 1") as caught:
        await pushing(api.url, lambda p: p.push(1, user="a", qos="reliable"))
    assert isinstance(caught.value, PushgateError)
    assert (caught.value.status, caught.value.code) == (400, "bad_request")
    assert caught.value.errors == (("ttl", "expected 1"),)
    assert caught.value.retry_after == 0
    assert len(api.asked) == 1


@pytest.mark.parametrize(("status", "body"), [("404 Not Found", b"<html>"), ("200 OK", b"hello"), ("200 OK", b"{}")])
async def test_answers_of_somebody_else(api: FakeApi, pushing: Pushing, status: str, body: bytes) -> None:
    api.status, api.body = status, body
    with pytest.raises(ApiProblem) as caught:
        await pushing(api.url, lambda p: p.push(1, user="a", qos="reliable"))
    assert caught.value.code == ""


async def test_no_answer(pushing: Pushing) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        await pushing("http://127.0.0.1:1", lambda p: p.push(1, user="a"), patience=0)


async def test_a_receipt(api: FakeApi, pushing: Pushing) -> None:
    api.status = "200 OK"
    api.body = (
        b'{"id":"a/b.c","offset":7,"state":"kept","accepted":1,"expires":2,"missing":[],"new":1,'
        b'"devices":[{"device":"phone","acknowledged":true,"cursor":7,"connected":true}]}'
    )
    receipt = await pushing(api.url, lambda p: p.receipt("a/b.c", 7, user="a b&c"))
    await pushing(api.url, lambda p: p.receipt("i", 8))
    assert [path for path, _, _ in api.asked] == [
        "/v1/messages/a%2Fb%2Ec?user=a%20b%26c&offset=7",
        "/v1/messages/i?everyone=true&offset=8",
    ]
    assert receipt == Receipt("a/b.c", 7, "kept", 1, 2, [DeviceReceipt("phone", True, 7, True)])
    assert receipt.complete


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt("i", 1, "kept", devices=[]),
        Receipt("i", 1, "kept", devices=[DeviceReceipt("a", True, 1, True), DeviceReceipt("b", False, 0, False)]),
        Receipt("i", 1, "kept", devices=[DeviceReceipt("a", True, 1, True)], missing=["there"]),
        Receipt("i", 1, "kept", connected=Reached(0, 0)),
        Receipt("i", 1, "kept", connected=Reached(2, 1)),
    ],
)
def test_what_not_everybody_has(receipt: Receipt) -> None:
    assert not receipt.complete
