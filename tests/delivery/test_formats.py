"""One push to sessions of every format."""

import itertools
import json
from typing import Any

import pytest
from msgspec import msgpack
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from pushgate.delivery.outgoing import Outgoing
from pushgate.messages.formats import FORMATS
from pushgate.messages.push import Push
from pushgate.wire import deflate
from tests.rig.client import WsClient
from tests.rig.gateway import Gateway, make_token

OFFERS = ["", "permessage-deflate", "permessage-deflate; server_max_window_bits=9"]
PROTOCOLS = ["pushgate.v1.json", "pushgate.v1.msgpack"]
LONG = {"rows": [{"id": number, "score": number / 8, "text": "ä" * number} for number in range(60)], "none": None}


async def join_all(gateway: Gateway, user: str) -> list[WsClient]:
    return [
        await gateway.join(user, protocol=protocol, offer=offer)
        for offer, protocol in itertools.product(OFFERS, PROTOCOLS)
    ]


@pytest.mark.parametrize("everyone", [False, True])
async def test_all_formats_get_the_same_messages_in_order(gateway: Gateway, everyone: bool) -> None:
    clients = await join_all(gateway, "alice")
    said: list[Any] = [1, "x" * 5000, LONG, None, 1.5, list(range(400)), "last"]
    users = [] if everyone else ["alice"]
    pushed = [gateway.push(*users, data=data, event=f"e{index}") for index, data in enumerate(said)]
    for client in clients:
        messages = [await client.receive() for _ in said]
        assert [message["id"] for message in messages] == pushed
        assert [message["data"] for message in messages] == said
        assert [message["event"] for message in messages] == [f"e{index}" for index in range(len(said))]
        assert client.compressed == (3 if client.deflate else 0)
        assert await client.is_quiet()
    assert gateway.count("messages_delivered_total") == len(said) * len(clients)


async def test_pushes_to_all_and_to_one_keep_their_order(gateway: Gateway) -> None:
    clients = await join_all(gateway, "alice")
    for number in range(30):
        gateway.push(*(["alice"] if number % 3 else []), data=[number] * 300)
    for client in clients:
        assert [(await client.receive())["data"][0] for _ in range(30)] == list(range(30))


async def test_bytes(gateway: Gateway) -> None:
    data = b"\x00\xffraw" * 400
    clients = await join_all(gateway, "alice")
    gateway.push("alice", data=None)
    for client in clients:
        assert (await client.receive())["data"] is None
    push = Push("default", ["alice"], "id1", "image", 1, data, binary=True)
    gateway.router.deliver(Outgoing(push), gateway.sessions.find("default", "alice"))
    for client in clients:
        message = await client.receive()
        if client.msgpack:
            assert message["data"] == data
            assert "encoding" not in message
        else:
            assert (message["data"][:8], message["encoding"]) == ("AP9yYXcA", "base64")
        assert client.compressed == client.deflate


async def test_a_client_of_another_make(gateway: Gateway) -> None:
    url = f"ws://127.0.0.1:{gateway.port}/ws?token={make_token('alice')}"
    small = ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9)
    for extensions in (None, [small]):
        async with connect(url, extensions=extensions, subprotocols=[Subprotocol(PROTOCOLS[1])]) as client:
            assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
            assert msgpack.decode(await client.recv())["type"] == "welcome"  # type: ignore[arg-type]
            for _ in range(3):
                gateway.push("alice", data=LONG)
                assert msgpack.decode(await client.recv())["data"] == LONG  # type: ignore[arg-type]
                await client.send(msgpack.encode({"type": "ping", "more": LONG}))
                assert msgpack.decode(await client.recv()) == {"type": "pong", "spread": 0.5}  # type: ignore[arg-type]


def test_a_format_is_made_once_and_only_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    compressed: list[int] = []
    real = deflate.deflate

    def watch(payload: bytes, window: int) -> bytes:
        compressed.append(window)
        return real(payload, window)

    monkeypatch.setattr(deflate, "deflate", watch)
    outgoing = Outgoing(Push("t", None, "id", "e", 1, json.dumps(LONG).encode()))
    assert outgoing.frames == [None] * len(FORMATS)
    frame = outgoing.fill(2)
    assert outgoing.frames[2] is frame
    assert outgoing.frames[0] is not None
    assert outgoing.frames[1] is outgoing.frames[3] is None
    for number in range(len(FORMATS)):
        assert outgoing.frames[number] or outgoing.fill(number)
    assert compressed == [15, 15, 9, 9]


def test_a_short_message_is_the_same_bytes_with_and_without_compression() -> None:
    outgoing = Outgoing(Push("t", None, "id", "e", 1, b'"hi"'))
    assert outgoing.fill(2) is outgoing.frames[0]


@pytest.mark.parametrize("data", [b"[" * 3000 + b"]" * 3000, b"[1", b"9" * 30], ids=["deep", "no JSON", "too large"])
async def test_what_does_not_go_into_a_format_is_told_and_stops_nothing(gateway: Gateway, data: bytes) -> None:
    clients = await join_all(gateway, "alice")
    with capture_logs() as logs:
        push = Push("default", None, "id7", "e", 1, data)
        gateway.fanout.start(Outgoing(push))
        gateway.push(data="next")
        for client in clients:
            if client.msgpack:
                error = await client.receive()
                assert (error["type"], error["code"]) == ("error", "undeliverable")
                assert "id7" in error["message"]
            else:
                await client.receive_frame()
            assert (await client.receive())["data"] == "next"
    assert [entry["id"] for entry in logs] == ["id7"]
