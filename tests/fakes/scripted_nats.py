"""A NATS server that does as the test says: what a real one does only when it is ill."""

import asyncio
import json
from contextlib import suppress
from types import TracebackType
from typing import Self


class ScriptedNats:
    """Keeps each write that reaches it while `talks`, answers PING with PONG while `pongs`."""

    def __init__(self, **info: object) -> None:
        self.info = {"server_id": "scripted", "version": "2.15.1", "headers": True, "max_payload": 1024} | info
        self.pongs = True
        self.reads: list[bytes] = []
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
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def say(self, line: bytes) -> None:
        """Send to the newest connection."""
        self.connections[-1].write(line)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        writer.write(f"INFO {json.dumps(self.info)}\r\n".encode())
        with suppress(ConnectionError):
            while data := await reader.read(2**20):
                self.reads.append(data)
                if self.pongs:
                    writer.write(b"PONG\r\n" * data.count(b"PING\r\n"))
        writer.close()
