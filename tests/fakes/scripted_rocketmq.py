"""A RocketMQ server that does as the test says: what a real one does only when it is ill, or its operator strict."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from pushgate.rocketmq.frames import ANSWER, Command, FrameReader, encode


class ScriptedRocketMq:
    """Keeps the requests that reach it, and answers those whose code is in `answers` with a code, fields and a body."""

    def __init__(self) -> None:
        self.answers: dict[int, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[Command] = []
        self.connections: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def answer(self, request: Command, code: int, fields: dict[str, str], body: bytes = b"") -> None:
        """Answer a request on the newest connection."""
        answer = Command(code, request.opaque, ANSWER, fields, "the test says so", body=body)
        self.connections[-1].write(encode(answer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        frames = FrameReader()
        with suppress(ConnectionError):
            while data := await reader.read(2**20):
                for request in frames.feed(data):
                    self.requests.append(request)
                    if request.code in self.answers:
                        self.answer(request, *self.answers[request.code])
        writer.close()
