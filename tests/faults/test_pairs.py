"""Bus and inbox on servers of two kinds: nothing accepted is lost or out of order, whichever of them dies."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import SERVERS, Server
from tests.faults.reliable_faults import Faults
from tests.faults.reliable_fleet import Fleet
from tests.rig.node import RunningNode

SEED = 7
PAIRS = [("redis", "embedded"), ("nats", "embedded"), ("zookeeper", "embedded")]
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
        if "inbox" not in servers:
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
