"""Clients through nginx and HAProxy, with the very files of `deploy/`, to two real nodes."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.balancer import Front, running_front
from tests.rig.client import WsClient
from tests.rig.events import Parser
from tests.rig.node import RunningNode, wait_until

VISITOR = "127.0.0.9"
"""Where clients come from: not the balancer's address."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("nginx", "x-forwarded-for"), id="nginx"),
        pytest.param(("haproxy", "proxy-protocol"), id="haproxy, PROXY 2"),
        pytest.param(("haproxy", "proxy-protocol", ("send-proxy-v2", "send-proxy")), id="haproxy, PROXY 1"),
    ],
)
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Front]:
    """Each balancer in turn; all tests but the last leave it as it was."""
    arguments: tuple[Any, ...] = request.param
    with running_front(tmp_path_factory.mktemp("front"), *arguments) as front:
        yield front


@pytest.fixture
def front(running: Front) -> Front:
    """A balancer and nodes without clients."""
    wait_until(lambda: not any(map(connections, running.nodes)), "the clients of the test before are gone")
    return running


async def join(port: int, token: str, headers: dict[str, str] | None = None) -> WsClient:
    """Connect from the visitor's address."""
    connection = socket.create_connection(("127.0.0.1", port), 5, (VISITOR, 0))
    connection.setblocking(False)
    return await WsClient.join(port, f"/ws?token={token}", headers=headers, sock=connection)


def addresses_of(node: RunningNode, user: str) -> list[str]:
    answer = httpx.get(f"{node.api}/v1/users/{user}", headers={"Authorization": f"Bearer {node.key}"}, timeout=10)
    return [session["address"] for session in answer.json()["sessions"]]


def connections(node: RunningNode) -> int:
    return int(node.total("connections"))


async def test_clients_have_their_own_address_and_not_one_that_they_invent(front: Front) -> None:
    nodes, balancer = front
    for claim in ({}, {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.7, 127.0.0.1"}):
        await join(balancer.port, nodes[0].token("alice"), claim)
    assert [address for node in nodes for address in addresses_of(node, "alice")] == [VISITOR] * 3


async def test_who_comes_to_a_node_past_the_balancer_is_not_believed(front: Front) -> None:
    node = front.nodes[0]
    await join(node.clients_port, node.token("bob"), {"X-Forwarded-For": "203.0.113.7"})
    assert addresses_of(node, "bob") == [VISITOR]


async def test_pushes_reach_clients_behind_it_and_theirs_reach_the_node(front: Front) -> None:
    nodes, balancer = front
    client = await join(balancer.port, nodes[0].token("carol"))
    client.send({"type": "ping"})
    assert (await client.receive())["type"] == "pong"
    for node in nodes:
        node.push("carol", "x" * 60_000)
    assert (await client.receive())["data"] == "x" * 60_000


async def test_events_come_through_at_once_and_acknowledgements_get_there(front: Front) -> None:
    nodes, balancer = front
    base, token = f"http://127.0.0.1:{balancer.port}", nodes[0].token("erin")
    parser = Parser()
    async with httpx.AsyncClient(timeout=10) as http, http.stream("GET", f"{base}/sse?token={token}") as stream:
        events = (event async for data in stream.aiter_raw() for event in parser.feed(data))
        welcome = json.loads((await anext(events)).data)
        for node in nodes:
            node.push("erin", "x" * 1000)
        assert json.loads((await anext(events)).data)["data"] == "x" * 1000
        said = json.dumps({"session": welcome["session"], "offset": 1})
        answers = [await http.post(f"{base}/ack?token={token}", content=said) for _ in range(4)]
        assert {answer.status_code for answer in answers} <= {404, 409}, "these nodes do not know of each other"


async def test_the_node_with_fewer_connections_gets_the_next(front: Front) -> None:
    nodes, balancer = front
    clients = [await join(balancer.port, nodes[0].token(f"user-{number}")) for number in range(8)]
    assert [connections(node) for node in nodes] == [4, 4]
    of_first = [number for number in range(8) if addresses_of(nodes[0], f"user-{number}")]
    for number in of_first:
        clients[number].writer.close()
        await clients[number].writer.wait_closed()
    wait_until(lambda: connections(nodes[0]) == 0, "the first node's clients are gone")
    for number in range(4):
        await join(balancer.port, nodes[0].token(f"new-{number}"))
    assert [connections(node) for node in nodes] == [4, 4]


def test_the_api_is_not_there_for_the_public(front: Front) -> None:
    for path in ("/metrics", "/v1/stats", "/readyz", "/docs"):
        answer = httpx.get(
            f"http://127.0.0.1:{front.balancer.port}{path}",
            headers={"Authorization": f"Bearer {front.nodes[0].key}"},
            timeout=10,
        )
        assert answer.status_code == 404, (path, answer.text)


async def test_clients_of_a_node_that_drains_come_back_at_the_other(front: Front) -> None:
    """The last one of each balancer: it ends a node."""
    nodes, balancer = front
    clients = [await join(balancer.port, nodes[0].token(f"user-{number}")) for number in range(4)]
    assert [connections(node) for node in nodes] == [2, 2]
    os.kill(nodes[0].pid, signal.SIGTERM)
    wait_until(lambda: not nodes[0].answers_ready(), "the first node drains")
    sent_away = 0
    for number, client in enumerate(clients):
        if addresses_of(nodes[1], f"user-{number}"):
            continue
        assert (await client.receive())["type"] == "reconnect"
        await join(balancer.port, nodes[1].token(f"user-{number}"))
        sent_away += 1
    assert (sent_away, connections(nodes[1])) == (2, 4)


async def test_haproxy_leaves_out_a_node_that_is_not_ready_though_it_takes_connections(tmp_path: Path) -> None:
    with running_front(tmp_path, "haproxy", "proxy-protocol") as (nodes, balancer):
        os.kill(nodes[0].nats_pid, signal.SIGSTOP)
        try:
            wait_until(lambda: not nodes[0].answers_ready(), "the first node has lost its bus")
            wait_until(lambda: "nodes/node-1 is DOWN" in balancer.log(), "HAProxy has noticed")
            for number in range(3):
                await join(balancer.port, nodes[1].token(f"user-{number}"))
            assert connections(nodes[1]) == 3
        finally:
            os.kill(nodes[0].nats_pid, signal.SIGCONT)
