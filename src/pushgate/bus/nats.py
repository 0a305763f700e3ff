"""The bus over core NATS: subjects `<prefix>.live.<shard>`, `<prefix>.live.all` and `<prefix>.node.<node>.<shard>`."""

from collections.abc import Callable, Iterable, Sequence

from pushgate.bus.base import Parcel, Receive
from pushgate.errors import BusUnavailable, Problem
from pushgate.messages.shard import SHARDS
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink


class NatsBus:
    """The bus over NATS; see Bus for what it promises, Connection for `url`, and create_bus for `node`."""

    def __init__(self, url: str, prefix: str = "pushgate", node: int | None = None) -> None:
        self._connection = Connection(url, "bus")
        self._subjects = {shard: f"{prefix}.live.{shard}" for shard in range(SHARDS)} | {None: f"{prefix}.live.all"}
        self._heads = {shard: f"PUB {subject} ".encode() for shard, subject in self._subjects.items()}
        self._nodes = f"{prefix}.node."
        self._node = node

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus. Tries for ever; what keeps it from connecting is logged. BusUnavailable when stopped meanwhile."""
        own = sorted(shards)
        subjects = [self._subjects[shard] for shard in (*own, None)]
        if self._node is not None:
            subjects += [f"{self._nodes}{self._node}.{shard}" for shard in own]

        def take(_subject: bytes, _reply: bytes, _headers: bytes, payload: bytes) -> None:
            receive(payload)

        async def subscribe(link: NatsLink) -> None:
            for subject in subjects:
                link.listen(subject, take)
            failure = await link.send(())
            if failure is not None:
                raise ConnectionError(failure)

        try:
            await self._connection.connect(subscribe, on_gap)
        except ConnectionError as error:
            raise BusUnavailable(str(error)) from None

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; within 2 s. What was called off by cancelling may arrive or not."""
        link = self._connection.link
        if link is None:
            raise BusUnavailable("the bus is away")
        heads, limit = self._heads, link.limit
        commands = []
        for shard, payload, node in parcels:
            size = len(payload)
            if size > limit:
                raise Problem("too_large", f"the bus takes {limit} bytes at most, and this is {size}")
            head = heads[shard] if node is None else f"PUB {self._nodes}{node}.{shard} ".encode()
            commands.append(b"%b%d\r\n%b\r\n" % (head, size, payload))
        failure = await link.send(commands)
        if failure is not None:
            raise BusUnavailable(failure)

    @property
    def connected(self) -> bool:
        """Whether the subscriptions hold, as far as is known: a silent server is noticed within 5 s."""
        return self._connection.connected

    @property
    def reconnects(self) -> int:
        """See Bus."""
        return self._connection.reconnects

    async def stop(self) -> None:
        """See Bus; prompt even when the server is gone. It may be called again."""
        await self._connection.stop()
