"""Following the logs of all tenants over one connection: XREAD on their ticks, then the entries that are ours.

Ticks name each offset without a hole, and the uid alone: so the many workers of a cluster cost Redis little more than
their number. Where a tick is missing (the oldest are trimmed) the entries themselves are read from there on. What is
followed is of the tenant's epoch for sure, as that is asked for behind each read of entries, and once a second.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from pushgate.brokers.keeper import Keeper
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import EVERYONE, FollowedTo, OnEntry, OnEpoch
from pushgate.inbox.redis_entry import unpack_entry
from pushgate.inbox.redis_server import InboxLink, Opened, ask, open_logs
from pushgate.log import get_logger
from pushgate.messages.shard import shard_of
from pushgate.redis.link import Command

BLOCK = 1000
"""Milliseconds that Redis waits for a tick before it answers: less than the link's patience."""
COUNT = 250
"""Ticks of a tenant, or entries, that are read at once."""
CHECK = 1.0
"""Seconds after which the epochs are looked at, should nothing else do so."""
PAUSE = 0.25
"""Seconds between two attempts after an error."""

_log = get_logger("inbox")

Tick = tuple[bytes, list[bytes]]


class Follower:
    """Follows every tenant that was adopted, from its place on. `run` it in a task.

    `key_of` returns the key of a tenant.
    """

    def __init__(
        self,
        keeper: Keeper[InboxLink],
        key_of: Callable[[str], str],
        shards: Iterable[int],
        on_entry: OnEntry,
        on_epoch: OnEpoch,
    ) -> None:
        self._keeper = keeper
        self._key_of = key_of
        self._shards = frozenset(shards)
        self._on_entry = on_entry
        self._on_epoch = on_epoch
        self._checked = 0.0
        self._begun = asyncio.Event()
        self.places: dict[str, FollowedTo] = {}
        """Up to where each tenant was followed."""

    def adopt(self, tenant: str, opened: Opened, place: FollowedTo | None = None) -> None:
        """Follow a tenant as it is now: from `place`, if that is good, or with what comes; one that is followed
        already from the beginning of its epoch, if that is another one."""
        known = self.places.get(tenant)
        if known is None:
            is_good = place is not None and place.epoch == opened.epoch and place.offset <= opened.newest
            start = place.offset if place is not None and is_good else opened.newest
            self.places[tenant] = FollowedTo(start, opened.epoch)
            self._begun.set()
        elif known.epoch != opened.epoch:
            _log.warning("the inbox has begun anew", tenant=tenant)
            self.places[tenant] = FollowedTo(opened.begin, opened.epoch)
            self._on_epoch(tenant)

    async def open_all(self, link: InboxLink) -> None:
        """See how all tenants are on a new connection. Raises InboxUnavailable."""
        for tenant in tuple(self.places):
            await self._open(link, tenant)

    async def run(self) -> None:
        """Follow, until cancelled."""
        await self._begun.wait()
        while True:
            link = await self._keeper.ready()
            try:
                while True:
                    await self._turn(link)
            except InboxUnavailable:
                pass  # the keeper says why
            except Exception:
                _log.exception("following failed")
            await asyncio.sleep(PAUSE)

    async def _turn(self, link: InboxLink) -> None:
        """Read what has come. Raises InboxUnavailable."""
        tenants = {f"{self._key_of(tenant)}:ticks".encode(): tenant for tenant in self.places}
        after = [f"{place.offset}-0" for place in self.places.values()]
        (said,) = await ask(link, ("XREAD", "COUNT", COUNT, "BLOCK", BLOCK, "STREAMS", *tenants, *after))
        if isinstance(said, dict):
            for stream, ticks in said.items():
                await self._take(link, tenants[stream], ticks)
        now = asyncio.get_running_loop().time()
        if now - self._checked >= CHECK:
            self._checked = now
            names = tuple(self.places)
            epochs = await ask(link, *(self._ask_epoch(tenant) for tenant in names))
            for tenant, epoch in zip(names, epochs, strict=True):
                await self._compare(link, tenant, epoch)

    async def _take(self, link: InboxLink, tenant: str, ticks: Sequence[Tick]) -> None:
        """Bring the entries of ticks, and before that those whose ticks are gone."""
        offsets = [int(identity[:-2]) for identity, _ in ticks]
        if offsets[0] > self.places[tenant].offset + 1 and not await self._fill(link, tenant, offsets[0] - 1):
            return
        entries = self._entries(tenant)
        commands: list[Command] = [
            ("ZRANGE", entries, offset, offset, "BYSCORE")
            for offset, (_, (_, uid)) in zip(offsets, ticks, strict=True)
            if self._is_ours(tenant, uid.decode())
        ]
        if commands:
            found = await self._fetch(link, tenant, *commands)
            if found is None:
                return
            self._bring(tenant, found)
        self._move(tenant, offsets[-1])

    async def _fill(self, link: InboxLink, tenant: str, up_to: int) -> bool:
        """Bring the entries up to an offset; returns False when the tenant has another epoch by now."""
        _log.info("entries are read whose ticks are gone", tenant=tenant, after=self.places[tenant].offset, up_to=up_to)
        while (after := self.places[tenant].offset) < up_to:
            page = ("ZRANGE", self._entries(tenant), f"({after}", up_to, "BYSCORE", "LIMIT", 0, COUNT)
            found = await self._fetch(link, tenant, page)
            if found is None:
                return False
            self._bring(tenant, found)
            self._move(tenant, up_to if len(found) < COUNT else unpack_entry(tenant, found[-1]).offset)
        return True

    async def _fetch(self, link: InboxLink, tenant: str, *commands: Command) -> list[bytes] | None:
        """Return the entries that commands find, None when the tenant has another epoch by now."""
        *found, epoch = await ask(link, *commands, self._ask_epoch(tenant))
        if not await self._compare(link, tenant, epoch):
            return None
        return [member for some in found if isinstance(some, list) for member in some]

    def _move(self, tenant: str, offset: int) -> None:
        self.places[tenant] = self.places[tenant]._replace(offset=offset)

    def _bring(self, tenant: str, members: Iterable[bytes]) -> None:
        for member in members:
            entry = unpack_entry(tenant, member)
            if self._is_ours(tenant, entry.uid):
                self._on_entry(entry)

    def _is_ours(self, tenant: str, uid: str) -> bool:
        return uid == EVERYONE or shard_of(tenant, uid) in self._shards

    def _entries(self, tenant: str) -> str:
        return f"{self._key_of(tenant)}:entries"

    def _ask_epoch(self, tenant: str) -> Command:
        return ("HGET", self._key_of(tenant), "epoch")

    async def _compare(self, link: InboxLink, tenant: str, epoch: object) -> bool:
        """Return whether a tenant still has the epoch that is followed; if not, follow what there is now."""
        is_same = epoch == self.places[tenant].epoch.encode()
        if not is_same:
            await self._open(link, tenant)
        return is_same

    async def _open(self, link: InboxLink, tenant: str) -> None:
        self.adopt(tenant, await open_logs(link, self._key_of(tenant), self.places[tenant]))
