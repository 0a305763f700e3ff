import asyncio
import socket
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from tests.rig.client import BINARY, CLOSE, PING, PONG, TEXT, WsClient, mask_frame
from tests.rig.gateway import Gateway, make_token


async def test_sessions_of_a_user(gateway: Gateway) -> None:
    first = await gateway.join("alice")
    second = await gateway.join("alice", query="&device=phone")
    await gateway.join("bob")
    assert gateway.count("connections") == 3
    assert gateway.count("users") == 2
    phones = gateway.sessions.find("default", "alice")
    assert [session.device for session in phones] == [None, "phone"]
    assert first.welcome["session"] != second.welcome["session"]
    await first.close()
    await gateway.until(lambda: len(gateway.sessions.find("default", "alice")) == 1)
    await second.close()
    await gateway.until(lambda: gateway.count("users") == 1)
    assert gateway.sessions.find("default", "alice") == ()
    assert gateway.count("connections_closed_total", "1006") == 2


async def test_the_same_uid_in_two_tenants_is_two_users(gateway: Gateway) -> None:
    await gateway.join("alice")
    await gateway.join("alice", tenant="acme")
    assert gateway.count("users") == 2
    assert len(gateway.sessions.find("default", "alice")) == 1
    assert len(gateway.sessions.find("acme", "alice")) == 1
    assert gateway.sessions.find("nobody", "alice") == ()


async def test_over_the_cap_the_oldest_goes(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(sessions_per_user=2)
    first, second, third = [await gateway.join("alice") for _ in range(3)]
    assert await first.receive_close() == (4502, "")
    assert await second.is_quiet()
    assert await third.is_quiet()
    assert len(gateway.sessions.find("default", "alice")) == 2


async def test_a_device_that_comes_back_at_the_cap_costs_nobody_else(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(sessions_per_user=2)
    other = await gateway.join("alice", query="&device=a")
    old = await gateway.join("alice", query="&device=b")
    new = await gateway.join("alice", query="&device=b")
    assert (await old.receive_close())[0] == 4502
    assert await other.is_quiet()
    assert await new.is_quiet()
    assert gateway.count("users") == 1


async def test_a_newer_connection_of_a_device_replaces_the_older(gateway: Gateway) -> None:
    old = await gateway.join("alice", query="&device=phone")
    other = await gateway.join("alice", query="&device=tablet")
    new = await gateway.join("alice", query="&device=phone")
    assert (await old.receive_close())[0] == 4502
    assert await other.is_quiet()
    assert await new.is_quiet()


async def test_heartbeats_of_the_client(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    client.send_frame(PING, b"12345")
    assert await client.receive_frame() == (PONG, b"12345")
    client.send({"type": "ping"})
    assert await client.receive() == {"type": "pong", "spread": 0.5}


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        (b'{"type":"nonsense"}', "unknown_type", "type"),
        (b'{"type":7}', "bad_field", "type"),
        (b"{}", "bad_field", "type"),
        (b'{"type":"ack","offset":"7"}', "bad_field", "offset"),
        (b'{"type":"ack","offset":true}', "bad_field", "offset"),
        (b'{"type":"ack"}', "bad_field", "offset"),
        (b'{"type":"ack","offset":7}', "no_inbox", "offset"),
        (b'{"type":"refresh"}', "bad_field", "token"),
        (b'{"type":"refresh","token":"x"}', "token_refused", "token"),
        (b'{"type":"connect","token":"x"}', "connected", "type"),
    ],
)
async def test_a_wrong_message_gets_an_error_and_the_connection_lives(
    gateway: Gateway, text: bytes, code: str, field: str
) -> None:
    client = await gateway.join("alice")
    client.send_frame(TEXT, text)
    error = await client.receive()
    assert (error["type"], error["code"], error["field"]) == ("error", code, field)
    assert await client.is_quiet()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (mask_frame(TEXT, b"[1]"), 4505),
        (mask_frame(TEXT, b"nonsense"), 4505),
        (mask_frame(TEXT, b"[" * 5000 + b"]" * 5000), 4505),
        (mask_frame(TEXT, b'{"type":"\xff"}'), 1007),
        (mask_frame(BINARY, b"x"), 4505),
        (mask_frame(11, b""), 1002),
        (mask_frame(CLOSE, b"\x03"), 1002),
        (b"\x81\x05hello", 1002),
        (mask_frame(TEXT, b"x" * 70_000), 1009),
        (mask_frame(CLOSE, b"\x03\xe8bye"), 1000),
        (mask_frame(CLOSE, b""), 1005),
    ],
)
async def test_how_connections_end(gateway: Gateway, frame: bytes, code: int) -> None:
    client = await gateway.join("alice")
    bystander = await gateway.join("bob")
    client.writer.write(frame)
    assert (await client.receive_close())[0] == code
    assert gateway.count("connections_closed_total", str(code)) == 1
    assert gateway.count("connections") == 1
    assert await bystander.is_quiet()


