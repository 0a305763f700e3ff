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

from collections.abc import Callable, Iterable, Sequence

from pushgate.bus.base import Parcel, Receive
from pushgate.errors import BusUnavailable, Problem
from pushgate.messages.shard import SHARDS
from pushgate.rocketmq.address import parse_url
from pushgate.rocketmq.messages import TAG, Message, decode_properties, inflate
from pushgate.rocketmq.publisher import ORIGIN, Publisher, Turns
from pushgate.rocketmq.topic import GROUP, Topic

LIMIT = 4 * 1024 * 1024 - 1024
"""Bytes of the largest payload: a broker's `maxMessageSize`, 4 MiB by default, less what stands beside it."""
EVERYONE = "all"


class RocketMqBus:
    """The bus over RocketMQ; see Bus for what it promises, and rocketmq.address for `url`."""

    def __init__(self, url: str, prefix: str = "pushgate") -> None:
        address = parse_url(url, "bus.url")
        name = address.topic or prefix
        self._topic = Topic(address, name, self._take, self._miss)
        self._publisher = Publisher(name, GROUP, self._topic.lanes)
        self._tags = {shard: str(shard) for shard in range(SHARDS)} | {None: EVERYONE}
        self._wanted: frozenset[str] = frozenset()
        self._turns = Turns()
        self._receive: Receive = _ignore
        self._on_gap: Callable[[], None] = _nothing

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus. Tries for ever; what keeps it from connecting is logged. BusUnavailable when stopped meanwhile."""
        self._receive, self._on_gap = receive, on_gap
        self._wanted = frozenset(self._tags[shard] for shard in (*shards, None))
        try:
            await self._topic.start()
        except ConnectionError:
            raise BusUnavailable("the bus is stopped") from None

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; within 2 s a request. What was called off by cancelling may arrive or not."""
        if not parcels:
            await self._catch_up()
            return
        for parcel in parcels:
            if len(parcel.payload) > LIMIT:
                raise Problem("too_large", f"the bus takes {LIMIT} bytes at most, and this is {len(parcel.payload)}")
        tags = self._tags
        failure = await self._publisher.send([(tags[shard], payload) for shard, payload, _ in parcels])
        if failure is not None:
            raise BusUnavailable(failure)

    @property
    def connected(self) -> bool:
        """Whether a broker takes messages, as far as is known: a silent one is noticed within 5 s."""
        return any(lane.takes for lane in self._topic.lanes.values())

    @property
    def reconnects(self) -> int:
        """How often a broker was lost and came back since `start`."""
        return sum(lane.reconnects for lane in self._topic.lanes.values())

    async def stop(self) -> None:
        """See Bus; prompt even when the server is gone. It may be called again."""
        await self._topic.stop()

    # Inside

    async def _catch_up(self) -> None:
        try:
            await self._topic.catch_up()
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
