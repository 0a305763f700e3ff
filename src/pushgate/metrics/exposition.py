"""The rows as text for Prometheus: one answer for the whole node, whichever worker is asked."""

import platform
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pushgate import __version__
from pushgate.metrics.catalogue import CATALOGUE, TENANT_CATALOGUE
from pushgate.metrics.metric import Metric
from pushgate.metrics.rows import Rows, tenant_slot

PREFIX = "pushgate_"
CONTENT_TYPE = "text/plain; version=0.0.4"
"""The media type of what `expose` yields; its charset is UTF-8."""
SLICE = 128
"""Samples made and written at a time, which takes about a millisecond; with 1,024 tenants there are 4,000."""


def expose(rows: Rows, tenants: Mapping[str, int], node: str) -> Iterator[bytes]:
    """Yield every metric of the catalogue, summed over all rows, and what runs, as text for Prometheus.

    It comes in slices, so that the caller can let others run between two of them. `tenants` are the numbers of the
    tenants, by name; `node` is the node's name.
    """
    text = b""
    samples = 0
    for family, begun in _families(rows, tenants, node):
        text += _write(family, begun)
        samples += len(family.samples)
        if samples >= SLICE:
            yield text
            text, samples = b"", 0
    yield text


class _Part(NamedTuple):
    """A family of metrics, or some of its samples, of which others are written already when it was `begun`."""

    family: Family
    begun: bool = False


def _families(rows: Rows, tenants: Mapping[str, int], node: str) -> Iterator[_Part]:
    for metric in CATALOGUE:
        yield _Part(_histogram(metric, rows) if metric.kind == "histogram" else _numbers(metric, rows))
    numbers = list(tenants.items())
    for metric in TENANT_CATALOGUE:
        for start in range(0, max(1, len(numbers)), SLICE):
            yield _Part(_tenant_numbers(metric, rows, numbers[start : start + SLICE]), begun=start > 0)
    yield _Part(_fact("node_info", "The node", name=node))
    yield _Part(_fact("build_info", "What runs", version=__version__, python=platform.python_version()))


class _Only(Collector):
    """One family, for the Prometheus client, which knows the text format."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        yield self._family


def _write(family: Family, begun: bool) -> bytes:
    text: bytes = generate_latest(_Only(family))
    return text.split(b"\n", 2)[2] if begun else text  # help and type stand once


_KINDS: dict[str, type[CounterMetricFamily | GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def _numbers(metric: Metric, rows: Rows) -> Family:
    kind = _KINDS[metric.kind]
    if metric.per_worker:
        family = kind(PREFIX + metric.name, metric.help, labels=["worker"])
        for index in range(rows.count - 1):
            slot = metric.slots[()]
            value = rows.row(index)[slot] if metric.kind == "gauge" else rows.of_worker(index, slot)
            family.add_metric([str(index)], value * metric.unit)
        return family
    family = kind(PREFIX + metric.name, metric.help, labels=metric.labels)
    for values, slot in metric.slots.items():
        family.add_metric(values, rows.total(slot) * metric.unit)
    return family


def _tenant_numbers(metric: Metric, rows: Rows, numbers: list[tuple[str, int]]) -> Family:
    family = _KINDS[metric.kind](PREFIX + metric.name, metric.help, labels=metric.labels)
    for name, number in numbers:
        family.add_metric([name], rows.total(tenant_slot(number, metric.slots[()])))
    return family


def _histogram(metric: Metric, rows: Rows) -> Family:
    """A histogram's slots are a count a bucket, one for what is above all bounds, and the sum in microseconds."""
    first = metric.slots[()]
    counted = 0
    buckets: list[tuple[str, float]] = []
    for index, bound in enumerate((*metric.buckets, float("inf"))):
        counted += rows.total(first + index)
        buckets.append(("+Inf" if bound == float("inf") else str(bound), counted))
    family = HistogramMetricFamily(PREFIX + metric.name, metric.help)
    family.add_metric([], buckets, rows.total(first + len(metric.buckets) + 1) / 1e6)
    return family


def _fact(metric: str, text: str, **labels: str) -> Family:
    family = GaugeMetricFamily(PREFIX + metric, text, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family
