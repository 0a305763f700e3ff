"""What a metric is, and how metrics get their slots in a row of integers."""

from collections.abc import Iterable
from itertools import product
from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One metric: `slots` maps the values of its labels (none without labels) to a slot.

    Values in slots are integers: `unit` is what one of them stands for, a millionth for seconds. With `per_worker` each
    row is told apart by the label `worker`, otherwise all are summed. Two metrics may show one slot. While one
    generation of processes hands over to another, what both have is added up, but not what each says of itself, `own`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    slots: dict[tuple[str, ...], int]
    buckets: tuple[float, ...] = ()
    unit: float = 1
    per_worker: bool = False
    own: bool = False


class Histogram(NamedTuple):
    """Where a histogram's slots begin (a bucket each, one for what is above, the sum) and its bounds in seconds."""

    first: int
    buckets: tuple[float, ...]


class Layout:
    """Metrics in the order in which they are declared, and so many `slots` that they take.

    What each declaration returns is for whoever counts: a slot, or a slot for each value of a label. `labels` are those
    that tell whole layouts apart.
    """

    def __init__(self, labels: tuple[str, ...] = ()) -> None:
        self.metrics: list[Metric] = []
        self.slots = 0
        self._labels = labels

    def counter(self, name: str, text: str) -> int:
        """Declare what only ever grows."""
        slot = self._take(1)
        self.metrics.append(Metric(name, "counter", text, self._labels, {(): slot}))
        return slot

    def gauge(self, name: str, text: str, own: bool = False) -> int:
        """Declare what goes up and down."""
        slot = self._take(1)
        self.metrics.append(Metric(name, "gauge", text, self._labels, {(): slot}, own=own))
        return slot

    def of_worker(
        self, kind: Literal["counter", "gauge"], name: str, text: str, unit: float = 1, shown: int | None = None
    ) -> int:
        """Declare what is told apart by worker: a slot of its own, or the one `shown`, which another metric sums."""
        slot = self._take(1) if shown is None else shown
        self.metrics.append(Metric(name, kind, text, self._labels, {(): slot}, unit=unit, per_worker=True))
        return slot

    def counters(self, name: str, text: str, label: str, values: Iterable[str]) -> dict[str, int]:
        """Declare a counter for each value of a label."""
        return {value: slot for (value,), slot in self.counters_by(name, text, {label: values}).items()}

    def counters_by(self, name: str, text: str, labels: dict[str, Iterable[str]]) -> dict[tuple[str, ...], int]:
        """Declare a counter for each combination of the values of several labels."""
        slots = {values: self._take(1) for values in product(*labels.values())}
        self.metrics.append(Metric(name, "counter", text, tuple(labels), slots))
        return slots

    def gauges(self, name: str, text: str, label: str, values: Iterable[str], own: bool = False) -> dict[str, int]:
        """Declare a gauge for each value of a label."""
        slots = {value: self._take(1) for value in values}
        by_label: dict[tuple[str, ...], int] = {(value,): slot for value, slot in slots.items()}
        self.metrics.append(Metric(name, "gauge", text, (label,), by_label, own=own))
        return slots

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        """Declare how many values lie up to each bound, in rising order."""
        first = self._take(len(buckets) + 2)
        self.metrics.append(Metric(name, "histogram", text, (), {(): first}, buckets))
        return Histogram(first, buckets)

    def window(self) -> int:
        """Return the first of the two slots of a `rows.Window`; no metric shows them."""
        return self._take(2)

    def _take(self, count: int) -> int:
        first = self.slots
        self.slots += count
        return first
