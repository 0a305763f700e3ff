"""What a node of the live log holds: a batch of parcels, each with its shard; and writing batches one after another."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from struct import Struct
from typing import Any

from kazoo.protocol.serialization import Create

from pushgate.brokers.line import PARKED
from pushgate.bus.base import Parcel
from pushgate.errors import BusUnavailable, Problem
from pushgate.zookeeper.link import ZooKeeperLink

LIMIT = 1_000_000
"""Bytes of the largest payload: ZooKeeper takes requests of 1 MiB less a byte (`jute.maxbuffer`)."""
BATCH = 512 * 1024
"""Bytes from which on a batch takes nothing more; a larger payload is one by itself."""
PAUSE = 0.003
"""Seconds between writes, at least, while there is something to write."""

SEQUENCE = 2
"""The flag of a node whose name ends in the next number."""

_HEAD = Struct("!hI")
_EVERYONE = -1

Confirmed = asyncio.Future[int | str]
"""The number of the last batch of a group; or why it is not known whether the server has it."""


def pack(parcel: Parcel) -> bytes:
    """Return a parcel's bytes in a batch: shard (-1 for everyone), size, payload. Raises Problem("too_large")."""
    shard, payload, _ = parcel
    if len(payload) > LIMIT:
        raise Problem("too_large", f"the bus takes {LIMIT} bytes at most, and this is {len(payload)}")
    return _HEAD.pack(_EVERYONE if shard is None else shard, len(payload)) + payload


def unpack(batch: bytes) -> Iterator[Parcel]:
    """Return the parcels of a batch, in order. Raises ValueError for what is none."""
    at, end = 0, len(batch)
    while at < end:
        if end - at < _HEAD.size:
            raise ValueError("a batch breaks off")
        shard, size = _HEAD.unpack_from(batch, at)
        at += _HEAD.size
        if size > end - at:
            raise ValueError("a batch breaks off")
        yield Parcel(None if shard == _EVERYONE else shard, batch[at : at + size])
        at += size


class _Batch:
    """What goes into one node, and those whose group ends with it."""

    __slots__ = ("groups", "parcels", "size")

    def __init__(self) -> None:
        self.parcels: list[bytes] = []
        self.size = 0
        self.groups: list[Confirmed] = []


class Writer:
    """Writes what is published through one link, in order: what comes while a write is under way goes with the next.

    `path` is that of the log. A batch that was sent once is never sent again.
    """

    def __init__(self, link: ZooKeeperLink, path: str, acl: Sequence[object]) -> None:
        self._link = link
        self._path = path + "/"
        self._acl = acl
        self._ready: list[_Batch] = []
        self._waiting = 0
        self._flying = 0
        self._written = 0.0

    def publish(self, parcels: Sequence[Parcel]) -> Confirmed:
        """Write a group. None is a batch with nothing in it. Raises Problem("too_large") and BusUnavailable."""
        packed = [pack(parcel) for parcel in parcels]
        if self._waiting > PARKED:
            raise BusUnavailable("the bus does not keep up")
        if not self._ready:
            self._ready.append(_Batch())
            if not self._flying:
                self._write_later()
        batch = self._ready[-1]
        for piece in packed:
            if batch.size and batch.size + len(piece) > BATCH:
                batch = _Batch()
                self._ready.append(batch)
            batch.parcels.append(piece)
            batch.size += len(piece)
            self._waiting += len(piece)
        confirmed: Confirmed = asyncio.get_running_loop().create_future()
        batch.groups.append(confirmed)
        return confirmed

    def _write_later(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(max(self._written + PAUSE, loop.time()), self._write)

    def _write(self) -> None:
        ready, self._ready, self._waiting = self._ready, [], 0
        self._flying = len(ready)
        self._written = asyncio.get_running_loop().time()
        for batch in ready:
            request = Create(self._path, b"".join(batch.parcels), self._acl, SEQUENCE)
            self._link.send(request, partial(self._take, batch.groups))

    def _take(self, groups: list[Confirmed], answer: Any) -> None:
        self._flying -= 1
        if isinstance(answer, str):
            self._settle(groups, int(answer.rpartition("/")[2]))
        else:
            if not isinstance(answer, ConnectionError):
                # a server that takes nothing is not the one any more; and whoever waits behind must not overtake
                self._link.drop(f"the bus refuses: {type(answer).__name__}")
            self._settle(groups, self._link.reason)
        if not self._flying and self._ready:
            self._write_later()

    def _settle(self, groups: list[Confirmed], answer: int | str) -> None:
        for confirmed in groups:
            if not confirmed.done():
                confirmed.set_result(answer)
