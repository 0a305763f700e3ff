"""Keeping the live log short: one of all who follow it is elected to remove what is old."""

import asyncio
from collections.abc import Sequence
from typing import Any

from kazoo.exceptions import NoNodeError, RolledBackError, RuntimeInconsistency
from kazoo.protocol.serialization import Create, Delete, Exists, Transaction

from pushgate.log import get_logger
from pushgate.zookeeper.link import ZooKeeperLink

KEEP = 10.0
"""Seconds that a batch stays for those who were away for a moment."""
MOST = 4096
"""Batches that stay, at most; between two looks there may be more."""
BYTES = 64 * 1024 * 1024
"""Bytes of batches that stay, at most: ZooKeeper has all of it in memory."""
FULL = 2**30
"""The number from which on the log is made anew: a node counts its children to 2**31, and then takes no more."""
AT_ONCE = 500
"""Nodes that are removed in one transaction."""

EPHEMERAL = 1
"""The flag of a node that goes with its session."""


_HARMLESS = NoNodeError, RolledBackError, RuntimeInconsistency
"""A batch that is gone already, and what is said of those beside one that could not be removed."""

log = get_logger("bus", lifecycle=True)


class Cleaner:
    """Removes old batches if it is the one who does, and else stands by. It lives as long as the link.

    Who has made the node at `seat` is elected until its session ends.
    """

    def __init__(self, link: ZooKeeperLink, path: str, seat: str, acl: Sequence[object]) -> None:
        self._link = link
        self._path = path
        self._seat = seat
        self._acl = acl
        self._elected = False
        self._warned = False
        self._seen: dict[int, tuple[float, int]] = {}

    def note(self, number: int, size: int) -> None:
        """A batch of this size was read."""
        self._seen[number] = asyncio.get_running_loop().time(), size

    def look(self, numbers: Sequence[int]) -> None:
        """Take note of the numbers that are in the log, in order; remove what is old if it is on us."""
        now = asyncio.get_running_loop().time()
        self._seen = {number: self._seen.get(number, (now, 0)) for number in numbers}
        if not self._elected:
            self._link.send(Exists(self._seat, False), self._take_seat)
        elif numbers and numbers[-1] >= FULL and len(numbers) <= 2 * MOST:  # more would not fit into one transaction
            self._renew(numbers)
        else:
            self._remove(numbers[: -self._count_kept(now)])

    def _count_kept(self, now: float) -> int:
        """Return how many of the last batches stay: one at least."""
        kept = total = 0
        for born, size in reversed(self._seen.values()):
            total += size
            if kept and (kept == MOST or total > BYTES or now - born > KEEP):
                break
            kept += 1
        return kept or 1

    def _remove(self, numbers: Sequence[int]) -> None:
        for first in range(0, len(numbers), AT_ONCE):
            some = [self._delete(number) for number in numbers[first : first + AT_ONCE]]
            self._link.send(Transaction(some), self._take_removal)

    def _renew(self, numbers: Sequence[int]) -> None:
        """Replace the log by an empty one; not done when a batch came meanwhile, and tried again with the next look."""
        deletes = [self._delete(number) for number in numbers]
        anew = Delete(self._path, -1), Create(self._path, b"", self._acl, 0)
        self._link.send(Transaction([*deletes, *anew]), lambda answer: None)

    def _delete(self, number: int) -> Delete:
        return Delete(f"{self._path}/{number:010d}", -1)

    def _take_removal(self, answer: Any) -> None:
        """Say why nothing was removed, once; it is tried again. What somebody else has removed is no reason."""
        results = answer if isinstance(answer, list) else []
        reasons = {
            type(each).__name__ for each in results if isinstance(each, Exception) and type(each) not in _HARMLESS
        }
        if reasons and not self._warned:
            self._warned = True
            log.warning("the bus cannot be cleaned, and grows", path=self._path, reason=", ".join(sorted(reasons)))

    def _take_seat(self, answer: Any) -> None:
        if isinstance(answer, NoNodeError):
            self._link.send(Create(self._seat, b"", self._acl, EPHEMERAL), self._take_election)

    def _take_election(self, answer: Any) -> None:
        self._elected = isinstance(answer, str)
