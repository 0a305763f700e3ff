import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from pushgate.delivery import fanout
from pushgate.messages.push import Push, encode_push
from pushgate.metrics.catalogue import BUS_LAG
from tests.rig.client import WsClient
from tests.rig.gateway import Gateway


async def test_a_push_reaches_every_connection_of_its_user_alone(gateway: Gateway) -> None:
    tabs = [await gateway.join("alice") for _ in range(3)]
    bob = await gateway.join("bob")
    stranger = await gateway.join("alice", tenant="acme")
    pushed = gateway.push("alice", data={"text": "hi"}, event="comment")
    for tab in tabs:
        message = await tab.receive()
        assert message == {
            "type": "message",
            "id": pushed,
            "event": "comment",
            "data": {"text": "hi"},
            "time": message["time"],
        }
    assert await bob.is_quiet()
    assert await stranger.is_quiet()
    assert gateway.count("messages_delivered_total") == 3


async def test_a_push_to_many_users(gateway: Gateway) -> None:
    clients = {name: await gateway.join(name) for name in ("alice", "bob", "carol")}
    gateway.push("alice", "nobody", "carol")
    assert (await clients["alice"].receive())["data"] == "hi"
    assert (await clients["carol"].receive())["data"] == "hi"
    assert await clients["bob"].is_quiet()


async def test_the_way_over_the_bus_is_measured_whoever_is_connected(gateway: Gateway) -> None:
    now = time.time() * 1000
    gateway.push("nobody", time=int(now - 3000))
    gateway.push(time=int(now + 3000))  # a clock that goes ahead counts as no time at all
    counts = gateway.row[BUS_LAG.first : BUS_LAG.first + len(BUS_LAG.buckets) + 2].tolist()
    assert counts[0] == 1
    assert counts[BUS_LAG.buckets.index(5.0)] == 1
    assert 3.0 <= counts[-1] / 1e6 < 5.0


async def test_a_push_to_everyone_of_a_tenant(gateway: Gateway) -> None:
    clients = [await gateway.join(f"u{number}") for number in range(5)]
    other = await gateway.join("u0", tenant="acme")
    gateway.push()
    for client in clients:
        assert (await client.receive())["data"] == "hi"
    assert await other.is_quiet()


async def test_narrowed_to_a_device_to_tags_and_around_a_session(gateway: Gateway) -> None:
    phone = await gateway.join("alice", query="&device=phone")
    gold = await gateway.join("alice", tags=["gold", "beta"])
    plain = await gateway.join("alice")

    async def who_gets(everyone: bool, **narrow: Any) -> list[str]:
        gateway.push(*([] if everyone else ["alice"]), **narrow)
        await gateway.until(lambda: not gateway.fanout.busy)
        return [
            name for name, client in (("phone", phone), ("gold", gold), ("plain", plain)) if not await client.is_quiet()
        ]

    for everyone in (False, True):
        for narrow, expected in (
            ({"device": "phone"}, ["phone"]),
            ({"device": "tablet"}, []),
            ({"tags": ["beta", "other"]}, ["gold"]),
            ({"tags": ["other"]}, []),
            ({"except_session": plain.welcome["session"]}, ["phone", "gold"]),
            ({"except_session": "not a session"}, ["phone", "gold", "plain"]),
        ):
            assert await who_gets(everyone=everyone, **narrow) == expected, (everyone, narrow)


