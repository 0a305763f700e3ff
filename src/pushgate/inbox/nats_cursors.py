"""Cursors in NATS: one stream for all, with the last message of each subject."""

import time
from collections.abc import Mapping, Sequence

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Appended, Cursor, Device
from pushgate.inbox.nats_append import GroupCommit, Message
from pushgate.inbox.nats_get import Gets
from pushgate.inbox.nats_subjects import CursorSubjects

TOGETHER = 1000
"""Cursors that are loaded with one request."""


class Cursors:
    """The cursors of all devices."""

    def __init__(self, subjects: CursorSubjects, commit: GroupCommit, gets: Gets) -> None:
        self._subjects = subjects
        self._commit = commit
        self._gets = gets
        self._flying: dict[Device, tuple[int, str]] = {}  # what is being stored

    async def load(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """See Inbox."""
        subjects = [self._subjects.cursor(device) for device in devices]
        loaded: dict[bytes, Cursor] = {}
        for start in range(0, len(subjects), TOGETHER):
            for found in await self._gets.latest(subjects[start : start + TOGETHER]):
                loaded[found.subject] = _decode(found.payload)
        return [loaded.get(subject.encode()) for subject in subjects]

    async def find(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """See Inbox."""
        found = await self._gets.latest([self._subjects.of_user(tenant, uid)])
        return {self._subjects.device_of(each.subject): _decode(each.payload) for each in found}

    async def store(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """See Inbox."""
        now = int(time.time())
        stored: dict[Device, tuple[int, str]] = {}
        for device, (offset, epoch) in cursors.items():
            flying = self._flying.get(device, (0, ""))
            stored[device] = (max(offset, flying[0]) if flying[1] == epoch else offset, epoch)
        self._flying |= stored
        try:
            outcomes = await self._commit.submit(
                [
                    Message(b"HPUB %b" % self._subjects.cursor(device).encode(), b"NATS/1.0\r\n", _encode(*place, now))
                    for device, place in stored.items()
                ]
            )
        finally:
            for device, place in stored.items():
                if self._flying.get(device) is place:
                    del self._flying[device]
        for outcome in outcomes:
            if not isinstance(outcome, Appended):
                raise InboxUnavailable(outcome.detail)


def _encode(offset: int, epoch: str, now: int) -> bytes:
    return b"%d %b %d" % (offset, epoch.encode(), now)


def _decode(payload: bytes) -> Cursor:
    offset, epoch, stored = payload.split(b" ")
    return Cursor(int(offset), epoch.decode(), int(stored))
