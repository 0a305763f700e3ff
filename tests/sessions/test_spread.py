"""How far clients are to be spread who lose their node: by how many there are, and how fast they are let in."""

import pytest

from pushgate.config import ClientsConfig, LimitsConfig
from pushgate.metrics.catalogue import CONNECTIONS
from pushgate.metrics.rows import Rows
from pushgate.sessions.spread import Spread
from pushgate.sessions.terms import Terms
from tests.rig.gateway import Gateway


@pytest.mark.parametrize(
    ("connections", "rate", "seconds"),
    [(0, 2000, 0.5), (900, 2000, 0.5), (5000, 2000, 2.8), (5000, 0, 2.8), (15_000, 2000, 8.3), (10**6, 2000, 30)],
)
def test_it_is_what_they_take_to_be_let_in(connections: int, rate: int, seconds: float) -> None:
    rows = Rows(2)
    for index in range(2):
        rows.row(index)[CONNECTIONS] = connections // 2
    spread = Spread(Terms(ClientsConfig(), LimitsConfig(handshakes_per_second=rate)), rows)
    assert spread.seconds == 0.5
    spread.tick()
    assert spread.seconds == seconds


def test_clients_that_go_all_at_once_still_count_for_a_while() -> None:
    rows = Rows(1)
    spread = Spread(Terms(ClientsConfig(), LimitsConfig()), rows)
    rows.row(0)[CONNECTIONS] = 10_000
    spread.tick()
    rows.row(0)[CONNECTIONS] = 0
    for _ in range(4):
        spread.tick()
    assert 5 < spread.seconds <= 5.5
    for _ in range(1000):
        spread.tick()
    assert spread.seconds == 0.5


async def test_a_client_is_told_when_it_comes_and_when_it_asks(gateway: Gateway) -> None:
    gateway.rows.row(1)[CONNECTIONS] = 7_000  # of the other worker
    gateway.spread.tick()
    client = await gateway.join("alice")
    assert client.welcome["spread"] == 3.9
    gateway.rows.row(1)[CONNECTIONS] = 9_999
    gateway.spread.tick()
    client.send({"type": "ping"})
    assert await client.receive() == {"type": "pong", "spread": 5.5}
