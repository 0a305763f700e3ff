"""Nodes with `routing = "directory"`: a push goes where its users are, and to every node when that is not known."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pushgate.nats.connection import Connection
from tests.contract.conftest import SERVERS, Server
from tests.contract.test_registry import lose
from tests.fakes.subscriber import until
from tests.faults.test_upgrade import Listener, Pusher
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

MakeNode = Callable[..., RunningNode]
MakeNodes = Callable[..., list[RunningNode]]

PATIENCE = 20.0


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    server = SERVERS[request.param](tmp_path / "server")
    yield server
    server.close()


@pytest.fixture
def start(make_node: MakeNode, server: Server) -> MakeNodes:
    """Start nodes on one bus, with one set of keys, by the names of how they route."""
    keys = json.dumps({"api_key": f"pg_{secrets.token_hex(20)}", "token_secret": secrets.token_hex(24)})
    environ = {"PUSHGATE_BUS_URL": server.url}
    if server.url.startswith("redis"):
        environ["PUSHGATE_INBOX_URL"] = "none"

    def start(*routings: str, workers: int = 1) -> list[RunningNode]:
        nodes = []
        for routing in routings:
            node = make_node(
                "--workers",
                str(workers),
                PUSHGATE_NODE_NAME=secrets.token_hex(4),
                PUSHGATE_BUS_ROUTING=routing,
                **environ,
            )
            node.data_dir.mkdir(parents=True)
            (node.data_dir / "keys.json").write_text(keys)
            node.launch()
            nodes.append(node)
        for node in nodes:
            wait_until(node.is_ready, "the node is ready")
        return nodes

    return start


def wait_until_directed(*nodes: RunningNode) -> None:
    for node in nodes:
        wait_until(lambda node=node: is_directed(node), "pushes go by the directory")  # type: ignore[misc]


def is_directed(node: RunningNode) -> bool:
    """Whether pushes go to the nodes that hold their users; one for nobody is tried, others may be under way."""
    directed, fallbacks = node.total("routing_directed_total"), node.total("routing_fallback_total")
    assert node.push("nobody").status_code == 202
    return node.total("routing_directed_total") > directed and node.total("routing_fallback_total") == fallbacks


def received(node: RunningNode) -> float:
    """Return how many pushes the bus brought to a node."""
    return node.total("bus_lag_seconds_count")


async def join(node: RunningNode, user: str) -> WsClient:
    return await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}")


@pytest.mark.parametrize("server", ["nats"], indirect=True)
async def test_a_push_goes_only_to_nodes_that_hold_its_users_and_are_alive(start: MakeNodes, server: Server) -> None:
    nodes = a, b, c = start("directory", "directory", "directory")
    wait_until_directed(*nodes)
    anna, carl = await join(a, "anna"), await join(c, "carl")
    fallbacks = b.total("routing_fallback_total")
    before = [received(node) for node in nodes]
    for number in range(10):
        assert b.push("anna", number).status_code == 202
        assert (await anna.receive())["data"] == number
    assert b.push("nobody").status_code == 202
    assert [received(node) for node in nodes] == [before[0] + 10, before[1], before[2]]

    body = {"users": ["anna", "carl", "nobody"], "data": "both"}
    batch = {"pushes": [{"user": "carl", "data": 1}, {"everyone": True, "data": 2}, {"user": "anna", "data": 3}]}
    async with httpx.AsyncClient(base_url=b.api, headers={"Authorization": f"Bearer {b.key}"}) as http:
        assert (await http.post("/v1/push", json=body)).status_code == 202
        assert (await http.post("/v1/push/batch", json=batch)).status_code == 200
    assert [(await carl.receive())["data"] for _ in range(3)] == ["both", 1, 2]
    assert [(await anna.receive())["data"] for _ in range(3)] == ["both", 2, 3]
    assert [received(node) for node in nodes] == [before[0] + 13, before[1] + 1, before[2] + 3]
    assert b.push("carl", "kept", qos="reliable").status_code == 202
    assert (await carl.receive())["data"] == "kept", "the inbox knows no routing"

    for number in range(20):  # he goes to and fro, and is pushed to as soon as he is welcome
        bert = await join((c, b)[number % 2], "bert")
        assert (b, c)[number % 2].push("bert", number).status_code == 202
        assert (await bert.receive())["data"] == number
        await bert.close()
    wait_until(lambda: b.total("directory_entries") == 0, "his entry is removed")
    assert b.total("routing_fallback_total") == fallbacks
    await die(a, b, c, server)


async def die(a: RunningNode, b: RunningNode, c: RunningNode, server: Server) -> None:
    """Kill the first node: what the directory says of it ends with its lease."""
    directed: list[bytes] = []
    connection = Connection(server.url, "bus")
    connection.start()
    link = await connection.ready()
    link.listen("pushgate.node.>", lambda subject, *_: directed.append(subject))

    async def count_directed() -> int:
        before = len(directed)
        assert (await asyncio.to_thread(b.push, "anna")).status_code == 202
        await link.send(())
        return len(directed) - before

    try:
        await link.send(())
        assert await count_directed() == 1
        fallbacks = b.total("routing_fallback_total")
        a.kill()
        assert await count_directed() == 1, "its lease has not ended yet"
        async with asyncio.timeout(PATIENCE):
            while await count_directed():
                await asyncio.sleep(0.2)
        back = await join(c, "anna")
        assert await count_directed() == 1
        assert (await back.receive())["type"] == "message"
        assert b.total("routing_fallback_total") == fallbacks, "one that died is no reason to push to every node"
    finally:
        await connection.stop()


@pytest.mark.parametrize("server", ["redis"], indirect=True)
async def test_a_registry_that_forgets_or_was_away_is_written_anew_and_no_push_is_lost(
    start: MakeNodes, server: Server
) -> None:
    a, b = start("directory", "directory")
    anna, bert = await join(a, "anna"), await join(b, "bert")
    number = 0

    async def reach() -> None:
        nonlocal number
        for node in (a, b):
            for user, client in (("anna", anna), ("bert", bert)):
                number += 1
                assert (await asyncio.to_thread(node.push, user, number)).status_code == 202
                assert (await client.receive())["data"] == number

    async def reach_until_directed() -> None:
        await reach()
        while not (is_directed(a) and is_directed(b)):
            await reach()
        await reach()

    await reach_until_directed()
    server.kill()
    wait_until(lambda: not (a.answers_ready() or b.answers_ready()), "the bus is away")
    server.start()
    wait_until(lambda: a.answers_ready() and b.answers_ready(), "the bus is there")
    before = [node.total('routing_fallback_total{reason="registry"}') for node in (a, b)]
    await reach_until_directed()
    for node, fallbacks in zip((a, b), before, strict=True):
        assert node.total("routing_fallback_total") > fallbacks
        events = [line["event"] for line in node.log_lines() if line["part"] == "routing"]
        assert "pushes go to every node" in events
        assert events[-1] == "pushes go to the nodes that hold their users"

    await lose(server)  # while every connection to it stays
    for node in (a, b):
        wait_until(lambda node=node: "it has lost what was written" in node.log(), "the loss is noticed")  # type: ignore[misc]
    await reach_until_directed()


@pytest.mark.parametrize("server", ["nats"], indirect=True)
async def test_a_node_is_upgraded_and_one_that_broadcasts_joins_and_no_push_is_lost(start: MakeNodes) -> None:
    a, b = start("directory", "directory", workers=2)
    wait_until_directed(a, b)
    users = [f"user{number}" for number in range(20)]
    listeners = {user: Listener(await join(a, user)) for user in users}
    pushers = [Pusher(node, "live", users, 0.01) for node in (a, b)]
    said = await asyncio.to_thread(a.upgrade)
    assert said.returncode == 0, said.stderr + a.log()
    await asyncio.to_thread(wait_until_directed, a, b)
    await asyncio.to_thread(start, "broadcast")
    await until(lambda: b.metrics()['routing_fallback_total{reason="nodes"}'] > 0)
    for pusher in pushers:
        await pusher.stop()
    for user, listener in listeners.items():
        accepted = sorted(number for pusher in pushers for number in pusher.accepted[user])
        await until(lambda listener=listener, accepted=accepted: len(listener.live) >= len(accepted))  # type: ignore[misc]
        assert sorted(listener.live) == accepted
        await listener.end()
    assert a.total("directory_entries") == len(users)
