"""Two generations of workers in one process, as far as sessions go: the old ones hand over to the new ones."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from pushgate.delivery.holding import Holding
from pushgate.messages.shard import SHARDS, owner_of, shard_of
from pushgate.node.handover.giving import Giving
from pushgate.node.handover.taking import Predecessor, Taking
from pushgate.sessions.arrival import Arrival, decode_arrival, encode_arrival
from pushgate.sockets.handoff import open_channel
from tests.rig.client import WsClient
from tests.rig.gateway import Gateway

MakeGateway = Callable[..., Gateway]


class Worker:
    """One worker of a generation: a gateway with its part in a hand-over."""

    def __init__(self, gateway: Gateway, index: int, workers: int) -> None:
        self.gateway = gateway
        self.shards = [shard for shard in range(SHARDS) if owner_of(shard, workers) == index]
        self.taking: Taking | None = None
        self.is_complete = False
        self.giving = Giving(index, self.shards, gateway.sessions, gateway.lobby, gateway, self.admit)
        gateway.lobby._deliver = self._deliver

    def take_from(self, predecessor: Predecessor) -> None:
        gateway, router = self.gateway, self.gateway.router
        holding = Holding(
            gateway.sessions, router.deliver, gateway.fanout.start, self.shards, predecessor.workers, gateway.row
        )
        later = gateway.loop.call_later
        self.taking = Taking(predecessor, gateway.poller, gateway.sessions, router, holding, self, later)

    def admit(self, fd: int, arrival: Arrival) -> None:
        if self.taking is not None and self.taking.hold(fd, arrival):
            return
        if not self.giving.divert(fd, arrival):
            self.gateway.inbound.take(fd, arrival)

    def serve(self, caller: socket.socket) -> None:
        raise AssertionError("no caller was there")

    def complete(self) -> None:
        self.is_complete = True

    def _deliver(self, fd: int, arrival: Arrival) -> None:
        self.admit(fd, decode_arrival(encode_arrival(arrival)))


class Generations:
    """So many old workers and so many new ones; `begin` the hand-over, and let the new ones `receive`."""

    def __init__(self, make_gateway: MakeGateway, old: int, new: int, **settings: Any) -> None:
        self.channels = [open_channel() for _ in range(new)]
        self.old = [Worker(make_gateway(**settings), index, old) for index in range(old)]
        self.new = [Worker(make_gateway(**settings), index, new) for index in range(new)]
        self.given: list[int] = []

    async def join(self, user: str, query: str = "", **options: Any) -> WsClient:
        """Connect a user to the old worker that has its shard."""
        return await self._owner(self.old, user).gateway.join(user, query, **options)

    def old_of(self, user: str) -> Worker:
        return self._owner(self.old, user)

    def new_of(self, user: str) -> Worker:
        return self._owner(self.new, user)

    def prepare(self) -> None:
        """Have the old ones note, and the new ones hold back; they hear what is pushed from now on."""
        for worker in self.old:
            worker.giving.note()
        for worker, (receiving, _) in zip(self.new, self.channels, strict=True):
            worker.take_from(Predecessor(len(self.old), receiving, {}))

    def begin(self) -> None:
        """Have the old ones give."""
        for index, worker in enumerate(self.old):
            copies = [sending.dup() for _, sending in self.channels]
            worker.giving.give(copies, lambda index=index: self.given.append(index))  # type: ignore[misc]
        for _, sending in self.channels:
            sending.close()

    def receive(self) -> None:
        """Have the new ones take."""
        for worker in self.new:
            assert worker.taking is not None
            worker.taking.start()

    async def complete(self) -> None:
        """Wait until the new ones have everything."""
        async with asyncio.timeout(10):
            while not all(worker.is_complete for worker in self.new):
                await asyncio.sleep(0.002)

    async def hand_over(self) -> None:
        """Do it all."""
        self.prepare()
        self.begin()
        self.receive()
        await self.complete()

    def stop(self) -> None:
        for worker in self.old:
            worker.giving.forget()
        for ends in self.channels:
            for end in ends:
                end.close()

    def _owner(self, workers: list[Worker], user: str) -> Worker:
        return workers[owner_of(shard_of("default", user), len(workers))]
