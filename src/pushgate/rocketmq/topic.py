"""One topic: its brokers as the name servers tell them, each followed over a connection of its own."""

import asyncio
import time
from collections.abc import Callable

from pushgate.brokers.keeper import Keeper
from pushgate.rocketmq.address import Address
from pushgate.rocketmq.lane import Lane, Subscription
from pushgate.rocketmq.link import RocketLink
from pushgate.rocketmq.messages import Message
from pushgate.rocketmq.routes import Route, Routes

GROUP = "pushgate"
"""The group that pulls and sends are of; it has no state."""
CALM, SOON = 10.0, 1.0
"""Seconds between looks at the routes, when all brokers are there and when one is away."""
MAKING = 10
"""Looks, a tenth of a second apart, for the route of a topic just made."""


class Topic:
    """Follows all queues of a topic from their end on. `take` gets each message, `lost` is called where some may be
    missing. A broker that the name servers do not tell of any more is kept: it may only have been away for a moment.
    """

    def __init__(self, address: Address, name: str, take: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self.lanes: dict[str, Lane] = {}
        self._address = address
        self._routes = Routes(address, name)
        self._subscription = Subscription(name, GROUP, take, lost, self._note_tried)
        self._names = Keeper(lambda: RocketLink("bus", self._routes.probe), self._routes.open, "bus", "name server")
        self._looking: asyncio.Task[None] | None = None
        self._up: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Follow it; returns once that holds, having tried for ever. Raises ConnectionError when stopped meanwhile."""
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

    async def stop(self) -> None:
        """Let go of it; prompt even when the servers are gone. It may be called again."""
        if self._looking is not None:
            self._looking.cancel()
        await self._names.stop()
        for lane in self.lanes.values():
            await lane.stop()
        if self._up is not None and not self._up.done():
            self._up.set_exception(ConnectionError("it is stopped"))

    async def catch_up(self) -> None:
        """Wait until everything that its brokers have now has been taken. Raises ConnectionError."""
        for lane in self.lanes.values():
            await lane.catch_up()

    # Inside

    async def _learn_first(self, link: RocketLink) -> None:
        """Learn where the topic is; when nobody has it yet, it may take a moment until it is told."""
        for _ in range(MAKING):
            route = await self._routes.find(link, self.lanes)
            if route or self.lanes:
                await self._learn(route)
                return
            await asyncio.sleep(0.1)
        raise ConnectionError(f"the name server at {link.server} knows no broker")

    async def _learn(self, route: Route) -> None:
        for name, spot in route.items():
            lane = self.lanes.get(name)
            if lane is not None:
                await lane.update(spot)
                continue
            lane = self.lanes[name] = Lane(name, spot, self._address, self._subscription)
            lane.start()

    async def _look(self) -> None:
        """Ask for the route now and then."""
        while True:
            link = await self._names.ready()
            try:
                await self._learn(await self._routes.find(link, self.lanes))
            except ConnectionError as error:
                link.drop(str(error))
            for lane in self.lanes.values():
                await lane.look_for_primary()
            away = any(lane.link is None for lane in self.lanes.values())
            await asyncio.sleep(SOON if away else CALM)

    def _note_tried(self) -> None:
        """Let `start` return once all brokers were tried, and one is there."""
        lanes = self.lanes.values()
        ready = all(lane.tried for lane in lanes) and any(lane.followed for lane in lanes)
        if ready and self._up is not None and not self._up.done():
            self._up.set_result(None)
