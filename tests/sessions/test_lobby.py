import asyncio
import json
import socket

import pytest

from tests.rig.client import CLOSE, PING, PONG, TEXT, Refused, WsClient, mask_frame
from tests.rig.gateway import Gateway, make_token


async def test_token_in_the_query(gateway: Gateway) -> None:
    client = await WsClient.join(gateway.port, f"/ws?token={make_token('alice')}")
    assert client.welcome == {
        "type": "welcome",
        "session": client.welcome["session"],
        "user": "alice",
        "tenant": "default",
        "ping": 25.0,
        "limits": {"message": 65536},
        "spread": 0.5,
    }
    assert len(client.welcome["session"]) == 16


async def test_token_in_the_authorization_header(gateway: Gateway) -> None:
    client = await WsClient.join(gateway.port, "/ws", headers={"Authorization": f"Bearer {make_token('alice')}"})
    assert client.welcome["user"] == "alice"


async def test_token_as_a_subprotocol(gateway: Gateway) -> None:
    offered = f"pushgate.v1.json, bearer.{make_token('alice')}"
    client = await WsClient.join(gateway.port, "/ws", headers={"Sec-WebSocket-Protocol": offered})
    assert client.welcome["user"] == "alice"
    assert "Sec-WebSocket-Protocol: pushgate.v1.json\r\n" in client.head


async def test_token_in_a_connect_message(gateway: Gateway) -> None:
    client = await WsClient.open(gateway.port)
    client.send({"type": "connect", "token": make_token("alice"), "device": "phone-1", "from": "now"})
    welcome = await client.receive()
    assert (welcome["user"], welcome["device"]) == ("alice", "phone-1")


async def test_what_is_sent_right_behind_the_request_is_not_lost(gateway: Gateway) -> None:
    client = await gateway.join("alice", behind=mask_frame(PING, b"early") + mask_frame(TEXT, b'{"type":"ping"}'))
    assert await client.receive_frame() == (PONG, b"early")
    assert await client.receive() == {"type": "pong", "spread": 0.5}


async def test_what_is_sent_right_behind_connect_is_not_lost(gateway: Gateway) -> None:
    connect = json.dumps({"type": "connect", "token": make_token("alice")}).encode()
    behind = (
        mask_frame(PING, b"1")
        + mask_frame(TEXT, connect[:9], fin=False)
        + mask_frame(PING, b"2")
        + mask_frame(0, connect[9:])
        + mask_frame(TEXT, b'{"type":"ping"}')
        + mask_frame(PING, b"3")[:4]
    )
    client = await WsClient.open(gateway.port, behind=behind)
    assert await client.receive_frame() == (PONG, b"1")
    assert await client.receive_frame() == (PONG, b"2")
    assert (await client.receive())["type"] == "welcome"
    assert await client.receive() == {"type": "pong", "spread": 0.5}
    client.writer.write(mask_frame(PING, b"3")[4:])
    assert await client.receive_frame() == (PONG, b"3")


