"""How many in a second: counters of the rows compared with what they were some seconds ago."""

from collections import deque
from collections.abc import Iterable

from pushgate.metrics.rows import Rows

STEP = 2.5
"""Seconds between two samples."""
SPAN = 10.0
"""Seconds that a rate looks back."""


class Rates:
    """Rates of counters, for the node as a whole. Times are of a monotonic clock, in seconds."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._samples: deque[tuple[float, dict[int, int]]] = deque()

    def sample(self, slots: Iterable[int], now: float) -> None:
        """Note what the counters in these slots stand at, unless that was done less than STEP ago."""
        samples = self._samples
        if samples and now - samples[-1][0] < STEP:
            return
        samples.append((now, {slot: self._rows.total(slot) for slot in slots}))
        while len(samples) > 1 and now - samples[1][0] >= SPAN:
            samples.popleft()

    def of(self, slot: int, now: float) -> float:
        """Return how many were counted in a second, over the last SPAN or since the first sample.

        A slot that was not in the sample begins at 0, as a new tenant's does.
        """
        if not self._samples:
            return 0.0
        began, then = self._samples[0]
        # Over less than a second a single count would look like a rush.
        return round((self._rows.total(slot) - then.get(slot, 0)) / max(1.0, now - began), 1)
