"""The shared rows: one anonymous mapping, a row of integers a worker, each written by its worker alone.

It is made before the fork and outlives workers, so that no counter ever falls when one dies.
"""

from bisect import bisect_left
from mmap import mmap

from pushgate.metrics.catalogue import CATALOGUE, SLOTS, Histogram

Row = memoryview
"""One worker's integers (signed, 64 bits), indexed by the slots of the catalogue."""


class Rows:
    """The rows of a node: `workers` of them and a last one for the supervisor."""

    def __init__(self, workers: int) -> None:
        self._map = mmap(-1, (workers + 1) * SLOTS * 8)
        self._all = memoryview(self._map).cast("q")
        self.count = workers + 1

    def row(self, index: int) -> Row:
        """Return the row of a worker; `index` = number of workers is the supervisor's."""
        return self._all[index * SLOTS : (index + 1) * SLOTS]

    def total(self, slot: int) -> int:
        """Return the sum of a slot over all rows."""
        return sum(self._all[slot::SLOTS])

    def clear_gauges(self, index: int) -> None:
        """Set the gauges of a row to zero: its worker died and holds nothing any more."""
        row = self.row(index)
        for metric in CATALOGUE:
            if metric.kind == "gauge":
                for slot in metric.slots.values():
                    row[slot] = 0


def observe(row: Row, histogram: Histogram, seconds: float) -> None:
    """Count one observation of a histogram; what clocks that disagree make negative counts as 0."""
    seconds = max(0.0, seconds)
    first, buckets = histogram
    row[first + bisect_left(buckets, seconds)] += 1
    row[first + len(buckets) + 1] += int(seconds * 1e6)
