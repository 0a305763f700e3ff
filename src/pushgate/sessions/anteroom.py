"""The anteroom: where a device's connection waits, its token checked, until its cursor is known and stored.

What arrives while one group is served forms the next: a storm of devices costs the inbox a few large requests. A
connection here is not on the poller; whether its client is still there is looked at when it is let in: its device may
be back by another worker's lobby, and sooner, and is not to be told that one which is gone has taken its place.

An inbox that is full stores no cursor, for as long as what fills it is kept. Only who begins now cannot do without:
coming back after a crash it would begin later, and miss what came between. All others would begin where they do now,
or before, and are let in.
"""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from pushgate.codes import Close
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Cursor, Device
from pushgate.messages.formats import FORMATS
from pushgate.metrics.catalogue import LOBBY, REFUSED
from pushgate.metrics.rows import Row
from pushgate.sessions.arrival import STORED_EPOCH, Arrival
from pushgate.sockets.poller import Poller

GROUP = 512
"""Devices whose cursors are asked for at once."""
FRESH = 86400
"""Seconds after which a cursor is stored again when its device shows up: forgotten is who is not seen for long."""


class Logs(Protocol):
    """What is asked of the inbox."""

    def epoch(self, tenant: str) -> str:
        """See Inbox."""

    async def newest(self, tenant: str, *, confirmed: bool = False) -> int:
        """See Inbox."""


class Cursors(Protocol):
    """The cursors of this worker's devices, those that are not stored yet among them."""

    async def load(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """Return them. Raises InboxUnavailable."""

    async def store(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """Store them, durably. Raises InboxUnavailable."""


class Anteroom:
    """The anteroom of one worker. `take(fd, arrival)` makes a session of a connection once its cursor is known."""

    def __init__(
        self,
        logs: Logs,
        cursors: Cursors,
        take: Callable[[int, Arrival], None],
        poller: Poller,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        row: Row,
    ) -> None:
        self._logs = logs
        self._cursors = cursors
        self._take = take
        self._poller = poller
        self._spawn = spawn
        self._row = row
        self._waiting: list[tuple[int, Arrival]] = []
        self._serving = False
        self._closed = False

    def admit(self, fd: int, arrival: Arrival) -> None:
        """Take in a connection that names a device; its descriptor is on no poller."""
        self._row[LOBBY] += 1
        self._waiting.append((fd, arrival))
        if self._closed:
            self._refuse_all(self._waiting, Close.GOING_AWAY)
        elif not self._serving:
            self._serving = True
            self._spawn(self._serve())

    def empty(self) -> None:
        """Turn everybody away, and who still comes: the worker stops."""
        self._closed = True
        self._refuse_all(self._waiting, Close.GOING_AWAY)

    async def _serve(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                try:
                    await self._find_places(group)
                except InboxUnavailable:
                    self._refuse_all(group, Close.OVERLOADED)
                    continue
                if self._closed:
                    self._refuse_all(group, Close.GOING_AWAY)
                for fd, arrival in group:
                    self._let_in(fd, arrival)
        finally:
            self._serving = False

    def _let_in(self, fd: int, arrival: Arrival) -> None:
        if self._poller.has_left(fd):
            self._row[LOBBY] -= 1
            self._row[REFUSED["gone"]] += 1
            self._poller.add(fd, self._poller)
            self._poller.close(fd)
        elif arrival.epoch != self._logs.epoch(arrival.tenant):
            self._refuse_all([(fd, arrival)], Close.GOING_AWAY)  # the logs became others meanwhile
        else:
            self._row[LOBBY] -= 1
            self._take(fd, arrival)

    async def _find_places(self, group: list[tuple[int, Arrival]]) -> None:
        """Give each arrival the cursor it begins at, stored before anybody is told of it.

        Who needs that and does not get it is refused, and taken out of the group.
        """
        newest: dict[str, int] = {}
        for _, arrival in group:
            if arrival.tenant not in newest and (arrival.cursor is not None or arrival.start == "now"):
                newest[arrival.tenant] = await self._logs.newest(arrival.tenant)
        await self._confirm(group, newest)
        devices = [Device(arrival.tenant, arrival.uid, arrival.device or "") for _, arrival in group]
        stored = await self._cursors.load(devices)
        fresh: dict[Device, tuple[int, str]] = {}
        needed: list[tuple[int, Arrival]] = []
        for each, device, cursor in zip(tuple(group), devices, stored, strict=True):
            _, arrival = each
            epoch = self._logs.epoch(arrival.tenant)
            place, missed = find_place(arrival, cursor, epoch, newest.get(arrival.tenant, 0))
            known = cursor is not None and (cursor.offset, cursor.epoch) == (place, epoch)
            if not known or (cursor is not None and time.time() - cursor.stored > FRESH):
                fresh[device] = place, epoch
            if place and cursor is None and arrival.cursor is None:
                needed.append(each)
            arrival.cursor, arrival.epoch, arrival.missed = place, epoch, arrival.missed or missed
        if fresh:
            try:
                await self._cursors.store(fresh)
            except InboxUnavailable:
                self._refuse_some(group, needed)

    async def _confirm(self, group: list[tuple[int, Arrival]], newest: dict[str, int]) -> None:
        """Be sure of the newest offset where clients say that they are beyond it: who was asked may be behind. Whom
        nobody can tell is refused, and taken out of the group."""
        ahead = [each for each in group if (each[1].cursor or 0) > newest.get(each[1].tenant, 0)]
        for tenant in {arrival.tenant for _, arrival in ahead}:
            try:
                newest[tenant] = await self._logs.newest(tenant, confirmed=True)
            except InboxUnavailable:
                self._refuse_some(group, [each for each in ahead if each[1].tenant == tenant])

    def _refuse_some(self, group: list[tuple[int, Arrival]], refused: list[tuple[int, Arrival]]) -> None:
        """Refuse those of a group for whom the inbox cannot do what they need, and take them out of it."""
        descriptors = {fd for fd, _ in refused}
        group[:] = [each for each in group if each[0] not in descriptors]
        self._refuse_all(refused, Close.OVERLOADED)

    def _refuse_all(self, group: list[tuple[int, Arrival]], code: Close) -> None:
        for fd, arrival in group:
            self._row[LOBBY] -= 1
            self._row[REFUSED["inbox" if code == Close.OVERLOADED else "overloaded"]] += 1
            self._poller.turn_away(fd, arrival.greeting + FORMATS[arrival.format].close(code))
        group.clear()


def find_place(arrival: Arrival, stored: Cursor | None, epoch: str, newest: int) -> tuple[int, bool]:
    """Return the cursor that a device begins at, and whether something after its own cursor may be gone.

    The larger holds of what is stored and what the client says; either is good only in the epoch it is of, and the
    client's only up to the newest offset. One that a browser repeats (STORED_EPOCH) is of the epoch in which the device
    was here last: it is good where the stored one is. A device that has neither begins as it asked (`from`), one whose
    cursors are not good any more with what is still kept.
    """
    is_stored = stored is not None and stored.epoch == epoch
    is_current = is_stored if arrival.epoch == STORED_EPOCH else arrival.epoch in (None, epoch)
    is_good = arrival.cursor is not None and is_current and arrival.cursor <= newest
    missed = (arrival.cursor is not None and not is_good) or (stored is not None and not is_stored and not is_good)
    places = [stored.offset] if stored is not None and is_stored else []
    if arrival.cursor is not None and is_good:
        places.append(arrival.cursor)
    if not places:
        places.append(newest if arrival.start == "now" and not missed else 0)
    return max(places), missed
