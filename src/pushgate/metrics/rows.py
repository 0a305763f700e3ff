"""The shared rows: one mapping, a row of integers a worker, each slot written by one process alone.

It is made before the fork and outlives workers, so that no counter ever falls when one dies. Nor does one when another
generation of processes takes over: while both live, each adds to its own rows what the other's have
(`metrics.generations`), and when the old one has ended, what it counted is carried on here.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Protocol

from pushgate.metrics.catalogue import (
    CATALOGUE,
    MAX_TENANTS,
    NODE_SLOTS,
    TENANT_CATALOGUE,
    TENANT_SLOTS,
)
from pushgate.metrics.metric import Histogram, Metric

Row = memoryview
"""One worker's integers (signed, 64 bits), indexed by the slots of the catalogue."""

ROW_SLOTS = NODE_SLOTS + MAX_TENANTS * TENANT_SLOTS


class Counted(Protocol):
    """What another generation of processes has in its rows, by the slots of ours; 0 for what it does not know."""

    places: int

    def total(self, slot: int) -> int:
        """Return the sum of a slot over all its rows."""

    def of_worker(self, index: int, slot: int) -> int:
        """Return what the worker of this index, and those that had the index before it, have in a slot."""


class Rows:
    """The rows of a node: `workers` of them and a last one for the supervisor.

    `file` is what they lie in, a file in memory that other processes can be given, or -1 for none: then the processes
    forked from this one share them. `predecessor` is what the generation has whose place this one takes.
    """

    def __init__(self, workers: int, file: int = -1, predecessor: Counted | None = None) -> None:
        self.count = workers + 1
        self.places = max(workers, predecessor.places if predecessor is not None else 0)
        """Rows behind those of the living, a place a worker, for what earlier generations counted."""
        self.successor: Counted | None = None
        """What the generation has that takes the place of this one, while it does so."""
        self._predecessor = predecessor
        size = (self.count + self.places) * ROW_SLOTS * 8
        # Pages that nobody writes cost nothing. A mapping is never undone: it would close a descriptor of its own,
        # whose number a forked worker has long given to a client.
        self._all = memoryview(mmap(file, size + 8)).cast("q")
        self._live = self._all[: self.count * ROW_SLOTS]
        self._carried = self._all[self.count * ROW_SLOTS : -1]
        self._folded = self._all[-1:]

    @staticmethod
    def file_size(workers: int, predecessor: Counted | None = None) -> int:
        """Return how many bytes the file has to have."""
        places = max(workers, predecessor.places if predecessor is not None else 0)
        return (workers + 1 + places) * ROW_SLOTS * 8 + 8

    def row(self, index: int) -> Row:
        """Return the row of a worker; `index` = number of workers is the supervisor's."""
        return self._live[index * ROW_SLOTS : (index + 1) * ROW_SLOTS]

    def total(self, slot: int) -> int:
        """Return the sum of a slot over all rows, those of other generations included."""
        total = sum(self._live[slot::ROW_SLOTS])
        if self._folded[0]:
            total += sum(self._carried[slot::ROW_SLOTS])
        elif self._predecessor is not None:
            total += self._predecessor.total(slot)
        return total + self.successor.total(slot) if self.successor is not None else total

    def of_worker(self, index: int, slot: int) -> int:
        """Return what the worker of this index, and those of other generations, have in a slot."""
        value = self._live[index * ROW_SLOTS + slot]
        if self._folded[0]:
            value += self._carried[index * ROW_SLOTS + slot]
        elif self._predecessor is not None:
            value += self._predecessor.of_worker(index, slot)
        return value + self.successor.of_worker(index, slot) if self.successor is not None else value

    def fold(self) -> None:
        """Carry on here what the predecessor counted, all of whose processes have ended.

        Whoever adds up in the meantime sees the one or the other, and never both: a single write decides.
        """
        predecessor = self._predecessor
        if predecessor is None or self._folded[0]:
            return
        for slot in _counter_slots():
            total = predecessor.total(slot)
            if not total:
                continue
            of_workers = [predecessor.of_worker(index, slot) for index in range(self.places)]
            for index, value in enumerate(of_workers):
                self._carried[index * ROW_SLOTS + slot] = value
            self._carried[slot] += total - sum(of_workers)  # what its supervisor counted
        self._folded[0] = 1

    def clear_gauges(self, index: int) -> None:
        """Set the gauges of a row to zero: its worker died and holds nothing any more."""
        row = self.row(index)
        for slot in _slots_of(lambda metric: metric.kind == "gauge"):
            row[slot] = 0

    def take(self, row: Row, window: int, count: int, limit: int, second: int) -> bool:
        """Count `count` in a window of the node, unless its rows would then have more than `limit` in this second.

        `row` is the caller's own, `window` the first of the two slots, `second` of the monotonic clock, which all
        processes share. What is taken is written before the rows are added up: callers at the same moment may
        all be refused where one would have fitted, but together they never get more than the limit.
        """
        if row[window] != second:
            row[window + 1] = 0
            row[window] = second
        row[window + 1] += count
        every = self._live
        taken = 0
        for at in range(window, len(every), ROW_SLOTS):
            if every[at] == second:
                taken += every[at + 1]
        if taken > limit:
            row[window + 1] -= count
            return False
        return True


def _counter_slots() -> Iterator[int]:
    return _slots_of(lambda metric: metric.kind != "gauge")


def _slots_of(wanted: Callable[[Metric], bool]) -> Iterator[int]:
    """Yield every slot of a row that shows in some metrics."""
    for metric in filter(wanted, CATALOGUE):
        for slot in metric.slots.values():
            yield from range(slot, slot + (len(metric.buckets) + 2 if metric.kind == "histogram" else 1))
    for metric in filter(wanted, TENANT_CATALOGUE):
        yield from range(tenant_slot(0, metric.slots[()]), ROW_SLOTS, TENANT_SLOTS)


def tenant_slot(number: int, slot: int) -> int:
    """Return where a row has a tenant's slot; `number` is the tenant's, `slot` one of the catalogue's TENANT_ slots."""
    return NODE_SLOTS + number * TENANT_SLOTS + slot


def observe(row: Row, histogram: Histogram, seconds: float) -> None:
    """Count one observation of a histogram; what clocks that disagree make negative counts as 0."""
    seconds = max(0.0, seconds)
    first, buckets = histogram
    row[first + bisect_left(buckets, seconds)] += 1
    row[first + len(buckets) + 1] += int(seconds * 1e6)
