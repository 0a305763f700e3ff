"""Messages whose ttl ends while a device of their user has not acknowledged them: counted, as far as that is cheap.

A worker remembers when the messages to its users end, and looks then: at the devices that are connected, and where
none is, at the cursors of the user's devices. Not counted are messages to everyone, narrowed ones, those with a
collapse key, those of a user without any device, what a worker was brought beyond KEPT or before it was started, and,
of users who are away, what ends faster than it can be looked up. So the count is never too high by much, and may be
too low.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from pushgate.delivery.outgoing import Channel, Sessions
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Cursor
from pushgate.messages.push import Push
from pushgate.metrics.catalogue import EXPIRED_UNREAD
from pushgate.metrics.rows import Row
from pushgate.sockets.poller import TICK

TICKS = round(1 / TICK)
"""Ticks of the worker in a second."""
KEPT = 65_536
"""Messages whose end a worker remembers."""
JUDGED = 256
"""Messages that are looked at in one tick."""
LOOKUPS, WAITING = 8, 1024
"""Users whose cursors are asked for in one tick, and messages that may wait for that."""


class CursorReader(Protocol):
    """What is asked of the inbox."""

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """See Inbox."""

    def epoch(self, tenant: str) -> str:
        """See Inbox."""


class Unread:
    """The messages of one worker that may expire unread. `progress` returns what a device was sent and acknowledged."""

    def __init__(
        self,
        sessions: Sessions,
        inbox: CursorReader,
        progress: Callable[[Channel], tuple[int, int]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        row: Row,
    ) -> None:
        self._sessions = sessions
        self._inbox = inbox
        self._progress = progress
        self._spawn = spawn
        self._row = row
        self._tick = 0
        self._ends: list[tuple[int, int, str, str]] = []  # a heap: tick, offset, tenant, uid
        self._away: deque[tuple[int, str, str]] = deque(maxlen=WAITING)
        self._looking = False

    def note(self, push: Push, uid: str, offset: int) -> None:
        """Remember a message that was brought for a user."""
        is_plain = push.device is None and push.tags is None and push.except_session is None and push.collapse is None
        if is_plain and len(self._ends) < KEPT:
            heappush(self._ends, (self._tick + push.ttl * TICKS, offset, push.tenant, uid))

    def forget(self, tenant: str) -> None:
        """A tenant's logs are others now: what was remembered of them means nothing any more."""
        self._ends = [end for end in self._ends if end[2] != tenant]
        heapify(self._ends)
        self._away = deque((each for each in self._away if each[1] != tenant), maxlen=WAITING)

    def tick(self) -> None:
        """Count one tick, and judge the messages that end with it."""
        self._tick += 1
        for _ in range(JUDGED):
            if not self._ends or self._ends[0][0] > self._tick:
                break
            _, offset, tenant, uid = heappop(self._ends)
            devices = [channel for channel in self._sessions.find(tenant, uid) if channel.device is not None]
            if not devices:
                self._away.append((offset, tenant, uid))
            elif any(self._progress(channel)[1] < offset for channel in devices):
                self._row[EXPIRED_UNREAD] += 1
        if self._away and not self._looking:
            self._looking = True
            self._spawn(self._look())

    async def _look(self) -> None:
        """Judge the next messages of users who are away."""
        try:
            for _ in range(min(LOOKUPS, len(self._away))):
                offset, tenant, uid = self._away.popleft()
                cursors = await self._inbox.find_cursors(tenant, uid)
                epoch = self._inbox.epoch(tenant)
                if any(cursor.epoch == epoch and cursor.offset < offset for cursor in cursors.values()):
                    self._row[EXPIRED_UNREAD] += 1
        except InboxUnavailable:
            pass  # whoever asked it says why
        finally:
            self._looking = False
