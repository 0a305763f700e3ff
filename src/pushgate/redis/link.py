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
from typing import Any

from hiredis import ProtocolError, PushNotification, Reader, ReplyError, pack_command

from pushgate.brokers.line import PATIENCE, Line
from pushgate.log import get_logger

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


class RedisLink:
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way.

    `part` is what it is the connection of, for people: the bus, say. `take` gets what is subscribed to.
    """

    def __init__(self, part: str, take: Take | None = None) -> None:
        self._part = part
        self._take = take
        self._reader = Reader(notEnoughData=_NOTHING)
        self._calls: deque[_Call] = deque()
        self._line = Line(part, self._read, self._look, self._fail_calls)
        self.lost = self._line.lost

    @property
    def reason(self) -> str:
        """Why it is lost."""
        return self._line.reason

    @property
    def server(self) -> str:
        """The server's host and port."""
        return self._line.server

    async def open(self, host: str, port: int, tls: SSLContext | None, *first: Command) -> list[Any]:
        """Connect, and return the answers to the first commands. Raises OSError, also for a server that refuses."""
        await self._line.open(host, port, tls)
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
        if self._write(commands):
            self._calls.append(_Call(len(commands), self._line.now, future))
        else:
            future.set_result(None)
        return future

    def tell(self, command: Command) -> None:
        """Send a command that has no answer: SUBSCRIBE and its like."""
        self._write((command,))

    def drop(self, reason: str) -> None:
        """End the connection now, and every wait for it."""
        self._line.drop(reason)

    async def close(self) -> None:
        """Let go of it (Link)."""
        self._line.stop()

    # Inside

    def _write(self, commands: tuple[Command, ...]) -> bool:
        return self._line.write([pack_command(command) for command in commands])  # type: ignore[arg-type]  # its stub knows tuples of one

    def _read(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (said := self._reader.gets()) is not _NOTHING:
                if type(said) is PushNotification:
                    self._hear(said)
                else:
                    self._answer(said)
        except ProtocolError as error:
            self.drop(f"it does not speak as Redis does: {error}")

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

    def _look(self) -> None:
        """Drop a server whose answer is overdue while it says nothing; ask one that is silent."""
        line, calls = self._line, self._calls
        if line.silent >= PATIENCE and calls and line.now - calls[0].born >= PATIENCE:
            self.drop(f"the {self._part} is silent")
        elif line.silent == PATIENCE and not calls:
            self.ask(("PING",))

    def _fail_calls(self) -> None:
        calls, self._calls = self._calls, deque()
        for call in calls:
            _settle(call, None)


def _settle(call: _Call, answers: list[Any] | None) -> None:
    if not call.future.done():
        call.future.set_result(answers)
