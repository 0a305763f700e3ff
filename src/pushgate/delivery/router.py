"""The router: takes what the bus brings: writes pushes to the sessions of its worker, and passes on what nodes ask."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from pushgate.delivery.fanout import FanOut
from pushgate.delivery.following import Following
from pushgate.delivery.notes import Notes
from pushgate.delivery.outgoing import Channel, Outgoing, Sessions
from pushgate.delivery.reliable import Reliable
from pushgate.delivery.unread import Unread
from pushgate.inbox.base import EVERYONE, Entry
from pushgate.messages.push import Push, decode_push
from pushgate.metrics.catalogue import BUS_LAG, PUSH_TO_WRITE
from pushgate.metrics.rows import Row, observe


class Detour(Protocol):
    """Who looks at what is brought before it is delivered, while this process takes sessions over from another."""

    def take(self, payload: bytes, push: Push) -> bool:
        """A push came by the bus; returns whether it is seen to."""

    def bring(self, entry: Entry, push: Push) -> bool:
        """An entry came from the inbox; returns whether it is seen to."""


class Router:
    """Delivers what the bus and the inbox bring: `receive` is given to the one, `bring` to the other.

    `hear` takes what comes over the bus and is no push.
    """

    def __init__(
        self,
        sessions: Sessions,
        fanout: FanOut,
        row: Row,
        hear: Callable[[bytes], None],
        reliable: Reliable | None = None,
        unread: Unread | None = None,
        following: Following | None = None,
    ) -> None:
        self._sessions = sessions
        self._fanout = fanout
        self._reliable = reliable
        self._unread = unread
        self._row = row
        self._hear = hear
        self._following = following
        self.notes: Notes | None = None
        """Where pushes are noted, while this process hands its sessions over to another."""
        self.detour: Detour | None = None
        """Who has the first look, while it takes sessions over, and for a while after: giving may begin meanwhile."""

    def receive(self, payload: bytes) -> None:
        """Deliver one push: at once to users, in slices to everyone."""
        try:
            push = decode_push(payload)
        except ValueError:  # an array is a push; what nodes say to each other are maps, and rare
            self._hear(payload)
            return
        if self.notes is not None:
            self.notes.add(payload)
        if self.detour is not None and self.detour.take(payload, push):
            return
        now = time.time()
        observe(self._row, BUS_LAG, now - push.time / 1000)
        if push.uids is None:
            self._fanout.start(Outgoing(push))
            return
        outgoing = None
        for uid in push.uids:
            channels = self._sessions.find(push.tenant, uid)
            if channels:
                if outgoing is None:
                    outgoing = Outgoing(push)
                self.deliver(outgoing, channels)
        if outgoing is not None:
            observe(self._row, PUSH_TO_WRITE, time.time() - push.time / 1000)
        if push.trail is not None and self._following is not None:
            self._following.tell(outgoing or Outgoing(push), push.uids, now)

    def bring(self, entry: Entry) -> None:
        """Deliver what the inbox brings: at once to a user's connections, in slices to everyone's."""
        push = decode_push(entry.payload)
        if self._unread is not None and entry.uid != EVERYONE:
            self._unread.note(push, entry.uid, entry.offset)
        if self.detour is not None and self.detour.bring(entry, push):
            return
        if entry.uid == EVERYONE:
            self._fanout.start(Outgoing(push, entry.offset))
            return
        channels = self._sessions.find(entry.tenant, entry.uid)
        if channels:
            outgoing = Outgoing(push, entry.offset)
            self.deliver(outgoing, channels)
            observe(self._row, PUSH_TO_WRITE, time.time() - outgoing.push.time / 1000)
        if push.trail is not None and self._following is not None:
            # for one user a moment says it: to know when it came would cost all others
            self._following.tell(Outgoing(push, entry.offset), (entry.uid,), time.time())

    def deliver(self, outgoing: Outgoing, channels: Sequence[Channel]) -> None:
        """Write a message to sessions of its tenant that it is for, in their order."""
        sessions, fanout = self._sessions, self._fanout
        reliable = self._reliable if outgoing.offset else None
        narrowed, busy = outgoing.narrowed, fanout.busy
        alike: dict[int, list[int]] = {}  # descriptors by format
        for channel in channels:
            if reliable is not None and channel.device is not None:
                if not busy or fanout.catch_up(channel):
                    reliable.offer(channel, outgoing)
                continue
            if narrowed and not outgoing.matches(channel, sessions):
                continue
            if busy and not fanout.catch_up(channel):
                continue
            if channel.format in alike:
                alike[channel.format].append(channel.fd)
            else:
                alike[channel.format] = [channel.fd]
        outgoing.write(alike, sessions)

    def deliver_held(self, outgoing: Outgoing, channels: Sequence[Channel]) -> None:
        """Do what `deliver` does with what a detour held back, and tell of it."""
        began = time.time()
        self.deliver(outgoing, channels)
        if outgoing.push.trail is not None and self._following is not None:
            delivery = self._following.begin(outgoing, began)
            delivery.count(channels)
            delivery.tell()
