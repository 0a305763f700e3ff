"""The rows of another generation of processes, perhaps of another version: found by the names of their metrics."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from mmap import ACCESS_READ, mmap

from msgspec import DecodeError, Struct, msgpack

from pushgate.metrics.catalogue import CATALOGUE, NODE_SLOTS, TENANT_CATALOGUE, TENANT_SLOTS
from pushgate.metrics.metric import Metric
from pushgate.metrics.rows import ROW_SLOTS, Rows, tenant_slot


class Told(Struct, frozen=True):
    """What a slot counts: a metric's sample, by its name and the values of its labels, or a part of a histogram."""

    slot: int
    name: str
    labels: tuple[str, ...] = ()
    bound: float = 0.0
    """The bound of a histogram's bucket; infinite for what is above all, negative for the sum."""


class Description(Struct, frozen=True):
    """Where everything is in the file of somebody's rows."""

    rows: int
    places: int
    row_slots: int
    tenant_slots: int
    first_tenant: int
    samples: list[Told]
    tenant_samples: list[Told]
    tenants: dict[str, int]


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Description).decode


def describe(rows: Rows, tenants: Mapping[str, int]) -> bytes:
    """Return a description of rows for another generation; `tenants` are the tenants' numbers."""
    samples = [told for metric in CATALOGUE if _is_shared(metric) for told in _tell(metric)]
    tenant_samples = [told for metric in TENANT_CATALOGUE for told in _tell(metric)]
    return _encode(
        Description(
            rows.count, rows.places, ROW_SLOTS, TENANT_SLOTS, NODE_SLOTS, samples, tenant_samples, dict(tenants)
        )
    )


class OtherRows:
    """The rows of another generation, as `describe` told of them; `tenants` are our own numbers of the tenants.

    Metrics, labels and tenants that only one of the two knows count as 0. Raises ValueError for a description that is
    none.
    """

    def __init__(self, file: int, description: bytes, tenants: Mapping[str, int]) -> None:
        try:
            told = _decode(description)
        except DecodeError as error:
            raise ValueError(f"not a description of rows: {error}") from None
        self.places = told.places
        self._rows = told.rows
        self._stride = told.row_slots
        size = (told.rows + told.places) * told.row_slots
        self._all = memoryview(mmap(file, size * 8, access=ACCESS_READ)).cast("q")
        self._slots = _match(CATALOGUE, told.samples)
        for slot, theirs in _match(TENANT_CATALOGUE, told.tenant_samples).items():
            for name in told.tenants.keys() & tenants.keys():
                first = told.first_tenant + told.tenants[name] * told.tenant_slots
                self._slots[tenant_slot(tenants[name], slot)] = [first + each for each in theirs]

    def total(self, slot: int) -> int:
        """Return the sum of a slot of ours over all their rows."""
        return sum(sum(self._all[each :: self._stride]) for each in self._slots.get(slot, ()))

    def of_worker(self, index: int, slot: int) -> int:
        """Return what their worker of this index, and those that had the index before it, have in a slot of ours."""
        if index >= self.places:
            return 0
        rows = [self._rows + index]
        if index < self._rows - 1:
            rows.append(index)
        return sum(self._all[row * self._stride + each] for row in rows for each in self._slots.get(slot, ()))


def _is_shared(metric: Metric) -> bool:
    """Whether what two generations have of it is added up."""
    return not metric.own and not (metric.per_worker and metric.kind == "gauge")


def _tell(metric: Metric) -> Iterator[Told]:
    for labels, slot in metric.slots.items():
        if metric.kind != "histogram":
            yield Told(slot, metric.name, labels)
            continue
        for index, bound in enumerate((*metric.buckets, float("inf"), -1.0)):
            yield Told(slot + index, metric.name, labels, bound)


def _match(catalogue: list[Metric], theirs: list[Told]) -> dict[int, list[int]]:
    """Return by our slots which of theirs they count; a bucket with a bound of its own: in the next larger."""
    ours = {(metric.name, labels): (metric, slot) for metric in catalogue for labels, slot in metric.slots.items()}
    matched: defaultdict[int, list[int]] = defaultdict(list)
    for told in theirs:
        found = ours.get((told.name, told.labels))
        if found is None or not _is_shared(found[0]):
            continue
        metric, slot = found
        if metric.kind == "histogram":
            slot += len(metric.buckets) + 1 if told.bound < 0 else bisect_left(metric.buckets, told.bound)
        matched[slot].append(told.slot)
    return dict(matched)
