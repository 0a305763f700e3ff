"""The inbox over NATS JetStream: a stream a tenant, whose sequence is the offset, and one stream for all cursors.

Appending and following share one connection, reading has another.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import (
    EVERYONE,
    NO_PLACES,
    Cursor,
    Device,
    Draft,
    Entry,
    FollowedTo,
    Limits,
    OnEntry,
    OnEpoch,
    Options,
    Outcome,
    Unknown,
    Usage,
)
from pushgate.inbox.figures import count_appends, measured
from pushgate.inbox.nats_append import GroupCommit, Message
from pushgate.inbox.nats_cursors import Cursors
from pushgate.inbox.nats_follow import Follower
from pushgate.inbox.nats_get import Gets
from pushgate.inbox.nats_read import LogReader
from pushgate.inbox.nats_stream import Stream, cursor_stream, log_limits, log_stream
from pushgate.inbox.nats_stretch import Stretch
from pushgate.inbox.nats_subjects import CursorSubjects, Subjects, message_id, uid_header
from pushgate.metrics.catalogue import INBOX_CURSOR_TIME, INBOX_READ_TIME
from pushgate.metrics.rows import Row
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink

PATIENCE = 10.0
"""Seconds that `open` waits."""
TICK = 0.25


class _Logs(NamedTuple):
    """What there is for one tenant."""

    limits: Limits
    subjects: Subjects
    stream: Stream
    commit: GroupCommit
    gets: Gets
    reader: LogReader
    follower: Follower


class NatsInbox:
    """The inbox over NATS; see Inbox for what it promises, and Connection for `url`."""

    def __init__(self, url: str, prefix: str, row: Row, options: Options) -> None:
        self._prefix = prefix
        self._row = row
        self._options = options
        self._main = Connection(url, "inbox", "writing")
        self._reads = Connection(url, "inbox", "reading")
        self._shards: list[int] = []
        self._on_entry: OnEntry | None = None
        self._on_epoch: OnEpoch | None = None
        self._places: Mapping[str, FollowedTo] = NO_PLACES
        self._logs: dict[str, _Logs] = {}
        subjects = CursorSubjects(prefix)
        stream = cursor_stream(subjects, options)
        self._cursor_commit = GroupCommit(self._main, stream, row)
        self._cursors = Cursors(subjects, self._cursor_commit, Gets(self._reads, stream))
        self._timer: asyncio.TimerHandle | None = None

    async def start(
        self, shards: Iterable[int], on_entry: OnEntry, on_epoch: OnEpoch, places: Mapping[str, FollowedTo] = NO_PLACES
    ) -> None:
        """See Inbox. Tries for ever; what keeps it from connecting is logged."""
        self._places = places
        self._shards, self._on_entry, self._on_epoch = sorted(shards), on_entry, on_epoch
        self._main.start(self._restart)
        self._reads.start()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
        try:
            await self._main.ready()
            await self._reads.ready()
        except ConnectionError as error:
            raise InboxUnavailable(str(error)) from None
        except BaseException:
            await self.stop()
            raise

    async def open(self, tenants: Mapping[str, Limits]) -> None:
        """See Inbox; within PATIENCE."""
        for name, limits in tenants.items():
            logs = self._logs.get(name)
            if logs is None:
                self._logs[name] = self._make(name, limits)
            elif logs.limits != limits or logs.stream.waits:
                logs.stream.wanted |= log_limits(limits, self._options)
                if self._main.link is None:
                    raise InboxUnavailable("the inbox is away")
                await logs.stream.ensure(self._main.link)
                self._logs[name] = logs._replace(limits=limits)
        followers = {name: self._logs[name].follower for name in tenants}
        waits = {asyncio.ensure_future(follower.following.wait()): name for name, follower in followers.items()}
        if waits:
            _, pending = await asyncio.wait(waits, timeout=PATIENCE)
            for wait in pending:
                wait.cancel()
            for wait in pending:
                raise InboxUnavailable(f"the inbox of tenant {waits[wait]}: {followers[waits[wait]].reason}")

    async def append(self, tenant: str, drafts: Sequence[Draft]) -> list[Outcome]:
        """See Inbox."""
        began = asyncio.get_running_loop().time()
        logs = self._logs.get(tenant)
        outcomes: list[Outcome]
        if logs is None:
            outcomes = [Unknown("the inbox is not open")] * len(drafts)
        else:
            subjects = logs.subjects
            outcomes = await logs.commit.submit([_message(subjects, draft) for draft in drafts])
        count_appends(self._row, outcomes, began)
        return outcomes

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        """See Inbox."""
        logs = self._of(tenant)
        everyone, own = logs.subjects.log(EVERYONE), logs.subjects.log(uid)
        with measured(self._row, "read", INBOX_READ_TIME):
            found = await logs.reader.read(own, None if uid == EVERYONE else everyone, after, limit)
        theirs = everyone.encode()
        return [
            Entry(tenant, EVERYONE if subject.startswith(theirs) else uid, offset, payload)
            for offset, subject, _, payload in found
        ]

    async def newest(self, tenant: str, *, confirmed: bool = False) -> int:
        """See Inbox."""
        with measured(self._row, "read", INBOX_READ_TIME):
            return await self._of(tenant).gets.newest(confirmed=confirmed)

    async def usage(self, tenant: str) -> Usage:
        """See Inbox."""
        link = self._reads.link
        if link is None:
            raise InboxUnavailable("the inbox is away")
        return await self._of(tenant).stream.usage(link)

    def epoch(self, tenant: str) -> str:
        """See Inbox."""
        epoch = self._of(tenant).follower.epoch
        if epoch is None:
            raise InboxUnavailable(f"the inbox of tenant {tenant} is not open")
        return epoch + self._options.lineage

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """See Inbox."""
        with measured(self._row, "cursor", INBOX_CURSOR_TIME):
            return await self._cursors.load(devices)

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """See Inbox."""
        with measured(self._row, "cursor", INBOX_CURSOR_TIME):
            return await self._cursors.find(tenant, uid)

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """See Inbox."""
        with measured(self._row, "cursor", INBOX_CURSOR_TIME):
            await self._cursors.store(cursors)

    def places(self) -> dict[str, FollowedTo]:
        """See Inbox."""
        return {
            name: FollowedTo(logs.stream.followed, epoch)
            for name, logs in self._logs.items()
            if (epoch := logs.follower.epoch) is not None
        }

    @property
    def connected(self) -> bool:
        """Whether the connections stand, as far as is known: a silent server is noticed within 5 s."""
        return self._main.connected and self._reads.connected

    @property
    def stalled(self) -> bool:
        """See Inbox."""
        return any(commit.resigned for commit in self._commits())

    async def stop(self) -> None:
        """See Inbox; prompt even when the server is gone. It may be called again."""
        if self._timer is not None:
            self._timer.cancel()
        for logs in self._logs.values():
            await logs.follower.stop()
        for commit in self._commits():
            await commit.stop()
        await self._main.stop()
        await self._reads.stop()

    def _make(self, tenant: str, limits: Limits) -> _Logs:
        subjects = Subjects(self._prefix, tenant)
        stream = log_stream(subjects, limits, self._options)
        assert self._on_entry is not None
        assert self._on_epoch is not None
        follower = Follower(
            self._main,
            stream,
            subjects,
            tenant,
            self._shards,
            self._on_entry,
            self._on_epoch,
            self._row,
            self._places.get(tenant),
        )
        commit, gets = GroupCommit(self._main, stream, self._row), Gets(self._reads, stream)
        reader = LogReader(gets, stream, Stretch(stream, subjects, self._shards))
        return _Logs(limits, subjects, stream, commit, gets, reader, follower)

    def _commits(self) -> list[GroupCommit]:
        return [self._cursor_commit, *(logs.commit for logs in self._logs.values())]

    def _of(self, tenant: str) -> _Logs:
        logs = self._logs.get(tenant)
        if logs is None:
            raise InboxUnavailable(f"the inbox of tenant {tenant} is not open")
        return logs

    async def _restart(self, _link: NatsLink) -> None:
        """Have all followers begin anew: they were on the connection before."""
        for logs in self._logs.values():
            logs.follower.restart()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for logs in self._logs.values():
            logs.follower.tick()
            logs.reader.stretch.drop(loop.time())
        for commit in self._commits():
            commit.prod()
        self._timer = loop.call_later(TICK, self._tick)


def _message(subjects: Subjects, draft: Draft) -> Message:
    uid, own_id, payload, ttl, key = draft
    headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\nNats-TTL: %d\r\n%b" % (message_id(uid, own_id), ttl, uid_header(uid))
    if key is None:
        return Message(b"HPUB " + subjects.log(uid).encode(), headers, payload)
    subject = subjects.collapsed(uid, key).encode()
    return Message(b"HPUB " + subject, headers + b"Nats-Rollup: sub\r\n", payload, alone=subject)
