"""The bus over RocketMQ: one topic a gateway, whose queues every worker pulls, from the end on and with no group state.

What Java calls broadcasting, with the offsets held here. A message says in its tag which shard it is for (`7`, `all`).

**Order.** All that a process publishes goes into one queue, so that a shard and everyone are in one order, as Bus
promises. Queues by shard would have to be halted for each push to everyone. One queue is enough: with batches of
whatever waits it takes some 50,000 messages a second, and each process may have another one, on another broker. More
queues and brokers are for a broker's death: its publishers go on with another, and what is late then is dropped, as a
gap (rocketmq.publisher).

**Every worker pulls everything** and leaves out other workers' shards by the tag. The broker could do that, but it
would look at a list of up to 256 tags with each pull, wake pulls only for what they want, and a barrier would wait.

**Nothing is missed over a restart** of the broker that keeps its store: pulls go on where they were, which is proved
(rocketmq.puller), and then it is no gap. Nothing is sent twice, so nothing arrives twice.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from pushgate.brokers.keeper import Keeper
from pushgate.bus.base import Parcel, Receive
from pushgate.errors import BusUnavailable, Problem
from pushgate.log import get_logger
from pushgate.messages.shard import SHARDS
from pushgate.rocketmq.address import parse_url
from pushgate.rocketmq.lane import Lane, Subscription
from pushgate.rocketmq.link import RocketLink
from pushgate.rocketmq.messages import Message, decode_properties, inflate
from pushgate.rocketmq.publisher import ORIGIN, TAG, Publisher, Turns
from pushgate.rocketmq.routes import Route, Routes

LIMIT = 4 * 1024 * 1024 - 1024
"""Bytes of the largest payload: a broker's `maxMessageSize`, 4 MiB by default, less what stands beside it."""
GROUP = "pushgate"
"""The consumer group that pulls are of; it has no state."""
EVERYONE = "all"
CALM, SOON = 10.0, 1.0
"""Seconds between looks at the routes, when all brokers are there and when one is away."""
MAKING = 10
"""Looks, a tenth of a second apart, for the route of a topic just made."""

_log = get_logger("bus")


class RocketMqBus:
    """The bus over RocketMQ; see Bus for what it promises, and rocketmq.address for `url`."""

    def __init__(self, url: str, prefix: str = "pushgate") -> None:
        address = parse_url(url, "bus.url")
        topic = address.topic or prefix
        self._address = address
        self._tags = {shard: str(shard) for shard in range(SHARDS)} | {None: EVERYONE}
        self._wanted: frozenset[str] = frozenset()
        self._lanes: dict[str, Lane] = {}
        self._routes = Routes(address, topic)
        self._names = Keeper(lambda: RocketLink("bus", self._routes.probe), self._routes.open, "bus", "name server")
        self._subscription = Subscription(topic, GROUP, self._take, self._miss, self._note_tried)
        self._publisher = Publisher(topic, GROUP, self._lanes)
        self._turns = Turns()
        self._receive: Receive = _ignore
        self._on_gap: Callable[[], None] = _nothing
        self._up: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus. Tries for ever; what keeps it from connecting is logged. BusUnavailable when stopped meanwhile."""
        self._receive, self._on_gap = receive, on_gap
        self._wanted = frozenset(self._tags[shard] for shard in (*shards, None))
        began = time.time_ns() // 1_000_000
        up = self._up = asyncio.get_running_loop().create_future()
        self._names.start(self._learn_first)
        self._looking = asyncio.create_task(self._look())
        try:
            await up
        except BaseException:
            await self.stop()
            raise
        self._subscription.since = began

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; within 2 s a request. What was called off by cancelling may arrive or not."""
        if not parcels:
            await self._catch_up()
            return
        for parcel in parcels:
            if len(parcel.payload) > LIMIT:
                raise Problem("too_large", f"the bus takes {LIMIT} bytes at most, and this is {len(parcel.payload)}")
        tags = self._tags
        failure = await self._publisher.send([(tags[shard], payload) for shard, payload in parcels])
        if failure is not None:
            raise BusUnavailable(failure)

    @property
    def connected(self) -> bool:
        """Whether a broker takes messages, as far as is known: a silent one is noticed within 5 s."""
        return any(lane.takes for lane in self._lanes.values())

    @property
    def reconnects(self) -> int:
        """How often a broker was lost and came back since `start`."""
        return sum(lane.reconnects for lane in self._lanes.values())

    async def stop(self) -> None:
        """See Bus; prompt even when the server is gone. It may be called again."""
        if self._looking is not None:
            self._looking.cancel()
        await self._names.stop()
        for lane in self._lanes.values():
            await lane.stop()
        if self._up is not None and not self._up.done():
            self._up.set_exception(BusUnavailable("the bus is stopped"))

    # Routes

    async def _learn_first(self, link: RocketLink) -> None:
        """Learn where the topic is; when nobody has it yet, it may take a moment until it is told."""
        for _ in range(MAKING):
            route = await self._routes.find(link, self._lanes)
            if route or self._lanes:
                await self._learn(route)
                return
            await asyncio.sleep(0.1)
        raise ConnectionError(f"the name server at {link.server} knows no broker")

    async def _learn(self, route: Route) -> None:
        """Take a route. A broker that is not in it any more is kept: it may only have been away for a moment."""
        for name, spot in route.items():
            lane = self._lanes.get(name)
            if lane is not None:
                await lane.update(spot)
                continue
            lane = self._lanes[name] = Lane(name, spot, self._address, self._subscription)
            lane.start()

    async def _look(self) -> None:
        """Ask for the route now and then."""
        while True:
            link = await self._names.ready()
            try:
                await self._learn(await self._routes.find(link, self._lanes))
            except ConnectionError as error:
                link.drop(str(error))
            for lane in self._lanes.values():
                await lane.look_for_primary()
            away = any(lane.link is None for lane in self._lanes.values())
            await asyncio.sleep(SOON if away else CALM)

    def _note_tried(self) -> None:
        """Let `start` return once all brokers were tried, and one is there."""
        lanes = self._lanes.values()
        ready = all(lane.tried for lane in lanes) and any(lane.followed for lane in lanes)
        if ready and self._up is not None and not self._up.done():
            self._up.set_result(None)

    # Messages

    async def _catch_up(self) -> None:
        try:
            for lane in self._lanes.values():
                await lane.catch_up()
        except ConnectionError as error:
            raise BusUnavailable(str(error)) from None

    def _take(self, message: Message) -> None:
        properties = decode_properties(message.properties)
        if properties.get(TAG) not in self._wanted or ORIGIN not in properties:
            return
        if self._turns.is_late(properties[ORIGIN]):
            self._miss()
            return
        self._receive(inflate(message))

    def _miss(self) -> None:
        self._on_gap()


def _ignore(_payload: bytes) -> None:
    """Take what comes before anybody listens."""


def _nothing() -> None:
    """Say nothing of gaps before anybody listens."""
