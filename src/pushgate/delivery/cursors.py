"""Cursors on their way to the inbox: gathered, and stored within a second, or at once when a session ends.

A lost one costs duplicates, no more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from pushgate.delivery.outgoing import Channel
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Cursor, Device
from pushgate.sockets.poller import TICK

TICKS = round(0.5 / TICK)
"""Ticks between two writes: half a second, so that a cursor is stored within one."""
MAX_TICKS = round(8 / TICK)
"""Ticks between two writes to an inbox that does not take them: each time twice as many, up to this."""


class CursorStore(Protocol):
    """What is asked of the inbox."""

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """See Inbox."""

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """See Inbox."""


class Cursors:
    """The cursors of one worker's devices that the inbox does not have yet."""

    def __init__(self, store: CursorStore) -> None:
        self._store = store
        self._writing: asyncio.Task[None] | None = None
        self._dirty: dict[Device, tuple[int, str]] = {}
        self._flying: dict[Device, tuple[int, str]] = {}
        self._ticks = 0
        self._pause = TICKS
        self._urgent = False

    def note(self, channel: Channel, offset: int, epoch: str) -> None:
        """A device has everything up to an offset of an epoch: store that soon."""
        self._dirty[_device_of(channel)] = offset, epoch

    def release(self, channel: Channel) -> None:
        """A device's session has ended: store its cursor now, with all that is gathered until then."""
        if _device_of(channel) in self._dirty and not self._urgent:
            self._urgent = True
            # Those whose sessions end in one batch of events share a write.
            asyncio.get_running_loop().call_soon(self._begin)

    def take(self, channel: Channel) -> bool:
        """A device's session goes to another process; returns whether its cursor has to be stored there."""
        device = _device_of(channel)
        return self._dirty.pop(device, None) is not None or device in self._flying

    async def load(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """Return the cursors of devices, those that are not stored yet among them. Raises InboxUnavailable."""
        loaded = await self._store.load_cursors(devices)
        return [self._newer(device, cursor) for device, cursor in zip(devices, loaded, strict=True)]

    async def store(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """Store cursors now; returns when they are durable. Raises InboxUnavailable."""
        await self._store.store_cursors(cursors)

    def tick(self) -> None:
        """Count one tick, and begin to write when it is time."""
        self._ticks += 1
        if self._ticks >= self._pause:
            self._begin()

    def _begin(self) -> None:
        """Begin to write, if there is anything, unless that is under way: a task that has yet to run counts."""
        if self._dirty and (self._writing is None or self._writing.done()):
            self._ticks = 0
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Store what was gathered, and what a session left meanwhile; what cannot be stored now is kept for later."""
        while True:
            self._urgent = False
            self._flying, self._dirty = self._dirty, {}
            try:
                await self._store.store_cursors(self._flying)
            except InboxUnavailable:
                self._dirty = {**self._flying, **self._dirty}
                self._pause = min(2 * self._pause, MAX_TICKS)
                return
            finally:
                self._flying = {}
            self._pause = TICKS
            if not self._urgent:
                return

    async def stop(self, patience: float) -> None:
        """Store all that is left, within so many seconds."""
        try:
            async with asyncio.timeout(patience):
                if self._writing is not None:
                    await self._writing
                if self._dirty:
                    await self._write()
        except TimeoutError:
            pass  # duplicates, for those who come back

    def _newer(self, device: Device, cursor: Cursor | None) -> Cursor | None:
        for pending in (self._flying.get(device), self._dirty.get(device)):
            if pending is not None and (cursor is None or cursor.epoch != pending[1] or cursor.offset < pending[0]):
                cursor = Cursor(*pending, cursor.stored if cursor is not None else 0)
        return cursor


def _device_of(channel: Channel) -> Device:
    assert channel.device is not None
    return Device(channel.user.tenant, channel.user.uid, channel.device)
