"""Following the logs of all tenants over one connection: XREAD on their ticks, then the entries that are ours.

Ticks are numbered without a hole and name the uid alone: so the many workers of a cluster cost Redis little more than
their number. Whenever something is amiss (another connection, a tick that is missing since the oldest are trimmed, a
tenant with another epoch, a Redis that was wiped) following begins anew: each tenant's entries are read from where it
was up to its newest one, and then come the ticks behind the last one at that time.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from secrets import token_hex

from pushgate.brokers.keeper import Keeper
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import EVERYONE, FollowedTo, OnEntry, OnEpoch
from pushgate.inbox.redis_entry import unpack_entry
from pushgate.inbox.redis_server import InboxLink, Opened, ask, open_logs
from pushgate.log import get_logger
from pushgate.messages.shard import shard_of
from pushgate.metrics.catalogue import INBOX_GAPS
from pushgate.metrics.rows import Row
from pushgate.redis.link import Command

BLOCK = 250
"""Milliseconds that Redis waits for a tick before it answers; so long may a new tenant wait."""
COUNT = 250
"""Ticks, or entries of a tenant, that are read at once."""
CHECK = 1.0
"""Seconds between two looks whether Redis was wiped, should nothing else show it."""
PAUSE = 0.1
"""Seconds before it begins anew."""

_log = get_logger("inbox")

Tick = tuple[bytes, list[bytes]]
"""A number (and `-0`), and the names and values of tenant, offset, epoch and uid."""


class Follower:
    """Follows every tenant that is wanted. `run` it in a task.

    `root` is the key that all others begin with, `key_of` returns a tenant's.
    """

    def __init__(
        self,
        keeper: Keeper[InboxLink],
        root: str,
        key_of: Callable[[str], str],
        shards: Iterable[int],
        on_entry: OnEntry,
        on_epoch: OnEpoch,
        row: Row,
    ) -> None:
        self._keeper = keeper
        self._root = root
        self._key_of = key_of
        self._shards = frozenset(shards)
        self._on_entry = on_entry
        self._on_epoch = on_epoch
        self._row = row
        self._wanted: dict[str, tuple[FollowedTo | None, asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()
        self._era: bytes | None = None
        self._seen = 0
        self._checked = 0.0
        self.reason = "the inbox is away"
        """Why it does not follow, where it does not."""
        self.places: dict[str, FollowedTo] = {}
        """Up to where each tenant was followed."""

    def want(self, tenant: str, place: FollowedTo | None) -> asyncio.Future[None]:
        """Follow a tenant too: from `place`, if that is good, else with what is appended once the future is done."""
        if tenant not in self._wanted:
            self._wanted[tenant] = place, asyncio.get_running_loop().create_future()
            self._wake.set()
        return self._wanted[tenant][1]

    def forget(self) -> None:
        """Tell those who wait for a tenant that it is followed no more: their futures are cancelled."""
        for _, future in self._wanted.values():
            future.cancel()

    async def run(self) -> None:
        """Follow, until cancelled."""
        await self._wake.wait()
        while True:
            link = await self._keeper.ready()
            try:
                await self._begin(link)
                while True:
                    await self._turn(link)
            except InboxUnavailable as error:
                self.reason = str(error)
                _log.info("following begins anew", reason=self.reason)
            except Exception:
                _log.exception("following failed")
            self._row[INBOX_GAPS] += len(self.places)
            await asyncio.sleep(PAUSE)

    async def _begin(self, link: InboxLink) -> None:
        """Bring all that was appended, and go on with the ticks behind that. Raises InboxUnavailable."""
        # the number is read before the tenants are: ticks of what is brought here may come again, and are known by that
        era, ticks = await self._ask_era(link)
        if era is None:  # a full server would refuse that
            await ask(link, ("HSETNX", self._root, "era", token_hex(8)))
            era, ticks = await self._ask_era(link)
        self._era, self._seen = era, int(ticks or 0)
        for tenant in tuple(self.places):
            opened = await open_logs(link, self._key_of(tenant), self.places[tenant])
            self._adopt(tenant, opened)
            await self._fill(link, tenant, opened.newest)

    async def _turn(self, link: InboxLink) -> None:
        """Take on who is wanted, and read what has come. Raises InboxUnavailable when it has to begin anew."""
        for tenant, (place, future) in tuple(self._wanted.items()):
            if tenant not in self.places:
                opened = await open_logs(link, self._key_of(tenant), None)
                is_good = place is not None and place.epoch == opened.epoch and place.offset <= opened.newest
                start = place.offset if place is not None and is_good else opened.newest
                self.places[tenant] = FollowedTo(start, opened.epoch)
                await self._fill(link, tenant, opened.newest)
            if not future.done():
                future.set_result(None)
        read = ("XREAD", "COUNT", COUNT, "BLOCK", BLOCK, "STREAMS", f"{self._root}:ticks", f"{self._seen}-0")
        (said,) = await ask(link, read)
        if isinstance(said, dict):
            (ticks,) = said.values()
            await self._take(link, ticks)
        now = asyncio.get_running_loop().time()
        if now - self._checked >= CHECK:
            self._checked = now
            era, _ = await self._ask_era(link)
            if era != self._era:
                raise InboxUnavailable("the inbox was wiped")

    async def _ask_era(self, link: InboxLink) -> tuple[bytes | None, bytes | None]:
        """Return the era and the number of the last tick, None for what there is not. Raises InboxUnavailable."""
        (told,) = await ask(link, ("HMGET", self._root, "era", "ticks"))
        assert isinstance(told, list)
        return told[0], told[1]

    def _adopt(self, tenant: str, opened: Opened) -> None:
        """Go on with a tenant as it is now: from the beginning of its epoch, if that is another one."""
        if self.places[tenant].epoch != opened.epoch:
            _log.warning("the inbox has begun anew", tenant=tenant)
            self.places[tenant] = FollowedTo(opened.begin, opened.epoch)
            self._on_epoch(tenant)

    async def _take(self, link: InboxLink, ticks: Sequence[Tick]) -> None:
        """Bring the entries of ticks. Raises InboxUnavailable when any are missing, or of another epoch."""
        places: dict[str, FollowedTo] = {}
        ours: list[tuple[str, int]] = []
        for number, (_, name, _, told, _, epoch, _, uid) in ticks:
            self._seen += 1
            if int(number[:-2]) != self._seen:
                raise InboxUnavailable("ticks are gone")
            tenant, offset = name.decode(), int(told)
            place = places.get(tenant) or self.places.get(tenant)
            if place is None or (offset <= place.offset and epoch.decode() == place.epoch):
                continue
            if (offset, epoch.decode()) != (place.offset + 1, place.epoch):
                raise InboxUnavailable(f"the logs of {tenant} have become others")
            places[tenant] = place._replace(offset=offset)
            if self._is_ours(tenant, uid.decode()):
                ours.append((tenant, offset))
        commands: list[Command] = [
            ("ZRANGE", f"{self._key_of(tenant)}:entries", offset, offset, "BYSCORE") for tenant, offset in ours
        ]
        found = await self._fetch(link, {tenant for tenant, _ in ours}, commands)
        for (tenant, _), members in zip(ours, found, strict=True):
            self._bring(tenant, members)
        self.places |= places

    async def _fill(self, link: InboxLink, tenant: str, up_to: int) -> None:
        """Bring the entries up to an offset. Raises InboxUnavailable."""
        entries = f"{self._key_of(tenant)}:entries"
        while (after := self.places[tenant].offset) < up_to:
            page = ("ZRANGE", entries, f"({after}", up_to, "BYSCORE", "LIMIT", 0, COUNT)
            (found,) = await self._fetch(link, {tenant}, [page])
            self._bring(tenant, found)
            reached = up_to if len(found) < COUNT else unpack_entry(tenant, found[-1]).offset
            self.places[tenant] = self.places[tenant]._replace(offset=reached)

    async def _fetch(self, link: InboxLink, tenants: Iterable[str], commands: list[Command]) -> list[list[bytes]]:
        """Return the entries that each command finds. The epochs are asked for behind them, so that nothing is of
        another one than is followed. Raises InboxUnavailable when it is."""
        if not commands:
            return []
        names = list(tenants)
        answers = await ask(link, *commands, *(("HGET", self._key_of(tenant), "epoch") for tenant in names))
        if answers[len(commands) :] != [self.places[tenant].epoch.encode() for tenant in names]:
            raise InboxUnavailable("the logs have become others")
        return [found for found in answers[: len(commands)] if isinstance(found, list)]

    def _bring(self, tenant: str, members: Iterable[bytes]) -> None:
        for member in members:
            entry = unpack_entry(tenant, member)
            if self._is_ours(tenant, entry.uid):
                self._on_entry(entry)

    def _is_ours(self, tenant: str, uid: str) -> bool:
        return uid == EVERYONE or shard_of(tenant, uid) in self._shards
