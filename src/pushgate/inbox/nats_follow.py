"""Following a tenant's logs through one push consumer after another.

When something is amiss (a hole, a missed heartbeat, a lost connection, a consumer or a stream that is gone) a new
consumer begins behind the last entry that was seen.
"""

import asyncio
from collections.abc import Sequence

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Entry, FollowedTo, OnEntry, OnEpoch
from pushgate.inbox.nats_consumer import Consumer
from pushgate.inbox.nats_stream import Stream
from pushgate.inbox.nats_subjects import Subjects
from pushgate.log import get_logger
from pushgate.metrics.catalogue import INBOX_GAPS
from pushgate.metrics.rows import Row
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink

SILENCE = 12
"""Ticks (of the inbox: 3 s) without a word after which a consumer is taken for lost."""
PAUSE = 0.25
"""Seconds between two attempts to follow."""

_log = get_logger("inbox")


class Follower:
    """Follows the logs of one tenant. `restart` it when the connection is another one, and let it `tick`."""

    def __init__(
        self,
        connection: Connection,
        stream: Stream,
        subjects: Subjects,
        tenant: str,
        shards: Sequence[int],
        on_entry: OnEntry,
        on_epoch: OnEpoch,
        row: Row,
        place: FollowedTo | None = None,
    ) -> None:
        """`place` is where to begin, as long as the stream has its epoch; None means with what is appended from now."""
        self._connection = connection
        self._stream = stream
        self._subjects = subjects
        self._filters = subjects.followed(shards)
        self._tenant = tenant
        self._on_entry = on_entry
        self._on_epoch = on_epoch
        self._row = row
        self._place = place
        self._trouble = asyncio.Event()
        self.consumer: Consumer | None = None
        self.epoch: str | None = None
        """The epoch of what is followed, once that is known."""
        self.following = asyncio.Event()
        self.reason = "the inbox is away"
        self._task = asyncio.create_task(self._run())

    def restart(self) -> None:
        """Begin anew behind the last entry."""
        self._leave()
        self._trouble.set()

    def tick(self) -> None:
        """Let time go by."""
        if self.consumer is not None and self.following.is_set():
            self.consumer.silent += 1
            if self.consumer.silent >= SILENCE:
                self._begin_anew("no heartbeat")

    async def stop(self) -> None:
        """Follow no longer."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            link = await self._connection.ready()
            self._trouble.clear()
            try:
                await self._begin(link)
            except Exception as error:
                if not isinstance(error, InboxUnavailable):
                    _log.exception("following failed", tenant=self._tenant)
                self._leave()
                self.reason = str(error)
                await asyncio.sleep(PAUSE)
                continue
            self.following.set()
            await self._trouble.wait()
            self.following.clear()
            self._row[INBOX_GAPS] += 1

    async def _begin(self, link: NatsLink) -> None:
        """Make a consumer on the stream as it is now, and be sure that it is on that one."""
        while True:
            last = await self._stream.ensure(link)
            epoch = self._stream.epoch
            if self.epoch is None:
                self.epoch = epoch
                place = self._place
                known = place is not None and place.epoch == epoch and place.offset <= last
                self._stream.note_followed(place.offset if place is not None and known else last)
            elif epoch != self.epoch:
                self.epoch = epoch
                self._stream.forget_sequences()  # something of before may have come since the stream noticed
                _log.warning("the inbox has begun anew", tenant=self._tenant)
                self._on_epoch(self._tenant)
            elif last < self._stream.followed and not self._stream.replicated:
                _log.error("the inbox has lost messages", tenant=self._tenant)  # its machine failed
                await self._stream.give_epoch(link)
                continue
            self.consumer = Consumer(link, self._stream, self._filters, self._take, self._note_hole)
            await self.consumer.open(self._stream.followed)
            await self._stream.ensure(link)
            if self._stream.epoch == epoch:
                return
            self._leave()

    def _take(self, sequence: int, _stored: float, subject: bytes, headers: bytes, payload: bytes) -> None:
        self._stream.note_followed(sequence)
        self._on_entry(Entry(self._tenant, self._subjects.uid_of(subject, headers), sequence, payload))

    def _note_hole(self) -> None:
        self._begin_anew("a hole")

    def _begin_anew(self, reason: str) -> None:
        _log.warning("following begins anew", tenant=self._tenant, reason=reason)
        self.restart()

    def _leave(self) -> None:
        if self.consumer is not None:
            self.consumer.close()
        self.consumer = None