async def test_bytes_are_base64_on_a_json_connection(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    push = Push("default", ["alice"], "id1", "image", 1, b"\x00\xffraw", binary=True)
    gateway.router.receive(encode_push(push))
    message = await client.receive()
    assert (message["data"], message["encoding"]) == ("AP9yYXc=", "base64")


async def test_any_json_value_passes_unchanged(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    for text in ('{"a": [1, 2.50, null, "\\u00e9\\ud83d\\ude00"]}', "12345678901234567890", '"é😀"', "  true ", "[]"):
        push = Push("default", ["alice"], "id1", "m", 1, text.encode())
        gateway.router.receive(encode_push(push))
        _, payload = await client.receive_frame()
        assert text.encode() in payload
        assert json.loads(payload)["data"] == json.loads(text)


async def test_order_holds_within_and_across_targets(gateway: Gateway) -> None:
    """Also while a fan-out is under way: a session is first given what is pending for everyone."""
    clients = [await gateway.join(f"u{number}") for number in range(20)]
    expected: list[list[int]] = [[] for _ in clients]
    for number in range(200):
        if number % 3 == 0:
            gateway.push(data=number)
            for seen in expected:
                seen.append(number)
        else:
            gateway.push(f"u{number % 20}", data=number)
            expected[number % 20].append(number)
    for client, numbers in zip(clients, expected, strict=True):
        assert [(await client.receive())["data"] for _ in numbers] == numbers
        assert await client.is_quiet()


async def test_sessions_that_come_and_go_while_slices_run(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SLICE", 1)
    clients = [await gateway.join(f"u{number}") for number in range(4)]
    gateway.push(data=1)
    gateway.push(data=2)
    first, *_, last = (gateway.sessions.find("default", f"u{number}")[0] for number in range(4))
    while gateway.fanout._runs[0].position <= first.fd:
        await asyncio.sleep(0)
    gateway.sessions.drop(first)
    gateway.push("u3", data="own")
    gateway.sessions.drop(gateway.sessions.find("default", "u1")[0])
    assert [(await clients[3].receive())["data"] for _ in range(3)] == [1, 2, "own"], "first what is pending"
    await gateway.until(lambda: not gateway.fanout.busy)
    assert last.fd > first.fd
    assert await clients[3].is_quiet(), "and the slices then skip it"
    assert [(await clients[2].receive())["data"] for _ in range(2)] == [1, 2]
    late = await gateway.join("late")
    assert await late.is_quiet()


async def test_nothing_is_written_behind_a_close(make_gateway: Callable[..., Gateway]) -> None:
    """What is pending for everyone ends a client that does not read; its own message then is not written."""
    gateway = make_gateway(write_bound=8192)
    slow = await gateway.join("alice")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while gateway.count("write_buffer_bytes") == 0:
        gateway.push("alice", data="x" * 100_000)
    delivered = gateway.count("messages_delivered_total")
    gateway.push(data="y" * 8000)
    gateway.push(data="y" * 8000)
    gateway.push("alice", data="own")
    assert gateway.count("connections") == 0
    assert gateway.count("messages_delivered_total") == delivered
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await slow.receive_close())[0] == 4001


async def test_fan_outs_under_way_are_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "PENDING_BOUND", 1000)
    client = await gateway.join("alice")
    for number in range(5):
        gateway.push(data=f"{number}" + "x" * 300)
    assert gateway.count("messages_dropped_total", "fan_out_full") == 2
    assert [(await client.receive())["data"][0] for _ in range(3)] == ["0", "1", "2"]
    gateway.push(data="again")
    assert (await client.receive())["data"] == "again"


async def test_a_fault_in_one_fan_out_does_not_stop_the_next(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await gateway.join("alice")
    write = gateway.fanout._write_range
    calls = 0

    def fail_once(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")
        write(*args)

    monkeypatch.setattr(gateway.fanout, "_write_range", fail_once)
    with capture_logs() as logs:
        gateway.push(data="lost")
        gateway.push(data="next")
        assert (await client.receive())["data"] == "next"
    assert len(logs) == 1


async def test_a_short_spread_blocks_nobody(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SLICE", 16)
    client = await gateway.join("alice")
    looked: list[int] = []
    write = gateway.fanout._write_slice

    def watch(run: Any, size: int) -> bool:
        looked.append(size)
        return write(run, size)

    monkeypatch.setattr(gateway.fanout, "_write_slice", watch)
    gateway.push(spread=0.05)
    assert (await client.receive())["data"] == "hi"
    assert max(looked) <= 16


async def test_spread_reaches_everyone_within_its_time(gateway: Gateway) -> None:
    clients = [await gateway.join(f"u{number}") for number in range(10)]
    began = gateway.loop.time()
    gateway.push(data="slowly", spread=0.4)
    gateway.push("u9", data="at once")
    assert {(await clients[9].receive())["data"] for _ in range(2)} == {"slowly", "at once"}
    for client in clients[:9]:
        assert (await client.receive())["data"] == "slowly"
    assert gateway.loop.time() - began < 2


async def test_spread_is_slow_where_the_table_is_walked(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway()
    clients = [await gateway.join(f"u{number}") for number in range(4)]
    descriptors = [session.fd for session in gateway.sessions.by_fd if session is not None]
    began = gateway.loop.time()
    gateway.push(spread=len(gateway.sessions.by_fd) / max(descriptors) * 0.3)
    for client in clients:
        await client.receive()
    assert gateway.loop.time() - began >= 0.2, "the last of them comes late"


async def test_what_is_no_push_is_dropped_and_counted(gateway: Gateway) -> None:
    with capture_logs() as logs:
        gateway.router.receive(b"nonsense")
        gateway.router.receive(b"")
    assert len(logs) == 2
    assert gateway.count("messages_dropped_total", "undecodable") == 2


async def test_a_client_that_does_not_read_is_bounded_and_closed(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(write_bound=65536)
    slow = await gateway.join("alice")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    other = await gateway.join("alice")
    pushes = 0
    while gateway.count("messages_dropped_total", "slow_client") == 0:
        gateway.push("alice", data="x" * 50_000)
        pushes += 1
        assert pushes < 1000
        assert (await other.receive())["type"] == "message"
        assert gateway.count("write_buffer_bytes") <= 65536 + 50_200
    assert gateway.count("connections") == 1
    gateway.push("alice", data="after")
    assert (await other.receive())["data"] == "after"
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    received = 0
    while True:
        opcode, payload = await slow.receive_frame()
        if opcode == 8:
            break
        assert json.loads(payload)["data"] == "x" * 50_000, "what was taken arrives whole"
        received += 1
    assert received == pushes - 1
    assert int.from_bytes(payload[:2], "big") == 4001
    await slow.reader.read()
    await slow.close()
    await gateway.until(lambda: gateway.poller.leaving == 0)
    assert gateway.count("write_buffer_bytes") == 0


async def test_a_slow_client_that_reads_again_loses_nothing(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(write_bound=16 * 1024 * 1024)
    client = await gateway.join("alice")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    count = 0
    while gateway.count("write_buffer_bytes") < 4_000_000:
        gateway.push("alice", data=[count, "x" * 100_000])
        count += 1
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for number in range(count):
        assert (await client.receive())["data"][0] == number
    assert gateway.count("write_buffer_bytes") == 0
    assert await client.is_quiet()


async def test_the_same_bytes_are_parked_for_all(make_gateway: Callable[..., Gateway]) -> None:
    """A message is never copied per slow client: what is parked for many shares one buffer."""
    gateway = make_gateway()
    clients: list[WsClient] = []
    for _ in range(3):
        client = await gateway.join("alice")
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        clients.append(client)
    while len(gateway.poller._parked) < 3:
        gateway.push("alice", data="x" * 200_000)
    gateway.push("alice", data="y" * 100)
    last = [parked.chunks[-1].obj for parked in gateway.poller._parked.values()]
    assert all(buffer is last[0] for buffer in last)


async def test_what_is_spread_is_written_once_to_a_session_that_is_to_leave_and_stays(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    gateway.push(spread=20.0, data="slow")
    (session,) = gateway.sessions.find("default", "alice")
    (run,) = gateway.fanout._spreads
    assert run.position < session.fd
    gateway.fanout.finish(session)
    assert (await client.receive())["data"] == "slow"
    await gateway.until(lambda: run.position > session.fd)
    assert await client.is_quiet()
