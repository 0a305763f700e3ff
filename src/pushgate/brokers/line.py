"""The socket under a link to a broker: opened once, written to, looked at each tick, and lost for good."""

import asyncio
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import cast

TICK = 0.25
"""Seconds between looks at a connection."""
PATIENCE = 8
"""Ticks until an answer is overdue (2 s). Ticks and not time: a stall of our own loop is one tick, however long."""
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server that does not read; then it is dropped."""


class Line(asyncio.Protocol):
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be dropped either way.

    `part` is what it is the connection of, for people: the bus, say. `hear` is called with what the server says, `look`
    each tick, and `end` once, when it is lost. `now` counts the ticks, `silent` those since the server said something.
    """

    def __init__(
        self, part: str, hear: Callable[[bytes], None], look: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self._part = part
        self._hear, self._look, self._end = hear, look, end
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.now = self.silent = 0
        self.lost = asyncio.Event()
        self.reason = ""
        self.server = ""

    async def open(self, host: str, port: int, tls: SSLContext | None = None) -> None:
        """Connect. Raises OSError or TimeoutError; another place may be tried then."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE * TICK):
            await loop.create_connection(lambda: self, host, port, ssl=tls)
        self.server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timer = loop.call_later(TICK, self._tick)

    def write(self, data: Iterable[bytes]) -> bool:
        """Have bytes go out with all others of this iteration of the event loop; returns False when it is lost."""
        if self.lost.is_set() or self._transport is None:
            return False
        if self._transport.get_write_buffer_size() > PARKED:
            self.drop(f"the {self._part} does not keep up")
            return False
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out += data
        return True

    def drop(self, reason: str) -> None:
        """End the connection now."""
        if self.lost.is_set():
            return
        self.reason = self.reason or reason
        self.lost.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def stop(self) -> None:
        """End the connection, which is not wanted any more."""
        self.drop(f"the {self._part} is stopped")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self.lost.is_set():
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on what the server says."""
        self.silent = 0
        self._hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the server is gone."""
        self.drop(str(exc or "") or f"the {self._part} closed the connection")

    # Inside

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.lost.is_set():
            assert self._transport is not None
            self._transport.write(b"".join(out))

    def _tick(self) -> None:
        self.now += 1
        self.silent += 1
        self._look()
        if not self.lost.is_set():
            self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
