"""A stretch of a tenant's stream, read at once when many come back at once.

Reading one log costs the server a search for each entry: some hundred microseconds for three of them in a busy stream.
When devices by the thousand come back, it is cheaper to be sent the whole last part of the stream once, as far as
this worker's shards are concerned, and to find each log in it. That is done when asking one by one has cost as much
within the last seconds, and it is kept for a few. Entries with a collapse key are left out: a newer one may replace
them meanwhile.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter

from pushgate.errors import InboxUnavailable
from pushgate.inbox.nats_consumer import Consumer
from pushgate.inbox.nats_get import Found
from pushgate.inbox.nats_stream import Stream
from pushgate.inbox.nats_subjects import Subjects
from pushgate.log import get_logger
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import header

ASKING, FINDING = 3, 24
"""What it costs to ask for a log and to find an entry of it, in messages of the stream that are sent at once."""
FADING = 0.75
"""What counts of such a cost after each second."""
LEAST, MOST = 1000, 100_000
"""Messages of the stream that are sent at once."""
MOST_BYTES, OVERHEAD = 32 * 1024 * 1024, 200
"""Bytes that are kept, and what an entry takes beside its subject and payload."""
KEPT = 5.0
"""Seconds that it is kept."""
PATIENCE = 3.0
"""Seconds for it to arrive; the readers wait so long."""

_Kept = tuple[int, float, Found]
"""An entry with its offset and when it expires (seconds since 1970)."""

_log = get_logger("inbox")


class Stretch:
    """What is above `_start` and not above `_end` of the logs that this worker follows, without collapsed entries."""

    def __init__(self, stream: Stream, subjects: Subjects, shards: Sequence[int]) -> None:
        self._stream = stream
        self._subjects = subjects
        self._depth = subjects.log("").count(".")
        self._filters = subjects.followed(shards)
        self._places = {str(shard) for shard in shards}
        self._lock = asyncio.Lock()
        self._second = 0
        self._spent = 0.0  # by asking one by one, lately
        self._until = 0.0
        self._epoch = ""
        self._start = self._end = 0
        self._logs: dict[str, list[_Kept]] = {}

    def note_asked(self, found: int) -> None:
        """Take note that somebody asked for himself, and what he found."""
        second = int(asyncio.get_running_loop().time())
        self._spent = self._spent * FADING ** (second - self._second) + ASKING + FINDING * found
        self._second = second

    async def read(self, link: NatsLink, logs: Sequence[str], after: int, limit: int) -> tuple[list[Found], int]:
        """Return the first entries of logs above `after` that are known, at most `limit`, and up to where there are no
        others without a collapse key: not beyond `after` where it is of no help."""
        if self._stream.replicated or self._subjects.place_of(logs[0]) not in self._places:
            return [], after
        async with self._lock:
            await self._reach(link, after)
            if not (self._is_good and self._start <= after < self._end):
                return [], after
            now = time.time()
            found: list[Found] = []
            for log in logs:
                chain = self._logs.get(log, [])
                above = islice(chain, bisect_right(chain, after, key=itemgetter(0)), None)
                found += islice((each for _, expires, each in above if expires > now), limit)
            if len(found) < limit:
                return sorted(found), self._end
            found = sorted(found)[:limit]
            return found, found[-1].sequence

    def drop(self, now: float) -> None:
        """Let go of it when its time is over."""
        if self._logs and now >= self._until:
            self._start = self._end = 0
            self._logs = {}

    @property
    def _is_good(self) -> bool:
        return asyncio.get_running_loop().time() < self._until and self._epoch == self._stream.epoch

    async def _reach(self, link: NatsLink, after: int) -> None:
        """Read what lacks for a reader, where that is worth it."""
        allowed, newest = min(int(self._spent), MOST), self._stream.followed
        if allowed < LEAST:
            return
        begin = newest - allowed
        if not self._is_good:
            end = newest
        elif after < self._start:
            end = self._end
        else:
            return
        if begin <= after < end:
            await self._replay(link, max(0, begin - allowed // 4), end)  # others may be a little further behind

    async def _replay(self, link: NatsLink, start: int, end: int) -> None:
        """Have all of it sent: up to the entry that was last followed, or until there is nothing to send. (What the
        server says of how much is to come is an estimate.) What has come is good, also when the rest does not come."""
        loop = asyncio.get_running_loop()
        logs: dict[str, list[_Kept]] = {}
        reached, size = start, 0
        done = asyncio.Event()

        def take(sequence: int, stored: float, subject: bytes, headers: bytes, payload: bytes) -> None:
            nonlocal reached, size
            if done.is_set():
                return
            reached = min(sequence, end)
            if sequence <= end and subject.count(b".") == self._depth:
                expires = stored + int(header(headers, b"Nats-TTL") or 0)
                found = Found(sequence, subject, b"", payload)
                logs.setdefault(subject.decode(), []).append((sequence, expires, found))
                size += len(subject) + len(payload) + OVERHEAD
            if sequence >= end or size > MOST_BYTES:
                done.set()

        def take_all() -> None:
            nonlocal reached
            if not done.is_set():
                reached = end
                done.set()

        consumer = Consumer(link, self._stream, self._filters, take, done.set, take_all)
        timer = loop.call_later(PATIENCE, done.set)
        lost = loop.create_task(link.lost.wait())
        lost.add_done_callback(lambda _: done.set())
        epoch = self._stream.epoch
        try:
            await consumer.open(start)
            await done.wait()
        except InboxUnavailable:
            pass  # then each asks for himself
        finally:
            timer.cancel()
            lost.cancel()
            consumer.close()
        self._until, self._epoch = loop.time() + KEPT, epoch
        self._start, self._end, self._logs = start, reached, logs
        _log.info("a stretch of the inbox was read at once", messages=reached - start, bytes=size)
