"""A bus that several workers of a test share, in one process: what is published arrives a turn of the loop later."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from pushgate.bus.base import Parcel, Receive
from pushgate.errors import BusUnavailable


class Wire:
    """What the buses of a test are connected to."""

    def __init__(self) -> None:
        self.buses: list[SharedBus] = []

    def carry(self, parcel: Parcel) -> None:
        for bus in self.buses:
            if bus.hears and (parcel.shard is None or parcel.shard in bus.shards):
                bus.receive(parcel.payload)


class SharedBus:
    """One worker's end. `connected` false: publishing fails. `hears` false: nothing arrives. `stalls`: no answer."""

    def __init__(self, wire: Wire, shards: Iterable[int]) -> None:
        self.shards = frozenset(shards)
        self.receive: Receive = lambda payload: None
        self.connected = True
        self.reconnects = 0
        self.hears = True
        self.stalls = False
        self.groups: list[Sequence[Parcel]] = []
        self._wire = wire
        wire.buses.append(self)

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None: ...

    async def stop(self) -> None: ...

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        if not self.connected:
            raise BusUnavailable("the bus is away")
        if self.stalls:
            await asyncio.get_running_loop().create_future()
        self.groups.append(parcels)
        for parcel in parcels:
            asyncio.get_running_loop().call_soon(self._wire.carry, parcel)
        await asyncio.sleep(0)
