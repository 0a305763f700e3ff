import gc
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushgate.metrics.catalogue import (
    GC_PAUSES,
    LOOP_LAG,
    WORKER_CPU,
    WORKER_FILES,
    WORKER_GC_PAUSE,
    WORKER_LAG,
    WORKER_MAX_FILES,
    WORKER_MEMORY,
    WORKER_START,
    WORKER_TICKS,
)
from pushgate.metrics.rows import Row, Rows
from pushgate.node.vitals import FILES_SLICE, WINDOW_TICKS, Vitals, count_files


@pytest.fixture
def row() -> Row:
    return Rows(1).row(0)


@pytest.fixture
def vitals(row: Row) -> Iterator[Vitals]:
    made = Vitals(row)
    yield made
    gc.callbacks.remove(made._note_collection)


def test_a_tick_measures_the_process(vitals: Vitals, row: Row) -> None:
    assert time.time() - 60 < row[WORKER_START] / 1e6 <= time.time()
    assert row[WORKER_MAX_FILES] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    cpu, files = row[WORKER_CPU], row[WORKER_FILES]
    assert 0 < cpu <= time.process_time() * 1e6, "from the beginning on"
    assert 10_000_000 < row[WORKER_MEMORY] < 10_000_000_000
    vitals.tick(0.0)
    with Path("/dev/null").open():
        vitals.tick(0.0)
        assert row[WORKER_FILES] == files + 1
    assert row[WORKER_CPU] >= cpu
    assert row[WORKER_TICKS] == 2


def test_the_cpu_time_of_a_successor_is_added(row: Row) -> None:
    row[WORKER_CPU] = 10**12
    vitals = Vitals(row)
    vitals.tick(0.0)
    gc.callbacks.remove(vitals._note_collection)
    assert row[WORKER_CPU] > 10**12


def test_the_worst_lag_is_seen_for_a_while_and_then_forgotten(vitals: Vitals, row: Row) -> None:
    vitals.tick(0.2)
    vitals.tick(0.5)
    vitals.tick(0.1)
    assert row[WORKER_LAG] == 500_000
    for _ in range(WINDOW_TICKS):
        vitals.tick(0.01)
    assert row[WORKER_LAG] == 500_000, "still within the time"
    for _ in range(WINDOW_TICKS):
        vitals.tick(0.01)
    assert row[WORKER_LAG] == 10_000
    assert sum(row[LOOP_LAG.first : LOOP_LAG.first + len(LOOP_LAG.buckets) + 1]) == 2 * WINDOW_TICKS + 3


def test_collections_are_measured(vitals: Vitals, row: Row) -> None:
    gc.collect()
    assert sum(row[GC_PAUSES.first : GC_PAUSES.first + len(GC_PAUSES.buckets) + 1]) >= 1
    assert row[WORKER_GC_PAUSE] > 0


def test_the_kernel_says_how_many_files_are_open() -> None:
    """Since Linux 6.2; the other way is tried below wherever this runs."""
    if not os.stat("/proc/self/fd").st_size:
        pytest.skip("this kernel does not say")
    assert next(count_files("/proc/self/fd")) == len(os.listdir("/proc/self/fd")) - 1


def test_where_the_kernel_does_not_say_they_are_counted_a_slice_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older /proc: the size of the directory is 0, and the listing counts itself."""

    class Silent:
        st_size = 0

    for number in range(FILES_SLICE * 2 + 6):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(os, "stat", lambda path: Silent)
    counts = count_files(str(tmp_path))
    for _ in range(2):
        assert [next(counts) for _ in range(3)] == [None, None, FILES_SLICE * 2 + 5]
