"""One connection to a RocketMQ server, name server or broker: requests and their answers, in whatever order these come.

- all requests handed in within one iteration of the event loop go out as one write;
- nothing is kept for later: when the connection is lost before the answers, every caller is told at once;
- an answer that is overdue ends the connection, since TCP may be half open; so does a server that is silent when asked;
- a lost connection is not mended: Keeper makes another.
"""

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from typing import NamedTuple, cast

from pushgate.rocketmq.frames import Command, FrameReader, encode, texts
from pushgate.rocketmq.signing import Credentials, sign

TICK = 0.25
"""Seconds between looks at a connection."""
PATIENCE = 8
"""Ticks until an answer is overdue (2 s). Ticks and not time: a stall of our own loop is one tick, however long."""
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server that does not read; then requests are refused."""

Answer = asyncio.Future[Command | None]
"""What the server said; None when that is not known (see `reason`)."""


class Request(NamedTuple):
    """What a server is asked: a code of the protocol, its fields, and a body."""

    code: int
    fields: Mapping[str, object]
    body: bytes = b""


class _Call(NamedTuple):
    due: int
    answer: Answer


class RocketLink(asyncio.Protocol):
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way.

    `part` is what it is the connection of, for people. `probe` is what a server is asked that says nothing for long.
    """

    def __init__(self, part: str, probe: Request, credentials: Credentials | None = None) -> None:
        self._part = part
        self._probe = probe
        self._credentials = credentials
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, _Call] = {}
        self._probing: Answer | None = None
        self._opaque = 0
        self._out: list[bytes] = []
        self._now = 0
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None
        self.lost = asyncio.Event()
        self.reason = ""
        self.server = ""

    async def open(self, host: str, port: int, tls: SSLContext | None) -> None:
        """Connect. Raises OSError or TimeoutError; another place may be tried then."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE * TICK):
            await loop.create_connection(lambda: self, host, port, ssl=tls)
        self.server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timer = loop.call_later(TICK, self._tick)

    def ask(self, request: Request, patience: int = PATIENCE) -> Answer:
        """Have a request answered within so many ticks. Raises nothing."""
        answer: Answer = asyncio.get_running_loop().create_future()
        if self.lost.is_set() or self._transport is None:
            answer.set_result(None)
            return answer
        if self._transport.get_write_buffer_size() > PARKED:
            self.drop(f"the {self._part} does not keep up")
            answer.set_result(None)
            return answer
        self._opaque += 1
        fields = texts(request.fields)
        if self._credentials is not None:
            fields = sign(fields, request.body, self._credentials)
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(encode(Command(request.code, self._opaque, fields=fields, body=request.body)))
        self._calls[self._opaque] = _Call(self._now + patience, answer)
        return answer

    def drop(self, reason: str) -> None:
        """End the connection now, and every wait for it."""
        if self.lost.is_set():
            return
        self.reason = reason
        self.lost.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            _settle(call.answer, None)

    async def close(self) -> None:
        """Let go of it (Link)."""
        self.drop(f"the {self._part} is stopped")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self.lost.is_set():
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on what the server says. What it asks of us needs no answer: it tells consumers of other consumers."""
        self._silent = 0
        try:
            for command in self._reader.feed(data):
                call = self._calls.pop(command.opaque, None) if command.is_answer else None
                if call is not None:
                    _settle(call.answer, command)
        except ValueError as error:
            self.drop(f"it does not speak as RocketMQ does: {error}")

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
        """Drop a server whose answer is overdue; ask one that is silent, since a pull may be held for long."""
        self._now += 1
        self._silent += 1
        if any(call.due <= self._now for call in self._calls.values()):
            self.drop(f"the {self._part} is silent")
            return
        if self._silent >= PATIENCE and (self._probing is None or self._probing.done()):
            self._probing = self.ask(self._probe)
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)


def _settle(answer: Answer, command: Command | None) -> None:
    if not answer.done():
        answer.set_result(command)
