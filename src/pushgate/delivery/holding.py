"""Holding back what comes for sessions that another process has not handed over yet, and leaving out what it wrote.

The old worker and the new one hear the same bus and follow the same logs, each at its own moment. The old one notes
what it takes from the bus (`Notes`) since before the new one subscribed. Before it gives the first shard away it has
taken everything that the bus had when the new one was ready (an empty publish is such a barrier). The new one follows
the logs from a place that all old ones had reached before (Inbox.start). For one shard the old one says at last:
everything up to the n-th of my notes, and up to these places in the logs, I have written to these sessions, or their
devices are behind. Hence, for each message and each session of the shard:

- A live push that came to the old one alone was published before the new one was ready, and so was taken, and written.
- One that comes here was either among those n notes, and was written: it is left out, whenever it comes. Or it was not,
  for the old one took it later, or never: it is written here, when the shard is given if it came before that, else when
  it comes.
- An entry up to the place was written, or its device is behind and reads it; one above was not, and comes here.
- What is written here comes in the order in which it came here. What the old one wrote came before, on the same socket.

A session that is opened here, which is once its shard is given, is nobody's but ours: it gets whatever comes from then
on. What an old worker noted is no matter, since that one wrote to others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from pushgate.delivery.notes import digest_of
from pushgate.delivery.outgoing import Channel, Outgoing
from pushgate.inbox.base import EVERYONE, Entry
from pushgate.messages.push import Push
from pushgate.messages.shard import shard_of
from pushgate.metrics.catalogue import DROPPED
from pushgate.metrics.rows import Row

HELD_BOUND = 64 * 1024 * 1024
"""Bytes of live messages that may be held back; beyond that they are dropped and counted."""


class Sessions(Protocol):
    """Where the sessions of this worker are."""

    @property
    def by_fd(self) -> Sequence[Channel | None]:
        """All of them, by descriptor."""

    def find(self, tenant: str, uid: str) -> Sequence[Channel]:
        """Return those of a user."""


class _Item(NamedTuple):
    """What came: `uids` in one shard, None for everyone; by the bus where `digest` is not empty."""

    outgoing: Outgoing
    uids: Sequence[str] | None
    digest: bytes


class _Given(NamedTuple):
    """What an old worker said of a shard: whose notes, how many of them, and up to which places."""

    worker: int
    notes: int
    places: Mapping[str, int]


class Holding:
    """What one new worker holds back (Detour). It owns `shards`, which `workers` old ones had."""

    def __init__(
        self,
        sessions: Sessions,
        deliver: Callable[[Outgoing, Sequence[Channel]], None],
        start: Callable[[Outgoing], None],
        shards: Iterable[int],
        workers: int,
        row: Row,
    ) -> None:
        """`deliver` writes to sessions at once, `start` begins to write to everyone."""
        self._sessions = sessions
        self._deliver = deliver
        self._start = start
        self._held: dict[int, list[_Item]] = {shard: [] for shard in shards}
        self._mine = frozenset(self._held)
        self._notes: list[dict[bytes, int]] = [{} for _ in range(workers)]
        self._given: dict[int, _Given] = {}
        self._homes: dict[Channel, int] = {}
        self._here: dict[int, list[Channel]] = {shard: [] for shard in self._held}
        self._size = 0
        self._row = row

    @property
    def missing(self) -> list[int]:
        """The shards that were not given yet."""
        return list(self._held)

    def waits_for(self, shard: int) -> bool:
        """Whether a shard was not given yet."""
        return shard in self._held

    def end(self) -> None:
        """Nothing comes late any more: forget what was taken over, which would be remembered for ever."""
        for table in (self._notes, self._homes, self._here, self._given):
            table.clear()

    def note(self, worker: int, digests: Iterable[bytes]) -> None:
        """Take the next notes of an old worker."""
        notes = self._notes[worker]
        for digest in digests:
            notes.setdefault(digest, len(notes))

    def adopt(self, channel: Channel, shard: int) -> None:
        """A session of a shard was taken over."""
        self._homes[channel] = shard
        self._here[shard].append(channel)

    def adopted(self, shard: int) -> Sequence[Channel]:
        """Return the sessions of a shard that were taken over so far, and are still there."""
        by_fd = self._sessions.by_fd
        return [channel for channel in self._here[shard] if by_fd[channel.fd] is channel]

    def release(self, shard: int, worker: int, notes: int, places: Mapping[str, int]) -> None:
        """All sessions of a shard are here: write to them what was held back, but for what they have."""
        self._given[shard] = _Given(worker, notes, places)
        for item in self._held.pop(shard):
            if item.uids is None:
                self._write(item, self.adopted(shard))
            else:
                self._write_users(item, item.uids)
        if not self._held:
            self._size = 0

    def take(self, payload: bytes, push: Push) -> bool:
        """Hold back a push, or write it (Detour)."""
        if self._held and self._size > HELD_BOUND:
            self._row[DROPPED["fan_out_full"]] += 1
            return True
        digest = digest_of(payload)
        outgoing = Outgoing(push)
        if push.uids is None:
            known = any(digest in notes for notes in self._notes)
            if not self._held and not known:
                self._start(outgoing)
            else:
                self._spread_out(_Item(outgoing, None, digest), len(payload))
            return True
        by_shard: dict[int, list[str]] = {}
        for uid in push.uids:
            by_shard.setdefault(shard_of(push.tenant, uid), []).append(uid)
        for shard, uids in by_shard.items():
            if shard in self._mine:
                self._put(shard, _Item(outgoing, uids, digest), len(payload))
        return True

    def bring(self, entry: Entry, push: Push) -> bool:
        """Hold back an entry, or write it (Detour)."""
        outgoing = Outgoing(push, entry.offset)
        if entry.uid != EVERYONE:
            self._put(shard_of(entry.tenant, entry.uid), _Item(outgoing, [entry.uid], b""), 0)
        elif self._held or any(entry.offset <= given.places.get(entry.tenant, 0) for given in self._given.values()):
            self._spread_out(_Item(outgoing, None, b""), 0)
        else:
            self._start(outgoing)
        return True

    def _put(self, shard: int, item: _Item, size: int) -> None:
        held = self._held.get(shard)
        if held is not None:
            held.append(item)
            self._size += size
        else:
            assert item.uids is not None
            self._write_users(item, item.uids)

    def _spread_out(self, item: _Item, size: int) -> None:
        """Hold back what is for everyone for the shards that are not given, and write it to all others."""
        for held in self._held.values():
            held.append(item)
        self._size += size
        self._write(item, [channel for channel in self._sessions.by_fd if channel is not None])

    def _write_users(self, item: _Item, uids: Sequence[str]) -> None:
        for uid in uids:
            self._write(item, self._sessions.find(item.outgoing.push.tenant, uid))

    def _write(self, item: _Item, channels: Sequence[Channel]) -> None:
        tenant = item.outgoing.push.tenant
        wanted = [channel for channel in channels if channel.user.tenant == tenant and self._lacks(channel, item)]
        if wanted:
            self._deliver(item.outgoing, wanted)

    def _lacks(self, channel: Channel, item: _Item) -> bool:
        """Whether nobody wrote a message to a session before it came here, and nobody will."""
        home = self._homes.get(channel)
        if home is None:
            return True
        given = self._given.get(home)
        if given is None:
            return False  # its shard is on its way, and what is held back comes behind it
        if item.digest:
            number = self._notes[given.worker].get(item.digest)
            return number is None or number >= given.notes
        return item.outgoing.offset > given.places.get(item.outgoing.push.tenant, 0)
