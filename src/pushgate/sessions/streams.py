"""The clients that only listen, on a stream of Server-Sent Events: nothing that they send is expected."""

from pushgate.codes import Close
from pushgate.metrics.catalogue import RECEIVED_BYTES
from pushgate.metrics.rows import Row
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.pace import Pace
from pushgate.sessions.terms import Terms
from pushgate.sockets.poller import Poller


class Streams:
    """Notices when clients of a worker leave that only listen (Handler)."""

    def __init__(self, poller: Poller, sessions: SessionManager, terms: Terms, row: Row) -> None:
        self._poller = poller
        self._sessions = sessions
        self._pace = Pace(sessions.columns, terms)
        self._row = row

    def readable(self, fd: int) -> None:
        """Read and forget what a client sent, of which there may not be too much (Handler)."""
        session = self._sessions.by_fd[fd]
        assert session is not None
        size = self._poller.read(fd)
        if size == 0:
            self._sessions.drop(session)
        elif size > 0:
            self._row[RECEIVED_BYTES] += size
            if self._pace.read(fd, size, self._sessions.tick) < 0:
                self._sessions.close(session, Close.TOO_FAST, "too many bytes in too short a time")

    def fail(self, fd: int) -> None:
        """Close the session with INTERNAL_ERROR (Handler)."""
        session = self._sessions.by_fd[fd]
        if session is None:
            self._poller.close(fd)
        else:
            self._sessions.close(session, Close.INTERNAL_ERROR)
