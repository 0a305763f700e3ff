"""One connection, and one session, of a ZooKeeper server: requests and what is watched over the same socket.

kazoo writes and reads the messages. Its client would do the rest in three threads, each a hop and a fight for the
interpreter's lock; it keeps what is asked while the server is away and sends it later, and notices a silent server
after two thirds of a session, which is what the server lets it be. Here

- all requests handed in within one iteration of the event loop go out as one write, and answers come in their order;
- nothing is kept for later: when the connection is lost before the answers, every taker is told at once;
- each answer and each event is a plain call, in the order of arrival;
- a lost connection is not mended and its session not taken up again: Keeper makes another.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any, Protocol

from kazoo.exceptions import EXCEPTIONS
from kazoo.protocol.serialization import Auth, Close, Connect, Ping, Watch

from pushgate.brokers.line import PATIENCE, Line
from pushgate.log import get_logger

QUIET = 4
"""Ticks of a silent server after which it is asked for a sign of life (1 s)."""
SESSION = 6.0
"""Seconds after which the server takes us for dead when it hears nothing; it may make it more."""
GOODBYE = 0.15
"""Seconds that the server has for ending our session, so that nobody waits for it to expire."""
LARGEST = 64 * 1024 * 1024
"""Bytes of the largest answer; above it is not ZooKeeper that speaks."""

CREATED = 1
"""The event: a node that was watched is there now."""

_WATCHED, _PONG, _AUTHENTICATED = -1, -2, -4
_LENGTH, _HEAD, _ANSWER = Struct("!i"), Struct("!ii"), Struct("!iqi")

log = get_logger("zookeeper")


class Request(Protocol):
    """A message of kazoo's: Create, Exists and their like."""

    type: int

    def serialize(self) -> bytes:
        """Return its bytes."""


Take = Callable[[Any], None]
"""Takes the answer to a request: kazoo's form of it, or an exception, a ConnectionError when the link is lost."""


class ZooKeeperLink:
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way.

    `part` is what it is the connection of, for people: the bus, say. `on_created` gets the paths of nodes that
    were watched by Exists when they are made.
    """

    def __init__(self, part: str, on_created: Callable[[str], None]) -> None:
        self._part = part
        self._on_created = on_created
        self._calls: deque[tuple[int, type[Any], int, Take]] = deque()
        self._in = bytearray()
        self._greeted: asyncio.Future[None] | None = None
        self._leaving = False
        self._xid = 0
        self._line = Line(part, self._read, self._look, self._end)
        self.lost = self._line.lost
        self.session = (0, b"")
        """The session's id and its password."""

    @property
    def reason(self) -> str:
        """Why it is lost."""
        return self._line.reason

    @property
    def server(self) -> str:
        """The server's host and port."""
        return self._line.server

    async def open(self, host: str, port: int, patience: float, user: str = "", password: str = "") -> None:
        """Connect and begin a session, within `patience` seconds. Raises OSError, also for a server that refuses."""
        self._greeted = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(patience):
            await self._line.open(host, port)
            self._write(Connect(0, 0, int(SESSION * 1000), *self.session, False).serialize())
            await self._greeted
        if self.lost.is_set():
            raise ConnectionError(self.reason)
        if user:
            self._write(_HEAD.pack(_AUTHENTICATED, Auth.type) + Auth(0, "digest", f"{user}:{password}").serialize())

    def send(self, request: Request, take: Take) -> None:
        """Have a request answered, after those handed in before."""
        self._xid = self._xid % 0x7FFFFFFF + 1
        if not self._leaving and self._write(_HEAD.pack(self._xid, request.type) + request.serialize()):
            self._calls.append((self._xid, type(request), self._line.now, take))
        else:
            take(ConnectionError(self.reason))

    async def ask(self, request: Request) -> Any:
        """Return the answer to a request, or the exception that it is. Raises ConnectionError when the link is lost."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(request, lambda said: None if answer.done() else answer.set_result(said))
        said = await answer
        if isinstance(said, ConnectionError):
            raise said
        return said

    def drop(self, reason: str) -> None:
        """End the connection now, and every wait for it."""
        self._line.drop(reason)

    async def close(self) -> None:
        """Let go of it (Link), and of the session."""
        self._leaving = True
        self._line.reason = self.reason or f"the {self._part} is stopped"
        self._fail_calls()
        try:
            if self.session[0] and not self.lost.is_set():
                self._write(_HEAD.pack(0, Close.type))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.lost.wait(), GOODBYE)
        finally:
            self.drop(self.reason)

    # Inside

    def _write(self, message: bytes) -> bool:
        return self._line.write((_LENGTH.pack(len(message)), message))

    def _read(self, data: bytes) -> None:
        self._in += data
        at, end = 0, len(self._in)
        while end - at >= 4 and not self._leaving and not self.lost.is_set():
            (size,) = _LENGTH.unpack_from(self._in, at)
            if not 0 <= size <= LARGEST:
                self.drop("it does not speak as ZooKeeper does")
            if end - at < 4 + size:
                break
            self._hear(bytes(memoryview(self._in)[at + 4 : at + 4 + size]))
            at += 4 + size
        del self._in[:at]

    def _hear(self, said: bytes) -> None:
        assert self._greeted is not None
        if not self._greeted.done():
            greeting, _ = Connect.deserialize(said, 0)
            self.session = greeting.session_id, greeting.passwd
            if greeting.time_out <= 0:
                self.drop("the server does not know the session")
            else:
                self._greeted.set_result(None)
            return
        xid, _, error = _ANSWER.unpack_from(said)
        if xid == _WATCHED:
            kind, _, path = Watch.deserialize(said, _ANSWER.size)[0]
            if kind == CREATED:
                self._guard(self._on_created, path)
        elif xid >= 0:
            self._answer(xid, error, said)
        elif error:
            self.drop(f"the server refuses us: {EXCEPTIONS[error].__name__}")

    def _answer(self, xid: int, error: int, said: bytes) -> None:
        if not self._calls or self._calls[0][0] != xid:
            self.drop("the server answered what was not asked")
            return
        _, kind, _, take = self._calls.popleft()
        self._guard(take, EXCEPTIONS[error]() if error else kind.deserialize(said, _ANSWER.size))

    def _guard(self, take: Take, said: Any) -> None:
        try:
            take(said)
        except Exception:
            log.exception("receiver failed")

    def _fail_calls(self) -> None:
        calls, self._calls = self._calls, deque()
        for _, _, _, take in calls:
            self._guard(take, ConnectionError(self.reason))

    def _end(self) -> None:
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)
        self._fail_calls()

    def _look(self) -> None:
        """Drop a server whose answer is overdue while it says nothing; ask one that is silent."""
        line = self._line
        # a PONG is overdue too: it was asked for after a second, and has as long as an answer
        overdue = self._calls and line.now - self._calls[0][2] >= PATIENCE
        if line.silent >= PATIENCE and (overdue or line.silent >= QUIET + PATIENCE):
            self.drop(f"the {self._part} is silent")
        elif line.silent == QUIET and self.session[0]:
            self._write(_HEAD.pack(_PONG, Ping.type))
