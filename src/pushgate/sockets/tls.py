"""TLS for clients: the handshake, on the poller and with a deadline; then the bridge, and plain text for the lobby."""

from collections.abc import Callable
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT
from socket import socket
from ssl import SSLEOFError, SSLError, SSLSocket, SSLWantReadError, SSLWantWriteError, SSLZeroReturnError

from pushgate.metrics.catalogue import LOBBY, REFUSED, TLS_HANDSHAKES
from pushgate.metrics.rows import Row
from pushgate.sockets.addresses import WorkerCounts
from pushgate.sockets.bridge import Bridge
from pushgate.sockets.certificates import TlsPort
from pushgate.sockets.listener import encode_busy
from pushgate.sockets.poller import TICK, Poller
from pushgate.wire.upgrade import encode_answer

BUDGET = 16
"""Steps of handshakes in one batch of events: a signature takes up to a millisecond, and others are waiting."""

_PLAIN_HTTP = encode_answer(400, "this port speaks TLS: use wss:// or https://")


class _Guest:
    """One handshake; `events` is what the poller watches for."""

    __slots__ = ("address", "deadline", "events", "socket")

    def __init__(self, sock: SSLSocket, address: bytes, deadline: int) -> None:
        self.socket = sock
        self.address = address
        self.deadline = deadline
        self.events = EPOLLIN


class TlsClients:
    """The clients of one worker that speak TLS (Handler, of those whose handshake is not done).

    `admit(fd, address)` is given a socket on which the client's plain text comes and goes, as if it were the client.
    `timeout` bounds a handshake, in seconds. Clients come counted in, and those who are not passed on are counted out
    of `addresses`.
    """

    def __init__(
        self,
        poller: Poller,
        port: TlsPort,
        timeout: float,
        addresses: WorkerCounts,
        row: Row,
        admit: Callable[[int, bytes], None],
    ) -> None:
        self._poller = poller
        self._port = port
        self._addresses = addresses
        self._row = row
        self._admit = admit
        self._bridge = Bridge(poller, row)
        self._patience = max(1, round(timeout / TICK))
        self._guests: dict[int, _Guest] = {}  # in the order of their deadlines
        self._tick = 0
        self._budget = BUDGET
        poller.after_batch(self._renew_budget)

    @property
    def active(self) -> bool:
        """Whether the port speaks TLS."""
        return self._port.context is not None

    @property
    def empty(self) -> bool:
        """Whether nobody is connected, or has last bytes of a session on the way."""
        return not self._guests and self._bridge.empty

    def admit(self, connection: socket, address: bytes) -> None:
        """Take in a connection of which nothing was read, of this address; the port must be active."""
        assert self._port.context is not None
        try:
            sock = self._port.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:
            self._addresses.leave(address)
            self._row[REFUSED["gone"]] += 1  # and closed by OpenSSL's wrapper
            return
        self._guests[sock.fileno()] = _Guest(sock, address, self._tick + self._patience)
        self._row[LOBBY] += 1
        self._poller.add(sock.fileno(), self)

    def readable(self, fd: int) -> None:
        """Go on with a handshake (Handler)."""
        if not self._budget:
            return  # its turn comes with the next batch
        self._budget -= 1
        guest = self._guests[fd]
        try:
            guest.socket.do_handshake()
        except SSLWantReadError:
            self._watch(fd, guest, EPOLLIN)
        except SSLWantWriteError:
            self._watch(fd, guest, EPOLLOUT)
        except OSError as error:
            self._refuse(fd, guest, error)
        else:
            self._watch(fd, guest, EPOLLIN)
            self._enter(fd, guest)

    def fail(self, fd: int) -> None:
        """Let go of the connection (Handler)."""
        guest = self._guests[fd]
        self._leave(fd, "fault")
        self._poller.close(guest.socket.detach())

    def tick(self) -> None:
        """Count one tick, and end the handshakes whose time is over."""
        self._tick += 1
        while self._guests:
            fd, guest = next(iter(self._guests.items()))
            if guest.deadline > self._tick:
                return
            self._leave(fd, "tls")
            self._poller.close(guest.socket.detach())

    def cut_handshakes(self) -> None:
        """End all handshakes: the worker stops."""
        for fd, guest in list(self._guests.items()):
            self._leave(fd, "overloaded")
            self._poller.close(guest.socket.detach())

    def _refuse(self, fd: int, guest: _Guest, error: OSError) -> None:
        if isinstance(error, SSLError) and not isinstance(error, SSLEOFError | SSLZeroReturnError):
            self._watch(fd, guest, EPOLLIN)
            self._leave(fd, "tls")
            # What OpenSSL wrote last, an alert, is given the time to arrive.
            self._poller.finish(guest.socket.detach(), _PLAIN_HTTP if error.reason == "HTTP_REQUEST" else b"")
        else:
            self._leave(fd, "gone")
            self._poller.close(guest.socket.detach())

    def _enter(self, fd: int, guest: _Guest) -> None:
        self._row[TLS_HANDSHAKES] += 1
        try:
            inner = self._bridge.open(guest.socket)
        except OSError:
            self._leave(fd, "files")
            with suppress(OSError):
                guest.socket.send(encode_busy())
                guest.socket.unwrap()
            self._poller.finish(guest.socket.detach(), b"")
            return
        self._leave(fd, "")
        self._admit(inner, guest.address)

    def _watch(self, fd: int, guest: _Guest, events: int) -> None:
        if events != guest.events:
            self._poller.change(fd, guest.events, events)
            guest.events = events

    def _leave(self, fd: int, reason: str) -> None:
        """Forget a handshake, counted by the reason why it led nowhere, if it did."""
        guest = self._guests.pop(fd)
        self._row[LOBBY] -= 1
        if reason:
            self._addresses.leave(guest.address)
            self._row[REFUSED[reason]] += 1

    def _renew_budget(self) -> None:
        self._budget = BUDGET
