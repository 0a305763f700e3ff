"""What a Pusher sends, and what it makes of the answers."""

import pytest
from msgspec import UNSET

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.pusher import DeviceReceipt, Pushed, Pusher, Reached, Receipt
from pushgate.errors import PushgateError
from tests.client.conftest import FakeApi


async def test_a_push_names_only_what_was_given(api: FakeApi) -> None:
    async with Pusher(api.url, "the key") as pusher:
        answer = await pusher.push({"text": "hé"}, user="alice", event="comment")
    path, head, body = api.asked[0]
    assert path == "/v1/push"
    assert "authorization: bearer the key" in head.lower()
    assert body == {"user": "alice", "event": "comment", "data": {"text": "hé"}}
    assert answer == Pushed("m1", UNSET, UNSET)


async def test_a_push_with_everything(api: FakeApi) -> None:
    api.body = b'{"id":"m2","offset":7,"duplicate":true,"new":1}'
    async with Pusher(api.url, "k") as pusher:
        answer = await pusher.push(
            b"\0\xff",
            users=("a", "b"),
            device="d",
            tags=("x",),
            except_session="s",
            qos="reliable",
            ttl=5,
            id="i",
            collapse="c",
            spread=1.5,
        )
    assert answer == Pushed("m2", 7, True)
    assert api.asked[0][2] == {
        "users": ["a", "b"],
        "device": "d",
        "tags": ["x"],
        "except_session": "s",
        "qos": "reliable",
        "ttl": 5,
        "id": "i",
        "collapse": "c",
        "spread": 1.5,
        "data_base64": "AP8=",
    }


async def test_null_is_data_and_nothing_is_not(api: FakeApi) -> None:
    async with Pusher(api.url, "k") as pusher:
        await pusher.push(None, everyone=True)
        await pusher.push(everyone=True)
    assert [body for _, _, body in api.asked] == [{"everyone": True, "data": None}, {"everyone": True}]


async def test_a_token(api: FakeApi) -> None:
    api.status, api.body = "200 OK", b'{"token":"a.b.c"}'
    async with Pusher(api.url, "k") as pusher:
        assert await pusher.token("alice", ttl=60, tags=["x"]) == "a.b.c"
    assert api.asked[0][0] == "/v1/tokens"
    assert api.asked[0][2] == {"user": "alice", "ttl": 60, "tags": ["x"]}


async def test_a_problem_becomes_an_exception(api: FakeApi) -> None:
    api.status = "400 Bad Request"
    api.body = b'{"code":"bad_request","detail":"no","errors":[{"field":"ttl","message":"expected 1"}],"type":"x"}'
    async with Pusher(api.url, "k") as pusher:
        with pytest.raises(ApiProblem, match="400 bad_request: no; ttl: expected 1") as caught:
            await pusher.push(1, user="a")
    assert isinstance(caught.value, PushgateError)
    assert (caught.value.status, caught.value.code) == (400, "bad_request")
    assert caught.value.errors == (("ttl", "expected 1"),)
    assert caught.value.retry_after == 0


async def test_when_to_try_again(api: FakeApi) -> None:
    api.status, api.headers = "503 Service Unavailable", "Retry-After: 3\r\n"
    api.body = b'{"code":"a_code_of_a_newer_gateway","title":"The bus is away"}'
    async with Pusher(api.url, "k") as pusher:
        with pytest.raises(ApiProblem, match="The bus is away") as caught:
            await pusher.push(1, user="a")
    assert caught.value.retry_after == 3


@pytest.mark.parametrize(("status", "body"), [("502 Bad Gateway", b"<html>"), ("200 OK", b"hello"), ("200 OK", b"{}")])
async def test_answers_of_somebody_else(api: FakeApi, status: str, body: bytes) -> None:
    api.status, api.body = status, body
    async with Pusher(api.url, "k") as pusher:
        with pytest.raises(ApiProblem) as caught:
            await pusher.push(1, user="a")
    assert caught.value.code == ""


async def test_no_answer() -> None:
    async with Pusher("http://127.0.0.1:1", "k") as pusher:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
            await pusher.push(1, user="a")


async def test_a_receipt(api: FakeApi) -> None:
    api.status = "200 OK"
    api.body = (
        b'{"id":"a/b.c","offset":7,"state":"kept","accepted":1,"expires":2,"missing":[],"new":1,'
        b'"devices":[{"device":"phone","acknowledged":true,"cursor":7,"connected":true}]}'
    )
    async with Pusher(api.url, "k") as pusher:
        receipt = await pusher.receipt("a/b.c", 7, user="a b&c")
        assert api.asked[0][0] == "/v1/messages/a%2Fb%2Ec?user=a%20b%26c&offset=7"
        await pusher.receipt("i", 8)
        assert api.asked[1][0] == "/v1/messages/i?everyone=true&offset=8"
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
