"""Clients through nginx and HAProxy, with the very files of `deploy/`, to two real nodes."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.balancer import Balancer
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

VISITOR = "127.0.0.9"
"""Where clients come from: not the balancer's address."""

Start = Callable[..., Balancer]

in_front = pytest.mark.parametrize(
    ("nodes", "program", "changes"),
    [
        pytest.param("x-forwarded-for", "nginx", [], id="nginx"),
        pytest.param("proxy-protocol", "haproxy", [], id="haproxy, PROXY 2"),
        pytest.param("proxy-protocol", "haproxy", [("send-proxy-v2", "send-proxy")], id="haproxy, PROXY 1"),
    ],
    indirect=["nodes"],
)


@pytest.fixture
def balancer(
    nodes: list[RunningNode], program: str, changes: list[tuple[str, str]], tmp_path: Path
) -> Iterator[Balancer]:
    balancer = Balancer(program, tmp_path, nodes, *changes)
    try:
        yield balancer
    finally:
        balancer.stop()


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


@in_front
async def test_clients_have_their_own_address_and_not_one_that_they_invent(
    nodes: list[RunningNode], balancer: Balancer
) -> None:
    for claim in ({}, {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.7, 127.0.0.1"}):
        await join(balancer.port, nodes[0].token("alice"), claim)
    assert [address for node in nodes for address in addresses_of(node, "alice")] == [VISITOR] * 3


@in_front
async def test_pushes_reach_clients_behind_it_and_theirs_reach_the_node(
    nodes: list[RunningNode], balancer: Balancer
) -> None:
    client = await join(balancer.port, nodes[0].token("alice"))
    client.send({"type": "ping"})
    assert (await client.receive())["type"] == "pong"
    for node in nodes:
        node.push("alice", "x" * 60_000)
    assert (await client.receive())["data"] == "x" * 60_000


@in_front
async def test_the_node_with_fewer_connections_gets_the_next(nodes: list[RunningNode], balancer: Balancer) -> None:
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


@in_front
async def test_clients_of_a_node_that_drains_come_back_at_the_other(
    nodes: list[RunningNode], balancer: Balancer
) -> None:
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


@in_front
def test_the_api_is_not_there_for_the_public(nodes: list[RunningNode], balancer: Balancer) -> None:
    for path in ("/metrics", "/v1/stats", "/readyz", "/docs"):
        answer = httpx.get(
            f"http://127.0.0.1:{balancer.port}{path}", headers={"Authorization": f"Bearer {nodes[0].key}"}, timeout=10
        )
        assert answer.status_code == 404, (path, answer.text)


@pytest.mark.parametrize("nodes", ["x-forwarded-for"], indirect=True)
async def test_who_comes_to_a_node_past_the_balancer_is_not_believed(nodes: list[RunningNode]) -> None:
    await join(nodes[0].clients_port, nodes[0].token("alice"), {"X-Forwarded-For": "203.0.113.7"})
    assert addresses_of(nodes[0], "alice") == [VISITOR]


@pytest.mark.parametrize(("nodes", "program", "changes"), [("proxy-protocol", "haproxy", [])], indirect=["nodes"])
async def test_haproxy_leaves_out_a_node_that_is_not_ready_though_it_takes_connections(
    nodes: list[RunningNode], balancer: Balancer
) -> None:
    os.kill(nodes[0].nats_pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not nodes[0].answers_ready(), "the first node has lost its bus")
        wait_until(lambda: "nodes/node-1 is DOWN" in balancer.log(), "HAProxy has noticed")
        for number in range(3):
            await join(balancer.port, nodes[1].token(f"user-{number}"))
        assert connections(nodes[1]) == 3
    finally:
        os.kill(nodes[0].nats_pid, signal.SIGCONT)
