"""The TLS side of a worker alone: what its lobby would be given, and clients that say every byte themselves."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pushgate.metrics.catalogue import CATALOGUE
from pushgate.metrics.rows import Rows
from pushgate.sessions.session import pack_address
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Certificate, TlsPort
from pushgate.sockets.poller import Poller
from pushgate.sockets.tls import TlsClients
from tests.rig.certificates import the_authority

T = TypeVar("T")


async def retry(action: Callable[[], T]) -> T:
    """Return what an action returns once it does not have to wait."""
    async with asyncio.timeout(10):
        while True:
            try:
                return action()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                await asyncio.sleep(0)


async def read_all(sock: socket.socket, chunk: int = 65536) -> bytes:
    """Read up to the end."""
    received = b""
    while data := await retry(lambda: sock.recv(chunk)):
        received += data
    return received


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Write everything."""
    while data:
        sent = await retry(partial(sock.send, data))
        data = data[sent:]


class TlsRig:
    """A poller with TLS clients; `sessions` are the sockets that the lobby was given, in their order."""

    def __init__(self, certificate: Certificate, timeout: float = 10.0) -> None:
        self.row = Rows(1).row(0)
        self.poller = Poller(asyncio.get_running_loop(), 1024 * 1024, self.row)
        self.port = TlsPort(certificate)
        self.counts = AddressCounts(1)
        self._counts = self.counts.worker(0)
        self.tls = TlsClients(self.poller, self.port, timeout, self._counts, self.row, self._admit)
        self.sessions: list[socket.socket] = []
        self.addresses: list[bytes] = []
        self.trust = the_authority().trust()
        self._ends: list[socket.socket] = []

    def connect(self, family: int = socket.AF_INET) -> socket.socket:
        """Return a client's socket, connected and let in."""
        if family == socket.AF_UNIX:
            theirs, ours = socket.socketpair()
            accepted: Any = ("::", 0)
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                theirs = socket.create_connection(server.getsockname())
                ours, accepted = server.accept()
        for end in (theirs, ours):
            end.setblocking(False)
        self._ends.append(theirs)
        self.admit(ours, accepted)
        return theirs

    def admit(self, connection: socket.socket, address: Any) -> None:
        """Let a connection in that was just accepted, counted in, with its address as `accept` gave it."""
        packed = pack_address(address)
        self._counts.enter(packed)
        self.tls.admit(connection, packed)

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Return a client's socket that can speak TLS."""
        client = self.trust.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
        self._ends.append(client)
        return client

    async def join(self) -> tuple[ssl.SSLSocket, socket.socket]:
        """Return a client whose handshake is done, and the socket of its session."""
        known = len(self.sessions)
        client = self.wrap(self.connect())
        await retry(client.do_handshake)
        await self.until(lambda: len(self.sessions) > known)
        return client, self.sessions[-1]

    def count(self, name: str, *labels: str) -> int:
        """Return the value of a metric, by the values of its labels."""
        (slots,) = (metric.slots for metric in CATALOGUE if metric.name == name)
        return self.row[slots[labels]]

    @property
    def idle(self) -> bool:
        """Whether the poller has nothing to do: what is left waits for somebody."""
        return not self.poller._epoll.poll(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    def stop(self) -> None:
        self.tls.cut_handshakes()
        for pair in set(self.tls._bridge._pairs.values()):
            self.tls._bridge._cut(pair)
        for _ in range(40):
            self.poller.tick()
        self.poller.stop()
        for end in (*self._ends, *self.sessions):
            end.close()
        for address in self.addresses:
            self._counts.leave(address)
        assert not any(self.counts._connections), "who was not passed on was counted out"

    def _admit(self, fd: int, address: bytes) -> None:
        self.sessions.append(socket.socket(fileno=fd))
        self.addresses.append(address)
