"""A worker's part in routing by directory: the registry, and all that stands between it and sessions and pushes."""

import asyncio
from collections.abc import Callable

from pushgate.delivery.presence import Presence
from pushgate.metrics.catalogue import DIRECTORY_CURRENT
from pushgate.metrics.rows import Rows
from pushgate.node.plan import WorkerPlan
from pushgate.node.servers import registry_copies
from pushgate.routing import create_registry
from pushgate.routing.addressing import Addressing
from pushgate.routing.directory import Directory
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.manager import SessionManager

DIRECTORY = "directory"
"""What `bus.routing` is where a push goes only to the nodes that hold its users."""


class Routing:
    """The routing of one worker. `greet(fd, arrival)` makes a session of a connection; its user is in the directory."""

    def __init__(
        self,
        plan: WorkerPlan,
        sessions: SessionManager,
        presence: Presence,
        greet: Callable[[int, Arrival], None],
    ) -> None:
        config = plan.config
        registry = create_registry(plan.servers.bus, config.bus.prefix, plan.home, plan.index, registry_copies(config))
        self.directory = Directory(registry, plan.row)
        self.addressing = Addressing(
            registry, lambda: self.directory.settled and presence.settled, lambda: presence.homes, plan.row
        )
        self._sessions = sessions
        self._presence = presence
        self._greet = greet
        self._announced = asyncio.Event()
        sessions.table.on_first, sessions.table.on_last = self.directory.enter, self.directory.leave

    async def start(self, known: bool) -> None:
        """Connect; returns once the other nodes know of this one, which they do already where it is `known`.

        What the directory says of a node that they do not know they leave out.
        """
        self.directory.start()
        if not known:
            await self._announced.wait()

    def admit(self, fd: int, arrival: Arrival) -> None:
        """Take a connection in once its user is in the directory, at once where that cannot be."""
        self.directory.admit(arrival.tenant, arrival.uid, lambda: self._enter(fd, arrival))

    def _enter(self, fd: int, arrival: Arrival) -> None:
        self._greet(fd, arrival)
        if not self._sessions.find(arrival.tenant, arrival.uid):  # it was refused, or went elsewhere
            self.directory.leave(arrival.tenant, arrival.uid)

    def tick(self) -> None:
        """Count one tick of the worker."""
        if self._presence.announced:
            self._announced.set()
        self.directory.tick()
        self.addressing.tick()


def home_of(home: int, rows: Rows, workers: int) -> int:
    """Return what a node says of itself: its home while the directory has the users of all workers, else 0."""
    return home if all(rows.row(index)[DIRECTORY_CURRENT] for index in range(workers)) else 0
