"""Connections in MessagePack and with compression."""

import itertools
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import msgpack

from pushgate.messages.formats import FORMATS
from tests.rig.client import BINARY, CLOSE, PING, PONG, TEXT, Refused, WsClient, deflate, mask_frame
from tests.rig.gateway import Gateway, make_token

MSGPACK = "pushgate.v1.msgpack"
OFFER = "permessage-deflate; client_max_window_bits"
ANSWER = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"


async def test_a_msgpack_connection(gateway: Gateway) -> None:
    client = await gateway.join("alice", protocol=MSGPACK)
    assert f"Sec-WebSocket-Protocol: {MSGPACK}\r\n" in client.head
    assert client.welcome == {
        "type": "welcome",
        "session": client.welcome["session"],
        "user": "alice",
        "tenant": "default",
        "ping": 25.0,
        "limits": {"message": 65536},
        "spread": 0.5,
    }
    client.send({"type": "ping"})
    assert await client.receive() == {"type": "pong", "spread": 0.5}
    client.send({"type": "refresh", "token": make_token("bob")})
    assert (await client.receive())["code"] == "token_refused"
    client.send_frame(PING, b"x")
    assert await client.receive_frame() == (PONG, b"x")
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.send_away(session, 1.5)
    assert await client.receive() == {"type": "reconnect", "after": 1.5}
    assert (await client.receive_close())[0] == 4000


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("pushgate.v1.msgpack, pushgate.v1.json", "pushgate.v1.msgpack"),
        ("other, pushgate.v1.json, pushgate.v1.msgpack", "pushgate.v1.json"),
    ],
)
async def test_the_first_offered_that_is_spoken(gateway: Gateway, offered: str, chosen: str) -> None:
    client = await gateway.join("alice", protocol=offered)
    assert f"Sec-WebSocket-Protocol: {chosen}\r\n" in client.head


async def test_a_refusal_names_what_is_spoken(gateway: Gateway) -> None:
    with pytest.raises(Refused) as refused:
        await gateway.join("alice", protocol="pushgate.v2.msgpack")
    assert refused.value.status == 400
    assert "pushgate.v1.json or pushgate.v1.msgpack" in refused.value.body


async def test_connect_as_a_first_msgpack_message(gateway: Gateway) -> None:
    connect = {"type": "connect", "token": make_token("alice"), "device": "phone-1", "from": "now"}
    ping = mask_frame(BINARY, msgpack.encode({"type": "ping"}))
    client = await WsClient.open(
        gateway.port, protocol=MSGPACK, behind=mask_frame(BINARY, msgpack.encode(connect)) + ping
    )
    welcome = await client.receive()
    assert (welcome["user"], welcome["device"]) == ("alice", "phone-1")
    assert await client.receive() == {"type": "pong", "spread": 0.5}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (mask_frame(BINARY, msgpack.encode({"type": "ping"})), 4500),
        (mask_frame(BINARY, msgpack.encode({"type": "connect", "token": "x"})), 4500),
        (mask_frame(BINARY, msgpack.encode({"type": "connect", "token": ""})), 4500),
        (mask_frame(BINARY, b"\x90"), 4505),
        (mask_frame(BINARY, b"\x81\xa4ty"), 4505),
        (mask_frame(TEXT, b'{"type":"connect","token":"x"}'), 4500),
    ],
)
async def test_a_bad_first_msgpack_message(gateway: Gateway, frame: bytes, code: int) -> None:
    client = await WsClient.open(gateway.port, protocol=MSGPACK, behind=frame)
    assert (await client.receive_close())[0] == code
    assert gateway.count("lobby") == 0


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({"type": "nonsense"}, "unknown_type", "type"),
        ({"type": 7}, "bad_field", "type"),
        ({}, "bad_field", "type"),
        ({"type": "ack", "offset": "7"}, "bad_field", "offset"),
        ({"type": "ack", "offset": 7}, "no_inbox", "offset"),
        ({"type": "connect", "token": "x"}, "connected", "type"),
    ],
)
async def test_a_wrong_msgpack_message_gets_an_error(gateway: Gateway, said: Any, code: str, field: str) -> None:
    client = await gateway.join("alice", protocol=MSGPACK)
    client.send(said)
    error = await client.receive()
    assert (error["type"], error["code"], error["field"]) == ("error", code, field)
    assert await client.is_quiet()


