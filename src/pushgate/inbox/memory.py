"""The inbox within one process: for one worker and for tests, and the model that other backends are held against."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from secrets import token_hex
from typing import NamedTuple

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import (
    EVERYONE,
    NO_PLACES,
    Appended,
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
    Refused,
    Unknown,
    Usage,
)
from pushgate.messages.shard import shard_of
from pushgate.metrics.rows import Row

OVERHEAD = 100
"""Bytes that an entry counts beside its payload."""


class _Stored(NamedTuple):
    payload: bytes
    expires: float
    collapse: str | None


class _Tenant:
    def __init__(self, limits: Limits, epoch: str) -> None:
        self.limits = limits
        self.epoch = epoch
        self.newest = 0
        self.bytes = 0
        self.logs: dict[str, dict[int, _Stored]] = {}
        self.ids: dict[tuple[str, str], tuple[int, float]] = {}
        self._due = inf

    def add(self, uid: str, stored: _Stored) -> int:
        self.newest += 1
        self.logs.setdefault(uid, {})[self.newest] = stored
        self.bytes += len(stored.payload) + OVERHEAD
        self._due = min(self._due, stored.expires)
        return self.newest

    def remove(self, uid: str, unwanted: Callable[[_Stored], bool]) -> None:
        log = self.logs.get(uid, {})
        for offset in [offset for offset, stored in log.items() if unwanted(stored)]:
            self.bytes -= len(log.pop(offset).payload) + OVERHEAD

    def expire(self, now: float) -> None:
        if now >= self._due:
            for uid in self.logs:
                self.remove(uid, lambda stored: stored.expires <= now)
            left = (stored.expires for log in self.logs.values() for stored in log.values())
            self._due = min(left, default=inf)

    def forget_ids(self, before: float) -> None:
        while self.ids and next(iter(self.ids.values()))[1] <= before:
            del self.ids[next(iter(self.ids))]


class MemoryInbox:
    """Keeps everything in plain dicts, and calls `on_entry` before `append` returns.

    `url`, `prefix` and `row` are there for the table of backends: each MemoryInbox is an inbox of its own. `clock`
    gives seconds since 1970.
    """

    def __init__(
        self, url: str, prefix: str, row: Row, options: Options, clock: Callable[[], float] = time.time
    ) -> None:
        self._options = options
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}
        self._cursors: dict[Device, Cursor] = {}
        self._shards: frozenset[int] = frozenset()
        self._on_entry: OnEntry | None = None

    async def start(
        self, shards: Iterable[int], on_entry: OnEntry, on_epoch: OnEpoch, places: Mapping[str, FollowedTo] = NO_PLACES
    ) -> None:
        """See Inbox; there is nothing to wait for, the epoch never changes, and nobody has followed before."""
        self._shards = frozenset(shards)
        self._on_entry = on_entry

    async def open(self, tenants: Mapping[str, Limits]) -> None:
        """See Inbox."""
        for name, limits in tenants.items():
            if name in self._tenants:
                self._tenants[name].limits = limits
            else:
                self._tenants[name] = _Tenant(limits, token_hex(4) + self._options.lineage)

    async def append(self, tenant: str, drafts: Sequence[Draft]) -> list[Outcome]:
        """See Inbox."""
        if not self.connected or tenant not in self._tenants:
            return [Unknown("the inbox is not open")] * len(drafts)
        return [self._append(tenant, self._tenants[tenant], draft) for draft in drafts]

    def _append(self, name: str, tenant: _Tenant, draft: Draft) -> Outcome:
        now = self._clock()
        tenant.expire(now)
        tenant.forget_ids(now - self._options.duplicate_window)
        uid, limits = draft.uid, tenant.limits
        if (uid, draft.id) in tenant.ids:
            return Appended(tenant.ids[uid, draft.id][0], duplicate=True)
        if limits.max_bytes and tenant.bytes + len(draft.payload) + OVERHEAD > limits.max_bytes:
            return Refused("inbox_full", f"the tenant's inbox has {limits.max_bytes} bytes")
        if draft.collapse is not None:
            tenant.remove(uid, lambda stored: stored.collapse == draft.collapse)
        elif limits.max_entries:
            log = tenant.logs.get(uid, {})
            if sum(stored.collapse is None for stored in log.values()) >= limits.max_entries:
                return Refused("user_full", f"the log has {limits.max_entries} entries")
        offset = tenant.add(uid, _Stored(draft.payload, now + draft.ttl, draft.collapse))
        tenant.ids[uid, draft.id] = (offset, now)
        if self._on_entry and (uid == EVERYONE or shard_of(name, uid) in self._shards):
            self._on_entry(Entry(name, uid, offset, draft.payload))
        return Appended(offset)

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        """See Inbox."""
        found = self._tenant(tenant)
        found.expire(self._clock())
        entries = [
            Entry(tenant, each, offset, stored.payload)
            for each in {uid, EVERYONE}
            for offset, stored in found.logs.get(each, {}).items()
            if offset > after
        ]
        return sorted(entries, key=lambda entry: entry.offset)[:limit]

    async def newest(self, tenant: str, *, confirmed: bool = False) -> int:
        """See Inbox."""
        return self._tenant(tenant).newest

    async def usage(self, tenant: str) -> Usage:
        """See Inbox."""
        found = self._tenant(tenant)
        found.expire(self._clock())
        return Usage(found.bytes, found.limits.max_bytes)

    def epoch(self, tenant: str) -> str:
        """See Inbox."""
        return self._tenant(tenant).epoch

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """See Inbox."""
        self._forget_cursors()
        return [self._cursors.get(device) for device in devices]

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """See Inbox."""
        self._forget_cursors()
        return {
            device.device: cursor
            for device, cursor in self._cursors.items()
            if device.tenant == tenant and device.uid == uid
        }

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """See Inbox."""
        self._forget_cursors()
        for device, (offset, epoch) in cursors.items():
            kept = self._cursors.get(device)
            larger = max(offset, kept.offset) if kept is not None and kept.epoch == epoch else offset
            self._cursors[device] = Cursor(larger, epoch, int(self._clock()))

    def places(self) -> dict[str, FollowedTo]:
        """See Inbox."""
        return {name: FollowedTo(tenant.newest, tenant.epoch) for name, tenant in self._tenants.items()}

    @property
    def stalled(self) -> bool:
        """See Inbox: never."""
        return False

    @property
    def connected(self) -> bool:
        """Whether it was started and not stopped."""
        return self._on_entry is not None

    async def stop(self) -> None:
        """See Inbox."""
        self._on_entry = None

    def _tenant(self, name: str) -> _Tenant:
        if not self.connected or name not in self._tenants:
            raise InboxUnavailable("the inbox is not open")
        return self._tenants[name]

    def _forget_cursors(self) -> None:
        if not self.connected:
            raise InboxUnavailable("the inbox is stopped")
        oldest = self._clock() - self._options.cursor_ttl
        self._cursors = {device: cursor for device, cursor in self._cursors.items() if cursor.stored > oldest}
