"""Latencies counted in slots of a logarithmic scale: constant memory, 1.6 % precision, percentiles from it."""

from array import array

_FINE = 7  # values below 2**7 us have a slot each; above, every octave has 2**6 slots
_OCTAVE = 1 << (_FINE - 1)
_SLOTS = (40 - _FINE + 2) * _OCTAVE
_LONGEST = (1 << 40) - 1

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
"""What `Histogram.summary` gives, in per cent."""


class Histogram:
    """Counts durations. They go in as integer microseconds and come out as milliseconds."""

    __slots__ = ("_slots", "worst")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SLOTS))
        self.worst = 0  # microseconds, exact

    def add(self, microseconds: int) -> None:
        """Count one duration; negative ones count as 0, those over 12 days as 12 days."""
        if microseconds > self.worst:
            self.worst = microseconds = min(microseconds, _LONGEST)
        shift = microseconds.bit_length() - _FINE
        if shift > 0:
            self._slots[shift * _OCTAVE + (microseconds >> shift)] += 1
        else:
            self._slots[microseconds if microseconds > 0 else 0] += 1

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._slots)

    def merge(self, other: "Histogram") -> None:
        """Count everything that `other` has counted."""
        for slot, count in enumerate(other._slots):
            if count:
                self._slots[slot] += count
        self.worst = max(self.worst, other.worst)

    def since(self, before: "Histogram") -> "Histogram":
        """Return what was counted after `before` was taken; its worst is as exact as a slot."""
        later = Histogram()
        later._slots = array("Q", (now - then for now, then in zip(self._slots, before._slots, strict=True)))
        highest = max((slot for slot, count in enumerate(later._slots) if count), default=0)
        later.worst = min(self.worst, _upper_edge(highest))
        return later

    def percentile(self, percent: float) -> float:
        """Milliseconds that `percent` of the durations do not exceed; 0.0 when there are none."""
        left = self.count * percent / 100
        for slot, count in enumerate(self._slots):
            left -= count
            if count and left <= 0:
                return min(_upper_edge(slot), self.worst) / 1000
        return self.worst / 1000

    def summary(self) -> dict[str, float]:
        """Milliseconds by name: p50, p90, p99, p99.9 and max."""
        named = {f"p{percent:g}": round(self.percentile(percent), 3) for percent in PERCENTILES}
        return {**named, "max": round(self.worst / 1000, 3)}


def curve(histogram: Histogram) -> list[tuple[float, float]]:
    """Return the milliseconds that each of many percentiles does not exceed, from the median to the last hundredth of
    a per cent; nothing where nothing was counted."""
    if not histogram.count:
        return []
    return [(percent, histogram.percentile(percent)) for percent in (*range(50, 99), 99, 99.5, 99.9, 99.95, 99.99)]


def _upper_edge(slot: int) -> int:
    """The highest value, in microseconds, that the slot counts."""
    if slot < 1 << _FINE:
        return slot
    shift = slot // _OCTAVE - 1
    return ((slot - shift * _OCTAVE + 1) << shift) - 1
