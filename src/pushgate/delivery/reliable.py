"""Reliable messages on their way to devices: each gets those of its user's and its tenant's logs, all, and in order.

A device is either *with the stream*: what the inbox brings is written at once, as long as its window has room and its
socket takes it; or it is *behind*: what it lacks is read from the inbox, and what the stream brings meanwhile is only
noted (`latest`). So nothing waits in memory for a slow client.

Why nothing is lost or out of order where history meets the stream. A read shows both logs of a device as they were at
one moment, not before it was asked for. Everything that the stream had brought before the read began is shown by it
(`Inbox`, "Reading"); everything it brings later is noted in `latest` while the device is behind, or written once it
is not. When a read has nothing more, and nothing was noted since it began, then all that the stream has brought is
written, in order, and the device is with the stream: what it brings next was either shown by the read already, and is
not written again, since nothing at or below `sent` ever is; or it was appended after the read's moment, and so is
above everything that was shown.

While a read is under way `sent` may only grow (an acknowledgement further than a resend had come); if it went back
(a resend), what was read is thrown away, as it begins too late.
"""

from array import array
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from pushgate.codes import Close
from pushgate.delivery.following import Following
from pushgate.delivery.outgoing import Channel, Outgoing, Sessions
from pushgate.delivery.tracks import NONE, Tracks
from pushgate.errors import InboxUnavailable, MessageError
from pushgate.inbox.base import Entry
from pushgate.messages.push import decode_push
from pushgate.metrics.catalogue import ACKNOWLEDGED, BEHIND, CATCH_UPS, RESENT
from pushgate.metrics.rows import Row
from pushgate.sockets.poller import TICK

READERS = 32
"""Reads of the inbox under way at once in one worker: what a storm of devices that come back may ask of it."""
BATCH = 64
"""Entries in one read."""
TIMEOUTS = tuple(round(seconds / TICK) for seconds in (5, 10, 20, 40, 60, 60))
"""Ticks until what is not acknowledged is sent again, after so many tries: 5 s, doubling to 60 s."""
ROUND = round(1 / TICK)
"""Ticks in which everyone is looked at for what is overdue."""


Place = tuple[str, bool, bool, Sequence[int]]
"""A device on its way to another process: its epoch, whether it is behind, whether its cursor is not stored yet, and
its track (see Tracks.save)."""


class History(Protocol):
    """What is asked of the inbox."""

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        """See Inbox."""

    def epoch(self, tenant: str) -> str:
        """See Inbox."""


class CursorNotes(Protocol):
    """Who stores cursors."""

    def note(self, channel: Channel, offset: int, epoch: str) -> None:
        """A device has everything up to an offset of an epoch: store that soon."""

    def release(self, channel: Channel) -> None:
        """A device's session has ended: store what was noted of it now."""

    def take(self, channel: Channel) -> bool:
        """A device's session goes to another process; returns whether its cursor has to be stored there."""


class _Behind:
    """A device that is behind: the newest entry that the stream brought, and whether it waits for its client."""

    __slots__ = ("blocked", "latest")

    def __init__(self, latest: int) -> None:
        self.latest = latest
        self.blocked = False