async def test_frames_split_and_joined(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    stream = (
        mask_frame(PING, b"a")
        + mask_frame(TEXT, b'{"type":', fin=False)
        + mask_frame(PING, b"b")
        + mask_frame(0, b'"ping"}')
    )
    for position in range(len(stream)):
        client.writer.write(stream[position : position + 1])
        await asyncio.sleep(0)
    assert await client.receive_frame() == (PONG, b"a")
    assert await client.receive_frame() == (PONG, b"b")
    assert await client.receive() == {"type": "pong", "spread": 0.5}
    (session,) = gateway.sessions.find("default", "alice")
    assert session.reader is None, "nothing half read, nothing kept"


async def test_refresh(gateway: Gateway) -> None:
    client = await gateway.join("alice", ttl=100)
    (session,) = gateway.sessions.find("default", "alice")
    client.send({"type": "refresh", "token": make_token("alice", ttl=5000, tags=["gold"])})
    assert await client.is_quiet()
    assert gateway.sessions.columns.expires[session.fd] > time.time() + 4000
    assert session.tags == ("gold",)
    for user, tenant in (("bob", "default"), ("alice", "acme")):
        client.send({"type": "refresh", "token": make_token(user, tenant)})
        assert (await client.receive())["code"] == "token_refused"


async def test_a_session_ends_after_its_token(gateway: Gateway) -> None:
    client = await gateway.join("alice", ttl=-20)
    lasting = await gateway.join("bob")
    gateway.tick(20)
    assert await client.is_quiet(), "within the leeway"
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.set_expiry(session, int(time.time()) - 32)
    gateway.tick(20)
    assert (await client.receive_close())[0] == 4501
    assert await lasting.is_quiet()


async def test_what_a_session_tells(gateway: Gateway) -> None:
    token = quote(make_token("alice", tags=["a", "b"]))
    client = await WsClient.join(
        gateway.port, f"/ws?token={token}&device=d1", headers={"User-Agent": "Test/1.0 " + "x" * 300}
    )
    (session,) = gateway.sessions.find("default", "alice")
    told = gateway.sessions.describe(session)
    assert told.session == client.welcome["session"]
    assert told.device == "d1"
    assert told.address == "127.0.0.1"
    assert told.agent.startswith("Test/1.0 xxx")
    assert len(told.agent) == 128
    assert abs(told.since - time.time()) < 5
    assert session.tags == ("a", "b")


async def test_a_reset_and_a_half_close(gateway: Gateway) -> None:
    reset = await gateway.join("alice")
    reset.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    reset.writer.transport.abort()
    await gateway.until(lambda: gateway.count("connections") == 0)
    half = await gateway.join("alice")
    half.writer.write_eof()
    await gateway.until(lambda: gateway.count("connections") == 0)
    assert gateway.count("users") == 0


async def test_sending_away(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.send_away(session, 1.5)
    assert await client.receive() == {"type": "reconnect", "after": 1.5}
    assert (await client.receive_close())[0] == 4000


async def test_a_fault_with_one_connection_reaches_no_other(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = await gateway.join("alice")
    bystander = await gateway.join("bob")
    handle = gateway.inbound._handle_frame

    def fail(session: object, opcode: int, payload: bytes) -> None:
        if payload == b"boom":
            raise RuntimeError("a bug")
        handle(session, opcode, payload)  # type: ignore[arg-type]

    monkeypatch.setattr(gateway.inbound, "_handle_frame", fail)
    with capture_logs() as logs:
        victim.send_frame(PING, b"boom")
        assert (await victim.receive_close())[0] == 1011
    assert await bystander.is_quiet()
    assert gateway.count("connections") == 1
    assert [entry["event"] for entry in logs] == ["a connection met a fault in the gateway"]
    assert gateway.count("connections_closed_total", "1011") == 1


async def test_a_fault_with_what_came_behind_the_handshake_leaves_no_session(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: object, opcode: int, payload: bytes) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gateway.inbound, "_handle_frame", fail)
    with capture_logs() as logs:
        client = await gateway.join("alice", behind=mask_frame(PING, b"boom"))
        assert (await client.receive_close())[0] == 1011
    assert len(logs) == 1
    assert gateway.count("connections") == gateway.count("users") == gateway.count("lobby") == 0
    await client.close()
    await gateway.until(lambda: gateway.poller.leaving == 0)
