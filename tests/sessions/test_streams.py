"""Sessions over Server-Sent Events, beside those on WebSockets: on real sockets, in one worker's rooms."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from pushgate.codes import Close
from pushgate.config import LimitsConfig
from pushgate.errors import MessageError
from pushgate.messages.push import Push, encode_push
from pushgate.sessions.terms import Terms
from tests.rig.client import Refused
from tests.rig.events import EventStream, ask
from tests.rig.gateway import Gateway, make_token

MakeGateway = Callable[..., Gateway]


async def test_a_stream_gets_what_a_websocket_gets(gateway: Gateway) -> None:
    stream, websocket = await gateway.listen("alice", "&device=d"), await gateway.join("alice")
    assert stream.welcome == {**websocket.welcome, "session": stream.session, "device": "d"}
    assert len(stream.session) == 16
    said: list[Any] = [1, "line\nend \r\n\u2028 é\0", {"a": [None, 1.5]}, "x" * 100_000]
    for data in said:
        gateway.push("alice", data=data)
        gateway.push(data=data, event="all")
    spaced = b'{\r\n  "a":\n\n[1,\r2]}'
    gateway.router.receive(encode_push(Push("default", ["alice"], "m", "e", 1, spaced)))
    for _ in range(2 * len(said) + 1):
        assert await stream.receive() == await websocket.receive()
    assert gateway.count("event_streams") == 1
    assert gateway.count("connections") == 2
    assert gateway.count("messages_delivered_total") == 2 * (2 * len(said) + 1)


async def test_token_in_the_header_and_address_and_agent(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {make_token('alice', tags=['a'])}", "User-Agent": "Test/1.0"}
    stream = await EventStream.join(gateway.port, "/sse", headers=headers)
    (session,) = gateway.sessions.find("default", "alice")
    told = gateway.sessions.describe(session)
    assert (told.session, told.address, told.agent) == (stream.session, "127.0.0.1", "Test/1.0")
    gateway.push(tags=["b"])
    gateway.push(tags=["a"], data="mine")
    assert (await stream.receive())["data"] == "mine"


@pytest.mark.parametrize("token", ["", "nonsense", make_token("alice", ttl=-100)])
async def test_a_bad_token_is_told_by_an_event(gateway: Gateway, token: str) -> None:
    stream = await EventStream.open(gateway.port, f"/sse?token={token}")
    code, reason = await stream.receive_end()
    assert code == (4501 if token.count(".") == 2 else 4500)
    assert reason
    assert stream.parser.retry == 60_000, "a browser does not come back at once for the same answer"
    assert gateway.count("handshakes_refused_total", "token") == 1
    assert gateway.count("lobby") == 0


async def test_over_the_cap_the_oldest_goes_whichever_it_is(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(sessions_per_user=2)
    first = await gateway.listen("alice")
    second = await gateway.join("alice")
    third = await gateway.listen("alice")
    assert await first.receive_end() == (4502, "")
    fourth = await gateway.join("alice")
    assert (await second.receive_close())[0] == 4502
    gateway.push("alice")
    assert (await third.receive()) == (await fourth.receive())


async def test_a_device_has_one_connection_of_either_kind(gateway: Gateway) -> None:
    stream = await gateway.listen("alice", "&device=phone")
    websocket = await gateway.join("alice", "&device=phone")
    assert (await stream.receive_end())[0] == 4502
    again = await gateway.listen("alice", "&device=phone")
    assert (await websocket.receive_close())[0] == 4502
    gateway.push("alice")
    assert (await again.receive())["data"] == "hi"
    assert gateway.count("event_streams") == gateway.count("connections") == 1


async def test_a_comment_comes_each_interval_and_nobody_has_to_answer(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(ping_interval=4.0, pong_timeout=4.0)  # 16 ticks; everybody is seen every 4
    stream = await gateway.listen("alice")
    gateway.tick(15)
    assert gateway.count("pings_total") == 0
    for beats in range(1, 6):
        gateway.tick(5 if beats == 1 else 16)
        assert await stream.beat() == beats
    gateway.push("alice")
    assert (await stream.receive())["data"] == "hi"


async def test_a_client_that_takes_nothing_is_found_out(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(ping_interval=1.0, pong_timeout=5.0, write_bound=64 * 1024 * 1024)  # dead after 24 ticks
    stream = await gateway.listen("alice")
    stream.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while gateway.count("write_buffer_bytes") < 20_000_000:
        gateway.push("alice", data="x" * 1_000_000)
    ticks = 0
    while gateway.count("write_buffer_bytes") > 8_000_000:
        gateway.tick(4)
        ticks += 4
        stream.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await stream.next()
        stream.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert gateway.count("connections") == 1, "it takes some"
    assert ticks >= 24
    gateway.tick(30)
    assert gateway.count("connections_closed_total", "4002") == 1


async def test_a_slow_client_is_bounded_and_told_behind_what_fits(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(write_bound=200_000)
    stream = await gateway.listen("alice")
    stream.writer.transport.pause_reading()  # type: ignore[attr-defined]
    number = 0
    while gateway.count("connections") == 1:
        gateway.push("alice", data=[number, "x" * 50_000])
        number += 1
    stream.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert [(await stream.receive())["data"][0] for _ in range(number - 1)] == list(range(number - 1))
    assert (await stream.receive_end())[0] == 4001
    assert gateway.count("messages_dropped_total", "slow_client") == 1


async def test_sending_away_tells_a_browser_when_to_come_back(gateway: Gateway) -> None:
    stream = await gateway.listen("alice")
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.send_away(session, 1.5)
    assert await stream.receive() == {"type": "reconnect", "after": 1.5}
    assert stream.parser.retry == 2500
    assert (await stream.receive_end())[0] == 4000
    assert gateway.count("event_streams") == 0


async def test_a_session_ends_after_its_token(gateway: Gateway) -> None:
    stream = await gateway.listen("alice")
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.set_expiry(session, int(time.time()) - 32)
    gateway.tick(20)
    assert (await stream.receive_end())[0] == 4501


async def test_clients_that_leave(gateway: Gateway) -> None:
    reset, half = await gateway.listen("alice"), await gateway.listen("alice")
    reset.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    reset.writer.transport.abort()
    half.writer.write_eof()
    await gateway.until(lambda: gateway.count("connections") == 0)
    assert gateway.count("users") == gateway.count("event_streams") == 0


async def test_what_a_listener_says_is_not_heard_and_bounded(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(bytes_per_second=100_000))
    stream = await gateway.listen("alice")
    stream.writer.write(b"\x81\x85\0\0\0\0hello" + b"GET /sse HTTP/1.1\r\n\r\n")
    await gateway.until(lambda: gateway.count("received_bytes_total") > 0)
    gateway.push("alice")
    assert (await stream.receive())["data"] == "hi"
    stream.writer.write(bytes(20_000_000))
    assert (await stream.receive_end())[0] == 4506


async def test_a_fault_with_one_stream_reaches_no_other(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, bystander = await gateway.listen("alice"), await gateway.listen("bob")
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(gateway.sessions.streams, "_pace", None)
        victim.writer.write(b"?")
        await gateway.until(lambda: gateway.count("connections") == 1)
    assert (await victim.receive_end())[0] == 1011
    gateway.push("bob")
    assert (await bystander.receive())["data"] == "hi"
    assert [entry["event"] for entry in logs] == ["a connection met a fault in the gateway"]


async def test_the_origins_that_may_listen(gateway: Gateway, make_gateway: MakeGateway) -> None:
    token = make_token("alice")
    page = {"Origin": "https://app.example.com"}
    listed = make_gateway(origins=["https://app.example.com"])
    for place in (gateway, listed):
        stream = await EventStream.join(place.port, f"/sse?token={token}", headers=page)
        assert "\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n" in stream.head
        assert "\r\nVary: Origin\r\n" in stream.head
    assert "Access-Control" not in (await gateway.listen("alice")).head
    with pytest.raises(Refused) as refused:
        await EventStream.open(listed.port, f"/sse?token={token}", headers={"Origin": "https://evil.example"})
    assert refused.value.status == 403
    assert listed.count("handshakes_refused_total", "origin") == 1
    with pytest.raises(Refused) as refused:
        await EventStream.open(listed.port, "/sse?device=a%20b", headers=page)
    assert refused.value.status == 400
    assert "\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n" in refused.value.head, "a page may read why"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/sse", 405, "GET, OPTIONS"),
        ("HEAD", "/sse", 405, "GET, OPTIONS"),
        ("GET", "/ack", 405, "POST, OPTIONS"),
        ("PUT", "/ack", 405, "POST, OPTIONS"),
        ("OPTIONS", "/sse", 204, None),
        ("OPTIONS", "/ack", 204, None),
    ],
)
async def test_methods(gateway: Gateway, method: str, path: str, status: int, allow: str | None) -> None:
    answer = await ask(gateway.port, method, path, {"Origin": "https://a.example"})
    assert (answer.status, answer.headers.get("allow")) == (status, allow)
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    if status == 204:
        assert answer.body == ""
        assert answer.headers["access-control-allow-methods"] == ("GET" if path == "/sse" else "POST")
        assert "content-length" not in answer.headers
    assert gateway.count("lobby") == 0
    assert gateway.count("handshakes_refused_total", "not_websocket") == (status == 405)


class FakeDevices:
    """Devices that were sent everything up to 47."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def begin(self, channel: object, cursor: int) -> None: ...

    def end(self, channel: object) -> None: ...

    def progress(self, channel: object) -> tuple[int, int]:
        return 47, 0

    def acknowledge(self, channel: object, offset: int) -> bool:
        if offset > 47:
            raise MessageError("bad_offset", "expected at most 47", "offset")
        self.acknowledged.append(offset)
        return True


