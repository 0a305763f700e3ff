"""What strangers may take of a node holds across its workers, and for good clients nothing changes meanwhile."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import pytest

from pushgate.bench.hostile import GARBAGE, GET, HALF, WRONG_TOKEN, bench_hostile
from pushgate.bench.options import Address
from tests.rig.client import Refused, WsClient
from tests.rig.node import RunningNode, wait_until

MakeNode = Callable[..., RunningNode]
LIMIT = 20


async def join(node: RunningNode, number: int) -> WsClient:
    return await WsClient.join(node.clients_port, f"/ws?token={node.token(f'user{number}')}")


async def fill(node: RunningNode, numbers: range) -> list[WsClient]:
    """Connect until an address is full; the next one must be refused."""
    clients = [await join(node, number) for number in numbers]
    for _ in range(5):  # whichever worker accepts it
        with pytest.raises(Refused) as refused:
            await join(node, numbers.stop)
        assert refused.value.status == 429
    return clients


def connections_of(node: RunningNode) -> float:
    return node.metrics()["connections"]


async def test_an_addresss_limit_is_exact_across_workers(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_CONNECTIONS_PER_ADDRESS=str(LIMIT))
    node.start()
    clients = await fill(node, range(LIMIT))
    assert node.metrics()['handshakes_refused_total{reason="address_connections"}'] == 5
    for client in clients[:3]:
        await client.close()
    await asyncio.to_thread(wait_until, lambda: connections_of(node) == LIMIT - 3, "three are gone")
    await fill(node, range(3))

    os.kill(node.worker_pids[0], signal.SIGKILL)
    await asyncio.to_thread(
        wait_until,
        lambda: node.total("worker_restarts_total") == 1 and node.answers_ready(),
        "a worker is new",
    )
    left = int(connections_of(node))
    assert 0 < left < LIMIT, "users belong to both workers"
    await fill(node, range(100, 100 + LIMIT - left))


async def test_handshakes_of_a_second_are_counted_across_workers(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="5")
    node.start()
    refused = 'handshakes_refused_total{reason="address_handshakes"}'

    def knock() -> None:
        with socket.create_connection(("127.0.0.1", node.clients_port)) as sock:
            sock.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.recv(100)

    def knock_often() -> bool:
        before = node.metrics()[refused]
        for _ in range(30):
            knock()
        return node.metrics()[refused] - before >= 20

    # Thirty within a second or two get five in each.
    await asyncio.to_thread(wait_until, knock_often, "the rate holds")


async def test_hostile_handshakes_disturb_nobody(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = [await join(node, number) for number in range(20)]
    address = Address.parse(node.url, "ws")
    knocking = asyncio.create_task(asyncio.to_thread(bench_hostile, address, 400, 2.0, 8))
    pushed = 0
    while not knocking.done():
        assert (await asyncio.to_thread(node.push, f"user{pushed % 20}")).status_code == 202
        assert (await clients[pushed % 20].receive())["data"] == "hi"
        pushed += 1
    result = await knocking
    assert result.ok, result
    answers = result.figures["answers"]
    assert answers == {
        WRONG_TOKEN: {"close 4500": 200},
        GARBAGE: {"HTTP 400": 200},
        HALF: {"dropped by us": 200},
        GET: {"HTTP 200": 200},
    }
    assert connections_of(node) == 20
    assert all([await client.is_quiet() for client in clients])
    metrics = node.metrics()
    assert metrics['handshakes_refused_total{reason="token"}'] == 200
    assert metrics['handshakes_refused_total{reason="malformed"}'] == 200
    assert metrics['handshakes_refused_total{reason="gone"}'] == 200


async def test_hostile_handshakes_over_the_limit_are_told_so(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="10")
    node.start()
    result = await asyncio.to_thread(bench_hostile, Address.parse(node.url, "ws"), 400, 1.0, 2)
    answers = result.figures["answers"]
    assert isinstance(answers, dict)
    assert all(kind["HTTP 429"] > 50 for kind in answers.values()), answers
    assert sum(sum(kind.values()) for kind in answers.values()) == 400
