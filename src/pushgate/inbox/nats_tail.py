"""The tail of a log that many read at once: what one has read of it, the others need not ask for.

When a node comes back, each of its thousands of devices wants everyone's log from about the same place. Entries without
a collapse key change no more; one that expires may be returned for KEPT seconds longer.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from operator import attrgetter

from pushgate.inbox.nats_get import Found

KEPT = 1.0
"""Seconds after which it is read anew."""
PIECE = 64
"""Entries that are read at once."""
MOST, MOST_BYTES = 1000, 4 * 1024 * 1024
"""Entries that are kept, and their bytes, give or take a piece."""


Walk = Callable[[int, int, int], Awaitable[list[Found]]]
"""Reads the log: what is above the first sequence and not above the second, so many at most.

A reader's own is sure to be whole from where he is, and up to what the server told him. Below that, or above, another
server may answer that lacks something, and nobody would notice.
"""


class Tail:
    """What was read of a log lately: all that is above `_start` and not above `_end`."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._era: object = None
        self._until = 0.0
        self._start = self._end = 0
        self._entries: list[Found] = []
        self._bytes = 0

    async def read(self, walk: Walk, era: object, after: int, up_to: int, limit: int) -> list[Found]:
        """Return the entries above `after` and not above `up_to`, at most `limit`. What was read in another `era` is of
        no use."""
        if after >= up_to:
            return []
        async with self._lock:  # while one asks the others wait, to find it here
            now = asyncio.get_running_loop().time()
            if now >= self._until or era != self._era:
                self._era, self._until = era, now + KEPT
                self._start = self._end = after
                self._entries, self._bytes = [], 0
            await self._reach(walk, after, up_to, limit)
            start, end = self._start, self._end
            first = self._above(after)
            found = [each for each in self._entries[first : first + limit] if each.sequence <= up_to]
        if after < start:
            return await walk(after, up_to, limit)
        if end < up_to and len(found) < limit:
            found += await walk(max(after, end), up_to, limit - len(found))
        return found

    async def _reach(self, walk: Walk, after: int, up_to: int, limit: int) -> None:
        """Read what lacks for a reader, as far as it is little."""
        if after < self._start and self._end <= up_to and self._has_room:
            limit_of_all = len(self._entries) + PIECE
            new = await walk(after, up_to, limit_of_all)
            if len(new) < limit_of_all:
                self._start, self._end, self._entries = after, up_to, new
                self._bytes = sum(len(found.payload) for found in new)
        while self._start <= after <= self._end < up_to and self._has_room:
            if len(self._entries) - self._above(after) >= limit:
                break
            new = await walk(self._end, up_to, PIECE)
            self._entries += new
            self._bytes += sum(len(found.payload) for found in new)
            self._end = up_to if len(new) < PIECE else new[-1].sequence

    def _above(self, after: int) -> int:
        return bisect_right(self._entries, after, key=attrgetter("sequence"))

    @property
    def _has_room(self) -> bool:
        return len(self._entries) < MOST and self._bytes < MOST_BYTES
