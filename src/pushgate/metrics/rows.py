"""The shared rows: one anonymous mapping, a row of integers a worker, each slot written by one process alone.

It is made before the fork and outlives workers, so that no counter ever falls when one dies.
"""

from bisect import bisect_left
from mmap import mmap

from pushgate.metrics.catalogue import (
    CATALOGUE,
    MAX_TENANTS,
    NODE_SLOTS,
    TENANT_CATALOGUE,
    TENANT_SLOTS,
    Histogram,
)

Row = memoryview
"""One worker's integers (signed, 64 bits), indexed by the slots of the catalogue."""

ROW_SLOTS = NODE_SLOTS + MAX_TENANTS * TENANT_SLOTS


class Rows:
    """The rows of a node: `workers` of them and a last one for the supervisor."""

    def __init__(self, workers: int) -> None:
        self._map = mmap(-1, (workers + 1) * ROW_SLOTS * 8)  # pages that nobody writes cost nothing
        self._all = memoryview(self._map).cast("q")
        self.count = workers + 1

    def row(self, index: int) -> Row:
        """Return the row of a worker; `index` = number of workers is the supervisor's."""
        return self._all[index * ROW_SLOTS : (index + 1) * ROW_SLOTS]

    def total(self, slot: int) -> int:
        """Return the sum of a slot over all rows."""
        return sum(self._all[slot::ROW_SLOTS])

    def clear_gauges(self, index: int) -> None:
        """Set the gauges of a row to zero: its worker died and holds nothing any more."""
        row = self.row(index)
        for metric in CATALOGUE:
            if metric.kind == "gauge":
                for slot in metric.slots.values():
                    row[slot] = 0
        for metric in TENANT_CATALOGUE:
            if metric.kind == "gauge":
                for at in range(tenant_slot(0, metric.slots[()]), ROW_SLOTS, TENANT_SLOTS):
                    row[at] = 0

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
        every = self._all
        taken = 0
        for at in range(window, len(every), ROW_SLOTS):
            if every[at] == second:
                taken += every[at + 1]
        if taken > limit:
            row[window + 1] -= count
            return False
        return True


def tenant_slot(number: int, slot: int) -> int:
    """Return where a row has a tenant's slot; `number` is the tenant's, `slot` one of the catalogue's TENANT_ slots."""
    return NODE_SLOTS + number * TENANT_SLOTS + slot


def observe(row: Row, histogram: Histogram, seconds: float) -> None:
    """Count one observation of a histogram; what clocks that disagree make negative counts as 0."""
    seconds = max(0.0, seconds)
    first, buckets = histogram
    row[first + bisect_left(buckets, seconds)] += 1
    row[first + len(buckets) + 1] += int(seconds * 1e6)
