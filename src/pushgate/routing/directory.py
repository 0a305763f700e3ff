"""The directory, as one worker keeps it: an entry for each user with a session here.

- An entry is in the registry before the user's first session is welcomed, so whoever pushes after that finds it. A user
  who has one waits for nothing. When the registry is away nobody waits: the directory is not `current` then, the node
  says so to all others, and these push to every node for as long.
- It is removed REMOVAL ticks after the last session ended: who comes back by then costs nothing.
- It is written again every RENEWAL ticks, since the registry forgets what is older than twice that. A worker that died
  leaves entries that end in that way; until then they only bring its node pushes for nobody.
- What the registry may have lost (another connection, a lease that is gone) is written anew, all of it.

What changes in one turn of the loop, or while a group is on its way, goes together in the next group.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

from pushgate.errors import RegistryUnavailable
from pushgate.log import get_logger
from pushgate.metrics.catalogue import DIRECTORY_CURRENT, DIRECTORY_ENTRIES, DIRECTORY_WRITES
from pushgate.metrics.rows import Row
from pushgate.routing.base import KEPT, Registry, key_of
from pushgate.sockets.poller import TICK

GROUP = 256
"""Users whose entries are written together: as many clients are then welcomed in one turn of the loop."""
REMOVAL = round(5.0 / TICK)
"""Ticks that an entry outlives the user's last session."""
RENEWAL = round(KEPT / 2 / TICK)
"""Ticks after which an entry is written again."""
LEASE_RENEWAL = round(2.0 / TICK)
"""Ticks between two renewals of the worker's lease, which tell whether the registry has all that it had."""

SETTLED = round(1.5 / TICK)
"""Ticks after which every other node has said whether its part is in the registry as it is now."""

Then = Callable[[], None]

_log = get_logger("routing", lifecycle=True)


