"""Storms at the door, in simulated time: all clients of a node that died come to the two others, and all get in."""

import heapq
import random
from collections import Counter
from collections.abc import Callable

import pytest

from pushgate.client.backoff import Backoff
from pushgate.config import ClientsConfig, LimitsConfig
from pushgate.errors import UpgradeRefused
from pushgate.metrics.rows import Rows
from pushgate.sessions.admission import LONGEST, Admission, come_back
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import AddressCounts

Clock = Callable[[float], None]


class Node:
    """The door of a node with two workers, which accept by chance."""

    def __init__(self, limits: LimitsConfig) -> None:
        rows, addresses, terms = Rows(2), AddressCounts(2), Terms(ClientsConfig(), limits)
        self.doors = [Admission(terms, addresses.worker(index), rows, rows.row(index)) for index in range(2)]

    def knock(self, dice: random.Random, address: bytes) -> int:
        """Let a client in, and return 0, or the seconds after which it is to come back."""
        try:
            dice.choice(self.doors).enter(address)
        except UpgradeRefused as refused:
            return int(dict(refused.headers)["Retry-After"])
        return 0


def storm(turn: Clock, clients: int, addresses: int, limits: LimitsConfig, obedient: bool = True) -> tuple[float, int]:
    """Return after how many seconds all are in, and how often one knocked at the most.

    They wait as `client.listener` does; who is not obedient is a browser, which cannot read a Retry-After.
    """
    dice = random.Random(1)
    nodes = [Node(limits), Node(limits)]
    random.seed(1)
    backoffs = [Backoff() for _ in range(clients)]
    waiting = [(1000.3 + backoff.next(), number) for number, backoff in enumerate(backoffs)]
    heapq.heapify(waiting)
    knocks: Counter[int] = Counter()
    moment = 0.0
    while waiting:
        moment, number = heapq.heappop(waiting)
        turn(moment)
        knocks[number] += 1
        after = dice.choice(nodes).knock(dice, (number % addresses).to_bytes(16, "big")[::-1])
        if after:
            wait = after + dice.random() if obedient else backoffs[number].next()
            heapq.heappush(waiting, (moment + wait, number))
    return moment - 1000.3, max(knocks.values())


@pytest.mark.parametrize("obedient", [True, False], ids=["our clients", "browsers"])
def test_ten_thousand_clients_are_in_within_15_s(clock: Clock, obedient: bool) -> None:
    seconds, most = storm(clock, 10_000, 10_000, LimitsConfig(), obedient)
    assert seconds < 15
    assert most <= 10


def test_carriers_come_back_at_what_an_address_may(clock: Clock) -> None:
    """Eight carriers with 1,000 clients each, about 500 of them at each node, which lets in 100 a second."""
    seconds, most = storm(clock, 8_000, 8, LimitsConfig(connections_per_address=1000))
    assert seconds < 20
    assert most <= 8


def test_a_storm_of_twenty_times_the_rate_is_not_refused_again_and_again(clock: Clock) -> None:
    seconds, most = storm(clock, 40_000, 40_000, LimitsConfig(handshakes_per_second=1000))
    assert 20 <= seconds < 60
    assert most <= 6


def test_who_is_refused_gets_a_place_in_line(clock: Clock) -> None:
    clock(100.0)
    node, dice = Node(LimitsConfig(handshakes_per_second=10)), random.Random(1)
    told = [node.knock(dice, bytes(15) + bytes([number])) for number in range(50)]
    assert told[:10] == [0] * 10
    counted = Counter(told[10:])
    assert set(counted) <= {1, 2, 3, 4, 5, 6}
    assert all(5 <= counted[second] <= 15 for second in (1, 2, 3)), counted


def test_nobody_is_told_to_wait_for_long(clock: Clock) -> None:
    clock(100.0)
    node, dice = Node(LimitsConfig(handshakes_per_second=1)), random.Random(1)
    told = [node.knock(dice, number.to_bytes(16, "big")[::-1]) for number in range(400)]
    assert max(told) <= LONGEST
    assert len(set(told[200:])) > 5, "and not all as long"
    assert min(told[200:]) >= LONGEST / 2


def test_other_refusals_are_spread_by_chance() -> None:
    assert {come_back() for _ in range(200)} == {(("Retry-After", str(second)),) for second in range(1, 6)}
