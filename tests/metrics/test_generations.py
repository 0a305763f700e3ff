"""Two generations of processes share what they counted; nothing is counted twice, and no counter falls."""

import os
from collections.abc import Iterator

import pytest
from msgspec import msgpack, structs

from pushgate.metrics.catalogue import (
    BUS_CONNECTED,
    CLOSED,
    CONNECTIONS,
    DELIVERED,
    HANDSHAKES,
    LOOP_LAG,
    NODE_START,
    RELOADS,
    TENANT_DELIVERED,
    TENANT_INBOX,
    WORKER_MEMORY,
    WORKER_TICKS,
)
from pushgate.metrics.exposition import expose
from pushgate.metrics.generations import Description, OtherRows, Told, describe
from pushgate.metrics.rows import Rows, observe, tenant_slot


class Generation:
    """The rows of one generation, and how another one sees them."""

    def __init__(self, workers: int, before: "Generation | None" = None, **tenants: int) -> None:
        self.tenants = tenants
        predecessor = before.seen_by(tenants) if before is not None else None
        self.file = os.memfd_create("rows", os.MFD_CLOEXEC)
        os.ftruncate(self.file, Rows.file_size(workers, predecessor))
        self.rows = Rows(workers, self.file, predecessor)

    def seen_by(self, tenants: dict[str, int]) -> OtherRows:
        return OtherRows(self.file, describe(self.rows, self.tenants), tenants)


@pytest.fixture
def files() -> Iterator[list[int]]:
    before = set(os.listdir("/proc/self/fd"))
    yield []
    for name in set(os.listdir("/proc/self/fd")) - before:
        try:
            os.close(int(name))
        except OSError:
            pass  # the listing's own


pytestmark = pytest.mark.usefixtures("files")


def counters(rows: Rows, tenants: dict[str, int]) -> dict[str, float]:
    """Return the counters of a scrape: what may never fall."""
    found, kinds = {}, {}
    for line in b"".join(expose(rows, tenants, "node")).decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            kinds[name] = kind
        elif not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            name = key.partition("{")[0]
            if kinds.get(name) == "counter" or name.endswith(("_bucket", "_count", "_sum")):
                found[key] = float(value)
    return found


def test_both_generations_say_what_both_have() -> None:
    old = Generation(2, acme=0, kept=1)
    new = Generation(3, old, kept=0, fresh=1)
    old.rows.successor = new.seen_by(old.tenants)
    for generation, value in (old, 10), (new, 1):
        row = generation.rows.row(1)
        row[DELIVERED] = row[CLOSED["1000"]] = row[CONNECTIONS] = row[WORKER_TICKS] = value
        row[BUS_CONNECTED] = row[WORKER_MEMORY] = row[HANDSHAKES] = value
        for slot in (TENANT_DELIVERED, TENANT_INBOX):
            row[tenant_slot(generation.tenants["kept"], slot)] = value
        observe(row, LOOP_LAG, 0.004)
        observe(row, LOOP_LAG, 100.0)
    old.rows.row(2)[RELOADS["done"]] = 3  # its supervisor's
    old.rows.row(2)[NODE_START] = 5
    for generation, own in (old, 10), (new, 1):
        rows = generation.rows
        assert [rows.total(slot) for slot in (DELIVERED, CLOSED["1000"], CONNECTIONS)] == [11, 11, 11]
        assert rows.total(RELOADS["done"]) == 3
        assert rows.of_worker(1, WORKER_TICKS) == 11
        assert rows.total(BUS_CONNECTED) == own, "what a generation says of itself"
        assert rows.total(tenant_slot(generation.tenants["kept"], TENANT_DELIVERED)) == 11
        assert rows.total(tenant_slot(generation.tenants["kept"], TENANT_INBOX)) == own, "both look at one inbox"
        seen = counters(rows, generation.tenants)
        assert seen['pushgate_loop_lag_seconds_bucket{le="0.005"}'] == 2
        assert seen["pushgate_loop_lag_seconds_count"] == 4
    assert new.rows.total(NODE_START) == 0
    assert old.rows.row(1)[HANDSHAKES] == 10, "windows are no metrics"
    assert new.rows.total(tenant_slot(1, TENANT_DELIVERED)) == 0


def test_what_the_old_one_counted_is_carried_on_through_any_number_of_generations() -> None:
    generation, before = None, dict[str, float]()
    for step, workers in enumerate((2, 3, 1, 1, 4)):
        generation = Generation(workers, generation, acme=step, late=step + 1)
        rows = generation.rows
        for index in range(workers + 1):
            rows.row(index)[DELIVERED] += index + 1
            rows.row(index)[tenant_slot(step, TENANT_DELIVERED)] += index + 1
            observe(rows.row(index), LOOP_LAG, 0.004)
        rows.row(0)[WORKER_TICKS] += 7
        rows.row(0)[CONNECTIONS] = 5
        now = counters(rows, generation.tenants)
        assert all(now.get(key, value) >= value for key, value in before.items())
        total = rows.total(DELIVERED)
        rows.clear_gauges(0)
        rows.fold()
        assert rows.total(DELIVERED) == total
        before = counters(rows, generation.tenants)
        assert before == now
        assert rows.of_worker(0, WORKER_TICKS) == 7 * (step + 1)
    assert generation is not None
    assert generation.rows.total(DELIVERED) == sum(sum(range(1, workers + 2)) for workers in (2, 3, 1, 1, 4))
    assert generation.rows.total(tenant_slot(4, TENANT_DELIVERED)) == generation.rows.total(DELIVERED)
    assert generation.rows.total(CONNECTIONS) == 0


def test_another_version_has_other_slots_bounds_and_metrics() -> None:
    """What the two have in common is found by name; a histogram's buckets go into the next larger."""
    file = os.memfd_create("rows")
    samples = [
        Told(0, "messages_delivered_total"),
        Told(1, "connections_closed_total", ("1000",)),
        Told(2, "connections_closed_total", ("999",)),
        Told(3, "of_another_time_total"),
        Told(4, "loop_lag_seconds", (), 0.002),
        Told(5, "loop_lag_seconds", (), 50.0),
        Told(6, "loop_lag_seconds", (), float("inf")),
        Told(7, "loop_lag_seconds", (), -1.0),
        Told(8, "node_start_time_seconds"),
    ]
    description = Description(1, 1, 12, 1, 9, samples, [Told(0, "tenant_messages_delivered_total")], {"a": 2})
    os.pwrite(file, b"".join(value.to_bytes(8, "little") for value in range(100, 124)), 0)
    other = OtherRows(file, msgpack.encode(description), {"a": 5})
    assert other.total(DELIVERED) == 100 + 112
    assert other.total(CLOSED["1000"]) == 101 + 113
    assert other.total(LOOP_LAG.first + 1) == 104 + 116
    assert other.total(LOOP_LAG.first + len(LOOP_LAG.buckets)) == 105 + 106 + 117 + 118
    assert other.total(LOOP_LAG.first + len(LOOP_LAG.buckets) + 1) == 107 + 119
    assert other.total(NODE_START) == 0
    assert other.total(tenant_slot(5, TENANT_DELIVERED)) == 111 + 123
    assert other.total(tenant_slot(2, TENANT_DELIVERED)) == 0
    assert other.of_worker(1, DELIVERED) == 0
    newer = {**structs.asdict(description), "of_a_later_version": 1}
    assert OtherRows(file, msgpack.encode(newer), {}).total(DELIVERED) == 212
    with pytest.raises(ValueError, match="not a description"):
        OtherRows(file, b"\xc1", {})
