"""An HTTP API that answers what a test says, and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest


@dataclass
class FakeApi:
    """Answers with `status`, `headers` and `body`; `asked` has (path, headers, JSON body) of each request."""

    url: str = ""
    status: str = "202 Accepted"
    headers: str = ""
    body: bytes = b'{"id":"m1"}'
    asked: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                break
            size = int(head.lower().partition("content-length: ")[2].partition("\r")[0] or 0)
            self.asked.append((head.split()[1], head, json.loads(await reader.readexactly(size) or "{}")))
            length = f"Content-Length: {len(self.body)}\r\n"
            writer.write(f"HTTP/1.1 {self.status}\r\n{self.headers}{length}\r\n".encode() + self.body)
        writer.close()


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield fake
    server.close()
    await server.wait_closed()
