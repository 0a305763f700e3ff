"""The inbox over Redis: what is stored how stands in redis_scripts, what a server may lose in redis_server.

Following has a connection of its own, where commands may wait for what comes; all else shares one.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from pushgate.brokers.keeper import Keeper
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
from pushgate.inbox.redis_entry import cursor_key, root_key, tenant_key, unpack_cursor, unpack_entry
from pushgate.inbox.redis_follow import Follower
from pushgate.inbox.redis_scripts import READ, STORE, SWEEP, SWEPT
from pushgate.inbox.redis_server import InboxLink, Standing, ask, open_all, ready
from pushgate.inbox.redis_write import Writer
from pushgate.log import get_logger
from pushgate.metrics.catalogue import INBOX_CURSOR_TIME, INBOX_READ_TIME
from pushgate.metrics.rows import Row
from pushgate.redis.link import Command
from pushgate.redis.places import Finder, parse_url

PATIENCE = 10.0
"""Seconds that `open` waits."""
TOGETHER = 500
"""Cursors that one script stores."""
SWEEP_EVERY = 1.0
"""Seconds between two sweeps for what has expired."""

_log = get_logger("inbox")


class RedisInbox:
    """The inbox over Redis; see Inbox for what it promises, and redis.places for `url`."""

    def __init__(self, url: str, prefix: str, row: Row, options: Options) -> None:
        self._prefix = prefix
        self._row = row
        self._options = options
        finder = Finder(parse_url(url, "inbox.url"), root_key(prefix), "inbox")
        self._main = Keeper(lambda: InboxLink("inbox"), finder.open, "inbox", "writing")
        self._follow = Keeper(lambda: InboxLink("inbox"), finder.open, "inbox", "following")
        self._writer = Writer(self._main, prefix, options.duplicate_window, row)
        self._follower: Follower | None = None
        self._places: Mapping[str, FollowedTo] = NO_PLACES
        self._limits: dict[str, Limits] = {}
        self._shards: frozenset[int] = frozenset()
        self._told: Standing | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(
        self, shards: Iterable[int], on_entry: OnEntry, on_epoch: OnEpoch, places: Mapping[str, FollowedTo] = NO_PLACES
    ) -> None:
        """See Inbox. Tries for ever; what keeps it from connecting is logged."""
        self._places, self._shards = places, frozenset(shards)
        self._follower = Follower(
            self._follow, root_key(self._prefix), self._key_of, self._shards, on_entry, on_epoch, self._row
        )
        self._main.start(self._set_up)
        self._follow.start(ready)
        self._tasks = [asyncio.create_task(self._follower.run()), asyncio.create_task(self._keep_house())]
        try:
            await self._main.ready()
            await self._follow.ready()
        except ConnectionError as error:
            raise InboxUnavailable(str(error)) from None
        except BaseException:
            await self.stop()
            raise

    async def open(self, tenants: Mapping[str, Limits]) -> None:
        """See Inbox; within PATIENCE, and at once while the server is away."""
        self._limits |= tenants
        follower = self._follower
        if follower is None:
            raise InboxUnavailable("the inbox is not started")
        waits = {name: follower.want(name, self._places.get(name)) for name in tenants}
        if not self.connected:
            raise InboxUnavailable("the inbox is away")
        if waits:
            await asyncio.wait(waits.values(), timeout=PATIENCE)
        for name, wait in waits.items():
            if not wait.done() or wait.cancelled():
                raise InboxUnavailable(f"the inbox of tenant {name}: {follower.reason}")

    async def append(self, tenant: str, drafts: Sequence[Draft]) -> list[Outcome]:
        """See Inbox."""
        began = asyncio.get_running_loop().time()
        limits = self._limits.get(tenant)
        outcomes: list[Outcome]
        if self._follower is None or limits is None:
            outcomes = [Unknown("the inbox is not open")] * len(drafts)
        else:
            outcomes = await self._writer.append(tenant, limits, drafts)
        count_appends(self._row, outcomes, began)
        return outcomes

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        """See Inbox."""
        self._check_open(tenant)
        logs = (uid,) if uid == EVERYONE else (uid, EVERYONE)
        with measured(self._row, "read", INBOX_READ_TIME):
            (found,) = await self._ask(READ.call(self._key_of(tenant), after, limit, *logs))
        assert isinstance(found, list)
        return [unpack_entry(tenant, member) for member in found]

    async def newest(self, tenant: str, *, confirmed: bool = False) -> int:
        """See Inbox. There is one server to ask."""
        self._check_open(tenant)
        with measured(self._row, "read", INBOX_READ_TIME):
            (newest,) = await self._ask(("HGET", self._key_of(tenant), "newest"))
        return int(newest) if isinstance(newest, bytes) else 0

    async def usage(self, tenant: str) -> Usage:
        """See Inbox."""
        self._check_open(tenant)
        (found,) = await self._ask(("HGET", self._key_of(tenant), "bytes"))
        return Usage(int(found) if isinstance(found, bytes) else 0, self._limits[tenant].max_bytes)

    def epoch(self, tenant: str) -> str:
        """See Inbox."""
        place = self.places().get(tenant)
        if place is None:
            raise InboxUnavailable(f"the inbox of tenant {tenant} is not open")
        return place.epoch + self._options.lineage

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """See Inbox."""
        root = root_key(self._prefix)
        with measured(self._row, "cursor", INBOX_CURSOR_TIME):
            found = await self._ask(*(("HGET", root + cursor_key(device), device.device) for device in devices))
        return [self._cursor(value) for value in found]

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """See Inbox."""
        key = root_key(self._prefix) + cursor_key(Device(tenant, uid, ""))
        with measured(self._row, "cursor", INBOX_CURSOR_TIME):
            (found,) = await self._ask(("HGETALL", key))
        assert isinstance(found, dict)
        cursors = ((device.decode(), self._cursor(value)) for device, value in found.items())
        return {device: cursor for device, cursor in cursors if cursor is not None}

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """See Inbox."""
        deadline = self._writer.deadline()
        stored = list(cursors.items())
        with measured(self._row, "cursor", INBOX_CURSOR_TIME):
            for start in range(0, len(stored), TOGETHER):
                arguments = [
                    part
                    for device, (offset, epoch) in stored[start : start + TOGETHER]
                    for part in (cursor_key(device), device.device, offset, epoch)
                ]
                command = STORE.call(root_key(self._prefix), self._options.cursor_ttl, *arguments)
                await self._writer.write(command, deadline)

    def places(self) -> dict[str, FollowedTo]:
        """See Inbox."""
        return {} if self._follower is None else dict(self._follower.places)

    @property
    def connected(self) -> bool:
        """Whether the connections stand, as far as is known: a silent server is noticed within 5 s."""
        return self._main.connected and self._follow.connected

    @property
    def stalled(self) -> bool:
        """See Inbox."""
        return self._writer.resigned

    async def stop(self) -> None:
        """See Inbox; prompt even when the server is gone. It may be called again."""
        self._writer.stop()
        if self._follower is not None:
            self._follower.forget()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._main.stop()
        await self._follow.stop()

    def _key_of(self, tenant: str) -> str:
        return tenant_key(self._prefix, tenant)

    def _check_open(self, tenant: str) -> None:
        if tenant not in self._limits:
            raise InboxUnavailable(f"the inbox of tenant {tenant} is not open")

    def _cursor(self, value: object) -> Cursor | None:
        return unpack_cursor(value if isinstance(value, bytes) else None, time.time() - self._options.cursor_ttl)

    async def _ask(self, *commands: Command) -> list[object]:
        link = self._main.link
        if link is None:
            raise InboxUnavailable("the inbox is away")
        return await ask(link, *commands) if commands else []

    async def _set_up(self, link: InboxLink) -> None:
        """Ready a new connection. Raises InboxUnavailable."""
        await ready(link)
        await open_all(link, map(self._key_of, self._limits))
        if 0 in self._shards and link.standing.loses != (self._told.loses if self._told else ""):
            self._told = link.standing
            tell = _log.info if link.standing.safe else _log.warning
            tell("what Redis may lose of the inbox", server=link.server, loses=link.standing.loses)

    async def _keep_house(self) -> None:
        """Take away what has expired, on one worker of a node, and see whether a server that took nothing does now."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            keys = [self._key_of(tenant) for tenant in self._limits]
            try:
                while keys and 0 in self._shards:
                    swept = await self._ask(*(SWEEP.call(key) for key in keys))
                    keys = [key for key, count in zip(keys, swept, strict=True) if count == 10 * SWEPT]
                for tenant in tuple(self._limits)[:1]:
                    await self._writer.prod(tenant)
            except InboxUnavailable:
                pass  # the keeper says why
            except Exception:
                _log.exception("keeping the inbox in order failed")
