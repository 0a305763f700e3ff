"""Taking over the sessions of another generation's workers, as they are handed over."""

import os
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from pushgate.codes import Close
from pushgate.delivery.holding import Holding
from pushgate.delivery.notes import split
from pushgate.delivery.router import Router
from pushgate.inbox import FollowedTo
from pushgate.log import get_logger
from pushgate.messages.shard import owner_of, shard_of
from pushgate.node.handover.passing import Arrived, Callers, Given, Noted, Packet, Sessions, receive
from pushgate.sessions.arrival import Arrival, decode_arrival
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.state import decode_state
from pushgate.sockets.poller import Poller

BUDGET = 4
"""Packets taken in one turn of the loop."""
LINGER = 5.0
"""Seconds after everything is here in which something may still come that an old worker took before: the bus brings a
message to each of its subscribers within this, or the link is lost."""

_log = get_logger("worker")


class Predecessor(NamedTuple):
    """Whom a worker takes over from: so many old workers, by a channel whose receiving end is ours.

    `places` are up to where all of them had followed the logs when they began to note.
    """

    workers: int
    channel: socket.socket
    places: Mapping[str, FollowedTo]


class Receiver(Protocol):
    """Who takes in what comes beside the sessions."""

    def admit(self, fd: int, arrival: Arrival) -> None:
        """Take in a client's connection: the sessions of its shard are here."""

    def serve(self, caller: socket.socket) -> None:
        """Take in a caller's connection."""

    def complete(self) -> None:
        """Every shard is here."""


class Taking:
    """One worker's part (Handler). What `holding` holds back is let go, shard by shard, as they come."""

    def __init__(
        self,
        predecessor: Predecessor,
        poller: Poller,
        sessions: SessionManager,
        router: Router,
        holding: Holding,
        receiver: Receiver,
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._workers = predecessor.workers
        self._channel = predecessor.channel
        self._poller = poller
        self._sessions = sessions
        self._router = router
        self._receiver = receiver
        self._call_later = call_later
        self._arrivals: defaultdict[int, list[tuple[int, Arrival]]] = defaultdict(list)
        self._holding = router.detour = holding

    def start(self) -> None:
        """Begin to receive."""
        self._channel.setblocking(False)
        self._poller.add(self._channel.fileno(), self)

    def lose(self, worker: int) -> None:
        """An old worker died: what it had not given is lost, and of a shard that it had half given the rest too."""
        while self._receive():
            pass  # what it sent before is still in the channel
        for shard in self._holding.missing:
            if owner_of(shard, self._workers) == worker:
                for channel in self._holding.adopted(shard):
                    session = self._sessions.by_fd[channel.fd]
                    assert session is not None
                    self._sessions.close(session, Close.GOING_AWAY)
                self._release(Given(shard, worker, 0, {}))

    def hold(self, fd: int, arrival: Arrival) -> bool:
        """Have a connection wait for the sessions of its shard, among them perhaps one that it takes the place of.

        Returns False when they are here.
        """
        shard = shard_of(arrival.tenant, arrival.uid)
        if not self._holding.waits_for(shard):
            return False
        self._arrivals[shard].append((fd, arrival))
        return True

    def readable(self, fd: int) -> None:
        """Receive a few packets (Handler)."""
        for _ in range(BUDGET):
            if not self._receive():
                return

    def fail(self, fd: int) -> None:
        """Go on: the channel is shared by all old workers (Handler)."""

    def _receive(self) -> bool:
        """Receive a packet; returns whether there may be more."""
        if self._channel.fileno() < 0:
            return False
        try:
            received = receive(self._channel)
        except (BlockingIOError, InterruptedError):
            return False
        except ValueError as error:
            _log.error("a packet of the hand-over is lost", reason=str(error))
            return True
        if received is None:
            self._poller.close(self._channel.detach())  # all old workers have ended
            return False
        self._take(*received)
        return True

    def _take(self, packet: Packet, fds: list[int]) -> None:
        match packet:
            case Sessions():
                self._adopt(packet, fds)
            case Noted():
                self._holding.note(packet.worker, split(packet.digests))
            case Given():
                self._release(packet)
            case Callers():
                for caller in fds:
                    self._receiver.serve(socket.socket(fileno=caller))
            case Arrived():
                self._receiver.admit(fds[0], decode_arrival(packet.record))

    def _adopt(self, packet: Sessions, fds: list[int]) -> None:
        files = iter(fds)
        for record in packet.records:
            fd = next(files, -1)
            if fd < 0:
                _log.error("sessions are lost: there are no more files", shard=packet.shard)
                return
            try:
                session = self._sessions.take_over(fd, decode_state(record or _read(next(files))))
            except Exception:
                _log.exception("a session could not be taken over")
                self._drop(fd)
                continue
            if session is not None:
                self._holding.adopt(session, packet.shard)

    def _drop(self, fd: int) -> None:
        by_fd = self._sessions.by_fd
        session = by_fd[fd] if fd < len(by_fd) else None
        if session is None:
            os.close(fd)
        else:
            self._sessions.close(session, Close.INTERNAL_ERROR)

    def _release(self, given: Given) -> None:
        self._holding.release(given.shard, given.worker, given.notes, given.places)
        for fd, arrival in self._arrivals.pop(given.shard, ()):
            self._receiver.admit(fd, arrival)
        if not self._holding.missing:
            self._receiver.complete()
            self._call_later(LINGER, self._end)

    def _end(self) -> None:
        self._router.detour = None
        self._holding.end()


def _read(file: int) -> bytes:
    try:
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)
