"""What connects a worker with the others, and brings it what its sessions get: bus, questions, routing, inbox, feed."""

import asyncio
import time
from collections.abc import Callable, Mapping

from pushgate.bus import create_bus, create_feed
from pushgate.bus.base import Produced
from pushgate.config import TenantConfig
from pushgate.delivery.answers import Answers
from pushgate.delivery.fanout import FanOut
from pushgate.delivery.following import Following
from pushgate.delivery.questions import Questions
from pushgate.delivery.router import Router
from pushgate.inbox.base import NO_PLACES, Inbox
from pushgate.metrics.catalogue import BUS_CONNECTED, BUS_GAPS, BUS_RECONNECTS
from pushgate.node.plan import WorkerPlan
from pushgate.node.reliable_delivery import ReliableDelivery
from pushgate.node.routing import DIRECTORY, Routing, home_of
from pushgate.node.servers import NONE
from pushgate.routing.addressing import Addressing
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.replacing import Replacing
from pushgate.sockets.poller import Poller
from pushgate.tracing import Tracer

WhyNotReady = Callable[[], list[str]]


class Backbone:
    """The backbone of one worker. `greet(fd, arrival)` makes a session of a connection; `why_not_ready` is what the
    worker as a whole says."""

    def __init__(
        self,
        plan: WorkerPlan,
        poller: Poller,
        sessions: SessionManager,
        loop: asyncio.AbstractEventLoop,
        greet: Callable[[int, Arrival], None],
        why_not_ready: WhyNotReady,
        tracer: Tracer | None,
    ) -> None:
        config, row = plan.config, plan.row
        self._plan = plan
        self._row = row
        self._greet = greet
        self._reconnects = 0  # of the bus, in the row already
        has_inbox, directed = plan.servers.inbox != NONE, config.bus.routing == DIRECTORY
        self.bus = create_bus(plan.servers.bus, config.bus.prefix, plan.home if directed else None)
        self._answers = Answers(sessions, plan.rows, plan.tenants.numbers, why_not_ready, has_inbox, plan.journal.read)
        self.questions = Questions(
            plan.node,
            plan.index,
            self.bus,
            self._answers.reply,
            row,
            Replacing(sessions).replace,
            lambda: home_of(plan.home, plan.rows, plan.workers) if directed else 0,
        )
        sessions.on_device = self.questions.tell_taken
        self._routing = Routing(plan, sessions, self.questions.presence, greet) if directed else None
        self._delivery = ReliableDelivery(plan, poller, sessions, self._admit_user, loop) if has_inbox else None
        reliable = self._delivery.reliable if self._delivery is not None else None
        unread = self._delivery.unread if self._delivery is not None else None
        following = None
        if tracer is not None or config.log.level == "debug":
            progress = reliable.progress if reliable is not None else None
            following = Following(sessions, config.node.full_name, tracer, progress)
        if reliable is not None:
            reliable.following = following
        self.fanout = FanOut(sessions, row, loop.call_soon, loop.call_later, reliable, following)
        self.router = Router(sessions, self.fanout, row, self.questions.hear, reliable, unread, following)
        self._feed = create_feed(plan.servers.bus, config.bus.prefix)

    @property
    def inbox(self) -> Inbox | None:
        """The inbox, where the node has one."""
        return self._delivery.inbox if self._delivery is not None else None

    @property
    def addressing(self) -> Addressing | None:
        """Which nodes hold whom, where pushes are routed by that."""
        return self._routing.addressing if self._routing is not None else None

    async def start(self, produced: Produced) -> None:
        """Return when what is pushed reaches this worker; `produced` takes what business systems produce."""
        plan = self._plan
        starts = [self.bus.start(plan.shards, self.router.receive, self.note_gap)]
        if self._delivery is not None:
            places = plan.predecessor.places if plan.predecessor is not None else NO_PLACES
            starts.append(self._delivery.start(plan.shards, self.router.bring, plan.config.tenants, places))
        if self._routing is not None:
            starts.append(self._routing.start(known=plan.predecessor is not None))
        if self._feed is not None:
            starts.append(self._feed.start(produced))
        await asyncio.gather(*starts)
        if self._delivery is not None and plan.index == 0:  # an inbox is the same for all workers
            self._delivery.watch_usage(plan.tenants.numbers)

    async def load(self, tenants: Mapping[str, TenantConfig]) -> None:
        """Have the inbox open for these tenants, with their limits."""
        if self._delivery is not None:
            await self._delivery.load(tenants)

    def admit(self, fd: int, arrival: Arrival) -> None:
        """Have a connection greeted, once what its session needs is there: the device's cursor, the user's entry."""
        if self._delivery is not None and arrival.device is not None:
            self._delivery.admit(fd, arrival)
        else:
            self._admit_user(fd, arrival)

    def turn_away(self) -> None:
        """Greet nobody any more who still waits for that."""
        if self._delivery is not None:
            self._delivery.empty()
        if self._routing is not None:
            self._routing.directory.let_in()

    def freeze(self) -> None:
        """Sessions go to other processes of the node: what the directory says of it stays as it is."""
        if self._routing is not None:
            self._routing.directory.freeze()

    def thaw(self) -> None:
        """They stay here, after all."""
        if self._routing is not None:
            self._routing.directory.thaw()

    def note_gap(self) -> None:
        """Something that was on the bus may not have come."""
        self._row[BUS_GAPS] += 1
        self.questions.presence.unsettle()

    def why_not_ready(self) -> list[str]:
        """Return why pushes would not arrive, or not be taken, now; nothing where they would."""
        reasons = [] if self.bus.connected else ["the bus is away"]
        return reasons + (self._delivery.why_not_ready() if self._delivery is not None else [])

    def tick(self) -> None:
        """Count one tick of the worker."""
        self.questions.tick()
        if self._routing is not None:
            self._routing.tick()
        if self._delivery is not None:
            self._delivery.tick()
        self._answers.tick(time.monotonic())
        self._row[BUS_CONNECTED] = int(self.bus.connected)
        self._row[BUS_RECONNECTS] += self.bus.reconnects - self._reconnects
        self._reconnects = self.bus.reconnects

    async def stop(self, grace: float) -> None:
        """Store the cursors that are not stored yet, within so many seconds, and let go of everything."""
        await self.questions.stop()
        if self._delivery is not None:
            await self._delivery.stop(grace)
        if self._routing is not None:
            await self._routing.directory.stop()
        await self.bus.stop()
        if self._feed is not None:
            await self._feed.stop()

    def _admit_user(self, fd: int, arrival: Arrival) -> None:
        """Have a connection greeted once its user is in the directory, where there is one."""
        if self._routing is not None:
            self._routing.admit(fd, arrival)
        else:
            self._greet(fd, arrival)
