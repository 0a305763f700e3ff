"""How many connections an address has on the node, and how many handshakes it began within the second.

Any worker may accept a connection and another may own its session, so the numbers lie in a mapping that is made before
the fork and shared: each worker writes its own numbers alone, and adds up everybody's.

An address is one of its buckets: two of them, chosen by independent hashes, and the lower of their two sums counts (a
count-min sketch). So a number can be too high, by what collides in both, and never too low. Hashes are keyed at random:
nobody outside can aim at a collision. An IPv6 address counts as its /64, which is what one customer has.
"""

import secrets
from mmap import mmap

from pushgate.wire.address import V4_IN_V6

BUCKETS = 32_768
"""Buckets of connections in each half. A million addresses with a connection each put 31 into every one."""
WINDOWS = 4_096
"""Buckets of handshakes in each half: an address is in one for a second."""


class AddressCounts:
    """The numbers of all workers. A worker takes 320 KiB at the most: pages that nobody writes cost nothing."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        # The numbers of one bucket lie side by side, so that a sum reads one stretch.
        self._connections = memoryview(mmap(-1, 2 * BUCKETS * workers * 4)).cast("I")
        self._handshakes = memoryview(mmap(-1, 2 * WINDOWS * workers * 8)).cast("Q")
        self._salt = secrets.token_bytes(16)

    def worker(self, index: int) -> "WorkerCounts":
        """Return what a worker counts with."""
        return WorkerCounts(index, self._workers, self._connections, self._handshakes, self._salt)

    def clear(self, index: int) -> None:
        """Forget the connections of a worker that died. (Handshakes are forgotten by themselves.)"""
        self._connections[index :: self._workers] = memoryview(bytes(2 * BUCKETS * 4)).cast("I")


class WorkerCounts:
    """One worker's side of the numbers. Addresses are 16 bytes, with IPv4 mapped into IPv6."""

    def __init__(self, index: int, workers: int, connections: memoryview, handshakes: memoryview, salt: bytes) -> None:
        self._index = index
        self._workers = workers
        self._connections = connections
        self._handshakes = handshakes
        self._salt = salt

    def enter(self, address: bytes) -> int:
        """Count a connection in; returns how many the node then has of its address.

        It is written before the rows are added up: of two workers at the same moment at least one sees both.
        """
        numbers, workers, index = self._connections, self._workers, self._index
        first, second = self._buckets(address, BUCKETS)
        numbers[first + index] += 1
        numbers[second + index] += 1
        return min(sum(numbers[first : first + workers]), sum(numbers[second : second + workers]))

    def leave(self, address: bytes) -> None:
        """Count a connection out that this worker counted in."""
        first, second = self._buckets(address, BUCKETS)
        self._connections[first + self._index] -= 1
        self._connections[second + self._index] -= 1

    def knock(self, address: bytes, second: int) -> int:
        """Count a handshake; returns how many its address then began on the node within this second.

        `second` is of the monotonic clock, which all processes share.
        """
        return min(self._count_knock(bucket, second) for bucket in self._buckets(address, WINDOWS))

    def _count_knock(self, bucket: int, second: int) -> int:
        # A number is the second in the upper half and a count in the lower one: what is of another second counts not.
        numbers, mine, none, next_none = self._handshakes, bucket + self._index, second << 32, second + 1 << 32
        numbers[mine] = max(numbers[mine], none) + 1
        everybody = numbers[bucket : bucket + self._workers]
        return sum(number - none for number in everybody if none < number < next_none)

    def _buckets(self, address: bytes, count: int) -> tuple[int, int]:
        """Return where the numbers of an address's two buckets begin, of `count` in each half (a power of two)."""
        hashed = hash(self._salt + (address if address.startswith(V4_IN_V6) else address[:8]))
        return hashed % count * self._workers, (count + (hashed >> 32) % count) * self._workers
