"""Reliable pushes under everything that can happen to a node: none lost, none out of order, each answered."""

import random
from collections.abc import Callable

from tests.faults.reliable_faults import Faults
from tests.faults.reliable_fleet import Fleet
from tests.rig.node import RunningNode

MakeNode = Callable[..., RunningNode]

SEED = 5
SERIES = (
    *("kill -9 a worker", "kill -9 nats-server") * 4,
    "SIGSTOP nats-server",
    "kill -9 the supervisor",
    "cut every client",
    *("kill -9 a worker", "kill -9 the supervisor", "kill -9 nats-server") * 2,
    "kill -9 all at once",
    "stop and start",
    "a reboot without a clean stop",
    "kill -9 a worker",
    "kill -9 all at once",
)


async def test_whatever_dies_nothing_accepted_is_lost(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    fleet = Fleet([node], 200, 40, SEED)
    faults = Faults(node, fleet, random.Random(SEED))
    try:
        await fleet.start()
        await fleet.goes_on()
        for name in SERIES:
            await faults.inject(name)
        wrong = await fleet.finish()
    finally:
        await fleet.stop()
    print(f"{faults.kills} kills: {fleet.tell()}")
    assert wrong == [], "\n".join(wrong)
    assert faults.kills >= 20
    assert fleet.ledger.open == set(), "whoever repeats is answered in the end"
    assert any(welcome["missed"] for device in fleet.devices for welcome in device.welcomes), "after the reboot"
