"""The bus within one process: for one worker and for tests."""

from collections.abc import Callable, Iterable, Sequence

from pushgate.bus.base import Parcel, Receive
from pushgate.errors import BusUnavailable


class MemoryBus:
    """Hands each payload straight to the one subscriber, before `publish` returns.

    `url` and `prefix` are there for the table of backends: each MemoryBus is a bus of its own.
    """

    def __init__(self, url: str = "memory:", prefix: str = "pushgate") -> None:
        self.reconnects = 0
        self._receive: Receive | None = None
        self._shards: frozenset[int] = frozenset()

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus; there is nothing to wait for and never a gap."""
        self._shards = frozenset(shards)
        self._receive = receive

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; raises BusUnavailable after `stop`."""
        if self._receive is None:
            raise BusUnavailable("the bus is stopped")
        for parcel in parcels:
            if parcel.shard is None or parcel.shard in self._shards:
                self._receive(parcel.payload)

    @property
    def connected(self) -> bool:
        """Whether it was started and not stopped."""
        return self._receive is not None

    async def stop(self) -> None:
        """See Bus."""
        self._receive = None
