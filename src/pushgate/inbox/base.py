"""The inbox: the durable logs of reliable messages, and the cursors of devices.

A tenant has a log for each user and one for everyone. What every backend promises:

- **Offsets.** Each entry has an offset: an integer from 1 to 2^53 - 1, larger than that of every entry appended to the
  same tenant before, whichever log. So a device has one cursor for all the logs that it reads. Offsets have holes.
- **Durable.** `append` answers for an entry when it is as safe as the inbox is configured to be. Until then nothing is
  promised: an entry that is not answered may be there or not (Unknown), never half, and may be read and followed
  before.
- **Idempotent.** An id that the tenant's log had within the idempotency window is not appended again: the first
  offset comes back, as a duplicate. Ids are a log's own: one message for many users has an entry in each log. (A
  server that was started again may have forgotten ids of entries that expired or were collapsed.)
- **Nothing is dropped to make room.** Over a limit an append is refused; what was accepted leaves by its ttl, or when a
  newer entry of the same log has its collapse key.
- **Following** is complete and in order: `on_entry` is called with every entry of the followed logs, in the order of
  offsets within a tenant, none left out and none twice while the process lives, through reconnects and restarts of the
  server too. (What expires or is collapsed before it could be read does not come.) It starts with what is appended
  after `open` returned.
- **Reading** sees at least what had been answered, and what `on_entry` had brought, when the call was made.
- **Epochs.** A tenant's logs have an epoch, a short text. It changes when offsets may come to mean other messages:
  logs that were recreated, or a server that may have lost its last writes. Cursors of another epoch mean nothing. When
  it changes while the process lives, `on_epoch` says so, and what is followed from then on begins with the first entry
  of the new epoch.
- **Cursors** are stored by whoever calls, and never fall: a store of a smaller offset than the one that is stored, of
  the same epoch, changes nothing, whichever process stored that one and however the two overlap. It is no error. (A
  device moves to another node, and what the first one still stores of it comes late.) Offsets of different epochs are
  not compared: the one stored last stays. A cursor not stored for `cursor_ttl` seconds (the same offset
  again counts) is forgotten, and keeps nothing down.
- A backend reconnects by itself, for ever. While it is away calls fail with InboxUnavailable, within seconds; an
  append is tried for ten.
- **`append` awaits plain futures only**, no `asyncio.timeout` and no `current_task`: the push route steps it without a
  task.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

EVERYONE = ""
"""Stands for the log of everyone where a uid is wanted; no user has an empty uid."""


class Draft(NamedTuple):
    """An entry to append. `uid` is a user's or EVERYONE. `ttl` is in whole seconds, at least 1. With `collapse` all
    earlier entries of the log with the same key are removed when this one is there."""

    uid: str
    id: str
    payload: bytes
    ttl: int
    collapse: str | None = None


class Appended(NamedTuple):
    """An entry that is in the log. A `duplicate` was there before: `offset` is the first one's."""

    offset: int
    duplicate: bool = False


class Refused(NamedTuple):
    """An entry that was not appended, and will not be: `code` is `inbox_full` (the tenant's bytes, or all that the
    server has), `user_full` (the log's entries) or `too_large`."""

    code: str
    detail: str


class Unknown(NamedTuple):
    """An entry of which is not known whether it was appended: the same id can be appended again."""

    detail: str


Outcome = Appended | Refused | Unknown


class Entry(NamedTuple):
    """An entry of a log, as it was appended."""

    tenant: str
    uid: str
    offset: int
    payload: bytes


class Cursor(NamedTuple):
    """A device's place: it has everything up to `offset` of the `epoch`. `stored` is in seconds since 1970."""

    offset: int
    epoch: str
    stored: int


class Device(NamedTuple):
    """Whose cursor."""

    tenant: str
    uid: str
    device: str


