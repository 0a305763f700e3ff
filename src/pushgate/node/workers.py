"""The supervisor's workers: started, heard, and started again when they die."""

import signal
from collections.abc import Callable
from typing import Protocol

from pushgate.log import get_logger
from pushgate.metrics.catalogue import WORKER_RESTARTS
from pushgate.metrics.rows import Rows
from pushgate.node.children import Child
from pushgate.node.control import RETIRE, STOP, Said
from pushgate.node.loop import Loop
from pushgate.node.plan import WorkerPlan
from pushgate.node.reload import Settings
from pushgate.sockets.addresses import AddressCounts

_log = get_logger("supervisor", lifecycle=True)


class Leader(Protocol):
    """Who leads an upgrade."""

    def hear_worker(self, child: Child, said: Said) -> None:
        """A worker said something."""

    def lose_worker(self, child: Child) -> bool:
        """A worker has died; returns whether it is to be started again."""


class _Nobody:
    """Nobody: workers that die are started again."""

    def hear_worker(self, child: Child, said: Said) -> None: ...

    def lose_worker(self, child: Child) -> bool:
        return True


NOBODY = _Nobody()
"""Nobody leads an upgrade."""


class Workers:
    """All workers of the node. `plan_of` says what one of them is started with, `on_ready` is called when one is ready.

    Until `stop`, one that ends is started again: at once, and with growing pauses while it keeps dying.
    """

    def __init__(
        self,
        count: int,
        plan_of: Callable[[int], WorkerPlan],
        rows: Rows,
        addresses: AddressCounts,
        loop: Loop,
        on_ready: Callable[[], None],
    ) -> None:
        self.children = [Child(index) for index in range(count)]
        self._plan_of = plan_of
        self._rows = rows
        self._addresses = addresses
        self._loop = loop
        self._on_ready = on_ready
        self._stopping = False
        self.leader: Leader = NOBODY
        """Who is told what they say, and of those that died, while an upgrade is under way."""

    @property
    def running(self) -> bool:
        """Whether any process is left."""
        return any(child.pid for child in self.children)

    @property
    def ready(self) -> int:
        """How many of them are ready."""
        return sum(child.ready for child in self.children)

    def start(self) -> None:
        """Start them all."""
        for child in self.children:
            self._fork(child)

    def reload(self, settings: Settings) -> None:
        """Give them new settings."""
        for child in self.children:
            child.reload(settings)

    def say(self, word: bytes, body: bytes = b"") -> None:
        """Say a word to all of them."""
        for child in self.children:
            child.say(word, body)

    def stop(self) -> None:
        """Ask them to stop gracefully, and start none again."""
        self._stopping = True
        self.say(STOP)

    def retire(self) -> None:
        """Have them come to an end in their own time, and start none again: another generation has their sessions."""
        self._stopping = True
        self.say(RETIRE)

    def start_missing(self) -> None:
        """Start those that were not started again."""
        for child in self.children:
            if not child.pid:
                self._fork(child)

    def kill(self, number: signal.Signals) -> None:
        """Send them all a signal."""
        for child in self.children:
            child.kill(number)

    def bury(self) -> None:
        """Take note of those that have ended."""
        for child in self.children:
            pid = child.pid
            status = child.bury()
            if status is None:
                continue
            self._rows.clear_gauges(child.index)
            self._addresses.clear(child.index)
            if self._stopping or not self.leader.lose_worker(child):
                continue
            pause = child.back_off.pause()
            self._rows.row(child.index)[WORKER_RESTARTS] += 1
            _log.error("a worker ended", worker=child.index, pid=pid, status=status, again_in=pause)
            self._loop.after(pause, lambda child=child: self._fork(child))  # type: ignore[misc]

    def _fork(self, child: Child) -> None:
        if self._stopping:
            return
        try:
            child.fork(self._plan_of(child.index))
            _log.debug("a worker is started", worker=child.index, pid=child.pid)
        except OSError as error:
            pause = child.back_off.pause()
            _log.error("a worker cannot be started", worker=child.index, reason=error.strerror, again_in=pause)
            self._loop.after(pause, lambda: self._fork(child))
            return
        assert child.control is not None
        self._loop.watch(child.control, lambda: self._hear(child))

    def _hear(self, child: Child) -> None:
        assert child.control is not None
        was_ready = child.ready
        said = child.hear()
        if said is None:
            self._loop.unwatch(child.control)
            child.close_control()
            return
        self.leader.hear_worker(child, said)
        if child.ready and not was_ready:
            _log.info("a worker is ready", worker=child.index, pid=child.pid)
            self._on_ready()
