"""One connection to a RocketMQ server, name server or broker: requests and their answers, in whatever order these come.

- all requests handed in within one iteration of the event loop go out as one write;
- nothing is kept for later: when the connection is lost before the answers, every caller is told at once;
- an answer that is overdue ends the connection, since TCP may be half open; so does a server that is silent when asked;
- a lost connection is not mended: Keeper makes another.
"""

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from typing import NamedTuple

from pushgate.brokers.line import PATIENCE, Line
from pushgate.rocketmq.frames import Command, FrameReader, encode, texts
from pushgate.rocketmq.signing import Credentials, sign

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


class RocketLink:
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way.

    `part` is what it is the connection of, for people. `probe` is what a server is asked that says nothing for long.
    """

    def __init__(self, part: str, probe: Request, credentials: Credentials | None = None) -> None:
        self._part = part
        self._probe = probe
        self._credentials = credentials
        self._reader = FrameReader()
        self._calls: dict[int, _Call] = {}
        self._probing: Answer | None = None
        self._opaque = 0
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

    async def open(self, host: str, port: int, tls: SSLContext | None) -> None:
        """Connect. Raises OSError or TimeoutError; another place may be tried then."""
        await self._line.open(host, port, tls)

    def ask(self, request: Request, patience: int = PATIENCE) -> Answer:
        """Have a request answered within so many ticks. Raises nothing."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._opaque += 1
        fields = texts(request.fields)
        if self._credentials is not None:
            fields = sign(fields, request.body, self._credentials)
        if self._line.write((encode(Command(request.code, self._opaque, fields=fields, body=request.body)),)):
            self._calls[self._opaque] = _Call(self._line.now + patience, answer)
        else:
            answer.set_result(None)
        return answer

    def drop(self, reason: str) -> None:
        """End the connection now, and every wait for it."""
        self._line.drop(reason)

    async def close(self) -> None:
        """Let go of it (Link)."""
        self._line.stop()

    # Inside

    def _read(self, data: bytes) -> None:
        """Take what the server says. What it asks of us needs no answer: it tells consumers of other consumers."""
        try:
            for command in self._reader.feed(data):
                call = self._calls.pop(command.opaque, None) if command.is_answer else None
                if call is not None:
                    _settle(call.answer, command)
        except ValueError as error:
            self.drop(f"it does not speak as RocketMQ does: {error}")

    def _look(self) -> None:
        """Drop a server whose answer is overdue; ask one that is silent, since a pull may be held for long."""
        if any(call.due <= self._line.now for call in self._calls.values()):
            self.drop(f"the {self._part} is silent")
        elif self._line.silent >= PATIENCE and (self._probing is None or self._probing.done()):
            self._probing = self.ask(self._probe)

    def _fail_calls(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            _settle(call.answer, None)


def _settle(answer: Answer, command: Command | None) -> None:
    if not answer.done():
        answer.set_result(command)
