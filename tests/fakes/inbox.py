"""An inbox in memory that can be away, and answers what it is told to."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

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
    Outcome,
    Usage,
)


class FakeCursors:
    """Keeps what is stored; while `away` every call fails, while `full` every store does. `calls` says how large each
    was. A store waits for `gate`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.cursors: dict[Device, Cursor] = {}
        self.away = self.full = False
        self.calls: list[tuple[str, int]] = []
        self.newest_offset = 1000
        self.current = "now"
        self.clock = 0

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        self._ask("load", len(devices))
        return [self.cursors.get(device) for device in devices]

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        self._ask("store", len(cursors))
        await self.gate.wait()
        for device, (offset, epoch) in cursors.items():
            self.cursors[device] = Cursor(offset, epoch, self.clock)

    load = load_cursors
    store = store_cursors

    def epoch(self, tenant: str) -> str:
        return self.current

    async def newest(self, tenant: str, *, confirmed: bool = False) -> int:
        self._ask("confirm" if confirmed else "newest", 1)
        return self.newest_offset

    def _ask(self, what: str, size: int) -> None:
        self.calls.append((what, size))
        if self.away or (self.full and what == "store"):
            raise InboxUnavailable("away")


class FakeInbox(FakeCursors):
    """Appends to a list; `outcomes` (by uid) are what it answers instead, `entries` what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.drafts: list[tuple[str, Draft]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.seen: dict[tuple[str, str, str], int] = {}

    async def start(
        self, shards: Iterable[int], on_entry: OnEntry, on_epoch: OnEpoch, places: Mapping[str, FollowedTo] = NO_PLACES
    ) -> None: ...

    def places(self) -> dict[str, FollowedTo]:
        return {}

    async def open(self, tenants: Mapping[str, Limits]) -> None: ...

    async def append(self, tenant: str, drafts: Sequence[Draft]) -> list[Outcome]:
        return [self._append(tenant, draft) for draft in drafts]

    def _append(self, tenant: str, draft: Draft) -> Outcome:
        if draft.uid in self.outcomes:
            return self.outcomes[draft.uid]
        key = tenant, draft.uid, draft.id
        if key in self.seen:
            return Appended(self.seen[key], True)
        self.drafts.append((tenant, draft))
        self.seen[key] = len(self.drafts)
        return Appended(len(self.drafts))

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        self._ask("read", limit)
        entries = [Entry(tenant, draft.uid, place, draft.payload) for place, (_, draft) in enumerate(self.drafts, 1)]
        return [each for each in entries if each.offset > after and each.uid in (uid, EVERYONE)][:limit]

    async def usage(self, tenant: str) -> Usage:
        self._ask("usage", 1)
        return Usage(sum(len(each.payload) for owner, each in self.drafts if owner == tenant), 0)

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        self._ask("find", 1)
        return {key.device: each for key, each in self.cursors.items() if (key.tenant, key.uid) == (tenant, uid)}

    @property
    def stalled(self) -> bool:
        return False

    @property
    def connected(self) -> bool:
        return not self.away

    async def stop(self) -> None: ...
