"""Bus and inbox on servers of two kinds: nothing accepted is lost or out of order, whichever of them dies."""

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.contract.conftest import SERVERS, Server
from tests.fakes.redis import RealRedis
from tests.faults.reliable_faults import Faults
from tests.faults.reliable_fleet import Fleet
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

SEED = 7
PAIRS = [
    ("redis", "embedded"),
    ("nats", "embedded"),
    ("zookeeper", "embedded"),
    ("rocketmq", "embedded"),
    ("embedded", "redis"),
]
"""Kinds of the bus and the inbox."""


@pytest.fixture(params=PAIRS, ids="-".join)
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Server]]:
    """The servers of bus and inbox, by setting; none where it is embedded."""
    kinds = zip(("bus", "inbox"), request.param, strict=True)
    made = {name: SERVERS[kind](tmp_path / name) for name, kind in kinds if kind != "embedded"}
    yield made
    for server in made.values():
        server.close()


async def test_nothing_accepted_is_lost(servers: dict[str, Server], make_node: Callable[..., RunningNode]) -> None:
    urls = {f"PUSHGATE_{name.upper()}_URL": server.url for name, server in servers.items()}
    environ = {"PUSHGATE_INBOX_URL": "embedded", "PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS": "0"} | urls
    node = make_node("--workers", "2", **environ)
    node.start()
    fleet = Fleet([node], 50, 20, SEED)
    faults = Faults(node, fleet, random.Random(SEED))
    try:
        await fleet.start()
        await fleet.goes_on()
        await faults.inject("kill -9 a worker")
        await faults.inject("kill -9 the supervisor")
        if len(servers) == 1:
            await faults.inject("kill -9 nats-server")
        for server in servers.values():
            server.kill()
            server.start()
            await fleet.goes_on()
        wrong = await fleet.finish()
    finally:
        await fleet.stop()
    assert wrong == [], "\n".join(wrong)
    assert fleet.ledger.open == set(), "whoever repeats is answered in the end"


@pytest.mark.parametrize("kind", ["redis", "rocketmq", "zookeeper"])
async def test_three_nodes_on_one_bus_lose_nothing(
    kind: str, tmp_path: Path, make_node: Callable[..., RunningNode]
) -> None:
    with closing(RealRedis(tmp_path / "redis")) as redis, ExitStack() as stack:
        bus: Server = redis
        if kind != "redis":
            bus = stack.enter_context(closing(SERVERS[kind](tmp_path / kind)))
        environ = {
            "PUSHGATE_BUS_URL": bus.url,
            "PUSHGATE_INBOX_URL": redis.url,
            "PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS": "0",
        }
        nodes = [make_node("--workers", "1", PUSHGATE_NODE_NAME=name, **environ) for name in "abc"]
        for node in nodes:
            if node is not nodes[0]:
                node.data_dir.mkdir()
                shutil.copy(nodes[0].data_dir / "keys.json", node.data_dir)
            node.start()
        fleet = Fleet(nodes, 50, 20, SEED)
        try:
            await fleet.start()
            await fleet.goes_on()
            for server in {id(each): each for each in (bus, redis)}.values():
                server.kill()
                server.start()
                await fleet.goes_on()
            nodes[1].kill()
            await fleet.goes_on()
            nodes[1].start()
            bus.freeze()
            await asyncio.sleep(3)  # the fault itself: longer than a connection's patience
            bus.thaw()
            await fleet.goes_on()
            wrong = await fleet.finish()
            await has_live(nodes)
        finally:
            await fleet.stop()
        assert wrong == [], "\n".join(wrong)
        assert not any(welcome["missed"] for device in fleet.devices for welcome in device.welcomes)


async def has_live(nodes: list[RunningNode]) -> None:
    """A live push to any node reaches a client of any other."""
    clients = [await WsClient.join(node.clients_port, f"/ws?token={node.token('watcher')}") for node in nodes]
    for number, node in enumerate(nodes):
        await asyncio.to_thread(wait_until, node.answers_ready, "the node is ready")
        assert (await asyncio.to_thread(node.push, "watcher", number)).status_code == 202
        for client in clients:
            assert (await client.receive())["data"] == number
