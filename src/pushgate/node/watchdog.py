"""The watchdog: finds workers that are stuck, by the ticks in their rows, and ends them.

What it counts are its own looks, not time: after a stall of the whole machine, or of the supervisor alone, it has
looked once, and nobody is stuck for that.
"""

import signal
from collections.abc import Sequence
from math import ceil
from typing import Protocol

from pushgate.log import get_logger
from pushgate.metrics.catalogue import WATCHDOG_KILLS, WORKER_TICKS
from pushgate.metrics.rows import Rows
from pushgate.node.loop import Loop

LOOK = 1.0
"""Seconds between two looks, or less where the limit is less than four of them."""
LAST_WORDS = 2
"""Looks that a stuck worker is given to write its stack, between SIGABRT and SIGKILL."""

_log = get_logger("supervisor", lifecycle=True)


class Watched(Protocol):
    """A worker's place, as the watchdog sees it: `pid` is 0 while no process is there."""

    index: int
    pid: int

    def kill(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process."""


class _Sight:
    """What was last seen of one worker, and for how many looks it has been the same."""

    __slots__ = ("pid", "silent", "ticks")

    def __init__(self) -> None:
        self.pid = 0
        self.ticks = 0
        self.silent = 0


class Watchdog:
    """Looks at the workers once in a while, from `start` on.

    One whose tick has not run for `seconds` gets SIGABRT, at which it writes its stack to standard error, and soon
    after SIGKILL. To start it again is the business of whoever buries it.
    """

    def __init__(self, workers: Sequence[Watched], rows: Rows, loop: Loop, seconds: float) -> None:
        self._workers = workers
        self._rows = rows
        self._loop = loop
        self._pause = min(LOOK, seconds / 4)
        self._limit = ceil(seconds / self._pause)
        self._sights = [_Sight() for _ in workers]

    def start(self) -> None:
        """Begin to look."""
        self._loop.after(self._pause, self._look)

    @property
    def silence(self) -> float:
        """For how many seconds a worker has not ticked, the one that has been silent longest."""
        return max(sight.silent for sight in self._sights) * self._pause

    def _look(self) -> None:
        self._loop.after(self._pause, self._look)
        for worker, sight in zip(self._workers, self._sights, strict=True):
            row = self._rows.row(worker.index)
            ticks = row[WORKER_TICKS]
            if not worker.pid or (worker.pid, ticks) != (sight.pid, sight.ticks):
                sight.pid, sight.ticks, sight.silent = worker.pid, ticks, 0
                continue
            sight.silent += 1
            if sight.silent == self._limit:
                _log.error("a worker is stuck", worker=worker.index, pid=worker.pid, seconds=sight.silent * self._pause)
                row[WATCHDOG_KILLS] += 1
                worker.kill(signal.SIGABRT)
            elif sight.silent == self._limit + LAST_WORDS:
                worker.kill(signal.SIGKILL)
