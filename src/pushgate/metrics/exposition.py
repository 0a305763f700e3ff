"""The rows as text for Prometheus: one answer for the whole node, whichever worker is asked."""

import platform
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pushgate import __version__
from pushgate.metrics.catalogue import CATALOGUE, TENANT_CATALOGUE, Metric
from pushgate.metrics.rows import Rows, tenant_slot

PREFIX = "pushgate_"
CONTENT_TYPE = "text/plain; version=0.0.4"
"""The media type of what `expose` returns; its charset is UTF-8."""


def expose(rows: Rows, tenants: Mapping[str, int]) -> bytes:
    """Return every metric of the catalogue, summed over all rows, and build information, as text for Prometheus.

    `tenants` are the numbers of the tenants, by name.
    """
    text: bytes = generate_latest(_Node(rows, tenants))
    return text


class _Node(Collector):
    """The rows as families of the Prometheus client, which knows the text format."""

    def __init__(self, rows: Rows, tenants: Mapping[str, int]) -> None:
        self._rows = rows
        self._tenants = tenants

    def collect(self) -> Iterator[Family]:
        for metric in CATALOGUE:
            yield _histogram(metric, self._rows) if metric.kind == "histogram" else _numbers(metric, self._rows)
        for metric in TENANT_CATALOGUE:
            family = _KINDS[metric.kind](PREFIX + metric.name, metric.help, labels=[metric.label])
            for name, number in self._tenants.items():
                family.add_metric([name], self._rows.total(tenant_slot(number, metric.slots[""])))
            yield family
        build = GaugeMetricFamily(f"{PREFIX}build_info", "What runs", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build


_KINDS: dict[str, type[CounterMetricFamily | GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def _numbers(metric: Metric, rows: Rows) -> Family:
    kind = _KINDS[metric.kind]
    if metric.per_worker:
        family = kind(PREFIX + metric.name, metric.help, labels=["worker"])
        for index in range(rows.count - 1):
            family.add_metric([str(index)], rows.row(index)[metric.slots[""]] * metric.unit)
        return family
    family = kind(PREFIX + metric.name, metric.help, labels=[metric.label] if metric.label else [])
    for value, slot in metric.slots.items():
        family.add_metric([value] if metric.label else [], rows.total(slot))
    return family


def _histogram(metric: Metric, rows: Rows) -> Family:
    """A histogram's slots are a count a bucket, one for what is above all bounds, and the sum in microseconds."""
    first = metric.slots[""]
    counted = 0
    buckets: list[tuple[str, float]] = []
    for index, bound in enumerate((*metric.buckets, float("inf"))):
        counted += rows.total(first + index)
        buckets.append(("+Inf" if bound == float("inf") else str(bound), counted))
    family = HistogramMetricFamily(PREFIX + metric.name, metric.help)
    family.add_metric([], buckets, rows.total(first + len(metric.buckets) + 1) / 1e6)
    return family