@pytest.mark.parametrize(
    "frame", [mask_frame(TEXT, b'{"type":"ping"}'), mask_frame(BINARY, b"\x93\x01\x02\x03"), mask_frame(BINARY, b"")]
)
async def test_what_is_no_msgpack_message_ends_the_connection(gateway: Gateway, frame: bytes) -> None:
    client = await gateway.join("alice", protocol=MSGPACK)
    client.writer.write(frame)
    assert (await client.receive_close())[0] == 4505


# Compression


@pytest.mark.parametrize("protocol", ["", MSGPACK])
async def test_compressed_messages_of_a_client(gateway: Gateway, protocol: str) -> None:
    client = await gateway.join("alice", protocol=protocol, offer=OFFER)
    assert ANSWER in client.head
    for compress in (True, False, True):
        client.send({"type": "ping", "padding": "x" * 1000}, compress=compress)
        assert await client.receive() == {"type": "pong", "spread": 0.5}
    (session,) = gateway.sessions.find("default", "alice")
    assert session.reader is None, "nothing of zlib is kept"
    client.send({"type": "x" * 2000}, compress=True)
    assert len((await client.receive())["message"]) > 1000
    assert client.compressed == 1


async def test_connect_compressed_and_split(gateway: Gateway) -> None:
    packed = deflate(b'{"type":"connect","token":"%b"}' % make_token("alice").encode())
    frames = [mask_frame(TEXT, packed[:50], fin=False, rsv1=True), mask_frame(PING, b"?"), mask_frame(0, packed[50:])]
    client = await WsClient.open(gateway.port, offer=OFFER, behind=b"".join(frames))
    assert await client.receive_frame() == (PONG, b"?")
    assert (await client.receive())["user"] == "alice"


async def test_compression_can_be_switched_off(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(compression=False)
    client = await gateway.join("alice", offer=OFFER)
    assert "Sec-WebSocket-Extensions" not in client.head
    client.send({"type": "ping"}, compress=True)
    assert (await client.receive_close())[0] == 1002


async def test_malformed_extensions_are_refused(gateway: Gateway) -> None:
    with pytest.raises(Refused) as refused:
        await gateway.join("alice", offer="permessage-deflate; =")
    assert refused.value.status == 400
    assert "Sec-WebSocket-Extensions" in refused.value.body


@pytest.mark.parametrize(
    ("opcode", "payload", "code"),
    [
        (TEXT, deflate(b" " * 70_000), 1009),
        (TEXT, deflate(bytes(30 << 20)), 1009),
        (TEXT, b"\xff\xff\xff", 1007),
        (TEXT, deflate(b'{"type":"\xff"}'), 1007),
        (BINARY, deflate(b"{}"), 4505),
        (PING, deflate(b"x"), 1002),
        (CLOSE, b"\x03\xe8", 1002),
    ],
    ids=["big", "bomb", "garbage", "not utf-8", "binary", "ping", "close"],
)
async def test_how_compressed_connections_end(gateway: Gateway, opcode: int, payload: bytes, code: int) -> None:
    client = await gateway.join("alice", offer=OFFER)
    bystander = await gateway.join("bob", offer=OFFER)
    client.send_frame(opcode, payload, rsv1=True)
    assert (await client.receive_close())[0] == code
    assert await bystander.is_quiet()


async def test_a_bomb_in_the_lobby(gateway: Gateway) -> None:
    bomb = zlib.compress(bytes(10 << 20), wbits=-15)
    client = await WsClient.open(gateway.port, offer=OFFER, behind=mask_frame(TEXT, bomb + b"\0", rsv1=True))
    assert (await client.receive_close())[0] == 1009


async def test_every_format_has_its_number(gateway: Gateway) -> None:
    offers = ["", OFFER, "permessage-deflate; server_max_window_bits=10"]
    for number, (offer, protocol) in enumerate(itertools.product(offers, ["pushgate.v1.json", MSGPACK])):
        path = f"/ws?token={quote(make_token(f'u{number}'))}"
        await WsClient.join(gateway.port, path, protocol=protocol, offer=offer)
        (session,) = gateway.sessions.find("default", f"u{number}")
        assert session.format == number
        assert protocol == FORMATS[number].codec.PROTOCOL
