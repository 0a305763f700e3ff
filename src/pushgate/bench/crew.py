"""The generator's processes, as the one that started them sees them: forked, told, watched, ended."""

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType

from pushgate.bench.options import CALM, BenchError, Calls, Common, Share, Unrest, process_room
from pushgate.bench.totals import Progress, Totals
from pushgate.bench.worker import Worker

_RECORD_EVERY = 0.25

Show = Callable[[Progress], None]
"""Is given the summed progress a few times a second."""


def divide(
    common: Common,
    connections: int,
    idle: int = 0,
    calls: Calls | None = None,
    missed: int = 0,
    unrest: Unrest = CALM,
) -> list[Share]:
    """Share the work out over `common.processes`, or more where one may not open so many files.

    A user's connections stay together. Raises BenchError when one user has more than a process may hold.
    """
    per_user = common.per_user
    users = -(-connections // per_user)
    callers = calls.callers if calls else 0
    room = process_room() - per_user  # a share may be one user larger than the mean
    if room < 1:
        raise BenchError(f"a process may hold {process_room()} connections here, and one user has {per_user}")
    others = unrest.churning + unrest.stalling
    processes = max(common.processes, -(-(connections + idle + others + callers) // room))
    processes = max(1, min(processes, users + idle, *([callers] if calls else [])))
    shares = []
    first = first_user = 0
    for index in range(processes):
        part = _part(users, index, processes)
        count = min(part * per_user, connections - first_user * per_user)
        own_idle = _part(idle, index, processes)
        own = calls and Calls(_part(callers, index, processes), calls.seconds, calls.size, calls.rate / processes)
        churning = _part(unrest.churning, index, processes)
        churn = unrest.churn * churning / max(1, unrest.churning)
        own_unrest = Unrest(churning, churn, _part(unrest.stalling, index, processes))
        shares.append(Share(first, first_user, count, own_idle, own, missed, own_unrest))
        first += shares[-1].connections
        first_user += part
    return shares


def _part(total: int, index: int, parts: int) -> int:
    """The size of one of nearly equal parts."""
    return total * (index + 1) // parts - total * index // parts


class Crew:
    """A context: generator processes, each with its share, which end when it is left or when this process ends."""

    def __init__(self, common: Common, shares: list[Share]) -> None:
        """Forks them; they sign their tokens and wait. Raises BenchError when one ends early."""
        if common.pin is not None:
            os.sched_setaffinity(0, {common.pin})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._pipes: list[Connection] = []
        self._pids: list[int] = []
        self._commands = 0
        window = max(1, common.window // len(shares))
        self._latest: dict[Connection, Progress] = {}
        self._before: list[float] = []
        self._told = 0.0
        self._peak = 0.0
        self._began = time.monotonic()
        self.series: list[tuple[float, Progress]] = []
        """How far all were, a few times a second: seconds since the start, and their progress."""
        try:
            for share in shares:
                self._fork(common, share, window)
            self.watch(lambda progress: progress.command == 0, timeout=600)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and wait until they have ended."""
        for pipe in self._pipes:
            try:
                pipe.send("end")
            except OSError:
                pass
            pipe.close()
        for pid in self._pids:
            os.waitpid(pid, 0)

    @property
    def pids(self) -> tuple[int, ...]:
        """The generator's processes."""
        return tuple(self._pids)

    @property
    def busiest(self) -> float:
        """The highest share of one CPU that a process used in any phase so far; near 1 it was the bottleneck."""
        return self._peak

    def tell(self, command: str) -> None:
        """Give a command to all and wait until each has begun to obey it."""
        self._commands += 1
        self._before = [self._latest[pipe].cpu for pipe in self._pipes]
        self._told = time.monotonic()
        for pipe in self._pipes:
            self._send(pipe, command)
        self.watch(lambda progress: progress.command >= self._commands, timeout=60)

    def finish(self, timeout: float, show: Show | None = None, quiet: float = 0.0) -> bool:
        """Wait until all are done with the present phase; False when they were not within `timeout` seconds.

        With `quiet` it is also over when no message has come for so many seconds.
        """
        done = self.watch(lambda progress: progress.done, timeout, show, quiet)
        wall = time.monotonic() - self._told
        if wall > 0.05:  # less is too little to tell
            used = (self._latest[pipe].cpu - before for pipe, before in zip(self._pipes, self._before, strict=True))
            self._peak = max(self._peak, *(seconds / wall for seconds in used))
        return done

    def watch(
        self, until: Callable[[Progress], bool], timeout: float, show: Show | None = None, quiet: float = 0.0
    ) -> bool:
        """Take progress until it holds for all, or time is over (False). Raises BenchError when a process ended."""
        deadline = time.monotonic() + timeout
        messages, changed = -1, time.monotonic()
        while not all(until(progress) for progress in self._latest.values()):
            now = time.monotonic()
            if now >= deadline or (quiet and now - changed > quiet):
                return False
            for pipe in wait(self._pipes, min(deadline - now, 0.25)):
                assert isinstance(pipe, Connection)
                self._latest[pipe] = self._receive(pipe)
            progress = self.progress()
            self._record(time.monotonic() - self._began, progress)
            if progress.messages != messages:
                messages, changed = progress.messages, time.monotonic()
            if show:
                show(progress)
        return True

    def progress(self) -> Progress:
        """The progress of all together."""
        each = list(self._latest.values())
        columns = list(zip(*each, strict=True))
        opened, failed, lost, messages, answers = (sum(column) for column in columns[2:7])
        return Progress(
            self._commands,
            all(columns[1]),
            opened,
            failed,
            lost,
            messages,
            answers,
            max(columns[7]),
            sum(columns[8]),
        )

    def _record(self, when: float, progress: Progress) -> None:
        if not self.series or when - self.series[-1][0] >= _RECORD_EVERY:
            self.series.append((when, progress))

    def totals(self) -> Totals:
        """The totals of all together."""
        self._commands += 1
        totals = Totals()
        for pipe in self._pipes:
            self._send(pipe, "report")
            while isinstance(answer := self._receive_any(pipe), Progress):
                self._latest[pipe] = answer
            totals.merge(answer)
        return totals

    def _send(self, pipe: Connection, command: str) -> None:
        try:
            pipe.send(command)
        except OSError:
            raise BenchError("a generator process ended early") from None

    def _receive(self, pipe: Connection) -> Progress:
        answer = self._receive_any(pipe)
        assert isinstance(answer, Progress)
        return answer

    def _receive_any(self, pipe: Connection) -> Progress | Totals:
        try:
            answer: Progress | Totals = pipe.recv()
        except (EOFError, OSError):
            raise BenchError("a generator process ended early") from None
        return answer

    def _fork(self, common: Common, share: Share, window: int) -> None:
        ours, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            theirs.close()
            self._pipes.append(ours)
            self._latest[ours] = Progress(command=-1)
            self._pids.append(pid)
            return
        status = 1
        try:
            # Else the end of this process's siblings' pipes would not show when the parent ends.
            for pipe in (*self._pipes, ours):
                pipe.close()
            # Where both ends share the CPUs, each message would interrupt its writer to be read alone.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            Worker(theirs, common, share, window).run()
            status = 0
        except (KeyboardInterrupt, BrokenPipeError):
            pass  # whoever started this was interrupted, or is gone
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
