"""When listeners come back that lost the same gateway, in a time that is only counted."""

import random
from collections import Counter
from heapq import heapify, heappop, heappush

import pytest

from pushgate.client.backoff import Backoff

CLIENTS, RATE = 5000, 2000


def come_back(away: float, spread: float) -> tuple[int, float, float]:
    """All lose a gateway that is back after so many seconds, and begins RATE handshakes in each from then on.

    Returns the tries in the busiest second, and how long after the gateway the last one tried, and was connected.
    """
    tries, begun = Counter[int](), Counter[int]()
    latest_try = latest = 0.0
    clients = []
    for number in range(CLIENTS):
        backoff = Backoff()
        backoff.raise_to(spread)
        clients.append((backoff.next(), number, backoff, False))
    heapify(clients)
    while clients:
        at, number, backoff, tried = heappop(clients)
        after = at - away
        if after >= 0:
            tries[int(at)] += 1
            begun[int(after)] += 1
            if not tried:
                latest_try = max(latest_try, after)
            if begun[int(after)] <= RATE:
                latest = max(latest, after)
                continue
        heappush(clients, (at + backoff.next(), number, backoff, after >= 0))
    return max(tries.values()), latest_try, latest


@pytest.mark.parametrize("away", [0, 0.5, 1, 2, 5, 20])
@pytest.mark.parametrize("spread", [0.5, 2.8])
def test_they_come_soon_and_never_too_many(away: float, spread: float) -> None:
    random.seed(1)
    busiest, latest_try, latest = come_back(away, spread)
    assert busiest <= 1.3 * RATE
    assert latest_try <= max(2.0, spread, away / 4)
    # Who was told nothing comes faster than the gateway takes them, and once more.
    assert latest <= latest_try + 2 * max(2.0, away / 3) * (spread < 2)


def test_waits_grow_with_what_was_waited_and_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    backoff = Backoff()
    assert [backoff.next() for _ in range(7)] == [2, 2, 2, 2, 2, 2.5, 3.125]
    for _ in range(20):
        backoff.next()
    assert backoff.next() == 30
    backoff.reset()
    assert backoff.next() == 2
