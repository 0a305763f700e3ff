"""What a worker measures of itself: its ticks and their lag, collections, CPU, memory and open files."""

import gc
import os
import resource
import time
from collections.abc import Iterator
from itertools import islice

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
from pushgate.metrics.rows import Row, observe

WINDOW_TICKS = 20
"""Ticks in half of the time over which the worst of something is shown."""
PAGE = os.sysconf("SC_PAGE_SIZE")
FILES = "/proc/self/fd"
FILES_SLICE = 256
"""Entries of /proc/self/fd counted in a tick, where they have to be counted: 1 microsecond each."""


class Vitals:
    """A worker's measures, written to its row; `tick` is called with each tick of the worker."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._cpu = 0  # microseconds that are in the row already
        self._began = 0.0
        self._lag = _Worst(row, WORKER_LAG)
        self._gc_pause = _Worst(row, WORKER_GC_PAUSE)
        self._files = count_files(FILES)
        self._memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._row[WORKER_MAX_FILES] = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._row[WORKER_START] = time.time_ns() // 1000
        gc.callbacks.append(self._note_collection)
        self._measure()

    def tick(self, late: float) -> None:
        """Measure; this tick came `late` seconds later than it was due."""
        row = self._row
        row[WORKER_TICKS] += 1
        observe(row, LOOP_LAG, late)
        self._lag.note(late)
        self._lag.tick()
        self._gc_pause.tick()
        self._measure()

    def _measure(self) -> None:
        row = self._row
        cpu = time.process_time_ns() // 1000
        row[WORKER_CPU] += cpu - self._cpu  # added, not set: a successor goes on where this worker ends
        self._cpu = cpu
        row[WORKER_MEMORY] = int(os.pread(self._memory, 128, 0).split()[1]) * PAGE
        files = next(self._files)
        if files is not None:
            row[WORKER_FILES] = files

    def _note_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.monotonic()
        else:
            pause = time.monotonic() - self._began
            observe(self._row, GC_PAUSES, pause)
            self._gc_pause.note(pause)


class _Worst:
    """The largest of what was noted within the last WINDOW_TICKS to twice as many, in a slot, in microseconds."""

    def __init__(self, row: Row, slot: int) -> None:
        self._row = row
        self._slot = slot
        self._ticks = 0
        self._young = 0

    def note(self, seconds: float) -> None:
        value = int(seconds * 1e6)
        self._young = max(self._young, value)
        self._row[self._slot] = max(self._row[self._slot], value)

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks == WINDOW_TICKS:
            self._row[self._slot], self._young, self._ticks = self._young, 0, 0


def count_files(directory: str) -> Iterator[int | None]:
    """Yield, for ever, how many files this process has open, or None where that is not counted to its end yet.

    `directory` is /proc/self/fd. Since Linux 6.2 its size says it. Before, its entries are counted, a slice a time:
    15,000 at once would take 14 ms.
    """
    while True:
        told = os.stat(directory).st_size
        if told:
            yield told
            continue
        counted = -1  # the listing has itself open
        with os.scandir(directory) as entries:
            while (seen := sum(1 for _ in islice(entries, FILES_SLICE))) == FILES_SLICE:
                counted += seen
                yield None
        yield counted + seen
