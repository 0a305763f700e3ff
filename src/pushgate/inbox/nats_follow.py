"""Following a tenant's logs: one push consumer, whose own sequence has no holes, so that every gap shows.

When something is amiss (a hole, a missed heartbeat, a lost connection, a consumer or a stream that is gone) a new
consumer begins behind the last entry that was seen.
"""

import asyncio
from collections.abc import Iterable
from itertools import count
from secrets import token_hex

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Entry, OnEntry, OnEpoch
from pushgate.inbox.nats_stream import Stream, call_api
from pushgate.inbox.nats_subjects import Subjects
from pushgate.log import get_logger
from pushgate.metrics.catalogue import INBOX_GAPS
from pushgate.metrics.rows import Row
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import header

HEARTBEAT = 1
"""Seconds after which a consumer without messages says that it is there."""
SILENCE = 12
"""Ticks (of the link: 3 s) without a word after which it is taken for lost."""
KEPT = 10
"""Seconds that the server keeps a consumer to which nobody listens."""
PAUSE = 0.25
"""Seconds between two attempts to follow."""

_log = get_logger("inbox")
_names = map(f"{token_hex(6)}-{{}}".format, count())


class Follower:
    """Follows the logs of one tenant. `restart` it when the connection is another one, and let it `tick`."""

    def __init__(
        self,
        connection: Connection,
        stream: Stream,
        subjects: Subjects,
        tenant: str,
        shards: Iterable[int],
        on_entry: OnEntry,
        on_epoch: OnEpoch,
        row: Row,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subjects = subjects
        self._filters = subjects.followed(shards)
        self._tenant = tenant
        self._on_entry = on_entry
        self._on_epoch = on_epoch
        self._row = row
        self._link: NatsLink | None = None
        self._sid = 0
        self.epoch: str | None = None
        """The epoch of what is followed, once that is known."""
        self._position = 0
        self._delivered = 0  # the consumer's own sequence
        self._silent = 0
        self._trouble = asyncio.Event()
        self.consumer = ""
        """The name of the consumer in use, for whoever looks into the server."""
        self.following = asyncio.Event()
        self.reason = "the inbox is away"
        self._task = asyncio.create_task(self._run())

    def restart(self) -> None:
        """Begin anew behind the last entry."""
        self._trouble.set()

    def tick(self) -> None:
        """Let time go by."""
        self._silent += 1
        if self._silent == SILENCE and self.following.is_set():
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
            except InboxUnavailable as error:
                self._leave()
                self.reason = str(error)
                await asyncio.sleep(PAUSE)
                continue
            self.following.set()
            await self._trouble.wait()
            self.following.clear()
            self._leave()
            self._row[INBOX_GAPS] += 1

    async def _begin(self, link: NatsLink) -> None:
        """Make a consumer on the stream as it is now, and be sure that it is on that one."""
        while True:
            last = await self._stream.ensure(link)
            epoch = self._stream.epoch
            if self.epoch is None:
                self.epoch, self._position = epoch, last
            elif last < self._position and epoch == self.epoch and not self._stream.replicated:
                await self._stream.renew_epoch(link)  # a server whose machine failed; others may have lost cursors
                continue
            elif epoch != self.epoch:
                self.epoch, self._position = epoch, 0
                _log.warning("the inbox has begun anew", tenant=self._tenant)
                self._on_epoch(self._tenant)
            await self._consume(link)
            await self._stream.ensure(link)
            if self._stream.epoch == epoch:
                return
            self._leave()

    async def _consume(self, link: NatsLink) -> None:
        name = self.consumer = next(_names)
        deliver = f"_INBOX.{name}"
        self._link, self._delivered, self._silent = link, 0, 0
        self._sid = link.listen(deliver, self._take)
        config = {
            "name": name,
            "deliver_subject": deliver,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "filter_subjects": self._filters,
            "ack_policy": "none",
            "idle_heartbeat": HEARTBEAT * 10**9,
            "flow_control": True,
            "inactive_threshold": KEPT * 10**9,
            "mem_storage": True,
            "num_replicas": 1,
        }
        stream = self._stream.name
        answer = await call_api(link, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config})
        if "error" in answer:
            raise InboxUnavailable(f"stream {stream}: {answer['error'].get('description')}")

    def _take(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        """Take what the consumer sends; called for each message."""
        self._silent = 0
        if headers[8:12] == b" 100":
            self._take_word(reply, headers)
            return
        offset, delivered = _places(reply)
        if delivered != self._delivered + 1:
            self._begin_anew("a hole")
            return
        self._delivered = delivered
        self._position = offset
        self._stream.note(offset)
        self._on_entry(Entry(self._tenant, self._subjects.uid_of(subject, headers), offset, payload))

    def _take_word(self, reply: bytes, headers: bytes) -> None:
        """Take a heartbeat, or a question whether we keep up."""
        assert self._link is not None
        answer_to = reply or header(headers, b"Nats-Consumer-Stalled")
        if answer_to:
            self._link.write((b"PUB %b 0\r\n\r\n" % answer_to,))
        last = header(headers, b"Nats-Last-Consumer")
        if last and int(last) != self._delivered:
            self._begin_anew("a hole")

    def _begin_anew(self, reason: str) -> None:
        _log.warning("following begins anew", tenant=self._tenant, reason=reason)
        self._leave()
        self._trouble.set()

    def _leave(self) -> None:
        if self._link is not None:
            self._link.leave(self._sid)
        self._link = None


def _places(reply: bytes) -> tuple[int, int]:
    """Return a message's sequence in the stream and in the consumer: they stand in its reply subject,
    `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.…`, or with domain and account
    before the stream."""
    tokens = reply.split(b".")
    first = 5 if len(tokens) == 9 else 7
    return int(tokens[first]), int(tokens[first + 1])
