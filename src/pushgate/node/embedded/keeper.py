"""Keeping the embedded NATS server alive and well, within the supervisor's loop.

A server that could not write, to a full disk say, answers no publish any more, not even when there is room again: it
says so where its health is asked for, and only another start heals it. What it had answered is then there.
"""

import signal
from collections.abc import Callable

from pushgate.errors import StartError
from pushgate.log import get_logger
from pushgate.metrics.catalogue import CLUSTER_LEADER, CLUSTER_SERVERS, NATS_MAX_STORED, NATS_RESTARTS, NATS_STORED
from pushgate.metrics.rows import Row
from pushgate.node.back_off import BackOff
from pushgate.node.embedded.growing import Mover
from pushgate.node.embedded.probe import Health
from pushgate.node.embedded.server import NatsServer
from pushgate.node.embedded.server_log import NOT_THERE
from pushgate.node.loop import Loop

START_TIMEOUT = 10.0
"""Seconds that the server is given to start."""
LOOK = 0.05
"""Seconds between two looks at a server that starts again."""
HEALTH = 2.0
"""Seconds between two looks at its health."""
ILL = 3
"""Looks in a row that have to find it ill before it is started again."""
ROOM = 4 * 1024 * 1024
"""Bytes that have to be free on its disk for that: without room it would be ill again at once."""
GRACE = 5.0
"""Seconds that an ill one has to end by itself."""

REASONS = 3
"""Reasons for refusals that are told while the servers of the cluster stay the same: some hold a number each time."""

_log = get_logger("supervisor", lifecycle=True)


class NatsKeeper:
    """Starts a server, and again when it ends, until `let_go`; `moved` is called when it then has another port."""

    def __init__(
        self,
        nats: NatsServer,
        loop: Loop,
        row: Row,
        moved: Callable[[], None],
        cluster: int = 0,
        mover: Mover | None = None,
    ) -> None:
        """`cluster` is how many servers its cluster has, 0 where it is alone; `mover` brings what it had before."""
        self._nats = nats
        self._loop = loop
        self._row = row
        self._moved = moved
        self._back_off = BackOff()
        self._let_go = False
        self._ill = 0
        self._starts = 0
        self._cluster = cluster
        self._seen: tuple[frozenset[str], bool] | None = None
        self._told: set[str] = set()
        self._mover = mover

    @property
    def url(self) -> str:
        """Where it is, with the credential: not for logs."""
        return self._nats.url

    @property
    def lineage(self) -> str:
        """A text that is another one where it may have lost its last writes."""
        return self._nats.lineage

    def start(self) -> None:
        """Start it and wait until it is ready. Raises StartError."""
        self._start()
        self._nats.ready(START_TIMEOUT)
        if self._mover is not None:
            self._mover.start()
        self._examine()

    def let_go(self) -> None:
        """Do not start it again, nor what moves its messages."""
        self._let_go = True
        if self._mover is not None:
            self._mover.stop()

    def stop(self, grace: float) -> None:
        """End it: gently, and after `grace` seconds by force."""
        self._nats.stop(grace)

    def _start(self) -> None:
        self._nats.start()
        self._starts += 1
        self._ill = 0
        self._back_off.note_start()
        self._loop.watch(self._nats.pidfd, self._lose)

    def _lose(self) -> None:
        self._loop.unwatch(self._nats.pidfd)
        if self._let_go:
            return
        pause = self._back_off.pause()
        self._row[NATS_RESTARTS] += 1
        _log.error("nats-server ended", again_in=pause)
        self._loop.after(pause, self._restart)

    def _examine(self) -> None:
        """Ask it how it is, now and then; have one that is ill for good end, to be started again."""
        if self._let_go:
            return
        self._loop.after(HEALTH, self._examine)
        health = self._nats.examine()
        if self._cluster:
            self._note_cluster(health)
        if health.max_stored:
            self._row[NATS_STORED] = health.stored
            self._row[NATS_MAX_STORED] = min(health.max_stored, health.stored + self._nats.room)
        ailment = health.ailment
        self._ill = self._ill + 1 if ailment else 0
        if self._ill < ILL:
            return
        if self._nats.room < ROOM:
            if self._ill == ILL:
                _log.error("nats-server is ill, and its disk is full: make room", reason=ailment)
            return
        _log.error("nats-server is ill: it starts again", reason=ailment)
        self._ill = 0
        starts = self._starts
        self._nats.signal(signal.SIGTERM)
        self._loop.after(GRACE, lambda: self._kill(starts))

    def _note_cluster(self, health: Health) -> None:
        """Count the servers of the cluster, and tell when they change."""
        self._row[CLUSTER_SERVERS] = there = len(health.peers) + 1
        self._row[CLUSTER_LEADER] = bool(health.leader)
        reason = self._nats.route_trouble() if there < self._cluster else ""
        seen = (health.peers, bool(health.leader))
        refused = bool(reason) and not reason.startswith(NOT_THERE)  # who is not there is told of, and why but once
        if seen != self._seen:
            self._told.clear()
        elif not refused or reason in self._told or len(self._told) == REASONS:
            return
        self._seen = seen
        if refused:
            self._told.add(reason)
        if there >= self._cluster and health.leader:
            _log.info("the cluster is whole", servers=sorted(health.peers), leader=health.leader)
        else:
            _log.warning(
                "the cluster misses servers" if health.leader else "the cluster has no quorum",
                servers=f"{there} of {self._cluster}",
                others=sorted(health.peers),
                **{"reason": reason} if reason else {},
            )

    def _kill(self, starts: int) -> None:
        """End by force the one that was started as the `starts`-th, should it still be there."""
        if self._starts == starts:
            self._nats.signal(signal.SIGKILL)

    def _restart(self) -> None:
        if self._let_go:
            return
        try:
            self._start()
        except StartError as error:
            _log.error("nats-server does not start", reason=str(error))
            self._loop.after(self._back_off.pause(), self._restart)
        else:
            self._loop.after(LOOK, self._look)

    def _look(self) -> None:
        """See whether a restarted server came back on its port; workers reconnect to that one by themselves."""
        try:
            if not self._nats.is_ready():
                self._loop.after(LOOK, self._look)
                return
        except StartError:
            return  # it ended again, and its pidfd says so
        if self._nats.moved:
            _log.warning("nats-server has another port now: the workers start again")
            self._moved()