async def start_questions(gateway: Gateway) -> FakeDevices:
    devices = FakeDevices()
    gateway.sessions.devices = devices  # type: ignore[assignment]
    await gateway.bus.start(range(256), gateway.router.receive, lambda: None)
    for _ in range(10):
        gateway.questions.tick()
    return devices


async def post(gateway: Gateway, user: str, session: str, offset: Any, **headers: str) -> tuple[int, str]:
    named = {"Authorization": f"Bearer {make_token(user)}", **headers}
    answer = await ask(gateway.port, "POST", "/ack", named, json.dumps({"session": session, "offset": offset}))
    return answer.status, answer.body


async def test_an_acknowledgement_reaches_its_session_and_is_answered_then(gateway: Gateway) -> None:
    devices = await start_questions(gateway)
    stream, other = await gateway.listen("alice", "&device=phone"), await gateway.listen("alice")
    assert await post(gateway, "alice", stream.session, 46) == (204, "")
    assert await post(gateway, "alice", stream.session, 47) == (204, "")
    assert devices.acknowledged == [46, 47]
    assert await post(gateway, "alice", stream.session, 48) == (400, "offset: expected at most 47\n")
    assert (await post(gateway, "alice", other.session, 1))[0] == 409
    assert (await post(gateway, "bob", stream.session, 47))[0] == 404, "it is not bob's"
    await stream.close()
    await gateway.until(lambda: gateway.count("connections") == 1)
    status, text = await post(gateway, "alice", stream.session, 47)
    assert (status, "connect again" in text) == (404, True)
    counts = {status: gateway.count("posted_acknowledgements_total", status) for status in ("204", "400", "404", "409")}
    assert counts == {"204": 2, "400": 1, "404": 2, "409": 1}
    assert gateway.count("lobby") == 0
    await gateway.until(lambda: gateway.poller.leaving == 0)