class Reliable:
    """The devices of one worker."""

    def __init__(
        self,
        sessions: Sessions,
        history: History,
        cursors: CursorNotes,
        close: Callable[[Any, Close], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        row: Row,
    ) -> None:
        self._sessions = sessions
        self._history = history
        self._cursors = cursors
        self._close = close
        self._spawn = spawn
        self._row = row
        self._tracks = Tracks()
        self._numbers = array("I", bytes(4096))  # by descriptor
        self._epochs: dict[str, str] = {}  # of the tenants with a device, as their cursors are of
        self._behind: dict[Channel, _Behind] = {}
        self._queue: deque[Channel] = deque()
        self._later: list[Channel] = []
        self._readers = 0
        self._tick = 0
        self._position = 0
        self.following: Following | None = None
        """Who tells of pushes that are followed."""

    # A device comes and goes

    def begin(self, channel: Channel, cursor: int) -> None:
        """Take on a device whose client has everything up to `cursor`; what it lacks is sent."""
        tenant = channel.user.tenant
        self._epochs.setdefault(tenant, self._history.epoch(tenant))
        self._make_room(channel.fd)
        self._numbers[channel.fd] = self._tracks.begin(cursor)
        self._fall_behind(channel, 0)

    def end(self, channel: Channel) -> None:
        """Let go of a connection that was closed, with a device or not."""
        number = self._number_of(channel)
        if number != NONE:
            self._numbers[channel.fd] = NONE
            self._tracks.end(number)
            self._behind.pop(channel, None)
            self._cursors.release(channel)

    def hand_over(self, channel: Channel) -> Place | None:
        """Let go of a device whose session goes to another process; returns what `take_over` wants there."""
        number = self._number_of(channel)
        if number == NONE:
            return None
        behind = self._behind.pop(channel, None) is not None
        unstored = self._cursors.take(channel)
        self._numbers[channel.fd] = NONE
        saved = self._tracks.save(number, self._tick)
        self._tracks.end(number)
        return self._epochs[channel.user.tenant], behind, unstored, saved

    def take_over(self, channel: Channel, place: Place) -> bool:
        """Take on a device as another process left it: with the stream, up to where that had followed it, or behind.

        Returns False when its logs have become others since.
        """
        epoch, behind, unstored, saved = place
        tenant = channel.user.tenant
        if epoch != self._epochs.setdefault(tenant, self._history.epoch(tenant)):
            return False
        self._make_room(channel.fd)
        number = self._numbers[channel.fd] = self._tracks.restore(saved, self._tick)
        if unstored:
            self._cursors.note(channel, self._tracks.acknowledged[number], epoch)
        if behind:
            self._fall_behind(channel, 0)
        return True

    def progress(self, channel: Channel) -> tuple[int, int]:
        """Return what was sent to a device, and what it acknowledged."""
        number = self._numbers[channel.fd]
        return self._tracks.sent[number], self._tracks.acknowledged[number]

    # What the stream and the client bring

    def offer(self, channel: Channel, outgoing: Outgoing) -> None:
        """Write what the stream brought to a device, or note it. One that was closed just now is left alone."""
        number = self._number_of(channel)
        if number == NONE:
            return
        if channel in self._behind or not self._write(channel, number, outgoing):
            self.hold(channel, outgoing.offset)

    def hold(self, channel: Channel, offset: int) -> None:
        """Note that there is an entry for a device without writing it: it is read from the inbox."""
        behind = self._behind.get(channel)
        if behind is None:
            self._fall_behind(channel, offset)
        else:
            behind.latest = max(behind.latest, offset)

    def acknowledge(self, channel: Channel, offset: int) -> bool:
        """Take an acknowledgement; returns whether it moved the cursor. Raises MessageError beyond what was sent."""
        number, tracks = self._numbers[channel.fd], self._tracks
        if not 0 <= offset <= tracks.highest[number]:
            raise MessageError(
                "bad_offset",
                f"expected at most {tracks.highest[number]}, the highest that was sent, got {offset}",
                "offset",
            )
        self._row[ACKNOWLEDGED] += 1
        moved = tracks.acknowledge(number, offset, self._tick + TIMEOUTS[0])
        if moved:
            self._cursors.note(channel, tracks.acknowledged[number], self._epochs[channel.user.tenant])
            if self._behind:
                self.resume(channel.fd)
        return moved

    def resume(self, fd: int) -> None:
        """Go on with a device that waited for its client, now that its socket took or it acknowledged something."""
        channel = self._sessions.by_fd[fd]
        behind = self._behind.get(channel) if channel is not None else None
        if (
            channel is not None
            and behind is not None
            and behind.blocked
            and self._can_write(channel, self._numbers[fd])
        ):
            behind.blocked = False
            self._enqueue(channel)

    def tick(self) -> None:
        """Count one tick, and send again to the next devices what is overdue."""
        self._tick += 1
        self._row[BEHIND] = len(self._behind)
        if not self._behind:
            self._behind.clear()  # the table of an empty dictionary is as large as it ever was
        later, self._later = self._later, []
        for channel in later:
            self._enqueue(channel)
        by_fd, numbers, due = self._sessions.by_fd, self._numbers, self._tracks.due
        stop = min(len(numbers), self._position + len(numbers) // ROUND + 1)
        for fd in range(self._position, stop):
            number = numbers[fd]
            if number and 0 < due[number] <= self._tick:
                late = by_fd[fd]
                assert late is not None
                self._send_again(late, number)
        self._position = stop if stop < len(numbers) else 0

    def end_epoch(self, tenant: str) -> None:
        """The logs of a tenant are others now: its devices come back, and learn that by the new epoch."""
        for channel in tuple(self._sessions.by_fd):
            if channel is not None and channel.user.tenant == tenant and self._number_of(channel) != NONE:
                self._close(channel, Close.GOING_AWAY)
        self._epochs.pop(tenant, None)

    # Inside

    def _make_room(self, fd: int) -> None:
        if fd >= len(self._numbers):
            self._numbers.frombytes(bytes((fd + 1024 - len(self._numbers)) * self._numbers.itemsize))

    def _number_of(self, channel: Channel) -> int:
        return self._numbers[channel.fd] if channel.device is not None and channel.fd < len(self._numbers) else NONE

    def _can_write(self, channel: Channel, number: int) -> bool:
        return self._tracks.has_room(number) and not self._sessions.is_parked(channel.fd)

    def _write(self, channel: Channel, number: int, outgoing: Outgoing) -> bool:
        """Write an entry to a device that has everything before it; returns False when that cannot be now."""
        tracks, offset = self._tracks, outgoing.offset
        if offset <= tracks.sent[number]:
            return True
        if outgoing.narrowed and not outgoing.matches(channel, self._sessions):
            if tracks.note_skipped(number, offset):
                self._cursors.note(channel, offset, self._epochs[channel.user.tenant])
            return True
        if not self._can_write(channel, number):
            return False
        frame = outgoing.frames[channel.format] or outgoing.fill(channel.format)
        if not self._sessions.write_live(channel.fd, frame):
            return True  # it was closed over this, and its device will read on when it comes back
        tracks.note_written(number, offset, self._tick + TIMEOUTS[tracks.tries[number]])
        self._row[RESENT] += outgoing.resent
        self._sessions.count_written(channel.user.tenant, 1, len(frame))
        return True

    def _send_again(self, channel: Channel, number: int) -> None:
        tracks = self._tracks
        if self._sessions.is_parked(channel.fd):
            # The client does not even take it: more of the same would not help. The heartbeat judges.
            tracks.due[number] = self._tick + TIMEOUTS[tracks.tries[number]]
        elif not tracks.rewind(number):
            self._close(channel, Close.ACK_OVERDUE)
        else:
            behind = self._behind.get(channel)
            if behind is None:
                self._fall_behind(channel, 0)
            else:
                self.resume(channel.fd)

    def _fall_behind(self, channel: Channel, latest: int) -> None:
        behind = self._behind[channel] = _Behind(latest)
        if self._can_write(channel, self._numbers[channel.fd]):
            self._enqueue(channel)
        else:
            behind.blocked = True

    def _enqueue(self, channel: Channel) -> None:
        self._queue.append(channel)
        if self._readers < READERS:
            self._readers += 1
            self._spawn(self._read())

    async def _read(self) -> None:
        """Work on the queue until it is empty."""
        try:
            while self._queue:
                channel = self._queue.popleft()
                behind = self._behind.get(channel)
                if behind is not None:
                    await self._catch_up(channel, behind)
        finally:
            self._readers -= 1

    async def _catch_up(self, channel: Channel, behind: _Behind) -> None:
        """Read what a device lacks and write it, as far as it takes it."""
        number, sent = self._numbers[channel.fd], self._tracks.sent
        tenant, uid, after = channel.user.tenant, channel.user.uid, sent[number]
        behind.latest = 0
        self._row[CATCH_UPS] += 1
        try:
            entries = await self._history.read(tenant, uid, after, BATCH)
        except InboxUnavailable:
            self._later.append(channel)  # whoever reads it says why
            return
        if self._behind.get(channel) is not behind:
            return  # it is closed, and perhaps another connection of the same device is there
        if sent[number] < after:
            self._queue.append(channel)
            return
        for entry in entries:
            resent = entry.offset <= self._tracks.highest[number]
            outgoing = Outgoing(decode_push(entry.payload), entry.offset, resent)
            if not self._write(channel, number, outgoing):
                behind.blocked = True
                return
            if outgoing.push.trail is not None and self.following is not None:
                self.following.tell_late(outgoing, channel)
            if self._behind.get(channel) is not behind:
                return  # closed over what was written
        if len(entries) == BATCH or behind.latest > sent[number]:
            self._queue.append(channel)
        else:
            del self._behind[channel]
