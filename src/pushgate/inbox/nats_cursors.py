"""Cursors in NATS: one stream for all, with the last message of each subject.

**A store never lowers a cursor,** whoever stores: this process, another one, another node. Each write names the message
that it takes the place of (`Nats-Expected-Last-Subject-Sequence`, 0 for none), and the server takes it only while that
one is still the last of its subject, in one step with the write. We have read or written that message ourselves, and
write nothing that is below it in the same epoch. So from one message of a subject to the next no cursor falls, however
the writes of several processes mix.

What a message says never changes, and no sequence is given twice: what is remembered of one may be old, but not wrong.
Where it is old the server refuses, and the cursor is read and compared anew; so it is where an answer was lost, and the
first attempt is what the second meets. A store is dropped as the lower one against what was just read alone, since what
is remembered may be forgotten there. Remembered is what was used within a minute or two, so that a device that
acknowledges costs no reads, and all others no memory.

Only a stream that was made anew, or lost its end, gives sequences again; epochs are others then. Cursors of different
epochs are not compared: what is stored last stays.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Appended, Cursor, Device, Refused
from pushgate.inbox.nats_append import GroupCommit, Message
from pushgate.inbox.nats_errors import SUPERSEDED
from pushgate.inbox.nats_get import Gets
from pushgate.inbox.nats_subjects import CursorSubjects

TOGETHER = 1000
"""Cursors that are loaded with one request."""
KEEP = 60.0
"""Seconds that the last message of a device is remembered at least, and twice that at most."""
TRIES = 10
"""Times that a store is tried against those of others, and against copies that have yet to hear of them."""
PAUSE = 0.1
"""Seconds between the later ones of them."""

Place = tuple[int, str]
"""An offset of an epoch."""


Last = tuple[int, Place]
"""The last message of a device: its sequence, 0 for none, and what it says."""

_NONE: Last = (0, (-1, ""))


class Cursors:
    """The cursors of all devices."""

    def __init__(self, subjects: CursorSubjects, commit: GroupCommit, gets: Gets) -> None:
        self._subjects = subjects
        self._commit = commit
        self._gets = gets
        self._last: dict[Device, Last] = {}
        self._older: dict[Device, Last] = {}
        self._turned = 0.0
        self._flying: dict[Device, asyncio.Future[None]] = {}  # whose cursor is being stored, until that is done

    async def load(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """See Inbox."""
        self._turn()
        subjects = {self._subjects.cursor(device).encode(): device for device in devices}
        loaded: dict[Device, Cursor] = {}
        wanted = list(subjects)
        for start in range(0, len(wanted), TOGETHER):
            some = [subject.decode() for subject in wanted[start : start + TOGETHER]]
            for found in await self._gets.latest(some):
                device = subjects[found.subject]
                loaded[device] = cursor = _decode(found.payload)
                last = self._last_of(device)
                if last is None or found.sequence > last[0]:
                    self._last[device] = found.sequence, (cursor.offset, cursor.epoch)
        self._last |= {device: _NONE for device in devices if self._last_of(device) is None}
        return [loaded.get(device) for device in devices]

    async def find(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """See Inbox."""
        found = await self._gets.latest([self._subjects.of_user(tenant, uid)])
        return {self._subjects.device_of(each.subject): _decode(each.payload) for each in found}

    async def store(self, cursors: Mapping[Device, Place]) -> None:
        """See Inbox. Those of one device are stored one after the other, as they were given."""
        while others := {self._flying[device] for device in cursors if device in self._flying}:
            await asyncio.wait(others)
        done = asyncio.get_running_loop().create_future()
        self._flying |= dict.fromkeys(cursors, done)
        try:
            await self._store(cursors)
        finally:
            for device in cursors:
                del self._flying[device]
            done.set_result(None)

    async def _store(self, cursors: Mapping[Device, Place]) -> None:
        left = cursors
        for attempt in range(TRIES):
            left = await self._write(left, just_read=attempt > 0)
            if not left:
                return
            if attempt > 1:
                await asyncio.sleep(PAUSE)
            await self._read(left)
        raise InboxUnavailable("others store the same cursors")

    async def _write(self, cursors: Mapping[Device, Place], just_read: bool) -> dict[Device, Place]:
        """Write the cursors that lower nothing; returns those whose last message has to be read first.

        What met a message that we did not know of is among them, with all that went along with it: to read them anew is
        quicker than to find out which it was.
        """
        now = int(time.time())
        unsure: dict[Device, Place] = {}
        written: list[tuple[Device, Place]] = []
        messages: list[Message] = []
        for device, place in cursors.items():
            last = self._last_of(device)
            if last is None:
                unsure[device] = place
            elif place[0] >= last[1][0] or place[1] != last[1][1]:
                written.append((device, place))
                messages.append(self._message(device, place, last[0], now))
            elif not just_read:
                unsure[device] = place
        if not messages:
            return unsure
        for (device, place), outcome in zip(written, await self._commit.submit(messages), strict=True):
            if isinstance(outcome, Appended):
                self._last[device] = outcome.offset, place
            elif isinstance(outcome, Refused) and outcome.code == SUPERSEDED:
                unsure[device] = place
            else:
                raise InboxUnavailable(outcome.detail)
        return unsure

    async def _read(self, devices: Collection[Device]) -> None:
        """Learn the last messages of devices anew."""
        self._last |= dict.fromkeys(devices, _NONE)
        await self.load(list(devices))

    def _message(self, device: Device, place: Place, expected: int, now: int) -> Message:
        subject = self._subjects.cursor(device).encode()
        headers = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n" % expected
        return Message(b"HPUB " + subject, headers, _encode(*place, now), subject)

    def _last_of(self, device: Device) -> Last | None:
        return self._last.get(device) or self._older.get(device)

    def _turn(self) -> None:
        """Forget what was not of use lately."""
        now = asyncio.get_running_loop().time()
        if now - self._turned >= KEEP:
            self._older, self._last, self._turned = self._last, {}, now


def _encode(offset: int, epoch: str, now: int) -> bytes:
    return b"%d %b %d" % (offset, epoch.encode(), now)


def _decode(payload: bytes) -> Cursor:
    offset, epoch, stored = payload.split(b" ")
    return Cursor(int(offset), epoch.decode(), int(stored))