class Directory:
    """The entries of one worker."""

    def __init__(self, registry: Registry, row: Row) -> None:
        self.current = False
        """Whether the registry has an entry for each user who was welcomed, as far as is known."""
        self._registry = registry
        self._row = row
        self._fresh: set[bytes] = set()  # written, and not to be renewed in this period
        self._due: set[bytes] = set()  # to be written again; in the registry already where that is current
        self._new: dict[bytes, list[Then]] = {}
        self._flying: dict[bytes, list[Then]] = {}
        self._waiting: deque[Then] = deque()  # those who are let in without an entry
        self._left: dict[bytes, int] = {}  # users without a session, and the tick at which their entry is removed
        self._removed: set[bytes] = set()
        self._frozen = False
        self._renews = False
        self._losses = 0
        self._now = 0
        self._settled_at = SETTLED
        self._share = 0
        self._writer: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        """Whether the registry can be gone by: it has been the one that it is for long enough."""
        return self.current and self._now >= self._settled_at

    def start(self) -> None:
        """Connect to the registry, now and whenever it is lost."""
        self._registry.start(lambda: self._lose("it is another connection"))

    def admit(self, tenant: str, uid: str, then: Then) -> None:
        """Call `then`, which lets a user in, once there is an entry, or none can be had."""
        key = key_of(tenant, uid)
        self._left.pop(key, None)
        self._removed.discard(key)
        if key in self._flying:
            self._flying[key].append(then)
        elif key in self._fresh or key in self._due:
            then()
        elif self.current and self._registry.connected:
            self._new.setdefault(key, []).append(then)
            self._wake()
        else:
            self._due.add(key)
            if self.current:
                self._lose("it is away")
            then()

    def enter(self, tenant: str, uid: str) -> None:
        """A user has a first session here: one who was admitted, or came from another process of this node."""
        self.admit(tenant, uid, _nothing)

    def leave(self, tenant: str, uid: str) -> None:
        """A user has no session here any more, or was admitted in vain."""
        key = key_of(tenant, uid)
        self._left.pop(key, None)
        self._left[key] = self._now + REMOVAL

    def freeze(self) -> None:
        """Remove nothing: the sessions go to other processes of this node."""
        self._frozen = True

    def thaw(self) -> None:
        """Go on as before: what came back is ours, and who left meanwhile is removed."""
        self._frozen = False

    def tick(self) -> None:
        """Count one tick of the worker."""
        self._now += 1
        if not self._frozen:
            self._remove_left()
        if self.current:
            self._renew_some()
        if self._now % LEASE_RENEWAL == 0:
            self._renews = True
        self._wake()
        self._row[DIRECTORY_CURRENT] = int(self.current)
        self._row[DIRECTORY_ENTRIES] = len(self._fresh) + len(self._due)

    def let_in(self) -> None:
        """Let in all who wait: nobody is to come any more."""
        for waiting in (self._flying, self._new):
            for thens in waiting.values():
                self._waiting.extend(thens)
                thens.clear()
        while self._waiting:
            _call(self._waiting.popleft())

    async def stop(self) -> None:
        """Let go of the registry. Entries stay: nobody looks at those of a node that has left."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait((self._writer,))
        await self._registry.stop()

    def _remove_left(self) -> None:
        ended = []
        for key, end in self._left.items():
            if end > self._now:
                break
            if key not in self._flying:
                ended.append(key)
        for key in ended:
            del self._left[key]
            self._fresh.discard(key)
            self._due.discard(key)
            self._new.pop(key, None)
            self._removed.add(key)

    def _renew_some(self) -> None:
        if self._now % RENEWAL == 0:
            self._due |= self._fresh
            self._fresh.clear()
            self._share = -(-2 * len(self._due) // RENEWAL)
        for _ in range(min(self._share, len(self._due), GROUP)):
            self._new.setdefault(self._due.pop(), [])

    @property
    def _busy(self) -> bool:
        """Whether there is something to write."""
        return bool(self._renews or self._new or self._removed or not self.current)

    def _wake(self) -> None:
        if self._writer is None and self._busy and self._registry.connected:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write until there is nothing to write; what comes meanwhile goes with the next group."""
        try:
            while self._busy:
                if self._renews:
                    self._renews = False
                    if not await self._registry.renew():
                        self._lose("it has lost what was written")
                await self._write_group()
        except RegistryUnavailable as error:
            self._lose(str(error))
        except Exception:
            _log.exception("the directory met a fault in the gateway")
            self._lose("a fault")
        finally:
            self._writer = None

    async def _write_group(self) -> None:
        losses = self._losses
        self._flying = {key: self._new.pop(key) for key in list(islice(self._new, GROUP))}
        if not self.current:
            for _ in range(min(GROUP - len(self._flying), len(self._due))):
                self._flying.setdefault(self._due.pop(), [])
        removed = list(islice(self._removed, GROUP))
        self._removed.difference_update(removed)
        flying = self._flying
        try:
            await self._registry.write(list(flying), removed)
            self._row[DIRECTORY_WRITES] += len(flying) + len(removed)
        except BaseException:
            self._due.update(flying)
            self._removed.update(key for key in removed if key not in self._due and key not in self._new)
            raise
        else:
            (self._fresh if losses == self._losses else self._due).update(flying)
        finally:
            self._flying = {}
            for thens in flying.values():
                for then in thens:
                    _call(then)
        if not self.current and not self._due and not self._new and losses == self._losses:
            self.current = True
            self._settled_at = self._now + SETTLED
            _log.info("the directory has all users of this worker", users=len(self._fresh))

    def _lose(self, reason: str) -> None:
        """Begin anew: what the registry has is not known."""
        self._losses += 1
        if self.current:
            self.current = False
            self._row[DIRECTORY_CURRENT] = 0
            _log.warning("the directory may lack users of this worker, and is written anew", reason=reason)
        self._due |= self._fresh
        self._fresh.clear()
        new, self._new = self._new, {}
        self._due.update(new)
        for thens in new.values():
            self._waiting.extend(thens)
        self._let_some_in()

    def _let_some_in(self) -> None:
        """Let in who waits, as many as otherwise in one turn of the loop."""
        for _ in range(min(GROUP, len(self._waiting))):
            _call(self._waiting.popleft())
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._let_some_in)


def _call(then: Then) -> None:
    try:
        then()
    except Exception:
        _log.exception("letting a client in met a fault in the gateway")


def _nothing() -> None:
    """Let nobody in."""