async def test_a_request_byte_by_byte(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    request = (
        f"GET /ws?token={make_token('alice')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    for position in range(len(request)):
        writer.write(request[position : position + 1])
        await asyncio.sleep(0)
    client = WsClient(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode())
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.head
    assert (await client.receive())["type"] == "welcome"


@pytest.mark.parametrize(
    ("path", "headers", "status", "text"),
    [
        ("/", {}, 200, "pushgate"),
        ("/healthz", {}, 200, "ok"),
        ("/nothing", {}, 404, "nothing here"),
        ("/ws?device=a%20b", {}, 400, "device: expected"),
        ("/ws?cursor=-1", {}, 400, "cursor: expected"),
        ("/ws?cursor=9007199254740992", {}, 400, "cursor: expected"),
        ("/ws?epoch=", {}, 400, "epoch: expected"),
        ("/ws?from=then", {}, 400, "from: expected"),
        ("/ws?token=a&token=b", {}, 400, "comes twice"),
        ("/ws?token=a", {"Authorization": "Bearer b"}, 400, "more than one place"),
        ("/ws", {"Authorization": "Bearer b", "Sec-WebSocket-Protocol": "bearer.a"}, 400, "more than one place"),
        ("/ws", {"Authorization": "Basic b"}, 400, "Authorization: expected"),
        ("/ws", {"Sec-WebSocket-Protocol": "graphql-ws"}, 400, "offer pushgate.v1.json"),
        ("/ws", {"Upgrade": "h2c"}, 426, "WebSocket"),
        ("/ws", {"Sec-WebSocket-Version": "8"}, 426, "13"),
        ("/ws", {"Sec-WebSocket-Key": "short"}, 400, "Sec-WebSocket-Key"),
    ],
)
async def test_what_is_no_upgrade_gets_an_http_answer(
    gateway: Gateway, path: str, headers: dict[str, str], status: int, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        await WsClient.open(gateway.port, path, headers=headers)
    assert refused.value.status == status
    assert text in refused.value.body
    await gateway.until(lambda: gateway.poller.leaving == 0)
    assert gateway.count("lobby") == 0
    assert gateway.count("connections") == 0


async def test_other_methods_than_get_and_head(gateway: Gateway) -> None:
    async def ask(request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    assert b"405" in await ask(b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("token", "code"),
    [("nonsense", 4500), ("", 4500), (make_token("alice", ttl=-100), 4501), (make_token("x" * 300), 4500)],
)
async def test_a_bad_token_is_told_by_a_close_code(gateway: Gateway, token: str, code: int) -> None:
    client = await WsClient.open(gateway.port, f"/ws?token={token}")
    assert (await client.receive_close())[0] == code
    assert gateway.count("handshakes_refused_total", "token") == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (mask_frame(TEXT, b'{"type":"ping"}'), 4500),
        (mask_frame(TEXT, b'{"type":"connect"}'), 4500),
        (mask_frame(TEXT, b'{"type":"connect","token":"x"}'), 4500),
        (mask_frame(TEXT, b'{"type":"connect","token":"x","device":"not this"}'), 4505),
        (mask_frame(TEXT, b"[]"), 4505),
        (mask_frame(TEXT, b"nonsense"), 4505),
        (mask_frame(2, b"binary"), 4500),
        (mask_frame(3, b""), 1002),
        (mask_frame(TEXT, b"x" * 20_000), 1009),
        (b"\xc1\x80" + bytes(4), 1002),
    ],
)
async def test_a_bad_first_message(gateway: Gateway, frame: bytes, code: int) -> None:
    client = await WsClient.open(gateway.port, behind=frame)
    assert (await client.receive_close())[0] == code
    assert gateway.count("lobby") == 0


@pytest.mark.parametrize("size", [16_400, 17_000, 18_400, 20_000])
async def test_a_compressed_first_message_is_bounded_as_it_comes(gateway: Gateway, size: int) -> None:
    """One that the reader would still take, since compressing may have made it larger, is over the lobby's limit."""
    behind = mask_frame(TEXT, b"\x81" * size, rsv1=True)
    client = await WsClient.open(gateway.port, behind=behind, offer="permessage-deflate")
    assert (await client.receive_close())[0] == 1009
    assert gateway.count("lobby") == 0


async def test_a_close_in_the_lobby_is_answered(gateway: Gateway) -> None:
    client = await WsClient.open(gateway.port, behind=mask_frame(CLOSE, b"\x03\xe8"))
    assert await client.receive_close() == (1000, "")


async def test_no_request_in_time(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET /ws HTTP/1.1\r\nHost:")
    await gateway.until(lambda: gateway.count("lobby") == 1)
    gateway.tick(39)
    assert gateway.count("lobby") == 1
    gateway.tick()
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert gateway.count("handshakes_refused_total", "timeout") == 1
    writer.close()


async def test_no_connect_message_in_time(gateway: Gateway) -> None:
    client = await WsClient.open(gateway.port)
    gateway.tick(40)
    assert (await client.receive_close())[0] == 4504


async def test_one_that_comes_later_waits_its_own_time(gateway: Gateway) -> None:
    first = await WsClient.open(gateway.port)
    gateway.tick(20)
    second = await WsClient.open(gateway.port)
    gateway.tick(20)
    assert (await first.receive_close())[0] == 4504
    second.send({"type": "connect", "token": make_token("bob")})
    assert (await second.receive())["user"] == "bob"


async def test_one_that_goes_leaves_nothing(gateway: Gateway) -> None:
    for linger in (None, b"\x01\0\0\0\0\0\0\0"):  # a plain end, and a reset
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            client.send(b"GET /ws HT")
            await gateway.until(lambda: gateway.count("lobby") == 1)
            if linger:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await gateway.until(lambda: gateway.count("lobby") == 0)
    assert gateway.count("handshakes_refused_total", "gone") == 2


async def test_a_stopping_worker_turns_guests_away(gateway: Gateway) -> None:
    waiting = await WsClient.open(gateway.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET")
    await gateway.until(lambda: gateway.count("lobby") == 2)
    gateway.lobby.empty()
    assert (await waiting.receive_close())[0] == 4000
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    writer.close()


async def test_a_token_just_expired_is_within_the_leeway(gateway: Gateway) -> None:
    client = await gateway.join("alice", ttl=-10)
    assert client.welcome["user"] == "alice"
