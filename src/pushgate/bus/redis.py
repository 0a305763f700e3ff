"""The bus over Redis Pub/Sub: channels `<prefix>.live.<shard>`, `<prefix>.live.all` and `<prefix>.node.<node>.<shard>`;
sharded Pub/Sub in a cluster.

In a cluster all channels of a gateway are in one slot, `{<prefix>}`: the order between a shard and everyone is that of
one server, and the cluster's other servers are not bothered.

Redis confirms that it has taken a message, and not that subscribers have it. One that does not keep up is cut off
(`client-output-buffer-limit pubsub`), which is a gap like every other loss of the connection.
"""

from collections.abc import Callable, Iterable, Sequence

from hiredis import ReplyError

from pushgate.brokers.keeper import Keeper
from pushgate.bus.base import Parcel, Receive
from pushgate.errors import BusUnavailable, Problem
from pushgate.messages.shard import SHARDS
from pushgate.redis.link import Command, RedisLink
from pushgate.redis.places import Finder, parse_url

LIMIT = 8 * 1024 * 1024
"""Bytes of the largest payload: a quarter of what Redis lets a subscriber lag before it is cut off."""


class RedisBus:
    """The bus over Redis; see Bus for what it promises, redis.places for `url`, and create_bus for `node`."""

    def __init__(self, url: str, prefix: str = "pushgate", node: int | None = None) -> None:
        address = parse_url(url, "bus.url")
        self._sharded = address.kind == "cluster"
        name = f"{{{prefix}}}" if self._sharded else prefix
        self._channels = {shard: f"{name}.live.{shard}" for shard in range(SHARDS)} | {None: f"{name}.live.all"}
        self._nodes = f"{name}.node."
        self._node = node
        self._keeper = Keeper(lambda: RedisLink("bus", self._take), Finder(address, name, "bus").open, "bus")
        self._receive: Receive = _ignore

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus. Tries for ever; what keeps it from connecting is logged. BusUnavailable when stopped meanwhile."""
        self._receive = receive
        own = sorted(shards)
        channels = [self._channels[shard] for shard in (*own, None)]
        if self._node is not None:
            channels += [f"{self._nodes}{self._node}.{shard}" for shard in own]

        async def subscribe(link: RedisLink) -> None:
            link.tell(("SSUBSCRIBE" if self._sharded else "SUBSCRIBE", *channels))
            if await link.ask(("PING",)) is None:
                raise ConnectionError(link.reason)

        try:
            await self._keeper.connect(subscribe, on_gap)
        except ConnectionError as error:
            raise BusUnavailable(str(error)) from None

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; within 2 s. What was called off by cancelling may arrive or not."""
        link = self._keeper.link
        if link is None:
            raise BusUnavailable("the bus is away")
        command = "SPUBLISH" if self._sharded else "PUBLISH"
        for parcel in parcels:
            if len(parcel.payload) > LIMIT:
                raise Problem("too_large", f"the bus takes {LIMIT} bytes at most, and this is {len(parcel.payload)}")
        commands: list[Command] = [
            (command, self._channels[shard] if node is None else f"{self._nodes}{node}.{shard}", payload)
            for shard, payload, node in parcels
        ]
        # its answer comes behind the messages that were there before: one connection has one order
        answers = await link.ask(*(commands or [("PING",)]))
        if answers is None:
            raise BusUnavailable(link.reason)
        for answer in answers:
            if isinstance(answer, ReplyError):
                link.drop(str(answer))  # a server that takes no messages is not the one any more
                raise BusUnavailable(str(answer))

    @property
    def connected(self) -> bool:
        """Whether the subscriptions hold, as far as is known: a silent server is noticed within 5 s."""
        return self._keeper.connected

    @property
    def reconnects(self) -> int:
        """See Bus."""
        return self._keeper.reconnects

    async def stop(self) -> None:
        """See Bus; prompt even when the server is gone. It may be called again."""
        await self._keeper.stop()

    def _take(self, _channel: bytes, payload: bytes) -> None:
        self._receive(payload)


def _ignore(_payload: bytes) -> None:
    """Take what comes before anybody listens."""