async def test_a_page_may_read_what_becomes_of_its_acknowledgement(gateway: Gateway) -> None:
    await start_questions(gateway)
    page = {"Origin": "https://a.example"}
    body = json.dumps({"session": "0" * 16, "offset": 1})
    for path, status in ((f"/ack?token={make_token('alice')}", 404), ("/ack?token=x", 401), ("/ack", 401)):
        answer = await ask(gateway.port, "POST", path, page, body)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
    listed = gateway.terms
    gateway.lobby._terms = Terms(type(gateway.config)(origins=["https://b.example"]), LimitsConfig())
    assert (await ask(gateway.port, "POST", "/ack", page, body)).status == 403
    gateway.lobby._terms = listed


async def test_an_acknowledgement_byte_by_byte(gateway: Gateway) -> None:
    devices = await start_questions(gateway)
    stream = await gateway.listen("alice", "&device=phone")
    body = json.dumps({"session": stream.session, "offset": 40})
    request = (
        f"POST /ack?token={make_token('alice')} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}GET /"
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for position in range(len(request)):
        writer.write(request[position : position + 1])
        await asyncio.sleep(0)
    assert (await reader.read()).startswith(b"HTTP/1.1 204 No Content\r\n")
    writer.close()
    assert devices.acknowledged == [40]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 1025", 413),
        ("Content-Length: 99999999999999999999999", 400),
        ("Content-Length: 010", 413),
        ("Transfer-Encoding: chunked", 413),
        ("X: no body", 400),
        ("Content-Length: 5", 408),
    ],
)
async def test_bodies_that_no_acknowledgement_has(gateway: Gateway, headers: str, status: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"POST /ack?token={make_token('alice')} HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\nabc".encode())
    await gateway.until(lambda: gateway.count("lobby") == (status == 408))
    if status == 408:
        (guest,) = gateway.lobby._guests.values()
        await gateway.until(lambda: guest.size > 0)
        gateway.tick(41)
    assert (await reader.read()).startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()


async def test_the_reason_of_an_end_is_told_as_it_is(gateway: Gateway) -> None:
    stream = await gateway.listen("alice")
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.close(session, Close.GOING_AWAY, "reason “quoted”")
    assert await stream.receive_end() == (4000, "reason “quoted”")
