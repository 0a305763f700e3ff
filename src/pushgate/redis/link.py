"""One connection to a Redis server, by RESP3: commands and what is subscribed to over the same socket.

hiredis reads what comes. redis-py would do the rest, at the cost of a task, a time-out and a lock a command, two
connections where this needs one, and a queue between the socket and the receiver. Here

- all commands handed in within one iteration of the event loop go out as one write, and answers come in their order;
- nothing is kept for later: when the connection is lost before the answers, every caller is told at once;
- each message is a plain call of the taker, in the order of arrival;
- a lost connection is not mended: Keeper makes another.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, cast

from hiredis import ProtocolError, PushNotification, Reader, ReplyError, pack_command

from pushgate.log import get_logger

TICK = 0.25
"""Seconds between looks at a connection."""
PATIENCE = 8
"""Ticks until an answer is overdue (2 s). Ticks and not time: a stall of our own loop is one tick, however long."""
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server that does not read; then commands are refused."""

MESSAGES = frozenset({b"message", b"smessage"})
GONE = frozenset({b"sunsubscribe"})
"""What a cluster says when the slot of a channel has moved."""
_NOTHING = object()

log = get_logger("redis")

Command = tuple[bytes | str | int | float, ...]
Take = Callable[[bytes, bytes], None]
"""Takes a message: channel and payload."""
Answers = asyncio.Future[list[Any] | None]
"""What the server said to each command, a ReplyError where it refused; None when that is not known (see `reason`)."""


class _Call:
    """Commands of one caller, `count` of them, and what was answered so far."""

    __slots__ = ("answers", "born", "count", "future")

    def __init__(self, count: int, born: int, future: Answers) -> None:
        self.count = count
        self.born = born
        self.future = future
        self.answers: list[Any] = []


class RedisLink(asyncio.Protocol):
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way.

    `part` is what it is the connection of, for people: the bus, say. `take` gets what is subscribed to.
    """

    def __init__(self, part: str, take: Take | None = None) -> None:
        self._part = part
        self._take = take
        self._reader = Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._calls: deque[_Call] = deque()
        self._out: list[bytes] = []
        self._now = 0
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None
        self.lost = asyncio.Event()
        self.reason = ""
        self.server = ""

    async def open(self, host: str, port: int, tls: SSLContext | None, *first: Command) -> list[Any]:
        """Connect, and return the answers to the first commands. Raises OSError, also for a server that refuses."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE * TICK):
            await loop.create_connection(lambda: self, host, port, ssl=tls)
        self.server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timer = loop.call_later(TICK, self._tick)
        answers = await self.ask(*first)
        if answers is None:
            raise ConnectionError(self.reason)
        for answer in answers:
            if isinstance(answer, ReplyError):
                raise ConnectionError(str(answer))
        return answers

    def ask(self, *commands: Command) -> Answers:
        """Have commands answered, in their order and after those handed in before. Raises nothing."""
        future: Answers = asyncio.get_running_loop().create_future()
        if self.lost.is_set() or self._transport is None:
            future.set_result(None)
            return future
        if self._transport.get_write_buffer_size() > PARKED:
            self.drop(f"the {self._part} does not keep up")
            future.set_result(None)
            return future
        self._write(commands)
        self._calls.append(_Call(len(commands), self._now, future))
        return future

    def tell(self, command: Command) -> None:
        """Send a command that has no answer: SUBSCRIBE and its like."""
        self._write((command,))

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
        calls, self._calls = self._calls, deque()
        for call in calls:
            _settle(call, None)

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
        """Pass on what the server says."""
        self._silent = 0
        self._reader.feed(data)
        try:
            while (said := self._reader.gets()) is not _NOTHING:
                if type(said) is PushNotification:
                    self._hear(said)
                else:
                    self._answer(said)
        except ProtocolError as error:
            self.drop(f"it does not speak as Redis does: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the server is gone."""
        self.drop(str(exc or "") or f"the {self._part} closed the connection")

    # Inside

    def _write(self, commands: tuple[Command, ...]) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out += [pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub knows tuples of one

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.lost.is_set():
            assert self._transport is not None
            self._transport.write(b"".join(out))

    def _hear(self, said: list[Any]) -> None:
        if said[0] in MESSAGES:
            assert self._take is not None
            try:
                self._take(said[1], said[2])
            except Exception:
                log.exception("receiver failed")
        elif said[0] in GONE:
            self.drop(f"the {self._part} has moved its channels to another server")

    def _answer(self, said: Any) -> None:
        if not self._calls:
            self.drop("the server answered what was not asked")
            return
        call = self._calls[0]
        call.answers.append(said)
        if len(call.answers) == call.count:
            self._calls.popleft()
            _settle(call, call.answers)

    def _tick(self) -> None:
        """Drop a server whose answer is overdue while it says nothing; ask one that is silent."""
        self._now += 1
        self._silent += 1
        if self._silent >= PATIENCE and self._calls and self._now - self._calls[0].born >= PATIENCE:
            self.drop(f"the {self._part} is silent")
            return
        if self._silent == PATIENCE and not self._calls:
            self.ask(("PING",))
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)


def _settle(call: _Call, answers: list[Any] | None) -> None:
    if not call.future.done():
        call.future.set_result(answers)
