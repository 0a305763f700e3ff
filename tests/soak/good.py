"""`python -m tests.soak.good JSON`: the good clients, and the caller who pushes to them at a steady rate.

A process of its own, so that nothing but the gateway delays it. It writes a line of JSON when all are connected and one
for each window; when its standard input ends it stops to push, writes one for the end, and its clients stay.
"""

import gc
import os
import select
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from pushgate.bench.callers import Callers
from pushgate.bench.histogram import Histogram
from pushgate.bench.options import Address
from pushgate.bench.payload import PushRequest, one_user, upgrade_request
from pushgate.bench.swarm import Swarm
from pushgate.bench.tokens import sign

ROOM = 4096
PORTION = 40
"""Connections opened a second: they come from one address, and how many may is a setting."""
CALLERS = 8


class Order(Struct):
    """Who the good clients are, and how they are pushed to: `rate` a second, told of every `window` seconds."""

    clients: str
    api: str
    api_key: str
    secret: str
    window: float
    workers: list[int]
    users: int = 50
    per_user: int = 4
    rate: float = 100.0


class Connected(Struct, tag=True):
    """Everybody is connected."""


class Window(Struct, tag=True):
    """The deliveries of some seconds, in milliseconds from the call to the client.

    `robbed` is how many milliseconds a second the workers and the good clients, the worst of them, could have run and
    did not, because other processes had the CPUs.
    """

    messages: int
    p50: float
    p99: float
    worst: float
    robbed: float


class End(Struct, tag=True):
    """All in all: deliveries that were owed, those that came, and what went wrong."""

    owed: int
    came: int
    wrong: dict[str, int]


class SteadyCallers(Callers):
    """Callers who go on until they are stopped."""

    def stop(self) -> None:
        """Make no more calls; those under way are still answered."""
        self._total, self._until = self._made, 0


class Good:
    """The good clients and their callers."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._swarm = Swarm(Address.parse(order.clients, "ws"), ROOM, 0, 8, PORTION, False)
        api = Address.parse(order.api, "http")
        users = [f"good-{number}" for number in range(order.users)]
        self._callers = SteadyCallers(api, [PushRequest(api, order.api_key, one_user(user), 0) for user in users], ROOM)
        self._swarm.watch(self._callers.epoll.fileno())
        self._waited = self._wait_of_each()

    def connect(self) -> None:
        """Open every connection, a portion a second."""
        order, address = self._order, Address.parse(self._order.clients, "ws")
        secret, expires = order.secret.encode(), int(time.time()) + 24 * 3600
        names = [f"good-{number}" for number in range(order.users) for _ in range(order.per_user)]
        wanted = [upgrade_request(address, sign(secret, name, "default", expires)) for name in names]
        for start in range(0, len(wanted), PORTION):
            until = time.monotonic() + 1
            portion = wanted[start : start + PORTION]
            self._swarm.opening.start(len(portion), portion.__getitem__)
            while time.monotonic() < until or not self._swarm.opening.settled:
                self._swarm.step(0.05)

    def push(self) -> None:
        """Push until standard input ends, and tell of every window; then wait for what is owed."""
        order, swarm, callers = self._order, self._swarm, self._callers
        callers.connect(CALLERS)
        callers.start(24 * 3600, order.rate)
        ends = time.monotonic() + order.window
        while not self._told_to_stop():
            self._step()
            if time.monotonic() >= ends:
                ends += order.window
                callers.mend()
                tell(self._window())
        callers.stop()
        until = time.monotonic() + 5
        while time.monotonic() < until and (callers.waiting or swarm.messages < self._owed()):
            self._step()
        callers.give_up()

    def stay(self) -> None:
        """Stay connected, and answer pings, until the process is ended."""
        while True:
            self._swarm.step(0.5)
            self._callers.step()

    def end(self) -> End:
        """Return what came of it all."""
        swarm, callers, per_user = self._swarm, self._callers, self._order.per_user
        wrong = Counter(dict(swarm.opening.failures + swarm.lost + callers.errors))
        came = 0
        for fd in swarm.live():
            owed, got = callers.accepted[swarm.number[fd] // per_user], swarm.got[fd]
            came += min(owed, got)
            wrong["twice"] += max(0, got - owed)
        return End(self._owed(), came, dict(+wrong))

    def _told_to_stop(self) -> bool:
        return bool(select.select((sys.stdin,), (), (), 0)[0])

    def _owed(self) -> int:
        return sum(self._callers.accepted) * self._order.per_user

    def _step(self) -> None:
        select.select((self._swarm.epoll,), (), (), min(self._callers.pause(), 0.05))  # finer than epoll's own
        self._swarm.step(0.0)
        self._callers.step()

    def _window(self) -> Window:
        latencies, self._swarm.latencies = self._swarm.latencies, Histogram()
        before, self._waited = self._waited, self._wait_of_each()
        robbed = max(now - then for now, then in zip(self._waited, before, strict=True)) / 1e6 / self._order.window
        return Window(
            latencies.count, latencies.percentile(50), latencies.percentile(99), latencies.worst / 1000, robbed
        )

    def _wait_of_each(self) -> list[int]:
        """Return how many nanoseconds each of the processes waited for a CPU so far."""
        return [
            int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in (*self._order.workers, os.getpid())
        ]


def tell(what: Struct) -> None:
    """Write a line for the coordinator."""
    print(msgspec.json.encode(what).decode(), flush=True)


def main() -> None:
    """Connect, push, tell of it, and stay."""
    good = Good(msgspec.json.decode(sys.argv[1], type=Order))
    gc.freeze()
    gc.disable()  # a pause of ours would be measured as one of the gateway's
    good.connect()
    tell(Connected())
    good.push()
    tell(good.end())
    good.stay()


if __name__ == "__main__":
    main()
