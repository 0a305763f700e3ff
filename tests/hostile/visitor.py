"""Visits a server as a case says: a raw line, and all that comes back on it."""

import asyncio
import ssl

from tests.hostile.case import Act, Answers, Case, Urgent
from tests.hostile.line import Line, TlsLine
from tests.hostile.received import ALIVE, MARKER, PING, Received, take_apart
from tests.rig.client import mask_frame

PATIENCE = 20.0
"""Seconds a visit may take in all."""
AT_ONCE = 48
PROBE = b"GET /healthz HTTP/1.1\r\nHost: probe\r\n\r\n"


class _Visit:
    """One connection while it is visited."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._more = asyncio.Event()
        self.raw = bytearray()
        self.ended = False

    async def read(self) -> None:
        """Take everything up to the end."""
        while not self.ended:
            try:
                data = await self._line.read()
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
                self._line.write_urgent(data)
            else:
                await self._line.write(data)
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
                    self._line.end()
                case Act.RESET:
                    self._line.reset()
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


async def visit(case: Case, port: int, trust: ssl.SSLContext | None = None) -> Received:
    """Return what came of a case, over TLS with `trust`.

    What did not come in PATIENCE seconds shows as a connection that stays open.
    """
    line = TlsLine(trust) if trust else Line()
    try:
        await line.open(port)
        visit = _Visit(line)
        reading = asyncio.create_task(visit.read())
        try:
            async with asyncio.timeout(PATIENCE):
                await visit.play(case)
        except TimeoutError:
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    finally:
        line.close()
    return take_apart(bytes(visit.raw), visit.ended)


async def visit_all(cases: list[Case], port: int, trust: ssl.SSLContext | None = None) -> list[str]:
    """Visit with every case, AT_ONCE at a time; returns in words what was not as it should be."""
    room = asyncio.Semaphore(AT_ONCE)

    async def try_one(case: Case) -> str:
        async with room:
            missed = case.outcome.missed_by(await visit(case, port, trust))
        return missed and f"{case.name}: {missed[:400]}"

    return [missed for missed in await asyncio.gather(*map(try_one, cases)) if missed]
