"""The door: what becomes of a connection just accepted. It is let in, refused, or first asked for its PROXY header.

Refusing is cheap, since it is done most when there is least time: the answer goes out with the accept, and a file is
held longer only where the client has not sent its request yet, for a bounded number of clients. Nothing is read before
that is decided, and behind a PROXY header not a byte too much, for what follows may be TLS.
"""

from collections.abc import Callable
from contextlib import suppress
from socket import MSG_PEEK, socket
from typing import Any

from pushgate.errors import UpgradeRefused
from pushgate.metrics.catalogue import LOBBY, REFUSED
from pushgate.metrics.rows import Row
from pushgate.sessions.admission import Admission, come_back
from pushgate.sessions.session import pack_address
from pushgate.sessions.terms import Terms
from pushgate.sockets.certificates import TlsPort
from pushgate.sockets.poller import TICK, Poller
from pushgate.wire.proxy import MAX_BINARY, read_proxy_header
from pushgate.wire.upgrade import encode_answer

LINGERING = 256
"""Half-closed sockets of this worker beyond which those who are refused at the door are not waited for."""


class _Proxied:
    """One connection of a trusted proxy whose PROXY header is not whole; `header` is what came of it."""

    __slots__ = ("address", "deadline", "header", "socket")

    def __init__(self, connection: socket, address: bytes, deadline: int) -> None:
        self.socket = connection
        self.address = address
        self.deadline = deadline
        self.header = b""


class Door:
    """The door of one worker (Handler, of connections that owe a PROXY header).

    `let_in(socket, address)` takes a connection over, with its client's address as 16 bytes; `admission` has counted
    it in. Where `port` speaks plain text, who is refused is told why. `timeout` bounds the wait for a PROXY header,
    in seconds.
    """

    def __init__(
        self,
        poller: Poller,
        terms: Terms,
        admission: Admission,
        port: TlsPort,
        timeout: float,
        row: Row,
        let_in: Callable[[socket, bytes], None],
    ) -> None:
        self._poller = poller
        self._terms = terms
        self._admission = admission
        self._patience = max(1, round(timeout / TICK))
        self._port = port
        self._row = row
        self._let_in = let_in
        self._proxied: dict[int, _Proxied] = {}  # in the order of their deadlines
        self._tick = 0

    def knock(self, connection: socket, address: Any) -> None:
        """Decide about a connection just accepted, whose peer's address is as `accept` gave it."""
        packed = pack_address(address)
        try:
            self._admission.enter(packed)
        except UpgradeRefused as refused:
            self._turn_away(connection, refused)
            return
        if self._terms.forwarded or not self._terms.proxies.trust(packed):
            self._let_in(connection, packed)
            return
        fd = connection.fileno()
        self._proxied[fd] = _Proxied(connection, packed, self._tick + self._patience)
        self._row[LOBBY] += 1
        self._poller.add(fd, self)

    def readable(self, fd: int) -> None:
        """Read on in a PROXY header (Handler)."""
        proxied = self._proxied[fd]
        try:
            seen = proxied.socket.recv(MAX_BINARY, MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            seen = b""
        if not seen:
            self._poller.close(self._leave(fd, "gone").detach())
            return
        try:
            header = read_proxy_header(proxied.header + seen)
        except UpgradeRefused as refused:
            self._refuse(fd, refused)
            return
        # What belongs to the header is taken at once: left in the socket it would be told of again and again.
        size = len(seen) if header is None else header.size - len(proxied.header)
        proxied.header += proxied.socket.recv(size)
        if header is not None:
            self._admit(fd, proxied, header.source or proxied.address)

    def fail(self, fd: int) -> None:
        """Let go of the connection (Handler)."""
        if fd in self._proxied:
            self._leave(fd, "fault").detach()
        self._poller.close(fd)

    def tick(self) -> None:
        """Count one tick, and refuse those whose time is over."""
        self._tick += 1
        while self._proxied:
            fd, proxied = next(iter(self._proxied.items()))
            if proxied.deadline > self._tick:
                return
            self._refuse(fd, UpgradeRefused(408, "the PROXY protocol header took too long", cause="timeout"))

    def empty(self) -> None:
        """Turn everybody away: the worker stops."""
        for fd in list(self._proxied):
            self._refuse(fd, UpgradeRefused(503, "this node stops", come_back(), cause="overloaded"))

    def _admit(self, fd: int, proxied: _Proxied, client: bytes) -> None:
        if client != proxied.address:
            try:
                self._admission.move(proxied.address, client)
            except UpgradeRefused as refused:
                self._refuse(fd, refused)
                return
        del self._proxied[fd]
        self._row[LOBBY] -= 1
        self._poller.release(fd)
        self._let_in(proxied.socket, client)

    def _turn_away(self, connection: socket, refused: UpgradeRefused) -> None:
        """Refuse a connection that the poller does not know."""
        self._row[REFUSED[refused.cause]] += 1
        with connection, suppress(OSError):  # whoever went meanwhile needs no answer
            if self._port.context is not None:
                return  # who speaks TLS would not understand
            answer = encode_answer(refused.status, refused.reason, refused.headers)
            try:
                # A close with unread bytes would reset the connection, and the client might lose the answer.
                connection.recv_into(self._poller.buffer)
            except BlockingIOError:
                if self._poller.leaving < LINGERING:
                    self._poller.turn_away(connection.detach(), answer)
                    return
            connection.send(answer)

    def _refuse(self, fd: int, refused: UpgradeRefused) -> None:
        """Refuse a connection that owes a PROXY header."""
        self._leave(fd, refused.cause).detach()
        if self._port.context is None:
            self._poller.finish(fd, encode_answer(refused.status, refused.reason, refused.headers))
        else:
            self._poller.close(fd)

    def _leave(self, fd: int, reason: str) -> socket:
        """Forget a connection that owes a PROXY header, counted by the reason; returns its socket."""
        proxied = self._proxied.pop(fd)
        self._admission.leave(proxied.address)
        self._row[LOBBY] -= 1
        self._row[REFUSED[reason]] += 1
        return proxied.socket
