"""Where a push goes: to every node by its shard, or to the nodes that the directory names.

The directory is asked at each push, rather than followed and kept in every worker. So a push costs a question, which
those of one turn of the loop share, and a change in who is where costs one write, however many nodes there are; nothing
is kept in memory, and what was written before a push is found by it. A copy in each worker would have to take every
change of every node.

Reliable pushes go through the inbox, and are no matter of this.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from typing import Protocol

from msgspec.structs import replace

from pushgate.bus.base import Parcel
from pushgate.errors import RegistryUnavailable
from pushgate.log import get_logger
from pushgate.messages.push import Push, encode_push
from pushgate.messages.shard import shard_of
from pushgate.metrics.catalogue import DIRECTED, FALLBACK
from pushgate.metrics.rows import Row
from pushgate.routing.base import key_of

MOST_COPIED = 1024 * 1024
"""Bytes of data, in all copies, that one push to several users puts on the bus."""
MANY = 100
"""Users of one push above which it goes to every node unasked: they are likely to be on each."""
AWAY = "the registry is away, or new"
PATIENCE = 0.25
"""Seconds that pushes wait for the directory's answer."""

Found = Mapping[bytes, Sequence[int]]
"""What the registry says: homes by key."""

_log = get_logger("routing", lifecycle=True)


class Readable(Protocol):
    """The registry, to those who push."""

    async def read(self, keys: Collection[bytes]) -> Mapping[bytes, Sequence[int]]:
        """See Registry."""


def to_parcels(push: Push) -> Sequence[Parcel]:
    """Return the push as parcels for every node: one for each shard that holds a user of it, or one for every worker.

    What is large and for many goes to every worker too, rather than in up to 256 copies: a worker looks for those of
    the users that it holds.
    """
    tenant, uids = push.tenant, push.uids
    if uids is None:
        return (Parcel(None, encode_push(push)),)
    if len(uids) == 1:
        return (Parcel(shard_of(tenant, uids[0]), encode_push(push)),)
    shards: dict[int, list[str]] = {}
    for uid in uids:
        shards.setdefault(shard_of(tenant, uid), []).append(uid)
    if len(shards) * len(push.data) > MOST_COPIED:
        return (Parcel(None, encode_push(push)),)
    return [Parcel(shard, encode_push(replace(push, uids=group))) for shard, group in shards.items()]


class Addressing:
    """Addresses the pushes of one worker.

    `settled` tells whether the directory can be gone by, `homes` are those of all nodes, None while one is not in it.
    """

    def __init__(
        self,
        registry: Readable,
        settled: Callable[[], bool],
        homes: Callable[[], Set[int] | None],
        row: Row,
    ) -> None:
        self._registry = registry
        self._settled = settled
        self._homes = homes
        self._row = row
        self._asked: list[tuple[Sequence[bytes], asyncio.Future[Found | None]]] = []
        self._reader: asyncio.Task[None] | None = None
        self._failing = False
        self._trouble = AWAY  # as at every start, of which there is nothing to say

    async def address(self, pushes: Sequence[Push]) -> Sequence[Parcel]:
        """Return live pushes as parcels, in their order. Never raises; awaits plain futures only."""
        asking = [push for push in pushes if push.uids is not None and len(push.uids) <= MANY]
        holders = await self._find_holders(asking) if asking else None
        if holders is None:
            return [parcel for push in pushes for parcel in to_parcels(push)]
        parcels: list[Parcel] = []
        for push in pushes:
            if push.uids is None or len(push.uids) > MANY:
                parcels += to_parcels(push)
            else:
                parcels += _to_nodes(push, push.uids, holders)
        return parcels

    async def _find_holders(self, pushes: Sequence[Push]) -> Iterator[list[int]] | None:
        """Return the homes of the nodes that hold each user of the pushes, in their order, as far as these nodes are
        there; None when the pushes have to go to every node."""
        homes = self._homes()
        if self._failing or not self._settled():
            self._row[FALLBACK["registry"]] += len(pushes)
            return None
        if homes is None:
            self._row[FALLBACK["nodes"]] += len(pushes)
            return None
        keys = [key_of(push.tenant, uid) for push in pushes for uid in push.uids or ()]
        found = await self._ask(keys)
        if found is None:
            self._row[FALLBACK["registry"]] += len(pushes)
            return None
        self._row[DIRECTED] += len(pushes)
        return ([home for home in found.get(key, ()) if home in homes] for key in keys)

    def tick(self) -> None:
        """Count one tick of the worker; says when pushes begin to go to every node, and when they cease to."""
        trouble = ""
        if not self._settled() or self._failing:
            trouble = AWAY
        elif self._homes() is None:
            trouble = "a node is not in the directory with all its users"
        self._failing = False
        if trouble and trouble != self._trouble:
            _log.warning("pushes go to every node", reason=trouble)
        elif self._trouble and not trouble:
            _log.info("pushes go to the nodes that hold their users")
        self._trouble = trouble

    def _ask(self, keys: Sequence[bytes]) -> "asyncio.Future[Found | None]":
        """Return what will be found, together with what others ask in this turn of the loop; None when nothing is."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found | None] = loop.create_future()
        self._asked.append((keys, answer))
        if len(self._asked) == 1:
            self._reader = loop.create_task(self._read())
        return answer

    async def _read(self) -> None:
        asked, self._asked = self._asked, []
        found: Found | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._registry.read({key for keys, _ in asked for key in keys})
        except (RegistryUnavailable, TimeoutError):
            self._failing = True
        except Exception:
            _log.exception("asking the registry met a fault in the gateway")
        finally:
            for _, answer in asked:
                if not answer.done():
                    answer.set_result(found)


def _to_nodes(push: Push, uids: Sequence[str], holders: Iterator[list[int]]) -> Sequence[Parcel]:
    """Return the push as parcels for the nodes that hold its users; `holders` has them for each in turn."""
    tenant = push.tenant
    if len(uids) == 1:
        homes = next(holders)
        if not homes:
            return ()
        payload, shard = encode_push(push), shard_of(tenant, uids[0])
        return [Parcel(shard, payload, home) for home in homes]
    places: dict[tuple[int, int], list[str]] = {}
    for uid in uids:
        for home in next(holders):
            places.setdefault((shard_of(tenant, uid), home), []).append(uid)
    if len(places) * len(push.data) > MOST_COPIED:
        return (Parcel(None, encode_push(push)),)
    return [Parcel(shard, encode_push(replace(push, uids=group)), home) for (shard, home), group in places.items()]
