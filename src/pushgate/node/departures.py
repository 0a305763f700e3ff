"""Departures: the clients of a worker leave at an even pace, while the node is drained.

A client is told `reconnect` and closed with GOING_AWAY when its turn comes, and not told before: however it counts
`after`, from the message or from the close, it is away for no longer than that. What leaves within one tick of the
worker is spread over that tick by `after`.
"""

import random
from collections.abc import Callable

from pushgate.metrics.catalogue import CONNECTIONS
from pushgate.metrics.rows import Row
from pushgate.sessions.manager import SessionManager
from pushgate.sockets.poller import TICK

SLICE = 256
"""Clients sent away in one turn of the loop."""


class Departures:
    """The departures of one worker.

    `phase`, at least 0 and below 1, is by how much of the pause between two clients its first one leaves later than the
    drain begins: workers with different phases take turns, so that few clients leave evenly too.
    """

    def __init__(
        self, sessions: SessionManager, row: Row, phase: float, call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._sessions = sessions
        self._row = row
        self._call_soon = call_soon
        self._until: float | None = None
        self._last = 0.0
        self._due = 0.0  # how many are to leave now; negative while the next one's turn has not come
        self._head_start = 1.0 - phase
        self._place = -1  # the descriptor that was looked at last

    @property
    def under_way(self) -> bool:
        """Whether the node is drained."""
        return self._until is not None

    def begin(self, until: float, now: float) -> None:
        """Have everybody gone at the moment `until` (monotonic seconds); while under way it is another moment."""
        if self._until is None:
            self._last = now
        self._until = until

    def tick(self, now: float) -> None:
        """Send away those whose turn has come; who comes late, by a hand-off, gets a turn too."""
        if self._until is None:
            return
        left, passed = self._until - self._last, now - self._last
        self._last = now
        self._due += (self._row[CONNECTIONS] - self._due) * (passed / left if passed < left else 1.0)
        self._send_some()

    def _send_some(self) -> None:
        by_fd = self._sessions.by_fd
        count = min(int(self._due + self._head_start), self._row[CONNECTIONS], SLICE)
        for _ in range(len(by_fd)):
            if count <= 0:
                break
            self._place = (self._place + 1) % len(by_fd)
            session = by_fd[self._place]
            if session is not None:
                self._sessions.send_away(session, round(random.uniform(0, TICK), 3))  # noqa: S311
                self._due -= 1
                count -= 1
        if self._due + self._head_start >= 1 and self._row[CONNECTIONS]:
            self._call_soon(self._send_some)
