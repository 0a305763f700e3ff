"""Keeping the embedded NATS server alive, within the supervisor's selector loop."""

import selectors
from collections.abc import Callable

from pushgate.errors import StartError
from pushgate.log import get_logger
from pushgate.metrics.catalogue import NATS_RESTARTS
from pushgate.metrics.rows import Row
from pushgate.node.nats_server import NatsServer
from pushgate.node.timers import BackOff, Timers

START_TIMEOUT = 10.0
"""Seconds that the server is given to start."""
LOOK = 0.05
"""Seconds between two looks at a server that starts again."""

_log = get_logger("supervisor")


class NatsKeeper:
    """Starts a server, and again when it ends, until `let_go`; `moved` is called when it then has another port."""

    def __init__(
        self,
        nats: NatsServer,
        selector: selectors.BaseSelector,
        timers: Timers,
        row: Row,
        moved: Callable[[], None],
    ) -> None:
        self._nats = nats
        self._selector = selector
        self._timers = timers
        self._row = row
        self._moved = moved
        self._back_off = BackOff()
        self._let_go = False

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

    def let_go(self) -> None:
        """Do not start it again."""
        self._let_go = True

    def stop(self, grace: float) -> None:
        """End it: gently, and after `grace` seconds by force."""
        self._nats.stop(grace)

    def _start(self) -> None:
        self._nats.start()
        self._back_off.note_start()
        self._selector.register(self._nats.pidfd, selectors.EVENT_READ, self._lose)

    def _lose(self) -> None:
        self._selector.unregister(self._nats.pidfd)
        if self._let_go:
            return
        pause = self._back_off.pause()
        self._row[NATS_RESTARTS] += 1
        _log.error("nats-server ended", again_in=pause)
        self._timers.after(pause, self._restart)

    def _restart(self) -> None:
        if self._let_go:
            return
        try:
            self._start()
        except StartError as error:
            _log.error("nats-server does not start", reason=str(error))
            self._timers.after(self._back_off.pause(), self._restart)
        else:
            self._timers.after(LOOK, self._look)

    def _look(self) -> None:
        """See whether a restarted server came back on its port; workers reconnect to that one by themselves."""
        try:
            if not self._nats.is_ready():
                self._timers.after(LOOK, self._look)
                return
        except StartError:
            return  # it ended again, and its pidfd says so
        if self._nats.moved:
            _log.warning("nats-server has another port now: the workers start again")
            self._moved()
