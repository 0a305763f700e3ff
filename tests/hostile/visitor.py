"""Visits a server as a case says: a raw socket from an address of its own, and all that comes back on it."""

import asyncio
import socket
import struct
from itertools import count

from tests.hostile.case import Act, Answers, Case, Urgent
from tests.hostile.received import ALIVE, MARKER, PING, Received, take_apart
from tests.rig.client import mask_frame

PATIENCE = 20.0
"""Seconds a visit may take in all."""
PROBE = b"GET /healthz HTTP/1.1\r\nHost: probe\r\n\r\n"
_addresses = count(0x7F420001)  # 127.66.0.1 and up: limits for one address are none of what is tested here


def fresh_socket() -> socket.socket:
    """Return a socket that comes from an address of its own."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((socket.inet_ntoa(struct.pack("!I", next(_addresses))), 0))
    return sock


class _Visit:
    """One connection while it is visited."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self.raw = bytearray()
        self.ended = False

    async def read(self) -> None:
        """Take everything up to the end."""
        while not self.ended:
            try:
                data = await self._loop.sock_recv(self._sock, 262144)
            except ConnectionError:
                data = b""
            self.raw += data
            self.ended = not data
            self._more.set()

    async def until(self, wanted: bytes, times: int = 1) -> None:
        """Wait until bytes have come so often, or the end."""
        while not self.ended and self.raw.count(wanted) < times:
            self._more.clear()
            await self._more.wait()

    async def until_end(self) -> None:
        """Wait for the end."""
        while not self.ended:
            self._more.clear()
            await self._more.wait()

    async def send(self, data: bytes) -> None:
        """Send, as long as the server takes it."""
        try:
            if isinstance(data, Urgent):
                self._sock.send(data, socket.MSG_OOB)
            else:
                await self._loop.sock_sendall(self._sock, data)
        except ConnectionError:
            pass  # what it said before that is what counts

    async def play(self, case: Case) -> None:
        """Send the pieces of a case, then wait for what decides it."""
        for piece in case.send:
            match piece:
                case bytes():
                    await self.send(piece)
                case float():
                    await asyncio.sleep(piece)
                case Act.WELCOMED:
                    await self.until(b"welcome")
                case Act.END:
                    self._sock.shutdown(socket.SHUT_WR)
                case Act.RESET:
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.raw.clear()  # whether something came before it is a matter of luck
                    self.ended = True
                    return
        if isinstance(case.outcome, Answers) and case.outcome.stays:
            await self.send(PROBE)
            await self.until(b"HTTP/1.1 ", len(case.outcome.statuses) + 1)
        elif case.outcome.probed:
            await self.send(mask_frame(PING, MARKER))
            await self.until(ALIVE)
        else:
            await self.until_end()


async def visit(case: Case, port: int) -> Received:
    """Return what came of a case; what did not come in PATIENCE seconds shows as a connection that stays open."""
    with fresh_socket() as sock:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        visit = _Visit(sock)
        reading = asyncio.create_task(visit.read())
        try:
            async with asyncio.timeout(PATIENCE):
                await visit.play(case)
        except TimeoutError:
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return take_apart(bytes(visit.raw), visit.ended)


async def visit_all(cases: list[Case], port: int, at_once: int = 48) -> list[str]:
    """Visit with every case, so many at once; returns in words what was not as it should be."""
    room = asyncio.Semaphore(at_once)

    async def try_one(case: Case) -> str:
        async with room:
            missed = case.outcome.missed_by(await visit(case, port))
        return missed and f"{case.name}: {missed[:400]}"

    return [missed for missed in await asyncio.gather(*map(try_one, cases)) if missed]
