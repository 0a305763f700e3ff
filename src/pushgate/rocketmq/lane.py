"""One broker of a topic: the connection to it, to its primary or else a replica, and the queues followed over it."""

import asyncio
from collections.abc import Callable

from pushgate.brokers.keeper import Keeper
from pushgate.rocketmq.address import Address
from pushgate.rocketmq.link import Request, RocketLink
from pushgate.rocketmq.messages import Message
from pushgate.rocketmq.puller import MAX_OFFSET, Puller
from pushgate.rocketmq.routes import Spot

BACK = "the primary is back"


class Subscription:
    """What following a topic is about, the same for all its brokers.

    `take` gets each message, `lost` is called where some may be missing, `tried` after each attempt to reach a broker.
    Queues that are met when `since` is set, in milliseconds since 1970, are followed from the first message stored
    since then, others from their end.
    """

    def __init__(
        self,
        topic: str,
        group: str,
        take: Callable[[Message], None],
        lost: Callable[[], None],
        tried: Callable[[], None],
    ) -> None:
        self.topic = topic
        self.group = group
        self.take = take
        self.lost = lost
        self.tried = tried
        self.since: int | None = None


class Lane:
    """One broker. It comes back by itself, for ever: `reconnects` times so far.

    `tried` tells whether there was an attempt to reach it, `followed` whether its queues were ever followed.
    """

    def __init__(self, name: str, spot: Spot, address: Address, subscription: Subscription) -> None:
        self.name = name
        self.spot = spot
        self.tried = self.followed = False
        self.reconnects = 0
        self._address = address
        self._subscription = subscription
        self._pullers: list[Puller] = []
        self._following: set[asyncio.Task[None]] = set()
        self._on_primary = False
        self._keeper = Keeper(self._make, self._open, "bus", name)

    def start(self) -> None:
        """Begin to connect."""
        self._keeper.start(self._set_up)

    async def stop(self) -> None:
        """Let go of it; prompt."""
        await self._keeper.stop()
        for task in self._following:
            task.cancel()

    @property
    def link(self) -> RocketLink | None:
        """The link, while its queues are followed over it."""
        return self._keeper.link if self._keeper.connected else None

    @property
    def takes(self) -> bool:
        """Whether messages can be sent to it now."""
        return self._on_primary and self.spot.writable > 0 and self._keeper.connected

    async def update(self, spot: Spot) -> None:
        """Take what a name server says now: new addresses count with the next connection, new queues at once."""
        self.spot = spot
        link = self.link
        if link is not None and len(self._pullers) < spot.readable:
            try:
                await self._follow_all(link)
            except (ConnectionError, ValueError) as error:
                link.drop(str(error))

    async def look_for_primary(self) -> None:
        """Where a replica stands in for the primary, go back to that once it can be reached."""
        link = self.link
        if link is None or self._on_primary:
            return
        scout = self._make()
        try:
            await scout.open(*self.spot.places[0], self._address.tls())
            link.drop(BACK)
        except OSError:
            pass
        finally:
            await scout.close()

    async def catch_up(self) -> None:
        """Wait until everything that the broker has now has been taken. Raises ConnectionError."""
        link = self.link
        if link is None:
            return
        for puller in self._pullers:
            await puller.passed(await puller.mark_end(link))

    # Inside

    def _make(self) -> RocketLink:
        probe = Request(MAX_OFFSET, {"topic": self._subscription.topic, "queueId": 0})
        return RocketLink("bus", probe, self._address.credentials)

    async def _open(self, link: RocketLink) -> None:
        failure: Exception = ConnectionError(f"no address is known of the broker {self.name}")
        for number, place in enumerate(self.spot.places):
            try:
                await link.open(*place, self._address.tls())
            except OSError as error:
                failure = error
                continue
            self._on_primary = number == 0
            return
        self._note_tried()
        raise failure

    async def _set_up(self, link: RocketLink) -> None:
        try:
            for puller in self._pullers:
                await puller.begin(link, self._subscription.since)
            for puller in self._pullers:
                self._follow(puller, link)
            await self._follow_all(link)
            self.reconnects += self.followed
            self.followed = True
        finally:
            self._note_tried()

    def _note_tried(self) -> None:
        self.tried = True
        self._subscription.tried()

    async def _follow_all(self, link: RocketLink) -> None:
        """Follow the queues that are not followed yet."""
        about = self._subscription
        while len(self._pullers) < self.spot.readable:
            puller = Puller(about.topic, about.group, len(self._pullers), about.take, about.lost)
            await puller.begin(link, about.since)
            self._pullers.append(puller)
            self._follow(puller, link)

    def _follow(self, puller: Puller, link: RocketLink) -> None:
        task = asyncio.create_task(puller.follow(link))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
