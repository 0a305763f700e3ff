"""Server-Sent Events against nodes in processes of their own: reliable, resumed, upgraded, acknowledged anywhere."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from pushgate.sessions.replacing import SETTLED
from tests.fakes.nats import freeze
from tests.faults.test_processes import MakeNode
from tests.faults.test_questions import call, pair, two_nodes  # noqa: F401
from tests.rig.client import WsClient
from tests.rig.events import EventStream, acknowledge
from tests.rig.node import RunningNode, wait_until

Pair = tuple[RunningNode, RunningNode]


async def join(node: RunningNode, user: str, query: str = "&device=phone", last: int | None = None) -> EventStream:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return await EventStream.join(node.clients_port, f"/sse?token={node.token(user)}{query}", headers=headers)


async def push(node: RunningNode, user: str, data: Any) -> None:
    answer = await asyncio.to_thread(node.push, user, data, qos="reliable")
    assert answer.status_code == 202, answer.text


async def ack(node: RunningNode, user: str, stream: EventStream, offset: object) -> int:
    return (await acknowledge(node.clients_port, node.token(user), stream.session, offset)).status


async def test_reliable_acknowledged_and_resumed(make_node: MakeNode) -> None:
    """All users have one device each, of both workers; acknowledgements come to whichever worker accepts them."""
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    users = [f"user{number}" for number in range(8)]
    streams = {user: await join(node, user) for user in users}
    offsets = {}
    for user, stream in streams.items():
        assert (stream.welcome["cursor"], stream.welcome["missed"]) == (0, False)
        assert stream.parser.last_id == "0"
        for number in range(3):
            await push(node, user, number)
        messages = [await stream.receive() for _ in range(3)]
        assert [message["data"] for message in messages] == [0, 1, 2]
        offsets[user] = [message["offset"] for message in messages]
        assert await ack(node, user, stream, offsets[user][0]) == 204
        assert await ack(node, user, stream, offsets[user][0]) == 204, "again is harmless"
        assert await ack(node, user, stream, offsets[user][2] + 1000) == 400
    for user, stream in streams.items():
        await stream.close()
        (_, second, third) = offsets[user]
        # The browser has had the second one; a page without a memory has what was acknowledged.
        resumed = await join(node, user, last=second)
        assert (resumed.welcome["cursor"], resumed.welcome["missed"]) == (second, False)
        assert (await resumed.receive())["offset"] == third
        assert resumed.parser.last_id == str(third)
        again = await join(node, user)
        assert (await resumed.receive_end())[0] == 4502, "one connection a device"
        assert again.welcome["cursor"] == second
        assert (await again.receive())["offset"] == third
    assert node.total("acknowledgements_total") == 16
    assert node.metrics()["event_streams"] == len(users)


async def test_what_is_not_acknowledged_is_sent_again_and_a_websocket_goes_on(make_node: MakeNode) -> None:
    node = make_node()
    node.start()
    stream = await join(node, "alice")
    await push(node, "alice", "one")
    first = await stream.receive()
    again = await stream.receive()
    assert again == {**first, "resent": True}
    assert await ack(node, "alice", stream, first["offset"]) == 204
    await push(node, "alice", "two")
    assert (await stream.receive())["data"] == "two"
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}&device=phone")
    assert (await stream.receive_end())[0] == 4502
    assert client.welcome["cursor"] == first["offset"]
    assert (await client.receive())["data"] == "two"
    assert await ack(node, "alice", stream, first["offset"]) == 404


async def test_a_place_of_another_epoch_is_no_place(make_node: MakeNode) -> None:
    """The inbox is emptied while the browser is away: what it remembers is not taken for one of the new offsets."""
    node = make_node()
    node.start()
    stream = await join(node, "alice")
    for number in range(5):
        await push(node, "alice", number)
    last = [(await stream.receive())["offset"] for _ in range(5)][-1]
    node.stop()
    shutil.rmtree(node.data_dir / "nats" / "jetstream")
    node.start()
    for number in range(8):
        await push(node, "alice", f"new {number}")
    resumed = await join(node, "alice", last=last)
    assert (resumed.welcome["cursor"], resumed.welcome["missed"]) == (0, True)
    assert resumed.welcome["epoch"] != stream.welcome["epoch"]
    assert resumed.parser.last_id == "0", "the browser forgets its old place"
    assert [(await resumed.receive())["data"] for _ in range(8)] == [f"new {number}" for number in range(8)]


async def test_a_live_upgrade_keeps_streams(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_CLIENTS_PING_INTERVAL="2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    users = [f"user{number}" for number in range(6)]
    streams = {user: await join(node, user) for user in users}
    await push(node, "user0", "before")
    before = await streams["user0"].receive()
    assert await ack(node, "user0", streams["user0"], before["offset"]) == 204
    said = await asyncio.to_thread(node.upgrade)
    assert said.returncode == 0, said.stderr + node.log()
    assert node.metrics()["event_streams"] == len(users)
    for user, stream in streams.items():
        await push(node, user, user)
        message = await stream.receive()
        assert message["data"] == user
        assert await ack(node, user, stream, message["offset"]) == 204
    for stream in streams.values():
        await stream.beat()
        await stream.close()
    await asyncio.to_thread(wait_until, lambda: node.metrics()["event_streams"] == 0, "leaving is noticed")


@pytest.mark.parametrize("drain", ["0", "1"], ids=["stops", "is drained"])
async def test_a_node_that_ends_tells_streams_when_to_come_back(make_node: MakeNode, drain: str) -> None:
    node = make_node(PUSHGATE_NODE_DRAIN=drain)
    node.start()
    stream = await join(node, "alice")
    stopping = asyncio.create_task(asyncio.to_thread(node.stop))
    message = await stream.receive()
    assert message["type"] == "reconnect"
    assert stream.parser.retry == 1000 + round(message["after"] * 1000)
    assert (await stream.receive_end())[0] == 4000
    await stopping


@pytest_asyncio.fixture
async def nodes(two_nodes: Pair) -> AsyncIterator[Pair]:  # noqa: F811
    """Two nodes, and no streams left behind."""
    yield two_nodes
    await EventStream.close_all()


async def test_an_acknowledgement_finds_its_session_on_another_node(nodes: Pair) -> None:
    a, b = nodes
    for user in ("alice", "bob", "carol", "dave"):
        stream = await join(a, user, "&device=phone&from=now")
        await push(b, user, "hello")
        message = await stream.receive()
        assert message["data"] == "hello"
        assert await ack(b, user, stream, message["offset"]) == 204
        receipt = f"/v1/messages/{message['id']}?user={user}&offset={message['offset']}"
        (device,) = (await asyncio.to_thread(call, b, "GET", receipt)).json()["devices"]
        assert (device["acknowledged"], device["connected"]) == (True, True)
        await stream.close()
        await asyncio.to_thread(wait_until, lambda: a.metrics()["connections"] == 0, "it is gone")
        assert await ack(b, user, stream, message["offset"]) == 404


async def test_a_node_that_does_not_answer_is_waited_for_and_named(nodes: Pair) -> None:
    a, b = nodes
    at_a, at_b = await join(a, "alice", "&device=a&from=now"), await join(b, "alice", "&device=b&from=now")
    await push(a, "alice", "hello")
    offset = (await at_a.receive())["offset"]
    assert (await at_b.receive())["offset"] == offset
    stopped = [b.pid, *b.worker_pids]
    for pid in stopped:
        freeze(pid)
    try:
        began = time.monotonic()
        assert await ack(a, "alice", at_a, offset) == 204
        assert time.monotonic() - began < 0.9, "whoever has it has answered"
        answer = await acknowledge(a.clients_port, a.token("alice"), at_b.session, offset)
        assert (answer.status, "from b" in answer.body) == (503, True)
        assert answer.headers["retry-after"] == "1"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    async def taken() -> bool:
        return await ack(a, "alice", at_b, offset) == 204

    async with asyncio.timeout(20):
        while not await taken():
            pass


async def test_a_device_that_listens_to_another_node_leaves_the_one_before(nodes: Pair) -> None:
    a, b = nodes
    old = await join(a, "erin")
    began = time.time()
    await asyncio.to_thread(wait_until, lambda: time.time() - began >= SETTLED + 1, "it is old")
    new = await join(b, "erin")
    assert (await old.receive_end())[0] == 4502
    await push(a, "erin", "here")
    assert (await new.receive())["data"] == "here"
