"""Draining a node, seen from the supervisor: nobody comes in, all clients leave evenly, and then the node stops.

Who connects is refused by the kernel, not answered 503: a load balancer then takes another node for this very client,
as a browser does with the next address of a name; it costs the node nothing; and where there is no other node, it is
what the client meets a moment later anyway.
"""

import socket
import time
from collections.abc import Callable

from pushgate.config import Config
from pushgate.log import get_logger
from pushgate.metrics.catalogue import CONNECTIONS, DRAINING, LOBBY
from pushgate.metrics.rows import Row, Rows
from pushgate.node.commands import DrainProgress, State
from pushgate.node.control import DRAIN
from pushgate.node.loop import Loop
from pushgate.node.workers import Workers
from pushgate.sockets.listener import refuse_all

DEFAULT = 15.0
"""Seconds that SIGTERM drains a node of several for, where `node.drain` is not set."""
LOOK = 0.25
"""Seconds between two looks at who is left."""
MARGIN = 1.0
"""Seconds that the last ones are given beyond the time before they are sent away at once."""
TELL = 1.0
"""Seconds between two words to those who wait for the end."""

_log = get_logger("supervisor", lifecycle=True)


def drain_time(config: Config) -> float:
    """Return how many seconds SIGTERM drains for: `node.drain`, or what suits the node where that is not set."""
    if config.node.drain is not None:
        return config.node.drain
    bus = config.bus.url
    is_alone = bus.startswith("memory:") or (bus == "embedded" and not config.cluster.nodes)
    return 0.0 if is_alone else DEFAULT


class Drain:
    """The drain of this node, once `begin` is called.

    `tell` is told how far it is, until the supervisor ends; `over` is called when nobody is left, or the time is over.
    """

    def __init__(
        self,
        rows: Rows,
        row: Row,
        clients: socket.socket,
        workers: Workers,
        loop: Loop,
        tell: Callable[[DrainProgress], None],
        over: Callable[[], None],
    ) -> None:
        self._rows = rows
        self._row = row
        self._clients = clients
        self._loop = loop
        self._workers = workers
        self._tell = tell
        self._over = over
        self._seconds = 0.0
        self._first = 0
        self._state: State = "draining"
        self.until: float | None = None
        """When everybody is to be gone; None while the node is not drained."""

    def begin(self, seconds: float) -> None:
        """Drain within so many seconds from now; under way already, go on with this time."""
        now = time.monotonic()
        is_first, self.until, self._seconds = self.until is None, now + seconds, seconds
        self._first = max(self._first, self._left())
        _log.info("draining", over=seconds, connections=self._rows.total(CONNECTIONS))
        self._row[DRAINING] = 1  # seen by all workers at once
        self._workers.say(DRAIN, str(self.until).encode())
        refuse_all(self._clients)
        if is_first:
            self._loop.after(LOOK, self._look)
            self._loop.after(TELL, self._report)
        self._tell(self.progress())

    def hurry(self, seconds: float) -> None:
        """Be done within so many seconds from now, if that is sooner."""
        if self.until is None or self.until > time.monotonic() + seconds:
            self.begin(seconds)

    def end(self) -> None:
        """The node stops: because the drain is done, or before it is."""
        if self.until is None or self._state != "draining":
            return
        left = self._left()
        self._state = "ended early" if left and time.monotonic() < self.until + MARGIN else "drained"
        _log.info(self._state, connections=left)
        self._tell(self.progress())

    def progress(self) -> DrainProgress:
        """Return how far it is."""
        left = max(0.0, (self.until or 0.0) - time.monotonic())
        return DrainProgress(self._state, self._left(), self._first, round(left, 1), self._seconds)

    def _report(self) -> None:
        self._loop.after(TELL, self._report)
        self._tell(self.progress())

    def _left(self) -> int:
        return self._rows.total(CONNECTIONS) + self._rows.total(LOBBY)

    def _look(self) -> None:
        if self._state != "draining" or self.until is None:
            return
        if self._left() and time.monotonic() < self.until + MARGIN:
            self._loop.after(LOOK, self._look)
        else:
            self._over()
