"""The heartbeat: a sweep over the sessions that pings the idle, drops the dead and ends those whose token is over.

No timer a connection: every tick looks at the next slice of the table, so that the work is even. Idleness is counted in
ticks that this worker really ran: a worker that was stopped for a minute, or blocked by a long collection, has aged
nobody, and reads what waited in the sockets before it judges.

A stream of Server-Sent Events gets a comment once an interval, which nobody answers: that its client is gone TCP finds
out, which ends a connection whose bytes nobody acknowledges (sockets.listener), or what is parked for it says.
"""

from pushgate.codes import Close
from pushgate.config import ClientsConfig
from pushgate.messages.formats import EVENTS
from pushgate.metrics.catalogue import PINGS
from pushgate.metrics.rows import Row
from pushgate.sessions.manager import SessionManager
from pushgate.sockets.poller import TICK, Poller
from pushgate.tenants.tokens import LEEWAY
from pushgate.wire.events import COMMENT
from pushgate.wire.frames import EMPTY_PING

ROUND = 5.0
"""Seconds in which a sweep has looked at everybody, at the most."""
PAUSE = 10.0
"""Seconds for which a push to everyone holds the sweep up, at the most: pings would cost what its messages need."""


class Heartbeat:
    """Sweeps the sessions of one worker; `tick` is called every TICK seconds."""

    def __init__(self, poller: Poller, sessions: SessionManager, config: ClientsConfig, row: Row) -> None:
        self._poller = poller
        self._sessions = sessions
        self._row = row
        self._idle_ticks = max(1, round(config.ping_interval / TICK))
        self._dead_ticks = self._idle_ticks + max(1, round(config.pong_timeout / TICK))
        # A session is looked at several times while it is idle and silent, so that a lost look costs little.
        self._round_ticks = max(1, round(min(ROUND, config.ping_interval / 4, config.pong_timeout / 2) / TICK))
        self._position = 0
        self._pause_ticks = round(PAUSE / TICK)
        self._paused = 0  # ticks of this pause so far
        self._next_pause = 0  # the tick from which there may be another one
        self._first_close = 0  # the tick from which who is silent was asked for long enough
        poller.on_drained.append(self._resume)

    def tick(self, now: float, busy: bool = False) -> None:
        """Look at the next slice; `now` in seconds since 1970. `busy`: a push to everyone is being written."""
        sessions = self._sessions
        sessions.tick += 1
        if self._pauses(sessions.tick, busy):
            return
        size = len(sessions.by_fd)
        start = self._position
        stop = min(size, start + size // self._round_ticks + 1)
        self._position = 0 if stop == size else stop
        heard, expires = sessions.columns.heard, sessions.columns.expires
        tick, over = sessions.tick, int(now) - LEEWAY
        for fd in range(start, stop):
            session = sessions.by_fd[fd]
            if session is None:
                continue
            if 0 < expires[fd] < over:
                sessions.close(session, Close.TOKEN_EXPIRED)
                continue
            idle = tick - heard[fd]
            if idle < self._idle_ticks:
                continue
            if session.format == EVENTS and not self._poller.is_parked(fd):
                heard[fd] = tick
                self._poller.write(fd, COMMENT)
                self._row[PINGS] += 1
                continue
            if self._poller.is_parked(fd):
                # No ping goes behind what waits: a client is alive as long as it takes some of that.
                idle = min(idle, self._poller.stalled(fd))
            if idle >= self._dead_ticks and tick >= self._first_close:
                sessions.close(session, Close.HEARTBEAT_TIMEOUT)
            elif not self._poller.is_parked(fd):
                # Every look repeats the ping while the client is silent: no state, and only silent clients cost more.
                self._poller.write(fd, EMPTY_PING)
                self._row[PINGS] += 1

    def _pauses(self, tick: int, busy: bool) -> bool:
        """Return whether nobody is looked at in this tick.

        After a pause everybody has the whole time for an answer, and the next pause has to wait until the sweep has
        been round twice since then: the dead are found whatever is pushed.
        """
        if busy and tick >= self._next_pause and self._paused < self._pause_ticks:
            self._paused += 1
            return True
        if self._paused:
            self._paused = 0
            self._first_close = tick + self._round_ticks + self._dead_ticks - self._idle_ticks
            self._next_pause = self._first_close + 2 * self._round_ticks
        return False

    def _resume(self, fd: int) -> None:
        """Let the time of a client that was silent meanwhile begin: no ping could reach it behind what waited."""
        columns = self._sessions.columns
        if fd < columns.size:  # it may be one of the lobby's
            columns.heard[fd] = max(columns.heard[fd], self._sessions.tick - self._idle_ticks)