class Limits(NamedTuple):
    """A tenant's limits: bytes of all its entries, with what the backend keeps beside each, and entries in one log, a
    user's or everyone's, not counting those with a collapse key, of which there is one a key. 0 means none but the
    backend's own. Lower limits remove nothing; a backend may put off a lower `max_entries` to the next `open`."""

    max_bytes: int
    max_entries: int


class Options(NamedTuple):
    """What holds for all tenants: seconds that ids are remembered, seconds that cursors are kept, how many servers of
    a cluster have a copy. `lineage` becomes part of every epoch: another text means that the server may have lost its
    last writes since."""

    duplicate_window: int = 120
    cursor_ttl: int = 30 * 86400
    replicas: int = 1
    lineage: str = ""


class Usage(NamedTuple):
    """How many bytes a tenant's entries have, as its limit counts them, and the limit; 0: none but the backend's."""

    bytes: int
    max_bytes: int


class FollowedTo(NamedTuple):
    """A place in a tenant's logs: an offset of an epoch."""

    offset: int
    epoch: str


NO_PLACES: Mapping[str, FollowedTo] = {}

OnEntry = Callable[[Entry], None]
"""Takes an entry that was followed; a plain call on the event loop, which must not raise."""

OnEpoch = Callable[[str], None]
"""Is told the tenant whose epoch has changed; a plain call, which must not raise. `epoch` has the new one."""


class Inbox(Protocol):
    """The interface of a backend; see the module for what it promises."""

    async def start(
        self, shards: Iterable[int], on_entry: OnEntry, on_epoch: OnEpoch, places: Mapping[str, FollowedTo] = NO_PLACES
    ) -> None:
        """Connect; waits for a server that is not there yet, and raises InboxUnavailable when stopped meanwhile.
        `shards` are those whose users' logs will be followed, together with the logs of everyone. A tenant with one of
        the `places` is followed from behind there, where its epoch is still that one."""

    async def open(self, tenants: Mapping[str, Limits]) -> None:
        """Make what these tenants need, and follow their logs; returns when that holds. Called again, it adds tenants
        and changes limits. Raises InboxUnavailable, within seconds, and goes on trying."""

    async def append(self, tenant: str, drafts: Sequence[Draft]) -> list[Outcome]:
        """Append entries to logs of an opened tenant; returns what became of each, in order.

        Those of one log are appended in the order given. Calls made at the same time share what they can (group
        commit). Never raises for the server's sake: Unknown says so, after fifteen seconds at most.
        """

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        """Return the first entries with an offset above `after` of the user's and everyone's logs together, in order of
        offsets: at most `limit`, fewer only when there are no more. Raises InboxUnavailable."""

    async def newest(self, tenant: str, *, confirmed: bool = False) -> int:
        """Return an offset that no entry answered so far is above, and that is none of a later one: the highest given
        so far, as a rule. Where there are several copies, one may be asked that lacks what other processes appended
        just now; with `confirmed` none is. Raises InboxUnavailable."""

    async def usage(self, tenant: str) -> Usage:
        """Return how full an opened tenant's logs are. Raises InboxUnavailable."""

    def epoch(self, tenant: str) -> str:
        """Return the epoch of an opened tenant's logs, as last heard. Raises InboxUnavailable before that."""

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        """Return the cursors of devices, None where there is none. Raises InboxUnavailable."""

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        """Return all cursors of a user, by device. Raises InboxUnavailable."""

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        """Store cursors (offset and epoch), but for those below what is stored; returns when they are durable. Raises
        InboxUnavailable: any part may be."""

    def places(self) -> dict[str, FollowedTo]:
        """Return up to where the tenants that are followed were: every entry up to there was brought."""

    @property
    def connected(self) -> bool:
        """Whether calls could succeed now."""

    @property
    def stalled(self) -> bool:
        """Whether appends, or stores of cursors, have failed for as long as they are tried; until one succeeds. The
        backend finds that out by itself."""

    async def stop(self) -> None:
        """Let go of the inbox; what is not answered yet is Unknown."""
