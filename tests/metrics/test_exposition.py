import platform

from prometheus_client.parser import text_string_to_metric_families

from pushgate import __version__
from pushgate.metrics.catalogue import (
    CATALOGUE,
    CLOSED,
    CONNECTIONS,
    DELIVERED,
    LOOP_LAG,
    PUSHES,
    TENANT_CATALOGUE,
    TENANT_CONNECTIONS,
    TENANT_PUSHES,
    WORKER_CPU,
    WORKER_MEMORY,
)
from pushgate.metrics.exposition import CONTENT_TYPE, SLICE, expose
from pushgate.metrics.rows import Rows, observe, tenant_slot

Sample = tuple[str, tuple[tuple[str, str], ...]]


def text_of(rows: Rows, tenants: dict[str, int] | None = None) -> str:
    return b"".join(expose(rows, tenants or {}, "node-1")).decode()


def samples(rows: Rows, tenants: dict[str, int] | None = None) -> dict[Sample, float]:
    families = text_string_to_metric_families(text_of(rows, tenants))
    return {
        (sample.name, tuple(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_rows_are_summed() -> None:
    rows = Rows(2)
    for index, count in enumerate((5, 7, 1)):
        rows.row(index)[CONNECTIONS] = count
        rows.row(index)[DELIVERED] = count * 10
        rows.row(index)[CLOSED["1000"]] = 1
    seen = samples(rows)
    assert seen["pushgate_connections", ()] == 13
    assert seen["pushgate_messages_delivered_total", ()] == 130
    assert seen["pushgate_connections_closed_total", (("code", "1000"),)] == 3
    assert seen["pushgate_connections_closed_total", (("code", "4000"),)] == 0


def test_histograms() -> None:
    rows = Rows(1)
    for seconds in (0.0005, 0.001, 0.002, 0.6, 100.0):
        observe(rows.row(0), LOOP_LAG, seconds)
    seen = samples(rows)
    name = "pushgate_loop_lag_seconds"
    counts = [seen[f"{name}_bucket", (("le", str(bound)),)] for bound in LOOP_LAG.buckets]
    assert counts == sorted(counts)
    assert seen[f"{name}_bucket", (("le", "0.001"),)] == 2
    assert seen[f"{name}_bucket", (("le", "2.5"),)] == 4
    assert seen[f"{name}_bucket", (("le", "+Inf"),)] == seen[f"{name}_count", ()] == 5
    assert abs(seen[f"{name}_sum", ()] - 100.6035) < 1e-6


def test_everything_is_there_with_its_kind_and_help() -> None:
    families = {family.name: family for family in text_string_to_metric_families(text_of(Rows(1)))}
    for metric in (*CATALOGUE, *TENANT_CATALOGUE):
        family = families[f"pushgate_{metric.name.removesuffix('_total')}"]
        assert (family.type, family.documentation) == (metric.kind, metric.help)


def test_what_runs() -> None:
    seen = {name: dict(pairs) for name, pairs in samples(Rows(1))}
    assert seen["pushgate_build_info"] == {"version": __version__, "python": platform.python_version()}
    assert seen["pushgate_node_info"] == {"name": "node-1"}
    assert CONTENT_TYPE == "text/plain; version=0.0.4"


def test_two_labels() -> None:
    rows = Rows(1)
    rows.row(0)[PUSHES["live", "users"]] = 5
    seen = samples(rows)
    assert seen["pushgate_pushes_accepted_total", (("qos", "live"), ("target", "users"))] == 5
    assert seen["pushgate_pushes_accepted_total", (("qos", "live"), ("target", "user"))] == 0


def test_it_comes_in_slices_that_are_one_text() -> None:
    rows = Rows(2)
    tenants = {f"t{number}": number for number in range(1000)}
    rows.row(1)[tenant_slot(999, TENANT_PUSHES)] = 7
    parts = list(expose(rows, tenants, "node-1"))
    lines = [sum(not line.startswith(b"#") for line in part.splitlines()) for part in parts]
    assert sum(lines) > 4000
    assert max(lines) < 2 * SLICE
    text = b"".join(parts).decode()
    assert text.count("# TYPE pushgate_tenant_pushes_accepted_total counter\n") == 1
    assert len(set(text.splitlines())) == len(text.splitlines())
    seen = samples(rows, tenants)
    assert seen["pushgate_tenant_pushes_accepted_total", (("tenant", "t999"),)] == 7
    assert sum(name == "pushgate_tenant_connections" for name, _ in seen) == 1000


def test_a_workers_own_metrics_are_told_apart() -> None:
    rows = Rows(2)
    for index in range(2):
        rows.row(index)[WORKER_MEMORY] = 1000 + index
        rows.row(index)[WORKER_CPU] = 1_500_000
        rows.row(index)[CONNECTIONS] = 3 + index
    seen = samples(rows)
    assert seen["pushgate_worker_connections", (("worker", "1"),)] == 4
    assert seen["pushgate_connections", ()] == 7, "the same slot, summed"
    assert seen["pushgate_worker_memory_bytes", (("worker", "1"),)] == 1001
    assert seen["pushgate_worker_cpu_seconds_total", (("worker", "0"),)] == 1.5
    assert ("pushgate_worker_memory_bytes", (("worker", "2"),)) not in seen, "the supervisor is no worker"


def test_tenants_are_told_apart_and_no_counter_falls_with_a_worker() -> None:
    rows = Rows(2)
    for index, row in enumerate((rows.row(0), rows.row(1))):
        row[tenant_slot(3, TENANT_CONNECTIONS)] = 10 + index
        row[tenant_slot(3, TENANT_PUSHES)] = 100 + index
        row[tenant_slot(1023, TENANT_CONNECTIONS)] = 7
    rows.clear_gauges(1)
    seen = samples(rows, {"acme": 3, "last": 1023, "empty": 0})
    assert seen["pushgate_tenant_connections", (("tenant", "acme"),)] == 10
    assert seen["pushgate_tenant_connections", (("tenant", "last"),)] == 7
    assert seen["pushgate_tenant_connections", (("tenant", "empty"),)] == 0
    assert seen["pushgate_tenant_pushes_accepted_total", (("tenant", "acme"),)] == 201
