"""A raw line to a server, from an address of its own, plain or with TLS; every byte on it is the caller's."""

import asyncio
import socket
import ssl
import struct
from itertools import count

_addresses = count(0x7F420001)  # 127.66.0.1 and up: limits for one address are none of what is tested here
_CHUNK = 256 * 1024


def fresh_socket() -> socket.socket:
    """Return a socket that comes from an address of its own."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((socket.inet_ntoa(struct.pack("!I", next(_addresses))), 0))
    return sock


class Line:
    """A plain one. Reading and writing raise ConnectionError where the server reset it."""

    def __init__(self) -> None:
        self.sock = fresh_socket()
        self._loop = asyncio.get_running_loop()

    async def open(self, port: int) -> None:
        """Connect."""
        await self._loop.sock_connect(self.sock, ("127.0.0.1", port))

    async def read(self) -> bytes:
        """Return what came, b"" at the end."""
        return await self._loop.sock_recv(self.sock, _CHUNK)

    async def write(self, data: bytes) -> None:
        """Send, for as long as the server takes it."""
        await self._loop.sock_sendall(self.sock, data)

    def write_urgent(self, data: bytes) -> None:
        """Send as TCP's urgent data."""
        self.sock.send(data, socket.MSG_OOB)

    def end(self) -> None:
        """End our direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Have `close` reset the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Close."""
        self.sock.close()


class TlsLine(Line):
    """One with TLS; `end` is without close_notify, as of a client that lost its way."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def open(self, port: int) -> None:
        """Connect, and do the handshake."""
        await super().open(port)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                self._incoming.write(await super().read())
        await self._flush()

    async def read(self) -> bytes:
        """Return what came, b"" at the end."""
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                data = await super().read()
                if not data:
                    raise ConnectionResetError("the end came without close_notify") from None
                self._incoming.write(data)

    async def write(self, data: bytes) -> None:
        """Send, for as long as the server takes it."""
        for start in range(0, len(data), _CHUNK):
            self._tls.write(data[start : start + _CHUNK])
            await self._flush()

    async def _flush(self) -> None:
        await super().write(self._outgoing.read())
